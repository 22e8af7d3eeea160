"""The superclasses of CIFAR-100, and the flips between neighbors in them."""

from collections.abc import Mapping
from types import MappingProxyType

# fmt: off
CIFAR100_SUPERCLASSES = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)
# fmt: on
"""Number of the superclass of each class: the coarse label that CIFAR-100 itself has for it."""


def cycles(groups: tuple[int, ...]) -> Mapping[int, int]:
    """Map each class to the next of its group, in the order of their numbers, and the last to the first.

    Args:
        groups: group of each class.

    Example:
        >>> dict(cycles((0, 1, 0, 1, 0)))
        {0: 2, 2: 4, 4: 0, 1: 3, 3: 1}
    """
    members: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    return MappingProxyType(
        {
            one: following
            for group in members.values()
            for one, following in zip(group, [*group[1:], group[0]], strict=True)
        }
    )


CIFAR100_CYCLES = cycles(CIFAR100_SUPERCLASSES)
"""CIFAR-100: each class to the next of its real superclass (Patrini et al., CVPR 2017)."""
