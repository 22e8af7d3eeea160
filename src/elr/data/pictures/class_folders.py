"""Whether the subfolders of a folder of images are classes: told by how the folders lie, not by their names alone."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from elr.names import printable

_MOSTLY = 0.5  # share of names from which on siblings share them, or of images from which on they lie deeper
_TRAIN, _TEST, _VAL = (
    re.compile(rf"(^|[^a-z])({words})([^a-z]|$)")
    for words in ("train|training|trainset|seg_train", "test|testing|testset", "val|valid|validation|dev|eval")
)
_NO_LABELS = re.compile(r"(^|[^a-z])(unlabell?ed|unsup|unsupervised|pred|predict)([^a-z]|$)")
_PICTURES = {"image", "images", "img", "imgs", "photos", "jpegimages"}
_BESIDE = {"mask", "masks", "annotations", "segmentation", "segmentations", "ground_truth", "groundtruth", "gt"}


@dataclass
class _Folder:
    path: PurePath
    direct: int = 0
    total: int = 0
    below: dict[str, _Folder] = field(default_factory=dict)

    @property
    def deep(self) -> bool:
        """Whether most images lie in subfolders."""
        return self.direct < (1 - _MOSTLY) * self.total

    @property
    def end(self) -> _Folder:
        """The folder in which the first choice among several lies: a folder that only wraps another is passed."""
        return next(iter(self.below.values())).end if not self.direct and len(self.below) == 1 else self

    @property
    def inner(self) -> set[str]:
        """Names of the subfolders that could be classes."""
        if self.end.deep:
            return {name.lower() for name in self.end.below}
        return {self.end.path.name.lower()} if self.deep else set()


def not_classes(root: Path, paths: Iterable[PurePath]) -> str | None:
    """Why the first subfolders of a folder are no classes, and which folder to give; None where they may be classes.

    Args:
        root: the folder.
        paths: of its images, relative to it.

    Example:
        >>> splits = [PurePath(split, kind, "1.png") for split in ("train", "test") for kind in ("cat", "dog")]
        >>> print(not_classes(Path("pets"), splits))
        pets/test and pets/train have subfolders of the same names ('cat', 'dog'): they are splits or copies, not \
classes; give one of them: elr fit pets/train --test pets/test
        >>> not_classes(Path("pets"), [PurePath("cat", "1.png"), PurePath("dog", "1.png")]) is None
        True
    """
    tree = _tree(paths)
    folders = list(tree.below.values())
    if len(folders) == 1:
        return _wrapper(root, folders[0])
    groups = _sharing(folders)
    if groups:
        return _shared(root, groups)
    names = {each.path.name.lower() for each in folders}
    for each in folders:
        copied = each.inner & names - {each.path.name.lower()}
        if copied and len(copied) >= _MOSTLY * len(each.inner):
            return (
                f"{_at(root, each)} has subfolders named as the folders beside it ({_some(copied)}): it is a copy or a "
                f"part of the data, no class; move it out of {printable(root)}, then: elr fit {printable(root)}"
            )
    for each in folders:
        if len(each.inner) > 1 and _role(each) != "other":
            return f"{_at(root, each)} is a split with {len(each.inner)} classes ({_some(each.inner)}), no class; " + (
                _advice(root, folders)
            )
    if names <= _PICTURES | _BESIDE and names & _PICTURES and names & _BESIDE:
        return (
            f"{printable(root)} holds images and what belongs to them ({_some(names)}), not classes: expected "
            f"{printable(root)}/CLASS/IMAGE for every image; lay the images into a folder for each class"
        )
    if all(_role(each) != "other" for each in folders):
        return f"{printable(root)} holds splits ({', '.join(sorted(tree.below))}), not classes: " + (
            _advice(root, folders).replace("give one of them:", "give one of them as data, such as")
        )
    return None


def merged_subfolders(paths: Iterable[PurePath]) -> list[str]:
    """A remark on images that lie deeper than in the folder of their class; none where there are no such images.

    Example:
        >>> merged_subfolders([PurePath("cat", "big", "1.png"), PurePath("dog", "1.png")])
        ["1 images lie in subfolders of class folders, such as cat/big/1.png: their class is the first folder, 'cat'"]
    """
    deeper = [path for path in paths if len(path.parts) > 2]
    if not deeper:
        return []
    first = min(deeper)
    return [
        f"{len(deeper)} images lie in subfolders of class folders, such as {printable(str(first))}: their class is the "
        f"first folder, {printable(first.parts[0])!r}"
    ]


def _tree(paths: Iterable[PurePath]) -> _Folder:
    tree = _Folder(PurePath())
    for path in paths:
        folder = tree
        folder.total += 1
        for part in path.parts[:-1]:
            folder = folder.below.setdefault(part, _Folder(folder.path / part))
            folder.total += 1
        folder.direct += 1
    return tree


def _wrapper(root: Path, folder: _Folder) -> str | None:
    if not folder.deep:
        return None
    end = folder.end
    if end.direct == end.total:
        return None  # one class, in a chain of folders
    where = root / end.path  # the first folder below which there is a choice
    inner = [PurePath(*path.parts[1:]) for path in _paths(end)]
    advice = not_classes(where, inner) or f"give the folder that holds the classes: elr fit {printable(where)}"
    return f"all images of {printable(root)} lie in the one folder {_at(root, folder)}, which is no class; {advice}"


def _paths(folder: _Folder) -> list[PurePath]:
    """A path for each image below a folder, from that folder's name on; names of files do not matter."""
    own = [PurePath(folder.path.name, "1.png")] * folder.direct
    below = [PurePath(folder.path.name, path) for each in folder.below.values() for path in _paths(each)]
    return own + below


