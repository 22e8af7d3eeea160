"""Geometry of a report's figures, and its numbers as people write them; the words are the template's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

EpochRecord: TypeAlias = Mapping[str, float | int | None]
Points: TypeAlias = list[tuple[float, float | None]]

MOST_LISTED = 8
"""Candidates in the table of a choice, the chosen ones among them."""
MAX_EPOCHS_LISTED = 120
"""Rows of a table of epochs, and places on a curve that answer to the pointer."""
BOX = {"width": 424, "height": 250, "left": 46, "right": 284, "top": 12, "bottom": 206}
"""Of a panel, in SVG units."""
RATE = re.compile("accuracy|precision|recall|fraction|agreement|noise_rate")
"""Keys of numbers shown in percent."""
_NBSP = "\N{NO-BREAK SPACE}"
_ON_WRONG = {f"fraction_{word}_on_wrong": word for word in ("correct", "memorized", "incorrect")}
_AGREEMENT = {"agreement_with_given_labels": "given labels", "agreement_with_targets": "targets"}


def number_of(value: object) -> float | None:
    """The value as a finite float; None for all else.

    Example:
        >>> number_of(3), number_of(float("nan")), number_of("3")
        (3.0, None, None)
    """
    number = float(value) if isinstance(value, int | float | np.number) else math.nan
    return number if math.isfinite(number) else None


def percent(rate: float) -> str:
    """A rate in [0, 1] as "39.8 %"; never 0 % or 100 % for a rate that is neither.

    Example:
        >>> [percent(rate).replace("\N{NO-BREAK SPACE}", " ") for rate in (0.398, 0.0001, 0.9999, 1.0)]
        ['39.8 %', '< 0.1 %', '> 99.9 %', '100.0 %']
    """
    if 0 < rate < 0.0005 or 0.9995 <= rate < 1:
        return f"<{_NBSP}0.1{_NBSP}%" if rate < 0.5 else f">{_NBSP}99.9{_NBSP}%"
    return f"{100 * rate:.1f}{_NBSP}%"


def quantity(value: object, key: str = "") -> str:
    """A value as a person writes it: rates (known by their key) in percent, counts with thousands, a dash for none.

    Example:
        >>> quantity(12345), quantity(0.12345), quantity(None), quantity(True)
        ('12,345', '0.1235', '–', 'yes')
    """
    number = number_of(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if number is None:
        return value if isinstance(value, str) else "\N{EN DASH}"
    if RATE.search(key) and 0 <= number <= 1:
        return percent(number)
    whole = isinstance(value, int | np.integer) or abs(number) >= 1000
    return f"{number:,.0f}" if whole else f"{number:.4g}"


def thinned(items: Sequence, limit: int) -> list:
    """At most `limit` items at equal distances, the last one always among them.

    Example:
        >>> thinned([1, 2, 3, 4, 5, 6], 3)
        [2, 4, 6]
    """
    stride = max(1, math.ceil(len(items) / limit))
    return list(items[(len(items) - 1) % stride :: stride])


def figures(runs: Mapping[str, Sequence[EpochRecord]], *, expected: float | None) -> list[dict]:
    """The figures that the histories can fill: memorization, else agreement; the accuracies; else at least the loss.

    Args:
        runs: method -> its history, one mapping per epoch.
        expected: agreement with the given labels of a network that is always right, in [0, 1]; None if not known.

    Returns:
        For each figure its name, ticks, and panels of lines, in SVG units; see templates/report.html.j2.

    Example:
        >>> [drawn] = figures({"elr": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]}, expected=0.6)
        >>> drawn["name"], drawn["panels"][0]["lines"][0]["path"]
        ('loss', 'M46.0 12.0L284.0 109.0')
    """
    found = {
        name: {run: {label: _points(history, key) for key, label in keys.items()} for run, history in runs.items()}
        for name, keys in {"memorization": _ON_WRONG, "agreement": _AGREEMENT}.items()
    }
    for key in ("fraction_correct_on_clean", "test_accuracy", "loss"):
        found[key] = {"": {run: _points(history, key) for run, history in runs.items()}}
    drawn = {}
    for name, panels in found.items():
        known = {title: lines for title, lines in panels.items() if _values(lines)}
        if name == "test_accuracy" and not any(_is_course(points) for points in known.get("", {}).values()):
            continue  # measured once, at the end: a number, and no course
        instead = {"agreement": {"memorization"}, "loss": set(drawn)}.get(name, set()) & set(drawn)
        if known and not instead:
            drawn[name] = _figure(name, known, expected=expected)
    return list(drawn.values())


def curves(strong: Mapping[str, Points], *, faint: Sequence[Points], kept: Mapping[str, Points]) -> dict | None:
    """A figure of rates by epoch: some lines with a label at their end, others faint behind them.

    Args:
        strong: label -> points of its line.
        faint: lines without a label.
        kept: label -> points to mark on its line.

    Returns:
        As one of `figures`; None where there is nothing to draw.

    Example:
        >>> drawn = curves({"1": [(1, 0.4), (2, 0.6)]}, faint=[[(1, 0.4), (2, 0.5)]], kept={"1": [(2, 0.6)]})
        >>> drawn["faint"], drawn["kept"], [label.replace("\N{NO-BREAK SPACE}", " ") for _, label in drawn["yticks"]]
        (['M46.0 206.0L284.0 109.0'], [(0, 284.0, 12.0)], ['40 %', '45 %', '50 %', '55 %', '60 %'])
    """
    return _figure("choice", {"": strong}, expected=0.0, faint=faint, kept=kept) if _values(strong) else None


def choice_shown(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a choice: the rows of its table, how many more there are, and the figure.

    The chosen settings are numbered, the best first: by that number the table, the key and the curves name them.

    Args:
        choice: see `elr.audit.report.check_choice`; not empty.

    Returns:
        rows (each with number, text, and the values of the candidate), left_out, strong (number -> text, of the
        settings whose lines are strong), figure (see `curves`; None where there is no point to draw).

    Example:
        >>> same = {"agreement": 0.5, "balanced_agreement": 0.5, "standard_error": 0.01}
        >>> shown = choice_shown({
        ...     "text": "", "settings": [{"text": "lam 0", "curve": [[1, 0.3], [2, 0.4]]},
        ...                              {"text": "lam 3", "curve": [[1, 0.3], [2, 0.5]]}],
        ...     "candidates": [same | {"setting": 0, "epoch": 2, "score": 0.4, "behind": 0.1, "chosen": False},
        ...                    same | {"setting": 1, "epoch": 2, "score": 0.5, "behind": 0.0, "chosen": True}]})
        >>> [(row["number"], row["text"]) for row in shown["rows"]], shown["strong"], len(shown["figure"]["faint"])
        ([('1', 'lam 3'), ('', 'lam 0')], {'1': 'lam 3'}, 1)
    """
    settings = choice["settings"]
    ranked = sorted(choice["candidates"], key=lambda each: (-each["score"], not each["chosen"]))
    chosen = [each for each in ranked if each["chosen"]]
    numbers = {place: str(k) for k, place in enumerate(dict.fromkeys(each["setting"] for each in chosen), 1)}
    others = [each for each in ranked if not each["chosen"]][: max(0, MOST_LISTED - len(chosen))]
    listed = sorted([*chosen, *others], key=ranked.index)
    rows = [
        {**each, "text": settings[each["setting"]]["text"], "number": numbers.get(each["setting"], "")}
        for each in listed
    ]
    lines: dict[int, Points] = {
        place: [(float(epoch), number_of(score)) for epoch, score in setting["curve"]]
        for place, setting in enumerate(settings)
    }
    kept: dict[str, Points] = {number: [] for number in numbers.values()}
    for each in chosen:
        kept[numbers[each["setting"]]].append((float(each["epoch"]), float(each["score"])))
    return {
        "rows": rows,
        "left_out": len(ranked) - len(rows),
        "strong": {number: settings[place]["text"] for place, number in numbers.items()},
        "figure": curves(
            {number: lines[place] for place, number in numbers.items()},
            faint=[points for place, points in lines.items() if place not in numbers],
            kept=kept,
        ),
    }


