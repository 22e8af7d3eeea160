"""The transition matrix: how often each label is given to examples of each class. Counted and scaled here, once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elr.checking import checked, checked_array
from elr.errors import ArgumentError


@checked
def count_transitions(
    labels: NDArray[np.int64], clean_labels: NDArray[np.int64], *, num_classes: int
) -> NDArray[np.int64]:
    """Count the examples of each class that were given each label.

    Args:
        labels: (N,) given labels, int64 in [0, C).
        clean_labels: (N,) their classes, known or estimated, int64 in [0, C).
        num_classes: C.

    Returns:
        (C, C) int64, [i, j] is how many examples of class i were given label j.

    Example:
        >>> count_transitions(np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1]), num_classes=2).tolist()
        [[1, 2], [0, 1]]
    """
    if num_classes < 1:
        raise ArgumentError(f"num_classes is {num_classes}: expected an integer of at least 1")
    given, clean = checked_array(labels, "labels", "iu"), checked_array(clean_labels, "clean_labels", "iu")
    if given.ndim != 1 or given.shape != clean.shape:
        raise ArgumentError(f"labels have shape {given.shape}, clean_labels {clean.shape}: expected (N,) both")
    for name, values in (("labels", given), ("clean_labels", clean)):
        if values.size and (values.min() < 0 or values.max() >= num_classes):
            raise ArgumentError(
                f"{name} go from {values.min()} to {values.max()}: expected classes in [0, {num_classes})"
            )
    labels, clean_labels = given.astype(np.int64, copy=False), clean.astype(np.int64, copy=False)
    pairs = clean_labels * num_classes + labels
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def transition_matrix(counts: ArrayLike) -> NDArray[np.float64]:
    """Scale counts to T[i, j] = P(given j | clean i), rows that sum to 1; a class without examples keeps its label.

    cleanlab's noise_matrix is the transpose.

    Args:
        counts: (C, C) of `count_transitions`, or sums of label probabilities; not negative.

    Returns:
        (C, C) float64; the identity's row where the row of `counts` is empty.

    Example:
        >>> transition_matrix([[3, 1], [0, 0]]).tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    found = checked_array(counts, "counts", "biuf")
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise ArgumentError(f"counts have shape {found.shape}: expected (C, C), a row for each true class")
    totals = found.sum(axis=1, keepdims=True)
    return np.divide(found, totals, out=np.eye(len(found)), where=totals > 0)


def checked_transitions(matrix: object, name: str = "transition_matrix") -> NDArray[np.float64]:
    """A transition matrix as somebody gives it, T[i, j] = P(given j | clean i).

    Args:
        matrix: (C, C) numbers, finite, not negative, rows sum to 1 within 1e-6; nested lists or an array.
        name: what messages call it.

    Raises:
        ArgumentError: anything else, or fewer than two classes.

    Example:
        >>> checked_transitions([[0.9, 0.1], [0, 1]]).tolist()
        [[0.9, 0.1], [0.0, 1.0]]
        >>> checked_transitions([[0.9, 0.2], [0.1, 0.8]])
        Traceback (most recent call last):
        elr.errors.ArgumentError: row 0 of transition_matrix sums to 1.1; expected 1; rescale or transpose it
    """
    if isinstance(matrix, str):
        raise ArgumentError(f"{name} is {matrix!r}; expected a row for each true class, such as [[0.9,0.1],[0.2,0.8]]")
    array = checked_array(matrix, name, "iuf").astype(np.float64)
    if array.ndim != 2 or len(array) != array.shape[1] or len(array) < 2:
        raise ArgumentError(f"{name} has shape {array.shape}; expected (C, C), C >= 2; pass a row per class")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ArgumentError(f"{name} has a negative or not finite entry; expected probabilities; correct it")
    sums = array.sum(axis=1)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row] - 1) > 1e-6:  # lets float32 pass
        raise ArgumentError(f"row {row} of {name} sums to {sums[row]:.6g}; expected 1; rescale or transpose it")
    return array
