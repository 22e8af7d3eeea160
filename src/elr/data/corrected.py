"""Copies of data with some labels corrected, in the format of the original, which is only read."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from elr.data.images import parquet_class_names, read_parquet_columns
from elr.data.tables import label_values, read_table
from elr.errors import DataError
from elr.files import printable

Changes = Mapping[int, int]  # row whose label is wrong -> row that has the right one, as it is written there


def file_labels(path: Path, label: str, *, named: bool = False) -> list[str]:
    """The label of each row of a table or arrays, as `elr fit` reads them.

    Args:
        path: the file.
        label: column or array of the labels.
        named: whether numbers stand for the class names that a Parquet file has beside them, as for images.

    Raises:
        DataError: unreadable, or without such labels.
    """
    suffix, name = path.suffix.lower(), f"label column {label!r} of {printable(path)}"
    if suffix in (".npz", ".npy"):
        return [str(value) for value in label_values(pd.Series(_array(path, label).reshape(-1)), name=name)]
    if suffix == ".parquet":
        frame = read_parquet_columns(path, [label])
    else:
        frame = read_table(path, as_text=[label], as_written=True)
    if label not in frame.columns:
        raise DataError(f"{printable(path)} has no label column {label!r}: give the data that the run was trained on")
    values = label_values(frame[label], name=name)
    names = parquet_class_names(path, label) if named and suffix == ".parquet" else None
    if names and all(isinstance(value, int) for value in values):
        return [names[int(value)] if 0 <= int(value) < len(names) else str(value) for value in values]
    return [str(value) for value in values]


def write_copy(source: Path, target: Path, label: str, changes: Changes) -> None:
    """Write a table or arrays again, with the labels of some rows taken from others.

    Args:
        source: .csv, .tsv, .parquet, .npz, or the .npy of the labels.
        target: where the copy goes.
        label: column or array of the labels.
        changes: row -> row that has the label that it should have.
    """
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        _copy_parquet(source, target, label, changes)
    elif suffix == ".npz":
        _copy_npz(source, target, label, changes)
    elif suffix == ".npy":
        with target.open("wb") as handle:
            np.save(handle, _replaced(_array(source, label), changes), allow_pickle=False)
    else:
        _copy_text(source, target, label, changes, separator="\t" if suffix == ".tsv" else ",")


def _copy_text(source: Path, target: Path, label: str, changes: Changes, *, separator: str) -> None:
    """Only the lines of changed rows are written anew; the others go over as they stand."""
    wanted = set(changes.values())
    with _long_cells(), source.open(encoding="utf-8", newline="") as lines:
        records = _records(lines, separator)
        header, _ = next(records)
        column = header.index(label)
        spellings = {row: cells[column] for row, (cells, _) in enumerate(records) if row in wanted}
    with (
        _long_cells(),
        source.open(encoding="utf-8", newline="") as lines,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        for row, (cells, text) in enumerate(_records(lines, separator), start=-1):
            if row in changes:
                cells[column] = spellings[changes[row]]
                before = text[: len(text) - len(text.lstrip("\r\n"))]  # blank lines
                text = before + _written(cells, separator) + text[len(text.rstrip("\r\n")) :]
            out.write(text)


def _written(cells: Sequence[str], separator: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerow(cells)  # else line ends are not quoted
    return buffer.getvalue().removesuffix("\r\n")


def _records(lines: IO[str], separator: str) -> Iterator[tuple[list[str], str]]:
    """Each record of a CSV file with its text; blank lines, which count for nothing, go with the record after them."""
    taken: list[str] = []

    def remembered() -> Iterator[str]:
        for number, line in enumerate(lines):
            taken.append(line)
            yield line.removeprefix("\ufeff") if number == 0 else line

    for cells in csv.reader(remembered(), delimiter=separator):
        blank = not cells or (len(cells) == 1 and not cells[0].strip(" \t") and '"' not in taken[-1])
        if not blank:
            text = "".join(taken)
            taken.clear()
            yield cells, text
    if taken:
        yield [], "".join(taken)  # blank lines at the end


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read cells of any length, as pandas does."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _copy_parquet(source: Path, target: Path, label: str, changes: Changes) -> None:
    """Row group by row group; the corrected labels are those of other rows, so that types and metadata stay."""
    file = pq.ParquetFile(source)
    schema = file.schema_arrow
    place = schema.get_field_index(label)
    old = file.read(columns=[label]).column(label)
    rows = np.arange(len(old))
    rows[list(changes)] = list(changes.values())
    new = old.combine_chunks().take(pa.array(rows)) if len(old.chunks) != 1 else old.chunk(0).take(pa.array(rows))
    compression = file.metadata.row_group(0).column(0).compression if file.num_row_groups else "SNAPPY"
    start = 0
    with pq.ParquetWriter(target, schema, compression="NONE" if compression == "UNCOMPRESSED" else compression) as out:
        for group in range(file.num_row_groups):
            part = file.read_row_group(group)
            column = new.slice(start, len(part)).cast(schema.field(place).type)
            out.write_table(part.set_column(place, schema.field(place), column), row_group_size=max(1, len(part)))
            start += len(part)


def _copy_npz(source: Path, target: Path, label: str, changes: Changes) -> None:
    """Every other array goes over byte by byte, pickled ones too: nothing is loaded."""
    member = f"{label}.npy"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename in (member, label):
                buffer = io.BytesIO()
                np.save(buffer, _replaced(_array(source, label), changes), allow_pickle=False)
                content = buffer.getvalue()
            new.writestr(info, content)


def _array(path: Path, label: str) -> np.ndarray:
    try:
        with path.open("rb") as handle:
            loaded = np.load(handle, allow_pickle=False)
            return np.asarray(loaded if isinstance(loaded, np.ndarray) else loaded[label])
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"labels {label!r} of {printable(path)} cannot be read ({error}): mend the file") from error


def _replaced(labels: np.ndarray, changes: Changes) -> np.ndarray:
    new = labels.copy()
    new[list(changes)] = labels[list(changes.values())]
    return new


def copy_folder(source: Path, target: Path, moves: Mapping[Path, str]) -> None:
    """Copy a folder of images; some files go to the subfolder of another class.

    Links are followed and become files, so that nothing in the copy leads back to the original; those that lead
    nowhere stay links.

    Args:
        source: the folder.
        target: a folder that does not exist yet.
        moves: path relative to `source` -> name of the subfolder that the file belongs in.
    """
    names = {path.as_posix() for path in moves}
    taken = {path.relative_to(source).as_posix() for path in source.rglob("*")} | names
    places = {}
    for path, folder in moves.items():
        place = Path(folder, *path.parts[1:])
        number = 1
        while place.as_posix() in taken:
            number += 1
            place = Path(folder, *path.parts[1:]).with_name(f"{path.stem}-{number}{path.suffix}")
        taken.add(place.as_posix())
        places[path] = place
    _copy_tree(source, target, Path(), places, (os.path.realpath(source),))


def _copy_tree(
    source: Path, target: Path, below: Path, places: Mapping[Path, Path], ancestors: tuple[str, ...]
) -> None:
    (target / below).mkdir(parents=True, exist_ok=True)
    for entry in sorted((source / below).iterdir()):
        relative = below / entry.name
        real = os.path.realpath(entry)
        if entry.is_dir():
            if real not in ancestors:  # a link can lead back up
                _copy_tree(source, target, relative, places, (*ancestors, real))
        elif entry.is_file():
            place = target / places.get(relative, relative)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(entry, place)
        elif entry.is_symlink():
            (target / relative).symlink_to(entry.readlink())
