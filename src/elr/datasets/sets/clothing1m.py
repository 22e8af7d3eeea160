"""Clothing1M: a million photographs of clothes, labeled from the words around them; some labeled by people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.data.pictures.image_store import FileImages
from elr.datasets.base import TEST, TRAIN, VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.text_lists import labeled, matched, once, shown
from elr.errors import DataError
from elr.names import printable
from elr.noise.transitions import count_transitions, transition_matrix

CLEAN_TRAIN, BOTH = "clean_train", "both"
_ASK = "its authors: github.com/Cysu/noisy_label, who send the link on request"
_FOLDER = b"images/"
_CLASSES = (
    *("T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker", "Jacket", "Downcoat", "Suit"),
    *("Shawl", "Dress", "Vest", "Underwear"),
)
_CLEAN_LISTS = {
    CLEAN_TRAIN: "clean_train_key_list.txt",
    VALIDATION: "clean_val_key_list.txt",
    TEST: "clean_test_key_list.txt",
}


def _list_file(name: str, what: str, *, needed: bool) -> File:
    """A list may lie beside, above or below images/, by itself or in a folder annotations."""
    folders = ("", "annotations/", "../", "../annotations/", "images/", "images/annotations/")
    return File(role=name, places=tuple(f"{folder}{name}" for folder in folders), what=what, source=_ASK, needed=needed)


_ABOUT = About(
    name="clothing1m",
    title="Clothing1M",
    examples={TRAIN: 1_000_000, CLEAN_TRAIN: 47_570, VALIDATION: 14_313, TEST: 10_526, BOTH: 37_497},
    num_classes=len(_CLASSES),
    noise="38.5 % wrong by its authors' estimate; measured where both labels are known",
    license="non-commercial research and education, by agreement with its authors",
    citation="Xiao et al., Learning from Massive Noisy Labeled Data for Image Classification, CVPR 2015",
    source=_ASK,
    files=(
        File(role="images", places=("images", "0"), what="folder of the images, 0 to 9 in it", source=_ASK),
        _list_file("noisy_train_key_list.txt", "names of the noisy training images", needed=True),
        _list_file("noisy_label_kv.txt", "names and noisy labels", needed=True),
        _list_file("clean_label_kv.txt", "names and labels by people", needed=False),
        _list_file("clean_train_key_list.txt", "names of the clean training images", needed=False),
        _list_file("clean_val_key_list.txt", "names of the validation images", needed=False),
        _list_file("clean_test_key_list.txt", "names of the test images", needed=False),
        _list_file("category_names_eng.txt", "names of the classes", needed=False),
    ),
)


class Clothing1M(Loader):
    r"""Clothing1M: 14 classes.

    Parts: "train" (noisy labels), "clean_train", "validation" and "test" (labels by people), and "both", the images
    that have a noisy and a clean label: a measured sample of the noise.

    The lists are read, 1,000,000 lines in about a second; images when they are fetched. The lists may lie beside, above
    or below images/.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "images").mkdir()
        ...     _ = (Path(root) / "noisy_train_key_list.txt").write_text("images/0/1.jpg\n")
        ...     _ = (Path(root) / "noisy_label_kv.txt").write_text("images/9/2.jpg 0\nimages/0/1.jpg 12\n")
        ...     opened = Clothing1M().open(Path(root))
        >>> opened.class_names[opened.parts["train"].labels[0]], opened.remarks[0]
        ('Vest', 'without clean_label_kv.txt there are no validation and test images')

    Source: Xiao et al., CVPR 2015.
    """

    about = _ABOUT

    def home(self, root: Path) -> Path:
        return root.resolve().parent if root.name == "images" else root

    def open(self, root: Path) -> PublishedSet:
        found = located(self.about, self.home(root))
        images = found["images"] if found["images"].name == "images" else found["images"].parent
        remarks: list[str] = []
        noisy = _labeled(found["noisy_label_kv.txt"])
        parts = {TRAIN: _part(images, found["noisy_train_key_list.txt"], noisy, found["noisy_label_kv.txt"])}
        if "clean_label_kv.txt" in found:
            clean_file = found["clean_label_kv.txt"]
            clean = _labeled(clean_file)
            for part, name in _CLEAN_LISTS.items():
                if name in found:
                    parts[part] = _part(images, found[name], clean, clean_file)
            parts[BOTH] = _both(images, noisy, clean)
        else:
            remarks.append("without clean_label_kv.txt there are no validation and test images")
        names = _CLASSES
        if "category_names_eng.txt" in found:
            names = _class_names(found["category_names_eng.txt"])
        else:
            remarks.append("category_names_eng.txt is not there: the classes have their published names")
        return PublishedSet(about=self.about, class_names=names, parts=parts, remarks=remarks)


Labeled = tuple[Any, NDArray[np.int64]]
"""Names (an Arrow array of bytes) and their labels."""


def _names(file: Path) -> Any:
    """The lines of a list, (N,), as an Arrow array of bytes."""
    fields, _ = matched(file, r"^(?P<name>.*\S)\s*$", "the name of an image")
    return once(fields.field("name"), file)


def _labeled(file: Path) -> Labeled:
    pattern = r"^(?P<name>.*\S)[ \t]+(?P<label>-?[0-9]{1,9})\s*$"
    names, labels = labeled(file, pattern, "NAME LABEL", num_classes=len(_CLASSES))
    return once(names, file), labels


def _part(images: Path, list_file: Path, known: Labeled, label_file: Path) -> Part:
    names = _names(list_file)
    places = pc.index_in(names, value_set=known[0])
    if places.null_count:
        lost = pc.filter(names, pc.is_null(places))
        raise DataError(
            f"{len(lost):,} of {len(names):,} images in {printable(list_file)} have no label in "
            f"{printable(label_file)}, such as {shown(lost[0].as_py())}: the lists do not belong together, or one is "
            f"cut short; get both from {_ASK}"
        )
    return Part(labels=known[1][places.to_numpy()], images=_files(images, names))


def _both(images: Path, noisy: Labeled, clean: Labeled) -> Part:
    """The images with a noisy and a clean label, in the order of the clean ones."""
    places = pc.index_in(clean[0], value_set=noisy[0])
    known = pc.is_valid(places)
    names = pc.filter(clean[0], known)
    return Part(
        labels=noisy[1][pc.drop_null(places).to_numpy()],
        clean_labels=clean[1][np.asarray(known)],
        images=_files(images, names),
    )


def _files(images: Path, names: Any) -> FileImages:
    """The lists name files from the folder that holds images/, which may itself be a link."""
    inside = pc.starts_with(names, _FOLDER)
    if pc.any(inside).as_py():
        names = pc.if_else(inside, pc.binary_replace_slice(names, 0, len(_FOLDER), b""), names)
    return FileImages(images, names)


def _class_names(file: Path) -> tuple[str, ...]:
    names: Sequence[str] = [name.as_py().decode("utf-8", "backslashreplace") for name in _names(file)]
    if len(names) != len(_CLASSES):
        raise DataError(
            f"{printable(file)} has {len(names)} lines: expected {len(_CLASSES)}, the names of the classes; get it "
            f"from {_ASK}, or take it away: the published names are known"
        )
    return tuple(names)


def measured_noise(part: Part, num_classes: int) -> NDArray[np.float64]:
    """The transition matrix of a part with both labels: (C, C), T[i, j] = P(given j | clean i), rows sum to 1.

    Raises:
        DataError: the part has no clean labels, or a class without any.

    Example:
        >>> part = Part(labels=np.array([0, 1, 1, 0]), clean_labels=np.array([0, 0, 1, 0]))
        >>> measured_noise(part, 2).round(2).tolist()
        [[0.67, 0.33], [0.0, 1.0]]
    """
    if part.clean_labels is None:
        raise DataError("these examples have no clean labels: expected a part that has both, such as 'both'")
    counts = count_transitions(part.labels, part.clean_labels, num_classes=num_classes)
    totals = counts.sum(axis=1)
    if not totals.all():
        raise DataError(f"class {int(np.argmin(totals))} has no clean label: nothing can be said about its noise")
    return transition_matrix(counts)
