"""Label noise by name, as the command line and recipes know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from elr.errors import ArgumentError
from elr.noise.models import (
    CIFAR10_ASYMMETRIC,
    NoisyLabels,
    Seed,
    consecutive_blocks,
    corrupt_asymmetric,
    corrupt_asymmetric_authors,
    corrupt_pairflip,
    corrupt_symmetric,
    corrupt_symmetric_authors,
    corrupt_transition,
)
from elr.noise.superclasses import CIFAR100_CYCLES

Named = Callable[..., NoisyLabels]


def _flips(name: str, corrupt_by: Callable[..., NoisyLabels], classes: int, mapping: Mapping[int, int]) -> Named:
    """A recipe for one data set, whose classes are known."""

    def corrupt_named(labels: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed) -> NoisyLabels:
        if num_classes != classes:
            raise ArgumentError(
                f"num_classes is {num_classes!r}; {name} expects {classes}; see corrupt_asymmetric for others"
            )
        noisy = corrupt_by(labels, noise_rate=noise_rate, num_classes=classes, mapping=mapping, seed=seed)
        return replace(noisy, name=name)

    return corrupt_named


def _one_by_one(
    labels: ArrayLike, *, noise_rate: float, num_classes: int, mapping: Mapping[int, int], seed: Seed
) -> NoisyLabels:
    """Flip each example of the mapped classes by itself."""
    matrix = np.eye(num_classes)
    for old, new in mapping.items():
        matrix[old, old], matrix[old, new] = 1 - noise_rate, noise_rate
    return corrupt_transition(labels, transition_matrix=matrix, seed=seed)


# Names of the command line; each takes (labels, *, noise_rate, num_classes, seed).
NOISES: dict[str, Named] = {
    "symmetric": corrupt_symmetric,
    "symmetric-authors": corrupt_symmetric_authors,
    "asymmetric-cifar10": _flips("asymmetric-cifar10", corrupt_asymmetric, 10, CIFAR10_ASYMMETRIC),
    "asymmetric-cifar10-authors": _flips(
        "asymmetric-cifar10-authors", corrupt_asymmetric_authors, 10, CIFAR10_ASYMMETRIC
    ),
    "asymmetric-cifar100-superclasses": _flips(
        "asymmetric-cifar100-superclasses", corrupt_asymmetric, 100, CIFAR100_CYCLES
    ),
    "asymmetric-cifar100-authors": _flips("asymmetric-cifar100-authors", _one_by_one, 100, consecutive_blocks(100, 5)),
    "pairflip": corrupt_pairflip,
}


def corrupt(name: str, labels: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed) -> NoisyLabels:
    """Corrupt labels by the recipe that `NOISES` lists under `name`.

    Args: as in `corrupt_symmetric`, and name, a key of `NOISES`; those of one data set need its number of classes.
    Returns: NoisyLabels whose `name` is `name`. Raises: ArgumentError when the name is unknown, and as the recipe does.
    Example:
        >>> list(NOISES)[:3]
        ['symmetric', 'symmetric-authors', 'asymmetric-cifar10']
        >>> corrupt("pairflip", [0, 0, 1, 1], noise_rate=0.5, num_classes=2, seed=0).noise_rate
        0.5
    """
    if not isinstance(name, str) or name not in NOISES:
        raise ArgumentError(f"noise {name!r} is unknown; expected one of {', '.join(NOISES)}; pass one of these")
    return NOISES[name](labels, noise_rate=noise_rate, num_classes=num_classes, seed=seed)
