"""Which columns to learn from, and how each is read: decided from training data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from elr.data.columns.categories import MISSING, category_text, is_mark, merged
from elr.data.columns.dates import said_of_dates, usual_form
from elr.data.columns.number_forms import PLAIN, NumberForm, number_form, plain_numbers, why_no_numbers
from elr.data.columns.reading import (
    CATEGORICAL,
    DATE,
    NUMERIC,
    ColumnReading,
    PlaceOf,
    ReadCells,
    distinct_values,
    is_text_column,
    row_place,
)
from elr.data.columns.stand_ins import stand_ins
from elr.data.labels.columns import is_nested
from elr.errors import DataError

_CODE = re.compile(r"\s*[+-]?0[0-9]+\s*$")
_NOT_WHOLE, _COLLIDED, _FEW_COLLIDED = 2.0**53, 0.1, 10
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


@dataclass(kw_only=True)
class FoundColumn:
    """What a column of training data holds.

    Args:
        reading: how it is read; None where it is to be left out.
        reason: why it is left out.
        remarks: what the user should know, each a clause about the column.
        doubtful: text of numbers that mean others with another mark of decimals; "" where there is no doubt.
        cells: as read.

    Example:
        >>> found_column(pd.Series(["1,5", "2,25"])).reading.form.decimal
        ','
    """

    reading: ColumnReading | None = None
    reason: str = ""
    remarks: list[str] = field(default_factory=list)
    doubtful: str = ""
    cells: ReadCells | None = None


def found_columns(
    frame: pd.DataFrame, *, decimal: str | None = None, keep: Sequence[str] = (), place_of: PlaceOf = row_place
) -> dict[str, FoundColumn]:
    """What each column holds.

    Numbers are numeric, however they are written; dates (also as text: 2024-12-31, 2024-12-31T23:59) are dates;
    booleans, categories and text are categorical. Left out: columns that say nothing (one value only), and text that is
    different in nearly every row (names, free text).

    Args:
        frame: the columns.
        decimal: the mark of decimals, where a column leaves it open.
        keep: columns of text that are categories, however many they have.
        place_of: what remarks call a row.

    Raises:
        DataError: two columns of one name, or one whose numbers may mean two things.

    Example:
        >>> found = found_columns(pd.DataFrame({"x": [1.5, 2.0], "day": ["2024-01-01", "2024-01-02"], "n": ["u", "u"]}))
        >>> [column.reading.kind if column.reading else column.reason for column in found.values()]
        ['numeric', 'date', 'it says the same in every row']
    """
    columns = named_columns(frame, "the table")
    for name in keep:
        if name not in columns:
            raise DataError(f"the table has no column to keep {name!r}: it has {', '.join(map(repr, columns))[:1000]}")
    found = {
        name: found_column(cells, name=name, decimal=decimal, keep=name in keep, place_of=place_of)
        for name, cells in columns.items()
    }
    comma = next((name for name, column in found.items() if _writes(column, ",")), None)
    for name, column in found.items():
        if not column.doubtful or decimal is not None:
            continue
        told = "," if comma else "." if any(_sure_of_points(columns[other], found[other]) for other in found) else None
        if "," not in column.doubtful and told is None:
            form = column.reading.form if column.reading else PLAIN
            column.remarks.append(
                f"its numbers have three digits behind every point: {column.doubtful!r} is read as "
                f"{form.numbers([column.doubtful])[0]:g}; where points group thousands, --decimal , says so"
            )
            told = "."
        if told is None:
            raise DataError(
                f"column {name!r} holds numbers such as {column.doubtful!r}, which are thousands in one country and "
                "decimals in another, and no other column tells: say --decimal , or --decimal . (decimal=...)"
            )
        if told == "," or "," in column.doubtful:
            found[name] = found_column(columns[name], name=name, decimal=told, keep=name in keep, place_of=place_of)
            found[name].remarks.append(f"{told!r} marks decimals, as in other columns (--decimal says otherwise)")
    return found


def _writes(column: FoundColumn, mark: str) -> bool:
    return bool(column.reading and not column.doubtful and column.reading.form.decimal == mark)


def _sure_of_points(cells: pd.Series, column: FoundColumn) -> bool:
    """Whether a column of text can be read with decimal points only."""
    if column.reading is None or column.reading.kind != NUMERIC or column.doubtful or not is_text_column(cells):
        return False
    values = pd.Series(distinct_values(cells)[1]).astype(str)
    return bool(values.str.contains(".", regex=False).any()) and column.reading.form.decimal == "."


def found_column(
    cells: pd.Series,
    *,
    name: str = "x",
    decimal: str | None = None,
    keep: bool = False,
    place_of: PlaceOf = row_place,
) -> FoundColumn:
    """What one column holds; see `found_columns`.

    Example:
        >>> found_column(pd.Series(["12 %", "7 %", "?"])).reading.form.suffix
        '%'
    """
    values = [] if is_nested(cells) else cells.dropna().unique()
    reason = _says_nothing(cells, values)
    if reason:
        return FoundColumn(reason=reason)
    found = _typed(cells)
    if found is None:
        values = pd.Series(values).tolist()
        found = (
            _dated(cells, values, place_of)
            or _written(cells, values, decimal, place_of)
            or _categorical(cells, keep=keep)
        )
        if found.reading is None or found.reading.kind == CATEGORICAL:
            found = _told_why(found, values, keep=keep)
    if found.reading is None:
        return found
    found.cells = found.reading.read(cells, place=f"column {name!r} of the training data")
    if found.reading.kind == NUMERIC and not keep and _lose_digits(cells, found.cells.values):
        return FoundColumn(reason="its whole numbers have more digits than numbers are computed with, as ids have")
    found.reading = _measured(found.reading, found.cells)
    if found.reading.kind in (NUMERIC, DATE):
        found.remarks += stand_ins(found.cells.values, dates=found.reading.kind == DATE)
    return found


def _told_why(found: FoundColumn, values: Sequence[Any], *, keep: bool) -> FoundColumn:
    """With what keeps the column from being numbers, where one would take it for such."""
    texts = [value for value in values if isinstance(value, str) and not is_mark(value, number=True)]
    why = "" if keep or len(texts) < len(values) / 2 else why_no_numbers(texts)
    if why and found.reading is None:
        return replace(found, reason=f"{found.reason}; {why}")
    if why:
        found.remarks.append(f"{why}: it is taken for categories")
    return found


def _says_nothing(cells: pd.Series, values: Any) -> str:
    if is_nested(cells):
        return "it holds lists, records or bytes, not single values (--embedding learns from lists of numbers)"
    empty = bool(cells.isna().any())
    if is_text_column(cells) and len(values) < 50:
        filled = [value for value in values if not is_mark(value)]
        values, empty = filled, empty or len(filled) < len(values)
    if not len(values):
        return "it is empty"
    if len(values) + int(empty) <= 1:
        return "it says the same in every row"
    return "it holds complex numbers" if types.is_complex_dtype(cells) else ""


def _typed(cells: pd.Series) -> FoundColumn | None:
    """What the type of a column says it holds; None where it is text, or anything."""
    if types.is_bool_dtype(cells):
        return _categorical(cells, keep=True)
    if types.is_datetime64_any_dtype(cells):
        return FoundColumn(reading=ColumnReading(kind=DATE))
    if types.is_numeric_dtype(cells) or types.is_timedelta64_dtype(cells):
        return FoundColumn(reading=ColumnReading(kind=NUMERIC))
    return _categorical(cells, keep=False) if isinstance(cells.dtype, pd.CategoricalDtype) else None


def _dated(cells: pd.Series, values: Sequence[Any], place_of: PlaceOf) -> FoundColumn | None:
    if usual_form([value for value in values[:100] if not is_mark(value)])[0] is None:
        return None
    filled = [value for value in values if not is_mark(value)]
    form, guessed, strange = usual_form(filled)
    if form is None or not filled:
        return None
    none = set(strange)
    dates = [value for value in filled if value not in none]
    remarks = [said_of_dates(dates, form, guessed=guessed)] if form else []
    if strange:
        hit = cells.isin(strange).to_numpy(dtype=bool)
        shown = ", ".join(repr(str(value)) for value in strange[:5]) + (", ..." if len(strange) > 5 else "")
        place = place_of(int(hit.argmax()))
        remarks.append(
            f"it holds dates; {int(hit.sum())} cells ({shown}, first in {place}) are no dates, and taken for missing"
        )
    return FoundColumn(reading=ColumnReading(kind=DATE, date_form=form), remarks=remarks)


def _written(cells: pd.Series, values: Sequence[Any], decimal: str | None, place_of: PlaceOf) -> FoundColumn | None:
    """What a column of numbers as objects or as text holds; None where it holds no numbers."""
    types_there = set(map(type, values))
    if types_there & {bool, np.bool_}:
        return None
    texts = list(values) if types_there == {str} else [value for value in values if isinstance(value, str)]
    if not texts:
        numbers = all(isinstance(value, Real | Decimal) for value in values)
        return FoundColumn(reading=ColumnReading(kind=NUMERIC)) if numbers else None
    odd = [texts[place] for place in np.flatnonzero(np.isnan(plain_numbers(texts)))]
    marks = [text for text in odd if is_mark(text, number=True)]
    strange = [text for text in odd if not is_mark(text, number=True)]
    if len(marks) == len(texts) or any(map(_CODE.match, texts)):
        return None
    form, doubtful, unusual = PLAIN, "", []
    if strange or decimal == ",":
        gone = set(marks)
        filled = [text for text in texts if text not in gone]
        other, guessed = number_form(filled, decimal=decimal)
        if other is not None:
            form = other
            numbers = form.numbers(filled)
            bad = np.isnan(np.fmax(numbers, plain_numbers(filled)) if form == PLAIN else numbers)
            first = strange[:20]
            unusual = [text for text, out in zip(filled, bad, strict=True) if not out and text in first]
            strange = [text for text, out in zip(filled, bad, strict=True) if out]
            read = [text for text, out in zip(filled, bad, strict=True) if not out]
            doubtful = next(text for mark in ",." for text in read if mark in text) if guessed else ""
    elif number_form(texts[:1000])[1] and number_form(texts)[1]:
        doubtful = next(text for text in texts if "." in text)
    if 10 * len(strange) > len(texts) - len(marks):
        return None
    found = FoundColumn(reading=ColumnReading(kind=NUMERIC, form=form), doubtful=doubtful)
    if form == PLAIN and unusual:
        found.remarks.append(f"{unusual[0]!r} is read as {form.numbers(unusual[:1])[0]:g}")
    found.remarks += _said_of_numbers(cells, form, marks=marks, strange=strange, place_of=place_of)
    return found


def _said_of_numbers(
    cells: pd.Series, form: NumberForm, *, marks: Sequence[str], strange: Sequence[str], place_of: PlaceOf
) -> list[str]:
    remarks = []
    if form != PLAIN:
        written = (value for value in cells.dropna() if isinstance(value, str))
        example = next(value for value in written if not np.isnan(form.numbers([value])[0]))
        remarks.append(f"its numbers are written with {form}: {example!r} is read as {form.numbers([example])[0]:g}")
    for texts, what in ((marks, "taken for missing"), (strange, "no numbers, and taken for missing")):
        texts = [text for text in texts if text.strip()]
        if texts:
            hit = cells.isin(texts).to_numpy(dtype=bool)
            shown = ", ".join(map(repr, texts[:5])) + (", ..." if len(texts) > 5 else "")
            place = place_of(int(hit.argmax()))
            remarks.append(f"it holds numbers; {int(hit.sum())} cells ({shown}, first in {place}) are {what}")
    return remarks


def _categorical(cells: pd.Series, *, keep: bool) -> FoundColumn:
    codes, values = distinct_values(cells)
    counts = np.bincount(codes[codes >= 0], minlength=len(values)).tolist()
    plus = any(str(value).strip() == "+" for value in values)
    gone = [is_mark(value) and not (plus and value.strip() == "-") for value in values]
    marks: Counter[str] = Counter()
    spellings: Counter[str] = Counter()
    for value, count, out in zip(values, counts, gone, strict=True):
        if count:
            (marks if out else spellings)[category_text(value)] += count
    free = not keep and len(spellings) > max(50, len(cells) // 2) and not isinstance(cells.dtype, pd.CategoricalDtype)
    if free:
        reason = f"text with {len(spellings)} different values in {len(cells)} rows"
        return FoundColumn(reason=f"{reason} (--text learns from free text)")
    names, several = merged(list(spellings), list(spellings.values()))
    several = [group for group in several if {text.casefold() for text in group} - {"true", "false"}]
    remarks = [
        f"{', '.join(map(repr, group))} are taken for one category, written in several ways" for group in several[:5]
    ]
    if len(several) > 5:
        remarks.append(f"the like for {len(several) - 5} more")
    missing_as = marks.most_common(1)[0][0] if marks and not (codes < 0).any() else MISSING
    if not missing_as.strip():
        missing_as = MISSING
    written = [mark for mark in marks if mark.strip()]
    if len(written) + int((codes < 0).any() or len(written) < len(marks)) > 1:
        shown = ", ".join(map(repr, written[:5]))
        remarks.append(f"{shown} {'is' if len(written) == 1 else 'are'} taken for missing, as empty cells")
    return FoundColumn(
        reading=ColumnReading(kind=CATEGORICAL, categories=tuple(names), missing_as=missing_as), remarks=remarks
    )


def _measured(reading: ColumnReading, cells: ReadCells) -> ColumnReading:
    """The same reading, with what the column held in training."""
    count = len(cells.values)
    missing = float((cells.missing | cells.strange).sum()) / count
    if reading.kind == CATEGORICAL:
        _, counts = np.unique(pd.factorize(cells.values)[0], return_counts=True)
        return replace(reading, missing=missing, rare=float((counts == 1).sum()) / count)
    numbers = cells.values[~np.isnan(cells.values)]
    if not len(numbers):
        return replace(reading, missing=missing)
    low, high = float(numbers.min()), float(numbers.max())
    first, third = np.percentile(numbers, [25, 75])
    binary = reading.kind == NUMERIC and bool(np.isin(numbers, (0.0, 1.0)).all())
    return replace(reading, missing=missing, low=low, high=high, spread=float(third - first), truth=binary)


def _lose_digits(cells: pd.Series, numbers: NDArray[np.float64]) -> bool:
    """Whether many different whole numbers, from 2^53 on, become one."""
    large = np.abs(numbers) >= _NOT_WHOLE
    if not large.any():
        return False
    texts = {str(value).strip() for value in cells[large].unique()}
    whole = {int(text) for text in texts if _INTEGER.fullmatch(text)}
    lost = len(whole) - len({float(number) for number in whole})
    return lost > max(_FEW_COLLIDED, _COLLIDED * len(whole))


def named_columns(frame: pd.DataFrame, place: str) -> dict[str, pd.Series]:
    """The columns by their names as text.

    Args:
        frame: the table.
        place: how messages name it.

    Raises:
        DataError: two have one name, or one a name that pandas confuses with another.

    Example:
        >>> list(named_columns(pd.DataFrame({0: [1], "b": [2]}), "it"))
        ['0', 'b']
    """
    columns = {str(name): frame.iloc[:, position] for position, name in enumerate(frame.columns)}
    if len(columns) < frame.shape[1]:
        twice, count = Counter(map(str, frame.columns)).most_common(1)[0]
        raise DataError(f"{place} has {count} columns named {twice!r}: rename all but one")
    if unusable := [name for name in columns if "\0" in name]:  # pandas confuses such a name with the empty one
        raise DataError(f"{place} has a column named {unusable[0]!r}, with a NUL character: rename it")
    return columns


def example_of(cells: pd.Series) -> Any:
    """The first cell that holds something, as text; "" where none does.

    Example:
        >>> example_of(pd.Series([None, 2.5]))
        '2.5'
    """
    filled = cells.dropna()
    return str(filled.iloc[0])[:80] if len(filled) else ""
