"""Parquet: tables with types, and images in the layout of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from elr.data.formats.format import Changes, TypedColumns
from elr.data.formats.images import read_images
from elr.data.formats.labels import check_ids, label_columns, labeled
from elr.data.formats.table import ParsedTable, TableFile, annotated, check_columns
from elr.data.labels.columns import NO_VOTE, LabelColumn, some
from elr.data.pictures.decoding import Encoded, data_uri
from elr.data.pictures.image_index import index_at
from elr.data.pictures.parquet_images import (
    open_parquet,
    parquet_class_names,
    parquet_columns,
    parquet_image_columns,
    parquet_images,
    parquet_length,
    read_parquet_columns,
)
from elr.data.pictures.shards import KEPT_BYTES, ParquetImages
from elr.data.records import IMAGES, ReadOptions, Records
from elr.devices import memory_to_use
from elr.errors import DataError
from elr.names import printable

_SHARE_KEPT = 4  # of the memory that may be taken, for groups of rows


class Parquet(TableFile, TypedColumns):
    """A Parquet file of a table, or of images: in a column of records of bytes and path, or of bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.parquet")
        ...     pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]}).to_parquet(path)
        ...     Parquet().read(path, ReadOptions(label="y"), training=True).labels
        ['cat', 'dog']
    """

    suffixes = (".parquet",)

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        del options, as_text, as_written  # columns have types
        return ParsedTable(frame=self.typed_frame(self.arrow_table(path), printable(path)))

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        path = Path(data)
        columns = self.image_columns(path, options)
        if not columns:
            return super().read(path, options, training=training, annotations=annotations)
        if len(columns) > 1:
            raise DataError(
                f"{printable(path)} has {len(columns)} columns of images ({some(columns)}): --ignore all but one"
            )
        return read_parquet_images([path], columns[0], options, training=training, annotations=annotations)

    def label_column(self, source: Path, options: ReadOptions) -> pd.DataFrame:
        return read_parquet_columns(source, [options.label or ""])

    def class_names(self, source: Path, label: str) -> list[str] | None:
        return parquet_class_names(source, label)

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """The corrected labels are those of other rows, so that types and metadata stay."""
        label = options.label or ""
        self.write_column(source, target, label, self.corrected(self.arrow_column(source, label), changes))

    def arrow_table(self, path: Path) -> pa.Table:
        return open_parquet(path).read()

    def column_names(self, path: Path) -> list[str]:
        return parquet_columns(path)

    def read_images(self, paths: Sequence[Path], column: str, options: ReadOptions, **how: Any) -> Records:
        return read_parquet_images(paths, column, options, **how)

    def arrow_column(self, path: Path, name: str) -> pa.ChunkedArray:
        return open_parquet(path).read(columns=[name]).column(name)

    def image_columns(self, path: Path, options: ReadOptions) -> list[str]:
        return [] if options.embedding or options.text else _image_columns(path, options)

    def write_column(self, source: Path, target: Path, label: str, values: pa.Array) -> None:
        """Row group by row group."""
        file = open_parquet(source)
        schema = file.schema_arrow
        place, start = schema.get_field_index(label), 0
        compression = file.metadata.row_group(0).column(0).compression if file.num_row_groups else "SNAPPY"
        compression = "NONE" if compression == "UNCOMPRESSED" else compression
        with pq.ParquetWriter(target, schema, compression=compression) as out:
            for group in range(file.num_row_groups):
                part = file.read_row_group(group)
                column = values.slice(start, len(part)).cast(schema.field(place).type)
                out.write_table(part.set_column(place, schema.field(place), column), row_group_size=max(1, len(part)))
                start += len(part)

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Data URIs of the images, as they are encoded in the file."""
        del ids
        columns = _image_columns(source, options)
        if len(columns) != 1:
            raise DataError(f"{printable(source)} has {len(columns)} columns of images, the run had one: name its data")
        wanted = set(rows)
        found = dict(_data_uris(source, columns[0], wanted))
        if len(found) < len(wanted):
            raise DataError(f"{printable(source)} has fewer rows than the run: name the data of this run with --data")
        return [found[row] for row in rows]


def _image_columns(path: Path, options: ReadOptions) -> list[str]:
    return [column for column in parquet_image_columns(path) if column not in options.apart]


def _data_uris(source: Path, column: str, wanted: set[int]) -> Iterator[tuple[int, str]]:
    last = max(wanted, default=-1)
    for row, (encoded, _) in enumerate(islice(parquet_images(source, column), last + 1)):
        if row in wanted:
            content = encoded if isinstance(encoded, bytes) else Path(encoded).read_bytes() if encoded else b""
            yield row, data_uri(content)


