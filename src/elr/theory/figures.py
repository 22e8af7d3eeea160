"""Figures of the paper, drawn from trajectories of the linear model and histories of runs; matplotlib, no display.

Each function takes numbers and returns a Figure; `save` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from elr.errors import ArgumentError, optional
from elr.files import write_file
from elr.theory.descent import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORRECT, MEMORIZED, INCORRECT, OTHER = "#2f6db3", "#c4532d", "#8a8a8a", "#3b8f5c"  # told apart without color by dashes
DASHES = {CORRECT: "-", MEMORIZED: "--", INCORRECT: ":", OTHER: "-."}
_CYCLE = (CORRECT, MEMORIZED, OTHER, INCORRECT, "#7d5ba6", "#b0862c")
_FORMATS = (".png", ".svg", ".pdf")
_PLACES = 250  # on a logarithmic axis
_PANEL = (3.3, 2.5)  # inches

History = Sequence[Mapping[str, float]]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure, whole or not at all, as .png, .svg or .pdf.

    Raises:
        ArgumentError: another ending.
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> figure, _ = panels(1, 1)
        >>> save(figure, Path(tempfile.mkdtemp()) / "empty.svg").read_text()[:19]
        '<?xml version="1.0"'
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise ArgumentError(f"cannot write a figure as {path.name!r}: expected one of {', '.join(_FORMATS)}")
    write_file(path, lambda partial: figure.savefig(partial, format=path.suffix[1:], dpi=150))
    return path


def check_drawing() -> None:
    """See that figures can be drawn, before what is to be drawn is computed.

    Raises:
        ArgumentError: matplotlib is not installed.

    Example:
        >>> check_drawing()  # then figures will not fail for want of it
        >>> panels(1, 1)[0].get_size_inches().round(1).tolist()
        [3.3, 2.5]
    """
    optional("matplotlib.figure", "a figure", extra="figures")


def panels(rows: int, columns: int, *, size: tuple[float, float] = _PANEL) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns axes with the look of all of ours.

    Raises:
        ArgumentError: matplotlib is not installed.

    Example:
        >>> figure, axes = panels(2, 3)
        >>> axes.shape, figure.get_size_inches().round(1).tolist()
        ((2, 3), [9.9, 5.0])
    """
    drawing = optional("matplotlib.figure", "a figure", extra="figures")
    figure = drawing.Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8)
    return figure, axes


def trajectory_figure(trajectories: Mapping[str, Trajectory]) -> Figure:
    """Early learning and memorization in the linear model, a row for each trajectory (the paper's Figures A.1 and B.1).

    Columns: what is predicted of clean examples; of wrong ones; what the loss's gradient does to the logit of the true
    class. Steps on a logarithmic axis, the start at the left edge; where they lie dense, means over neighbors.

    Args:
        trajectories: a name for each.

    Example:
        >>> from elr.theory.clusters import make_clusters
        >>> from elr.theory.descent import descend
        >>> found = descend(make_clusters(20, 30, sigma=0.1, delta=0.4), steps=10)
        >>> [each.get_title() for each in trajectory_figure({"cross entropy": found}).axes]
        ['clean examples', 'wrong labels', 'what training does']
    """
    figure, axes = panels(len(trajectories), 3)
    for row, (name, trajectory) in zip(axes, trajectories.items(), strict=True):
        drawn: list[dict[str, tuple[ArrayLike, str]]] = [
            {"true label": (trajectory.accuracy_clean, CORRECT)},
            {"true label": (trajectory.accuracy_wrong, CORRECT), "false label": (trajectory.memorized, MEMORIZED)},
            {"clean examples": (trajectory.true_clean, CORRECT), "wrong labels": (trajectory.true_wrong, MEMORIZED)},
        ]
        for each, lines in zip(row, drawn, strict=True):
            binned = {label: (_binned(values), color) for label, (values, color) in lines.items()}
            _lines(
                each, _binned(np.arange(trajectory.steps + 1) + 1.0), binned
            )  # + 1: the start has a place on a log axis
        row[2].axhline(0.0, color="#bbbbbb", linewidth=0.8, zorder=0)
        row[0].set_ylabel(f"{name}\nshare predicted", fontsize=9)
        row[2].set_ylabel("gradient, true class", fontsize=8)
        for each in row:
            each.set_xscale("log")
            if trajectory.early_learning_step is not None:
                each.axvline(
                    trajectory.early_learning_step + 1.0, color="#999999", linewidth=0.8, linestyle=(0, (1, 2))
                )
        for each in row[:2]:
            each.set_ylim(-0.03, 1.03)
    for each, title in zip(axes[0], ("clean examples", "wrong labels", "what training does"), strict=True):
        each.set_title(title, fontsize=10)
    for each in axes[-1]:
        each.set_xlabel("step + 1 (dotted: T)", fontsize=8)
    _share_range(axes[:, 2])
    _legends(axes[0][1:])
    return figure


