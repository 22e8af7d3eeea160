"""How a text file of a table is written: found from its first lines, checked on all of them by those who read it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from elr.data.dialects.layout import Layout, cell_text, lay_out, line_at, split_record
from elr.data.dialects.marks import Marks, read_marks
from elr.data.dialects.quoting import QuotedCells, quoted_cells
from elr.errors import DataError

SEPARATORS = (b",", b"\t", b";", b"|")
_SAMPLE = 1 << 18
_FIRST = 22  # records among which the names of the columns are looked for
_AGREE = 0.9  # of the lines, for a separator to be taken for one
_JSON = re.compile(rb"\s*(\{\s*(\"|\}\s*$)|\[\s*[\[{])")
_EXCEL = re.compile(rb'"?sep=([^"\r\n])"?(\r\n|\n|\r)', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dialect:
    """How a text file of a table is written.

    Args:
        separator: between cells.
        marks: what quotation marks mean.
        names: of the columns, as they are written.
        header_line: the number of the line that they stand in.
        body: where the rows begin, in bytes.
        lines_before: lines before them.
        remarks: what the user should know.

    Example:
        >>> dialect = find_dialect(b"Report\\n\\nx;y;z\\n1,5;2;a\\n", "t.csv", usual=b",")
        >>> dialect.separator, dialect.names, dialect.header_line
        (b';', ('x', 'y', 'z'), 3)
    """

    separator: bytes
    marks: Marks
    names: tuple[str, ...]
    header_line: int
    body: int
    lines_before: int
    remarks: tuple[str, ...] = ()

    def without_marks(self, rows: bytes, place: str) -> Dialect | None:
        """How a file is written in which marks pair up within lines by chance: without them all lines agree.

        None if they do not, if the user said what marks are, or if all lines agree with them.
        """
        if self.marks.quoted is None or self.marks.asked or any('"' in name for name in self.names):
            return None
        plain, quoted = lay_out(rows, self.separator), lay_out(rows, self.separator, self.quoted(rows))
        width = len(self.names)
        odd = np.flatnonzero((quoted.cells != width) & ~quoted.blank)
        if not len(odd) or (plain.cells != width)[~plain.blank].any():
            return None
        line = self.lines_before + int(quoted.lines[odd[0]])
        remark = (
            f"{place} has quotation marks that are plain characters (two of them in line {line} would enclose a "
            "separator; without them all lines have as many cells): read so; --quotes (quotes=True) insists on cells "
            "in marks"
        )
        return replace(self, marks=Marks(quoted=None), remarks=(*self.remarks, remark))

    def quoted(self, rows: bytes) -> QuotedCells | None:
        """The cells in quotation marks of rows; None if marks are plain characters."""
        if self.marks.quoted is None:
            return None
        return quoted_cells(rows, self.separator, escaped=self.marks.escaped)


@dataclass(frozen=True, eq=False)
class _Look:
    """The first lines, as one separator divides them."""

    separator: bytes
    layout: Layout
    header: int  # among those that are not blank
    names: tuple[str, ...]
    share: float  # of the lines with as many cells as the header

    @property
    def width(self) -> int:
        return len(self.names)


def find_dialect(
    content: bytes,
    place: str,
    *,
    usual: bytes,
    separator: str | None = None,
    quotes: bool | None = None,
    known: Sequence[str] = (),
) -> Dialect:
    """Find out how a text file of a table is written.

    Args:
        content: of the file, in UTF-8.
        place: how messages name it.
        usual: separator of files that are called so.
        separator: what the user says of it.
        quotes: likewise.
        known: names of columns that it may have.

    Raises:
        DataError: nothing in it, or it cannot be told.

    Example:
        >>> find_dialect(b"x|y\\n1|a\\n", "t.csv", usual=b",").remarks
        ("t.csv is separated by '|': read so; --separator (separator=...) says otherwise",)
    """
    excel = _EXCEL.match(content)
    start = excel.end() if excel else 0
    sample = content[start : start + _SAMPLE]
    if len(content) - start > len(sample):
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b"\r")) + 1] or content[start:]
    if not sample.strip():
        raise DataError(f"{place} is empty: expected a line of column names and a line for each row")
    if _JSON.match(sample):
        raise DataError(
            f"{place} begins as JSON, not as a table of text: call it .jsonl (an object a line) or .json (one array of "
            "objects)"
        )
    asked = _as_byte(separator, place) if separator else excel[1] if excel else None
    look = _look(sample, asked, quotes, known) if asked else None
    if look is None or look.width == 1:
        found = _choose([_look(sample, each, quotes, known) for each in SEPARATORS], usual, known, place)
        look = look if look is not None and (found.width == 1 or found.share < _AGREE) else found
    remarks = []
    if look.separator not in (usual, asked) or (asked and look.separator != asked):
        mark, instead = look.separator.decode(), "--separator (separator=...) says otherwise"
        if asked:
            instead = f"not by {asked.decode()!r}, of which its line of names has none"
        remarks.append(f"{place} is separated by {mark!r}: read so; {instead}")
    top = start + int(look.layout.starts[~look.layout.blank][look.header])
    before = line_at(content, top) - 1
    if look.header:
        remarks.append(f"the names of the columns of {place} stand in line {before + 1}: what stands above is left out")
    text = content[top:]
    marks = read_marks(text, look.separator, quotes=quotes, place=place, before=before)
    names, length = _first_record(text, look.separator, marks)
    if marks.remark:
        remarks.append(marks.remark)
    if names[0].startswith("#"):
        remarks.append(f"line {before + 1} of {place} begins with '#' and was taken for the names of columns")
    return Dialect(
        separator=look.separator,
        marks=marks,
        names=names,
        header_line=before + 1,
        body=top + length,
        lines_before=before + lay_out(text[:length], look.separator).num_lines,
        remarks=tuple(remarks),
    )


def _as_byte(separator: str, place: str) -> bytes:
    if not separator.isascii() or separator in '"\r\n' or separator.isalnum():
        raise DataError(
            f"{place} cannot be separated by {separator!r}: expected one character of ASCII, such as ',', ';', '|' or "
            "a tab, that is no letter, digit, quotation mark or line end"
        )
    return separator.encode("ascii")


def _look(sample: bytes, separator: bytes, quotes: bool | None, known: Sequence[str]) -> _Look:
    quoted = None
    if quotes is not False and b'"' in sample:
        found = quoted_cells(sample, separator)
        if found.fault is not None and b'\\"' in sample:
            found = quoted_cells(sample, separator, escaped=True)
        if found.fault is not None and found.fault > len(sample) // 2:  # cut through a cell
            sample = sample[: sample.rfind(b"\n", 0, found.fault) + 1]
            found = quoted_cells(sample, separator)
        quoted = None if found.fault is not None else found
    layout = lay_out(sample, separator, quoted)
    starts, stops = layout.starts[~layout.blank], layout.stops[~layout.blank]
    cells = layout.cells[~layout.blank]
    first = [sample[a:b] for a, b in zip(starts[:_FIRST].tolist(), stops[:_FIRST].tolist(), strict=True)]
    header = _header([record.split(separator) for record in first], cells, known)
    names, _ = _first_record(sample[starts[header] :], separator, Marks(quoted=quoted))
    return _Look(separator, layout, header, names, float((cells[header:] == cells[header]).mean()))


def _header(records: list[list[bytes]], cells: np.ndarray, known: Sequence[str]) -> int:
    """Which record has the names of the columns: the first that is no comment and no title above the table."""
    most = Counter(cells.tolist()).most_common(1)[0][0]
    names = {name.encode() for name in known}
    for number, record in enumerate(records):
        if len(record) == most and names & {cell.strip(b'"') for cell in record}:
            return number
        if len(record) == most and not record[0].startswith(b"#"):
            break
    last, header = len(records) - 1, 0
    while header < last and records[header][0].startswith(b"#"):
        if len(records[header]) == most and not records[header + 1][0].startswith(b"#"):
            break
        header += 1
    while header < last and most >= 3 and _is_title(records[header], most):
        after = [sum(map(bool, record)) > 1 for record in records[header + 1 :]]
        if sum(after) * 2 < len(after) or (cells[header + 1 :] == most).mean() < 0.5:
            break
        header += 1
    return header


def _is_title(record: list[bytes], most: int) -> bool:
    """Whether a record has but its first cell, and could not be the names of all columns but that of row names."""
    return not any(cell.strip() for cell in record[1:]) and (len(record) < most - 1 or len(record) == most)


def _first_record(text: bytes, separator: bytes, marks: Marks) -> tuple[tuple[str, ...], int]:
    """The cells of the first record, and where the next begins."""
    quoted = marks.quoted
    if quoted is not None:
        quoted = quoted_cells(text[: _record_end(text, separator, marks)], separator, escaped=marks.escaped)
    end = _record_end(text, separator, marks)
    record = text[:end]
    cells = [
        cell_text(record[a:b], quotes=quoted is not None, escaped=marks.escaped)
        for a, b in split_record(record, separator, quoted)
    ]
    after = 2 if text[end : end + 2] == b"\r\n" else 1
    return tuple(cells), min(len(text), end + after)


def _record_end(text: bytes, separator: bytes, marks: Marks) -> int:
    """Where the first record ends."""
    for found in re.finditer(rb"[\r\n]", text):
        end = found.start()
        if marks.quoted is None:
            return end
        head = quoted_cells(text[:end], separator, escaped=marks.escaped)
        if head.fault is None:
            return end
    return len(text)


def _choose(looks: list[_Look], usual: bytes, known: Sequence[str], place: str) -> _Look:
    """The separator by which the lines have one number of cells."""
    own = next(look for look in looks if look.separator == usual)
    agreed = [look for look in looks if look.width > 1 and look.share >= _AGREE]
    named = [look for look in agreed if set(known) & set(look.names)]
    if len(agreed) > 1 and len(named) == 1:
        agreed = named
    agreed = [look for look in agreed if look.header == min(each.header for each in agreed)]
    if len(agreed) > 1:
        found = " and ".join(repr(look.separator.decode()) for look in agreed)
        raise DataError(
            f"{place} can be separated by {found}: each divides its lines into cells of one number; say which with "
            "--separator (separator=...)"
        )
    if agreed:
        return agreed[0]
    if own.width > 1 or set(known) & set(own.names):
        return own
    others = sorted((look for look in looks if look.width > 1 and look.share >= 0.5), key=lambda look: -look.share)
    return others[0] if others else own
