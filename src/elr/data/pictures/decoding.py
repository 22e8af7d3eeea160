"""Images from bytes to pixels and back: every kind that Pillow reads, upright, in 8-bit color, brought to one size."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from elr.data.pictures.pixels.jpeg import ORIENTATION, jpeg_pixels, jpeg_size
from elr.data.pictures.pixels.resampling import bilinear_square, middle_square, room_of_thread
from elr.errors import ArgumentError, optional

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
Encoded = Path | bytes
MOST_PIXELS = 89_478_485
"""From which on Pillow warns of decompression bombs."""
_MEDIA = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}
CENTER = 0.5
_BITS_PER_SAMPLE = 258  # a tag of TIFF
Span = tuple[float, float] | None
_AT_ONCE = 2**22  # values that are scaled


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What an image is brought to: its shorter side to `resize` pixels, then a square of `crop` pixels is cut out.

    Args:
        resize: pixels, at least `crop`. Default 256, as the paper for Clothing1M.
        crop: pixels, at least 1. Default 224, as the paper for Clothing1M.

    Raises:
        ArgumentError: sizes out of range.

    Example:
        >>> Geometry(crop=300)
        Traceback (most recent call last):
        elr.errors.ArgumentError: crop is 300, resize 256: expected 1 <= crop <= resize pixels

    Source: Liu et al., NeurIPS 2020, appendix G.
    """

    resize: int = 256
    crop: int = 224
    windows: ClassVar[bool] = True
    """Whether crops lie at other places than in the middle."""

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ArgumentError(f"crop is {self.crop}, resize {self.resize}: expected 1 <= crop <= resize pixels")

    def decode(self, encoded: bytes, place: tuple[float, float] = (CENTER, CENTER)) -> Tensor:
        """One encoded image as (3, crop, crop) uint8: see `decode_crop`."""
        return decode_crop(encoded, self, place)


@dataclass(frozen=True, kw_only=True)
class Square:
    """What an image is brought to that people bring: its middle square, at one size, whether in memory or on disk.

    Args:
        crop: side of the square in pixels.
        resize: pixels of the shorter side before the middle square is cut out, see `decode_crop`; None: the largest
            square is cut out first, see `decode_square`.
        span: see `as_rgb`.

    Example:
        >>> image = thumbnail(torch.full((3, 50, 90), 200, dtype=torch.uint8), side=90)
        >>> Square(crop=2).decode(image)[0].tolist()
        [[200, 200], [200, 200]]
    """

    crop: int
    resize: int | None = None
    span: Span = None
    windows: ClassVar[bool] = False

    def decode(self, encoded: Encoded, place: tuple[float, float] = (CENTER, CENTER)) -> Tensor:
        """One encoded image as (3, crop, crop) uint8; its middle, whatever the place."""
        del place
        if self.resize is None:
            return torch.from_numpy(decode_square(encoded, self.crop, span=self.span))
        content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
        return decode_crop(content, Geometry(resize=self.resize, crop=self.crop), span=self.span)


def decode_square(source: Encoded, size: int, *, span: Span = None) -> NDArray[np.uint8]:
    """One image as (3, size, size) uint8: its middle square, brought to that size by bicubic resampling.

    Args:
        source: the file, or its bytes.
        size: in pixels.
        span: see `as_rgb`.

    Raises:
        Exception: whatever decoders raise on what is no image; ValueError for one of too many pixels.

    Example:
        >>> decode_square(thumbnail(torch.full((3, 50, 90), 200, dtype=torch.uint8)), 2)[0].tolist()
        [[200, 200], [200, 200]]
    """
    encoded = source if isinstance(source, bytes) else source.read_bytes()
    return middle_square(_pixels(encoded, size, span), size).transpose(2, 0, 1)


def decode_crop(
    encoded: bytes, geometry: Geometry, place: tuple[float, float] = (CENTER, CENTER), *, span: Span = None
) -> Tensor:
    """One encoded image as (3, crop, crop) uint8: shorter side to `resize`, then the crop at `place`.

    Only the part of the image that the crop shows is resized; bilinear with antialiasing. A JPEG of more than twice the
    size is decoded at a half, a quarter or an eighth of it.

    Args:
        encoded: the file's bytes.
        geometry: the sizes.
        place: (y, x) in [0, 1], of the crop between top and bottom, and left and right.
        span: see `as_rgb`.

    Raises:
        Exception: whatever decoders raise on what is no image; ValueError for one of too many pixels.

    Example:
        >>> image = thumbnail(torch.full((3, 50, 90), 200, dtype=torch.uint8), side=90)
        >>> decode_crop(image, Geometry(resize=40, crop=32)).shape
        torch.Size([3, 32, 32])
    """
    pixels = _pixels(encoded, geometry.resize, span)
    height, width = pixels.shape[:2]
    scale = min(height, width) / geometry.resize
    side = geometry.crop * scale
    top, left = place[0] * (height - side), place[1] * (width - side)
    rows, columns = (_span(start, side, length) for start, length in ((top, height), (left, width)))
    return torch.from_numpy(bilinear_square(pixels[rows, columns], geometry.crop)).permute(2, 0, 1)


def _span(start: float, window: float, length: int) -> slice:
    """The pixels that a window touches, at least one."""
    first = min(max(0, round(start)), length - 1)
    return slice(first, max(first + 1, min(length, round(start + window))))


