"""Pictures of a bench: accuracy against noise rate, accuracy against seconds; matplotlib, no display."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from elr.files import writing
from elr.runs.bench.show.layout import title_of
from elr.runs.bench.show.remarks import column_name, not_comparable
from elr.runs.bench.show.results import Column, Results
from elr.runs.bench.show.statistics import Spread
from elr.runs.bench.show.summary import SECONDS, Entry, Summary
from elr.theory.figures import panels, save

_COLORS = (  # told apart by people who see few colors, with the markers
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a6a00", "#56b4e9", "#8c2d04"),
    *("#6a3d9a", "#1b1b1b", "#e69f00"),
)
_MARKERS = "osD^vP*X<"  # one fewer than colors: a pair of both comes again after 90 methods
_DASHES = ("-", "--", "-.", ":")
_SIZE = (4.6, 3.6)  # inches of a panel
_ACROSS = 3  # panels in a row
_LETTERS = 7.0  # points, of labels in a panel
_SPREAD = 0.12  # of the distance between rates, over which the methods are moved aside of each other
_ENDINGS = (".svg", ".png")
_SOME_SEEDS = "_some seeds"  # label of hollow points; the underscore keeps them out of the legend


def draw(found: Results, summary: Summary, folder: Path) -> tuple[Path, ...]:
    """Write both pictures of every data set, as .svg and .png.

    Args:
        found: what the bench has.
        summary: its numbers; the measure is what is drawn, the method that differences are to is drawn bold.
        folder: made if missing; pictures of the same names are replaced.

    Returns:
        The files.

    Raises:
        OutputError: one cannot be written.

    Example:
        >>> import tempfile
        >>> column = ("digits", "symmetric", 0.4)
        >>> entry = Entry(method="elr", column=column, expected=2, done=2, failed=0,
        ...     spreads={"accuracy": Spread(0.9, 0.01, 2), "seconds": Spread(3.0, 0.1, 2)})
        >>> summary = Summary(measure="accuracy", against=None, methods=["elr"], columns=[column],
        ...     entries={("elr", column): entry})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in draw(Results(cells=[], results=[]), summary, Path(folder)))[:2]
        ['digits-noise-rate.png', 'digits-noise-rate.svg']
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    mixed = not_comparable(found.done)
    written = []
    for data, name in _file_names(summary).items():
        figures = {"noise-rate": rate_figure(summary, data), "seconds": seconds_figure(summary, data, mixed=mixed)}
        for kind, figure in figures.items():
            written += [save(figure, folder / f"{name}-{kind}{ending}") for ending in _ENDINGS]
    return tuple(written)


def _file_names(summary: Summary) -> dict[str, str]:
    """The beginning of the names of files, by data set; numbered where two would have the same."""
    names: dict[str, str] = {}
    for data in dict.fromkeys(column[0] for column in summary.columns):
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", data).strip(".-") or "data"
        taken = {name.lower() for name in names.values()}
        free = (safe, *(f"{safe}-{number}" for number in range(2, len(names) + 2)))
        names[data] = next(name for name in free if name.lower() not in taken)
    return names


