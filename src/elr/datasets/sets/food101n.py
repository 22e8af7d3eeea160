"""Food-101N: images of 101 dishes found on the web, some of whose labels someone checked; tested on Food-101's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import TEST, TRAIN, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.text_lists import lines, matched, shown, wrong_line
from elr.errors import DataError
from elr.names import printable

_CLASSES = 101
_HEADER = "class_name"
_KEY = r"^(?P<key>(?P<class>[^/\t]+)/[^/\t]*[^/\s])\s*$"
_VERIFIED = r"^(?P<key>[^\t]*[^\s])[ ]*\t[ ]*(?P<label>[^\s]+)\s*$"
_PAGE = "https://kuanghuei.github.io/Food-101N/"
_FOOD101 = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/ (food-101.tar.gz)"
_ARCHIVE = f"{_PAGE} (Food-101N_release.zip)"
_BESIDE = ("../food-101/", "food-101/", "../Food-101/", "../food101/", "../food-101/food-101/")
_LISTS = ("verified_train", "verified_val")


def _file(role: str, place: str, what: str, *, needed: bool = True) -> File:
    places = (place, f"Food-101N_release/{place}")
    return File(role=role, places=places, what=what, source=_ARCHIVE, needed=needed)


_ABOUT = About(
    name="food101n",
    title="Food-101N",
    examples={TRAIN: 310_009, TEST: 25_250},
    num_classes=_CLASSES,
    noise="about 20 % of the labels are wrong (the authors' estimate); of 52,868 + 4,741 images someone said whether "
    "the label is right, not which one would be",
    license="none could be verified; the test images, of Food-101, are from Foodspotting, for scientific fair use only",
    citation="Lee, He, Zhang, Yang: CleanNet: Transfer Learning for Scalable Image Classifier Training with Label "
    "Noise, CVPR 2018; its test images: Bossard, Guillaumin, Van Gool: Food-101 - Mining Discriminative Components "
    "with Random Forests, ECCV 2014",
    source=_PAGE,
    files=(
        _file("classes", "meta/classes.txt", "the class names"),
        _file("list", "meta/imagelist.tsv", "the list of all images"),
        _file("images", "images", "the folder of images, one folder per class"),
        _file("verified_train", "meta/verified_train.tsv", "which labels are right, for training", needed=False),
        _file("verified_val", "meta/verified_val.tsv", "which labels are right, for validation", needed=False),
        File(
            role="test list",
            places=tuple(f"{folder}meta/test.txt" for folder in _BESIDE),
            what="the list of Food-101's test images, in a folder food-101 beside this one",
            source=_FOOD101,
            needed=False,
        ),
        File(
            role="test images",
            places=tuple(f"{folder}images" for folder in _BESIDE),
            what="Food-101's images, in a folder food-101 beside this one",
            source=_FOOD101,
            needed=False,
        ),
    ),
    oddities=(
        "verified_train.tsv says of hot_and_sour_soup/a49e6fb26e356c6c41a37b5c18176355.jpg that its label is wrong; "
        "there is no such image, but files of that name in filet_mignon and peking_duck "
        "(github.com/kuanghuei/clean-net/issues/1)",
    ),
)


class Food101N(Loader):
    r"""Food-101N: 310,009 images of 101 dishes; tested on the 25,250 test images of Food-101, which lie beside it.

    Verification labels say whether a given label is right: they are `verified` of the training part, never a class.
    Classes are numbered as in meta/classes.txt, without its header; rows are in the order of meta/imagelist.tsv.

    Args:
        geometry: what images are brought to. Default: 224 of 256.

    Example:
        >>> import tempfile
        >>> classes = [f"dish_{number}" for number in range(101)]
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "images").mkdir()
        ...     meta = Path(root) / "meta"
        ...     meta.mkdir()
        ...     _ = (meta / "classes.txt").write_text("\n".join(["class_name", *classes]))
        ...     _ = (meta / "imagelist.tsv").write_text("class_name/key\ndish_3/a.jpg\ndish_7/b.jpg\n")
        ...     _ = (meta / "verified_train.tsv").write_text("class_name/key\tverification_label\ndish_7/b.jpg\t0\n")
        ...     train = Food101N().open(Path(root)).parts["train"]
        >>> train.labels, train.verified
        (array([3, 7]), array([-1,  0], dtype=int8))
    """

    about = _ABOUT

    def __init__(self, geometry: Geometry | None = None) -> None:
        self.geometry = geometry or Geometry()

    def open(self, root: Path) -> PublishedSet:
        """Parts "train" (given labels; verified where someone looked) and, where it is there, "test"."""
        found = located(self.about, root)
        remarks: list[str] = []
        classes = _class_names(found["classes"])
        keys, labels = _listed(found["list"], classes)
        keys, labels = _each_once(keys, labels, found["list"], remarks)
        images = FileImages(found["images"], keys, self.geometry)
        verified = _verified(found, keys, remarks)
        parts = {TRAIN: Part(labels=labels, images=images, verified=verified)}
        absent = [role for role in ("test list", "test images") if role not in found]
        if absent:
            remarks.append(
                f"no test part: there is no {' and no '.join(absent)} of Food-101; put it into a folder food-101 "
                f"beside this one, from {_FOOD101}"
            )
        else:
            names, numbers = _listed(found["test list"], classes)
            suffix = pa.scalar(b".jpg", pa.large_binary())
            names = pc.binary_join_element_wise(names, suffix, pa.scalar(b"", pa.large_binary()))
            parts[TEST] = Part(labels=numbers, images=FileImages(found["test images"], names, self.geometry))
        class_names = tuple(name.decode("utf-8", "backslashreplace") for name in classes)
        return PublishedSet(about=self.about, class_names=class_names, parts=parts, remarks=remarks)


def _class_names(path: Path) -> list[bytes]:
    """The classes in their order; the first line of the published file is a header, no class."""
    names = [name for line in lines(path).to_pylist() if (name := line.strip())]
    names = names[1:] if names[:1] == [_HEADER.encode()] else names
    if len(names) != _CLASSES or len(set(names)) != _CLASSES:
        raise DataError(
            f"{printable(path)} has {len(names):,} classes, {len(set(names)):,} different ones: expected {_CLASSES} "
            f"below a line {_HEADER}; get it again from {_ARCHIVE}"
        )
    return names


def _listed(path: Path, classes: list[bytes]) -> tuple[pa.Array, NDArray[np.int64]]:
    """The keys "class/name" of a list, and the numbers of their classes."""
    fields, at = matched(path, _KEY, 'a class and a name, such as "apple_pie/1.jpg"', header=_HEADER)
    known = pa.array(classes, pa.large_binary())
    labels = pc.index_in(pc.struct_field(fields, "class"), value_set=known)
    if labels.null_count:
        row = int(np.flatnonzero(labels.is_null().to_numpy(zero_copy_only=False))[0])
        found = shown(fields[row]["class"].as_py())
        raise wrong_line(path, int(at[row]), f"has class {found}", f"one of the {_CLASSES} in meta/classes.txt")
    return pc.struct_field(fields, "key"), labels.to_numpy().astype(np.int64)


def _each_once(
    keys: pa.Array, labels: NDArray[np.int64], path: Path, remarks: list[str]
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Each image once, where it is listed first."""
    seen = keys.dictionary_encode().indices.to_numpy()
    first = np.sort(np.unique(seen, return_index=True)[1])
    if len(first) == len(keys):
        return keys, labels
    again = int(np.setdiff1d(np.arange(len(keys)), first)[0])
    remarks.append(
        f"{printable(path)} lists {len(keys) - len(first):,} images again, such as {shown(keys[again].as_py())}: each "
        "counts once, where it comes first"
    )
    return keys.take(pa.array(first)), labels[first]


