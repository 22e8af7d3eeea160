"""How far predictions agree with labels they never saw, held against chance and against always saying one class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_ERRORS = 3.0  # standard errors over chance: of 24 tables of random numbers one was taken for learned by three


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of predictions with given labels, and what it has to be better than.

    Args:
        share: of the labels, that are predicted.
        by_chance: what the same predictions in random order agree with, on average.
        standard_error: of that, over the orders; 0 where all predictions, or all labels, are one class.
        most_frequent: the class that is given most often.
        always: what always saying that class agrees with.
        beats_one_class: whether the share is above that, by its own standard error.

    Example:
        >>> found = agreement_of([[90, 8], [10, 12]])
        >>> found.share, found.most_frequent, round(found.always, 2), found.beats_one_class, found.beats_chance
        (0.85, 0, 0.83, False, True)
    """

    share: float
    by_chance: float
    standard_error: float
    most_frequent: int
    always: float
    beats_one_class: bool

    @property
    def numbers(self) -> dict[str, float]:
        """What an alarm keeps of it."""
        return {
            "agreement_with_given_labels": self.share,
            "most_frequent_class": self.always,
            "agreement_by_chance": self.by_chance,
            "standard_error": self.standard_error,
        }

    @property
    def beats_chance(self) -> bool:
        """Whether predictions know something of the labels: three standard errors more than in random order."""
        return self.standard_error > 0 and not self.may_be_chance

    @property
    def may_be_chance(self) -> bool:
        """Whether the agreement is less than three standard errors above that of a random order."""
        return self.share - self.by_chance < _ERRORS * self.standard_error

    @property
    def nothing_learned(self) -> bool:
        """Whether predictions are better neither than always saying one class, nor than chance."""
        return not self.beats_one_class and not self.beats_chance

    @property
    def only_a_ranking(self) -> bool:
        """Whether they know something of the labels, and still are no better than always saying one class."""
        return not self.beats_one_class and self.beats_chance


def agreement_of(counts: ArrayLike) -> Agreement:
    """The agreement that a table of counts shows.

    Args:
        counts: (C, C), [i, j] is how many rows given class j are predicted as class i.

    Example:
        >>> agreement_of([[35, 25], [25, 35]]).may_be_chance
        True
    """
    table = np.asarray(counts, dtype=np.float64)
    given, predicted, total = table.sum(axis=0), table.sum(axis=1), float(table.sum())
    share, always = float(np.trace(table)) / total, float(given.max()) / total
    product = float(given @ predicted)
    squares = product - float(given @ predicted**2 + predicted @ given**2) / total + product**2 / total**2
    return Agreement(
        share=share,
        by_chance=product / total**2,
        standard_error=float(np.sqrt(max(squares, 0.0) / max(total - 1.0, 1.0))) / total,
        most_frequent=int(given.argmax()),
        always=always,
        beats_one_class=bool(share - always >= np.sqrt(share * (1.0 - share) / total)),
    )