def _sharing(folders: list[_Folder]) -> list[_Folder]:
    """The deep folders whose subfolders bear, mostly, names that another one's bear too."""
    deep = [each for each in folders if each.deep and each.inner]
    counts: Counter[str] = Counter(name for each in deep for name in each.inner)
    shared: dict[int, set[str]] = defaultdict(set)
    for position, each in enumerate(deep):
        shared[position] = {name for name in each.inner if counts[name] > 1}
    found = [each for position, each in enumerate(deep) if len(shared[position]) >= _MOSTLY * len(each.inner)]
    return found if len(found) > 1 and any(len(each.inner) > 1 for each in found) else []  # CLASS/images are none


def _shared(root: Path, group: list[_Folder]) -> str:
    common = {name for each in group for name in each.inner if sum(name in other.inner for other in group) > 1}
    names = sorted(_at(root, each) for each in group)
    shown = " and ".join(names) if len(names) == 2 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    shown = ", ".join(names) if len(names) == 3 else shown
    named = any(_role(each) != "other" for each in group)
    are = "they are splits or copies, not classes; " if named else "if they are splits or copies, not classes, "
    return f"{shown} have subfolders of the same names ({_some(common)}): {are}{_advice(root, group)}"


def _advice(root: Path, folders: list[_Folder]) -> str:
    """The command that trains on one folder and tests on another, as their names or sizes say."""
    folders = [each for each in folders if each.path.name.lower() not in _BESIDE] or folders
    training = max(folders, key=lambda each: (_role(each) == "train", len(each.inner) > 1, each.total))
    others = [each for each in folders if each is not training and (each.inner & training.inner or not training.inner)]
    others = [each for each in others if _role(each) != "unlabeled"]
    test = max(others, key=lambda each: (_role(each) == "test", _role(each) == "val", each.total), default=None)
    command = f"elr fit {printable(root / training.end.path)}"
    if test is not None:
        place = test.end.path if test.end.deep or not training.inner else test.end.path.parent
        command += f" --test {printable(root / place)}"
    return f"give one of them: {command}"


def _role(folder: _Folder) -> str:
    name = folder.path.name.lower()
    for role, pattern in (("train", _TRAIN), ("test", _TEST), ("val", _VAL), ("unlabeled", _NO_LABELS)):
        if pattern.search(name):
            return role
    return "other"


def _at(root: Path, folder: _Folder) -> str:
    return printable(root / folder.path)


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(repr(printable(name)) for name in ordered[:4])
    return shown + (f" and {len(ordered) - 4} more" if len(ordered) > 4 else "")
