"""All numbers of a bench as CSV in long form, for other programs: a line for each method on each column."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from elr.runs.bench.show.summary import Entry, Summary


def as_csv(summary: Summary) -> str:
    """A line for each method on each column, with every measure as plain numbers in full precision.

    Columns: data, noise, rate, method; seeds_expected, seeds_done, seeds_failed; mark; of every measure its mean,
    standard deviation over seeds (empty for a single one) and number of seeds, `<measure>_mean`, `_std`, `_count`; with
    a named method also against, difference_mean, difference_low, difference_high, difference_count. What there is not
    is empty.

    Args:
        summary: the numbers.

    Example:
        >>> from elr.runs.bench.show.statistics import Spread
        >>> column = ("digits", "symmetric", 0.4)
        >>> entry = Entry(method="elr", column=column, expected=3, done=1, failed=0,
        ...     spreads={"test_accuracy_last": Spread(0.9, None, 1)})
        >>> print(as_csv(Summary(measure="test_accuracy_last", against=None, methods=["elr"], columns=[column],
        ...     entries={("elr", column): entry})).replace(",", ", "))  # doctest: +NORMALIZE_WHITESPACE
        data, noise, rate, method, seeds_expected, seeds_done, seeds_failed, mark, test_accuracy_last_mean,
        test_accuracy_last_std, test_accuracy_last_count
        digits, symmetric, 0.4, elr, 3, 1, 0, , 0.9, , 1
    """
    measures = list(dict.fromkeys(name for entry in summary.entries.values() for name in entry.spreads))
    lines = [
        _line(summary.entries[method, column], measures, summary)
        for column in summary.columns
        for method in summary.methods
        if (method, column) in summary.entries
    ]
    written = io.StringIO()
    writer = csv.DictWriter(written, list(lines[0]) if lines else ["data"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return written.getvalue().rstrip("\n")


def _line(entry: Entry, measures: list[str], summary: Summary) -> dict[str, Any]:
    data, noise, rate = entry.column
    line: dict[str, Any] = {"data": data, "noise": noise, "rate": rate, "method": entry.method}
    line |= {"seeds_expected": entry.expected, "seeds_done": entry.done, "seeds_failed": entry.failed}
    line["mark"] = entry.mark
    for name in measures:
        spread = entry.spreads.get(name)
        line[f"{name}_mean"] = None if spread is None else spread.mean
        line[f"{name}_std"] = None if spread is None else spread.std
        line[f"{name}_count"] = 0 if spread is None else spread.count
    if summary.against is not None:
        found = entry.difference
        line["against"] = summary.against
        line["difference_mean"] = None if found is None or math.isnan(found.mean) else found.mean
        line["difference_low"] = None if found is None else found.low
        line["difference_high"] = None if found is None else found.high
        line["difference_count"] = None if found is None else found.count
    return line
