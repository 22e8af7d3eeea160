"""The cells of a text file, read by Arrow, and a check that its lines add up to its rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from elr.data.dialects.layout import Layout, lay_out
from elr.data.labels.spelling import NULL_WORDS
from elr.errors import DataError

if TYPE_CHECKING:
    from elr.data.dialects.dialect import Dialect

_TEXT = pa.large_string()  # as pandas has it
_ESCAPED_MARK = re.compile(rb'(?<!\\)((?:\\\\)*)\\"')
_LOOKED_AT = 1000
_TOTALS = {"total", "totals", "grand total", "sum", "summe", "gesamt", "insgesamt", "somme", "suma", "totale"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadCells:
    """The rows of a text file.

    Args:
        table: every cell as text, null where it is empty or a word for a missing value.
        facts: lines, rows, blank lines and line ends within cells, which add up.
        remarks: what the user should know.

    Example:
        >>> ReadCells(table=pa.table({"x": ["1"]})).table.num_rows
        1
    """

    table: pa.Table
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_cells(content: bytes, dialect: Dialect, place: str, *, as_text: Sequence[str] = ()) -> ReadCells:
    """Read every cell as text.

    Args:
        content: of the file, in UTF-8.
        dialect: how it is written.
        place: how messages name it.
        as_text: columns in which only an empty cell is missing.

    Raises:
        DataError: lines that have another number of cells than the line of names, or that do not add up to the rows.

    Example:
        >>> from elr.data.dialects.dialect import find_dialect
        >>> text = b"x,y\\n1,\\n\\nNA,2\\n"
        >>> found = read_cells(text, find_dialect(text, "t.csv", usual=b","), "t.csv")
        >>> found.table.to_pydict(), found.facts["blank_lines"]
        ({'x': ['1', None], 'y': [None, '2']}, 1)
    """
    names, remarks = _names(dialect, place), []
    repeated = _repeated_header(content, dialect)
    if repeated:
        raise DataError(
            f"line {repeated} of {place} has the names of the columns again: files were put together; remove that "
            "line, or put a line of names above the first if that is a row like the others"
        )
    num_lines, lone_returns = _num_lines(content, dialect.body)
    bad: list[str] = []
    rows: bytes | pa.Buffer = pa.py_buffer(content).slice(dialect.body)
    table = _parse(rows, names, dialect, bad)
    blank = breaks = 0
    if bad or len(names) == 1 or dialect.marks.breaks or lone_returns or table.num_rows != num_lines:
        body = content[dialect.body :]
        if bad and (plain := dialect.without_marks(body, place)) is not None:
            found = read_cells(content, plain, place, as_text=as_text)
            return replace(found, remarks=[*plain.remarks[len(dialect.remarks) :], *found.remarks])
        layout = lay_out(body, dialect.separator, dialect.quoted(body))
        mended, names, told = _mend(body, layout, names, dialect, place)
        remarks += told
        blank, breaks = int(layout.blank.sum()), layout.breaks
        if mended is not None:
            rows, bad = mended, []
            table = _parse(rows, names, dialect, bad)
    if bad or table.num_rows + blank + breaks != num_lines:
        raise DataError(
            f"{place} has {num_lines} lines after the names of its columns, of which {table.num_rows} rows, {blank} "
            f"blank lines and {breaks} line ends within cells could be made: they do not add up; say --no-quotes "
            "(quotes=False) if its quotation marks are plain characters"
        )
    table = _only_empty_missing(table, rows, names, dialect, as_text)
    table, told = _without_nameless(table, dialect, place)
    lines = dialect.lines_before + num_lines
    facts = {
        "lines": lines,
        "rows": table.num_rows,
        "blank_lines": blank,
        "quoted_line_breaks": breaks,
        "lines_before_rows": dialect.lines_before,
        "separator": dialect.separator.decode(),
        "quotes": dialect.marks.quoted is not None,
    }
    return ReadCells(table=table, facts=facts, remarks=[*remarks, *told, *_doubts(table, dialect, place)])


def _parse(rows: bytes | pa.Buffer, names: list[str], dialect: Dialect, bad: list[str], **convert: Any) -> pa.Table:
    """Arrow's table, and in `bad` the lines that have another number of cells."""
    buffer = pa.py_buffer(rows)
    if not memoryview(buffer)[:1000].tobytes().strip() and not buffer.to_pybytes().strip():
        return pa.table({name: pa.array([], _TEXT) for name in convert.get("include_columns", names)})
    if dialect.marks.escaped:
        buffer = pa.py_buffer(_ESCAPED_MARK.sub(rb'\1""', buffer.to_pybytes()))

    def skipped(row: csv.InvalidRow) -> str:
        bad.append(row.text)
        return "skip"

    options = {"null_values": sorted(NULL_WORDS), "strings_can_be_null": True, "check_utf8": False} | convert
    block = 1 << 20
    while True:
        try:
            return csv.read_csv(
                pa.BufferReader(buffer),
                read_options=csv.ReadOptions(column_names=names, block_size=block),
                parse_options=csv.ParseOptions(
                    delimiter=dialect.separator.decode(),
                    quote_char=False if dialect.marks.quoted is None else '"',
                    newlines_in_values=dialect.marks.breaks,
                    invalid_row_handler=skipped,
                ),
                convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, _TEXT), **options),
            )
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block > buffer.size:
                raise
            block = min(block * 16, 2**31 - 1)
            bad.clear()


