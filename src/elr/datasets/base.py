"""What every published data set gives: what is known of it, its parts as indexed examples; and what is there of it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from elr.data.image_store import FileImages, ImageStore
from elr.errors import ArgumentError, DataError
from elr.files import printable

TRAIN, VALIDATION, TEST = "train", "validation", "test"
OK, WARNING, PROBLEM = "ok", "warning", "problem"
_SAMPLED = 16  # images of a part that `check` opens
_NAMED = 5  # files that a finding names
_PLACES = 4  # where a file may lie, that a finding names


@dataclass(frozen=True, kw_only=True)
class File:
    """A file or folder that a data set has.

    Args:
        role: what the loader calls it.
        places: patterns relative to the folder of the data set, "/" between parts, the first that is there counts; ".."
            may lead to its parent; one that ends with "/" is that of a folder.
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


def content(path: Path) -> bytes:
    """What a file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"{printable(path)} cannot be read ({reason}): expected a file that may be read; get it again, or mend its "
            "permissions"
        ) from error


def locate(about: About, root: Path) -> tuple[dict[str, Path], list[File]]:
    """The files of a data set that are there, by role, and those that are not.

    Raises:
        DataError: no such folder.
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
                text=f"missing: {file.what}; expected {_places(file)}; get it from {file.source}",
            )
            for file in missing
        ]
        opened = loader.open(root)
    except DataError as error:
        if all(finding.level != PROBLEM for finding in findings):
            findings.append(Finding(level=PROBLEM, text=str(error)))
        return Check(name=about.name, path=printable(root), findings=tuple(findings), examples={})
    findings += _of_classes(opened)
    for name, part in opened.parts.items():
        findings += _of_part(about, name, part, sample)
    findings += [
        Finding(level=WARNING, text=f"{name}: there is no such part, published were {count:,} examples")
        for name, count in about.examples.items()
        if name not in opened.parts
    ]
    findings += [Finding(level=WARNING, text=text) for text in opened.remarks]
    counts = {name: len(part) for name, part in opened.parts.items()}
    return Check(name=about.name, path=printable(root), findings=tuple(findings), examples=counts)


def _places(file: File) -> str:
    others = len(file.places) - _PLACES
    return " or ".join(file.places[:_PLACES]) + (f" (or {others} other places)" if others > 0 else "")


def _of_classes(opened: PublishedSet) -> list[Finding]:
    """Whether there are as many classes as published, and all labels are classes."""
    findings, num_classes = [], len(opened.class_names)
    if num_classes != opened.about.num_classes:
        text = f"{num_classes:,} classes, published were {opened.about.num_classes:,}"
        findings.append(Finding(level=WARNING, text=text))
    for name, part in opened.parts.items():
        for kind, labels in (("given labels", part.labels), ("clean labels", part.clean_labels)):
            strange = 0 if labels is None else int(((labels < 0) | (labels >= num_classes)).sum())
            if strange:
                text = f"{name}: {strange:,} {kind} are no class: expected 0 to {num_classes - 1}; do not use them"
                findings.append(Finding(level=PROBLEM, text=text))
    return findings


def _of_part(about: About, name: str, part: Part, sample: int) -> list[Finding]:
    expected = about.examples.get(name)
    if not len(part):
        return [Finding(level=PROBLEM, text=f"{name}: no examples; get the data again from {about.source}")]
    if expected is None or expected == len(part):
        counted = Finding(level=OK, text=f"{name}: {len(part):,} examples" + (", as published" if expected else ""))
    else:
        counted = Finding(level=WARNING, text=f"{name}: {len(part):,} examples, published were {expected:,}")
    findings = [counted]
    if part.noise_rate is not None:
        findings.append(
            Finding(level=OK, text=f"{name}: {part.noise_rate:.1%} of the given labels are not the clean ones")
        )
    if part.verified is not None:
        right, wrong = (int((part.verified == judgment).sum()) for judgment in (1, 0))
        text = f"{name}: {right + wrong:,} given labels were looked at, {right:,} are right, {wrong:,} are wrong"
        findings.append(Finding(level=OK, text=text))
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
    rows = np.unique(np.linspace(0, len(images) - 1, sample).astype(int))
    unreadable = []
    for row in rows:
        try:
            images[int(row)]
        except DataError as error:
            unreadable.append(str(error))
    if unreadable:
        text = f"{name}: {len(unreadable)} of {len(rows)} sampled images: {unreadable[0]}"
        return Finding(level=PROBLEM, text=text)
    return Finding(level=OK, text=f"{name}: {len(rows)} images opened, spread over all of them")
