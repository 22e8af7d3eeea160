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