def _num_lines(content: bytes, start: int, stop: int | None = None) -> tuple[int, int]:
    """How many lines there are from one byte to another, and how many of them end in a carriage return alone."""
    stop, lone = len(content) if stop is None else stop, 0
    if content.find(b"\r", start, stop) >= 0:
        lone = content.count(b"\r", start, stop) - content.count(b"\r\n", start, stop)
    open_end = start < stop and content[stop - 1 : stop] not in b"\r\n"
    return content.count(b"\n", start, stop) + lone + open_end, lone


def _names(dialect: Dialect, place: str) -> list[str]:
    """The names of columns; one without is called by its place, as pandas does."""
    names = list(dialect.names)
    twice = [name for name, count in Counter(names).items() if count > 1 and name.strip()]
    if twice:
        shown = ", ".join(f"{names.count(name)} columns named {name!r}" for name in twice[:5])
        raise DataError(
            f"{place} has {shown}: rename all but one (line {dialect.header_line}, which should hold the names of the "
            "columns)"
        )
    for number, name in enumerate(names):
        if not name.strip():
            new = f"Unnamed: {number}"
            while new in names:
                new += ".1"
            names[number] = new
    return names


def _repeated_header(content: bytes, dialect: Dialect) -> int:
    """The line in which the names stand again; 0 if there is none."""
    if len(dialect.names) < 2:
        return 0
    header = content[: dialect.body].rstrip(b"\r\n")
    header = header[max(header.rfind(b"\n"), header.rfind(b"\r")) + 1 :]
    at = content.find(header, dialect.body)
    while header and at >= 0:
        end = at + len(header)
        before = content[at - 4 : at].removesuffix(b"\xef\xbb\xbf")
        if before.endswith((b"\n", b"\r")) and (end == len(content) or content[end : end + 1] in b"\r\n"):
            return dialect.lines_before + _num_lines(content, dialect.body, end)[0]
        at = content.find(header, end)
    return 0


