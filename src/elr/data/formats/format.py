"""What a format of data is: how data lie, how they are read, and how a copy with corrected labels is written."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from elr.devices import processes_here
from elr.errors import DataError
from elr.names import printable

if TYPE_CHECKING:
    import pandas as pd

    from elr.data.records import ReadOptions, Records

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
Changes = Mapping[int, int]
"""Row whose label is wrong -> row that has the right one, as it is written there."""


class Format(ABC):
    """One way in which data lie. `elr.data.formats.catalog.FORMATS` has them all; docs/extending.md adds one.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from elr.data.records import ReadOptions, Records
        >>> class Answers(Format):  # an object in memory: nothing but reading
        ...     def recognizes(self, data):
        ...         return isinstance(data, dict)
        ...     def source(self, data):
        ...         return f"{len(data)} answers"
        ...     def read(self, data, options, *, training, annotations=None):
        ...         table, labels = pd.DataFrame({"text": list(data)}), list(data.values())
        ...         return Records(kind="text", rows=np.arange(len(data)), table=table, labels=labels)
        >>> Answers().read({"oui": "yes", "non": "no"}, ReadOptions(), training=True).labels
        ['yes', 'no']
    """

    has_columns: ClassVar[bool] = False
    """Whether it is a table: options can name columns of texts, of embeddings and of annotators."""
    has_names: ClassVar[bool] = True
    """Whether options can name where labels are: a column, an array or a file."""

    @abstractmethod
    def recognizes(self, data: object) -> bool:
        """Whether some data lie so; the first format in `elr.data.formats.catalog.FORMATS` that says so reads them."""

    @abstractmethod
    def source(self, data: Any) -> str:
        """What run.json and messages call some data."""

    @abstractmethod
    def read(
        self, data: Any, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        """Read data that it recognizes.

        Args:
            data: what `recognizes` said yes to; a path is that of a file or folder that is there.
            options: how.
            training: labels are required; else they are read where there are any.
            annotations: the table that `options.annotations` names, for formats that have columns.

        Raises:
            DataError: whatever makes the data unusable.
        """


class FileFormat(Format):
    """Data in a file (or folder), of which a copy with corrected labels can be written.

    Example:
        >>> from elr.data.reading import FORMATS
        >>> [each.suffixes for each in FORMATS.values() if isinstance(each, FileFormat) and not each.shows_rows]
        [('.npz',), ('.npy',)]
    """

    suffixes: tuple[str, ...] = ()
    """Of such files, in small letters."""
    shows_rows: ClassVar[bool] = True
    """Whether people can be shown its rows, as `cells` or `pictures`."""

    memory_per_byte: ClassVar[int] = 0
    """Bytes of memory that a byte of a file takes at least while it is read and prepared (docs/scale.md): measured.
    0 where data are streamed."""

    file_or_folder: ClassVar[bool] = False
    """Whether it may be either, with a label that is named or not."""

    def recognizes(self, data: object) -> bool:
        return isinstance(data, str | Path) and Path(data).suffix.lower() in self.suffixes

    def source(self, data: str | Path) -> str:
        return printable(data)

    def memory_needed(self, path: Path) -> int:
        """Bytes of memory that reading and preparing a file (or folder) takes at least."""
        return self.memory_per_byte * path.stat().st_size

    def check_memory(self, path: Path, options: ReadOptions) -> None:
        """Refuse what cannot be read within `options.max_memory`, before it is.

        Raises:
            DataError: it takes more, for certain.
        """
        if options.max_memory is None:
            return
        here = processes_here()
        needed, allowed = self.memory_needed(path) * here / 1e9, options.max_memory / 1e9
        if needed > allowed:
            each = f" by {here} processes together" if here > 1 else ""
            raise DataError(
                f"{printable(path)} takes {needed:.3g} GB of memory or more to read and prepare{each}, and max_memory "
                f"is {allowed:.3g} GB: only images are streamed from disk; take fewer rows or columns, or allow more "
                "(--max-memory)"
            )

    def label_file(self, path: Path, label: str) -> Path:
        """Where the labels are that belong to the data at `path`: there, by default."""
        del label
        return path

    @abstractmethod
    def labels(self, source: Path, options: ReadOptions, *, named: bool = False) -> list[str]:
        """The label of each row, as `elr fit` reads it.

        Args:
            source: the data.
            options: how the data of the run were read; `options.label` names the column or array of the labels.
            named: whether numbers stand for the class names that the file has beside them, as for images.

        Raises:
            DataError: unreadable, or without such labels.
        """

    def ids(self, source: Path) -> list[str] | None:
        """The name of each row where the format gives names by itself, as file names are."""
        del source
        return None

    @abstractmethod
    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Write a copy in which the labels of some rows are those of others; all else stays as it is.

        Args:
            source: the data, which are only read.
            target: where the copy goes; nothing is there yet.
            options: how the data of the run were read.
            changes: row -> row that has the label that it should have, as it is written there.
        """

    def line_of(self, source: Path, options: ReadOptions, row: int) -> tuple[str, int, str] | None:
        """Where a row stands in a text file: see `elr.errors.LineOf`. Found when it is asked for, by reading again."""
        del source, options, row

    def cells(self, source: Path, options: ReadOptions, rows: Sequence[int]) -> pd.DataFrame | None:
        """Some rows of a table, to show to people; None where there are no columns.

        Raises:
            DataError: unreadable, or fewer rows than that.
        """
        del source, options, rows

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Where a browser finds the images of some rows, as URLs; None where it cannot.

        Args:
            source: the data.
            options: how they were read.
            rows: of the source.
            ids: their names.

        Raises:
            DataError: unreadable, or fewer rows than that.
        """
        del source, options, rows, ids


class SpelledLabels(ABC):
    """A file of text in which labels can be copied as they are written, also from one file to another.

    Example:
        >>> class Lines(SpelledLabels):
        ...     def spelled(self, source, options, rows):
        ...         lines = source.read_bytes().splitlines()
        ...         return {row: lines[row] for row in rows}
        ...     def write_spelled(self, source, target, options, labels):
        ...         lines = source.read_bytes().splitlines()
        ...         target.write_bytes(b"\\n".join(labels.get(row, line) for row, line in enumerate(lines)))
        ...     def joined(self, frames, place):
        ...         raise NotImplementedError
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "old"), Path(folder, "new")
        ...     _ = old.write_text("cat\\n'dog'")
        ...     Lines().copy_labels(old, new, None, {0: 1})
        ...     new.read_text()
        "'dog'\\n'dog'"
    """

    @abstractmethod
    def spelled(self, source: Path, options: ReadOptions, rows: Sequence[int]) -> dict[int, bytes]:
        """The labels of some rows, in UTF-8, as they are written."""

    @abstractmethod
    def write_spelled(self, source: Path, target: Path, options: ReadOptions, labels: Mapping[int, bytes]) -> None:
        """Write a copy in which some rows have other labels, in UTF-8 as they are to be written."""

    @abstractmethod
    def joined(self, frames: Sequence[pd.DataFrame], place: str) -> pd.DataFrame:
        """The rows of several such files, which have the same columns, as if they stood in one."""

    def copy_labels(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Write a copy in which some rows have the labels of others."""
        spelled = self.spelled(source, options, sorted(set(changes.values())))
        self.write_spelled(source, target, options, {row: spelled[right] for row, right in changes.items()})


