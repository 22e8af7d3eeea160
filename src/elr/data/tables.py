"""Tables of mixed columns: what each column holds, and how they become numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from elr.data.labels.columns import is_nested
from elr.errors import DataError

NUMERIC, CATEGORICAL, DATE = "numeric", "categorical", "date"
MISSING = "(missing)"
_MAX_CATEGORIES = 100
_WHOLE = re.compile(r"^(-?[0-9]+)\.0$")
_CODE = r"[+-]?0[0-9]+"
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


def column_kinds(frame: pd.DataFrame, *, as_written: bool = False) -> tuple[dict[str, str], list[str]]:
    """Which columns to learn from, and how.

    Numbers are numeric, dates (also as text: 2024-12-31, 2024-12-31T23:59) are dates; booleans, categories and text are
    categorical. Left out: columns that say nothing (one value only), row numbers without a name, and text that is
    different in nearly every row (names, free text).

    Args:
        frame: the columns.
        as_written: text that is a number throughout is numeric, unless one has leading zeros (codes). For frames from
            `read_table(..., as_written=True)`; in others, text is meant as text.

    Returns:
        kinds by column name, and remarks about the columns left out.

    Raises:
        DataError: no column is left, or two have one name.

    Example:
        >>> column_kinds(pd.DataFrame({"x": [1.5, 2.0], "day": ["2024-01-01", "2024-01-02"], "n": ["u", "u"]}))
        ({'x': 'numeric', 'day': 'date'}, ["column 'n' left out: it says the same in every row"])
    """
    kinds: dict[str, str] = {}
    remarks = []
    for name, column in _by_name(frame, "the table").items():
        kind, reason = "", "it numbers the rows"
        if not (as_written and _is_index(name, column)):
            kind, reason = _kind(column, as_written=as_written)
        if kind:
            kinds[name] = kind
        if reason:
            remarks.append(f"column {name!r} {'taken as text' if kind else 'left out'}: {reason}")
    if not kinds:
        raise DataError(
            f"no column is left to learn from; {'; '.join(remarks) or 'the table has no other column'}. Expected "
            "numbers, dates or categories, or a column of text (--text COLUMN) or of embeddings (--embedding COLUMN)"
        )
    return kinds, remarks


def _is_index(name: str, column: pd.Series) -> bool:
    """Whether a column without a name counts the rows from 0 or 1, as pandas and R write it."""
    if not name.startswith("Unnamed: "):
        return False
    numbers = pd.to_numeric(column, errors="coerce").to_numpy()
    return any(np.array_equal(numbers, np.arange(start, start + len(column))) for start in (0, 1))


def _kind(column: pd.Series, *, as_written: bool) -> tuple[str, str]:
    """Kind of a column ("" where it is to be left out), and a remark ("" if there is none)."""
    if is_nested(column):
        return "", "it holds lists, records or bytes, not single values (--embedding learns from lists of numbers)"
    values = pd.Series(column.dropna().unique())
    if not len(values):
        return "", "it is empty"
    if len(values) + int(column.isna().any()) <= 1:
        return "", "it says the same in every row"
    if types.is_complex_dtype(values):
        return "", "it holds complex numbers"
    if types.is_bool_dtype(column):
        return CATEGORICAL, ""
    if types.is_datetime64_any_dtype(column):
        return DATE, ""
    if types.is_numeric_dtype(column) or types.is_timedelta64_dtype(column):
        return NUMERIC, ""
    remark = ""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if all(_DATE.fullmatch(str(value)) for value in values) and not _dates(values).isna().any():
            return DATE, ""
        if all(isinstance(value, Real | Decimal) and not isinstance(value, bool) for value in values):
            return NUMERIC, ""
        if as_written:
            strange = values[pd.to_numeric(values, errors="coerce").isna()]
            if strange.empty and not values.str.fullmatch(_CODE).any():
                return NUMERIC, ""
            if 0 < 10 * len(strange) <= len(values):
                row = int((column == strange.iloc[0]).to_numpy(dtype=bool, na_value=False).argmax())
                remark = f"it holds numbers, but {strange.iloc[0]!r} in row {row}; leave such cells empty"
    if len(values) > max(50, len(column) // 2):
        reason = f"text with {len(values)} different values in {len(column)} rows"
        return "", reason + (f"; {remark}" if remark else " (--text learns from free text)")
    return CATEGORICAL, remark


def plain_columns(frame: pd.DataFrame, kinds: Mapping[str, str], *, name: str) -> pd.DataFrame:
    """The columns to learn from, as float64 (missing: NaN; dates: days since 1970) or text (missing: its own word).

    Raises:
        DataError: a column is missing, holds something else than in training, or is infinite (said where).

    Example:
        >>> plain_columns(pd.DataFrame({"n": [True, None]}), {"n": CATEGORICAL}, name="it")["n"].tolist()
        ['True', '(missing)']
    """
    columns = _by_name(frame, name)
    absent = [column for column in kinds if column not in columns]
    if absent:
        raise DataError(
            f"{name} lacks {len(absent)} columns that training had: {', '.join(map(repr, absent[:10]))}; add them "
            "(their cells may be empty)"
        )
    plain = {}
    for column, kind in kinds.items():
        place = f"column {column!r} of {name}"
        if kind == CATEGORICAL:
            plain[column] = _texts(columns[column])
        else:
            plain[column] = (_days if kind == DATE else _numbers)(columns[column], place)
    return pd.DataFrame(plain, index=pd.RangeIndex(len(frame)))


def _by_name(frame: pd.DataFrame, place: str) -> dict[str, pd.Series]:
    columns = {str(name): frame.iloc[:, position] for position, name in enumerate(frame.columns)}
    if len(columns) < frame.shape[1]:
        twice, count = Counter(map(str, frame.columns)).most_common(1)[0]
        raise DataError(f"{place} has {count} columns named {twice!r}: rename all but one")
    if unusable := [name for name in columns if "\0" in name]:  # pandas confuses such a name with the empty one
        raise DataError(f"{place} has a column named {unusable[0]!r}, with a NUL character: rename it")
    return columns


def _texts(values: pd.Series) -> NDArray[np.object_]:
    missing = values.isna().to_numpy()
    texts = [MISSING if gone else _text(value) for value, gone in zip(values.tolist(), missing, strict=True)]
    return np.array(texts, dtype=object)


def _text(value: Any) -> str:
    """One spelling for what files and libraries spell in several ways: 12 and 12.0, true and True, "" and missing."""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return _WHOLE.sub(r"\1", text) if text.strip() else MISSING


def _days(values: pd.Series, place: str) -> NDArray[np.float64]:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        dates = values.dt.tz_convert("UTC").dt.tz_localize(None)
    elif types.is_datetime64_dtype(values) and not isinstance(values.dtype, pd.ArrowDtype):
        dates = values
    else:
        dates = _dates(values).dt.tz_localize(None)
        _refuse(dates.isna() & values.notna(), values, place, "a date such as 2024-12-31")
    stamps = dates.to_numpy().astype("datetime64[us]")  # nanoseconds would not reach the year 9999
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 86_400e6)


def _dates(values: pd.Series) -> pd.Series:
    texts = [text if _DATE.fullmatch(text := str(value)) else None for value in values.tolist()]
    return pd.to_datetime(
        pd.Series(texts, index=values.index, dtype=object), format="ISO8601", utc=True, errors="coerce"
    )


def _numbers(values: pd.Series, place: str) -> NDArray[np.float64]:
    if types.is_datetime64_any_dtype(values) or types.is_complex_dtype(values):
        raise DataError(f"{place} holds {values.dtype}: expected numbers, as in training")
    if types.is_timedelta64_dtype(values):
        values = values.dt.total_seconds()
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if is_nested(values):
        raise DataError(f"{place} holds lists, records or bytes: expected numbers, as in training")
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse(np.isnan(numbers) & values.notna(), values, place, "a number")
    large = np.abs(numbers) > np.finfo(np.float32).max
    if large.any():
        row = int(large.argmax())
        what = "is infinite" if np.isinf(numbers[row]) else f"is {numbers[row]:g}, beyond float32,"
        raise DataError(f"{place} {what} in row {row}: replace it by a number or leave the cell empty")
    return numbers


def _refuse(strange: pd.Series, values: pd.Series, place: str, expected: str) -> None:
    if strange.any():
        row = int(strange.to_numpy().argmax())
        raise DataError(
            f"{place} has {values.iloc[row]!r} in row {row}: expected {expected}, as in training, or an empty cell"
        )


def table_preprocessing(kinds: Mapping[str, str]) -> ColumnTransformer:
    """What turns `plain_columns` into a dense float array: numbers and dates imputed by the median (with a column that
    says where) and standardized, categories one-hot (at most 100 a column; the rarest and unknown ones share one).

    Example:
        >>> kinds = {"x": NUMERIC, "n": CATEGORICAL}
        >>> table_preprocessing(kinds).fit_transform(pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]})).tolist()
        [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    numeric = [name for name, kind in kinds.items() if kind in (NUMERIC, DATE)]
    categorical = [name for name, kind in kinds.items() if kind == CATEGORICAL]
    numbers = Pipeline([("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())])
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES, sparse_output=False, dtype=np.float32
    )
    parts = [(NUMERIC, numbers, numeric), (CATEGORICAL, one_hot, categorical)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)
