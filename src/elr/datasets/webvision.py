"""WebVision 1.0, the first 50 classes of its Google part, and ILSVRC12's validation images under the same numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.data.decoding import Geometry
from elr.data.image_store import FileImages
from elr.datasets.base import TRAIN, VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.imagenet import CLASSES, LANDMARKS, class_name, out_of_order, read_meta, read_synsets
from elr.datasets.readers.text_lists import matched, shown, whole_numbers, wrong_line
from elr.errors import ArgumentError, DataError
from elr.files import printable

_MINI = 50
_SOURCES = ("google", "flickr")
_GEOMETRY = Geometry(resize=256, crop=227)  # Liu et al., appendix G, for InceptionResNetV2 on mini-WebVision
_PAGE = "https://data.vision.ee.ethz.ch/cvl/webvision/download.html"
_IMAGENET = "https://image-net.org/download.php (ILSVRC2012, after registration)"
_LINE = r"^[ \t]*(?P<name>\S+)[ \t]+(?P<label>-?[0-9]{1,9})\s*$"
_VALIDATION_NAME = "ILSVRC2012_val_%08d.JPEG"
_FIRST_IMAGE, _FIRST_CLASS = os.fsencode(_VALIDATION_NAME % 1), 65  # the first line of Caffe's val.txt


def _webvision(name: str, title: str, sources: Sequence[str], num_classes: int) -> About:
    examples = {VALIDATION: 50 * num_classes}  # the exact number of all training images could not be verified
    if num_classes == _MINI:
        examples = {TRAIN: 65_944, **examples}
    files = [
        File(role="synsets", places=("info/synsets.txt",), what="the classes", source=f"{_PAGE} (info.tar)"),
    ]
    for source in sources:
        files += [
            File(
                role=f"{source} list",
                places=(f"info/train_filelist_{source}.txt",),
                what=f"the list of {source.title()}'s training images",
                source=f"{_PAGE} (info.tar)",
            ),
            File(
                role=f"{source} images",
                places=tuple(f"{folder}{source}" for folder in ("", "train_images_256/", "train_images/", "train/")),
                what=f"the folder of {source.title()}'s training images",
                source=f"{_PAGE} ({source}_resized_256.tar)",
            ),
        ]
    files += [
        File(
            role="validation list",
            places=("info/val_filelist.txt",),
            what="the list of validation images",
            source=f"{_PAGE} (info.tar)",
            needed=False,
        ),
        File(
            role="validation images",
            places=("val_images_256", "val_images", "val/val_images_256"),
            what="the folder of validation images",
            source=f"{_PAGE} (val_images_256.tar)",
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
        licence="none could be verified; the images belong to their owners on the web",
        citation="Li, Wang, Li, Agustsson, Van Gool: WebVision Database: Visual Learning and Understanding from Web "
        "Data, arXiv:1708.02862, 2017",
        source=_PAGE,
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
    """The first 50 classes of WebVision 1.0, of the images that Google found.

    Args:
        geometry: what images are brought to. Default: 227 of 256, as the paper.

    Source: Jiang et al., MentorNet, ICML 2018, for the subset; Liu et al., NeurIPS 2020, appendix G, for the geometry.
    """

    about = _webvision("mini-webvision", "mini-WebVision", ("google",), _MINI)

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
        names, labels = _read_list(found["validation list"], about.num_classes)
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
        listed, numbers = _read_list(found[f"{source} list"], about.num_classes)
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


def _read_list(path: Path, num_classes: int) -> tuple[pa.Array, NDArray[np.int64]]:
    """Names (bytes) and labels of the lines "name label" whose label is below `num_classes`, in their order.

    Raises:
        DataError: no such line, a line of another form, or a label that is no class.
    """
    fields, at = matched(path, _LINE, 'a name and a class number, such as "a.jpg 0"')
    labels = whole_numbers(pc.struct_field(fields, "label"))
    outside = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(outside):
        row = int(outside[0])
        raise wrong_line(path, int(at[row]), f"has class number {labels[row]}", f"0 to {CLASSES - 1}")
    kept = labels < num_classes
    if not kept.any():
        raise DataError(
            f"{printable(path)} lists no image of classes 0 to {num_classes - 1} ({len(labels):,} images in all): "
            "expected some of each; get the list again"
        )
    return pc.struct_field(fields, "name").filter(pa.array(kept)), labels[kept]


def _ilsvrc12(num_classes: int) -> About:
    devkit = ("ILSVRC2012_devkit_t12/data/", "data/", "", "../ILSVRC2012_devkit_t12/data/")
    truth, where = "ILSVRC2012_validation_ground_truth.txt", f"{_IMAGENET}: ILSVRC2012_devkit_t12.tar.gz"
    flat = "for images in one folder, unless there is"
    optional = (
        ("ground truth", [part + truth for part in devkit], f"the devkit's ground truth ({flat} a list)", where),
        ("meta", [f"{part}meta.mat" for part in devkit], "the devkit's meta.mat, what its class numbers mean", where),
        (
            "list",
            ["imagenet_val.txt", "val.txt", "val_list.txt", "meta/val.txt", "imagenet/imagenet_val.txt"],
            f'a list of lines "{_VALIDATION_NAME % 1} {_FIRST_CLASS}" ({flat} the devkit)',
            "val.txt of http://dl.caffe.berkeleyvision.org/caffe_ilsvrc12.tar.gz",
        ),
        (
            "synsets",
            [f"{part}info/synsets.txt" for part in ("", "../", "../webvision/", "../WebVision/")]
            + ["synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt"],
            "the classes and their order, best the info/synsets.txt of WebVision",
            f"{_PAGE} (info.tar)",
        ),
    )
    images = ("ILSVRC2012_img_val", "val", "imagenet/val", "ILSVRC/Data/CLS-LOC/val")
    return About(
        name="ilsvrc12",
        title="ILSVRC12 (ImageNet's validation images)",
        examples={VALIDATION: 50 * num_classes},
        num_classes=num_classes,
        noise="labels checked by people; some are wrong or one of several right ones all the same",
        licence="for non-commercial research and education (ImageNet's terms of access)",
        citation="Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge, IJCV 115, 2015",
        source=_IMAGENET,
        files=(
            File(
                role="images",
                places=(*images, LANDMARKS[0], _VALIDATION_NAME.replace("%08d", "*")),
                what="the validation images, in one folder or in one per synset",
                source=f"{_IMAGENET}: ILSVRC2012_img_val.tar",
            ),
            *(
                File(role=role, places=tuple(places), what=what, source=source, needed=False)
                for role, places, what, source in optional
            ),
        ),
        oddities=("the class numbers of the devkit (ILSVRC2012_ID, from 1) are not those of sorted synsets",),
    )


class ILSVRC12(Loader):
    """ImageNet's validation images, to evaluate models of WebVision on: the same classes under the same numbers.

    Rows are in the order of the file names, wherever the labels come from.

    Args:
        num_classes: keep the images of the first so many classes, in [1, 1000]; 50 for models of mini-WebVision.
        geometry: what images are brought to. Default: 227 of 256, as the paper for mini-WebVision.

    Raises:
        ArgumentError: a number of classes out of range.
    """

    about = _ilsvrc12(CLASSES)

    def __init__(self, num_classes: int = CLASSES, geometry: Geometry = _GEOMETRY) -> None:
        if not 1 <= num_classes <= CLASSES:
            raise ArgumentError(f"num_classes is {num_classes}: expected 1 to {CLASSES}")
        self.num_classes, self.geometry = num_classes, geometry
        self.about = _ilsvrc12(num_classes)

    def open(self, root: Path) -> PublishedSet:
        """Part "validation": from folders named by synset; else by the devkit; else by a list."""
        found = located(self.about, root)
        folder = found["images"]
        folder = folder.parent if folder.is_file() or folder.name == LANDMARKS[0] else folder
        kept = {path.name for path in folder.iterdir() if re.fullmatch(r"n\d{8}", path.name) and path.is_dir()}
        named = "synsets" in found and (kept or "ground truth" not in found)
        words = read_meta(found["meta"]) if "meta" in found and not named else {}
        classes, remarks = _classes(found, words, kept, folder, self.num_classes)
        if kept:
            names, labels = _in_folders(folder, kept, list(classes)[: self.num_classes], self.about)
        elif words and "ground truth" in found:
            names, labels = _by_ground_truth(found["ground truth"], words, list(classes))
        elif "list" in found:
            names, labels = _read_list(found["list"], CLASSES)
            names = pc.replace_substring_regex(names, r"^.*/", "")  # some lists say val/ILSVRC2012_...
        else:
            raise DataError(
                f"{printable(folder)} has images without labels: expected one folder per synset (n01440764, ...), or "
                f"beside it the devkit's ground truth with meta.mat ({_IMAGENET}), or a list imagenet_val.txt of lines "
                f'"{_VALIDATION_NAME % 1} {_FIRST_CLASS}"'
            )
        bare = pc.replace_substring_regex(names, r"^.*/", "")
        if "synsets" not in found or not remarks:
            _check_first(bare, labels, folder)
        order = pc.sort_indices(bare).to_numpy()
        order = order[labels[order] < self.num_classes]
        images = FileImages(folder, names.take(pa.array(order)), self.geometry)
        part = Part(labels=labels[order], images=images)
        class_names = tuple(classes.values())[: self.num_classes]
        return PublishedSet(about=self.about, class_names=class_names, parts={VALIDATION: part}, remarks=remarks)


def _classes(
    found: Mapping[str, Path], words: Mapping[int, tuple[str, str]], kept: set[str], folder: Path, num_classes: int
) -> tuple[dict[str, str], list[str]]:
    """Class names by synset in the order of class numbers, and remarks where that is not ImageNet's."""
    if "synsets" in found:
        classes = read_synsets(found["synsets"])
        return classes, out_of_order(list(classes), found["synsets"])
    if words:
        return {synset: class_name(synset, text) for synset, text in sorted(words.values())}, []
    if not kept:
        return {str(number): f"class {number}" for number in range(CLASSES)}, [
            f"{printable(folder)} has a list of class numbers only: they are taken to be ImageNet's, without names; "
            "put info/synsets.txt of WebVision beside it"
        ]
    synsets = sorted(kept)
    # Between the first two landmarks ImageNet has no other classes than its first 50.
    landmarks = LANDMARKS if num_classes > _MINI else {at: LANDMARKS[at] for at in LANDMARKS if at < _MINI}
    if any(synsets[at : at + 1] != [synset] for at, synset in landmarks.items()):
        raise DataError(
            f"{printable(folder)} has the folders of {len(kept):,} classes, which do not say by themselves what their "
            f"numbers are: expected all {CLASSES:,} of ImageNet, or the first {_MINI} for so many classes; put "
            "info/synsets.txt of WebVision beside it"
        )
    return {synset: synset for synset in synsets}, []


