"""Published data sets as data to train on: scikit-learn's handwritten digits, and parts of opened sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from elr.data.label_coding import Label
from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import ImageStore
from elr.data.records import IMAGES, TEXT, Records
from elr.datasets.base import TEST, TRAIN, Part
from elr.datasets.sets.cifar import CIFAR, CIFAR10_CLASSES
from elr.noise.named import corrupt

HUMAN = "human"
"""In a recipe: the labels of CIFAR-10N or CIFAR-100N in place of noise."""


def load_digits(*, noise: str = "symmetric", noise_rate: float = 0.4, seed: int = 0) -> tuple[Records, Records]:
    """Handwritten digits with label noise in the training part: 1,797 real scans of 8 x 8 pixels, 10 classes.

    80 % train, 20 % test, both with the classes in proportion.

    Args:
        noise: a name in `elr.noise.named.NOISES`.
        noise_rate: asked of it, in [0, 1].
        seed: of the split and the noise.

    Returns:
        (training examples with given and clean labels, test examples with labels known to be right).

    Example:
        >>> train, test = load_digits(noise_rate=0.4)
        >>> len(train), len(test), tuple(train.images.shape)
        (1437, 360, (1437, 1, 8, 8))
        >>> wrong = sum(given != clean for given, clean in zip(train.labels, train.clean_labels))
        >>> round(wrong / len(train), 2)
        0.4

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), as shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # half a second that other data need not wait for
    from sklearn.model_selection import train_test_split

    features, labels = load_sklearn_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=labels)
    noisy = corrupt(noise, labels[train], noise_rate=noise_rate, num_classes=10, seed=seed)

    def part(chosen: np.ndarray, given: np.ndarray, clean: np.ndarray | None) -> Records:
        return Records(
            kind=IMAGES,
            rows=np.arange(len(chosen)),
            images=torch.from_numpy((features[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)),
            labels=given.tolist(),
            clean_labels=None if clean is None else clean.tolist(),
            ids=[f"scan {row}" for row in chosen],
        )

    return part(train, noisy.labels, noisy.clean_labels), part(test, labels[test], None)


def training_data(part: Part, class_names: Sequence[Label], *, geometry: Geometry | None = None) -> Records:
    """A part of a published data set as data to train on; images on disk stay there.

    Args:
        part: of an opened set.
        class_names: C names, by class number.
        geometry: what images on disk are brought to, if not what the set has.

    Example:
        >>> part = Part(labels=np.array([0, 1]), clean_labels=np.array([0, 0]), texts=["red", "crimson"])
        >>> data = training_data(part, ("red", "blue"))
        >>> data.labels, data.clean_labels, data.table["text"].tolist()
        (['red', 'blue'], ['red', 'red'], ['red', 'crimson'])
    """
    images, ids = part.images, None
    if isinstance(images, ImageStore):
        images = images if geometry is None else images.brought_to(geometry)
        ids = [images.name(row) for row in range(len(images))]

    def named(labels: np.ndarray | None) -> list[Label] | None:
        return None if labels is None else [class_names[label] for label in labels.tolist()]

    return Records(
        kind=TEXT if part.texts is not None else IMAGES,
        rows=np.arange(len(part)),
        table=None if part.texts is None else pd.DataFrame({"text": list(part.texts)}),
        images=images,
        labels=named(part.labels),
        clean_labels=named(part.clean_labels),
        ids=ids,
    )


def load_cifar10(path: str | Path) -> tuple[Records, Records]:
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in color, 10 classes.

    Args:
        path: its folder, in any layout of `elr.datasets.sets.cifar.CIFAR`.

    Returns:
        (training examples in the order of the original archive, test examples). Labels are the class numbers, places in
        `CIFAR10_CLASSES`.

    Raises:
        DataError: nothing of the kind there, damaged, or labels that are not CIFAR-10's. Fewer rows are taken as they
            are.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        ...         record = np.zeros(1 + 3 * 32 * 32, dtype=np.uint8)  # a label and the pixels
        ...         record[0] = 7
        ...         record.tofile(Path(root) / name)
        ...     train, test = load_cifar10(root)
        >>> train.labels, test.labels, tuple(train.images.shape)
        ([7, 7, 7, 7, 7], [7], (5, 3, 32, 32))

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    parts = CIFAR(10).open(Path(path)).parts
    numbers = range(len(CIFAR10_CLASSES))
    return training_data(parts[TRAIN], numbers), training_data(parts[TEST], numbers)
