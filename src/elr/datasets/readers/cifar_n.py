"""The human labels of CIFAR-10N and CIFAR-100N, read from the published files without executing anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elr.errors import DataError
from elr.names import printable

HUMAN_SETS = {
    10: ("aggre_label", "random_label1", "random_label2", "random_label3", "worse_label"),
    100: ("noisy_label",),
}
"""The label sets of CIFAR-10N and CIFAR-100N."""
HUMAN_NOISE = {
    "aggre_label": "9.0 % wrong (majority of three annotators)",
    "random_label1": "17.2 % wrong (one annotator)",
    "random_label2": "18.1 % wrong (one annotator)",
    "random_label3": "17.6 % wrong (one annotator)",
    "worse_label": "40.2 % wrong (a wrong one of three annotators, where there is one)",
    "noisy_label": "40.2 % wrong (one annotator)",
}
"""Wrong rates measured on the published files."""
HUMAN_HOME = "github.com/UCSC-REAL/cifar-10-100n"
_REBUILD = ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct")
_HARMLESS = {(place.rpartition(".")[0], "_reconstruct") for place in _REBUILD} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


def human_file(num_classes: int) -> str:
    """Name of the published file of human labels.

    Example:
        >>> human_file(100)
        'CIFAR-100_human.pt'
    """
    return f"CIFAR-{num_classes}_human.pt"


def human_labels(path: Path, name: str, clean: NDArray[np.int64], *, num_classes: int = 10) -> NDArray[np.int64]:
    """A label set of CIFAR-10N or CIFAR-100N in the order of the images.

    Args:
        path: the published file (CIFAR-10_human.pt, CIFAR-10_human_ordered.npy with image_order_c10.npy beside it, or
            those of CIFAR-100), or a folder that has it, or that has a neighbor cifar10n (cifar100n) with it.
        name: in `HUMAN_SETS`, or another that the file has.
        clean: (N,) labels of the images, against which the order is checked.
        num_classes: 10 or 100.

    Raises:
        DataError: no such file or label set, another order or another number of labels.

    Example:
        >>> import tempfile
        >>> clean = np.array([0, 1, 2])
        >>> with tempfile.TemporaryDirectory() as root:
        ...     file = Path(root) / human_file(10)
        ...     torch.save({"clean_label": clean, "worse_label": np.array([0, 1, 9])}, file)
        ...     human_labels(file, "worse_label", clean)
        array([0, 1, 9])

    Source: Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022. Nothing in a file is executed.
    """
    file = _human_file(path.resolve(), num_classes)
    arrays = _read_npy(file, num_classes) if file.suffix == ".npy" else _read_pt(file)
    if name not in arrays:
        raise DataError(f"{printable(file)} has no label set {name!r}: it has {', '.join(sorted(arrays))}")
    told, chosen = arrays.get("clean_label"), arrays[name]
    if told is None or not np.array_equal(told, clean):
        raise DataError(
            f"{printable(file)} is not in the order of these images: its clean_label differs from their labels; "
            f"expected the training set of CIFAR-{num_classes} in the order of the original archive"
        )
    if chosen.shape != told.shape or chosen.min() < 0 or chosen.max() >= num_classes:
        raise DataError(
            f"label set {name!r} of {printable(file)} has shape {chosen.shape} and values {chosen.min()} to "
            f"{chosen.max()}: expected a class from 0 to {num_classes - 1} for each of the {len(told)} images; get the "
            "file again"
        )
    return chosen


def _human_file(path: Path, num_classes: int) -> Path:
    names = (human_file(num_classes), f"CIFAR-{num_classes}_human_ordered.npy", f"CIFAR-{num_classes}_human.npy")
    folders = (path, path.parent / f"cifar{num_classes}n", path / "data")
    places = [path, *(folder / name for folder in folders for name in names)]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"no {names[0]} at {printable(path)}: get it from {HUMAN_HOME}, put it beside the images, or say where it is "
        "with --labels"
    )


def _read_pt(file: Path) -> dict[str, NDArray[np.int64]]:
    """Integer arrays by name from a file of torch.save, by weights_only with arrays allowed and nothing else."""
    rebuild = np.zeros(1).__reduce__()[0]  # named otherwise in files of NumPy 1 and 2
    kinds = [type(np.dtype(kind)) for kind in (np.int64, np.int32, np.int16, np.int8, np.uint8)]
    allowed = [np.ndarray, np.dtype, *kinds, *((rebuild, name) for name in _REBUILD)]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(file, map_location="cpu", weights_only=True)
        return _integers(content)
    except Exception as error:  # a damaged file fails in many ways
        raise _damaged(file, error) from error


def _read_npy(file: Path, num_classes: int) -> dict[str, NDArray[np.int64]]:
    """The same from a file of numpy.save, whose one object is a mapping, brought to the order of the archive."""
    try:
        with file.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            header(stream)
            content = _ArraysOnly(stream).load()
        arrays = _integers(np.asarray(content, dtype=object).item())
    except Exception as error:  # a damaged file fails in many ways
        raise _damaged(file, error) from error
    if not file.stem.endswith("_ordered"):
        return arrays
    order_file = next(
        (
            place
            for folder in (file.parent, file.parent.parent)
            if (place := folder / f"image_order_c{num_classes}.npy").is_file()
        ),
        None,
    )
    if order_file is None:
        raise DataError(
            f"{printable(file)} is in the order of TensorFlow Datasets, and image_order_c{num_classes}.npy is not "
            f"beside it: get that from {HUMAN_HOME}, or {human_file(num_classes)}, which needs none"
        )
    try:
        order = np.load(order_file, allow_pickle=False).astype(np.int64)
    except Exception as error:  # a damaged file fails in many ways
        raise _damaged(order_file, error) from error
    if sorted(order.tolist()) != list(range(len(order))) or any(len(each) != len(order) for each in arrays.values()):
        raise DataError(
            f"{printable(order_file)} is no order of the labels of {file.name}: expected each row number once, as many "
            f"as labels; get both again from {HUMAN_HOME}"
        )
    return {name: values[np.argsort(order)] for name, values in arrays.items()}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, and refuses to look up anything that could do something."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _integers(content: Any) -> dict[str, NDArray[np.int64]]:
    return {str(name): np.asarray(values).astype(np.int64).reshape(-1) for name, values in content.items()}


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{printable(file)} holds something else than integer arrays by name ({type(error).__name__}), or is damaged: "
        f"nothing in it was executed; get it again from {HUMAN_HOME}"
    )