class TypedColumns(ABC):
    """A file of a table with types, as Arrow reads and writes it.

    Example:
        >>> class Constant(TypedColumns):
        ...     def arrow_table(self, path):
        ...         return pa.table({"x": [1, 2]})
        ...     def write_column(self, source, target, label, values):
        ...         raise NotImplementedError
        >>> table = Constant().arrow_table(Path("it"))
        >>> Constant.corrected(table.column("x"), {0: 1}).to_pylist()
        [2, 2]
    """

    @abstractmethod
    def arrow_table(self, path: Path) -> pa.Table:
        """The table in a file."""

    def arrow_column(self, path: Path, name: str) -> pa.ChunkedArray:
        """A column of the table in a file."""
        return self.arrow_table(path).column(name)

    @abstractmethod
    def write_column(self, source: Path, target: Path, label: str, values: pa.Array) -> None:
        """Write a copy in which one column has other values, of its type."""

    def image_columns(self, path: Path, options: ReadOptions) -> list[str]:
        """Columns that hold images to learn from."""
        del path, options
        return []

    def column_names(self, path: Path) -> list[str]:
        """The names of all columns."""
        return self.arrow_table(path).column_names

    def read_images(self, paths: Sequence[Path], column: str, options: ReadOptions, **how: Any) -> Records:
        """The images in a column of several files, as `FileFormat.read` gives those of one."""
        raise NotImplementedError(f"{type(self).__name__} has no columns of images")

    @staticmethod
    def typed_frame(table: pa.Table, place: str) -> pd.DataFrame:
        """A data frame of a table of Arrow; an index that has a name is a column, as it is in the file.

        Raises:
            DataError: columns of one name; `place` says where.
        """
        names = table.column_names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{place} has {names.count(twice)} columns named {twice!r}: rename all but one")
        try:
            frame = table.to_pandas()
        except pa.ArrowException:  # what pandas wrote of the types is no longer true, where a column was set anew
            frame = table.to_pandas(ignore_metadata=True)
            frame = frame[[name for name in frame.columns if not _UNNAMED_INDEX.fullmatch(name)]]
        else:
            frame = frame.astype(dict.fromkeys(_lost_categories(table, frame), "category"))
        named = [name for name in frame.index.names if name is not None and name not in frame.columns]
        return frame.reset_index(named) if named else frame

    @staticmethod
    def corrected(column: pa.ChunkedArray, changes: Changes) -> pa.Array:
        """A column in which some rows have the values of others."""
        rows = np.arange(len(column))
        rows[list(changes)] = list(changes.values())
        whole = column.unify_dictionaries().combine_chunks() if len(column.chunks) != 1 else column.chunk(0)
        return whole.take(pa.array(rows))