def memorization_figure(histories: Mapping[str, History]) -> Figure:
    """What a network predicts of the training examples, epoch by epoch, a row for each run (the paper's Figure 1).

    Args:
        histories: a name for each run, and its records (metrics.jsonl), measured with known clean labels.

    Raises:
        ArgumentError: a history without these measures.

    Example:
        >>> fractions = {"fraction_correct_on_clean": 0.9, "fraction_correct_on_wrong": 0.5,
        ...     "fraction_incorrect_on_wrong": 0.2, "fraction_memorized_on_wrong": 0.3}
        >>> figure = memorization_figure({"ELR": [{"epoch": 1, **fractions}, {"epoch": 2, **fractions}]})
        >>> [line.get_label() for line in figure.axes[1].lines]
        ['correct', 'incorrect', 'memorized']
    """
    figure, axes = panels(len(histories), 2)
    for row, (name, history) in zip(axes, histories.items(), strict=True):
        epochs = _values(history, "epoch", name)
        for each, where in zip(row, ("clean", "wrong"), strict=True):
            lines = {
                "correct": (_values(history, f"fraction_correct_on_{where}", name), CORRECT),
                "incorrect": (_values(history, f"fraction_incorrect_on_{where}", name), INCORRECT),
            }
            if where == "wrong":
                lines["memorized"] = (_values(history, "fraction_memorized_on_wrong", name), MEMORIZED)
            _lines(each, epochs, lines)
            each.set_ylim(-0.03, 1.03)
        row[0].set_ylabel(f"{name}\nshare of examples", fontsize=9)
    for each, title in zip(axes[0], ("clean examples", "wrong labels"), strict=True):
        each.set_title(title, fontsize=10)
    for each in axes[-1]:
        each.set_xlabel("epoch", fontsize=8)
    _legends(axes[0])
    return figure


