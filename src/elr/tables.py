"""Tables of mixed columns: reading them, checking them, and turning them into numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pandas.api import types
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from elr.data import Label
from elr.errors import DataError

NUMERIC, CATEGORICAL = "numeric", "categorical"
MISSING = "(missing)"
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_MAX_CATEGORIES = 100
_MISSING_WORDS = ["", "NA", "N/A", "n/a", "nan", "NaN", "NULL", "null", "None", "<NA>", "#N/A", "-nan", "-NaN"]
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)(\.0+)?")


def read_table(path: Path, *, as_text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file.

    Args:
        path: the file; its suffix decides.
        as_text: columns to read as text whatever they hold, in which only an empty cell is missing ("None" and "NA" are
            names of classes in some data).

    Raises:
        DataError: no such file, another format, or not readable as such.
    """
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{path} ends in {suffix!r}: expected a table in {', '.join(TABLE_SUFFIXES)}")
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        separator = "\t" if suffix == ".tsv" else ","
        columns = pd.read_csv(path, sep=separator, nrows=0).columns
        missing = {name: [""] if name in as_text else _MISSING_WORDS for name in columns}
        texts = {name: str for name in as_text if name in columns}
        return pd.read_csv(
            path, sep=separator, na_values=missing, keep_default_na=False, dtype=texts, low_memory=False  # type: ignore[arg-type]
        )
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {suffix[1:]}: {error}") from error


def label_values(column: pd.Series, *, name: str) -> list[Label]:
    """The labels of a column as text or whole numbers.

    Args:
        column: as read; numbers written as text ("3", "3.0") count as numbers, unless one has leading zeros.
        name: how messages name it.

    Raises:
        DataError: missing values.
    """
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{name} is missing in {int(missing.sum())} of {len(column)} rows, first in row {int(missing.argmax())}: "
            "remove these rows, or give them a label"
        )
    texts = [str(value) for value in column.tolist()]
    if not types.is_bool_dtype(column) and all(_INTEGER.fullmatch(text) for text in texts):
        return [int(float(text)) if "." in text else int(text) for text in texts]
    return list(texts)


def column_kinds(frame: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Which columns to learn from, and how.

    Numbers and dates are numeric; booleans, categories and text are categorical. Left out: columns that say nothing (one
    value only) and text that is different in nearly every row (names, free text).

    Returns:
        kinds by column name, and remarks about the columns left out.

    Raises:
        DataError: no column is left.
    """
    kinds: dict[str, str] = {}
    remarks = []
    for name in map(str, frame.columns):
        column = frame[name]
        if _is_nested(column):
            remarks.append(f"column {name!r} left out: it holds lists or records, not single values")
            continue
        distinct = column.nunique(dropna=True)
        if distinct + int(column.isna().any()) <= 1:
            remarks.append(f"column {name!r} left out: it says the same in every row")
        elif types.is_bool_dtype(column) or not (types.is_numeric_dtype(column) or types.is_datetime64_any_dtype(column)):
            if distinct > max(50, len(column) // 2):
                remarks.append(f"column {name!r} left out: text with {distinct} different values in {len(column)} rows")
            else:
                kinds[name] = CATEGORICAL
        else:
            kinds[name] = NUMERIC
    if not kinds:
        raise DataError("no column is left to learn from; " + ("; ".join(remarks) or "the table has no other column"))
    return kinds, remarks


def plain_columns(frame: pd.DataFrame, kinds: Mapping[str, str], *, name: str) -> pd.DataFrame:
    """The columns to learn from, as float64 (missing: NaN) or text (missing: a word of its own).

    Raises:
        DataError: a column is missing, holds text where numbers were expected, or is infinite (said where).
    """
    absent = [column for column in kinds if column not in frame.columns]
    if absent:
        raise DataError(f"{name} lacks {len(absent)} columns that training had: {', '.join(map(repr, absent[:10]))}")
    plain = {}
    for column, kind in kinds.items():
        values = frame[column]
        if kind == CATEGORICAL:
            plain[column] = values.astype(object).where(values.notna(), MISSING).map(str).to_numpy(dtype=object)
        else:
            plain[column] = _numbers(values, f"column {column!r} of {name}")
    return pd.DataFrame(plain, index=pd.RangeIndex(len(frame)))


def _numbers(values: pd.Series, place: str) -> NDArray[np.float64]:
    if types.is_datetime64_any_dtype(values):
        days = (values.dt.tz_localize(None) if values.dt.tz else values) - pd.Timestamp(0)
        return (days / pd.Timedelta(days=1)).to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    strange = np.isnan(numbers) & values.notna().to_numpy()
    if strange.any():
        row = int(strange.argmax())
        raise DataError(f"{place} has {values.iloc[row]!r} in row {row}: expected a number, as in training")
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise DataError(f"{place} is infinite in row {row}: replace it by a number or leave the cell empty")
    return numbers


def table_preprocessing(kinds: Mapping[str, str]) -> ColumnTransformer:
    """What turns `plain_columns` into a dense float array: numbers imputed by the median (with a column that says where)
    and standardized, categories one-hot (at most 100 a column; the rarest and unknown ones share one)."""
    numeric = [name for name, kind in kinds.items() if kind == NUMERIC]
    categorical = [name for name, kind in kinds.items() if kind == CATEGORICAL]
    numbers = Pipeline([("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())])
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES, sparse_output=False, dtype=np.float32
    )
    parts = [(NUMERIC, numbers, numeric), (CATEGORICAL, one_hot, categorical)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)


def _is_nested(column: pd.Series) -> bool:
    values = column.dropna()
    return len(values) > 0 and isinstance(values.iloc[0], list | dict | tuple | np.ndarray | bytes)
