"""Images from folders and Parquet files: found, decoded in parallel, brought to one size."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from elr.devices import free_memory
from elr.errors import DataError
from elr.files import printable, writing

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SMALLEST, LARGEST = 16, 64
Encoded = Path | bytes
_CHUNK, _EMBEDDED_AT_ONCE = 1000, 256
MOST_PIXELS = 89_478_485
"""From which on Pillow warns of decompression bombs."""
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
    """

    images: Tensor
    rows: NDArray[np.int64]
    names: list[str]
    unreadable: list[str]
    features: NDArray[np.float32] | None = None


def list_images(root: Path) -> tuple[list[Path], list[str]]:
    """All image files below a folder, links followed, hidden files and folders left out.

    Returns:
        their paths relative to `root` in order of their names, and remarks on what else lies there.

    Raises:
        DataError: there are none, or a folder cannot be read.
    """
    found: list[Path] = []
    others: list[Path] = []
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_unreadable_folder):
        real = os.path.realpath(folder)
        visible = [name for name in subfolders if not name.startswith(".")]
        subfolders[:] = [] if real in visited else visible  # a link can lead back up
        if real in visited:
            continue
        visited.add(real)
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                others.append(path.relative_to(root))
            elif path.is_file() or path.is_symlink():  # no pipes; a dead link is an unreadable image
                found.append(path.relative_to(root))
    if not found:
        raise DataError(f"no images in {printable(root)}: expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    remarks = []
    if others:
        remarks.append(
            f"{len(others)} files left out whose names do not end in {', '.join(IMAGE_SUFFIXES)}, such as "
            f"{printable(min(others))}"
        )
    return sorted(found), remarks


def _unreadable_folder(error: OSError) -> None:
    raise DataError(f"folder {printable(error.filename)} cannot be read: {error.strerror}") from error


def parquet_image_columns(path: Path) -> list[str]:
    """The columns of encoded images in a Parquet file: records of bytes and path, or bytes that begin like an image.

    Raises:
        DataError: not a Parquet file.
    """
    return [
        field.name
        for field in _open_parquet(path).schema_arrow
        if (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
        or ((pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)) and _begins(path, field.name))
    ]


def _begins(path: Path, column: str) -> bool:
    """Whether one of the first values of a column of bytes is an image."""
    for encoded, _ in islice(parquet_images(path, column), 20):
        with suppress(Exception), Image.open(io.BytesIO(encoded if isinstance(encoded, bytes) else b"")):
            return True
    return False


def parquet_length(path: Path) -> int:
    """The number of rows of a Parquet file.

    Raises:
        DataError: not a Parquet file.
    """
    return _open_parquet(path).metadata.num_rows


def parquet_columns(path: Path) -> list[str]:
    """The names of all columns of a Parquet file.

    Raises:
        DataError: not a Parquet file.
    """
    return _open_parquet(path).schema_arrow.names


def read_parquet_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a Parquet file.

    Raises:
        DataError: not a Parquet file, or damaged.
    """
    file = _open_parquet(path)
    try:
        return file.read(columns=list(columns)).to_pandas(ignore_metadata=True)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def parquet_class_names(path: Path, label: str) -> list[str] | None:
    """The class names that the Hugging Face hub writes beside integer labels; None if the file has none."""
    metadata = _open_parquet(path).schema_arrow.metadata or {}
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def parquet_images(path: Path, column: str) -> Iterator[tuple[Encoded | None, str]]:
    """Each image of a Parquet file, encoded, with its name; a record without bytes names a file beside the Parquet."""
    row = 0
    batches = _open_parquet(path).iter_batches(batch_size=1000, columns=[column])
    while (batch := _next(batches, path)) is not None:
        for value in batch.column(0).to_pylist():
            record = value if isinstance(value, dict) else {"bytes": value}
            name = record.get("path") or f"row {row}"
            encoded = record.get("bytes") or (path.parent / record["path"] if record.get("path") else None)
            yield encoded, name
            row += 1


def _next(batches: Iterator[pa.RecordBatch], path: Path) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def decode_images(
    sources: Callable[[], Iterator[tuple[Encoded | None, str]]],
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
    """
    size = size or common_size(sources, bounds=bounds)
    side = min(size, LARGEST) if embed else size
    images = _room_for(count, side)
    features, rows, names, unreadable = [], [], [], []

    def decode(source: tuple[Encoded | None, str]) -> NDArray[np.uint8] | Exception:
        try:
            if source[0] is None:
                raise ValueError("it has neither bytes nor a path")
            return (decoder or _decode)(source[0], size)
        except Exception as error:  # decoders fail in many ways on damaged files
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused by _decode, with a name
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


def file_sources(root: Path, paths: Sequence[Path]) -> Callable[[], Iterator[tuple[Encoded | None, str]]]:
    """The sources of files below a folder, for `decode_images`."""
    return lambda: ((root / path, printable(root / path)) for path in paths)


def thumbnail(image: Tensor, *, side: int = 64) -> bytes:
    """A stored image (channels, H, W) uint8 as bytes of a PNG or JPEG, whichever is smaller, at most `side` wide."""
    array = image.numpy().transpose(1, 2, 0)
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    picture.thumbnail((side, side))
    encoded = []
    for kind, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 80})):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        encoded.append(buffer.getvalue())
    return min(encoded, key=len)


def _decode(source: Encoded, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(
                f"it has {image.width:,} x {image.height:,} pixels, more than {MOST_PIXELS:,}: too large, or a "
                "decompression bomb"
            )
        image.draft("RGB", (size, size))  # lets a JPEG decode straight to a smaller size
        upright = as_rgb(ImageOps.exif_transpose(image))
    if upright.size != (size, size):
        upright = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(upright).transpose(2, 0, 1)


def as_rgb(image: Image.Image) -> Image.Image:
    """8-bit color: 16-bit gray is scaled, what is transparent becomes white."""
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65_535:
            raise ValueError("its pixels have 32 bits: expected 8 or 16")
        image = Image.fromarray((pixels / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers: expected 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


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


def common_size(
    sources: Callable[[], Iterator[tuple[Encoded | None, str]]], *, bounds: tuple[int, int] = (SMALLEST, LARGEST)
) -> int:
    """The median of the shorter sides of the first hundred images, in pixels, within bounds."""
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


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def _not_parquet(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{printable(path)} cannot be read as Parquet: {reason}; mend or replace the file")