def read_parquet_images(
    paths: Sequence[Path],
    column: str,
    options: ReadOptions,
    *,
    place: str | None = None,
    training: bool,
    annotations: pd.DataFrame | None,
) -> Records:
    """The images of Parquet files, one after the other, with their labels.

    Args:
        paths: of files with the same columns.
        column: of the images.
        options: how to read them.
        place: how messages name them all. Default: the first.
        training: labels are required; else they are read where there are any.
        annotations: labels of annotators, in place of given ones.

    Raises:
        DataError: whatever makes the data unusable.
        CheckpointError: they are not those of the run that goes on.

    Example:
        >>> import io, tempfile
        >>> from PIL import Image
        >>> picture = io.BytesIO()
        >>> Image.new("RGB", (8, 8), "white").save(picture, "PNG")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.parquet")
        ...     pq.write_table(pa.table({"image": [picture.getvalue()], "label": ["cat"]}), path)
        ...     options = ReadOptions(label="label")
        ...     read_parquet_images([path], "image", options, training=True, annotations=None).labels
        ['cat']
    """
    path, place = paths[0], place or printable(paths[0])
    index = index_at(options.index)
    if index is not None:
        index.check_shards(paths)
    columns = parquet_columns(path)
    check_columns(columns, options, name=place, training=training)
    used = [name for name in (options.label, *options.annotators, options.clean_label, options.id) if name in columns]
    frame = pd.concat([read_parquet_columns(each, used) for each in paths], ignore_index=True)
    given, clean, ids = label_columns(frame, options, name=place)
    if training and ids is not None:
        check_ids(ids, name=f"id column {options.id!r} of {place}")
    names = parquet_class_names(path, options.label or "")
    clean_names = parquet_class_names(path, options.clean_label or "") or names
    given, clean = _named(given, names, training=training), _named(clean, clean_names, training=training)
    everything = Records(kind=IMAGES, rows=np.arange(sum(map(parquet_length, paths))), ids=ids)
    everything = labeled(everything, given, clean, training=training)
    if not len(everything) and training:
        raise DataError(f"{place} has no rows: expected an image and a label in each")
    if not len(everything):
        return everything
    if training:
        everything = annotated(everything, frame, options, name=place, annotations=annotations)
    kept_bytes = KEPT_BYTES
    if options.max_memory is not None:
        kept_bytes = min(KEPT_BYTES, memory_to_use(options.max_memory) // _SHARE_KEPT)
    if index is not None:
        kept_bytes = index.settings["kept_bytes"]  # the order of the rows hangs on it
    store = ParquetImages(paths, column, kept_bytes=kept_bytes)
    records, decoded = read_images(
        lambda: _several_images(paths, column), len(everything), options, store=store, index=index
    )
    kept = everything.take(decoded.rows)
    streamed = not decoded.names
    return replace(
        records,
        labels=kept.labels,
        annotations=kept.annotations,
        facts={**everything.facts, **records.facts},
        clean_labels=kept.clean_labels,
        ids=kept.ids or (_image_names(paths, column, decoded.rows) if streamed else decoded.names),
        remarks=everything.remarks + records.remarks,
    )


def _several_images(paths: Sequence[Path], column: str) -> Iterator[tuple[Encoded | None, str]]:
    """The images of several files, those without a name named by file and row."""
    for path in paths:
        for row, (encoded, name) in enumerate(parquet_images(path, column)):
            yield encoded, name if len(paths) == 1 or name != f"row {row}" else f"{printable(path.name)}, row {row}"


def _image_names(paths: Sequence[Path], column: str, rows: NDArray[np.int64]) -> list[str]:
    """The names of images, without reading these: as `_several_images` has them."""
    names: list[str] = []
    for path in paths:
        file = open_parquet(path)
        kind = file.schema_arrow.field(column).type
        known: list[str | None] = [None] * file.metadata.num_rows
        if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
            known = [each and each["path"] for each in file.read(columns=[f"{column}.path"]).column(0).to_pylist()]
        place = "" if len(paths) == 1 else f"{printable(path.name)}, "
        names += [name or f"{place}row {row}" for row, name in enumerate(known)]
    return [names[row] for row in rows]


def _named(found: LabelColumn | None, names: list[str] | None, *, training: bool) -> LabelColumn | None:
    """Class names for class numbers, where the file has names; -1 says that there is no label."""
    if found is None or names is None or not all(isinstance(value, int | None) for value in found.values):
        return found
    numbers: dict[Any, str | None] = dict(enumerate(names)) | ({} if training else {int(NO_VOTE): None})
    wrong = [row for row, number in enumerate(found.values) if number is not None and number not in numbers]
    if wrong and training:
        raise DataError(
            f"{found.name} is {found.values[wrong[0]]} in row {wrong[0]} (one of {len(wrong)} such rows): expected 0 "
            f"to {len(names) - 1}, the classes that the file names (-1: no label); remove these rows, label them, or "
            "leave them out with --no-label -1"
        )
    return replace(found, values=[None if n is None else numbers.get(n, str(n)) for n in found.values])
