"""One self-contained HTML page about one run: what was trained, how it learned, which labels look wrong and why.

The page needs no network, reads well on a phone, in the dark and on paper, and treats every string that it is given as
hostile: class names, file names and table cells come from other people's data. Without JavaScript it lists the worst
suspects; with it, it is a tool to decide on all of them.
"""

import base64
import hashlib
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from elr.audit.charts import (
    BOX,
    MAX_EPOCHS_LISTED,
    RATE,
    EpochRecord,
    choice_shown,
    figures,
    number_of,
    percent,
    quantity,
    thinned,
)
from elr.audit.suspects import FORMATS, UNPRINTABLE, Suspect, brief, clip, embedded, require, require_rate, told_apart
from elr.errors import ArgumentError

MAX_PAGE_BYTES = 5_000_000 - 50_000  # decimal, and a margin
MAX_SUSPECTS = 200  # listed without JavaScript; with it, all that fit into the page
MAX_NUMBERED_CLASSES = 20  # above it the numbers of a heat map are too small to read
_RATES = ("agreement", "balanced_agreement", "score", "behind", "standard_error")  # of a candidate
MAX_GRID_CLASSES = 100  # above it a cell of the map is smaller than three pixels on a phone

_DATA = '<script type="application/json" id="review-data">'  # cannot come from data, whose "<" are escaped


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that the page says, as plain values. Rates and fractions are in [0, 1].

    Args:
        title: heading of the page.
        out: folder of the run, as it should appear in commands.
        command: the command that repeats the run.
        created: date and time, already written out (so that equal reports give equal pages).
        num_examples: N, labels looked at.
        num_classes: C, at least 2.
        class_names: C names, in the order of the classes.
        noise_rate: estimated share of wrong labels; NaN if it is not known.
        noise_rate_interval: (low, high), 95 %; NaN for an end that is not known.
        num_label_issues: rows listed as suspect in issues.csv, 0 to N.
        transition_matrix: (C, C) estimate of P(given j | clean i); rows sum to 1.
        suspects: the label issues, or the worst of them: shown as far as the page has room, lowest label_quality first.
        settings: what was trained (network, epochs, lam, ...), shown as they are, in their order.
        history: one mapping per epoch with any of epoch, loss, learning_rate, agreement_with_given_labels,
            agreement_with_targets, fraction_{correct,memorized,incorrect}_on_wrong, fraction_correct_on_clean,
            test_accuracy; None or NaN leaves a gap.
        method: name of the method that `history` belongs to (default "elr").
        comparison: rows of a table of methods: method, test_accuracy_last, test_accuracy_best, fraction_memorized,
            suspects_precision, suspects_recall, average_precision, seconds, or others.
        comparison_history: method -> history, drawn on the same scales; an entry called `method` is not drawn twice.
        measured: numbers known only because clean or test labels were given; the page marks them as such.
        notes: caveats and warnings, one sentence or two each.
        warnings: what must be known before the rest is believed, shown at the top; one to three sentences each.
        early_learning: whether and until when there was early learning, in words; shown above the curves.
        choice: how the run chose its settings, if it did (`check_choice`).
        reading: what was read, as run.json has it (`elr.data.inspection.Inspection`); empty if it is not known.
        cleaned: a good name for the corrected copy that `elr clean` writes; "" where it has no data file to correct.
        expected_precision: share of the label issues that are expected to be wrong; None if it is not known.
        run: the name that exported decisions bear (`elr.audit.cleaning.decision_file.run_name`); "" leaves it out.
        confusions: the pairs of classes most often confused among the label issues, the most frequent first: names of
            the given and of the clean class, and num_rows.

    Raises:
        ArgumentError: a count, a rate or a shape that does not fit the others.

    Example:
        >>> report = Report(
        ...     title="Pets", out="run", command="elr fit a.csv", created="2026-01-31", num_examples=10, num_classes=2,
        ...     class_names=["cat", "dog"], noise_rate=0.2, noise_rate_interval=(0.1, 0.4), num_label_issues=2,
        ...     transition_matrix=[[0.8, 0.2], [0.2, 0.8]], suspects=[], settings={}, history=[])
        >>> report.method
        'elr'
    """

    title: str
    out: str
    command: str
    created: str
    num_examples: int
    num_classes: int
    class_names: Sequence[str]
    noise_rate: float
    noise_rate_interval: tuple[float, float]
    num_label_issues: int
    transition_matrix: npt.ArrayLike
    suspects: Sequence[Suspect]
    settings: Mapping[str, str | int | float | bool | None]
    history: Sequence[EpochRecord]
    method: str = "elr"
    comparison: Sequence[Mapping[str, object]] = ()
    comparison_history: Mapping[str, Sequence[EpochRecord]] = field(default_factory=dict)
    measured: Mapping[str, float | int | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    early_learning: str = ""
    choice: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    cleaned: str = ""
    expected_precision: float | None = None
    run: str = ""
    confusions: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        n, c, issues = self.num_examples, self.num_classes, self.num_label_issues
        require(n >= 1, f"num_examples is {n}; a report needs at least one example")
        require(c >= 2, f"num_classes is {c}; a classifier has at least 2")
        require(len(self.class_names) == c, f"class_names has {len(self.class_names)} names for {c} classes; give {c}")
        require(0 <= issues <= n, f"num_label_issues is {issues} of {n} examples; count each row once")
        if not math.isnan(self.noise_rate):
            require_rate("noise_rate", self.noise_rate)
        if self.expected_precision is not None:
            require_rate("expected_precision", self.expected_precision)
        low, high = self.noise_rate_interval
        in_order = all(math.isnan(end) or 0 <= end <= 1 for end in (low, high)) and not low > high
        require(in_order, f"noise_rate_interval is ({low}, {high}); give (low, high) in [0, 1]")
        matrix = np.asarray(self.transition_matrix, dtype=np.float64)
        require(matrix.shape == (c, c), f"transition_matrix has shape {matrix.shape}; expected {(c, c)}")
        stochastic = bool((matrix >= 0).all()) and np.allclose(matrix.sum(1), 1, atol=0.01)  # NaN fails both
        require(stochastic, "transition_matrix: rows must be >= 0 and sum to 1; give cleanlab's noise_matrix as its .T")
        check_choice(self.choice)
        check_reading(self.reading)


def render(report: Report) -> str:
    """Return the HTML text of the page; pure, so equal reports give equal text.

    Args:
        report: all that the page says.

    Returns:
        One HTML document that asks for nothing outside itself; valid UTF-8, whatever the names hold.

    Example:
        >>> page = render(Report(
        ...     title="Pets", out="elr-out", command="elr fit pets.csv", created="2026-01-31", num_examples=1437,
        ...     num_classes=2, class_names=["cat", "<dog>"], noise_rate=0.398, noise_rate_interval=(0.373, 0.423),
        ...     num_label_issues=571, transition_matrix=[[0.7, 0.3], [0.5, 0.5]], suspects=[], settings={}, history=[]))
        >>> "<dog>" in page, "&lt;dog&gt;" in page
        (False, True)
    """
    matrix = np.asarray(report.transition_matrix, dtype=np.float64)
    suspects = sorted(report.suspects, key=lambda suspect: (suspect.label_quality, suspect.row))
    listed = suspects[:MAX_SUSPECTS]
    runs = _runs(report)
    script = _source("why.js") + _source("review.js")
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            matrix=matrix.tolist(),
            shades=_shades(matrix),
            pairs=_pairs(matrix, limit=10 if report.num_classes <= MAX_NUMBERED_CLASSES else 20),
            noisiest=_noisiest(matrix, limit=3),
            numbered=report.num_classes <= MAX_NUMBERED_CLASSES,
            gridded=MAX_NUMBERED_CLASSES < report.num_classes <= MAX_GRID_CLASSES,
            figures=figures(runs, expected=None if math.isnan(report.noise_rate) else 1 - report.noise_rate),
            epoch_tables={
                name: _table(thinned(history, MAX_EPOCHS_LISTED)) for name, history in runs.items() if history
            },
            comparison=_table(report.comparison),
            choice=choice_shown(report.choice) if report.choice else None,
            suspects=listed,
            columns=list(dict.fromkeys(name for suspect in listed if not suspect.thumbnail for name in suspect.fields)),
            pictured=any(suspect.thumbnail for suspect in suspects),
            box=BOX,
            called=_called(report.class_names),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=_source("report.css"),
            review_style=_source("review.css"),
        )
    )
    room = MAX_PAGE_BYTES - len(html.encode())
    key = [report.title, report.created, report.command, report.num_examples]
    data = embedded(suspects, class_names=report.class_names, key=key, run=report.run, room=room) if suspects else ""
    return html.replace(_DATA, f"{_DATA}{data}", 1)


def _called(class_names: Sequence[str]) -> Callable[[object, int], str]:
    """What stands for a class in some characters, so that no two are alike; other names are clipped."""
    names = [str(name) for name in class_names]

    @cache
    def short(limit: int) -> dict[str, str]:
        return told_apart(names, limit)

    return lambda name, limit: short(limit).get(str(name)) or clip(name, limit)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("elr.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "quantity": quantity, "clip": clip, "brief": brief, "number": number_of}
    environment.filters |= {"data_uri": _data_uri, "shell": shlex.quote}
    environment.tests |= {"pixel_art": _is_pixel_art}
    return environment


@cache
def _source(name: str) -> Markup:
    """A script or style sheet of ours, to stand in the page as it is."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _plain(value: object) -> object:
    return type(value)(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)) if isinstance(value, str) else value


