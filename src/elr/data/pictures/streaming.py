"""What is made of images that stay on disk, some of them at a time: their features, their values, room for results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from elr.devices import memory_to_use, processes_here
from elr.files import on_disk

if TYPE_CHECKING:
    from elr.data.pictures.image_store import ImageStore

SHARE_OF_MEMORY = 1 / 3
"""Of the memory that may be taken: what is larger lies on disk."""
EMBEDDED_AT_ONCE = 256
"""Images that a backbone is given at a time."""
_COUNTED_OF, _COUNTED_AT_ONCE = 10_000, 250


def fits(num_bytes: int, max_memory: int | None = None) -> bool:
    """Whether each process of this machine holds something of that size in memory, unless somebody says otherwise.

    Args:
        num_bytes: its size in one process.
        max_memory: see `elr.devices.memory_to_use`.

    Example:
        >>> fits(2**20, 2**30), fits(2**29, 2**30)
        (True, False)
    """
    return num_bytes * processes_here() < memory_to_use(max_memory) * SHARE_OF_MEMORY


def room_for(
    shape: tuple[int, ...], dtype: DTypeLike, *, max_memory: int | None = None, folder: str | None = None
) -> NDArray[Any]:
    """An array to fill, in memory or, where there is too little of it, on disk.

    Args:
        shape: of the array.
        dtype: of the array.
        max_memory: see `elr.devices.memory_to_use`.
        folder: see `elr.files.on_disk`.

    Raises:
        OutputError: the disk is full.

    Example:
        >>> room_for((2, 3), np.uint8).shape
        (2, 3)
    """
    if fits(math.prod(shape) * np.dtype(dtype).itemsize, max_memory):
        return np.empty(shape, dtype=dtype)
    return on_disk(shape, dtype, folder)


def embedded(
    store: ImageStore,
    embed: Callable[[Tensor], NDArray[np.float32]],
    *,
    max_memory: int | None = None,
    folder: str | None = None,
) -> NDArray[np.float32]:
    """Features (N, D) of all images, which are decoded some hundred at a time, the next while these are embedded.

    Args:
        store: N images.
        embed: from images (m, 3, S, S) uint8 to features (m, D).
        max_memory: see `elr.devices.memory_to_use`; larger features lie in a file.
        folder: of that file, see `elr.files.on_disk`.

    Raises:
        DataError: an image that cannot be read.

    Example:
        >>> from elr.data.pictures.decoding import Square, thumbnail
        >>> from elr.data.pictures.image_store import ImageStore
        >>> class Grays(ImageStore):
        ...     def _count(self):
        ...         return 2
        ...     def _name(self, row):
        ...         return str(row)
        ...     def _encoded(self, row):
        ...         return thumbnail(torch.full((3, 8, 8), row, dtype=torch.uint8))
        >>> embedded(Grays(Square(crop=8)), lambda images: images[:, :1, 0, 0].float().numpy()).tolist()
        [[0.0], [1.0]]
    """
    chunks = torch.arange(len(store)).split(EMBEDDED_AT_ONCE)
    features: NDArray[np.float32] | None = None
    coming = store.start(chunks[0])
    for number, rows in enumerate(chunks):
        images = coming()
        if number + 1 < len(chunks):
            coming = store.start(chunks[number + 1])
        found = embed(images)
        if features is None:
            features = room_for((len(store), found.shape[1]), np.float32, max_memory=max_memory, folder=folder)
        features[int(rows[0]) : int(rows[0]) + len(rows)] = found
    assert features is not None, "a store has images"
    return features


def counted_statistics(images: Tensor | ImageStore) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 images (N, channels, H, W), of pixels in [0, 1].

    Pixels are counted by their value, so that it comes to the same numbers whether images are in memory or on disk.
    Taken over at most 20,000 images, evenly spread.

    Example:
        >>> counted_statistics(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2))
        ([0.5], [0.7071067811865476])
    """
    rows = torch.arange(0, len(images), max(1, len(images) // _COUNTED_OF))
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for chunk in rows.split(_COUNTED_AT_ONCE):
        part = images[chunk].numpy()
        counts += [np.bincount(part[:, channel].ravel(), minlength=256) for channel in range(part.shape[1])]
    values, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ values / total
    squares = (counts * (values - mean[:, None]) ** 2).sum(axis=1)
    return mean.tolist(), np.maximum(np.sqrt(squares / np.maximum(total - 1, 1)), 1e-3).tolist()
