"""Published data sets, ready where they lie: scikit-learn's handwritten digits, CIFAR-10, CIFAR-10N's human labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from elr.data import Label
from elr.errors import DataError
from elr.noise import corrupt
from elr.raw import IMAGES, RawData, ReadOptions
from elr.reading import read_data

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HUMAN = "human"
HUMAN_FILE = "CIFAR-10_human.pt"
_CLEAN = "clean_label"
_REBUILD = ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct")
_PYTHON_ARCHIVE = "cifar-10-batches-py"
_PARQUET = {"train": "train*.parquet", "test": "test*.parquet"}


def load_digits(*, noise: str = "symmetric", noise_rate: float = 0.4, seed: int = 0) -> tuple[RawData, RawData]:
    """Handwritten digits with label noise in the training part: 1,797 real scans of 8 x 8 pixels, 10 classes.

    80 % train, 20 % test, both with the classes in proportion.

    Args:
        noise: a name in `elr.noise.NOISES`.
        noise_rate: asked of it, in [0, 1].
        seed: of the split and the noise.

    Returns:
        (training examples with given and clean labels, test examples with labels known to be right).

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), as shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # half a second that other data need not wait for
    from sklearn.model_selection import train_test_split

    features, labels = load_sklearn_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=labels)
    noisy = corrupt(noise, labels[train], noise_rate=noise_rate, num_classes=10, seed=seed)

    def part(chosen: np.ndarray, given: np.ndarray, clean: np.ndarray | None) -> RawData:
        return RawData(
            kind=IMAGES,
            rows=np.arange(len(chosen)),
            images=torch.from_numpy((features[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)),
            labels=given.tolist(),
            clean_labels=None if clean is None else clean.tolist(),
            ids=[f"scan {row}" for row in chosen],
        )

    return part(train, noisy.labels, noisy.clean_labels), part(test, labels[test], None)


def load_cifar10(path: str | Path) -> tuple[RawData, RawData]:
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in color, 10 classes.

    Args:
        path: a folder with train*.parquet and test*.parquet in the layout of the Hugging Face hub (or with a subfolder
            that has them), or torchvision's folder: cifar-10-batches-py, or the one that holds it.

    Returns:
        (training examples in the order of the original archive, test examples). Labels are the class numbers, places in
        `CIFAR10_CLASSES`.

    Raises:
        DataError: nothing of the kind there, damaged, or labels that are not CIFAR-10's. Fewer rows are taken as they
            are.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}; {_EXPECTED_CIFAR10}")
    options = ReadOptions(label="label")
    for place in (folder, folder / "data", folder / "plain_text"):
        found = {part: sorted(place.glob(pattern)) for part, pattern in _PARQUET.items()}
        if all(found.values()):
            for part, files in found.items():
                if len(files) > 1:
                    raise DataError(f"{place} has {len(files)} files for {part}: expected one, {_PARQUET[part]}")
            train, test = (_numbered(read_data(found[part][0], options)) for part in ("train", "test"))
            return train, test
    root = folder.parent if folder.name == _PYTHON_ARCHIVE else folder
    if (root / _PYTHON_ARCHIVE).is_dir():
        return _from_torchvision(root, train=True), _from_torchvision(root, train=False)
    raise DataError(f"{folder} holds no CIFAR-10; {_EXPECTED_CIFAR10}")


_EXPECTED_CIFAR10 = (
    "expected a folder with train*.parquet and test*.parquet (huggingface.co/datasets/uoft-cs/cifar10), or with "
    f"{_PYTHON_ARCHIVE} (cs.toronto.edu/~kriz/cifar.html, CIFAR-10 python version, unpacked)"
)


def _numbered(raw: RawData) -> RawData:
    """The same with class numbers for labels, which the hub's files may have as names."""
    number = {name: position for position, name in enumerate(CIFAR10_CLASSES)}
    labels = [number.get(label, label) if isinstance(label, str) else label for label in raw.labels or []]
    strange = sorted({repr(label)[:80] for label in labels if label not in range(len(CIFAR10_CLASSES))})
    if strange:
        raise DataError(
            f"the labels are not CIFAR-10's: found {', '.join(strange[:5])}; expected 0 to 9, or {CIFAR10_CLASSES[0]} "
            f"to {CIFAR10_CLASSES[-1]}"
        )
    return replace(raw, labels=labels)


def _from_torchvision(root: Path, *, train: bool) -> RawData:
    from torchvision.datasets import CIFAR10  # 1.7 s that other data need not wait for

    try:
        dataset = CIFAR10(str(root), train=train, download=False)  # it checks the files' MD5 before it unpickles them
    except RuntimeError as error:
        raise DataError(
            f"{root / _PYTHON_ARCHIVE} is not whole: a file is missing or differs from the published one ({error}); "
            "unpack cifar-10-python.tar.gz again"
        ) from error
    return RawData(
        kind=IMAGES,
        rows=np.arange(len(dataset.data)),
        images=torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(),
        labels=list(dataset.targets),
    )


def human_labels(path: Path, name: str, train: RawData) -> list[Label]:
    """A label set of CIFAR-10N for the training images, in their order.

    Args:
        path: CIFAR-10_human.pt, or a folder that has it, or that has a neighbor cifar10n with it.
        name: "random_label1", ... "aggre_label", "worse_label".
        train: the training examples, all 50,000, against whose labels the order is checked.

    Raises:
        DataError: no such file or label set, another order or another number of labels.

    Source: Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022. The file is read without executing anything.
    """
    path = path.resolve()
    places = [path, path / HUMAN_FILE, path.parent / "cifar10n" / HUMAN_FILE]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise DataError(
            f"no {HUMAN_FILE} at {path}: get it from github.com/UCSC-REAL/cifar-10-100n, put it beside the images, or "
            "say where it is with --labels"
        )
    arrays = _read_arrays(file)
    if name not in arrays:
        raise DataError(f"{file} has no label set {name!r}: it has {', '.join(sorted(arrays))}")
    clean, chosen = arrays.get(_CLEAN), arrays[name]
    if clean is None or not np.array_equal(clean, np.asarray(train.labels)):
        raise DataError(
            f"{file} is not in the order of these images: its {_CLEAN} differs from their labels; expected the "
            "training set of CIFAR-10 in the order of the original archive"
        )
    if chosen.shape != clean.shape or chosen.min() < 0 or chosen.max() >= len(CIFAR10_CLASSES):
        raise DataError(
            f"label set {name!r} of {file} has shape {chosen.shape} and values {chosen.min()} to {chosen.max()}: "
            f"expected a class from 0 to 9 for each of the {len(clean)} images; get the file again"
        )
    return [int(label) for label in chosen]


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Integer arrays by name from a file of torch.save, by weights_only with arrays allowed and nothing else."""
    rebuild = np.zeros(1).__reduce__()[0]  # named otherwise in files of NumPy 1 and 2
    kinds = [type(np.dtype(kind)) for kind in (np.int64, np.int32, np.int16, np.int8, np.uint8)]
    allowed = [np.ndarray, np.dtype, *kinds, *((rebuild, name) for name in _REBUILD)]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(file, map_location="cpu", weights_only=True)
        return {str(name): np.asarray(values).astype(np.int64) for name, values in content.items()}
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(
            f"{file} holds something else than integer arrays by name ({type(error).__name__}), or is damaged: nothing "
            "in it was executed; get CIFAR-10_human.pt again from github.com/UCSC-REAL/cifar-10-100n"
        ) from error
