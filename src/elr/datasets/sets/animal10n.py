"""ANIMAL-10N: five pairs of animals that people confuse, as image files or in the authors' binary form."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import TEST, TRAIN, About, File, Loader, Part, PublishedSet, located
from elr.errors import DataError
from elr.names import printable

_CLASSES = ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig")
_SIDE = 64
_IMAGE = re.compile(rb"(\d{1,9})_.*\.jpe?g", re.IGNORECASE | re.DOTALL)
_PAGE = "https://dm.kaist.ac.kr/datasets/animal-10n"


def _record(order: str) -> np.dtype:
    """One image in the binary form, as the authors' reader has it (kaist-dmlab/SELFIE)."""
    return np.dtype([("id", f"{order}u4"), ("label", f"{order}u4"), ("pixels", "u1", (3, _SIDE, _SIDE))])


_FOLDERS = ("", "raw_image/", "raw_image_ver/", "raw_image_ver/raw_image/", "ANIMAL-10N/")

_ABOUT = About(
    name="animal10n",
    title="ANIMAL-10N",
    examples={TRAIN: 50_000, TEST: 5_000},
    num_classes=len(_CLASSES),
    noise="about 8 % of the training labels are wrong (the authors' estimate, by cross-validation), within five pairs "
    "of animals that people confuse; the label of each test image agrees with the query that found it; no clean "
    "training labels exist",
    license="given on request, by a form on its page; no license could be verified",
    citation="Song, Kim, Lee: SELFIE: Refurbishing Unclean Samples for Robust Deep Learning, ICML 2019",
    source=_PAGE,
    files=(
        File(
            role=TRAIN,
            places=(*(f"{folder}training" for folder in _FOLDERS), "data_batch_1.bin", "*/data_batch_1.bin"),
            what="the training images: a folder training of files <label>_<id>.jpg, or data_batch_1.bin",
            source=f"{_PAGE} (raw_image_ver.zip, in it raw_image.zip; or the binary version)",
        ),
        File(
            role=TEST,
            places=(*(f"{folder}testing" for folder in _FOLDERS), "test_batch.bin", "*/test_batch.bin"),
            what="the test images: a folder testing of files <label>_<id>.jpg, or test_batch.bin",
            source=f"{_PAGE} (raw_image_ver.zip, in it raw_image.zip; or the binary version)",
            needed=False,
        ),
    ),
    oddities=("classes 2k and 2k + 1 are a pair that people confuse",),
)


class Animal10N(Loader):
    """ANIMAL-10N: 50,000 training and 5,000 test images of 64 x 64 pixels, 10 classes, labels by people.

    Rows are in the order of the file names (as bytes), or in that of the binary files.

    Args:
        geometry: what image files are brought to; the binary form is 64 x 64 as it is. Default: all 64 of 64 pixels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("0_1.jpg", "5_2.jpg"):
        ...         path = Path(root) / "training" / name
        ...         path.parent.mkdir(exist_ok=True)
        ...         path.touch()
        ...     opened = Animal10N().open(Path(root))
        >>> [opened.class_names[label] for label in opened.parts["train"].labels]
        ['cat', 'jaguar']
    """

    about = _ABOUT

    def __init__(self, geometry: Geometry | None = None) -> None:
        self.geometry = geometry or Geometry(resize=_SIDE, crop=_SIDE)

    def open(self, root: Path) -> PublishedSet:
        """Parts "train" (given labels) and, where it is there, "test" (labels that agree with the query)."""
        found = located(self.about, root)
        remarks: list[str] = []
        parts = {name: self._part(found, name, remarks) for name in (TRAIN, TEST) if name in found}
        if TEST not in found:
            remarks.append(f"no test part: there is no folder testing and no test_batch.bin; get it from {_PAGE}")
        return PublishedSet(about=self.about, class_names=_CLASSES, parts=parts, remarks=remarks)

    def _part(self, found: Mapping[str, Path], name: str, remarks: list[str]) -> Part:
        path = found[name]
        return _folder(path, self.geometry, remarks) if path.is_dir() else _binary(path, name)


def _folder(folder: Path, geometry: Geometry, remarks: list[str]) -> Part:
    """Images whose names begin with their label."""
    listed = sorted(os.listdir(os.fsencode(folder)))  # noqa: PTH208 - bytes, for names that are no UTF-8
    names, labels, others = [], [], []
    for name in listed:
        match = _IMAGE.fullmatch(name)
        if match and int(match[1]) < len(_CLASSES):
            names.append(name)
            labels.append(int(match[1]))
        elif name.lower().endswith((b".jpg", b".jpeg")) and not name.startswith(b"."):
            raise DataError(
                f"image {printable(os.fsdecode(name))} in {printable(folder)} does not say its label: expected names "
                f"such as 0_123.jpg that begin with a class number, 0 to {len(_CLASSES) - 1}; get the images again "
                f"from {_PAGE}"
            )
        else:
            others.append(name)
    if not names:
        raise DataError(
            f"no images in {printable(folder)}: expected files such as 0_123.jpg; get them from {_PAGE} and unpack "
            "raw_image.zip too"
        )
    if others:
        remarks.append(
            f"{len(others)} files in {printable(folder)} left out that are no images named by their label, such as "
            f"{printable(os.fsdecode(others[0]))}"
        )
    return Part(
        labels=np.array(labels, dtype=np.int64), images=FileImages(folder, pa.array(names, pa.large_binary()), geometry)
    )


def _binary(path: Path, name: str) -> Part:
    """Records of id, label and pixels; the file is read where images are asked for."""
    paths = [path]
    if name == TRAIN:
        while (following := path.with_name(f"data_batch_{len(paths) + 1}.bin")).exists():
            paths.append(following)
    labels, images = zip(*(_records(path) for path in paths), strict=True)
    return Part(labels=np.concatenate(labels), images=images[0] if len(images) == 1 else torch.cat(images))


def _records(path: Path) -> tuple[np.ndarray, torch.Tensor]:
    size, length = path.stat().st_size, _record(">").itemsize
    if not size or size % length:
        raise DataError(
            f"{printable(path)} has {size:,} bytes: expected records of {length:,} bytes (id, label, {_SIDE} x {_SIDE} "
            f"x 3 pixels); it is truncated or something else: get it again from {_PAGE}"
        )
    # The authors' reader takes the most significant byte first; a file that was written the other way shows it, since
    # labels are below 10. Copy-on-write, never written to: torch takes no read-only array without a warning.
    read = [np.memmap(path, dtype=_record(order), mode="c") for order in (">", "<")]
    records = min(read, key=lambda records: np.count_nonzero(records["label"] >= len(_CLASSES)))
    labels = np.asarray(records["label"]).astype(np.int64)
    wrong = np.flatnonzero(labels >= len(_CLASSES))
    if not len(wrong):
        return labels, torch.from_numpy(records["pixels"])
    row = int(wrong[0])
    raise DataError(
        f"record {row + 1:,} of {printable(path)} has label {labels[row]}: expected 0 to {len(_CLASSES) - 1}; get it "
        f"again from {_PAGE}"
    )
