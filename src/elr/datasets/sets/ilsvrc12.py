"""ILSVRC12: ImageNet's validation images, whose classes have the same numbers as those of WebVision."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.imagenet import (
    CLASSES,
    LANDMARKS,
    MINI_CLASSES,
    MINI_CROP,
    MINI_RESIZE,
    WEBVISION_PAGE,
    class_name,
    listed_images,
    out_of_order,
    read_meta,
    read_synsets,
)
from elr.datasets.readers.text_lists import matched, whole_numbers, wrong_line
from elr.errors import ArgumentError, DataError
from elr.names import printable

_GEOMETRY = Geometry(resize=MINI_RESIZE, crop=MINI_CROP)
_IMAGENET = "https://image-net.org/download.php (ILSVRC2012, after registration)"
_VALIDATION_NAME = "ILSVRC2012_val_%08d.JPEG"
_FIRST_IMAGE, _FIRST_CLASS = os.fsencode(_VALIDATION_NAME % 1), 65  # the first line of Caffe's val.txt


def _about(num_classes: int) -> About:
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
            f"{WEBVISION_PAGE} (info.tar)",
        ),
    )
    images = ("ILSVRC2012_img_val", "val", "imagenet/val", "ILSVRC/Data/CLS-LOC/val")
    return About(
        name="ilsvrc12",
        title="ILSVRC12 (ImageNet's validation images)",
        examples={VALIDATION: 50 * num_classes},
        num_classes=num_classes,
        noise="labels checked by people; some are wrong or one of several right ones all the same",
        license="for non-commercial research and education (ImageNet's terms of access)",
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
    r"""ImageNet's validation images, to evaluate models of WebVision on: the same classes under the same numbers.

    Rows are in the order of the file names, wherever the labels come from.

    Args:
        num_classes: keep the images of the first so many classes, in [1, 1000]; 50 for models of mini-WebVision.
        geometry: what images are brought to. Default: 227 of 256, as the paper for mini-WebVision.

    Raises:
        ArgumentError: a number of classes out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "val").mkdir()
        ...     _ = (Path(root) / "val.txt").write_text("a.JPEG 3\nb.JPEG 70\n")
        ...     opened = ILSVRC12(num_classes=50).open(Path(root))
        >>> opened.parts["validation"].labels, len(opened.class_names)  # b.JPEG is of none of the first 50
        (array([3]), 50)
    """

    about = _about(CLASSES)

    def __init__(self, num_classes: int = CLASSES, geometry: Geometry = _GEOMETRY) -> None:
        if not 1 <= num_classes <= CLASSES:
            raise ArgumentError(f"num_classes is {num_classes}: expected 1 to {CLASSES}")
        self.num_classes, self.geometry = num_classes, geometry
        self.about = _about(num_classes)

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
            names, labels = listed_images(found["list"], CLASSES)
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
    landmarks = (
        LANDMARKS if num_classes > MINI_CLASSES else {at: LANDMARKS[at] for at in LANDMARKS if at < MINI_CLASSES}
    )
    if any(synsets[at : at + 1] != [synset] for at, synset in landmarks.items()):
        raise DataError(
            f"{printable(folder)} has the folders of {len(kept):,} classes, which do not say by themselves what their "
            f"numbers are: expected all {CLASSES:,} of ImageNet, or the first {MINI_CLASSES} for so many classes; put "
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