def _data_uri(image: bytes) -> str:
    kind = next(kind for magic, kind in FORMATS.items() if image.startswith(magic))
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def _is_pixel_art(image: bytes) -> bool:
    """Whether it is a PNG of at most 64 pixels a side: enlarged without smoothing. Bytes 16 to 23 say it."""
    sides = int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")
    return image.startswith(b"\x89PNG") and max(sides) <= 64


def _table(rows: Sequence[Mapping[str, object]]) -> list[dict]:
    """Columns in order of first sight: the key, each row's value as written, and the best of them, where one is better.

    Only among rates is the largest better (of memorized and incorrect labels, the smallest).
    """
    columns = []
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        numbers = [number for value in values if (number := number_of(value)) is not None]
        choose = min if "memorized" in key or "incorrect" in key else max
        best = quantity(choose(numbers), key) if RATE.search(key) and len(set(numbers)) > 1 else None
        cells = [quantity(value, key) for value in values]
        columns.append({"key": key, "cells": cells, "best": best, "numeric": bool(numbers)})
    return columns


def _flips(matrix: np.ndarray) -> np.ndarray:
    return matrix * (1 - np.eye(len(matrix)))


def _shades(matrix: np.ndarray) -> list[list[float]]:
    """Strength of each cell in [0, 1]: kept labels by their rate, flips relative to the largest (or to chance, 1/C)."""
    flips = _flips(matrix)
    return np.round(flips / max(flips.max(), 1 / len(matrix)) + np.diag(np.diag(matrix)), 2).tolist()


