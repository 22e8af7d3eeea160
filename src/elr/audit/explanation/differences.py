"""In which columns of a table a row is as rows of the suggested class are, and not as rows of the given one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_COLUMNS = 5
_BINS = 10
_CLEAR = math.log(1.5)
_RARE = 0.05  # of a class: what is rarer in both says little


class Difference(NamedTuple):
    """How usual the value of a row is in a column among the rows of two classes.

    Args:
        column: its name.
        value: of the row, as text.
        alike: which values count as alike: the same category, or a range of numbers.
        share_given: of the other rows with the given class, in [0, 1], how many have a value like it.
        share_predicted: the same of the suggested class.

    Example:
        >>> found = Difference("island", "Torgersen", "Torgersen", share_given=0.0, share_predicted=0.34)
        >>> f"{found.column}: {found.share_given:.0%} and {found.share_predicted:.0%}"
        'island: 0% and 34%'
    """

    column: str
    value: str
    alike: str
    share_given: float
    share_predicted: float


def column_differences(
    table: pd.DataFrame,
    labels: NDArray[np.int64],
    predicted_labels: NDArray[np.int64],
    rows: Sequence[int],
    *,
    trusted: NDArray[np.bool_],
    dates: Collection[str] = (),
) -> dict[int, list[Difference]]:
    """For some rows, the columns that speak most for one of two classes, the given and the suggested one.

    A value is held against those like it: the same category, or a tenth of all numbers of the column, by rank. With k
    of n trusted rows of a class like it, s the suggested and g the given class, a column speaks by

        log((k_s + 1/2) / (n_s + 1)) - log((k_g + 1/2) / (n_g + 1))

    each column by itself. Shown are at most `MOST_COLUMNS` with half as much
    again in one class as in the other, and a twentieth of one of them, those that speak most first.

    Args:
        table: N rows, the columns that are learned from: numbers, or categories.
        labels: (N,) the given ones.
        predicted_labels: (N,) what the evidence favors.
        rows: which to look at; those whose label is favored anyway have no differences.
        trusted: (N,) rows that classes are described by: those that are no suspects.
        dates: columns whose numbers are days since 1970.

    Returns:
        Row -> its differences.

    Example:
        >>> table = pd.DataFrame({"wings": ["two", "two", "none", "none", "two"], "hue": ["red"] * 5})
        >>> given, favored = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 0])
        >>> column_differences(table, given, favored, [4], trusted=given == favored)[4]
        [Difference(column='wings', value='two', alike='two', share_given=0.0, share_predicted=1.0)]
    """
    classes = int(max(labels.max(), predicted_labels.max())) + 1
    sizes = np.bincount(labels[trusted], minlength=classes)
    asked = [row for row in rows if labels[row] != predicted_labels[row]]
    found: dict[int, list[tuple[float, Difference]]] = {row: [] for row in asked}
    for name in table.columns:
        column = table[name]
        text = _date if name in dates else _text
        places, alike = _alike(column, text)
        counts = np.zeros((len(alike) + 1, classes), dtype=np.int64)
        np.add.at(counts, (places[trusted], labels[trusted]), 1)
        for row in asked:
            place, given, predicted = places[row], labels[row], predicted_labels[row]
            if place == len(alike):
                continue  # missing: that says nothing of the value
            few, many = counts[place, given], counts[place, predicted]
            speaks = math.log((many + 0.5) / (sizes[predicted] + 1)) - math.log((few + 0.5) / (sizes[given] + 1))
            shares = float(few / max(1, sizes[given])), float(many / max(1, sizes[predicted]))
            if abs(speaks) >= _CLEAR and sizes[given] and sizes[predicted] and max(shares) >= _RARE:
                found[row].append((speaks, Difference(str(name), text(column.iloc[row]), alike[place], *shares)))
    return {
        row: [each for _, each in sorted(all_of, key=lambda pair: -abs(pair[0]))[:MOST_COLUMNS]]
        for row, all_of in found.items()
    }


def _alike(column: pd.Series, text: Callable[[object], str]) -> tuple[NDArray[np.int64], list[str]]:
    """(N,) which values are alike, the last place for those that are missing; what is alike, in words."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        codes, names = pd.factorize(column.astype(object).map(text, na_action="ignore"), use_na_sentinel=True)
        return np.where(codes < 0, len(names), codes).astype(np.int64), [str(name) for name in names]
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), dtype=np.int64), []
    different = np.unique(values[known])
    if len(different) <= _BINS:
        places = np.searchsorted(different, np.where(known, values, different[0]))
        return np.where(known, places, len(different)).astype(np.int64), [text(value) for value in different]
    edges = np.unique(np.quantile(values[known], np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, np.where(known, values, edges[0]), side="right")
    ends = [different[0], *edges, different[-1]]
    alike = [f"{text(low)} to {text(high)}" for low, high in pairwise(ends)]
    return np.where(known, places, len(alike)).astype(np.int64), alike


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _date(days: object) -> str:
    return str(np.datetime64("1970-01-01") + np.timedelta64(int(float(str(days))), "D"))
