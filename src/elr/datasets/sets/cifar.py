"""CIFAR-10 and CIFAR-100 in the layouts in which they lie about, with clean labels or those of humans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elr.data.formats.folder import file_sources, list_images
from elr.data.formats.images import decode_images
from elr.data.pictures.decoding import Encoded
from elr.data.pictures.parquet_images import (
    parquet_columns,
    parquet_image_columns,
    parquet_images,
    parquet_length,
    read_parquet_columns,
)
from elr.datasets.base import TEST, TRAIN, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.cifar_n import HUMAN_HOME, HUMAN_NOISE, HUMAN_SETS, human_labels
from elr.errors import ArgumentError, DataError, OutputError, optional
from elr.files import writing
from elr.names import printable
from elr.networks.hub import answers

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
)
# fmt: on
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_PARQUET = {TRAIN: "train*.parquet", TEST: "test*.parquet"}
_ARCHIVES = {10: "cifar-10-batches-py", 100: "cifar-100-python"}
_BINARIES = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}
_BINARY_PARTS = {
    10: {TRAIN: tuple(f"data_batch_{number}.bin" for number in range(1, 6)), TEST: ("test_batch.bin",)},
    100: {TRAIN: ("train.bin",), TEST: ("test.bin",)},
}
_HOME = "www.cs.toronto.edu/~kriz/cifar.html"


class CIFAR(Loader):
    """CIFAR-10 or CIFAR-100, with clean labels or those of humans.

    Layouts: torchvision's archive, unpacked (its MD5 sums are checked before it is unpickled); the binary version;
    Parquet files of the Hugging Face hub; folders train and test of images by class, as PNG or the like.

    Args:
        num_classes: 10 or 100.
        human: a label set of CIFAR-10N or CIFAR-100N to give in place of the clean labels, in `HUMAN_SETS`.
        labels: its file, or the folder that has it; default: in the folder of the images, or beside it in cifar10n or
            cifar100n.

    Raises:
        ArgumentError: another number of classes, or no such label set.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("train.bin", "test.bin"):
        ...         record = np.zeros(2 + 3 * 32 * 32, dtype=np.uint8)  # coarse label, fine label, pixels
        ...         record[:2] = 4, 1
        ...         record.tofile(Path(root) / name)
        ...     opened = CIFAR(100).open(Path(root))
        >>> opened.class_names[opened.parts["train"].labels[0]], opened.parts["test"].images.shape
        ('aquarium_fish', torch.Size([1, 3, 32, 32]))
        >>> CIFAR(10, human="worse_label").about.noise
        '40.2 % wrong (a wrong one of three annotators, where there is one)'

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; Wei et al., ICLR 2022.
    """

    packable = False

    def __init__(self, num_classes: int = 10, *, human: str | None = None, labels: Path | None = None) -> None:
        if num_classes not in HUMAN_SETS:
            raise ArgumentError(f"num_classes is {num_classes}: expected 10 or 100")
        if human is not None and human not in HUMAN_SETS[num_classes]:
            raise ArgumentError(
                f"CIFAR-{num_classes}N has no label set {human!r}: expected one of {', '.join(HUMAN_SETS[num_classes])}"
            )
        self.num_classes = num_classes
        self.human = human
        self.labels = labels
        self.class_names = CIFAR10_CLASSES if num_classes == 10 else CIFAR100_CLASSES
        self.about = _about(num_classes, human)

    def home(self, root: Path) -> Path:
        return root.resolve().parent if root.name in (*_ARCHIVES.values(), *_BINARIES.values()) else root

    def open(self, root: Path) -> PublishedSet:
        found = located(self.about, self.home(root))
        images = found["images"]
        remarks: list[str] = []
        if images.suffix == ".parquet":
            parts = {part: self._from_parquet(images.parent, part) for part in _PARQUET}
        elif images.name == TRAIN:
            parts = {part: self._from_folder(images.parent / part) for part in _PARQUET}
            remarks.append("image folders have no original order: rows are in the order of their file names")
        elif images.suffix == ".bin" or images.name in _BINARIES.values():
            folder = images.parent if images.suffix == ".bin" else images
            parts = {part: self._from_binary(folder, part) for part in _PARQUET}
        else:
            parts = {part: self._from_archive(images, part) for part in _PARQUET}
        if self.human is not None:
            parts[TRAIN] = self._with_human(root, parts[TRAIN])
        return PublishedSet(about=self.about, class_names=self.class_names, parts=parts, remarks=remarks)

    def download(self, root: Path) -> Path:
        archive = root / _ARCHIVES[self.num_classes]
        if archive.exists():
            raise OutputError(
                f"{printable(archive)} is there already: `elr data check` looks at it; take it away first"
            )
        if not answers(f"https://{_HOME}"):
            raise DataError(
                f"{_HOME} does not answer: there is no network, or it is down; copy {archive.name} from elsewhere"
            )
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=root, prefix="elr-download-") as partial:
                try:
                    self._torchvision()(partial, download=True)
                except (OSError, RuntimeError) as error:
                    raise DataError(f"{self.about.title} was not fetched ({error}): try again later") from error
                (Path(partial) / archive.name).rename(archive)
        return root

    def _torchvision(self) -> Any:
        sets = optional("torchvision.datasets", "torchvision's archive", extra="images")  # takes 1.7 s to import
        return sets.CIFAR10 if self.num_classes == 10 else sets.CIFAR100

    def _with_human(self, root: Path, train: Part) -> Part:
        assert self.human is not None, "asked for by the caller"
        given = human_labels(self.labels or root, self.human, train.labels, num_classes=self.num_classes)
        return replace(train, labels=given, clean_labels=train.labels)

    def _from_parquet(self, folder: Path, part: str) -> Part:
        files = sorted(folder.glob(_PARQUET[part]))
        if len(files) != 1:
            raise DataError(
                f"{printable(folder)} has {len(files)} files for {part}: expected one, {_PARQUET[part]}, as on the hub"
            )
        columns = parquet_columns(files[0])
        label = "label" if self.num_classes == 10 else "fine_label"
        pictures = parquet_image_columns(files[0])
        if label not in columns or not pictures:
            raise DataError(
                f"{printable(files[0])} has the columns {', '.join(columns)[:200]}: expected img and {label}, as "
                f"CIFAR-{self.num_classes} of huggingface.co/datasets/uoft-cs has them"
            )
        labels = self._numbers(read_parquet_columns(files[0], [label])[label].tolist(), files[0])
        return Part(
            labels=labels, images=_decoded(lambda: parquet_images(files[0], pictures[0]), parquet_length(files[0]))
        )

    def _from_folder(self, folder: Path) -> Part:
        if not folder.is_dir():
            raise DataError(f"there is no folder {printable(folder)}: expected train and test beside each other")
        paths, _ = list_images(folder)
        labels = self._numbers([path.parent.name for path in paths], folder)
        return Part(labels=labels, images=_decoded(file_sources(folder, paths), len(paths)))

    def _from_binary(self, folder: Path, part: str) -> Part:
        """Records of one label byte (two for CIFAR-100: coarse, fine) and 3072 of pixels, channel by channel."""
        before = 1 if self.num_classes == 10 else 2
        blocks = []
        for name in _BINARY_PARTS[self.num_classes][part]:
            file = folder / name
            if not file.is_file():
                raise DataError(f"{printable(folder)} has no {name}: unpack the binary version from {_HOME} again")
            content = np.fromfile(file, dtype=np.uint8)
            if not len(content) or len(content) % (before + _PIXELS):
                raise DataError(
                    f"{printable(file)} has {len(content):,} bytes: expected a multiple of {before + _PIXELS}; it is "
                    f"cut short, unpack the binary version from {_HOME} again"
                )
            blocks.append(content.reshape(-1, before + _PIXELS))
        records = np.concatenate(blocks)
        labels = self._numbers(records[:, before - 1].tolist(), folder)
        images = torch.from_numpy(records[:, before:].reshape(-1, 3, _SIDE, _SIDE).copy())
        return Part(labels=labels, images=images)

    def _from_archive(self, folder: Path, part: str) -> Part:
        try:
            dataset = self._torchvision()(str(folder.parent), train=part == TRAIN)  # checks MD5 sums first
        except RuntimeError as error:
            raise DataError(
                f"{printable(folder)} is not whole: a file is missing or differs from the published one ({error}); "
                f"unpack cifar-{self.num_classes}-python.tar.gz again"
            ) from error
        images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
        return Part(labels=self._numbers(list(dataset.targets), folder), images=images)

    def _numbers(self, labels: list[Any], source: Path) -> NDArray[np.int64]:
        """Class numbers of labels, which may be names."""
        number: dict[Any, int] = {name: position for position, name in enumerate(self.class_names)}
        known = [number.get(label, label) if isinstance(label, str) else label for label in labels]
        valid = range(self.num_classes)
        strange = sorted({repr(label)[:80] for label in known if label not in valid})
        if strange:
            raise DataError(
                f"the labels in {printable(source)} are not CIFAR-{self.num_classes}'s: found "
                f"{', '.join(strange[:5])}; expected 0 to {self.num_classes - 1}, or {self.class_names[0]} to "
                f"{self.class_names[-1]}"
            )
        return np.array(known, dtype=np.int64)


def _decoded(sources: Callable[[], Iterator[tuple[Encoded | None, str]]], count: int) -> Tensor:
    images = decode_images(sources, count=count).images
    assert isinstance(images, Tensor), "decoded images are in memory"
    return images


def _about(num_classes: int, human: str | None) -> About:
    archive, binary = _ARCHIVES[num_classes], _BINARIES[num_classes]
    hub = "uoft-cs/cifar10" if num_classes == 10 else "uoft-cs/cifar100"
    places = (
        *("train*.parquet", "data/train*.parquet", "plain_text/train*.parquet", "cifar100/train*.parquet"),
        *(archive, binary, _BINARY_PARTS[num_classes][TRAIN][0], TRAIN, f"cifar{num_classes}/{TRAIN}"),
    )
    files = [
        File(
            role="images",
            places=places,
            what=f"CIFAR-{num_classes}: the python archive unpacked ({archive}), the binary version ({binary}), "
            "train and test as Parquet, or folders train and test of images by class",
            source=f"{_HOME} or huggingface.co/datasets/{hub}",
        )
    ]
    name, title, noise = f"cifar{num_classes}", f"CIFAR-{num_classes}", "none of its own; label noise is added"
    license = "none stated by its authors"
    citation = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    if human is not None:
        name, title = f"{name}n", f"{title}N ({human})"
        noise = HUMAN_NOISE[human]
        license = f"images: {license}; labels: CC BY-NC 4.0"
        citation = "Wei et al., Learning with Noisy Labels Revisited, ICLR 2022"
    return About(
        name=name,
        title=title,
        examples={TRAIN: 50_000, TEST: 10_000},
        num_classes=num_classes,
        noise=noise,
        license=license,
        citation=citation,
        source=_HOME if human is None else f"{_HOME}, labels: {HUMAN_HOME}",
        files=tuple(files),
    )
