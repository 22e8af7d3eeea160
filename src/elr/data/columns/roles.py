"""Columns that are no features: counters of the rows, and the label under another name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from shlex import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.columns.reading import DATE, NUMERIC, ColumnReading, ReadCells

_LEAST = 20  # rows: fewer are too few to tell a counter or a copy by what it does
_LEAST_DATES = 50
_FILLED = 0.9  # of the numbers between the first and the last of a counter
_UNNAMED = re.compile(r"Unnamed: \d+|__index_level_\d+__|")
_NAMED = re.compile(r"(.*[^a-z])?(id|idx|index|uid|row|rows|nr|no|num|number|key|seq|count|counter|record)(\W|_|\d)*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def counter(name: str, reading: ColumnReading, cells: ReadCells) -> tuple[str, str]:
    """Why a column counts rows ("" if it does not), and what to say where that is not certain.

    Whole numbers that are all different and follow each other, in whatever order; whole numbers that are all
    different in a column that is named as an id; dates that rise from row to row.

    Args:
        name: of the column.
        reading: how it is read.
        cells: as they were read.

    Example:
        >>> reading = ColumnReading(kind="numeric")
        >>> counter("Id", reading, reading.read(pd.Series(range(5, 45)), place="it"))
        ('it numbers the rows', '')
        >>> counter("age", reading, reading.read(pd.Series([5, 5, 6] * 9), place="it"))
        ('', '')
    """
    unnamed = bool(_UNNAMED.fullmatch(name.strip()))
    count = len(cells.values)
    if reading.kind not in (NUMERIC, DATE) or cells.missing.any() or cells.strange.any() or count < 2:
        return "", ""
    numbers = cells.values
    steps = np.diff(numbers)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    if reading.kind == DATE:
        if count < _LEAST_DATES or not (in_order or _even(numbers)):
            return "", ""
        return "its dates are all different and rise or fall from row to row", ""
    if (
        not (numbers[:100] == np.floor(numbers[:100])).all()
        or not (numbers == np.floor(numbers)).all()
        or len(np.unique(numbers)) < count
    ):
        return "", ""
    filled = count / (numbers.max() - numbers.min() + 1)
    if (filled == 1 and (unnamed or count >= _LEAST)) or (filled >= _FILLED and count >= _LEAST):
        return "it numbers the rows", ""
    if count < _LEAST:
        return "", ""
    words = _CAMEL.sub("_", name).casefold()
    if unnamed or _NAMED.fullmatch(words):
        return "it is named as a number of the rows and is different in each", ""
    return "", "it rises or falls with every row, as a counter does: --ignore leaves it out" if in_order else ""


def _even(numbers: NDArray[np.float64]) -> bool:
    """Whether all numbers are different and at equal distances, in any order."""
    steps = np.diff(np.sort(numbers))
    return bool(steps[0] > 0 and np.allclose(steps, steps[0]))


def echoes(columns: Mapping[str, ReadCells], labels: Sequence[object]) -> dict[str, str]:
    """The columns that are the label under another name, each with why; groups of indicators of the classes count.

    A column is one if each of its values goes with one class and each class with one value, in all but a few rows.

    Args:
        columns: as read.
        labels: given labels.

    Example:
        >>> text = ColumnReading(kind="categorical").read(pd.Series(["good", "bad"] * 20), place="it")
        >>> list(echoes({"verdict": text}, [1, 0] * 20))
        ['verdict']
    """
    found = {}
    part = _indicators(columns, labels)
    classes, sizes = _classes(labels)
    for name, cells in columns.items():
        there = ~cells.missing
        if there.sum() < max(_LEAST, len(there) / 2):  # gaps do not hide a copy of the label
            continue
        codes = _few_values(cells.values[there], most=len(sizes) + _allowed(len(labels)))
        wrong = None if codes is None else _disagreements(codes, classes[there])
        if wrong is not None:
            filled = "" if there.all() else f" of the {int(there.sum())} that have a value"
            found[name] = f"it says the label in other words, {_rows(wrong)}{filled}"
    if part and len({number for number, _ in part.values()}) >= len(sizes) - 1:
        for name in part:
            found.setdefault(name, "with others of its kind it says the label, each of them one class")
    return found


def part_echoes(columns: Mapping[str, ReadCells], labels: Sequence[object]) -> dict[str, str]:
    """The columns that say of one class among several whether the label is it, each with what to say.

    They may have been made from the label, and may be features: milk is given by all mammals and nobody else.

    Args:
        columns: as read.
        labels: given labels.

    Example:
        >>> cells = ColumnReading(kind="numeric").read(pd.Series([1, 0, 0] * 10), place="it")
        >>> part_echoes({"a": cells}, ["cat", "dog", "cow"] * 10)["a"]
        "it says in every row whether the label is 'cat': if it was made from the label, --ignore a leaves it out"
    """
    names = pd.factorize(pd.Series(list(map(str, labels))))[1]
    return {
        name: f"it says {_rows(wrong)} whether the label is {names[number]!r}: if it was made from the label, "
        f"--ignore {quote(name)} leaves it out"
        for name, (number, wrong) in _indicators(columns, labels).items()
    }


def _rows(wrong: int) -> str:
    return f"in all but {wrong} rows" if wrong else "in every row"


def _classes(labels: Sequence[object]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels as numbers, and how many rows each class has."""
    classes = np.asarray(pd.factorize(pd.Series(list(map(str, labels))))[0])
    return classes, np.bincount(classes)


def _indicators(columns: Mapping[str, ReadCells], labels: Sequence[object]) -> dict[str, tuple[int, int]]:
    """The columns of two values that tell one of more classes, each with its number and the rows that disagree."""
    found = {}
    classes, sizes = _classes(labels)
    if len(labels) < _LEAST or len(sizes) < 3:
        return {}
    for name, cells in columns.items():
        codes = _few_values(cells.values, most=2)
        if codes is None:
            continue
        for number in range(len(sizes)):
            wrong = _disagreements(codes, (classes == number).astype(np.int64))
            if wrong is not None:
                found[name] = (number, wrong)
    return found


def _allowed(count: int) -> int:
    """Rows that may disagree in a copy of the label."""
    return min(max(2, count // 100), count // 50)


def _few_values(cells: NDArray, *, most: int) -> NDArray[np.int64] | None:
    """The values of a column as small numbers; None where they are too many or too few to be classes."""
    head = pd.factorize(cells[:1000], use_na_sentinel=False)[1]
    if len(head) > most:
        return None
    codes, values = pd.factorize(cells, use_na_sentinel=False)
    return np.asarray(codes, dtype=np.int64) if 2 <= len(values) <= most else None


def _disagreements(codes: NDArray[np.int64], classes: NDArray[np.int64]) -> int | None:
    """Rows in which a column is not the class under another name; None where it is no copy of the classes."""
    table = np.zeros((codes.max() + 1, classes.max() + 1), dtype=np.int64)
    np.add.at(table, (codes, classes), 1)
    if len(table) < table.shape[1]:
        return None
    partner = table.argmax(axis=0)
    both = table[partner, np.arange(table.shape[1])]
    if len(set(partner.tolist())) < len(partner):
        return None
    largest = np.maximum(table.sum(axis=0), table.sum(axis=1)[partner])
    wrong = int(len(codes) - both.sum())
    return wrong if wrong <= _allowed(len(codes)) and (both >= 0.9 * largest).all() else None
