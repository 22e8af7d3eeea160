"""Indexed examples in memory, arrays checked on the way there, transforms of a batch, and labels as class numbers."""

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
from torch.nn import functional as F

from elr.errors import ArgumentError, DataError
from elr.stores import ImageStore, images_per_call

Label = str | int
_PLACES = 2**16
_IN_CACHE = 2**20  # numbers


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
            places: (B, 2) in [0, 1], of random crops, for images on disk; see `elr.stores.ImageStore.fetch`.
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

    def places(self, draws: Tensor | None) -> Tensor | None:
        """(B, 2) in [0, 1]: where images on disk are cropped as they are read; None: in the middle."""
        del draws
        return None

    def views(self, inputs: Tensor) -> list[Tensor]:
        """The network inputs over which a prediction is averaged."""
        return [self(inputs)]


class ImageTransform(Transform):
    """Normalization, and as augmentation a random crop after zero padding and a horizontal flip, on whole batches.

    Args:
        mean: (channels,) of pixels in [0, 1].
        std: (channels,), > 0.
        padding: pixels added on each side before the crop; 4 for 32-pixel images as in the paper; 0: no crop.
        flip: whether to mirror half of the images.
        window: whether images on disk are cropped at a random place as they are read.
        cutout: side in pixels of a square at a random place that is set to the mean color; 0: none.
        mirror: whether a prediction is averaged over an image and its mirror image.
        flatten: whether to give vectors (B, channels * H * W), for networks that do not take images.

    Example:
        >>> transform = ImageTransform([0.5], [0.5], padding=1, flip=True)
        >>> images = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
        >>> transform(images, transform.draw(2, torch.Generator().manual_seed(0))).shape
        torch.Size([2, 1, 4, 4])

    Source: augmentation of appendix G of Liu et al., NeurIPS 2020 (normalize, crop, flip); cutout: DeVries and Taylor,
    arXiv:1708.04552, here with the square always whole.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        padding: int = 0,
        flip: bool = False,
        window: bool = False,
        cutout: int = 0,
        mirror: bool = False,
        flatten: bool = False,
    ) -> None:
        self.mean = list(mean)
        self.std = list(std)
        self.padding = padding
        self.flip = flip
        self.window = window
        self.cutout = cutout
        self.mirror = mirror
        self.flatten = flatten

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3): offsets of the crop in [0, 2 * padding], 1 for a flip.

        With cutout two more, its place; with window two more, last, the place of the crop.
        """
        offsets = torch.randint(0, 2 * self.padding + 1, (count, 2), generator=generator)
        flips = torch.randint(0, 2, (count, 1), generator=generator)
        draws = [offsets, flips if self.flip else torch.zeros_like(flips)]
        if self.cutout:
            draws.append(torch.randint(0, _PLACES, (count, 2), generator=generator))
        if self.window:
            draws.append(torch.randint(0, _PLACES, (count, 2), generator=generator))
        return torch.cat(draws, dim=1)

    def places(self, draws: Tensor | None) -> Tensor | None:
        return draws[:, -2:] / (_PLACES - 1) if self.window and draws is not None else None

    def __call__(self, inputs: Tensor, draws: Tensor | None = None) -> Tensor:
        if draws is not None and self.padding:
            inputs = self._crop(inputs, draws.to(inputs.device))
        elif draws is not None and self.flip:
            inputs = _mirrored(inputs, draws[:, 2] == 1)
        normalized = self._normalized(inputs)
        if draws is not None and self.cutout:
            normalized = normalized.masked_fill(self._square(normalized, draws[:, 3:5].to(inputs.device)), 0.0)
        return normalized.flatten(1) if self.flatten else normalized

    def _normalized(self, images: Tensor) -> Tensor:
        """(x - mean) / std as float32; some images at a time, so that the passes over them find them in the cache."""
        mean = torch.tensor(self.mean, device=images.device) * 255.0
        scale = 1.0 / (torch.tensor(self.std, device=images.device) * 255.0)
        batch, channels, height, width = images.shape
        by_pixel = channels > 1 and images.is_contiguous(memory_format=torch.channels_last)
        if by_pixel:  # a row of pixels is one row of numbers, which vector instructions like better than threes
            stored = images.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
            mean, scale = mean.repeat(width), scale.repeat(width)
        else:
            stored, mean, scale = images, mean.view(-1, 1, 1), scale.view(-1, 1, 1)
        normalized = torch.empty(stored.shape, device=images.device)
        count = max(1, _IN_CACHE // max(1, stored[:1].numel())) if images.device.type == "cpu" else max(1, batch)
        for to, part in zip(normalized.split(count), stored.split(count), strict=True):
            to.copy_(part).sub_(mean).mul_(scale)
        return normalized.view(batch, height, width, channels).permute(0, 3, 1, 2) if by_pixel else normalized

    def views(self, inputs: Tensor) -> list[Tensor]:
        return [self(inputs), self(inputs.flip(3))] if self.mirror else [self(inputs)]

    def _square(self, images: Tensor, places: Tensor) -> Tensor:
        """(B, 1, H, W): where each image is cut out."""
        sides = []
        for axis in (0, 1):
            length = images.shape[2 + axis]
            start = places[:, axis : axis + 1] * (length - min(self.cutout, length) + 1) // _PLACES
            across = torch.arange(length, device=images.device)
            sides.append((across >= start) & (across < start + self.cutout))
        return sides[0][:, None, :, None] & sides[1][:, None, None, :]

    def _crop(self, images: Tensor, draws: Tensor) -> Tensor:
        """Shift and mirror each image by its own draw, by one gather over the padded batch."""
        batch, channels, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        across = torch.arange(width, device=images.device)
        columns = torch.where(draws[:, 2:3] == 1, width - 1 - across, across) + draws[:, 1:2]
        lines = torch.arange(height, device=images.device) + draws[:, :1]
        flat = (lines[:, :, None] * padded.shape[3] + columns[:, None, :]).view(batch, 1, -1)
        cropped = padded.flatten(2).gather(2, flat.expand(-1, channels, -1))
        return cropped.view(batch, channels, height, width)


def _mirrored(images: Tensor, which: Tensor) -> Tensor:
    """Images of which some are mirrored; `which` is (B,) bool."""
    if images.device.type != "cpu":
        return torch.where(which.to(images.device)[:, None, None, None], images.flip(3), images)
    turned = images.clone()
    for row in which.nonzero()[:, 0].tolist():  # five times as fast as choosing pixel by pixel
        turned[row] = images[row].flip(2)
    return turned


def image_statistics(images: Tensor | ImageStore) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 images (N, channels, H, W), of pixels in [0, 1].

    Taken over at most 10,000 images, 500 where they are on disk, evenly spread, so that it costs little.
    """
    most = 500 if isinstance(images, ImageStore) else 10_000
    sample = images[:: max(1, len(images) // most)].float() / 255.0
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
