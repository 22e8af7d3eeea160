"""The tables that people see, as texts in rows and columns: one for each data set and thing shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from elr.runs.bench.show.remarks import column_name
from elr.runs.bench.show.statistics import Difference, Spread
from elr.runs.bench.show.summary import PEAK_MEMORY, SECONDS, Entry, Summary

TITLES = {
    "test_accuracy_last": "test accuracy, last epoch",
    "test_accuracy_best": "test accuracy, best epoch",
    "average_precision": "average precision of the ranking of labels",
    SECONDS: "seconds",
    PEAK_MEMORY: "peak memory, bytes",
}
NOTHING = "-"
_LAST, _BEST, _RANKING = "test_accuracy_last", "test_accuracy_best", "average_precision"
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Item:
    """What stands at one place of a table.

    Args:
        text: for people.
        mark: `BEST`, `CLOSE` or "", which each format shows in its own way.

    Example:
        >>> Item("0.9100 ± 0.0020", "best").mark
        'best'
    """

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a title: a row for each method.

    Args:
        title: what it shows.
        head: of each column, without that of the methods.
        body: by method, an item for each column.

    Example:
        >>> table = Table("seconds", ["symmetric 0.2", "symmetric 0.4"], {"elr": [Item("1.0"), Item("1.1")]})
        >>> [part.head for part in table.parts(lambda widths: sum(widths) <= 20, width=len)]
        [['symmetric 0.2'], ['symmetric 0.4']]
    """

    title: str
    head: Sequence[str]
    body: Mapping[str, Sequence[Item]] = field(default_factory=dict)

    def parts(self, fits: Callable[[Sequence[int]], bool], *, width: Callable[[str], int]) -> list[Table]:
        """The same in tables of fewer columns, as many as fit, at least one each.

        Args:
            fits: whether a table of these widths of columns does; that of the methods comes first.
            width: of a text.
        """
        first = max((width(method) for method in self.body), default=0)
        widths = [
            max([width(name), *(width(items[place].text) for items in self.body.values())])
            for place, name in enumerate(self.head)
        ]
        starts, taken = [0], [first]
        for place, each in enumerate(widths):
            if place > starts[-1] and not fits([*taken, each]):
                starts.append(place)
                taken = [first]
            taken.append(each)
        ends = [*starts[1:], len(self.head)]
        return [
            Table(self.title, self.head[start:end], {name: items[start:end] for name, items in self.body.items()})
            for start, end in zip(starts, ends, strict=True)
        ]


def lay_out(summary: Summary) -> list[Table]:
    """The tables of a summary: for each data set the measure, the differences, the ranking, the cost; then over all.

    Args:
        summary: the numbers.

    Example:
        >>> column = ("digits", "symmetric", 0.4)
        >>> entry = Entry(method="elr", column=column, expected=5, done=3, failed=0, mark="best", spreads={
        ...     "test_accuracy_last": Spread(0.9, 0.01, 3), "test_accuracy_best": Spread(0.91, 0.01, 3)})
        >>> summary = Summary(measure="test_accuracy_last", against=None, methods=["elr"], columns=[column],
        ...     entries={("elr", column): entry})
        >>> [table] = lay_out(summary)
        >>> table.title, table.head, table.body["elr"][0].text
        ('digits: test accuracy, last epoch (best epoch)', ['symmetric 0.4'], '0.9000 ± 0.0100 (0.9100) 3/5')
    """
    tables = []
    for data in dict.fromkeys(column[0] for column in summary.columns):
        table = partial(_table, summary, data)
        beside = _BEST if summary.measure == _LAST and _has(summary, data, _BEST) else ""
        title = title_of(summary.measure) + (" (best epoch)" if beside else "")
        tables.append(table(title, partial(_measured, measure=summary.measure, beside=beside, marked=True)))
        if summary.against is not None:
            title = f"difference to {summary.against} in {title_of(summary.measure)} [95 % interval]"
            tables.append(table(title, partial(_difference, against=summary.against)))
        if summary.measure != _RANKING and _has(summary, data, _RANKING):
            tables.append(table(title_of(_RANKING), partial(_measured, measure=_RANKING)))
        if _has(summary, data, SECONDS):
            tables.append(table("seconds of training, peak memory", _cost))
    if summary.overall:
        tables.append(_over_all(summary))
    return tables


