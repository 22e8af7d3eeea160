"""The numbers of the table: each method on each column, marks of the best, differences to a named method."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from elr.errors import ArgumentError
from elr.runs.bench.cell import FAILED
from elr.runs.bench.show.results import Column, Results
from elr.runs.bench.show.statistics import Difference, Spread, paired_differences

SECONDS, PEAK_MEMORY = "seconds", "peak_memory_bytes"
BEST, CLOSE = "best", "close"
"""Marks: the best of its column; not significantly worse."""
ENOUGH = 3
"""Seeds that `CLOSE` takes: two pairs have so wide an interval that nearly everything would be close."""
_TIE = 1e-12
_MORE = ("accuracy", "precision", "recall", "agreement", "fraction_correct")
_LESS = ("fraction_memorized", "fraction_incorrect", "loss", "error", SECONDS, PEAK_MEMORY)

Values = Mapping[str, Mapping[int, float]]
"""By measure, then by seed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method on a column.

    Args:
        method: the row.
        column: data, noise, rate.
        expected: how many seeds its column has; a method that the grid runs on fewer lacks the others too.
        done: how many have finished.
        failed: how many have failed.
        spreads: over the finished seeds, by measure, seconds and peak memory included; none of what has no value.
        mark: `BEST`, `CLOSE` or "".
        difference: of the measure to the named method; None where no method is named, or it is this one.

    Example:
        >>> entry = Entry(method="elr", column=("digits", "symmetric", 0.4), expected=5, done=3, failed=1,
        ...     spreads={"test_accuracy_last": Spread(0.9, 0.01, 3)})
        >>> entry.complete("test_accuracy_last"), entry.complete("average_precision")
        (False, False)
    """

    method: str
    column: Column
    expected: int
    done: int
    failed: int
    spreads: Mapping[str, Spread]
    mark: str = ""
    difference: Difference | None = None

    def complete(self, measure: str) -> bool:
        """Whether the measure has a value for every seed of the column."""
        spread = self.spreads.get(measure)
        return spread is not None and spread.count == self.expected


@dataclass(frozen=True, kw_only=True)
class Overall:
    """How a method differs from the named one over the columns.

    Args:
        difference: of the mean differences of the columns; each column counts once, however many seeds it has.
        better: columns where the mean difference speaks for it.
        worse: where it speaks against it.
        equal: where it is 0.

    Example:
        >>> overall = Overall.of([0.1, 0.2, 0.0, -0.1], direction=1)
        >>> overall.better, overall.worse, overall.equal, overall.difference.count
        (2, 1, 1, 4)
    """

    difference: Difference
    better: int
    worse: int
    equal: int

    @classmethod
    def of(cls, means: Sequence[float], *, direction: int) -> Overall:
        """From the mean difference of each column; `direction` is -1 where less is better."""
        better = sum(direction * mean > _TIE for mean in means)
        worse = sum(direction * mean < -_TIE for mean in means)
        return cls(difference=Difference.of(means), better=better, worse=worse, equal=len(means) - better - worse)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All numbers of the table.

    Args:
        measure: what methods are compared by.
        against: the method that the differences are to; None without them.
        methods: the rows, in order.
        columns: the columns, in order.
        entries: by method and column; none where the bench does not run the method on the column.
        overall: by method, over all columns; empty without `against`.

    Example:
        >>> Summary(measure="test_accuracy_last", against=None, methods=["elr"], columns=[], entries={}).overall
        {}
    """

    measure: str
    against: str | None
    methods: Sequence[str]
    columns: Sequence[Column]
    entries: Mapping[tuple[str, Column], Entry]
    overall: Mapping[str, Overall] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "overall", dict(self.overall or {}))


def better(measure: str) -> int:
    """1 where more of a measure is better, -1 where less is, 0 where nothing says.

    Example:
        >>> better("test_accuracy_last"), better("fraction_memorized"), better("noise_rate_realized")
        (1, -1, 0)
    """
    if any(word in measure for word in _LESS):
        return -1
    return int(any(word in measure for word in _MORE))