def _points(history: Sequence[EpochRecord], key: str) -> Points:
    """(epoch, value) of each epoch; None for a value that is not known."""
    return [(epoch, number_of(row.get(key))) for row in history if (epoch := number_of(row["epoch"])) is not None]


def _values(lines: Mapping[str, Points]) -> list[float]:
    return [value for points in lines.values() for _, value in points if value is not None]


def _is_course(points: Points) -> bool:
    return sum(value is not None for _, value in points) > 1


def _ticks(low: float, high: float, *, least_step: float = 1e-9) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at or below `low` to at or above `high`."""
    rough = max((high - low) / 5, least_step)
    power = 10.0 ** math.floor(math.log10(rough) + 1e-9)
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


class _Scale(NamedTuple):
    """The straight line from data (low to high) to the page (start to end)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


def _figure(
    name: str,
    panels: Mapping[str, Mapping[str, Points]],
    *,
    expected: float | None,
    faint: Sequence[Points] = (),
    kept: Mapping[str, Points] | None = None,
) -> dict:
    """Geometry of one figure, whose panels share both axes. Its words (title, caption) are the template's."""
    shown = [*panels.values(), {str(place): points for place, points in enumerate(faint)}]
    epochs = [epoch for lines in shown for points in lines.values() for epoch, _ in points]
    values = [value for lines in shown for value in _values(lines)]
    kind = "loss" if name == "loss" else "fraction"  # written as a number, or in percent
    values += {"loss": [0.0], "memorization": [0.0, 1.0], "agreement": [0.0, 1.0]}.get(name, [])
    low, high = min(values), max(values)
    if low == high:  # open the axis a little, but never beyond a rate's 0 and 1
        low, high = max(low - 0.02, min(low, 0.0)), min(high + 0.02, max(high, 1.0))
    yticks = _ticks(low, high)
    first, last = (min(epochs), max(epochs)) if max(epochs) > min(epochs) else (epochs[0] - 0.5, epochs[0] + 0.5)
    x = _Scale(first, last, BOX["left"], BOX["right"])
    y = _Scale(yticks[0], yticks[-1], BOX["bottom"], BOX["top"])
    digits = max(0, -math.floor(math.log10(100 * (yticks[1] - yticks[0])) + 1e-9))
    labels = [f"{tick:g}" if name == "loss" else f"{100 * tick:.{digits}f}{_NBSP}%" for tick in yticks]
    return {
        "name": name,
        "xticks": [(x(tick), f"{tick:g}") for tick in _ticks(first, last, least_step=1) if first <= tick <= last],
        "yticks": [(y(tick), label) for tick, label in zip(yticks, labels, strict=True)],
        "expected": {"y": y(expected), "rate": expected} if name == "agreement" and expected is not None else None,
        "faint": [_path(_stretches(points, x, y)) for points in faint],
        "kept": [
            (slot, x(epoch), y(value))
            for slot, points in enumerate((kept or {}).values())
            for epoch, value in points
            if value is not None
        ],
        "panels": [{"title": title} | _panel(lines, x, y, key=kind) for title, lines in panels.items()],
    }


