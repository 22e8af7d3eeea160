"""What every published data set gives: what is known of it, its parts as indexed examples; and what is there of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from elr.errors import ArgumentError, DataError
from elr.images import printable
from elr.stores import FileImages, ImageStore

TRAIN, VALIDATION, TEST = "train", "validation", "test"
OK, WARNING, PROBLEM = "ok", "warning", "problem"
_SAMPLED = 16  # images of a part that `check` opens
_NAMED = 5  # files that a finding names


@dataclass(frozen=True, kw_only=True)
class File:
    """A file or folder that a data set has.

    Args:
        role: what the loader calls it.
        places: patterns relative to the folder of the data set, "/" between parts, the first that is there counts; ".."
            may lead to its parent.
        what: what it holds, for people.
        source: where to get or ask for it.
        needed: whether nothing can be opened without it.
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
        licence: of the data, as published.
        citation: the paper.
        source: where the data are to be had.
        files: its layout.
        oddities: what is known to be strange about it.
    """

    name: str
    title: str
    examples: Mapping[str, int]
    num_classes: int
    noise: str
    licence: str
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
        """Share of given labels that are not the clean ones, where those are known."""
        return None if self.clean_labels is None else float((self.labels != self.clean_labels).mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedSet:
    """A published data set, opened.

    Args:
        about: what is known of it.
        class_names: C names, by class number.
        parts: "train", "validation", "test" and others.
        remarks: what the user should know about these files.
    """

    about: About
    class_names: tuple[str, ...]
    parts: Mapping[str, Part]
    remarks: list[str] = field(default_factory=list)


class Loader(ABC):
    """How one published data set is opened. Final classes only; `about` says what it is."""

    about: About

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
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {printable(root)}; expected the folder of {about.title} ({about.source})")
    found: dict[str, Path] = {}
    for file in about.files:
        for place in file.places:
            base, pattern = root, place
            while pattern.startswith("../"):
                base, pattern = base.resolve().parent, pattern[3:]
            matches = [base] if pattern == "." else sorted(base.glob(pattern))
            if matches:
                found[file.role] = matches[0]
                break
    return found, [file for file in about.files if file.role not in found]


def located(about: About, root: Path) -> dict[str, Path]:
    """The files of a data set, by role.

    Raises:
        DataError: some that are needed are not there; each is named, with where to get it.
    """
    found, missing = locate(about, root)
    needed = [file for file in missing if file.needed]
    if needed:
        lines = "; ".join(f"{file.places[0]} ({file.what}; get it from {file.source})" for file in needed)
        raise DataError(f"{printable(root)} is not all of {about.title}: missing {lines}")
    return found


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that `check` found: level is "ok", "warning" or "problem"."""

    level: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """What `check` found.

    Args:
        name: of the data set.
        path: where it looked.
        findings: in the order in which it looked.
        examples: found number of examples of each part.
    """

    name: str
    path: str
    findings: tuple[Finding, ...]
    examples: Mapping[str, int]

    @property
    def usable(self) -> bool:
        """Whether there is no problem."""
        return all(finding.level != PROBLEM for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"usable": self.usable, **asdict(self), "examples": dict(self.examples)}


def check(loader: Loader, root: str | Path, *, sample: int = _SAMPLED) -> Check:
    """Say what is there of a published data set: its files, numbers against the published ones, a sample opened.

    Args:
        loader: of the data set.
        root: its folder.
        sample: how many images of each part are opened, spread evenly.

    Raises:
        ArgumentError: a sample below 1.
    """
    if sample < 1:
        raise ArgumentError(f"sample is {sample}: expected at least 1 image")
    about, root = loader.about, Path(root)
    findings: list[Finding] = []
    try:
        found, missing = locate(about, loader.home(root))
        findings += [
            Finding(level=OK, text=f"{file.what}: {printable(found[file.role])}")
            for file in about.files
            if file.role in found
        ]
        findings += [
            Finding(
                level=PROBLEM if file.needed else WARNING,
                text=f"missing: {file.what}; expected {' or '.join(file.places)}; get it from {file.source}",
            )
            for file in missing
        ]
        opened = loader.open(root)
    except DataError as error:
        if all(finding.level != PROBLEM for finding in findings):
            findings.append(Finding(level=PROBLEM, text=str(error)))
        return Check(name=about.name, path=printable(root), findings=tuple(findings), examples={})
    for name, part in opened.parts.items():
        findings += _of_part(about, name, part, sample)
    findings += [Finding(level=WARNING, text=text) for text in opened.remarks]
    counts = {name: len(part) for name, part in opened.parts.items()}
    return Check(name=about.name, path=printable(root), findings=tuple(findings), examples=counts)


def _of_part(about: About, name: str, part: Part, sample: int) -> list[Finding]:
    findings = []
    expected = about.examples.get(name)
    if expected is None or expected == len(part):
        findings.append(
            Finding(level=OK, text=f"{name}: {len(part):,} examples" + (", as published" if expected else ""))
        )
    else:
        findings.append(Finding(level=WARNING, text=f"{name}: {len(part):,} examples, published were {expected:,}"))
    if part.noise_rate is not None:
        findings.append(
            Finding(level=OK, text=f"{name}: {part.noise_rate:.1%} of the given labels are not the clean ones")
        )
    if isinstance(part.images, FileImages) and (absent := part.images.absent()):
        findings.append(
            Finding(
                level=PROBLEM,
                text=f"{name}: {len(absent):,} of {len(part):,} images are missing, such as "
                f"{', '.join(absent[:_NAMED])}; get them from {about.source}",
            )
        )
    elif isinstance(part.images, ImageStore):
        findings.append(_opened(name, part.images, sample))
    return findings


def _opened(name: str, images: ImageStore, sample: int) -> Finding:
    rows = np.unique(np.linspace(0, len(images) - 1, sample).astype(int)) if len(images) else []
    unreadable = []
    for row in rows:
        try:
            images[int(row)]
        except DataError as error:
            unreadable.append(str(error))
    if unreadable:
        return Finding(level=PROBLEM, text=f"{name}: {len(unreadable)} of {len(rows)} sampled images: {unreadable[0]}")
    return Finding(level=OK, text=f"{name}: {len(rows)} images opened, spread over all of them")