def rate_figure(summary: Summary, data: str) -> Figure:
    """The measure against the noise rate, a panel for each kind of noise, error bars of one standard deviation.

    Labels as they are count as a rate of 0 beside each kind of noise. Sets of human labels have a place each. Methods
    are moved aside of each other by a little, so that bars do not hide one another. Hollow: some seeds are missing.

    Args:
        summary: the numbers.
        data: which set.

    Example:
        >>> columns = [("digits", "symmetric", rate) for rate in (0.2, 0.4)]
        >>> summary = Summary(measure="accuracy", against=None, methods=["elr"], columns=columns, entries={
        ...     ("elr", column): Entry(method="elr", column=column, expected=2, done=2, failed=0,
        ...         spreads={"accuracy": Spread(0.9 - column[2] / 10, 0.01, 2)}) for column in columns})
        >>> figure = rate_figure(summary, "digits")
        >>> figure.axes[0].get_title(), figure.axes[0].lines[0].get_ydata().round(3).tolist()
        ('digits, symmetric', [0.88, 0.86])
    """
    kinds = _kinds(summary, data)
    figure, axes = _panels(len(kinds))
    for each, (noise, columns) in zip(axes, kinds.items(), strict=True):
        places = _places(columns)
        step = min(np.diff(sorted(places.values())), default=1.0)
        ends: dict[str, tuple[float, float]] = {}
        for method in summary.methods:
            points = [
                (place + _aside(summary, method) * step, entry)
                for column, place in places.items()
                if (entry := summary.entries.get((method, column))) and summary.measure in entry.spreads
            ]
            if points:
                ends[method] = _rate_line(each, summary, method, points)
        _name_rates(each, places, noise)
        each.set_title(_without_math(data if noise == "none" else f"{data}, {noise}"), fontsize=10)
        _end_labels(each, summary, ends)
    _finish(figure, axes, summary)
    return figure


def _kinds(summary: Summary, data: str) -> dict[str, list[Column]]:
    """The columns of a data set by kind of noise; labels as they are belong to every kind with rates."""
    columns = [column for column in summary.columns if column[0] == data]
    bare = [column for column in columns if column[2] is None and column[1] == "none"]
    kinds: dict[str, list[Column]] = {}
    for column in columns:
        if column not in bare:
            kinds.setdefault(column[1], []).append(column)
    if not kinds:
        return {"none": bare}
    with_bare = {
        noise: own if any(not _is_number(column[2]) or column[2] == 0 for column in own) else [*bare, *own]
        for noise, own in kinds.items()
    }
    return with_bare if any(set(bare) <= set(own) for own in with_bare.values()) else {"none": bare, **with_bare}


def _is_number(rate: float | str | None) -> bool:
    return isinstance(rate, int | float)


def _places(columns: Sequence[Column]) -> dict[Column, float]:
    """Where each stands on the horizontal axis: at its rate, or one beside the other where rates are names."""
    if any(isinstance(rate, str) for _, _, rate in columns):
        return {column: float(place) for place, column in enumerate(columns)}
    return dict(sorted(((column, float(column[2] or 0.0)) for column in columns), key=lambda pair: pair[1]))


def _name_rates(axes: Axes, places: Mapping[Column, float], noise: str) -> None:
    named = any(isinstance(rate, str) for _, _, rate in places)
    axes.set_xticks(list(places.values()), [str(rate) if named else f"{rate or 0:g}" for _, _, rate in places])
    axes.set_xlabel("labels" if named or noise == "none" else "noise rate", fontsize=8)


def _aside(summary: Summary, method: str) -> float:
    """How far a method is moved aside, as a share of the distance between rates."""
    count = len(summary.methods)
    return _SPREAD * (summary.methods.index(method) / (count - 1) - 0.5) if count > 1 else 0.0


def _rate_line(axes: Axes, summary: Summary, method: str, points: Sequence[tuple[float, Entry]]) -> tuple[float, float]:
    """The line of a method, its last point."""
    spreads = [entry.spreads[summary.measure] for _, entry in points]
    x, y = [place for place, _ in points], [spread.mean for spread in spreads]
    style = _style(summary, method)
    axes.plot(x, y, label=method, **style)
    _bars(axes, x, y, style, y_spread=spreads)
    _hollow(
        axes, [(place, spread.mean, entry) for (place, entry), spread in zip(points, spreads, strict=True)], summary
    )
    return x[-1], y[-1]