def _pixels(encoded: bytes, resize: int, span: Span) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, upright, shorter side at least `resize` where the image has it; good until the next call."""
    size = jpeg_size(encoded)
    if size is not None:
        _check_pixels(*size[:2])
        if (pixels := jpeg_pixels(encoded, size, resize, partial(room_of_thread, "pixels"))) is not None:
            return pixels
    return np.array(_upright(encoded, resize, span))


def _upright(source: Encoded, side: int, span: Span) -> Image.Image:
    """An image in 8-bit color as its camera was held; a JPEG far above `side` pixels is decoded at reduced size."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        _check_pixels(image.height, image.width)
        _refuse_deep_tiff(image)
        if _deep_color(image):
            return as_rgb(ImageOps.exif_transpose(_eight_bit_color(image, source, span)))
        image.draft("RGB", (side, side))
        return as_rgb(ImageOps.exif_transpose(image), span=span)


def deep_pixels(image: Image.Image, source: Encoded) -> NDArray | None:
    """Pixels of more than 8 bits, (H, W) or (H, W, channels), as they are stored; None of 8 bits or less.

    Args:
        image: as Pillow opened it.
        source: what it was opened from, since Pillow drops the lower 8 of 16 bits of color.

    Example:
        >>> image = Image.fromarray(np.array([[7, 4000]], dtype=np.uint16))
        >>> deep_pixels(image, b"").tolist()
        [[7, 4000]]
    """
    _check_pixels(image.height, image.width)
    _refuse_deep_tiff(image)
    if _deep_color(image):
        return _deep_png(source)
    return np.asarray(image) if image.mode.startswith("I") or image.mode == "F" else None


def _deep_color(image: Image.Image) -> bool:
    """Whether an image, not yet loaded, is a PNG of 16 bits in color or with opacity."""
    tiles = getattr(image, "tile", None)
    return image.format == "PNG" and bool(tiles) and image.mode[0] != "I" and str(tiles[0][3]).endswith(";16B")


def _refuse_deep_tiff(image: Image.Image) -> None:
    """Of a TIFF of 16 bits in color Pillow gives the upper 8, four of which say anything where pixels have 12."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8) if image.format == "TIFF" else 8
    if image.mode[0] not in "IF" and max(np.atleast_1d(bits)) > 8:
        raise ValueError(
            "its colors have more than 8 bits, of which only the upper 8 can be read of a TIFF: make it a PNG"
        )


def _deep_png(source: Encoded) -> NDArray[np.uint16]:
    """(H, W, channels)."""
    optional("torchvision.io", "a PNG of 16 bits in color", extra="images")  # registers the operator
    encoded = source if isinstance(source, bytes) else source.read_bytes()
    pixels = torch.ops.image.decode_png(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), 0, False)
    return pixels.numpy().transpose(1, 2, 0)


def _eight_bit_color(image: Image.Image, source: Encoded, span: Span) -> Image.Image:
    pixels = _deep_png(source)
    channels = pixels.shape[2]
    colors = channels - 1 + channels % 2
    parts = [_eight_bits(pixels[:, :, :colors], span), _eight_bits(pixels[:, :, colors:], None)]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    scaled = np.concatenate(parts, axis=2)
    flat = Image.fromarray(scaled[:, :, 0] if channels == 1 else scaled, mode)
    turn = image.getexif().get(ORIENTATION)
    if turn is not None:
        flat.getexif()[ORIENTATION] = turn
    return flat


def _eight_bits(pixels: NDArray, span: Span) -> NDArray[np.uint8]:
    low, high = span or (0, 65_535)
    brought = np.empty(pixels.shape, dtype=np.uint8)
    step = max(1, _AT_ONCE // max(1, math.prod(pixels.shape[1:])))
    for start in range(0, len(pixels), step):  # in 64 bits a large image would take gigabytes
        part = pixels[start : start + step]
        if not np.isfinite(part).all():
            raise ValueError("some of its pixels are no finite numbers")
        scaled = (part.astype(np.float64) - low) / ((high - low) / 255)
        brought[start : start + step] = np.clip(scaled.round(), 0, 255)
    return brought


def _check_pixels(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"it has {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}: too large, or a decompression bomb"
        )


def as_rgb(image: Image.Image, *, span: Span = None) -> Image.Image:
    """8-bit color: gray of more bits is scaled, what is transparent becomes white.

    Args:
        image: of any mode.
        span: values that become black and white, of pixels of more than 8 bits; default: all of 16 bits.

    Raises:
        ValueError: pixels of 32 bits, or floating-point numbers, without a `span`; pixels that are not finite.

    Example:
        >>> as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 51))).getpixel((0, 0))
        (204, 204, 204)
    """
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if span is None and (pixels.min() < 0 or pixels.max() > 65_535):
            raise ValueError("its pixels have 32 bits: expected 8 or 16")
        image = Image.fromarray(_eight_bits(pixels, span))
    if image.mode == "F" and span is not None:
        image = Image.fromarray(_eight_bits(np.asarray(image), span))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers: expected 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def thumbnail(image: Tensor, *, side: int = 64) -> bytes:
    """A stored image (channels, H, W) uint8 as bytes of a PNG or JPEG, whichever is smaller, at most `side` wide.

    Example:
        >>> thumbnail(torch.zeros(3, 100, 50, dtype=torch.uint8))[1:4]
        b'PNG'
    """
    array = image.numpy().transpose(1, 2, 0)
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    picture.thumbnail((side, side))
    encoded = []
    for kind, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 80})):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        encoded.append(buffer.getvalue())
    return min(encoded, key=len)


def data_uri(encoded: bytes) -> str:
    """An encoded image as the address of itself, for pages and tools that take addresses.

    Example:
        >>> data_uri(b"GIF89a")
        'data:image/gif;base64,R0lGODlh'
    """
    kind = next((kind for magic, kind in _MEDIA.items() if encoded.startswith(magic)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
