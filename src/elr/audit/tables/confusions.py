"""The pairs of classes that are most often confused."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Confusion(NamedTuple):
    """Rows given one class of which the evidence says another.

    Args:
        given: number of the class in the data.
        clean: number of the class that the evidence favors.
        num_rows: how many rows.
        rate: their share among the rows that the evidence has in `clean`, an entry of the transition matrix.

    Example:
        >>> pair = Confusion(given=0, clean=1, num_rows=12, rate=0.25)
        >>> f"{pair.rate:.0%} of class {pair.clean} were given as class {pair.given}"
        '25% of class 1 were given as class 0'
    """

    given: int
    clean: int
    num_rows: int
    rate: float


def confusions_among(
    given: NDArray[np.int64], favored: NDArray[np.int64], transitions: NDArray[np.float64], limit: int
) -> list[Confusion]:
    """The pairs that come most often among label issues, the most frequent first.

    Args:
        given: (M,) classes in the data.
        favored: (M,) classes that the evidence favors.
        transitions: (C, C) transition matrix.
        limit: how many pairs at most.

    Example:
        >>> confusions_among(np.array([0, 0]), np.array([1, 1]), np.array([[1.0, 0.0], [0.5, 0.5]]), limit=1)
        [Confusion(given=0, clean=1, num_rows=2, rate=0.5)]
    """
    classes = len(transitions)
    counts = np.bincount(given * classes + favored, minlength=classes**2)
    order = np.argsort(-counts, kind="stable")[:limit]
    return [
        Confusion(first, second, int(counts[pair]), float(transitions[second, first]))
        for pair in order[counts[order] > 0]
        for first, second in [divmod(int(pair), classes)]
    ]
