"""Delimited text: CSV and TSV, in whatever dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from elr.data.dialects.cells import read_cells
from elr.data.dialects.dialect import Dialect, find_dialect
from elr.data.dialects.encodings import DecodedText, read_text
from elr.data.dialects.layout import Layout, lay_out, split_record
from elr.data.formats.format import Changes, SpelledLabels
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.records import ReadOptions
from elr.errors import DataError
from elr.names import printable

_PACKED = ".gz"


class Delimited(TableFile, SpelledLabels):
    """A table as text, a row a line, with the names of the columns in the first.

    Separator, quotation marks and encoding are found by themselves where that is certain, and said where they are not
    the usual ones; see `elr.data.dialects`. Every line is a row, blank, or within a cell, or the file is refused.

    Args:
        suffixes: of such files; behind it .gz, if they are compressed.
        separator: between cells, usually.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "t.csv"), Path(folder, "new.csv")
        ...     _ = old.write_text("code,y\\n007,cat\\n08, 'dog'\\n")
        ...     Delimited((".csv",), ",").write_corrected(old, new, ReadOptions(label="y"), {0: 1})
        ...     new.read_text()
        "code,y\\n007, 'dog'\\n08, 'dog'\\n"
    """

    as_written = True

    def __init__(self, suffixes: tuple[str, ...], separator: str) -> None:
        self.suffixes = suffixes
        self.separator = separator

    def recognizes(self, data: object) -> bool:
        return isinstance(data, str | Path) and Path(data).name.lower().removesuffix(_PACKED).endswith(self.suffixes)

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        text, dialect = self._open(path, options, as_text)
        found = read_cells(text.content, dialect, printable(path), as_text=as_text)
        frame = found.table.to_pandas()
        if not as_written:
            frame = frame.apply(lambda column: column if column.name in as_text else _typed(column))
        return ParsedTable(
            frame=frame,
            facts={**found.facts, "encoding": text.encoding},
            remarks=[*text.remarks, *dialect.remarks, *found.remarks],
        )

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Only the labels of changed rows are written anew, as other rows spell them; all else stays as it is."""
        self.copy_labels(source, target, options, changes)

    def spelled(self, source: Path, options: ReadOptions, rows: Sequence[int]) -> dict[int, bytes]:
        text, cell = self._cells(source, options)
        return {row: text.content[slice(*cell(row))] for row in rows}

    def write_spelled(self, source: Path, target: Path, options: ReadOptions, labels: Mapping[int, bytes]) -> None:
        text, cell = self._cells(source, options)
        if not text.packed and text.encode(text.content) != source.read_bytes():
            raise DataError(
                f"{printable(source)} cannot be written in {text.encoding} byte for byte: save it as UTF-8, train again"
            )
        pieces, done = [], 0
        for row, label in sorted(labels.items()):
            start, stop = cell(row)
            pieces += [text.content[done:start], label]
            done = stop
        target.write_bytes(text.encode(b"".join([*pieces, text.content[done:]])))

    def line_of(self, source: Path, options: ReadOptions, row: int) -> tuple[str, int, str]:
        _, dialect, layout = self._laid_out(source, options, [])
        record, width = int(np.flatnonzero(~layout.blank)[row]), len(dialect.names)
        cells = int(layout.cells[record])
        short = f"a line of {cells} cells instead of {width}" if cells < width else ""
        return printable(source), dialect.lines_before + int(layout.lines[record]), short

    def joined(self, frames: Sequence[pd.DataFrame], place: str) -> pd.DataFrame:
        del place
        return pd.concat(frames, ignore_index=True)

    def _cells(self, path: Path, options: ReadOptions) -> tuple[DecodedText, Callable[[int], tuple[int, int]]]:
        """The text of a file, and a function that says where in it a row's label stands."""
        label = options.label or ""
        text, dialect, layout = self._laid_out(path, options, [label])
        body, column = text.content[dialect.body :], dialect.names.index(label)
        rows = np.flatnonzero(~layout.blank)

        def cell(row: int) -> tuple[int, int]:
            start, stop = int(layout.starts[rows[row]]), int(layout.stops[rows[row]])
            record = body[start:stop]
            cells = split_record(record, dialect.separator, dialect.quoted(record))
            if column >= len(cells):
                raise DataError(f"row {row} of {printable(path)} has no cell of column {label!r}: add it")
            first, last = cells[column]
            return dialect.body + start + first, dialect.body + start + last

        return text, cell

    def _laid_out(self, path: Path, options: ReadOptions, known: Sequence[str]) -> tuple[DecodedText, Dialect, Layout]:
        """The text of a file, how it is written, and its records below the names of the columns."""
        text, dialect = self._open(path, options, known)
        body = text.content[dialect.body :]
        dialect = dialect.without_marks(body, printable(path)) or dialect
        return text, dialect, lay_out(body, dialect.separator, dialect.quoted(body))

    def _open(self, path: Path, options: ReadOptions, known: Sequence[str]) -> tuple[DecodedText, Dialect]:
        text = read_text(path, options.encoding, place=printable(path))
        named = [*known, *(name for name in (*options.apart, options.text, options.embedding) if name)]
        dialect = find_dialect(
            text.content,
            printable(path),
            usual=self.separator.encode(),
            separator=options.separator,
            quotes=options.quotes,
            known=named,
        )
        return text, dialect


def _typed(column: pd.Series) -> pd.Series:
    """A column of text as numbers or booleans, where all of it is that."""
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        booleans = {"True": True, "False": False}
        return column.map(booleans).astype(bool) if column.isin(list(booleans)).all() else column
