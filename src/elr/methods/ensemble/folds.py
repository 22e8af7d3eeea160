"""Folds of the training rows: which networks of an ensemble never see a row's label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elr.errors import ArgumentError

EVERYWHERE = -1
"""In place of a fold: a row that every network sees."""


def folds_of(labels: ArrayLike, *, num_folds: int, seed: int) -> NDArray[np.int64]:
    """Deal the rows of each given class out to folds of the same size, or one more, at random.

    The only row of a class is in no fold: networks that never saw the class would all contradict it.

    Args:
        labels: (N,) given classes.
        num_folds: K, in [2, N].
        seed: of the order in which rows are dealt.

    Returns:
        (N,) folds in [0, K), or `EVERYWHERE`.

    Raises:
        ArgumentError: fewer folds than 2, or more than rows.

    Example:
        >>> folds_of([0, 0, 0, 0, 1, 1, 2], num_folds=2, seed=0).tolist()
        [0, 1, 0, 1, 0, 1, -1]
    """
    given = np.asarray(labels)
    if not 2 <= num_folds <= len(given):
        raise ArgumentError(
            f"members is {num_folds} for {len(given)} rows: expected at least 2, and at most one for each row"
        )
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(given))
    order = order[np.argsort(given[order], kind="stable")]  # class by class, at random within each
    counts = np.bincount(given)
    alone = counts[given[order]] == 1
    folds = np.full(len(given), EVERYWHERE, dtype=np.int64)
    dealt = order[~alone]
    folds[dealt] = np.arange(len(dealt)) % num_folds
    return folds
