"""WebVision 1.0, and mini-WebVision: the first 50 classes of what Google found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import TRAIN, VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.imagenet import (
    CLASSES,
    MINI_CLASSES,
    MINI_CROP,
    MINI_RESIZE,
    WEBVISION_PAGE,
    listed_images,
    out_of_order,
    read_synsets,
)
from elr.datasets.readers.text_lists import shown
from elr.errors import ArgumentError, DataError
from elr.names import printable

_SOURCES = ("google", "flickr")
_GEOMETRY = Geometry(resize=MINI_RESIZE, crop=MINI_CROP)


def _webvision(name: str, title: str, sources: Sequence[str], num_classes: int) -> About:
    examples = {VALIDATION: 50 * num_classes}  # the exact number of all training images could not be verified
    if num_classes == MINI_CLASSES:
        examples = {TRAIN: 65_944, **examples}
    files = [
        File(role="synsets", places=("info/synsets.txt",), what="the classes", source=f"{WEBVISION_PAGE} (info.tar)"),
    ]
    for source in sources:
        files += [
            File(
                role=f"{source} list",
                places=(f"info/train_filelist_{source}.txt",),
                what=f"the list of {source.title()}'s training images",
                source=f"{WEBVISION_PAGE} (info.tar)",
            ),
            File(
                role=f"{source} images",
                places=tuple(f"{folder}{source}" for folder in ("", "train_images_256/", "train_images/", "train/")),
                what=f"the folder of {source.title()}'s training images",
                source=f"{WEBVISION_PAGE} ({source}_resized_256.tar)",
            ),
        ]
    files += [
        File(
            role="validation list",
            places=("info/val_filelist.txt",),
            what="the list of validation images",
            source=f"{WEBVISION_PAGE} (info.tar)",
            needed=False,
        ),
        File(
            role="validation images",
            places=("val_images_256", "val_images", "val/val_images_256"),
            what="the folder of validation images",
            source=f"{WEBVISION_PAGE} (val_images_256.tar)",
            needed=False,
        ),
    ]
    return About(
        name=name,
        title=title,
        examples=examples,
        num_classes=num_classes,
        noise="training labels are the search queries that found the images: no clean ones exist (about 20 % are often "
        "said to be wrong; no source for that could be verified); validation labels were given by people",
        license="none could be verified; the images belong to their owners on the web",
        citation="Li, Wang, Li, Agustsson, Van Gool: WebVision Database: Visual Learning and Understanding from Web "
        "Data, arXiv:1708.02862, 2017",
        source=WEBVISION_PAGE,
        files=tuple(files),
        oddities=("an image that several queries of a class found is listed once for each of them",),
    )


class WebVision(Loader):
    """WebVision 1.0: 1000 classes, more than 2.4 million training images found by Google and Flickr.

    Args:
        sources: which of "google" and "flickr".
        geometry: what images are brought to. Default: 227 of 256, as the paper for mini-WebVision.

    Raises:
        ArgumentError: other sources.

    Example:
        >>> both, google = WebVision(), WebVision(sources=("google",))
        >>> both.about.num_classes, len(both.about.files), len(google.about.files)
        (1000, 7, 5)
        >>> WebVision(sources=("bing",))
        Traceback (most recent call last):
        elr.errors.ArgumentError: sources is ('bing',): expected some of "google" and "flickr", such as ("google",)
    """

    about = _webvision("webvision", "WebVision 1.0", _SOURCES, CLASSES)

    def __init__(self, sources: Sequence[str] = _SOURCES, geometry: Geometry = _GEOMETRY) -> None:
        if isinstance(sources, str) or not sources or len(set(sources)) < len(sources) or set(sources) - set(_SOURCES):
            raise ArgumentError(f'sources is {sources!r}: expected some of "google" and "flickr", such as ("google",)')
        self.sources, self.geometry = tuple(sources), geometry
        self.about = _webvision("webvision", "WebVision 1.0", self.sources, CLASSES)

    def open(self, root: Path) -> PublishedSet:
        """Parts "train" (given labels) and, where its files are there, "validation" (labels checked by people)."""
        return _opened(self.about, root, self.sources, self.geometry)


class MiniWebVision(Loader):
    r"""The first 50 classes of WebVision 1.0, of the images that Google found.

    Args:
        geometry: what images are brought to. Default: 227 of 256, as the paper.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "google").mkdir()
        ...     info = Path(root) / "info"
        ...     info.mkdir()
        ...     synsets = "".join(f"n{number:08d} thing {number}\n" for number in range(1000))
        ...     _ = (info / "synsets.txt").write_text(synsets)
        ...     _ = (info / "train_filelist_google.txt").write_text("google/q1/a.jpg 0\ngoogle/q9/b.jpg 900\n")
        ...     opened = MiniWebVision().open(Path(root))
        >>> opened.parts["train"].labels, opened.class_names[0]  # b.jpg is of none of the first 50 classes
        (array([0]), 'thing 0 (n00000000)')

    Source: Jiang et al., MentorNet, ICML 2018, for the subset; Liu et al., NeurIPS 2020, appendix G, for the geometry.
    """

    about = _webvision("mini-webvision", "mini-WebVision", ("google",), MINI_CLASSES)

    def __init__(self, geometry: Geometry = _GEOMETRY) -> None:
        self.geometry = geometry

    def open(self, root: Path) -> PublishedSet:
        """Parts "train" (given labels) and, where its files are there, "validation" (labels checked by people)."""
        return _opened(self.about, root, ("google",), self.geometry)


def _opened(about: About, root: Path, sources: Sequence[str], geometry: Geometry) -> PublishedSet:
    found = located(about, root)
    synsets = read_synsets(found["synsets"])
    remarks = out_of_order(list(synsets), found["synsets"])
    parts = {TRAIN: _training(about, found, sources, geometry)}
    absent = [role for role in ("validation list", "validation images") if role not in found]
    if absent:
        remarks.append(f"no validation part: there is no {' and no '.join(absent)}; get them from {about.source}")
    else:
        names, labels = listed_images(found["validation list"], about.num_classes)
        parts[VALIDATION] = Part(labels=labels, images=FileImages(found["validation images"], names, geometry))
    class_names = tuple(list(synsets.values())[: about.num_classes])
    return PublishedSet(about=about, class_names=class_names, parts=parts, remarks=remarks)


def _training(about: About, found: Mapping[str, Path], sources: Sequence[str], geometry: Geometry) -> Part:
    """All sources, one after the other; a folder of one source may be a link to another disk."""
    folders = [Path(os.path.realpath(found[f"{source} images"])) for source in sources]
    base = folders[0] if len(sources) == 1 else folders[0].parent
    if len(sources) > 1 and folders != [base / source for source in sources]:
        raise DataError(
            f"{' and '.join(map(printable, folders))} lie apart: expected folders {' and '.join(sources)} in one "
            "folder; move them there, or open one source only"
        )
    names, labels = [], []
    for source in sources:
        listed, numbers = listed_images(found[f"{source} list"], about.num_classes)
        inside = pc.starts_with(listed, f"{source}/")
        if not pc.all(inside).as_py():
            first = pc.filter(listed, pc.invert(inside))[0].as_py()
            raise DataError(
                f"{printable(found[f'{source} list'])} lists {shown(first)}: expected names that begin with {source}/; "
                f"get the list again from {about.source}"
            )
        names.append(pc.replace_substring_regex(listed, f"^{source}/", "") if len(sources) == 1 else listed)
        labels.append(numbers)
    return Part(labels=np.concatenate(labels), images=FileImages(base, pa.concat_arrays(names), geometry))
