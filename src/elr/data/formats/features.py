"""Arrays as people bring them, checked: features (N, D), a column of lists, one value for each row."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse

from elr.errors import DataError, RowError

_LOOKED_AT = 10_000  # rows
_LOST = 0.001  # of the width of a column


def as_array(values: Any, name: str) -> NDArray:
    """An array of what someone passed.

    Raises:
        DataError: a sparse matrix, masked values, lists of several lengths, or nothing that NumPy takes.

    Example:
        >>> as_array([[1, 2], [3, 4]], "the inputs").shape
        (2, 2)
    """
    if sparse.issparse(values):
        raise DataError(f"{name} are a sparse matrix: pass their .toarray(), or use ELRClassifier, which takes them")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        masked = np.ma.getmaskarray(values)
        raise DataError(
            f"{name} have {int(masked.sum())} masked values, first in row {np.argwhere(masked)[0][0]}: fill them "
            "(.filled(...)) or leave these rows out; a data frame may have missing values"
        )
    if isinstance(values, torch.Tensor):
        values = values.cpu().float() if values.dtype == torch.bfloat16 else values.cpu()  # NumPy has no bfloat16
    try:
        return native(np.asarray(values))
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} are no array of one shape ({error}): expected numbers (N, D)") from error


def native(values: NDArray) -> NDArray:
    """An array in this machine's order of bytes, as pandas and torch need it.

    Example:
        >>> native(np.array([1, 2], dtype=">i4")).dtype.isnative
        True
    """
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def native_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A data frame with all columns in this machine's order of bytes.

    Example:
        >>> frame = pd.DataFrame({"x": np.array([1, 2], dtype=">i4"), "y": ["cat", "dog"]})
        >>> native_frame(frame).dtypes["x"].isnative
        True
    """
    kinds = enumerate(frame.dtypes)
    foreign = {place: kind for place, kind in kinds if isinstance(kind, np.dtype) and not kind.isnative}
    columns = [
        frame.iloc[:, place].astype(foreign[place].newbyteorder("=")) if place in foreign else frame.iloc[:, place]
        for place in range(frame.shape[1])
    ]
    return pd.concat(columns, axis=1) if foreign else frame


def one_each(values: NDArray, count: int, *, name: str) -> NDArray:
    """Values (count,), also from a column (count, 1), in this machine's order of bytes.

    Raises:
        DataError: another shape, or records of several values each.

    Example:
        >>> one_each(np.array([[3], [4]]), 2, name="y").tolist()
        [3, 4]
    """
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.shape != (count,):
        raise DataError(
            f"{name} has shape {values.shape} for {count} rows: expected one value for each row, ({count},)"
        )
    if flat.dtype.names:
        raise DataError(
            f"{name} holds records of {', '.join(map(repr, flat.dtype.names[:10]))}: expected one value for each row, "
            f"such as those of one field, array[{flat.dtype.names[0]!r}]"
        )
    return native(flat)


def lost_digits(features: NDArray, converted: NDArray[np.float32], name: str) -> list[str]:
    """A remark on features in which float32 cannot tell the rows apart; none where it can.

    Args:
        features: (N, D) as they were given.
        converted: the same as float32.
        name: how messages name them.

    Example:
        >>> given = 1e9 + np.arange(4.0)[:, None]
        >>> lost_digits(given, given.astype(np.float32), "it")[0][:59]
        'it lose digits in 1 of 1 columns, as float32 has only 7 of '
    """
    step = max(1, len(features) // _LOOKED_AT)
    given, kept = features[::step].astype(np.float64), converted[::step].astype(np.float64)
    width, differ = given.max(axis=0) - given.min(axis=0), (features[::step] != features[0]).any(axis=0)
    same = kept.max(axis=0) == kept.min(axis=0)
    lost = np.flatnonzero(differ & (same | (np.abs(kept - given).max(axis=0) > _LOST * width)))
    if not len(lost):
        return []
    first = int(lost[0])
    return [
        f"{name} lose digits in {len(lost)} of {features.shape[1]} columns, as float32 has only 7 of them: column "
        f"{first} has values from {given[:, first].min():.10g} to {given[:, first].max():.10g}; subtract what they "
        "have in common, and bring them to a size around 1"
    ]


def checked_features(features: NDArray, name: str) -> NDArray[np.float32]:
    """Features (N, D) as float32.

    Raises:
        DataError: another shape or type, or NaN or infinity (said where).

    Example:
        >>> checked_features(np.array([[1, 2], [3, 4]]), "the inputs").dtype
        dtype('float32')
    """
    if features.ndim != 2 or not features.shape[1] or features.dtype.kind not in "fiub":
        raise DataError(
            f"{name} are {features.dtype} of shape {features.shape}: expected numbers (N, D), D >= 1; tables of mixed "
            "columns go in as one data frame with label=COLUMN"
        )
    with np.errstate(over="ignore"):  # named below
        converted = features.astype(np.float32)
    bad = ~np.isfinite(converted)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise RowError(
            f"{name} have {int(bad.sum())} values that are NaN, infinite or beyond float32, first "
            f"{features[row, column]} in ",
            [row],
            f", column {column}: replace them or remove these rows",
        )
    return converted


def list_features(column: pd.Series, *, name: str) -> NDArray[np.float32]:
    """Features (M, D) from a column of lists of D numbers, such as embeddings.

    Raises:
        DataError: a missing list, lists of several lengths, anything but finite numbers (said where).

    Example:
        >>> list_features(pd.Series([[1, 2], [3, 4]]), name="column 'e'").shape
        (2, 2)
    """
    missing = column.isna().to_numpy(dtype=bool)
    if missing.any():
        raise RowError(
            f"{name} is missing in {int(missing.sum())} of {len(column)} rows, first in ",
            np.flatnonzero(missing).tolist(),
            ": remove these rows, or compute their embeddings",
        )
    values = column.tolist()
    lengths = [len(value) if isinstance(value, list | tuple | np.ndarray) else -1 for value in values]
    common = Counter(lengths).most_common(1)[0][0] if lengths else 0
    odd = next((row for row, length in enumerate(lengths) if length != common or length < 1), None)
    if odd is not None:
        what = f"{lengths[odd]} numbers" if lengths[odd] >= 0 else f"{values[odd]!r}, which is no list,"
        raise RowError(f"{name} has {what} in ", [odd], f": expected a list of {max(common, 1)} numbers in each row")
    try:
        rows = np.array([np.asarray(value, dtype=np.float64) for value in values])
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds lists of something else than numbers ({error})") from error
    return checked_features(rows, name)