def _style(summary: Summary, method: str) -> dict[str, Any]:
    """Color, marker and dashes of a method, the same in every picture of the bench."""
    number = list(summary.methods).index(method)
    bold = method == summary.against
    return {
        "color": _COLORS[number % len(_COLORS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _DASHES[number // len(_COLORS) % len(_DASHES)],
        "linewidth": 2.6 if bold else 1.2,
        "markersize": 6.5 if bold else 4.5,
        "zorder": 4 if bold else 3,
    }


def _bars(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    style: Mapping[str, Any],
    *,
    y_spread: Sequence[Spread],
    x_spread: Sequence[Spread] | None = None,
) -> None:
    """Bars of a standard deviation to each side; none of a single value."""
    low, high = _ends(y_spread)
    axes.vlines(x, low, high, color=style["color"], linewidth=0.8, alpha=0.7, zorder=2)
    if x_spread is not None:
        low, high = _ends(x_spread)
        low = [max(end, spread.mean / 10) for end, spread in zip(low, x_spread, strict=True)]  # of a logarithmic axis
        axes.hlines(y, low, high, color=style["color"], linewidth=0.8, alpha=0.7, zorder=2)


def _ends(spreads: Sequence[Spread]) -> tuple[list[float], list[float]]:
    halves = [(spread.mean, spread.std or 0.0) for spread in spreads]
    return [mean - half for mean, half in halves], [mean + half for mean, half in halves]


def _hollow(axes: Axes, points: Sequence[tuple[float, float, Entry]], summary: Summary) -> None:
    """White inside for means over some of the seeds alone."""
    for x, y, entry in points:
        if not entry.complete(summary.measure):
            style = _style(summary, entry.method) | {"linestyle": "", "zorder": 5}
            axes.plot([x], [y], mfc="white", label=_SOME_SEEDS, **style)


def _end_labels(axes: Axes, summary: Summary, ends: Mapping[str, tuple[float, float]]) -> None:
    """The names of the methods right of their lines, moved up or down so that none hides another."""
    if not ends:
        return
    axes.margins(y=0.08)
    low, high = axes.get_ylim()
    height = _SIZE[1] * 72 * 0.74  # points of the axes, about
    gap = (high - low) * (_LETTERS * 1.15) / height
    ordered = sorted(ends, key=lambda method: ends[method][1])
    wanted = _apart([ends[method][1] for method in ordered], gap, middle=(low + high) / 2, room=high - low)
    for method, y in zip(ordered, wanted, strict=True):
        style = _style(summary, method)
        axes.annotate(
            _without_math(method),
            xy=ends[method],
            xytext=(1.0, y),
            textcoords=_right_of(axes),
            fontsize=_LETTERS,
            fontweight="bold" if method == summary.against else "normal",
            color=style["color"],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linestyle": ":", "linewidth": 0.6, "shrinkA": 0},
        )


def _right_of(axes: Axes) -> Any:
    """x: a little right of the axes; y: as the data."""
    figure = axes.get_figure()
    assert figure is not None
    return blended_transform_factory(axes.transAxes, axes.transData) + ScaledTranslation(0.1, 0, figure.dpi_scale_trans)


def _apart(values: Sequence[float], gap: float, *, middle: float, room: float) -> list[float]:
    """Ascending values moved as little as need be for a distance of at least `gap`, and into the room where it is."""
    blocks: list[tuple[float, int]] = []  # mean of where its values would begin, how many
    for number, value in enumerate(values):
        start, count = value - number * gap, 1
        while blocks and blocks[-1][0] >= start:
            other, many = blocks.pop()
            start, count = (start * count + other * many) / (count + many), count + many
        blocks.append((start, count))
    starts = [start for start, count in blocks for _ in range(count)]
    placed = [start + number * gap for number, start in enumerate(starts)]
    if placed[-1] - placed[0] > room:
        return [middle + (number - (len(placed) - 1) / 2) * gap for number in range(len(placed))]
    move = max(0.0, middle - room / 2 - placed[0]) - max(0.0, placed[-1] - middle - room / 2)
    return [place + move for place in placed]


def seconds_figure(summary: Summary, data: str, *, mixed: str = "") -> Figure:
    """The measure against seconds of training, a panel for each column, error bars of a standard deviation both ways.

    Args:
        summary: the numbers.
        data: which set.
        mixed: in words, why seconds cannot be compared; said in the picture.

    Example:
        >>> column = ("digits", "symmetric", 0.4)
        >>> spreads = {"accuracy": Spread(0.9, 0.01, 2), "seconds": Spread(3.0, 0.1, 2)}
        >>> summary = Summary(measure="accuracy", against=None, methods=["elr"], columns=[column], entries={
        ...     ("elr", column): Entry(method="elr", column=column, expected=2, done=2, failed=0, spreads=spreads)})
        >>> [axes] = seconds_figure(summary, "digits").axes
        >>> axes.get_xscale(), axes.get_xlabel(), axes.lines[0].get_xdata().tolist()
        ('log', 'seconds of training', [3.0])
    """
    columns = [column for column in summary.columns if column[0] == data]
    figure, axes = _panels(len(columns))
    for each, column in zip(axes, columns, strict=True):
        ends = {}
        for method in summary.methods:
            entry = summary.entries.get((method, column))
            if entry is None or not {SECONDS, summary.measure} <= set(entry.spreads):
                continue
            seconds, score = entry.spreads[SECONDS], entry.spreads[summary.measure]
            style = _style(summary, method)
            each.plot([seconds.mean], [score.mean], label=method, **style)
            _bars(each, [seconds.mean], [score.mean], style, y_spread=[score], x_spread=[seconds])
            _hollow(each, [(seconds.mean, score.mean, entry)], summary)
            ends[method] = seconds.mean, score.mean
        each.set_xscale("log")
        _plain_seconds(each)
        each.set_title(_without_math(f"{data}, {column_name(column)}"), fontsize=10)
        each.set_xlabel("seconds of training" + (" (NOT COMPARABLE)" if mixed else ""), fontsize=8)
        _end_labels(each, summary, ends)
    _finish(figure, axes, summary)
    return figure


def _without_math(text: str) -> str:
    """What is between dollars is a formula to matplotlib, and not in people's names."""
    return text.replace("$", r"\$")


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """So many panels in rows."""
    across = min(count, _ACROSS)
    figure, axes = panels(-(-count // across), across, size=_SIZE)
    for each in axes.flat[count:]:
        each.remove()
    return figure, list(axes.flat[:count])


def _finish(figure: Figure, axes: Sequence[Axes], summary: Summary) -> None:
    """Axis, legend below, and what hollow points are."""
    for each in axes[::_ACROSS]:
        each.set_ylabel(title_of(summary.measure), fontsize=9)
    labeled = [(str(line.get_label()), line) for each in axes for line in each.lines]
    handles = {label: line for label, line in labeled if label != _SOME_SEEDS}
    if any(label == _SOME_SEEDS for label, _ in labeled):
        handles["hollow: some seeds are missing"] = Line2D(
            [], [], marker="o", color="#777777", mfc="white", linestyle=""
        )
    longest = max((len(name) for name in handles), default=0)
    width = figure.get_figwidth() * 72 - 20
    figure.legend(
        list(handles.values()),
        [_without_math(name) for name in handles],
        loc="outside lower center",
        ncols=max(1, min(len(handles), int(width / (0.6 * _LETTERS * longest + 6 * _LETTERS)))),
        fontsize=_LETTERS,
        frameon=False,
        handlelength=3.2,
    )


def _plain_seconds(axes: Axes) -> None:
    """Ticks of a logarithmic axis as plain numbers: powers of ten where the axis is long, 1, 2, 5 where it is short."""
    low, high = axes.get_xlim()
    decades = np.log10(high / low)
    subs = (1.0,) if decades > 4 else (1.0, 2.0, 5.0) if decades > 0.7 else tuple(np.arange(1.0, 10.0))
    if decades <= 0.25:  # too short for any of these
        axes.xaxis.set_major_locator(MaxNLocator(4))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
