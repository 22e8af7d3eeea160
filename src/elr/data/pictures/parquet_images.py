"""Columns of Parquet files as they stand there: images, class names of the hub, and plain ones."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from elr.data.pictures.decoding import Encoded
from elr.errors import DataError
from elr.names import plain_name, printable


def parquet_image_columns(path: Path) -> list[str]:
    """The columns of encoded images in a Parquet file: records of bytes and path, or bytes that begin like an image.

    Raises:
        DataError: not a Parquet file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pa.table({"img": [{"bytes": b"", "path": "1.png"}], "label": [0]})
        ...     pq.write_table(table, f"{folder}/t.parquet")
        ...     parquet_image_columns(Path(folder, "t.parquet"))
        ['img']
    """
    return [
        field.name
        for field in open_parquet(path).schema_arrow
        if _is_record(field.type) or (_is_bytes(field.type) and _begins(path, field.name))
    ]


def _is_record(kind: pa.DataType) -> bool:
    """Whether it is that of an image as the Hugging Face hub has it: bytes, or none at all, and maybe a path."""
    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return place >= 0 and (_is_bytes(kind.field(place).type) or pa.types.is_null(kind.field(place).type))


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


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

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"x": [1, 2, 3]}), f"{folder}/t.parquet")
        ...     parquet_length(Path(folder, "t.parquet"))
        3
    """
    return open_parquet(path).metadata.num_rows


def parquet_columns(path: Path) -> list[str]:
    """The names of all columns of a Parquet file.

    Raises:
        DataError: not a Parquet file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"x": [1], "y": ["cat"]}), f"{folder}/t.parquet")
        ...     parquet_columns(Path(folder, "t.parquet"))
        ['x', 'y']
    """
    return open_parquet(path).schema_arrow.names


def read_parquet_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a Parquet file.

    Raises:
        DataError: not a Parquet file, or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"x": [1], "y": ["cat"]}), f"{folder}/t.parquet")
        ...     read_parquet_columns(Path(folder, "t.parquet"), ["y"]).to_dict("list")
        {'y': ['cat']}
    """
    file = open_parquet(path)
    try:
        return file.read(columns=list(columns)).to_pandas(ignore_metadata=True)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def parquet_class_names(path: Path, label: str) -> list[str] | None:
    """The class names that the Hugging Face hub writes beside integer labels; None if the file has none.

    Example:
        >>> import tempfile
        >>> about = json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"]}}}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pa.table({"label": [1, 0]}).replace_schema_metadata({"huggingface": about})
        ...     pq.write_table(table, f"{folder}/t.parquet")
        ...     parquet_class_names(Path(folder, "t.parquet"), "label")
        ['cat', 'dog']
    """
    metadata = open_parquet(path).schema_arrow.metadata or {}
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def parquet_images(path: Path, column: str) -> Iterator[tuple[Encoded | None, str]]:
    """Each image of a Parquet file, encoded, with its name; a record without bytes names a file beside the Parquet.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"img": [b"GIF8"]}), f"{folder}/t.parquet")
        ...     list(parquet_images(Path(folder, "t.parquet"), "img"))
        [(b'GIF8', 'row 0')]
    """
    row = 0
    batches = open_parquet(path).iter_batches(batch_size=1000, columns=[column])
    while (batch := _next_batch(batches, path)) is not None:
        for value in batch.column(0).to_pylist():
            record = value if isinstance(value, dict) else {"bytes": value}
            name = str(record.get("path") or f"row {row}")
            yield record.get("bytes") or (_beside(path, name) if record.get("path") else None), name
            row += 1


def _beside(path: Path, name: str) -> Path | None:
    """A file that a Parquet file names; None for a pipe, a device or a folder, which would be read for ever."""
    file = path.parent / name
    return None if file.exists() and not file.is_file() else file


def _next_batch(batches: Iterator[pa.RecordBatch], path: Path) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file, open.

    Raises:
        DataError: it is none, or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"x": [1, 2]}), f"{folder}/t.parquet")
        ...     open_parquet(Path(folder, "t.parquet")).metadata.num_rows
        2
    """
    try:
        with plain_name(path) as named:
            return pq.ParquetFile(named)
    except Exception as error:  # a damaged file fails in many ways
        raise _not_parquet(path, error) from error


def _not_parquet(path: Path, error: Exception) -> DataError:
    if isinstance(error, MemoryError):  # no fault of the file
        raise error
    reason = " ".join(str(error).split())
    return DataError(f"{printable(path)} cannot be read as Parquet: {reason}; mend or replace the file")
