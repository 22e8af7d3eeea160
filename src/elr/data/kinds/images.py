"""Rows of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elr.checking import check_ranges, check_types
from elr.data.formats.format import FileFormat
from elr.data.kinds.kind import Contents, Kind
from elr.data.label_coding import LabelCoding
from elr.data.pictures.image_store import ImageStore
from elr.data.pictures.streaming import counted_statistics
from elr.data.preprocessing import Preprocessing
from elr.data.records import IMAGES, NO_BACKBONE, ROWS_AT_ONCE, ReadOptions, Records
from elr.data.text import one_scale
from elr.data.transforms import ImageTransform, Transform, image_statistics
from elr.errors import DataError, RowError
from elr.files import BACKBONE_FILE, on_disk
from elr.names import printable

_MOST_SIDE, _LARGEST = 2**15, 3.4e38
_BACKBONE_RATE = 0.002  # docs/benchmarks/defaults.md


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What the images of a run look like.

    Args:
        channels: 1 or 3.
        height: in pixels.
        width: in pixels.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        resize: pixels of the shorter side before the middle square is cut out; None: the largest square is.
        range: values that became black and white, where images have more than 8 bits.

    Example:
        >>> vars(ImageSpec(channels=1, height=8, width=8, mean=[0.5], std=[0.3]))["resize"] is None
        True
    """

    channels: int
    height: int
    width: int
    mean: list[float]
    std: list[float]
    resize: int | None = None
    range: list[float] | None = None

    def __post_init__(self) -> None:
        check_types(self, "channels", "height", "width", "resize")
        span = [0.0, 1.0] if self.range is None else self.range
        in_range = {
            "channels": (self.channels in (1, 3), "1 or 3"),
            "height": (1 <= self.height <= _MOST_SIDE, f"1 to {_MOST_SIDE} pixels"),
            "width": (1 <= self.width <= _MOST_SIDE, f"1 to {_MOST_SIDE} pixels"),
            "resize": (self.resize is None or 1 <= self.resize <= _MOST_SIDE, f"None, or 1 to {_MOST_SIDE} pixels"),
            "mean": (_are_numbers(self.mean, self.channels), f"{self.channels} numbers"),
            "std": (_are_numbers(self.std, self.channels), f"{self.channels} numbers"),
            "range": (_are_numbers(span, 2) and span[0] < span[1], "None, or two numbers, the lower one first"),
        }
        check_ranges(self, in_range)


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) == count
        and all(type(each) in (int, float) and abs(each) <= _LARGEST for each in values)
    )


@dataclass(frozen=True, kw_only=True)
class PixelsPreprocessing(Preprocessing):
    """Images that a network sees as such, normalized.

    Args:
        spec: what they look like.

    Example:
        >>> records = Records(kind="images", rows=np.arange(2), images=torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> PixelsPreprocessing.fit(records, ReadOptions(), coding=coding).spec.mean
        [0.0, 0.0, 0.0]
    """

    kind, learns_from, takes_images = IMAGES, IMAGES, True
    spec: ImageSpec

    @classmethod
    def wrote(cls, settings: Mapping[str, Any]) -> bool:
        return settings["image_format"] is not None

    @classmethod
    def suits(cls, records: Records, options: ReadOptions) -> bool:
        return not BackbonePreprocessing.suits(records, options)

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> PixelsPreprocessing:
        del options
        images, pretrained = records.images, records.pretrained
        assert images is not None, "images without features have pixels"
        statistics = counted_statistics(images) if records.counted else image_statistics(images)
        mean, std = (list(pretrained.mean), list(pretrained.std)) if pretrained else statistics
        _, channels, height, width = images.shape
        resize = images.geometry.resize if isinstance(images, ImageStore) else None
        span = None if records.image_range is None else list(records.image_range)
        return cls(
            coding=coding,
            spec=ImageSpec(
                channels=channels, height=height, width=width, mean=mean, std=std, resize=resize, range=span
            ),
        )

    def _inputs(self, records: Records, name: str) -> Tensor | ImageStore:
        """The images with the channels of training: gray from color by the mean, color from gray by repeating."""
        images, expected = records.images, self.spec
        size = (expected.height, expected.width)
        if images is None or images.shape[2:] != size:
            found = None if images is None else tuple(images.shape[2:])
            raise DataError(f"{name} has images of {found} pixels, training had {size}: resize them")
        if images.shape[1] == expected.channels:
            return images
        if isinstance(images, ImageStore):
            raise DataError(
                f"{name} stays on disk, in color, and training had {expected.channels} channel: give fewer images at a "
                "time, which memory holds"
            )
        if expected.channels == 1:
            return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
        return images.expand(-1, expected.channels, -1, -1)

    def transform(
        self,
        *,
        crop: bool = False,
        window: bool = False,
        flip: bool = False,
        cutout: int = 0,
        mirror: bool = False,
        flatten: bool = False,
    ) -> Transform:
        return ImageTransform(
            self.spec.mean,
            self.spec.std,
            padding=max(1, self.spec.height // 8) if crop else 0,  # 4 of 32 pixels, as in the paper
            window=window,
            flip=flip,
            cutout=cutout,
            mirror=mirror,
            flatten=flatten,
        )

    def reading(self, options: ReadOptions, *, folder: Path, encoder: str | None) -> ReadOptions:
        """The network of a run has all of the backbone that there is."""
        del folder, encoder
        seen = {"image_size": self.spec.height, "image_resize": self.spec.resize}
        seen["image_range"] = self.spec.range
        return replace(options, **seen, backbone=NO_BACKBONE, weights=None, fine_tune=None)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"image_format": vars(self.spec)}

    @classmethod
    def load(cls, folder: Path, settings: Mapping[str, Any], *, coding: LabelCoding) -> PixelsPreprocessing:
        del folder
        return cls(coding=coding, spec=ImageSpec(**settings["image_format"]))


