"""Feather, which is Arrow's own format for files: tables with types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from elr.data.formats.format import Changes, TypedColumns
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.records import ReadOptions
from elr.errors import DataError
from elr.names import plain_name, printable

_FIRST_VERSION, _FILE = b"FEA1", b"ARROW1"


class Feather(TableFile, TypedColumns):
    """A Feather or Arrow file of a table, whole or as a stream.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "t.feather"), Path(folder, "new.feather")
        ...     pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]}).to_feather(old)
        ...     Feather().write_corrected(old, new, ReadOptions(label="y"), {0: 1})
        ...     Feather().labels(new, ReadOptions(label="y"))
        ['dog', 'dog']
    """

    suffixes = (".feather", ".arrow", ".ipc")

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        del options, as_text, as_written  # columns have types
        return ParsedTable(frame=self.typed_frame(read_arrow(path), printable(path)))

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """The corrected labels are those of other rows, so that types and metadata stay."""
        label = options.label or ""
        self.write_column(source, target, label, self.corrected(read_arrow(source).column(label), changes))

    def arrow_table(self, path: Path) -> pa.Table:
        return read_arrow(path)

    def write_column(self, source: Path, target: Path, label: str, values: pa.Array) -> None:
        table = read_arrow(source)
        place = table.schema.get_field_index(label)
        field = table.schema.field(place)
        table = table.set_column(place, field, values.cast(field.type)).unify_dictionaries()
        packed = "lz4" if source.stat().st_size < 0.9 * table.nbytes else None
        writer = ipc.new_file if _is_file(source) else ipc.new_stream
        with writer(target, table.schema, options=ipc.IpcWriteOptions(compression=packed)) as out:
            out.write_table(table)


def read_arrow(path: Path) -> pa.Table:
    """The table in a Feather or Arrow file.

    Raises:
        DataError: the first version of Feather.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pa.table({"x": [1, 2]})
        ...     with ipc.new_stream(f"{folder}/t.arrow", table.schema) as out:
        ...         out.write_table(table)
        ...     read_arrow(Path(folder, "t.arrow")).num_rows
        2
    """
    with path.open("rb") as handle:
        if handle.read(4) == _FIRST_VERSION:
            raise DataError(
                f"{printable(path)} is Feather of version 1: read it with pandas.read_feather and write it anew"
            )
    with plain_name(path) as named, pa.OSFile(str(named)) as handle:
        return ipc.open_file(handle).read_all() if _is_file(path) else ipc.open_stream(handle).read_all()


def _is_file(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_FILE)) == _FILE
