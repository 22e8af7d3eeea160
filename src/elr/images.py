"""Images from folders and Parquet files: found, decoded in parallel, brought to one size."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from elr.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SMALLEST, LARGEST = 16, 64
Encoded = Path | bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """Images of one size.

    Args:
        images: (M, 3, S, S) uint8.
        rows: (M,) int64, which of the sources they are.
        names: their M names.
        unreadable: names of the sources left out.
    """

    images: Tensor
    rows: NDArray[np.int64]
    names: list[str]
    unreadable: list[str]


def list_images(root: Path) -> list[Path]:
    """All image files below a folder, relative to it, in order of their names.

    Raises:
        DataError: there are none.
    """
    found = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise DataError(f"no images in {root}: expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    return found


def parquet_image_column(path: Path) -> str | None:
    """The column of encoded images in a Parquet file (binary, or a record of bytes and path); None if there is none.

    Raises:
        DataError: not a Parquet file.
    """
    for field in _open_parquet(path).schema_arrow:
        is_record = pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        if is_record or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            return field.name
    return None


def parquet_other_columns(path: Path, image_column: str) -> list[str]:
    """The columns of a Parquet file beside the images."""
    return [name for name in _open_parquet(path).schema_arrow.names if name != image_column]


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
    for batch in _open_parquet(path).iter_batches(batch_size=1000, columns=[column]):
        for value in batch.column(0).to_pylist():
            record = value if isinstance(value, dict) else {"bytes": value}
            name = record.get("path") or f"row {row}"
            encoded = record.get("bytes") or (path.parent / record["path"] if record.get("path") else None)
            yield encoded, name
            row += 1


def decode_images(
    sources: Callable[[], Iterator[tuple[Encoded | None, str]]], *, size: int | None = None, skip_unreadable: bool = False
) -> DecodedImages:
    """Decode images on all cores, to RGB, cut to a centered square and resized.

    Args:
        sources: gives (encoded image, name) pairs; called twice, since the first images decide on the size.
        size: S in pixels; default: that of the images where they are small, at most 64.
        skip_unreadable: leave unreadable images out instead of raising.

    Raises:
        DataError: an image is unreadable (named), or none is readable.
    """
    size = size or _common_size(sources)
    images, rows, names, unreadable = [], [], [], []

    def decode(source: tuple[Encoded | None, str]) -> NDArray[np.uint8] | Exception:
        try:
            return _decode(source[0], size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start, chunk in _chunks(sources()):
            for row, ((_, name), decoded) in enumerate(zip(chunk, pool.map(decode, chunk), strict=True), start):
                if isinstance(decoded, Exception):
                    unreadable.append(name)
                    if not skip_unreadable:
                        raise DataError(
                            f"image {name} cannot be read ({decoded}): mend or remove it, or pass --skip-unreadable "
                            "(skip_unreadable=True) to leave such images out"
                        )
                else:
                    images.append(decoded)
                    rows.append(row)
                    names.append(name)
    if not images:
        raise DataError(f"none of the {len(unreadable)} images can be read, such as {unreadable[0]}")
    return DecodedImages(
        images=torch.from_numpy(np.stack(images)),
        rows=np.array(rows, dtype=np.int64),
        names=names,
        unreadable=unreadable,
    )


def file_sources(root: Path, paths: Sequence[Path]) -> Callable[[], Iterator[tuple[Encoded | None, str]]]:
    """The sources of files below a folder, for `decode_images`."""
    return lambda: ((root / path, str(root / path)) for path in paths)


def thumbnail(image: Tensor, *, side: int = 64) -> bytes:
    """A stored image (channels, H, W) uint8 as PNG bytes, `side` pixels wide at most, enlarged without smoothing if small."""
    array = image.numpy().transpose(1, 2, 0)
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    if max(picture.size) < side:
        factor = max(1, side // max(picture.size))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    else:
        picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _decode(source: Encoded | None, size: int) -> NDArray[np.uint8]:
    if source is None:
        raise ValueError("it has neither bytes nor a path")
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        image.draft("RGB", (size, size))  # lets a JPEG decode straight to a smaller size
        upright = ImageOps.exif_transpose(image).convert("RGB")
    if upright.size != (size, size):
        upright = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(upright).transpose(2, 0, 1)


def _common_size(sources: Callable[[], Iterator[tuple[Encoded | None, str]]]) -> int:
    sides = []
    for (encoded, _), _ in zip(sources(), range(100), strict=False):
        try:
            with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded or "") as image:
                sides.append(min(image.size))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # decode_images names it
    return int(np.clip(np.median(sides), SMALLEST, LARGEST)) if sides else SMALLEST


def _chunks(sources: Iterator[tuple[Encoded | None, str]], length: int = 1000) -> Iterator[tuple[int, list]]:
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
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