def _mend(
    body: bytes, layout: Layout, names: list[str], dialect: Dialect, place: str
) -> tuple[bytes | None, list[str], list[str]]:
    """The rows with as many cells as there are names, and what was done to them; None if nothing."""
    width, full = len(names), ~layout.blank
    if not full.any():
        return b"", names, []
    remarks = _lone_returns(body, layout, width, dialect, place)
    edits = [(start, stop, b"") for start, stop in zip(layout.starts[~full], layout.stops[~full], strict=True)]
    edits = [edit for edit in edits if edit[0] < edit[1]]
    cells = layout.cells
    if (cells[full] == width + 1).all() and all(
        body[stop - 1 : stop] == dialect.separator for stop in layout.stops[full].tolist()
    ):
        remark = f"every line of {place} ends with a separator, but for that of the names: taken for no cell"
        return _edited(body, edits), [*names, ""], [*remarks, remark]
    _refuse_long(cells, full, layout, width, dialect, place)
    short = np.flatnonzero(full & (cells < width))
    if len(short):
        first = dialect.lines_before + int(layout.lines[short[0]])
        if len(short) == full.sum():
            raise DataError(
                f"all rows of {place} have fewer cells ({cells[short].max()}) than its line of names ({width}): "
                "expected a name for each column, and one separator between any two (--separator)"
            )
        broken = [a for a, b in pairwise(short) if b == a + 1 and cells[a] + cells[b] - 1 == width]
        if broken:
            line = dialect.lines_before + int(layout.lines[broken[0]])
            raise DataError(
                f"lines {line} and {line + 1} of {place} have {cells[broken[0]]} and {cells[broken[0] + 1]} cells, as "
                f"one row of {width} that a line end breaks in two: remove that line end, or put the cell in quotation "
                "marks; if they are two rows, write all their separators"
            )
        remarks.append(
            f"{len(short)} of {int(full.sum())} rows of {place} have fewer cells than there are columns ({width}), "
            f"first line {first}: the last are taken as missing there"
        )
        edits += [
            (stop, stop, dialect.separator * (width - int(count)))
            for stop, count in zip(layout.stops[short], cells[short], strict=True)
        ]
    return (_edited(body, edits) if edits else None), names, remarks


def _refuse_long(cells: np.ndarray, full: np.ndarray, layout: Layout, width: int, dialect: Dialect, place: str) -> None:
    long = np.flatnonzero(full & (cells > width))
    if not len(long):
        return
    line, count = dialect.lines_before + int(layout.lines[long[0]]), int(cells[long[0]])
    mark = dialect.separator.decode()
    advice = f"put cells that hold {mark!r} in quotation marks, and remove {mark!r} at the ends of lines"
    if len(long) == full.sum():
        advice = "name every column in the first line, or name the separator (--separator)"
    elif width == 1:
        advice += ", or name a separator that it does not have, such as --separator tab"
    elif dialect.marks.quoted is None:
        advice += " and say --quotes (quotes=True)"
    raise DataError(
        f"{place} has rows with more cells than its first line has column names ({width}): line {line} has {count} "
        f"(one of {len(long)} such rows of {int(full.sum())}); {advice}"
    )


def _lone_returns(body: bytes, layout: Layout, width: int, dialect: Dialect, place: str) -> list[str]:
    """Refuse carriage returns that may be characters of cells, between lines that end otherwise; say where they end."""
    if not layout.lone_returns or b"\n" not in body:
        return []
    buffer = np.append(np.frombuffer(body, np.uint8), np.full(2, 10, np.uint8))
    alone = (buffer[layout.stops] == 13) & (buffer[layout.stops + 1] != 10)
    alone[-1] = False
    if not alone.any():
        return []
    line = dialect.lines_before + int(layout.lines[alone.argmax()])
    if width == 1 or (layout.cells[~layout.blank] != width).any():
        raise DataError(
            f"line {line} of {place} has a carriage return alone where other lines end in a line feed: it may end the "
            "line or stand in a cell; put such cells in quotation marks, or save the file with one kind of line end"
        )
    return [f"some lines of {place} end in a carriage return alone (first line {line}), others in a line feed"]


