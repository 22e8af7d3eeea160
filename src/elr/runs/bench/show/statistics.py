"""Means over seeds, and paired differences of two methods with their intervals."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_Key = TypeVar("_Key", bound=Hashable)
_ROUNDING = 1e-12  # differences of accuracies that differ by less are the same ones


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of some values.

    Args:
        mean: of them.
        std: with n - 1 below; None for a single value.
        count: n, how many there are.

    Example:
        >>> Spread.of([0.5, 0.75, 1.0])
        Spread(mean=0.75, std=0.25, count=3)
        >>> Spread.of([0.5]).std is None, Spread.of([]) is None
        (True, True)
    """

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Of finite values; None of none."""
        found = np.array(list(values), dtype=np.float64)
        if not len(found):
            return None
        return cls(float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None, len(found))


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences, and the interval that Student's t gives it.

    Args:
        mean: of the differences; NaN without pairs.
        low: end of the interval; None where there is none: fewer than two pairs, or differences that are all the same
            (their standard deviation of 0 would claim a certainty that so few pairs do not give).
        high: the other end.
        count: pairs.

    Example:
        >>> Difference.of([0.01, 0.02, 0.03]).interval_excludes_zero
        False
        >>> Difference.of([0.01, 0.01, 0.01])
        Difference(mean=0.01, low=None, high=None, count=3)
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def interval_excludes_zero(self) -> bool:
        """Whether there is an interval, and 0 lies outside."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @classmethod
    def of(cls, differences: Sequence[float]) -> Difference:
        r"""Mean and interval, mean \pm t s / sqrt(n) with s the standard deviation and t the quantile at n - 1."""
        spread = Spread.of(differences)
        if spread is None:
            return cls(math.nan, None, None, 0)
        if spread.std is None or spread.std <= _ROUNDING * max(1.0, abs(spread.mean)):
            return cls(spread.mean, None, None, spread.count)
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, spread.count - 1))
        half = quantile * spread.std / math.sqrt(spread.count)
        return cls(spread.mean, spread.mean - half, spread.mean + half, spread.count)


def paired_differences(ours: Mapping[_Key, float], theirs: Mapping[_Key, float]) -> list[float]:
    """Ours minus theirs, for what both have.

    Args:
        ours: values by what pairs them, such as the seed.
        theirs: likewise; only keys that both have count.

    Example:
        >>> paired_differences({0: 0.75, 1: 1.0, 2: 0.5}, {1: 0.75, 2: 0.75, 9: 0.0})
        [0.25, -0.25]
    """
    return [value - theirs[key] for key, value in ours.items() if key in theirs]