@dataclass(frozen=True, kw_only=True)
class BackbonePreprocessing(Preprocessing):
    """Images as the features that a backbone makes of them, on one scale.

    Example:
        >>> BackbonePreprocessing(coding=LabelCoding(class_names=("cat", "dog"))).feature_rate(1280)
        0.002
    """

    kind, learns_from = IMAGES, f"features of {IMAGES}"

    @classmethod
    def wrote(cls, settings: Mapping[str, Any]) -> bool:
        return settings["image_format"] is None

    @classmethod
    def suits(cls, records: Records, options: ReadOptions) -> bool:
        del options
        return records.features is not None

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> BackbonePreprocessing:
        del options
        assert records.features is not None, "a backbone gives features"
        return cls(coding=coding, transformer=one_scale(records.features, at_once=ROWS_AT_ONCE))

    def _inputs(self, records: Records, name: str) -> NDArray[np.float32]:
        features = records.features
        if not isinstance(features, np.memmap):
            return self._scaled(records, name)
        self._check_width(features, name)
        scaled = on_disk(features.shape, np.float32, records.scratch)
        for start in range(0, len(features), ROWS_AT_ONCE):
            part = slice(start, min(start + ROWS_AT_ONCE, len(features)))
            try:
                scaled[part] = self._transformed(features[part], name)
            except RowError as error:
                raise error.at(range(part.start, part.stop)) from None
        return scaled

    def feature_rate(self, num_features: int) -> float | None:
        del num_features
        return _BACKBONE_RATE

    def reading(self, options: ReadOptions, *, folder: Path, encoder: str | None) -> ReadOptions:
        """The backbone of a run lies in its folder."""
        if options.backbone in (None, NO_BACKBONE):
            return super().reading(options, folder=folder, encoder=encoder)
        return replace(options, weights=str(folder / BACKBONE_FILE))


class Images(Kind):
    """Images, all of one size as they are read.

    Example:
        >>> records = Records(kind="images", rows=np.arange(1), images=torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
        >>> Images().picture(records, 0).shape
        torch.Size([3, 8, 8])
    """

    preprocessings = (PixelsPreprocessing, BackbonePreprocessing)
    named_classes = True
    label_hint = ", a subfolder for each class"

    def contents(
        self, form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]
    ) -> Contents:
        pictures = form.pictures(source, options, rows, ids)
        if pictures is None:
            raise DataError(f"{printable(source)} has no images: name the data of the run with --data")
        return "Image", [{"image": url} for url in pictures]

    def picture(self, records: Records, row: int) -> Tensor | None:
        return None if records.images is None else records.images[row]
