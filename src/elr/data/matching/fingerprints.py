"""Fingerprints of rows: whether they are still those that were learned from, wherever and however they are stored."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.records import IMAGES, Records

_ROWS_AT_ONCE = 1024
_MIDNIGHT = " 00:00:00"  # which dates in a file are written without
_MISSING = np.uint64(0x9E3779B97F4A7C15)


def row_fingerprints(records: Records, columns: Collection[str] | None = None) -> NDArray[np.uint64] | None:
    """(M,) a number for each row, of all that is learned from it; None of images, which are known by their names.

    A number counts as such whether it is one or is written as text, so that a data frame and the file made of it have
    the same fingerprints; so does the order of the columns not matter.

    Args:
        records: as read.
        columns: of a table, those that are learned from; others do not count. Default: all.

    Example:
        >>> table = pd.DataFrame({"n": [1.5, 2.0, 2.0], "t": ["a", "b", "c"]})
        >>> one = row_fingerprints(Records(kind="table", rows=np.arange(3), table=table))
        >>> two = row_fingerprints(Records(kind="table", rows=np.arange(3), table=table[["t", "n"]].astype(str)))
        >>> (one == two).tolist(), len(set(one.tolist()))
        ([True, True, True], 3)
    """
    if records.kind == IMAGES:
        return None
    if records.table is not None:
        return _of_table(records.table, columns)
    return None if records.features is None else _of_features(records.features)


def _of_table(table: pd.DataFrame, columns: Collection[str] | None) -> NDArray[np.uint64]:
    names = [name for name in table.columns if columns is None or str(name) in columns]
    found = np.zeros(len(table), dtype=np.uint64)
    for name in names:
        (factor,) = pd.util.hash_array(np.array([str(name)], dtype=object)) | np.uint64(1)
        found += factor * _of_column(table[name])
    return found


def _of_column(column: pd.Series) -> NDArray[np.uint64]:
    """A number for each cell."""
    missing = column.isna().to_numpy(dtype=bool)
    exact = pd.api.types.is_integer_dtype(column.dtype) or column.dtype == np.float64
    if exact:
        found = _of_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.where(missing, _MISSING, found)
    single = column.dtype in (np.float32, np.float16)  # as short as they are written
    texts = np.array(list(map(str, column.to_numpy() if single else column.to_numpy(dtype=object))), dtype=object)
    texts[missing] = ""
    places, known = pd.factorize(texts)  # few texts stand in many cells
    different = np.array([text.strip().removesuffix(_MIDNIGHT) for text in known], dtype=object)
    numbers = pd.to_numeric(pd.Series(different), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    found = np.where(np.isfinite(numbers), _of_numbers(numbers), pd.util.hash_array(different, categorize=False))
    found[different == ""] = _MISSING
    return found[places]


def _of_numbers(numbers: NDArray[np.float64]) -> NDArray[np.uint64]:
    return pd.util.hash_array(numbers + 0.0)  # -0.0 is 0.0


def _of_features(features: NDArray[np.float32]) -> NDArray[np.uint64]:
    factors = pd.util.hash_array(np.arange(features.shape[1])) | np.uint64(1)
    found = np.empty(len(features), dtype=np.uint64)
    for start in range(0, len(features), _ROWS_AT_ONCE):
        part = np.ascontiguousarray(features[start : start + _ROWS_AT_ONCE], dtype=np.float32) + np.float32(0)
        found[start : start + len(part)] = pd.util.hash_array((part.view(np.uint32) * factors).sum(axis=1))
    return found
