"""What is there of a published data set: its files, numbers against the published ones, a sample of images opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elr.data.pictures.image_store import FileImages, ImageStore
from elr.datasets.base import About, File, Loader, Part, PublishedSet, locate
from elr.errors import ArgumentError, DataError
from elr.names import printable

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_SAMPLED = 16  # images of a part that `check` opens
_NAMED = 5  # files that a finding names
_PLACES = 4  # where a file may lie, that a finding names


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that `check` found: level is "ok", "warning" or "problem".

    Example:
        >>> Finding(level=WARNING, text="train: 4 examples, published were 50,000").level
        'warning'
    """

    level: str
    text: str


@dataclass(frozen=True, kw_only=True)
class SetCheck:
    """What `check` found.

    Args:
        name: of the data set.
        path: where it looked.
        findings: in the order in which it looked.
        examples: found number of examples of each part.

    Example:
        >>> lost = Finding(level=PROBLEM, text="missing: the list of images")
        >>> found = SetCheck(name="webvision", path="here", findings=(lost,), examples={})
        >>> found.usable, found.to_json()["findings"][0]["level"]
        (False, 'problem')
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


def check(loader: Loader, root: str | Path, *, sample: int = _SAMPLED) -> SetCheck:
    """Say what is there of a published data set: its files, numbers against the published ones, a sample opened.

    Args:
        loader: of the data set.
        root: its folder.
        sample: how many images of each part are opened, spread evenly.

    Raises:
        ArgumentError: a sample below 1.

    Example:
        >>> import tempfile
        >>> from elr.datasets.catalog import make_loader
        >>> with tempfile.TemporaryDirectory() as root:
        ...     found = check(make_loader("animal10n"), root)
        >>> found.usable, [finding.text[:28] for finding in found.findings]
        (False, ['missing: the training images', 'missing: the test images: a '])
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
        return SetCheck(name=about.name, path=printable(root), findings=tuple(findings), examples={})
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
    return SetCheck(name=about.name, path=printable(root), findings=tuple(findings), examples=counts)


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
