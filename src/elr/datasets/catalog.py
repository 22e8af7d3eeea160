"""All published data sets by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from elr.datasets.base import TEST, TRAIN, VALIDATION, File, Loader, PublishedSet, locate, located
from elr.datasets.readers.cifar_n import HUMAN_SETS
from elr.datasets.readers.shards import open_shards
from elr.datasets.sets.allenoise import AlleNoise
from elr.datasets.sets.animal10n import Animal10N
from elr.datasets.sets.cifar import CIFAR
from elr.datasets.sets.clothing1m import Clothing1M
from elr.datasets.sets.food101n import Food101N
from elr.datasets.sets.ilsvrc12 import ILSVRC12
from elr.datasets.sets.noisyner import LABEL_SETS, NoisyNER
from elr.datasets.sets.red_mini_imagenet import BLUE, LEVELS, RED, RedMiniImageNet
from elr.datasets.sets.webvision import MiniWebVision, WebVision
from elr.errors import ArgumentError, DataError
from elr.names import printable

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
    **{
        f"{color}-mini-imagenet{'' if level == 0.2 else f'-{100 * level:.0f}'}": partial(
            RedMiniImageNet, noise=color, level=level
        )
        for color in (RED, BLUE)
        for level in LEVELS
    },
    "allenoise": AlleNoise,
    **{
        f"noisyner{'' if label_set == 1 else f'-{label_set}'}": partial(NoisyNER, label_set=label_set)
        for label_set in LABEL_SETS
    },
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


_PATTERNS = {TRAIN: "train", VALIDATION: "val", TEST: "test"}


class InShards(Loader):
    """A set of images that someone has packed into shards: train*.tar, val*.tar, test*.tar, or the same as .parquet.

    Labels are class numbers, or names; where they are numbers, classes.txt has the names, a line each, or the numbers
    are the names. All parts have the classes of the training part. See `elr.datasets.readers.shards`.

    Args:
        loader: of the set itself.

    Example:
        >>> [file.places for file in InShards(make_loader("clothing1m")).about.files if file.needed]
        [('train*.tar', 'train*.parquet')]
    """

    def __init__(self, loader: Loader) -> None:
        parts = ((TRAIN, True), (VALIDATION, False), (TEST, False))
        self.about = replace(
            loader.about,
            files=tuple(
                File(
                    role=part,
                    places=(f"{_PATTERNS[part]}*.tar", f"{_PATTERNS[part]}*.parquet"),
                    what=f"shards of the {part} images",
                    source="those who packed the shards",
                    needed=needed,
                )
                for part, needed in parts
            ),
        )

    def open(self, root: Path) -> PublishedSet:
        found = located(self.about, root)
        names = _class_names(root / "classes.txt")
        train = open_shards(root, pattern=_PATTERNS[TRAIN], class_names=names)
        if len(train.class_names) != self.about.num_classes:
            raise DataError(
                f"the training shards in {printable(root)} have {len(train.class_names)} classes, {self.about.title} "
                f"has {self.about.num_classes}: expected all of them, or their names in classes.txt"
            )
        parts, remarks = {TRAIN: train.part}, list(train.remarks)
        for part in (VALIDATION, TEST):
            if part in found:
                shards = open_shards(root, pattern=_PATTERNS[part], class_names=train.class_names)
                parts[part] = shards.part
                remarks += shards.remarks
        return PublishedSet(about=self.about, class_names=train.class_names, parts=parts, remarks=remarks)


def _class_names(file: Path) -> tuple[str, ...] | None:
    if not file.is_file():
        return None
    return tuple(line.strip() for line in file.read_text(encoding="utf-8", errors="backslashreplace").splitlines())


def loader_for(name: str, root: Path, *, labels: Path | None = None) -> Loader:
    """The loader for what lies in a folder: that of the set, or, where its files are not there, of shards of it.

    Args:
        name: a key of `LOADERS`.
        root: the folder.
        labels: see `make_loader`.

    Raises:
        ArgumentError: see `make_loader`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "train-000.tar").touch()
        ...     type(loader_for("clothing1m", Path(root))).__name__
        'InShards'
    """
    loader = make_loader(name, labels=labels)
    if not loader.packable or not any(any(root.glob(f"{_PATTERNS[TRAIN]}*.{kind}")) for kind in ("tar", "parquet")):
        return loader
    _, missing = locate(loader.about, loader.home(root))
    return InShards(loader) if any(file.needed for file in missing) else loader