def _lost_categories(table: pa.Table, frame: pd.DataFrame) -> list[str]:
    """Columns that pandas wrote as categories of numbers: Parquet gives them as numbers, its categories are text."""
    told = (table.schema.pandas_metadata or {}).get("columns", [])
    categorical = [each for each in told if each["pandas_type"] == "categorical"]
    sizes = {each["name"]: (each["metadata"] or {}).get("num_categories", 0) for each in categorical}
    there = [name for name in sizes if name in table.column_names and name in frame.columns]
    whole = [name for name in there if pa.types.is_integer(table.schema.field(name).type)]
    return [name for name in whole if frame[name].nunique() <= sizes[name]]


def refuse_columns(options: ReadOptions, name: str) -> None:
    """Refuse to look for columns in what is no table.

    Args:
        options: which may name some.
        name: how messages name the data.

    Raises:
        DataError: they do.

    Example:
        >>> from elr.data.records import ReadOptions
        >>> refuse_columns(ReadOptions(text="title"), "photos")
        Traceback (most recent call last):
        elr.errors.DataError: photos is no table and has no text column 'title': leave out --text
    """
    for role, column in (("text", options.text), ("embedding", options.embedding), ("image", options.image)):
        if column:
            raise DataError(f"{name} is no table and has no {role} column {column!r}: leave out --{role}")
    if options.annotators or options.annotations:
        raise DataError(f"{name} is no table: labels of several annotators are for tables and Parquet files of images")