def _edited(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    pieces, done = [], 0
    for start, stop, new in sorted(edits):
        pieces += [body[done:start], new]
        done = stop
    return b"".join([*pieces, body[done:]])


def _only_empty_missing(
    table: pa.Table, rows: bytes | pa.Buffer, names: list[str], dialect: Dialect, as_text: Sequence[str]
) -> pa.Table:
    """The table with the words that say "missing" elsewhere, in columns where they are text."""
    again = [name for name in dict.fromkeys(as_text) if name in names and table.column(name).null_count]
    if again:
        texts = _parse(rows, names, dialect, [], include_columns=again, null_values=[""])
        for name in again:
            table = table.set_column(table.schema.get_field_index(name), name, texts.column(name))
    return table


def _without_nameless(table: pa.Table, dialect: Dialect, place: str) -> tuple[pa.Table, list[str]]:
    """The table without empty columns at its end that have no name either, as separators at the ends of lines make."""
    names, gone = list(dialect.names), 0
    names += [""] * (table.num_columns - len(names))
    while table.num_columns > 1 and not names[-1].strip() and table.column(-1).null_count == table.num_rows:
        table, gone = table.remove_column(table.num_columns - 1), gone + 1
        names.pop()
    written = gone - (table.num_columns + gone - len(dialect.names))
    if not table.num_rows or written <= 0:
        return table, []
    return table, [f"{place} has columns at its end without name and values ({written}): left out"]


def _doubts(table: pa.Table, dialect: Dialect, place: str) -> list[str]:
    """What may be no row, or no line of names."""
    remarks = []
    if not table.num_rows:
        return remarks
    if all(column.null_count for column in table.columns) and table.num_columns > 1:
        empty = table.column(0).is_null()
        for column in table.columns[1:]:
            empty = pc.and_(empty, column.is_null())
        if count := pc.sum(empty).as_py():
            row = pc.index(empty, True).as_py()
            remarks.append(f"{count} rows of {place} have no value at all, first row {row}")
    last = table.column(0)[-1].as_py()
    if last and last.strip().strip(":").casefold() in _TOTALS:
        remarks.append(f"the last row of {place} begins with {last!r}: if it is a sum of the others, remove it")
    numbers = [
        name for name in dialect.names if re.fullmatch(r"[-+]?\d*[.,]\d+(e[-+]?\d+)?", name.strip(), re.IGNORECASE)
    ]
    if len(numbers) * 2 >= len(dialect.names) or _names_are_values(table, dialect):
        remarks.append(
            f"line {dialect.header_line} of {place} looks like data ({', '.join(map(repr, dialect.names[:3]))}) and "
            "was taken for the names of the columns: add a line of names if it has none"
        )
    enclosed = [name for name in table.column_names if _in_apostrophes(table.column(name))]
    if enclosed:
        remarks.append(
            f"the cells of column {enclosed[0]!r} of {place} stand in apostrophes, which were taken for characters: "
            "write quotation marks if they enclose the cells"
        )
    return remarks


def _names_are_values(table: pa.Table, dialect: Dialect) -> bool:
    """Whether a line of names is a row: some of its words stand in their own columns again, numbers are in no order."""
    names = [name.strip() for name in dialect.names[: table.num_columns]]
    words = [(name, column) for name, column in zip(names, table.columns, strict=False) if name and not name.isdigit()]
    if any(pc.any(pc.equal(column.slice(0, _LOOKED_AT), name)).as_py() for name, column in words):
        return True
    counted = [int(name) for name in names if name.isdecimal() and name.isascii()]
    steps = {after - before for before, after in pairwise(counted)}
    return len(counted) * 2 >= len(names) and len(counted) > 1 and steps != {1}


def _in_apostrophes(column: pa.ChunkedArray) -> bool:
    cells = [text for text in column.slice(0, _LOOKED_AT).to_pylist() if text is not None]
    return len(cells) > 1 and all(len(text) > 1 and text[0] == text[-1] == "'" for text in cells)