def _pairs(matrix: np.ndarray, *, limit: int) -> list[dict]:
    """The largest flips: class `given` was written for the share `rate` of the examples that are class `clean`."""
    flips, classes = _flips(matrix), len(matrix)
    order = np.argsort(-flips, axis=None, kind="stable")[:limit]
    cells = [(*divmod(int(place), classes), float(flips.flat[place])) for place in order]
    return [{"clean": i, "given": j, "rate": rate} for i, j, rate in cells if rate >= 0.001]


def _noisiest(matrix: np.ndarray, *, limit: int) -> list[dict]:
    """The classes of which the largest shares carry another label."""
    shares = _flips(matrix).sum(1)
    order = np.argsort(-shares, kind="stable")[:limit]
    return [{"clean": int(place), "rate": float(shares[place])} for place in order if shares[place] >= 0.001]


def check_choice(choice: Mapping[str, Any]) -> None:
    """Refuse what is not a choice as run.json has it; an empty one says that nothing was chosen.

    Args:
        choice: text; settings, each with its text and its curve of (epoch, score); candidates, as
            `elr.methods.ensemble.choice.Candidate` gives them.

    Raises:
        ArgumentError: something is missing, or is not what it should be.

    Example:
        >>> check_choice({"text": "Settings: lam 3"})
        Traceback (most recent call last):
        elr.errors.ArgumentError: choice has no 'settings': expected text, settings and candidates
    """
    if not choice:
        return
    try:
        texts = [choice["text"], *(setting["text"] for setting in choice["settings"])]
        points = [(epoch, score) for setting in choice["settings"] for epoch, score in setting["curve"]]
        candidates = [
            (each["setting"], each["epoch"], each["chosen"], [each[name] for name in _RATES])
            for each in choice["candidates"]
        ]
    except KeyError as error:
        raise ArgumentError(f"choice has no {error}: expected text, settings and candidates") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"choice is not as run.json has it ({error})") from None
    require(all(isinstance(text, str) for text in texts), "choice: a text is no text")
    count = len(choice["settings"])
    for epoch, score in points:
        require(number_of(epoch) is not None, f"choice: a curve has the epoch {epoch!r}; expected a number")
        require_rate("choice: score of a curve", 0.0 if score is None else _number(score))
    for setting, epoch, chosen, values in candidates:
        known = type(setting) is int and 0 <= setting < count
        require(known, f"choice: a candidate has the setting {setting!r} of {count}; expected its number, from 0")
        require(type(epoch) is int and epoch >= 1, f"choice: a candidate has the epoch {epoch!r}; expected at least 1")
        require(isinstance(chosen, bool), f"choice: chosen is {chosen!r}; expected true or false")
        for name, value in zip(_RATES, values, strict=True):
            require_rate(f"choice: {name} of a candidate", _number(value))
    require(any(chosen for *_, chosen, _ in candidates), "choice: no candidate is chosen; expected at least one")


