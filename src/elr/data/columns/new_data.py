"""Later data read as those of training were, and what in them training did not know."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.columns.categories import category_key, category_text, truth
from elr.data.columns.choice import named_columns
from elr.data.columns.reading import CATEGORICAL, DATE, ColumnReading, PlaceOf, ReadCells, distinct_values, row_place
from elr.data.records import Finding
from elr.errors import DataError

_LOUD = 0.1  # share of the cells of a column that are lost
_ENOUGH = 10  # rows that tell another unit
_NARROW = 0.02
_MOST_ANSWERS = 20  # different values that are looked at
_BOOLEANS = {"true", "false", "1", "0"}


def plain_columns(frame: pd.DataFrame, readings: Mapping[str, ColumnReading], *, name: str) -> pd.DataFrame:
    """The columns to learn from, as float64 (missing: NaN; dates: days since 1970) or names of categories.

    Args:
        frame: new data; their columns may stand in another order, and have names of another case.
        readings: of training.
        name: how messages name the data.

    Raises:
        DataError: a column is missing, holds something else than in training, or is infinite (said where).

    Example:
        >>> readings = {"n": ColumnReading(kind="categorical", categories=("True", "False"))}
        >>> plain_columns(pd.DataFrame({"n": [1, 0, None]}), readings, name="it")["n"].tolist()
        ['True', 'False', '(missing)']
    """
    cells = {column: read.values for column, read in _read(frame, readings, name=name).items()}
    return pd.DataFrame(cells, index=pd.RangeIndex(len(frame)))


def _read(frame: pd.DataFrame, readings: Mapping[str, ColumnReading], *, name: str) -> dict[str, ReadCells]:
    columns, names = named_columns(frame, name), _matched(frame, readings, name)
    return {
        column: reading.read(columns[names[column]], place=f"column {column!r} of {name}")
        for column, reading in readings.items()
    }


def _matched(frame: pd.DataFrame, readings: Mapping[str, ColumnReading], name: str) -> dict[str, str]:
    """The column of new data for each of training: of that name, or the only one that differs by case or blanks."""
    there = list(map(str, frame.columns))
    names = {column: column for column in readings if column in there}
    by_key: dict[str, list[str]] = {}
    for column in there:
        if column not in names:
            by_key.setdefault(category_key(column), []).append(column)
    wanted = [category_key(column) for column in readings]
    for column in readings:
        alike = by_key.get(category_key(column), [])
        if column not in names and len(alike) == 1 and wanted.count(category_key(column)) == 1:
            names[column] = alike[0]
    absent = [column for column in readings if column not in names]
    if absent:
        raise DataError(
            f"{name} lacks {len(absent)} columns that training had: {', '.join(map(repr, absent[:10]))}; add them "
            "(their cells may be empty)"
        )
    return names


def column_findings(
    frame: pd.DataFrame,
    readings: Mapping[str, ColumnReading],
    *,
    name: str,
    known: Collection[str] = (),
    place_of: PlaceOf = row_place,
) -> list[Finding]:
    """What the user should know about new data: one sentence a column where training did not know all that it holds.

    Args:
        frame: new data.
        readings: of training.
        name: how messages name the data.
        known: other columns that training had.
        place_of: what findings call a row.

    Raises:
        DataError: see `plain_columns`.

    Example:
        >>> readings = {"sex": ColumnReading(kind="categorical", categories=("Male", "Female"))}
        >>> (found,) = column_findings(pd.DataFrame({"sex": ["m", "f"] * 3}), readings, name="new.csv")
        >>> found.text, found.loud
        ("column 'sex' of new.csv: none of its values was known in training ('m', 'f'; there 'Male', 'Female')", True)
    """
    names = _matched(frame, readings, name)
    found = [
        Finding(text=f"column {other!r} of {name} is taken for {column!r} of training")
        for column, other in names.items()
        if column != other
    ]
    more = [str(column) for column in frame.columns if str(column) not in {*names.values(), *known}]
    if more:
        shown = ", ".join(map(repr, more[:10])) + (f" and {len(more) - 10} more" if len(more) > 10 else "")
        found.append(Finding(text=f"columns of {name} that training did not have are ignored: {shown}"))
    written = named_columns(frame, name)
    for column, cells in _read(frame, readings, name=name).items():
        said, loud = _compared(readings[column], cells, written[names[column]], place_of)
        if said:
            found.append(Finding(text=f"column {column!r} of {name}: {'; '.join(said)}", loud=loud))
    return found


def _compared(
    reading: ColumnReading, cells: ReadCells, written: pd.Series, place_of: PlaceOf
) -> tuple[list[str], bool]:
    """What is to be said about one column, and whether loudly."""
    count = len(cells.values)
    if not count:
        return [], False
    strange, missing = float(cells.strange.mean()), float(cells.missing.mean())
    newly = max(0.0, missing - reading.missing)
    said, loud = [], strange + newly - reading.rare > _LOUD
    if strange:
        said.append(_strange(reading, cells, written, place_of))
    said += _taken(reading, written)
    if newly > 0.01 or (missing and not reading.missing):
        said.append(f"{missing:.0%} of its cells are missing, in training {reading.missing:.0%}")
    if reading.kind == CATEGORICAL:
        if count >= _ENOUGH and len(pd.unique(cells.values)) == 1 and not (said and loud):
            said.append(f"it says {cells.values[0]!r} in every row")
        return said, loud
    if cells.form != reading.form and not reading.decimal_said:
        said.append(f"its numbers are written with {cells.form}, in training with {reading.form}")
    drift, wrong_unit = _drift(reading, cells)
    return said + drift, loud or wrong_unit


def _taken(reading: ColumnReading, written: pd.Series) -> list[str]:
    """Answers that are the same in other words than those of training, but for true and 1, false and 0."""
    names = list(map(category_text, reading.categories)) if reading.kind == CATEGORICAL else ["1", "0"]
    known = {truth(category_key(name)): name for name in names}
    if set(known) != {True, False} or not (reading.truth or reading.kind == CATEGORICAL) or len(names) > 2:
        return []
    found: dict[str, str] = {}
    for value in distinct_values(written)[1][:_MOST_ANSWERS]:
        key = category_key(value)
        name = known.get(truth(key)) if truth(key) is not None else None
        if name is not None and category_key(name) != key and not {category_key(name), key} <= _BOOLEANS:
            found.setdefault(category_text(value), name)
    return [", ".join(f"{value!r} is taken for {name!r}" for value, name in found.items())] if found else []


def _strange(reading: ColumnReading, cells: ReadCells, written: pd.Series, place_of: PlaceOf) -> str:
    values = pd.unique(written[cells.strange].map(str))
    shown = ", ".join(repr(str(value))[:40] for value in values[:5]) + (", ..." if len(values) > 5 else "")
    if reading.kind != CATEGORICAL:
        what = "dates" if reading.kind == DATE else "numbers"
        place = place_of(int(cells.strange.argmax()))
        return f"{int(cells.strange.sum())} cells are no {what} ({shown}; first in {place}) and count as missing"
    names = ", ".join(map(repr, reading.categories[:5])) + (", ..." if len(reading.categories) > 5 else "")
    if (cells.strange | cells.missing).all():
        return f"none of its values was known in training ({shown}; there {names})"
    return f"{cells.strange.mean():.0%} of its cells hold values that training did not know ({shown}; there {names})"


def _drift(reading: ColumnReading, cells: ReadCells) -> tuple[list[str], bool]:
    """What tells another unit or scale than that of training."""
    numbers = cells.values[~np.isnan(cells.values)]
    width = max(reading.high - reading.low, abs(reading.high))
    far = (numbers < reading.low - width) | (numbers > reading.high + width)
    few = len(numbers) < _ENOUGH
    if not len(numbers) or (few and (reading.kind == DATE or not far.any())):
        return [], False
    out = (numbers < reading.low) | (numbers > reading.high)
    if out.mean() > 0.5 and (far.all() or not few):
        if reading.kind == DATE:
            return [f"{out.mean():.0%} of its dates lie outside those of training"], False
        return [
            f"{out.mean():.0%} of its numbers lie outside those of training: from {numbers.min():g} to "
            f"{numbers.max():g}, in training from {reading.low:g} to {reading.high:g}: is it another unit or scale?"
        ], True
    if reading.kind == DATE:
        return [], False
    said, loud = _outside(reading, numbers, out, far) if out.mean() > _LOUD or far.sum() > 1 or few else ([], False)
    if reading.low == reading.high or few:
        return said, loud
    if numbers.min() == numbers.max() and not said:
        return [f"it is {numbers[0]:g} in every row, in training from {reading.low:g} to {reading.high:g}"], False
    first, third = np.percentile(numbers, [25, 75])
    if third - first < _NARROW * reading.spread and numbers.min() < numbers.max():
        said.append(
            f"half of its numbers lie between {first:g} and {third:g}, {reading.spread:g} apart in training: is it "
            "another unit or scale?"
        )
        loud = True
    return said, loud


def _outside(
    reading: ColumnReading, numbers: NDArray[np.float64], out: NDArray[np.bool_], far: NDArray[np.bool_]
) -> tuple[list[str], bool]:
    """What is said of numbers outside those of training, of which less than half lie there."""
    mostly_far = 2 * far.sum() > out.sum()
    strange, what = (numbers[far], "far outside") if mostly_far else (numbers[out], "outside")
    values = ", ".join(f"{value:g}" for value in pd.unique(strange)[:3])
    said = (
        f"{len(strange)} of its {len(numbers)} numbers lie {what} those of training ({values}; there from "
        f"{reading.low:g} to {reading.high:g})"
    )
    return [said], bool(far.mean() > _LOUD)
