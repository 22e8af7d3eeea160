"""From stored rows to network inputs, a whole batch at a time: images normalized, augmented, mirrored."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from elr.data.examples import StoredInputs
from elr.data.pictures.pixels.resampling import normalized_by_pixel

if TYPE_CHECKING:
    from elr.data.pictures.image_store import ImageStore

_PLACES = 2**16
_IN_CACHE = 2**20  # numbers


class Transform:
    """What turns stored rows into network inputs; this one leaves float features as they are.

    Example:
        >>> Transform()(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def draw(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Random numbers for `count` examples of a training batch, on the CPU; None where nothing is random."""
        del count, generator
        return None

    def __call__(self, inputs: Tensor, draws: Tensor | None = None) -> Tensor:
        """Network inputs (B, ...) from stored ones, on their device; augmented where `draws` are given, there too."""
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
        turned = draws[:, 2] == 1 if draws is not None and self.flip and not self.padding else None
        normalized = self._normalized(inputs, turned)
        if draws is not None and self.cutout:
            normalized = normalized.masked_fill(self._square(normalized, draws[:, 3:5].to(inputs.device)), 0.0)
        return normalized.flatten(1) if self.flatten else normalized

    def _normalized(self, images: Tensor, turned: Tensor | None = None) -> Tensor:
        """(x - mean) / std as float32, of images some of which (B,) are mirrored first.

        Some at a time on a CPU, so that the passes over them find them in the cache.
        """
        mean, scale = _in_levels(tuple(self.mean), tuple(self.std), images.device)
        batch, channels, height, width = images.shape
        by_pixel = channels > 1 and images.is_contiguous(memory_format=torch.channels_last)
        # With one thread, as where images are decoded beside: see `elr.devices.one_thread`.
        if by_pixel and images.device.type == "cpu" and torch.get_num_threads() == 1 and images.dtype == torch.uint8:
            found = normalized_by_pixel(images, turned, mean, scale)
            if found is not None:
                return found
        if by_pixel:  # a row of pixels is one row of numbers, which vector instructions like better than threes
            shape, mean, scale = (batch, height, width * channels), mean.repeat(width), scale.repeat(width)
        else:
            shape, mean, scale = images.shape, mean.view(-1, 1, 1), scale.view(-1, 1, 1)
        normalized = torch.empty(shape, device=images.device)
        each = channels * height * width
        count = max(1, _IN_CACHE // max(1, each)) if images.device.type == "cpu" else max(1, batch)
        for rows in (slice(first, first + count) for first in range(0, batch, count)):
            part = images[rows] if turned is None else _mirrored(images[rows], turned[rows])
            stored = part.permute(0, 2, 3, 1).reshape(-1, height, width * channels) if by_pixel else part
            normalized[rows].copy_(stored).sub_(mean).mul_(scale)
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


@functools.lru_cache(maxsize=16)
def _in_levels(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """(channels,) mean and 1 / std of pixels in [0, 255]; kept, as a GPU would be waited for to send them."""
    return torch.tensor(mean, device=device) * 255.0, 1.0 / (torch.tensor(std, device=device) * 255.0)


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

    Example:
        >>> image_statistics(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
        ([0.0], [0.0010000000474974513])
    """
    most = 500 if isinstance(images, StoredInputs) else 10_000
    sample = images[:: max(1, len(images) // most)].float() / 255.0
    return sample.mean(dim=(0, 2, 3)).tolist(), sample.std(dim=(0, 2, 3)).clamp(min=1e-3).tolist()
