"""What every published data set gives: what is known of it, its parts as indexed examples, and where its files lie."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elr.errors import ArgumentError, DataError
from elr.names import printable

if TYPE_CHECKING:
    from torch import Tensor

    from elr.data.pictures.image_store import ImageStore

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file or folder that a data set has.

    Args:
        role: what the loader calls it.
        places: patterns relative to the folder of the data set, "/" between parts, the first that is there counts; ".."
            may lead to its parent; one that ends with "/" is that of a folder.
        what: description of what it holds.
        source: where to get or ask for it.
        needed: whether nothing can be opened without it.

    Example:
        >>> classes = File(role="classes", places=("classes.txt", "../classes.txt"), what="their names", source="us")
        >>> classes.needed
        True
    """

    role: str
    places: tuple[str, ...]
    what: str
    source: str
    needed: bool = True


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a published data set.

    Args:
        name: what `elr data` calls it.
        title: what people call it.
        examples: published number of examples of each part.
        num_classes: C.
        noise: what is known of its wrong labels.
        license: of the data, as published.
        citation: the paper.
        source: where the data are to be had.
        files: its layout.
        oddities: what is known to be strange about it.

    Example:
        >>> from elr.datasets.catalog import make_loader
        >>> about = make_loader("animal10n").about
        >>> about.title, about.num_classes, dict(about.examples)
        ('ANIMAL-10N', 10, {'train': 50000, 'test': 5000})
    """

    name: str
    title: str
    examples: Mapping[str, int]
    num_classes: int
    noise: str
    license: str
    citation: str
    source: str
    files: tuple[File, ...]
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Some examples of a data set, in an order that never changes: their positions are their row numbers.

    Args:
        labels: (N,) int64 given labels, places in the class names; where a part is known to be right, the right ones.
        images: N images: (N, channels, H, W) uint8, or a store that decodes them when they are fetched.
        texts: N texts, where the examples are texts.
        clean_labels: (N,) int64 labels known to be right, beside given ones; for measuring only.
        verified: (N,) int8, where someone looked at the given label: 1 right, 0 wrong, -1 nobody looked. Not a class.

    Raises:
        DataError: lengths that differ.

    Example:
        >>> part = Part(labels=np.array([0, 1, 1]), clean_labels=np.array([0, 1, 0]), texts=["red", "blue", "crimson"])
        >>> len(part), round(part.noise_rate, 3)
        (3, 0.333)
        >>> Part(labels=np.array([0, 1, 1]), texts=["red"])
        Traceback (most recent call last):
        elr.errors.DataError: 1 texts for 3 labels: expected one each
    """

    labels: NDArray[np.int64]
    images: Tensor | ImageStore | None = None
    texts: Sequence[str] | None = None
    clean_labels: NDArray[np.int64] | None = None
    verified: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        for name in ("images", "texts", "clean_labels", "verified"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.labels):
                raise DataError(f"{len(values)} {name} for {len(self.labels)} labels: expected one each")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def noise_rate(self) -> float | None:
        """Share of given labels that are not the clean ones, where those are known and there are any."""
        if self.clean_labels is None or not len(self.labels):
            return None
        return float((self.labels != self.clean_labels).mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedSet:
    """A published data set, opened.

    Args:
        about: what is known of it.
        class_names: C names, by class number.
        parts: "train", "validation", "test" and others.
        remarks: what the user should know about these files.

    Example:
        >>> from elr.datasets.catalog import make_loader
        >>> about = make_loader("animal10n").about
        >>> part = Part(labels=np.array([0, 1]))
        >>> PublishedSet(about=about, class_names=("cat", "lynx"), parts={TRAIN: part}).parts["train"].labels.tolist()
        [0, 1]
    """

    about: About
    class_names: tuple[str, ...]
    parts: Mapping[str, Part]
    remarks: list[str] = field(default_factory=list)


class Loader(ABC):
    """How one published data set is opened. Final classes only.

    Attributes:
        about: what the set is.
        packable: whether its images may also lie in shards that someone has packed.

    Example:
        >>> class Greetings(Loader):
        ...     about = About(
        ...         name="greetings", title="Greetings", examples={TRAIN: 2}, num_classes=2, noise="none",
        ...         license="free", citation="nobody", source="a friend",
        ...         files=(File(role="list", places=("list.txt",), what="the texts", source="a friend"),),
        ...     )
        ...
        ...     def open(self, root: Path) -> PublishedSet:
        ...         texts = located(self.about, root)["list"].read_text().splitlines()
        ...         part = Part(labels=np.arange(2), texts=texts)
        ...         return PublishedSet(about=self.about, class_names=("hello", "bye"), parts={TRAIN: part})
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = (Path(root) / "list.txt").write_text("Hi!\\nSee you.\\n")
        ...     Greetings().open(Path(root)).parts[TRAIN].texts
        ['Hi!', 'See you.']
        >>> Greetings().download(Path("here"))
        Traceback (most recent call last):
        elr.errors.ArgumentError: Greetings cannot be fetched by elr: get it from a friend
    """

    about: About
    packable: bool = True

    def home(self, root: Path) -> Path:
        """The folder to look in, where `root` may be a folder inside it."""
        return root

    @abstractmethod
    def open(self, root: Path) -> PublishedSet:
        """Open what lies there, reading lists and labels but no images.

        Raises:
            DataError: something is missing, damaged, or not what was published; it says what and what to do.
        """

    def download(self, root: Path) -> Path:
        """Fetch the data set into a folder, if that may be done without asking, and say where it is then.

        Raises:
            ArgumentError: it may not, or elr cannot; it says where to ask.
            DataError: no network, or not what was published.
        """
        del root
        raise ArgumentError(f"{self.about.title} cannot be fetched by elr: get it from {self.about.source}")


def locate(about: About, root: Path) -> tuple[dict[str, Path], list[File]]:
    """The files of a data set that are there, by role, and those that are not.

    Raises:
        DataError: no such folder.

    Example:
        >>> import tempfile
        >>> from elr.datasets.catalog import make_loader
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "training").mkdir()
        ...     found, missing = locate(make_loader("animal10n").about, Path(root))
        >>> found["train"].name, [file.role for file in missing]
        ('training', ['test'])
    """
    if not os.path.isdir(root):  # noqa: PTH112 - pathlib raises where a folder above it may not be entered
        raise DataError(f"no such folder: {printable(root)}; expected the folder of {about.title} ({about.source})")
    found: dict[str, Path] = {}
    for file in about.files:
        for place in file.places:
            matches = _matches(root, place)
            if matches:
                found[file.role] = matches[0]
                break
    return found, [file for file in about.files if file.role not in found]


def _matches(base: Path, place: str) -> list[Path]:
    """What lies at a place, in order of names; no links that lead nowhere, no files where a folder is expected."""
    is_there = os.path.isdir if place.endswith("/") else os.path.exists
    parts = place.rstrip("/").split("/")
    while parts[0] == "..":
        base, parts = base.resolve().parent, parts[1:] or ["."]
    found = [base] if parts == ["."] else sorted(base.glob("/".join(parts)))
    return [path for path in found if is_there(path)]


def located(about: About, root: Path) -> dict[str, Path]:
    """The files of a data set, by role.

    Raises:
        DataError: some that are needed are not there; each is named, with where to get it.

    Example:
        >>> import tempfile
        >>> from elr.datasets.catalog import make_loader
        >>> with tempfile.TemporaryDirectory() as root:
        ...     located(make_loader("animal10n").about, Path(root))
        Traceback (most recent call last):
        elr.errors.DataError: ... is not all of ANIMAL-10N: missing training (the training images: ...
    """
    found, missing = locate(about, root)
    needed = [file for file in missing if file.needed]
    if needed:
        lines = "; ".join(f"{file.places[0]} ({file.what}; get it from {file.source})" for file in needed)
        raise DataError(f"{printable(root)} is not all of {about.title}: missing {lines}")
    return found
