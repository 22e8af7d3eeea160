"""Indexed examples in memory, what is done to a batch of them, and labels as class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from elr.errors import ArgumentError, DataError

Label = str | int


class Examples:
    """Training or test examples in memory: row i is row i for ever.

    Args:
        inputs: (N, ...) tensor or array (uint8 images (N, channels, H, W), or float features (N, D)), or a SciPy sparse
            matrix (N, D), of which each batch is made dense.
        labels: (N,) integers, or None for examples to predict.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> examples = Examples(np.eye(3, dtype="float32"), [0, 1, 1])
        >>> examples.fetch(torch.tensor([2]))
        tensor([[0., 0., 1.]])
    """

    def __init__(self, inputs: Tensor | NDArray | sparse.spmatrix | sparse.sparray, labels: ArrayLike | None) -> None:
        self.inputs = inputs if isinstance(inputs, Tensor) else _as_rows(inputs)
        self.labels = torch.as_tensor(np.array(labels, dtype=np.int64)) if labels is not None else None
        if self.labels is not None and self.labels.shape != (len(self),):
            raise ArgumentError(
                f"labels have shape {tuple(self.labels.shape)} for {len(self)} examples: expected one class each"
            )

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def fetch(self, index: Tensor) -> Tensor:
        """The inputs of some rows, (B, ...): images as uint8, features as float32; `index` is (B,) int64 on the CPU."""
        if isinstance(self.inputs, Tensor):
            return self.inputs[index]
        return torch.from_numpy(self.inputs[index.numpy()].toarray())

    @property
    def are_images(self) -> bool:
        """Whether the inputs are images (N, channels, H, W)."""
        return len(self.inputs.shape) == 4


def _as_rows(inputs: NDArray | sparse.spmatrix | sparse.sparray) -> Tensor | sparse.csr_array:
    if sparse.issparse(inputs):
        return sparse.csr_array(inputs, dtype=np.float32)
    array = np.asarray(inputs)
    return torch.from_numpy(array if array.dtype == np.uint8 else np.ascontiguousarray(array, dtype=np.float32))


class Transform:
    """What turns stored rows into network inputs; this one leaves float features as they are."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Random numbers for `count` examples of a training batch, on the CPU; None where nothing is random."""
        del count, generator
        return None

    def __call__(self, inputs: Tensor, draws: Tensor | None = None) -> Tensor:
        """Network inputs (B, ...) from stored ones, on their device; augmented where `draws` are given."""
        del draws
        return inputs


class ImageTransform(Transform):
    """Normalization, and as augmentation a random crop after zero padding and a horizontal flip, on whole batches.

    Args:
        mean: (channels,) of pixels in [0, 1].
        std: (channels,), > 0.
        padding: pixels added on each side before the crop; 4 for 32-pixel images as in the paper; 0: no crop.
        flip: whether to mirror half of the images.
        flatten: whether to give vectors (B, channels * H * W), for networks that do not take images.

    Example:
        >>> transform = ImageTransform([0.5], [0.5], padding=1, flip=True)
        >>> images = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
        >>> transform(images, transform.draw(2, torch.Generator().manual_seed(0))).shape
        torch.Size([2, 1, 4, 4])

    Source: augmentation of appendix G of Liu et al., NeurIPS 2020 (normalize, crop, flip).
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], *, padding: int = 0, flip: bool = False, flatten: bool = False
    ) -> None:
        self.mean = list(mean)
        self.std = list(std)
        self.padding = padding
        self.flip = flip
        self.flatten = flatten

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3): vertical and horizontal offset of the crop in [0, 2 * padding], and 1 for a flip."""
        offsets = torch.randint(0, 2 * self.padding + 1, (count, 2), generator=generator)
        flips = torch.randint(0, 2, (count, 1), generator=generator)
        return torch.cat([offsets, flips if self.flip else torch.zeros_like(flips)], dim=1)

    def __call__(self, inputs: Tensor, draws: Tensor | None = None) -> Tensor:
        if draws is not None and (self.padding or self.flip):
            inputs = self._crop(inputs, draws.to(inputs.device))
        mean = torch.tensor(self.mean, device=inputs.device).view(1, -1, 1, 1) * 255.0
        scale = 1.0 / (torch.tensor(self.std, device=inputs.device).view(1, -1, 1, 1) * 255.0)
        normalized = (inputs.float() - mean) * scale
        return normalized.flatten(1) if self.flatten else normalized

    def _crop(self, images: Tensor, draws: Tensor) -> Tensor:
        """Shift and mirror each image by its own draw, by one gather over the padded batch."""
        batch, channels, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        across = torch.arange(width, device=images.device)
        columns = torch.where(draws[:, 2:] == 1, width - 1 - across, across) + draws[:, 1:2]
        lines = torch.arange(height, device=images.device) + draws[:, :1]
        flat = (lines[:, :, None] * padded.shape[3] + columns[:, None, :]).view(batch, 1, -1)
        cropped = padded.flatten(2).gather(2, flat.expand(-1, channels, -1))
        return cropped.view(batch, channels, height, width)


def image_statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 images (N, channels, H, W), of pixels in [0, 1].

    Taken over at most 10,000 images, evenly spread, so that it costs little memory.
    """
    sample = images[:: max(1, len(images) // 10_000)].float() / 255.0
    return sample.mean(dim=(0, 2, 3)).tolist(), sample.std(dim=(0, 2, 3)).clamp(min=1e-3).tolist()


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
        values, counts = np.unique(np.asarray(labels), return_counts=True)
        if len(values) < 2:
            raise DataError(
                f"{column} is constant: all {len(labels)} rows say {values[:1].tolist()}; at least two classes are needed"
            )
        if len(values) == len(labels):
            raise DataError(
                f"{column} is different in each of the {len(labels)} rows (such as {values[0].item()!r}): that is an "
                "identifier or a measurement, not a class; name another label column"
            )
        if counts.min() < 2:
            single = [repr(value) for value in values[counts < 2][:5].tolist()]
            raise DataError(
                f"{column} has {int((counts < 2).sum())} of {len(values)} classes with one example only "
                f"({', '.join(single)}): nothing can be said about such a label; merge or remove these rows"
            )
        return cls(class_names=tuple(values.tolist()))

    def encode(self, labels: Sequence[Label], *, column: str) -> NDArray[np.int64]:
        """Class numbers (N,) of label values.

        Raises:
            DataError: values that are no class of the training labels.
        """
        number = {name: position for position, name in enumerate(self.class_names)}
        unknown = sorted({repr(value) for value in labels if value not in number})
        if unknown:
            raise DataError(
                f"{column} has {len(unknown)} values that the training labels do not have: {', '.join(unknown[:5])}; "
                f"known classes: {', '.join(map(repr, self.class_names[:10]))}"
            )
        return np.array([number[value] for value in labels], dtype=np.int64)
