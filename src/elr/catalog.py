"""All published data sets by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from elr.animal10n import Animal10N
from elr.cifar import CIFAR
from elr.clothing1m import Clothing1M
from elr.errors import ArgumentError
from elr.food101n import Food101N
from elr.human import HUMAN_SETS
from elr.published import Loader
from elr.webvision import ILSVRC12, MiniWebVision, WebVision

LOADERS: dict[str, Callable[[], Loader]] = {
    "cifar10": partial(CIFAR, 10),
    "cifar100": partial(CIFAR, 100),
    **{f"cifar10n-{name.replace('_label', '')}": partial(CIFAR, 10, human=name) for name in HUMAN_SETS[10]},
    "cifar100n": partial(CIFAR, 100, human="noisy_label"),
    "clothing1m": Clothing1M,
    "webvision": WebVision,
    "mini-webvision": MiniWebVision,
    "ilsvrc12": ILSVRC12,
    "animal10n": Animal10N,
    "food101n": Food101N,
}
"""What makes the loader of each."""


def make_loader(name: str, *, labels: Path | None = None) -> Loader:
    """The loader of a published data set.

    Args:
        name: a key of `LOADERS`.
        labels: where the human labels of CIFAR-10N or CIFAR-100N lie, if not beside the images.

    Raises:
        ArgumentError: no such data set, or labels for one that has none apart.

    Example:
        >>> make_loader("cifar10").about.title
        'CIFAR-10'
    """
    if name not in LOADERS:
        near = difflib.get_close_matches(name, LOADERS, n=3, cutoff=0.4)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise ArgumentError(f"no data set {name!r}: {guess}known are {', '.join(LOADERS)}")
    loader = LOADERS[name]()
    if labels is None:
        return loader
    if not isinstance(loader, CIFAR) or loader.human is None:
        raise ArgumentError(f"labels are named, and {name} has none apart from its images: leave them out")
    return CIFAR(loader.num_classes, human=loader.human, labels=labels)
