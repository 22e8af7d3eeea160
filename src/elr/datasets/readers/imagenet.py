"""ImageNet's classes, synsets of WordNet: their lists, names and numbers, and lists of images by these numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from elr.datasets.readers.text_lists import labeled, lines, shown, wrong_line
from elr.errors import DataError
from elr.names import printable

CLASSES = 1000
MINI_CLASSES = 50  # the first so many, of mini-WebVision
MINI_RESIZE, MINI_CROP = 256, 227  # Liu et al., appendix G, for InceptionResNetV2 on mini-WebVision
WEBVISION_PAGE = "https://data.vision.ee.ethz.ch/cvl/webvision/download.html"
LANDMARKS = {0: "n01440764", 49: "n01697457", 999: "n15075141"}
"""Some synsets by their place among all, sorted: ImageNet's usual class numbers, which those of WebVision are too.

Sources: ImageNet's list (LOC_synset_mapping.txt of Kaggle, synset_words.txt of Caffe), whose first 50 public loaders of
mini-WebVision name too; the classes that a model predicts for WebVision's validation images, which are listed class by
class, come in the same order (gombru/WebVision, webvision-master/val.txt).
"""


def read_synsets(path: Path) -> dict[str, str]:
    r"""Class names by synset, in the order of the file, which is that of the class numbers.

    Lines are "n01440764 tench, Tinca tinca", or the synset alone.

    Raises:
        DataError: the file cannot be read, or is no list of 1000 synsets.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "synsets.txt"
        ...     _ = path.write_text("".join(f"n{number:08d} thing {number}, stuff\n" for number in range(CLASSES)))
        ...     synsets = read_synsets(path)
        >>> synsets["n00000007"]
        'thing 7 (n00000007)'
    """
    synsets: dict[str, str] = {}
    for row, line in enumerate(lines(path).to_pylist()):
        synset, _, words = line.decode("utf-8", "backslashreplace").strip().partition(" ")
        if not synset:
            continue
        if not re.fullmatch(r"n\d{8}", synset) or synset in synsets:
            found = "repeats" if synset in synsets else "begins with"
            raise wrong_line(path, row, f"{found} {shown(line)}", "a synset such as n01440764, each once")
        synsets[synset] = class_name(synset, words)
    if len(synsets) != CLASSES:
        raise DataError(
            f"{printable(path)} has {len(synsets):,} classes: expected {CLASSES:,} lines such as "
            '"n01440764 tench, Tinca tinca"; get the file again'
        )
    return synsets


def class_name(synset: str, words: str) -> str:
    """What a class is called: its first word and its synset, since two classes are called crane.

    Example:
        >>> class_name("n01440764", "tench, Tinca tinca")
        'tench (n01440764)'
    """
    first = words.partition(",")[0].strip()
    return f"{first} ({synset})" if first else synset


def out_of_order(synsets: Sequence[str], path: Path) -> list[str]:
    """A remark where classes are not numbered as ImageNet's are, by sorted synsets.

    Example:
        >>> [remark] = out_of_order(["n01443537", "n01440764"], Path("synsets.txt"))
        >>> remark[:61]
        "the classes of synsets.txt are not in ImageNet's order, which"
    """
    if synsets == sorted(synsets) and all(synsets[number] == synset for number, synset in LANDMARKS.items()):
        return []
    return [
        f"the classes of {printable(path)} are not in ImageNet's order, which that of WebVision was found to be: class "
        "numbers follow the file; compare models only where they were trained with the same file"
    ]


def read_meta(path: Path) -> dict[int, tuple[str, str]]:
    """(synset, words) by the devkit's class number, from 1, of the classes that images have: those without children.

    Raises:
        DataError: the file is not the devkit's meta.mat.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "meta.mat"
        ...     _ = path.write_bytes(b"MATLAB 5.0")
        ...     read_meta(path)
        Traceback (most recent call last):
        elr.errors.DataError: ...meta.mat cannot be read as the devkit's meta.mat (...): expected its ...
    """
    from scipy.io import loadmat  # a third of a second that others need not wait for

    try:
        synsets = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        words = {
            int(row["ILSVRC2012_ID"]): (str(row["WNID"]), str(row["words"]))
            for row in synsets
            if int(row["num_children"]) == 0
        }
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(
            f"{printable(path)} cannot be read as the devkit's meta.mat ({' '.join(str(error).split())[:200]}): "
            "expected its table of synsets; get the file again"
        ) from error
    if len(words) != CLASSES:
        raise DataError(f"{printable(path)} has {len(words):,} classes: expected {CLASSES:,}; get it again")
    return words


def listed_images(path: Path, num_classes: int) -> tuple[pa.Array, NDArray[np.int64]]:
    r"""Names (bytes) and labels of the lines "name label" whose label is below `num_classes`, in their order.

    Raises:
        DataError: no such line, a line of another form, or a label that is no class.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "val_filelist.txt"
        ...     _ = path.write_text("a.jpg 0\nb.jpg 70\nc.jpg 49\n")
        ...     names, labels = listed_images(path, MINI_CLASSES)
        >>> names.to_pylist(), labels
        ([b'a.jpg', b'c.jpg'], array([ 0, 49]))
    """
    expected = 'a name and a class number, such as "a.jpg 0"'
    pattern = r"^[ \t]*(?P<name>\S+)[ \t]+(?P<label>-?[0-9]{1,9})\s*$"
    names, labels = labeled(path, pattern, expected, num_classes=CLASSES)
    kept = labels < num_classes
    if not kept.any():
        raise DataError(
            f"{printable(path)} lists no image of classes 0 to {num_classes - 1} ({len(labels):,} images in all): "
            "expected some of each; get the list again"
        )
    return names.filter(pa.array(kept)), labels[kept]