def coefficients_figure(histories: Mapping[str, History]) -> Figure:
    """What the gradient does to the logit of the true class, a column for each run (the paper's Figure B.1).

    Dashed: cross entropy's part alone, p - y; solid: the method's whole, p - y + lam g for ELR. Below zero training
    raises the true class.

    Args:
        histories: a name for each run, and its records, measured with known clean labels.

    Raises:
        ArgumentError: a history without these measures.

    Example:
        >>> gradients = {"gradient_on_clean": -0.1, "gradient_cross_entropy_on_clean": -0.1,
        ...     "gradient_on_wrong": 0.1, "gradient_cross_entropy_on_wrong": 0.9}
        >>> figure = coefficients_figure({"ELR": [{"epoch": 1, **gradients}]})
        >>> [line.get_label() for line in figure.axes[0].lines][:2]
        ['clean, p - y alone', 'clean, whole']
    """
    figure, axes = panels(1, len(histories))
    for each, (name, history) in zip(axes[0], histories.items(), strict=True):
        epochs = _values(history, "epoch", name)
        for where, color in (("clean", CORRECT), ("wrong", MEMORIZED)):
            whole = _values(history, f"gradient_on_{where}", name)
            part = _values(history, f"gradient_cross_entropy_on_{where}", name)
            each.plot(epochs, part, color=color, linestyle="--", linewidth=1.2, label=f"{where}, p - y alone")
            each.plot(epochs, whole, color=color, linewidth=1.6, label=f"{where}, whole")
        each.axhline(0.0, color="#bbbbbb", linewidth=0.8, zorder=0)
        each.set_title(name, fontsize=10)
        each.set_xlabel("epoch", fontsize=8)
    axes[0][0].set_ylabel("gradient, true class", fontsize=9)
    _share_range(axes[0])
    figure.legend(handles=axes[0][0].lines[:4], loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return figure


def curves_figure(
    curves: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    *,
    x: str,
    y: str,
    log: bool = False,
    size: tuple[float, float] = _PANEL,
) -> Figure:
    """Named curves, a panel for each group.

    Args:
        curves: {panel: {curve: (x, y)}}; a y of shape (K, len(x)) is K repetitions: their mean, and a band of one
            standard deviation to each side.
        x: what the horizontal axis shows.
        y: what the vertical one shows.
        log: whether the horizontal axis is logarithmic.
        size: width and height of a panel in inches.

    Example:
        >>> lams, three_seeds = [1, 3, 7], [[0.9, 0.1, 0.0], [0.8, 0.1, 0.0], [0.7, 0.1, 0.0]]
        >>> figure = curves_figure({"lam": {"memorized": (lams, three_seeds)}}, x="lam", y="share")
        >>> figure.axes[0].lines[0].get_ydata().round(2).tolist()
        [0.8, 0.1, 0.0]
    """
    figure, axes = panels(1, len(curves), size=size)
    for each, (title, group) in zip(axes[0], curves.items(), strict=True):
        for number, (name, (places, values)) in enumerate(group.items()):
            color = _CYCLE[number % len(_CYCLE)]
            middle = values = np.asarray(values, dtype=np.float64)
            if values.ndim == 2:
                middle, spread = values.mean(axis=0), values.std(axis=0)
                each.fill_between(np.asarray(places), middle - spread, middle + spread, color=color, alpha=0.18, lw=0)
            marker = "o" if len(middle) <= 12 else None
            style = DASHES.get(color, "-")
            each.plot(places, middle, style, color=color, label=name, linewidth=1.5, marker=marker, markersize=3.5)
        each.set_title(title, fontsize=10)
        each.set_xlabel(x, fontsize=8)
        if log:
            each.set_xscale("log")
    axes[0][0].set_ylabel(y, fontsize=9)
    _legends([each for each in axes[0] if len(each.lines) > 1])
    return figure


def simplex_figure(ways: Mapping[str, ArrayLike], *, corners: Sequence[str], given: int, clean: int) -> Figure:
    """The way of probabilities over three classes through their triangle, a panel for each run.

    Args:
        ways: a name for each run, and (S, M, 3) the probabilities of M examples with the same false label at S times.
        corners: names of the classes.
        given: the false label.
        clean: the true one.

    Raises:
        ArgumentError: not three classes.

    Example:
        >>> way = [[[0.4, 0.3, 0.3]], [[0.1, 0.8, 0.1]]]  # one example, two times
        >>> figure = simplex_figure({"ELR": way}, corners=["cat", "dog", "fox"], given=0, clean=1)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['cat (given)', 'dog (true)', 'fox']
    """
    figure, axes = panels(1, len(ways), size=(3.3, 3.1))
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    for each, (name, probs) in zip(axes[0], ways.items(), strict=True):
        probs = np.asarray(probs, dtype=np.float64)
        if probs.ndim != 3 or probs.shape[2] != 3 or len(corners) != 3:
            raise ArgumentError(f"probabilities of {name!r} have shape {probs.shape}: expected (S, M, 3)")
        each.plot(*np.vstack([triangle, triangle[:1]]).T, color="#555555", linewidth=1.0)
        for way in np.moveaxis(probs @ triangle, 1, 0):
            each.plot(*way.T, color="#9db8d6", linewidth=0.5, alpha=0.5)
        mean = probs.mean(axis=1) @ triangle
        each.plot(*mean.T, color="#1d1d1d", linewidth=1.8, label="mean")
        each.plot(*mean[0], "o", color="#1d1d1d", markersize=4)
        each.plot(*mean[-1], "s", color=MEMORIZED, markersize=6, label="end of the mean")
        each.scatter(*(probs[-1] @ triangle).T, s=6, color=MEMORIZED, alpha=0.5, linewidths=0, zorder=3)
        for corner, (place, text) in enumerate(zip(triangle, corners, strict=True)):
            role = {given: " (given)", clean: " (true)"}.get(corner, "")
            below = corner < 2
            each.annotate(
                text + role,
                place,
                textcoords="offset points",
                xytext=(0, -12 if below else 6),
                ha="center",
                fontsize=8,
            )
        each.set_title(name, fontsize=10)
        each.set_axis_off()
        each.set_aspect("equal")
        each.margins(0.12)
    return figure


def _binned(values: ArrayLike) -> np.ndarray:
    """Means over steps that share a place on a logarithmic axis."""
    values = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.geomspace(1, len(values) + 1, _PLACES).astype(int) - 1)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def _lines(axes: Axes, places: np.ndarray, lines: Mapping[str, tuple[ArrayLike, str]]) -> None:
    for name, (values, color) in lines.items():
        axes.plot(places, np.asarray(values), DASHES[color], color=color, label=name, linewidth=1.5)


def _values(history: History, key: str, name: str) -> np.ndarray:
    """One measure over the epochs; fraction_incorrect_on_clean is what fraction_correct_on_clean leaves."""
    if key == "fraction_incorrect_on_clean":
        return 1.0 - _values(history, "fraction_correct_on_clean", name)
    if not history or any(key not in record for record in history):
        raise ArgumentError(
            f"the history of {name!r} has no {key}: it is measured where clean labels are known; give the run a "
            "clean_label or label noise of its own"
        )
    return np.array([record[key] for record in history], dtype=np.float64)


def _share_range(axes: Iterable[Axes]) -> None:
    axes = list(axes)
    low, high = (pick(each.get_ylim()[side] for each in axes) for pick, side in ((min, 0), (max, 1)))
    for each in axes:
        each.set_ylim(low, high)


def _legends(axes: Iterable[Any]) -> None:
    for each in axes:
        each.legend(fontsize=7, frameon=False)
