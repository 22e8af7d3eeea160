"""Red and blue mini-ImageNet (controlled noisy web labels): split files and images where they lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import TRAIN, VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.text_lists import content
from elr.errors import ArgumentError, DataError
from elr.names import printable

RED, BLUE = "red", "blue"
LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
_SIZES = {RED: dict.fromkeys(LEVELS, 50_000) | {0.3: 49_985, 0.4: 50_010, 0.5: 49_962, 0.8: 50_008}}
_SIZES[BLUE] = dict.fromkeys(LEVELS, 60_000)
_GEOMETRY = Geometry(resize=32, crop=32)
_PROBED = 32  # images that tell how a folder is arranged
_SYNSET = 9  # letters of the name of an image of ImageNet that say its class
_HOMEPAGE = "https://google.github.io/controlled-noisy-web-labels"
_LISTS = "https://storage.googleapis.com/cnlw/dataset_no_images.zip"
# The class of each number, by ImageNet's synset and a name for people. TensorFlow Datasets numbers the synsets so, and
# the names in CLIPCleaner's loader of the same files agree. class_name.txt, of which no description was found, is not
# read.
_CLASSES = """n01704323 triceratops|n04515003 upright piano|n02101006 Gordon setter|n03062245 cocktail shaker
n04509417 unicycle|n03854065 pipe organ|n02110063 malamute|n03998194 prayer rug|n02111277 Newfoundland
n04443257 tobacco shop|n02165456 ladybug|n03075370 combination lock|n02747177 ashcan|n01558993 robin
n04149813 scoreboard|n03220513 dome|n03584254 iPod|n04243546 slot machine|n03770439 miniskirt
n02108915 French bulldog|n02971356 carton|n02108551 Tibetan mastiff|n03908618 pencil box|n01981276 king crab
n03535780 horizontal bar|n04275548 spider web|n03272010 electric guitar|n02138441 meerkat|n03337140 file cabinet
n07584110 consomme|n01910747 jellyfish|n03146219 cuirass|n02443484 black-footed ferret|n04146614 school bus
n02113712 miniature poodle|n02981792 catamaran|n04251144 snorkel|n03838899 oboe|n04604644 worm fence
n02116738 African hunting dog|n02099601 golden retriever|n02966193 carousel|n02687172 aircraft carrier
n03924679 photocopier|n02120079 Arctic fox|n03476684 hair slide|n04435653 tile roof|n02091244 Ibizan hound
n01843383 toucan|n01532829 house finch|n03980874 poncho|n07613480 trifle|n03544143 hourglass
n03347037 fire screen|n02114548 white wolf|n06794110 street sign|n04258138 solar dish|n02606052 rock beauty
n02105505 komondor|n02871525 bookshop|n03127925 crate|n04418357 theater curtain|n04389033 tank|n02074367 dugong
n02110341 dalmatian|n13133613 ear of grain|n03773504 missile|n13054560 bolete|n07747607 orange|n04522168 vase
n02089867 Walker hound|n02129165 lion|n02457408 three-toed sloth|n03676483 lipstick|n09256479 coral reef
n04067472 reel|n02823428 beer bottle|n01749939 green mamba|n03400231 frying pan|n04596742 wok|n01855672 goose
n02174001 rhinoceros beetle|n04612504 yawl|n03047690 clog|n02091831 Saluki|n03017168 chime|n04296562 stage
n02108089 boxer|n09246464 cliff|n02219486 ant|n02950826 cannon|n01770081 harvestman|n03775546 mixing bowl
n01930112 nematode|n03888605 parallel bars|n03417042 garbage truck|n03527444 holster|n02795169 barrel
n07697537 hotdog|n03207743 dishrag""".replace("\n", "|").split("|")
CLASS_NAMES = tuple(entry[_SYNSET + 1 :] for entry in _CLASSES)
_OF_SYNSET = {entry[:_SYNSET].encode(): number for number, entry in enumerate(_CLASSES)}


class RedMiniImageNet(Loader):
    r"""100 classes of ImageNet, in which a chosen share of the training images was replaced by wrong ones from the web.

    Red noise: images that a web search found for the class and people judged to be wrong. What they show need not be
    any of the classes, so there are no clean labels, but `verified`. Blue noise: labels of ImageNet's images drawn
    anew, with the right ones as `clean_labels`. Fetched as 32 x 32 pixels, the size of most later papers; `brought_to`
    changes it.

    Args:
        noise: "red" or "blue".
        level: share of noise, one of `LEVELS`. Default 0.2, the lowest that most later papers report.

    Raises:
        ArgumentError: a noise or level that was not published.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("split", "images", "validation"):
        ...         (Path(root) / folder).mkdir()
        ...     _ = (Path(root) / "split" / "blue_noise_nl_0.4").write_text("n0170432300000001.jpg 5\n")
        ...     _ = (Path(root) / "split" / "clean_validation").write_text("ILSVRC2012_val_00000001.jpg 3\n")
        ...     opened = RedMiniImageNet(noise="blue", level=0.4).open(Path(root))
        >>> train = opened.parts["train"]
        >>> opened.class_names[train.labels[0]], opened.class_names[train.clean_labels[0]]
        ('pipe organ', 'triceratops')

    Source: Jiang et al., ICML 2020 (data); Xu et al., CVPR 2021 (32 x 32 pixels).
    """

    def __init__(self, *, noise: str = RED, level: float = 0.2) -> None:
        if noise not in _SIZES:
            raise ArgumentError(f"noise is {noise!r}: expected {RED!r} or {BLUE!r}")
        if level not in LEVELS:
            raise ArgumentError(f"level is {level!r}: expected one of {', '.join(map(str, LEVELS))}")
        self.noise, self.level = noise, float(level)
        self.about = _about(noise, self.level)

    def open(self, root: Path) -> PublishedSet:
        """See `Loader.open`; row i is line i of the split file."""
        found = located(self.about, root)
        names, labels = _listed(found["split"])
        remarks = _repeated(names, found["split"])
        clean = np.array([_imagenet_class(name) for name in names], dtype=np.int64)
        known = bool((clean >= 0).all())
        verified = None
        if not known:
            verified, more = _verified(names, labels, clean, found.get("annotations"))
            remarks += more
        train = Part(
            labels=labels,
            images=_images(found["images"], names, labels),
            clean_labels=clean if known else None,
            verified=verified,
        )
        names, labels = _listed(found["validation split"])
        remarks += _repeated(names, found["validation split"])
        validation = Part(labels=labels, images=_images(found["validation images"], names, labels))
        return PublishedSet(
            about=self.about, class_names=CLASS_NAMES, parts={TRAIN: train, VALIDATION: validation}, remarks=remarks
        )


def _about(noise: str, level: float) -> About:
    split = f"{noise}_noise_nl_{level}"
    return About(
        name="red-mini-imagenet" if noise == RED else "blue-mini-imagenet",
        title=f"{noise.capitalize()} mini-ImageNet, noise level {level:.0%}",
        examples={TRAIN: _SIZES[noise][level], VALIDATION: 5000},
        num_classes=100,
        noise=(
            f"{level:.0%} of the training images are wrong ones from the web"
            if noise == RED
            else f"{level:.0%} of the training labels drawn anew by a computer"
        )
        + "; the validation labels are right",
        license="annotations: CC BY 4.0 (Google); web images: found as CC BY 2.0, without warranty; ImageNet's images: "
        "ImageNet's terms",
        citation="Jiang, Huang, Liu, Yang: Beyond Synthetic Noise: Deep Learning on Controlled Noisy Labels, ICML "
        "2020, PMLR 119:4804-4815",
        source=_HOMEPAGE,
        files=_files(split),
        oddities=(
            "Later papers report the accuracy on the validation images as that of a test.",
            "Levels 0.3, 0.4, 0.5 and 0.8 of red noise have 49,985, 50,010, 49,962 and 50,008 training images.",
            "In blue noise fewer labels are wrong than its level says: 14,457 of 60,000 at 0.4, as "
            "https://github.com/LJY-HY/MentorMix_pytorch/issues/1 counted.",
            "Some web images of the split files are not in the annotations, reports "
            "https://github.com/google-research/google-research/issues/866.",
            "Published experiments squash images to a square; here the shorter side is resized and the middle cut out.",
        ),
    )


def _files(split: str) -> tuple[File, ...]:
    return (
        File(
            role="split",
            places=_within(f"split/{split}"),
            what="the training images and their given labels",
            source=_LISTS,
        ),
        File(
            role="validation split",
            places=_within("split/clean_validation"),
            what="the validation images and their labels",
            source=_LISTS,
        ),
        File(
            role="images",
            places=_within(
                "all_images/", "images/", "all_images_resampled_84/", f"training/{split}/", f"training_s32/{split}/"
            ),
            what="the training images: ID.jpg of the web, n0170432300000001.jpg of mini-ImageNet, in one folder",
            source="the addresses in mini-imagenet-annotations.json and https://image-net.org; many addresses no "
            "longer answer: ask the authors",
        ),
        File(
            role="validation images",
            places=_within(
                "validation/", "all_validation/", "validation_all/", "validation_original/", "validation_s32/"
            ),
            what="the validation images, all together or a folder for each class number",
            source="ILSVRC2012_img_val.tar of https://image-net.org",
        ),
        File(
            role="annotations",
            places=(
                *_within("mini-imagenet-annotations.json"),
                "../mini-imagenet-annotations.json",
                "dataset_no_images/mini-imagenet-annotations.json",
            ),
            what="which web labels people found right",
            source=_LISTS,
            needed=False,
        ),
    )


def _within(*places: str) -> tuple[str, ...]:
    """The places in the folder itself, or where the published archive and later code put that."""
    folders = ("", "mini-imagenet/", "dataset_no_images/mini-imagenet/")
    return tuple(folder + place for folder in folders for place in places)


def _listed(path: Path) -> tuple[list[bytes], NDArray[np.int64]]:
    """File names and labels of a split file: a line for each image, "NAME LABEL"."""
    names, labels = [], []
    for number, line in enumerate(content(path).splitlines(), start=1):
        words = line.rsplit(None, 1)
        if not words:
            continue
        if len(words) < 2 or not words[1].isdigit() or len(words[1]) > 3 or int(words[1]) >= len(CLASS_NAMES):
            shown = printable(os.fsdecode(line[:80]))
            raise DataError(
                f"{printable(path)} has {shown!r} in line {number}: expected the name of an image, a space and a class "
                f"from 0 to {len(CLASS_NAMES) - 1}; get it again from {_LISTS}"
            )
        names.append(words[0])
        labels.append(int(words[1]))
    if not names:
        raise DataError(f"{printable(path)} is empty: expected a line for each image; get it again from {_LISTS}")
    return names, np.array(labels, dtype=np.int64)


def _repeated(names: list[bytes], path: Path) -> list[str]:
    twice = len(names) - len(set(names))
    return [f"{printable(path)} names {twice:,} images more than once: each line is an example"] if twice else []


def _imagenet_class(name: bytes) -> int:
    """The class that ImageNet gives an image, by its name; -1 for images of the web and of other classes."""
    return _OF_SYNSET.get(name.rpartition(b"/")[2][:_SYNSET], -1)


def _verified(
    names: list[bytes], labels: NDArray[np.int64], clean: NDArray[np.int64], path: Path | None
) -> tuple[NDArray[np.int8], list[str]]:
    """What people said of the given labels: ImageNet's annotators of its images, this set's of those of the web."""
    verified = np.where(clean >= 0, clean == labels, -1).astype(np.int8)
    web = np.flatnonzero(clean < 0)
    if path is None:
        return verified, [
            f"nothing is known of {len(web):,} labels of web images: mini-imagenet-annotations.json is absent"
        ]
    judged = _judgments(path)
    verified[web] = [judged.get(names[row].rpartition(b"/")[2].rpartition(b".")[0], -1) for row in web]
    unknown = int((verified[web] < 0).sum())
    if not unknown:
        return verified, []
    return verified, [
        f"{unknown:,} of {len(web):,} web images are not in {printable(path)}: nothing is known of their labels"
    ]


def _judgments(path: Path) -> dict[bytes, int]:
    """Whether the label of a web image is right (1) or wrong (0), by the image's id."""
    encoded = content(path)
    try:
        groups = json.loads(encoded)["data"]
        entries = [entry for group in groups for entry in (group if isinstance(group, list) else [group])]
        judged = {entry["image/id"].encode(): int(entry["image/class/label/is_clean"]) for entry in entries}
        if not set(judged.values()) <= {0, 1}:
            raise ValueError("image/class/label/is_clean is neither 0 nor 1")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(
            f"{printable(path)} cannot be read as annotations ({type(error).__name__}: {str(error)[:200]}): expected "
            'JSON, "data" with "image/id" and "image/class/label/is_clean" of each image; get it again from '
            f"{_LISTS}, or move it away to do without"
        ) from error
    return judged


def _images(folder: Path, names: list[bytes], labels: NDArray[np.int64]) -> FileImages:
    """The images of a folder, which may have a folder for each class, and ImageNet's own suffix."""

    def path(name: bytes, label: int, by_class: bool, as_imagenet: bool) -> bytes:
        file = name.removesuffix(b".jpg") + b".JPEG" if as_imagenet else name
        return b"%d/%s" % (label, file) if by_class else file

    ways = [(False, False), (True, False), (False, True), (True, True)]
    probed = np.unique(np.linspace(0, len(names) - 1, _PROBED).astype(int)).tolist()
    inside = os.fsencode(folder) + b"/"
    there = [
        sum(os.path.exists(inside + path(names[row], int(labels[row]), *way)) for row in probed)  # noqa: PTH110 - bytes
        for way in ways
    ]
    way = ways[int(np.argmax(there))]
    paths = [path(name, label, *way) for name, label in zip(names, labels.tolist(), strict=True)]
    return FileImages(folder, pa.array(paths, pa.large_binary()), _GEOMETRY)