def _table(summary: Summary, data: str, title: str, show: Callable[[Entry], Item]) -> Table:
    """A table of a data set, without methods that do not run on it."""
    columns = [column for column in summary.columns if column[0] == data]
    body = {}
    for method in summary.methods:
        entries = [summary.entries.get((method, column)) for column in columns]
        if any(entries):
            body[method] = [Item("") if entry is None else show(entry) for entry in entries]
    return Table(f"{data}: {title}", [column_name(column) for column in columns], body)


def title_of(measure: str) -> str:
    """A measure, for people.

    Example:
        >>> title_of("test_accuracy_last"), title_of("fraction_memorized")
        ('test accuracy, last epoch', 'fraction memorized')
    """
    return TITLES.get(measure, measure.replace("_", " "))


def _has(summary: Summary, data: str, measure: str) -> bool:
    return any(measure in entry.spreads for (_, column), entry in summary.entries.items() if column[0] == data)


def _measured(entry: Entry, measure: str, *, beside: str = "", marked: bool = False) -> Item:
    """Mean and standard deviation, the mean of another measure beside it, how many seeds where some are missing."""
    spread = entry.spreads.get(measure)
    if spread is None:
        return Item(_seeds(entry, 0) if entry.done < entry.expected else NOTHING)
    other = entry.spreads.get(beside)
    text = _mean_and_std(spread) + ("" if other is None else f" ({_number(other.mean)})")
    return Item(" ".join(filter(None, [text, _seeds(entry, spread.count)])), entry.mark if marked else "")


def _seeds(entry: Entry, count: int) -> str:
    return "" if count == entry.expected else f"{count}/{entry.expected}"


def _mean_and_std(spread: Spread) -> str:
    return _number(spread.mean) + ("" if spread.std is None else f" ± {_number(spread.std)}")


def _number(value: float) -> str:
    """Four decimals, as shares have; fewer of large numbers."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def _cost(entry: Entry) -> Item:
    seconds, memory = entry.spreads.get(SECONDS), entry.spreads.get(PEAK_MEMORY)
    if seconds is None:
        return Item(_seeds(entry, 0) or NOTHING)
    text = _seconds(seconds)
    if memory is not None:
        text += f", {memory.mean / _MEBIBYTE:.0f} MiB"
    return Item(" ".join(filter(None, [text, _seeds(entry, seconds.count)])))


def _seconds(spread: Spread) -> str:
    decimals = 2 if spread.mean < 1 else 1 if spread.mean < 1000 else 0
    return f"{spread.mean:.{decimals}f}" + ("" if spread.std is None else f" ± {spread.std:.{decimals}f}") + " s"


def _difference(entry: Entry, against: str | None) -> Item:
    if entry.method == against:
        return Item("reference")
    difference = entry.difference
    if difference is None or not difference.count:
        return Item("no pairs")
    return Item(f"{_signed(difference.mean)} {interval_of(difference)} n={difference.count}")


def interval_of(difference: Difference) -> str:
    """The interval, for people, or why there is none.

    Example:
        >>> interval_of(Difference(0.1, 0.05, 0.15, 5)), interval_of(Difference(0.1, None, None, 1))
        ('[+0.0500, +0.1500]', '(one pair)')
    """
    if difference.low is not None and difference.high is not None:
        return f"[{_signed(difference.low)}, {_signed(difference.high)}]"
    return "(one pair)" if difference.count == 1 else "(all the same)"


def _signed(value: float) -> str:
    text = f"{value:+.4f}" if abs(value) < 10 else f"{value:+.4g}"
    return text.replace("-0.0000", "+0.0000").replace("-", "\N{MINUS SIGN}")


def _over_all(summary: Summary) -> Table:
    """The differences over all columns."""
    body = {}
    for method in summary.methods:
        overall = (summary.overall or {}).get(method)
        if overall is None:
            continue
        difference = overall.difference
        if not difference.count:
            body[method] = [Item("no pairs"), Item(""), Item("0"), Item("")]
            continue
        interval = interval_of(difference).replace("(one pair)", "(one column)")
        counts = f"{overall.better} / {overall.worse} / {overall.equal}"
        body[method] = [Item(_signed(difference.mean)), Item(interval), Item(str(difference.count)), Item(counts)]
    title = f"over all columns: difference to {summary.against} in {title_of(summary.measure)}"
    return Table(title, ["mean", "95 % interval", "columns", "better / worse / equal"], body)