def check_reading(reading: Mapping[str, Any]) -> None:
    """Refuse what is not a reading as run.json has it; an empty one says that it is not known.

    Args:
        reading: what `elr.data.inspection.Inspection.to_json` gives.

    Raises:
        ArgumentError: something is missing, or is not what it should be.

    Example:
        >>> check_reading({"source": "pets.csv"})
        Traceback (most recent call last):
        elr.errors.ArgumentError: reading has no 'kind': expected what run.json has of the data
    """
    if not reading:
        return
    try:
        texts = [reading[name] for name in ("source", "kind", "labels_from")]
        counts = [reading["num_examples"], *(each["count"] for each in reading["classes"])]
        shares = [each["share"] for each in reading["classes"]]
        for each in reading["columns"]:
            texts += [each["name"], each["kind"], each["use"]]
            counts += [each[name] for name in ("missing", "distinct") if each[name] is not None]
            texts += [] if each["example"] is None else [each["example"]]
        if reading["test"] is not None:
            texts.append(reading["test"]["source"])
            counts.append(reading["test"]["num_examples"])
        texts += [each["name"] for each in reading["classes"]] + list(dict(reading["facts"]))
    except KeyError as error:
        raise ArgumentError(f"reading has no {error}: expected what run.json has of the data") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"reading is not as run.json has it ({error})") from None
    listed = isinstance(reading["classes"], list) and isinstance(reading["columns"], list)
    require(
        listed and isinstance(reading["facts"], dict), "reading: classes or columns are no list, or facts no object"
    )
    require(all(isinstance(text, str) for text in texts), "reading: a text is no text")
    require(all(type(count) is int and count >= 0 for count in counts), "reading: a count is no whole number")
    for share in shares:
        require_rate("reading: share of a class", _number(share))


def _number(value: object) -> float:
    number = number_of(value)
    require(number is not None, f"choice: {value!r} where a number is expected")
    assert number is not None, "as required"
    return number


def _runs(report: Report) -> dict[str, list[EpochRecord]]:
    """Method -> its history, the page's own first; of a long one, 400 epochs are enough to draw."""
    runs = {report.method: report.history} | dict(report.comparison_history) | {report.method: report.history}
    numbered = {name: [{"epoch": place} | dict(row) for place, row in enumerate(runs[name], 1)] for name in runs}
    return {name: thinned(history, 400) for name, history in numbered.items()}