def _verified(found: Mapping[str, Path], keys: pa.Array, remarks: list[str]) -> NDArray[np.int8]:
    """(N,) int8: 1 where someone found the given label right, 0 wrong, -1 where nobody looked."""
    verified = np.full(len(keys), -1, dtype=np.int8)
    for name in _LISTS:
        if name not in found:
            remarks.append(f"no verification labels of meta/{name}.tsv: it is not there; get it from {_ARCHIVE}")
            continue
        path = found[name]
        fields, at = matched(path, _VERIFIED, 'an image and 0 or 1, such as "apple_pie/1.jpg<tab>1"', header=_HEADER)
        said = pc.index_in(pc.struct_field(fields, "label"), value_set=pa.array([b"0", b"1"], pa.large_binary()))
        if said.null_count:
            row = int(np.flatnonzero(said.is_null().to_numpy(zero_copy_only=False))[0])
            raise wrong_line(
                path, int(at[row]), f"says {shown(fields[row]['label'].as_py())}", "0 (wrong) or 1 (right)"
            )
        rows = pc.index_in(pc.struct_field(fields, "key"), value_set=keys)
        listed = rows.is_valid().to_numpy(zero_copy_only=False)
        if not listed.all():
            first = pc.struct_field(fields, "key")[int(np.flatnonzero(~listed)[0])].as_py()
            remarks.append(
                f"{printable(path)} speaks of {int((~listed).sum()):,} images that are not listed, such as "
                f"{shown(first)}: left out"
            )
        _note(verified, rows.drop_null().to_numpy(), said.to_numpy()[listed].astype(np.int8), path, remarks)
    return verified


def _note(
    verified: NDArray[np.int8], rows: NDArray[np.integer], said: NDArray[np.int8], path: Path, remarks: list[str]
) -> None:
    """Note what was said of each image first; say where something else was said of it later."""
    unique, first = np.unique(rows, return_index=True)
    fresh = verified[unique] < 0
    verified[unique[fresh]] = said[first[fresh]]
    contradicted = len(np.unique(rows[verified[rows] != said]))
    if contradicted:
        remarks.append(
            f"{printable(path)} contradicts what was said before of {contradicted:,} images: what was said first counts"
        )