def _stretches(points: Points, x: _Scale, y: _Scale) -> list[list[tuple[float, float]]]:
    """Where the points lie on the page, in runs without a gap."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for epoch, value in points:
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((x(epoch), y(value)))
    return stretches


def _path(stretches: list[list[tuple[float, float]]]) -> str:
    return "".join("M" + "L".join(f"{a} {b}" for a, b in known) for known in stretches if len(known) > 1)


def _panel(lines: Mapping[str, Points], x: _Scale, y: _Scale, *, key: str) -> dict:
    """Lines (a path broken at gaps, dots for lone values, a label at the end) and, per epoch, what a pointer finds."""
    drawn, places = [], {}
    for slot, (label, points) in enumerate(lines.items()):
        stretches, marks = _stretches(points, x, y), []
        for epoch, value in points:
            if value is not None:
                marks.append({"slot": slot, "label": label, "value": quantity(value, key), "y": y(value)})
                places.setdefault(epoch, []).append(marks[-1])
        if marks:
            dots = [known[0] for known in stretches if len(known) == 1]
            drawn.append(marks[-1] | {"path": _path(stretches), "dots": dots})
    ends = sorted(drawn, key=lambda line: (line["y"], line["slot"]))
    for above, below in pairwise(ends):  # labels 14 units apart: first push down, then back up from the floor
        below["y"] = max(below["y"], above["y"] + 14)
    for below, above in pairwise([{"y": BOX["bottom"] + 14}, *reversed(ends)]):
        above["y"] = min(above["y"], below["y"] - 14)
    marked = thinned(sorted(places.items()), MAX_EPOCHS_LISTED)
    return {"lines": drawn, "places": [(x(epoch), f"{epoch:g}", marks) for epoch, marks in marked]}
