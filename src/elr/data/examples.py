"""Indexed examples, in memory or on disk, with their class numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from elr.errors import ArgumentError

_AT_ONCE = 1000


class StoredInputs(ABC):
    """Inputs (N, ...) that stay on disk until a batch asks for them: what `Examples` asks of them.

    Example:
        >>> class Squares(StoredInputs):
        ...     shape = (5, 1)
        ...     def start(self, index, places=None):
        ...         return lambda: (index**2).float()[:, None]
        ...     def order(self, generator):
        ...         return torch.randperm(5, generator=generator)
        ...     def take(self, positions):
        ...         raise NotImplementedError
        ...     def identity(self):
        ...         return b"squares"
        >>> Examples(Squares(), None).fetch(torch.tensor([3]))
        tensor([[9.]])
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    @abstractmethod
    def start(self, index: Tensor, places: Tensor | None = None) -> Callable[[], Tensor]:
        """Begin to fetch some inputs; the call that it gives waits for them; see `Examples.start`."""

    @abstractmethod
    def order(self, generator: torch.Generator) -> Tensor:
        """(N,) int32 or int64: a random order of all positions, by `generator` alone, in which reading them is fast."""

    @abstractmethod
    def take(self, positions: NDArray[np.int64]) -> StoredInputs:
        """Some of the inputs, in that order."""

    @abstractmethod
    def identity(self) -> bytes:
        """Bytes that tell these inputs from others."""


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
        inputs: Tensor | NDArray | sparse.spmatrix | sparse.sparray | StoredInputs,
        labels: ArrayLike | None,
        *,
        label_shares: ArrayLike | None = None,
    ) -> None:
        self.inputs = inputs if isinstance(inputs, Tensor | StoredInputs) else _as_rows(inputs)
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
            places: (B, 2) in [0, 1], of random crops, for images on disk; see
                `elr.data.pictures.image_store.ImageStore.fetch`.
        """
        inputs = self.inputs
        if isinstance(inputs, StoredInputs):
            return inputs.start(index, places)
        if isinstance(inputs, Tensor):
            return lambda: inputs[index]
        return lambda: torch.from_numpy(inputs[index.numpy()].toarray())

    def order(self, generator: torch.Generator, rows: Tensor | None = None) -> Tensor:
        """All rows, or these (M,), in a random order (M,), int32 or int64; of images on disk one that reads fast."""
        if isinstance(self.inputs, StoredInputs):
            chosen = self.inputs if rows is None else self.inputs.take(rows.numpy())
            positions = chosen.order(generator)
        else:
            positions = permutation(len(self) if rows is None else len(rows), generator)
        return positions if rows is None else rows[positions]

    @property
    def at_once(self) -> int:
        """How many examples to fetch or predict at a time where all are gone through: fewer where images are large."""
        shape = tuple(self.inputs.shape)
        return images_per_call(shape[2]) if len(shape) == 4 else images_per_call(0)

    def first(self, count: int) -> Examples:
        """The first rows alone, without labels; those in memory are not copied."""
        if isinstance(self.inputs, Tensor):
            return Examples(self.inputs[:count], None)
        return self.take(torch.arange(min(count, len(self))))

    def take(self, rows: Tensor) -> Examples:
        """Some rows alone, in that order, without labels; of images on disk none is read."""
        if isinstance(self.inputs, StoredInputs):
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


def permutation(count: int, generator: torch.Generator) -> Tensor:
    """(N,) the numbers below N in a random order, in 32 bits where these do: the same order in 64.

    Example:
        >>> order = permutation(5, torch.Generator().manual_seed(0))
        >>> order.dtype, torch.equal(order.long(), torch.randperm(5, generator=torch.Generator().manual_seed(0)))
        (torch.int32, True)
    """
    return torch.randperm(count, generator=generator, dtype=torch.int32 if count < 2**31 else torch.int64)


def images_per_call(side: int) -> int:
    """How many images of a side are decoded or predicted at a time: 1000 up to 64 pixels, fewer above.

    Example:
        >>> images_per_call(32), images_per_call(224)
        (1000, 81)
    """
    return max(1, int(_AT_ONCE * min(1.0, (64 / max(side, 1)) ** 2)))
