"""What an audit is given, checked: labels, probabilities, margins and the name of a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elr.checking import checked_array
from elr.errors import ArgumentError

SCORES = ("calibrated", "margin", "self_confidence", "aum")


def check_score(score: str, *, out_of_fold: bool) -> None:
    """Refuse a score that is unknown, or that such evidence cannot have.

    Example:
        >>> check_score("loss", out_of_fold=True)
        Traceback (most recent call last):
        elr.errors.ArgumentError: score is 'loss': expected one of calibrated, margin, self_confidence, aum
    """
    if score not in SCORES:
        raise ArgumentError(f"score is {score!r}: expected one of {', '.join(SCORES)}")
    if score == "calibrated" and not out_of_fold:
        raise ArgumentError(
            'score is "calibrated", and the evidence is about rows that the network was trained on: only evidence that '
            "is out of fold can be calibrated; take another score"
        )


def checked_margins(margins: ArrayLike | None, count: int) -> NDArray:
    """Margins, one for each of `count` labels.

    Example:
        >>> checked_margins([1.5, -0.5], 3)
        Traceback (most recent call last):
        elr.errors.ArgumentError: margins have shape (2,): expected (3,), one for each label
    """
    if margins is None:
        raise ArgumentError('score is "aum" and there are no margins: pass them, or take another score')
    means = checked_array(margins, "margins", "iuf")
    if means.shape != (count,):
        raise ArgumentError(f"margins have shape {means.shape}: expected {(count,)}, one for each label")
    return means


def checked_labels(labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Labels as int64, in [0, num_classes).

    Example:
        >>> checked_labels([0, 2], 2)
        Traceback (most recent call last):
        elr.errors.ArgumentError: labels go from 0 to 2: expected integers in [0, 2), the columns of pred_probs
    """
    given = np.asarray(labels)
    if not np.issubdtype(given.dtype, np.integer):
        unknown = int(np.isnan(given).sum()) if given.dtype.kind == "f" else 0
        missing = f", and {unknown} of them are missing (NaN)" if unknown else ""
        raise ArgumentError(
            f"labels are {given.dtype}, such as {given.tolist()[0]!r}{missing}: expected integers in "
            f"[0, {num_classes}), the columns of pred_probs"
        )
    if given.min() < 0 or given.max() >= num_classes:
        raise ArgumentError(
            f"labels go from {given.min()} to {given.max()}: expected integers in [0, {num_classes}), the columns "
            "of pred_probs"
        )
    return given.astype(np.int64, copy=False)


def check_probs(probs: NDArray[np.float64], start: int) -> None:
    """Refuse rows, of which the first is row `start`, that are no probabilities.

    Example:
        >>> check_probs(np.array([[0.5, 0.5], [2.0, -1.0]]), start=7)
        Traceback (most recent call last):
        elr.errors.ArgumentError: pred_probs of row 8 are [2.0, -1.0], sum 1.0000: expected probabilities that sum ...
    """
    bad = ~np.isfinite(probs).all(axis=1) | (probs.min(axis=1) < 0) | (np.abs(probs.sum(axis=1) - 1) > 0.02)
    if bad.any():
        row = int(bad.argmax())
        raise ArgumentError(
            f"pred_probs of row {start + row} are {probs[row][:5].round(4).tolist()}, sum {probs[row].sum():.4f}: "
            "expected probabilities that sum to 1; pass softmax outputs, not logits"
        )
