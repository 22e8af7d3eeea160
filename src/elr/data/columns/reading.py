"""How one column is read: decided in training, kept with the run, and applied to all later data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from elr.checking import check_ranges, check_types
from elr.data.columns.categories import MISSING, Categories, category_text, is_mark, truth
from elr.data.columns.dates import date_values
from elr.data.columns.number_forms import PLAIN, NumberForm, number_form, plain_numbers
from elr.data.labels.columns import is_nested
from elr.errors import DataError, RowError

NUMERIC, CATEGORICAL, DATE = "numeric", "categorical", "date"
PlaceOf = Callable[[int], str]
"""What remarks call a row, by its position."""
_KINDS = (NUMERIC, CATEGORICAL, DATE)
_NUMBERS = ("missing", "rare", "low", "high", "spread")
_MOST_STRANGE = 0.5  # of the cells that hold something: more, and it is another column


@dataclass(frozen=True, kw_only=True)
class ColumnReading:
    """How a column is read, and what it held in training.

    Args:
        kind: "numeric", "categorical" or "date".
        form: how numbers are written in text.
        date_form: how dates are, if not in ISO form (`elr.data.columns.dates.date_form`).
        decimal_said: the mark of decimals in later data, where the user says it (`written_with`); not kept.
        truth: whether a numeric column held 0 and 1 only, which others write as true and false.
        categories: names of the categories.
        missing_as: what missing cells are called among the categories.
        missing: share of the rows in which nothing stood.
        rare: share of the rows whose category stood in no other row: as many new ones are to be expected in new data.
        low, high: range of numbers and dates.
        spread: between their quartiles.

    Example:
        >>> reading = ColumnReading(kind="categorical", categories=("Male", "Female"))
        >>> reading.read(pd.Series(["male", "Female ", None, "other"]), place="it").values.tolist()
        ['Male', 'Female', '(missing)', 'other']
        >>> ColumnReading.from_json(reading.to_json()) == reading
        True
    """

    kind: str
    form: NumberForm = PLAIN
    date_form: str = ""
    decimal_said: str = ""
    truth: bool = False
    categories: tuple[str, ...] = ()
    missing_as: str = MISSING
    missing: float = 0.0
    rare: float = 0.0
    low: float = 0.0
    high: float = 0.0
    spread: float = 0.0

    @cached_property
    def _names(self) -> Categories:
        return Categories(self.categories)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        settings = {"kind": self.kind, "missing": self.missing}
        if self.kind == CATEGORICAL:
            names = {"categories": list(self.categories), "missing_as": self.missing_as, "rare": self.rare}
            return settings | names
        form = {"form": self.form.to_json(), "truth": self.truth} if self.kind == NUMERIC else {}
        form = {"date_form": self.date_form} if self.date_form else form
        return settings | form | {"low": self.low, "high": self.high, "spread": self.spread}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> ColumnReading:
        values: dict[str, Any] = dict(settings)
        if "form" in values:
            values["form"] = NumberForm.from_json(values["form"])
        values["categories"] = tuple(values.get("categories", ()))
        values |= {name: math.nan for name in _NUMBERS if values.get(name, 0.0) is None}  # JSON has no such number
        found = cls(**values)
        check_types(found)
        check_ranges(found, {"kind": (found.kind in _KINDS, f"one of {', '.join(_KINDS)}")})
        return found

    def read(self, cells: pd.Series, *, place: str) -> ReadCells:
        """The cells of a column, of training or of later data.

        Args:
            cells: as they were read from a file or given.
            place: how messages name the column.

        Raises:
            DataError: it holds something else than in training, or infinite numbers (said where).
        """
        if self.kind == CATEGORICAL:
            return self._read_categories(cells)
        found = self._read_dates(cells, place) if self.kind == DATE else self._read_numbers(cells, place)
        filled = len(cells) - int(found.missing.sum())
        if found.strange.sum() > _MOST_STRANGE * filled:
            row = int(found.strange.argmax())
            value, expected = cells.iloc[row], "a date such as 2024-12-31" if self.kind == DATE else "a number"
            plain = value.item() if isinstance(value, np.generic) else value
            shown = repr(str(plain) if isinstance(plain, str) else plain)
            advice = ""
            if self.kind == NUMERIC and isinstance(value, str) and number_form([value])[0] is not None:
                advice = "; where its commas or points mean something else than in training, --decimal says what"
            raise RowError(
                f"{place} has {shown} in ", [row], f": expected {expected}, as in training, or an empty cell{advice}"
            )
        return found

    def written_with(self, decimal: str) -> ColumnReading:
        """The reading of data whose numbers are written with another mark of decimals, "." or ",".

        Example:
            >>> reading = ColumnReading(kind="numeric").written_with(",")
            >>> reading.read(pd.Series(["1.863", "1,5"]), place="it").values.tolist()
            [1863.0, 1.5]
        """
        if self.kind != NUMERIC:
            return self
        group = self.form.group if self.form.group in (" ", "'") else "." if decimal == "," else ","
        return replace(self, form=replace(self.form, decimal=decimal, group=group), decimal_said=decimal)

    def _read_categories(self, cells: pd.Series) -> ReadCells:
        codes, values = distinct_values(cells)
        names = [self._names.name(value) for value in values]
        gone = [name is None and is_mark(value) for name, value in zip(names, values, strict=True)]
        texts = [
            self.missing_as if out else category_text(value) if name is None else name
            for name, value, out in zip(names, values, gone, strict=True)
        ]
        unseen = [name is None and not out for name, out in zip(names, gone, strict=True)]
        missing = (codes < 0) | np.array([*gone, True], dtype=bool)[codes]
        strange = np.array([*unseen, False], dtype=bool)[codes]
        return ReadCells(np.array([*texts, self.missing_as], dtype=object)[codes], missing=missing, strange=strange)

    def _read_numbers(self, cells: pd.Series, place: str) -> ReadCells:
        if types.is_datetime64_any_dtype(cells) or types.is_complex_dtype(cells):
            raise DataError(f"{place} holds {cells.dtype}: expected numbers, as in training")
        if types.is_timedelta64_dtype(cells):
            cells = cells.dt.total_seconds()
        if isinstance(cells.dtype, pd.CategoricalDtype):
            cells = cells.astype(object)
        if is_nested(cells):
            raise DataError(f"{place} holds lists, records or bytes: expected numbers, as in training")
        empty = cells.isna().to_numpy(dtype=bool)
        form, written = self.form, is_text_column(cells)
        if types.is_string_dtype(cells.dtype) and not types.is_object_dtype(cells.dtype):
            numbers = plain_numbers(cells)
        else:
            numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        strange = np.isnan(numbers) & ~empty
        if written and (strange.any() or form != PLAIN):
            codes, values = distinct_values(cells)
            form, found, gone = self._written_numbers(values)
            numbers = np.array([*found, np.nan])[codes]
            empty = empty | np.array([*gone, True], dtype=bool)[codes]
            strange = np.isnan(numbers) & ~empty
        large = np.abs(numbers) > np.finfo(np.float32).max
        if large.any():
            row = int(large.argmax())
            what = "is infinite" if np.isinf(numbers[row]) else f"is {numbers[row]:g}, beyond float32,"
            raise RowError(f"{place} {what} in ", [row], ": replace it by a number or leave the cell empty")
        return ReadCells(numbers, missing=empty, strange=strange, form=form)

    def _written_numbers(self, values: Sequence[Any]) -> tuple[NumberForm, NDArray[np.float64], list[bool]]:
        """The form in which different values are written, each as a number, and which of them mark a missing one.

        It is that of training wherever that reads as many as any other, and no other affixes are taken.
        """
        gone = [is_mark(value, number=True) for value in values]
        texts = [str(value) for value, out in zip(values, gone, strict=True) if isinstance(value, str) and not out]
        forms = [self.form]
        if np.isnan(self._numbers(texts, self.form)).any():
            other, guessed = number_form(texts, decimal=self.decimal_said or None)
            if other is not None and self.decimal_said not in ("", other.decimal):
                other = None
            known = {(self.form.prefix, self.form.suffix), ("", "")}
            if other is not None and (other.prefix, other.suffix) in known and not guessed:
                forms.append(other)
        form = max(forms, key=lambda each: int((~np.isnan(self._numbers(texts, each))).sum()))
        read = iter(self._numbers(texts, form))
        found = [
            next(read) if isinstance(value, str) and not out else np.nan if out else _number(value)
            for value, out in zip(values, gone, strict=True)
        ]
        return form, np.array(found, dtype=np.float64), gone

    def _numbers(self, texts: Sequence[str], form: NumberForm) -> NDArray[np.float64]:
        if form == PLAIN:
            plain = plain_numbers(texts)
            found = np.where(np.isnan(plain), form.numbers(texts), plain) if np.isnan(plain).any() else plain
        else:
            found = form.numbers(texts)
        if self.truth:
            meanings = [truth(text.strip().casefold()) for text in texts]
            said = np.array([np.nan if meaning is None else float(meaning) for meaning in meanings], dtype=np.float64)
            found = np.where(np.isnan(found), said, found)
        return found

    def _read_dates(self, cells: pd.Series, place: str) -> ReadCells:
        del place
        empty = cells.isna().to_numpy(dtype=bool)
        if isinstance(cells.dtype, pd.DatetimeTZDtype):
            dates = cells.dt.tz_convert("UTC").dt.tz_localize(None)
        elif types.is_datetime64_dtype(cells) and not isinstance(cells.dtype, pd.ArrowDtype):
            dates = cells
        else:
            dates = date_values(cells, self.date_form).dt.tz_localize(None)
            if (dates.isna().to_numpy() & ~empty).any():
                empty = empty | np.array([is_mark(value) for value in cells.tolist()], dtype=bool)
        stamps = dates.to_numpy().astype("datetime64[us]")  # nanoseconds would not reach the year 9999
        days = np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 86_400e6)
        return ReadCells(days, missing=empty, strange=np.isnan(days) & ~empty)


class ReadCells:
    """The cells of a column as they were read.

    Args:
        values: (N,) numbers (missing and unreadable ones NaN; dates as days since 1970), or names of categories.
        missing: (N,) where nothing stands.
        strange: (N,) where something stands that could not be read, or that training did not have.
        form: how numbers are written.

    Example:
        >>> cells = ColumnReading(kind="numeric").read(pd.Series(["1", "2", "?", "two"]), place="it")
        >>> cells.values.tolist(), cells.missing.tolist(), cells.strange.tolist()
        ([1.0, 2.0, nan, nan], [False, False, True, False], [False, False, False, True])
    """

    def __init__(
        self,
        values: NDArray,
        *,
        missing: NDArray[np.bool_],
        strange: NDArray[np.bool_],
        form: NumberForm = PLAIN,
    ) -> None:
        self.values = values
        self.missing = missing
        self.strange = strange
        self.form = form


def row_place(position: int) -> str:
    """What remarks call a row of which nothing but its position is known.

    Example:
        >>> row_place(3)
        'row 3'
    """
    return f"row {position}"


def is_text_column(cells: pd.Series) -> bool:
    """Whether cells may be text.

    Example:
        >>> is_text_column(pd.Series(["1"])), is_text_column(pd.Series([1]))
        (True, False)
    """
    return types.is_object_dtype(cells.dtype) or types.is_string_dtype(cells.dtype)


def _number(value: Any) -> float:
    number = pd.to_numeric(pd.Series([value], dtype=object), errors="coerce").iloc[0]
    return float("nan") if pd.isna(number) else float(number)


def distinct_values(cells: pd.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """For each cell the position of its value among the different ones (-1: missing), and those.

    Example:
        >>> codes, values = distinct_values(pd.Series(["u", None, "v", "u"]))
        >>> codes.tolist(), values
        ([0, -1, 1, 0], ['u', 'v'])
    """
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.cat.codes.to_numpy(dtype=np.int64), cells.cat.categories.tolist()
    if is_text_column(cells) and types.is_object_dtype(cells.dtype):
        kinds = {type(value) for value in cells.tolist()}
        if kinds & {bool, np.bool_} and kinds & {int, float}:  # True and 1 are one to pandas
            cells = cells.map(lambda value: value if pd.isna(value) else str(value))
    try:
        codes, values = pd.factorize(cells, use_na_sentinel=True)
    except TypeError:  # lists and the like
        codes, values = pd.factorize(cells.map(str).where(cells.notna()), use_na_sentinel=True)
    return np.asarray(codes, dtype=np.int64), values.tolist()
