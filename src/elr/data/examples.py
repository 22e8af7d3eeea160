"""Indexed examples in memory, arrays checked on the way there, and labels as class numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from elr.data.image_store import ImageStore, images_per_call
from elr.errors import ArgumentError, DataError

Label = str | int


class Examples:
    """Training or test examples, in memory or on disk: row i is row i for ever.

    Args:
        inputs: (N, ...) tensor or array (uint8 images (N, channels, H, W), or float features (N, D)), or a SciPy sparse
            matrix (N, D), of which each batch is made dense, or a store of images on disk.
        labels: (N,) integers, or None for examples to predict.
        label_shares: (N, C) rows that sum to 1, to train on in place of `labels`: the share of the annotators who gave
            each class. Default: none.

    Raises:
        ArgumentError: lengths that differ, inputs that are no numbers, labels that are no integers.

    Example:
        >>> examples = Examples(np.eye(3, dtype="float32"), [0, 1, 1])
        >>> examples.fetch(torch.tensor([2]))
        tensor([[0., 0., 1.]])
    """

    def __init__(
        self,
        inputs: Tensor | NDArray | sparse.spmatrix | sparse.sparray | ImageStore,
        labels: ArrayLike | None,
        *,
        label_shares: ArrayLike | None = None,
    ) -> None:
        self.inputs = inputs if isinstance(inputs, Tensor | ImageStore) else _as_rows(inputs)
        self.labels = None if labels is None else _as_classes(labels)
        if self.labels is not None and self.labels.shape != (len(self),):
            raise ArgumentError(
                f"labels have shape {tuple(self.labels.shape)} for {len(self)} examples: expected one class each"
            )

        self.label_shares = None if label_shares is None else _as_shares(label_shares, len(self))

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def fetch(self, index: Tensor) -> Tensor:
        """The inputs of some rows, (B, ...): images as uint8, features as float32; `index` is (B,) int64 on the CPU."""
        return self.start(index)()

    def start(self, index: Tensor, places: Tensor | None = None) -> Callable[[], Tensor]:
        """Begin to fetch some rows; the call that it gives waits for them.

        Args:
            index: see `fetch`.
            places: (B, 2) in [0, 1], of random crops, for images on disk; see `elr.data.image_store.ImageStore.fetch`.
        """
        inputs = self.inputs
        if isinstance(inputs, ImageStore):
            return inputs.start(index, places)
        if isinstance(inputs, Tensor):
            return lambda: inputs[index]
        return lambda: torch.from_numpy(inputs[index.numpy()].toarray())

    def order(self, generator: torch.Generator, rows: Tensor | None = None) -> Tensor:
        """All rows, or these (M,), in a random order (M,) int64; for images on disk one in which reading is fast."""
        if isinstance(self.inputs, ImageStore):
            chosen = self.inputs if rows is None else self.inputs.take(rows.numpy())
            positions = chosen.order(generator)
        else:
            positions = torch.randperm(len(self) if rows is None else len(rows), generator=generator)
        return positions if rows is None else rows[positions]

    @property
    def at_once(self) -> int:
        """How many examples to fetch or predict at a time where all are gone through: fewer where images are large."""
        shape = tuple(self.inputs.shape)
        return images_per_call(shape[2]) if len(shape) == 4 else images_per_call(0)

    def first(self, count: int) -> Examples:
        """The first rows alone, without labels."""
        return self.take(torch.arange(min(count, len(self))))

    def take(self, rows: Tensor) -> Examples:
        """Some rows alone, in that order, without labels; of images on disk none is read."""
        if isinstance(self.inputs, ImageStore):
            return Examples(self.inputs.take(rows.numpy()), None)
        return Examples(self.inputs[rows if isinstance(self.inputs, Tensor) else rows.numpy()], None)


def _as_rows(inputs: NDArray | sparse.spmatrix | sparse.sparray) -> Tensor | sparse.csr_array:
    if sparse.issparse(inputs):
        return sparse.csr_array(inputs, dtype=np.float32)
    array = np.asarray(inputs)
    if not array.ndim or array.dtype.kind not in "biuf":
        raise ArgumentError(f"inputs are {array.dtype} of shape {array.shape}: expected numbers (N, ...)")
    kept = np.ascontiguousarray(array, dtype=None if array.dtype == np.uint8 else np.float32)
    return torch.from_numpy(kept if kept.flags.writeable else kept.copy())


def _as_shares(shares: ArrayLike, count: int) -> Tensor:
    array = np.asarray(shares, dtype=np.float32)
    if array.ndim != 2 or len(array) != count or not np.allclose(array.sum(axis=1), 1.0, atol=1e-4):
        raise ArgumentError(
            f"label_shares have shape {array.shape} for {count} examples: expected a row for each that sums to 1"
        )
    return torch.from_numpy(array)


def _as_classes(labels: ArrayLike) -> Tensor:
    array = np.asarray(labels)
    if array.size and array.dtype.kind not in "iu":
        raise ArgumentError(f"labels are {array.dtype}: expected integers, the numbers of classes")
    return torch.from_numpy(array.astype(np.int64))


def as_array(values: Any, name: str) -> NDArray:
    """An array of what someone passed.

    Raises:
        DataError: a sparse matrix, lists of several lengths, or nothing that NumPy takes.
    """
    if sparse.issparse(values):
        raise DataError(f"{name} are a sparse matrix: pass their .toarray(), or use ELRClassifier, which takes them")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} are no array of one shape ({error}): expected numbers (N, D)") from error


def one_each(values: NDArray, count: int, *, name: str) -> NDArray:
    """Values (count,), also from a column (count, 1).

    Raises:
        DataError: another shape.
    """
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.shape != (count,):
        raise DataError(
            f"{name} has shape {values.shape} for {count} rows: expected one value for each row, ({count},)"
        )
    return flat


def checked_features(features: NDArray, name: str) -> NDArray[np.float32]:
    """Features (N, D) as float32.

    Raises:
        DataError: another shape or type, or NaN or infinity (said where).
    """
    if features.ndim != 2 or not features.shape[1] or features.dtype.kind not in "fiub":
        raise DataError(
            f"{name} are {features.dtype} of shape {features.shape}: expected numbers (N, D), D >= 1; tables of mixed "
            "columns go in as one data frame with label=COLUMN"
        )
    with np.errstate(over="ignore"):  # named below
        converted = features.astype(np.float32)
    bad = ~np.isfinite(converted)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise DataError(
            f"{name} have {int(bad.sum())} values that are NaN, infinite or beyond float32, first "
            f"{features[row, column]} in row {row}, column {column}: replace them or remove these rows"
        )
    return converted


@dataclass(frozen=True, kw_only=True)
class LabelCoding:
    """The classes of a data set and their numbers.

    Args:
        class_names: the C label values, sorted, as they stand in the data; class c is class_names[c].
    """

    class_names: tuple[Label, ...]

    @classmethod
    def fit(cls, labels: Sequence[Label], *, column: str) -> LabelCoding:
        """Learn the classes from training labels, and refuse labels that say nothing.

        Args:
            labels: (N,) label values, none missing.
            column: where they come from, for messages.

        Raises:
            DataError: one class only, a different label in each row, or a class with a single example.
        """
        counts = Counter(labels)
        if len(counts) < 2:
            raise DataError(
                f"{column} is constant: all {len(labels)} rows say {list(counts)}; at least two classes are needed"
            )
        values = sorted(counts)  # type: ignore[type-var]  # all text or all numbers
        if len(values) == len(labels):
            raise DataError(
                f"{column} is different in each of the {len(labels)} rows (such as {repr(values[0])[:80]}): that is an "
                "identifier or a measurement, not a class; name another label column"
            )
        single = [repr(value)[:80] for value in values if counts[value] < 2]
        if single:
            raise DataError(
                f"{column} has {len(single)} of {len(values)} classes with one example only "
                f"({', '.join(single[:5])}): nothing can be said about such a label; merge or remove these rows"
            )
        return cls(class_names=tuple(values))

    def encode(self, labels: Sequence[Label], *, column: str) -> NDArray[np.int64]:
        """Class numbers (N,) of label values; 1 and "1" are one class: columns of digits only are read as numbers.

        Raises:
            DataError: values that are no class of the training labels.
        """
        number = {str(name): position for position, name in enumerate(self.class_names)}
        unknown = sorted({repr(value)[:80] for value in labels if str(value) not in number})
        if unknown:
            raise DataError(
                f"{column} has {len(unknown)} values that the training labels do not have: {', '.join(unknown[:5])}; "
                f"known classes: {', '.join(map(repr, self.class_names[:10]))}"
            )
        return np.array([number[str(value)] for value in labels], dtype=np.int64)
