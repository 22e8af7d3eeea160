"""Images of more than 8 bits: what values a whole set of them has, and how these become 8 bits."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray
from PIL import Image

from elr.data.pictures.decoding import Encoded, deep_pixels
from elr.errors import DataError

if TYPE_CHECKING:
    from elr.data.pictures.image_store import ImageStore

_HEAD, _AT_ONCE = 32, 1000
_MAY_BE_DEEP = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"P2", b"P5", b"Pf", b"PF")
_MOST_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The values of the pixels of those images that have more than 8 bits.

    Args:
        low: the least.
        high: the greatest.
        whole: whether they are whole numbers.
        images: how many such images there are.
        others: how many of 8 bits or less.

    Example:
        >>> Extent(low=0, high=4093, whole=True, images=60).range
        (0.0, 4095.0)
        >>> Extent(low=-1024, high=3000, whole=True, images=60).range
        (-1024.0, 3000.0)
    """

    low: float
    high: float
    whole: bool
    images: int
    others: int = 0

    @property
    def range(self) -> tuple[float, float]:
        """What becomes black and white: all that the bits in use can hold, or what was found where that says more."""
        if self.low < 0:
            found = (-1.0, 1.0) if not self.whole and self.low >= -1 and self.high <= 1 else (self.low, self.high)
        elif self.whole:
            bits = max(8, int(self.high).bit_length())
            found = (0.0, 2.0**bits - 1) if bits <= _MOST_BITS else (self.low, self.high)
        else:
            found = next(((0.0, top) for top in (1.0, 255.0) if self.high <= top), (self.low, self.high))
        low, high = float(found[0]), float(found[1])
        return (low, high) if high > low else (low, low + 1)

    def remark(self, chosen: tuple[float, float], *, given: bool) -> str:
        """What to say of these images, brought to 8 bits by the range `chosen`, which is that of training if `given`.

        Example:
            >>> print(Extent(low=0, high=4093, whole=True, images=60).remark((0.0, 4095.0), given=False))
            60 images have pixels of more than 8 bits (values 0 to 4,093 over all of them, 12 bits): 0 became black, \
4,095 white
        """
        bits = f", {int(self.high).bit_length()} bits" if self.whole and self.low >= 0 else ""
        text = (
            f"{self.images} images have pixels of more than 8 bits (values {_number(self.low)} to "
            f"{_number(self.high)} over all of them{bits}): {_number(chosen[0])} became black, "
            f"{_number(chosen[1])} white" + (", as in training" if given else "")
        )
        if self.low < chosen[0] or self.high > chosen[1]:
            text += "; values beyond were cut off there"
        if self.others:
            text += f"; the other {self.others} images have 8 bits and stayed as they are"
        return text


def find_extent(sources: Callable[[], Iterator[tuple[Encoded | None, str]]]) -> Extent | None:
    """The values of the images of more than 8 bits, all of which are read; None where there are none.

    Of other images only the first bytes are read; what cannot be read is passed over.

    Args:
        sources: gives (encoded image, name) pairs.

    Raises:
        DataError: some images have whole numbers as pixels, others floating-point numbers.

    Example:
        >>> import numpy as np
        >>> buffer = io.BytesIO()
        >>> Image.fromarray(np.array([[0, 4000]], dtype=np.uint16)).save(buffer, "PNG")
        >>> find_extent(lambda: iter([(buffer.getvalue(), "x-ray.png")])).high
        4000.0
    """
    pending, count = sources(), 0
    found: list[tuple[float, float, bool, str]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(pending, _AT_ONCE)):
            count += len(chunk)
            values = pool.map(_values, (encoded for encoded, _ in chunk))
            found += [(*each, name) for each, (_, name) in zip(values, chunk, strict=True) if each is not None]
    if not found:
        return None
    by_kind = {whole: name for _, _, whole, name in found}
    if len(by_kind) > 1:
        raise DataError(
            f"the pixels of image {by_kind[True]} are whole numbers of more than 8 bits, those of {by_kind[False]} are "
            "floating-point numbers: expected one kind in all images, since they share no scale; save them alike"
        )
    low, high = min(each[0] for each in found), max(each[1] for each in found)
    return Extent(low=low, high=high, whole=found[0][2], images=len(found), others=count - len(found))


def _values(encoded: Encoded | None) -> tuple[float, float, bool] | None:
    """The least and greatest value, and whether they are whole; None for 8 bits and for what cannot be read."""
    try:
        if encoded is None or not may_be_deep(encoded):
            return None
        with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
            pixels = deep_pixels(image, encoded)
    except Exception:  # whoever decodes it says why
        return None
    if pixels is None or not pixels.size:
        return None
    shown = pixels[..., : pixels.shape[2] - 1 + pixels.shape[2] % 2] if pixels.ndim == 3 else pixels  # no opacity
    low, high = float(shown.min()), float(shown.max())
    return (low, high, _whole(pixels)) if math.isfinite(low) and math.isfinite(high) else None


def may_be_deep(encoded: Encoded) -> bool:
    """Whether an image may have more than 8 bits, by its first bytes.

    Example:
        >>> may_be_deep(b"P5 20 20 4095"), may_be_deep(b"GIF89a")
        (True, False)
    """
    if isinstance(encoded, Path):
        with encoded.open("rb") as file:
            head = file.read(_HEAD)
    else:
        head = encoded[:_HEAD]
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    return head.startswith(_MAY_BE_DEEP)


def maybe_deep(store: ImageStore) -> Iterator[tuple[bytes, str]]:
    """Images as `find_extent` takes them: in full only those that may have more than 8 bits.

    Example:
        >>> import torch
        >>> from elr.data.pictures.decoding import thumbnail
        >>> from elr.data.pictures.image_store import ImageStore
        >>> class One(ImageStore):
        ...     def _count(self):
        ...         return 1
        ...     def _name(self, row):
        ...         return "one"
        ...     def _encoded(self, row):
        ...         return thumbnail(torch.zeros(3, 40, 40, dtype=torch.uint8))
        >>> [(len(content), name) for content, name in maybe_deep(One())]
        [(32, 'one')]
    """
    for position, head in enumerate(store.heads()):
        content = head
        if may_be_deep(head):
            try:
                content = store.encoded(position)
            except (OSError, DataError):  # whoever decodes it says why
                content = b""
        yield content, store.name(position)


def _whole(pixels: NDArray) -> bool:
    return pixels.dtype.kind != "f"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