def _by_ground_truth(
    path: Path, words: Mapping[int, tuple[str, str]], classes: Sequence[str]
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Line k of the devkit is the class of image k, both from 1."""
    fields, at = matched(path, r"^\s*(?P<label>[0-9]{1,9})\s*$", 'the class number of one image, such as "490"')
    found = whole_numbers(pc.struct_field(fields, "label"))
    numbers = {synset: number for number, synset in enumerate(classes)}
    table = np.full(CLASSES + 1, -1)
    for number, (synset, _) in words.items():
        if 1 <= number <= CLASSES:
            table[number] = numbers.get(synset, -1)
    labels = np.where(found <= CLASSES, table[np.minimum(found, CLASSES)], -1)
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        row = int(unknown[0])
        raise wrong_line(
            path, int(at[row]), f"has class number {found[row]}", "one that meta.mat and the list of classes have"
        )
    names = [_VALIDATION_NAME % (line + 1) for line in at.tolist()]
    return pa.array(names).cast(pa.large_binary()), labels


def _in_folders(
    folder: Path, kept: set[str], classes: Sequence[str], about: About
) -> tuple[pa.Array, NDArray[np.int64]]:
    """All images in the folders of some classes."""
    missing = [synset for synset in classes if synset not in kept]
    if missing:
        raise DataError(
            f"{printable(folder)} lacks the folders of {len(missing):,} classes, such as {', '.join(missing[:5])}: "
            f"expected one per class; get them from {about.source}"
        )
    names, labels = [], []
    for number, synset in enumerate(classes):
        inside = os.listdir(os.fsencode(folder / synset))  # noqa: PTH208 - bytes, for names that are no UTF-8
        images = [os.fsencode(synset) + b"/" + name for name in inside if name.lower().endswith((b".jpeg", b".jpg"))]
        names += images
        labels += [number] * len(images)
    if not names:
        raise DataError(f"the folders in {printable(folder)} have no images: get them from {about.source}")
    return pa.array(names, pa.large_binary()), np.array(labels, dtype=np.int64)


def _check_first(bare: pa.Array, labels: NDArray[np.int64], folder: Path) -> None:
    """Refuse labels in another order of classes, by the one image whose class everyone knows."""
    at = pc.index(bare, pa.scalar(_FIRST_IMAGE, pa.large_binary())).as_py()
    if at >= 0 and labels[at] != _FIRST_CLASS:
        raise DataError(
            f"{os.fsdecode(_FIRST_IMAGE)} in {printable(folder)} has class {labels[at]}: expected {_FIRST_CLASS}, its "
            "place among sorted synsets; these may be the devkit's own numbers (ILSVRC2012_ID): use the devkit's "
            "ground truth with meta.mat, or another list"
        )
