"""Delimited text: CSV and TSV."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from elr.data.formats.format import Changes
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.records import ReadOptions
from elr.errors import DataError

_MISSING_WORDS = ["", "NA", "N/A", "n/a", "nan", "NaN", "NULL", "null", "None", "<NA>", "#N/A", "-nan", "-NaN"]


class Delimited(TableFile):
    """A table as text, a row a line, with the names of the columns in the first; in UTF-8.

    Args:
        suffix: of such files.
        separator: between cells.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "t.csv"), Path(folder, "new.csv")
        ...     _ = old.write_text("code,y\\n007,cat\\n08, 'dog'\\n")
        ...     Delimited(".csv", ",").write_corrected(old, new, ReadOptions(label="y"), {0: 1})
        ...     new.read_text()
        "code,y\\n007, 'dog'\\n08, 'dog'\\n"
    """

    as_written = True

    def __init__(self, suffix: str, separator: str) -> None:
        self.suffixes = (suffix,)
        self.separator = separator

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        del options
        try:
            return ParsedTable(frame=self._parse(path, as_text=as_text, as_written=as_written))
        except pd.errors.EmptyDataError as error:
            raise DataError(f"{path} is empty: expected a line of column names and a line for each row") from error

    def _parse(self, path: Path, *, as_text: Sequence[str], as_written: bool) -> pd.DataFrame:
        layout: dict[str, Any] = {"sep": self.separator, "index_col": False}
        first = pd.read_csv(path, **layout, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
        other = next((mark for mark in (";", "\t", "|", ",") if mark in first[0] and mark != self.separator), None)
        if len(first) == 1 and other:
            raise DataError(
                f"{path} has one column only, {first[0]!r}: they are separated by {other!r}, expected "
                f"{self.separator!r}: save it so, or read it with pandas.read_csv(..., sep={other!r}) and pass the "
                "data frame"
            )
        twice = [name for name in as_text if first.count(name) > 1]
        if twice:
            raise DataError(f"{path} has {first.count(twice[0])} columns named {twice[0]!r}: rename all but one")
        columns = pd.read_csv(path, **layout, nrows=0).columns
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    path,
                    **layout,
                    na_values={name: [""] if name in as_text else _MISSING_WORDS for name in columns},
                    keep_default_na=False,
                    dtype=str if as_written else {name: str for name in as_text if name in columns},
                    low_memory=False,
                )
        except pd.errors.ParserWarning as warning:
            raise DataError(
                f"{path} has rows with more cells than its first line has column names ({len(columns)}): name every "
                "column in the first line"
            ) from warning

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Only the lines of changed rows are written anew; the others go over as they stand."""
        label, wanted = options.label or "", set(changes.values())
        with _long_cells(), source.open(encoding="utf-8", newline="") as lines:
            records = _lines(lines, self.separator)
            header, _ = next(records)
            column = header.index(label)
            spellings = {row: cells[column] for row, (cells, _) in enumerate(records) if row in wanted}
        with (
            _long_cells(),
            source.open(encoding="utf-8", newline="") as lines,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            for row, (cells, text) in enumerate(_lines(lines, self.separator), start=-1):
                if row in changes:
                    cells[column] = spellings[changes[row]]
                    before = text[: len(text) - len(text.lstrip("\r\n"))]  # blank lines
                    text = before + _written(cells, self.separator) + text[len(text.rstrip("\r\n")) :]
                out.write(text)


def _written(cells: Sequence[str], separator: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerow(cells)  # else line ends are not quoted
    return buffer.getvalue().removesuffix("\r\n")


def _lines(lines: IO[str], separator: str) -> Iterator[tuple[list[str], str]]:
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