def summarize(found: Results, *, measure: str = "test_accuracy_last", against: str | None = None) -> Summary:
    """The numbers of the table.

    Best of a column are, among the methods with a value for every seed of the column, those with the best mean; close
    are those whose paired difference to the best has a 95 % interval that holds 0, with three seeds or more. Fewer than
    two such methods, or a measure of which nobody says whether more is better: no mark.

    Args:
        found: what the bench has.
        measure: what methods are compared by.
        against: the method that the differences are to: pairs are finished cells with the same data, noise, rate and
            seed.

    Raises:
        ArgumentError: no such measure or method.

    Example:
        >>> from elr.runs.bench.cell import DONE, Cell, CellResult
        >>> scores = {"elr": (0.75, 0.875), "cross_entropy": (0.5, 0.5)}
        >>> results = [
        ...     CellResult(cell=Cell(data="d", noise="symmetric", rate=0.4, method=name, uses=name, seed=seed),
        ...         status=DONE, measures={"test_accuracy_last": score}, seconds=1.0)
        ...     for name, pair in scores.items() for seed, score in enumerate(pair)]
        >>> found = Results(cells=[result.cell for result in results], results=results)
        >>> summary = summarize(found, against="cross_entropy")
        >>> entry = summary.entries["elr", ("d", "symmetric", 0.4)]
        >>> entry.mark, entry.spreads["test_accuracy_last"].mean, entry.difference.mean, entry.difference.count
        ('best', 0.8125, 0.3125, 2)
    """
    values = _values(found)
    _check_names(found, values, measure, against)
    entries = {}
    for column in found.columns:
        expected = len(_seeds(found, column))
        for method in found.methods:
            if found.seeds(method, column):
                own = values.get((method, column), {})
                entries[method, column] = _entry(found, method, column, expected=expected, values=own)
    for column in found.columns:
        for method, mark in _marks(found, column, values, measure).items():
            entries[method, column] = replace(entries[method, column], mark=mark)
    differences = {} if against is None else _differences(found, values, measure, against)
    for key, difference in differences.items():
        if key in entries:
            entries[key] = replace(entries[key], difference=difference)
    return Summary(
        measure=measure,
        against=against,
        methods=found.methods,
        columns=found.columns,
        entries=entries,
        overall=_overall(found.methods, differences, measure),
    )


def _values(found: Results) -> dict[tuple[str, Column], dict[str, dict[int, float]]]:
    """Of the finished cells, the finite values of every measure."""
    values: dict[tuple[str, Column], dict[str, dict[int, float]]] = {}
    for result in found.done:
        measures = {**result.measures, SECONDS: result.seconds, PEAK_MEMORY: result.peak_memory_bytes}
        own = values.setdefault((result.cell.method, result.cell.column), {})
        for name, value in measures.items():
            if value is not None and math.isfinite(value):
                own.setdefault(name, {})[result.cell.seed] = float(value)
    return values


def _check_names(
    found: Results, values: Mapping[tuple[str, Column], Values], measure: str, against: str | None
) -> None:
    known = list(dict.fromkeys(name for own in values.values() for name in own))
    if measure not in known:
        raise ArgumentError(f"no finished cell has the measure {measure!r}: {_near(measure, known)}")
    if against is not None and against not in found.methods:
        raise ArgumentError(f"the bench has no method {against!r} to compare with: {_near(against, found.methods)}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{guess}there are {', '.join(known)}"


def _seeds(found: Results, column: Column) -> set[int]:
    """Of a column, those of all methods."""
    return {cell.seed for cell in found.cells if cell.column == column}


def _entry(found: Results, method: str, column: Column, *, expected: int, values: Values) -> Entry:
    own = [result for result in found.results if (result.cell.method, result.cell.column) == (method, column)]
    failed = sum(result.status == FAILED for result in own)
    spreads = {name: spread for name, by_seed in values.items() if (spread := Spread.of(by_seed.values()))}
    return Entry(
        method=method, column=column, expected=expected, done=len(own) - failed, failed=failed, spreads=spreads
    )


def _marks(found: Results, column: Column, values: Mapping[tuple[str, Column], Values], measure: str) -> dict[str, str]:
    """The marks of a column, among the methods with a value for all its seeds."""
    seeds = _seeds(found, column)
    scores = {method: values.get((method, column), {}).get(measure, {}) for method in found.methods}
    whole = {method: by_seed for method, by_seed in scores.items() if seeds and set(by_seed) == seeds}
    direction = better(measure)
    if len(whole) < 2 or not direction:
        return {}
    means = {method: direction * sum(by_seed.values()) / len(seeds) for method, by_seed in whole.items()}
    top = max(means, key=lambda method: means[method])
    marks = {}
    for method, by_seed in whole.items():
        difference = Difference.of(paired_differences(by_seed, whole[top]))
        if means[top] - means[method] <= _TIE:
            marks[method] = BEST
        elif difference.low is not None and len(seeds) >= ENOUGH and not difference.interval_excludes_zero:
            marks[method] = CLOSE
    return marks


def _differences(
    found: Results, values: Mapping[tuple[str, Column], Values], measure: str, against: str
) -> dict[tuple[str, Column], Difference]:
    """To the named method, by method and column."""
    differences = {}
    for column in found.columns:
        theirs = values.get((against, column), {}).get(measure, {})
        for method in found.methods:
            if method != against and found.seeds(method, column):
                ours = values.get((method, column), {}).get(measure, {})
                differences[method, column] = Difference.of(paired_differences(ours, theirs))
    return differences


def _overall(
    methods: Sequence[str], differences: Mapping[tuple[str, Column], Difference], measure: str
) -> dict[str, Overall]:
    """Over the columns, by method."""
    direction = better(measure) or 1
    return {
        method: Overall.of(
            [each.mean for (name, _), each in differences.items() if name == method and each.count],
            direction=direction,
        )
        for method in methods
        if any(name == method for name, _ in differences)
    }
