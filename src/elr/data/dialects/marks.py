"""Whether the quotation marks of a file enclose its cells, or are characters as any others."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from elr.data.dialects.layout import Layout, lay_out, line_at
from elr.data.dialects.quoting import QuotedCells, quoted_cells
from elr.errors import DataError

_FLAGS = (
    "say --quotes (quotes=True) if marks enclose cells in it, --no-quotes (quotes=False) if they are plain characters"
)
_TWICE = re.compile(rb'^"[^"\r\n]+""[^\r\n]*"\r?$', re.MULTILINE)  # a line with marks that a writer wrote twice
_ORDINARY = 5000  # lines that are looked at to learn what columns hold
_ENOUGH = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """What the quotation marks of a text mean.

    Args:
        quoted: the cells that they enclose; None if they are plain characters.
        escaped: whether those within are written with a backslash.
        breaks: whether cells go over the ends of lines.
        remark: what the user should know.
        asked: whether the user said so.

    Example:
        >>> Marks(quoted=None).breaks
        False
    """

    quoted: QuotedCells | None
    escaped: bool = False
    breaks: bool = False
    remark: str = ""
    asked: bool = False


def read_marks(text: bytes, separator: bytes, *, quotes: bool | None, place: str, before: int = 0) -> Marks:
    """Find out what quotation marks mean, so that no cell swallows lines that are rows of their own.

    Args:
        text: the line of names and all after it.
        separator: between cells.
        quotes: what the user says of it.
        place: how messages name the file.
        before: lines of the file before the text.

    Raises:
        DataError: it cannot be told, or the marks are not what the user says.

    Example:
        >>> marks = read_marks(b'x\\ty\\n"a\\tb\\nc"\\td\\ne\\t"f\\n', b"\\t", quotes=None, place="t.tsv")
        >>> marks.quoted is None, marks.remark[:64]
        (True, 't.tsv has quotation marks that are plain characters (line 4 has ')
    """
    if quotes is False:
        return Marks(quoted=None, asked=True)
    if b'"' not in text:
        return Marks(quoted=quoted_cells(b"", separator))
    found, escaped = quoted_cells(text, separator), False
    if found.fault is not None and b'\\"' in text:
        with_escapes = quoted_cells(text, separator, escaped=True)
        if with_escapes.fault is None and len(with_escapes.opens):
            found, escaped = with_escapes, True
    if found.fault is not None:
        return _without(text, separator, found, place=place, before=before, insisted=bool(quotes))
    marks = Marks(quoted=found, escaped=escaped, breaks=_has_breaks(text, found), asked=bool(quotes))
    if quotes or not marks.breaks:
        return marks
    return _not_swallowing(text, separator, marks, place=place, before=before)


def _has_breaks(text: bytes, quoted: QuotedCells) -> bool:
    buffer = np.frombuffer(text, np.uint8)
    ends = [mark for mark in (b"\n", b"\r") if mark in text]
    return any(quoted.covers(np.flatnonzero(buffer == mark[0])).any() for mark in ends)


def _without(text: bytes, separator: bytes, found: QuotedCells, *, place: str, before: int, insisted: bool) -> Marks:
    """Marks that do not close what they open: plain characters, if all lines agree without them."""
    fault = found.fault or 0
    line = before + line_at(text, fault)
    plain = lay_out(text, separator)
    cells = plain.cells[~plain.blank]
    header = text[: plain.stops[~plain.blank][0]].strip()
    cut_off = not text.endswith((b"\n", b"\r")) and fault >= plain.starts[-1]
    whole = (
        not cut_off
        and not (cells[0] == 1 and _has_breaks(text, found))
        and not (header.startswith(b'"') and header.endswith(b'"'))
    )
    if whole and not insisted and (cells == cells[0]).all():
        shown = text[fault : fault + 30].splitlines()[0].decode("utf-8", "ignore")
        remark = (
            f"{place} has quotation marks that are plain characters (line {line} has {shown!r}, which nothing closes; "
            "without them all lines have as many cells): read so; --quotes (quotes=True) insists on cells in marks"
        )
        return Marks(quoted=None, remark=remark)
    instead = "the file may be cut off there; get the whole of it" if cut_off else "mend that line"
    instead += " (a mark within a cell is written twice)"
    if not insisted:
        instead += ", or say --no-quotes (quotes=False) if marks are plain characters in it"
    raise DataError(
        f"line {line} of {place} has a cell that begins with a quotation mark which nothing closes as it should: it "
        f"would swallow what follows; {instead}"
    )


def _not_swallowing(text: bytes, separator: bytes, marks: Marks, *, place: str, before: int) -> Marks:
    """The marks again, if no cell over several lines is a pair of lone marks with rows between them."""
    plain, quoted = lay_out(text, separator), lay_out(text, separator, marks.quoted)
    width = quoted.cells[~quoted.blank][0]
    first = (quoted.lines - 1).tolist()
    last = [line - 1 for line in (*first[1:], plain.num_lines)]
    doubtful = [
        record
        for record in np.flatnonzero(quoted.spans_lines()).tolist()
        if (plain.blank | (plain.cells == width))[first[record] : last[record] + 1].all()
    ]
    if not doubtful:
        return marks
    verdict = _decided(text, separator, marks, (plain, quoted), [(first[each], last[each]) for each in doubtful])
    line = before + int(quoted.lines[doubtful[0]])
    if verdict is True:
        return marks
    cells = plain.cells[~plain.blank]
    if verdict is False and (cells == cells[0]).all():
        remark = (
            f"{place} has quotation marks that are plain characters (a cell that begins in line {line} would swallow "
            f"lines that are rows like the others): read so; --quotes (quotes=True) insists on cells in marks"
        )
        return replace(marks, quoted=None, escaped=False, breaks=False, remark=remark)
    end = before + last[doubtful[0]] + 1
    raise DataError(
        f"lines {line} to {end} of {place} are one row if the quotation marks in them enclose a cell, and "
        f"{end - line + 1} rows if not: {_FLAGS}"
    )


def _decided(
    text: bytes, separator: bytes, marks: Marks, layouts: tuple[Layout, Layout], doubtful: list[tuple[int, int]]
) -> bool | None:
    """Whether marks enclose cells, where the first and last lines of some are rows without them; None: who knows."""
    (plain, quoted), cells = layouts, marks.quoted
    assert cells is not None
    marked = np.unique(np.searchsorted(quoted.stops, cells.opens[cells.opens > quoted.stops[0]]))

    def last_cell(layout: Layout, record: int) -> bytes:
        return text[layout.starts[record] : layout.stops[record]].rpartition(separator)[2]

    if len(marked) == int((~quoted.blank).sum()) - 1 > 1:  # every row has a cell in marks: so the file is written,
        ends = {last_cell(quoted, record) for record in range(min(len(quoted.stops), _ORDINARY))}
        if not any(last_cell(plain, first) in ends for first, _ in doubtful):  # unless lines within them end alike
            return True
    if plain.cells[~plain.blank][0] == 1:
        return True if _TWICE.search(text) else None
    verdict = _verdict(text, separator, plain, doubtful)
    if verdict and len(doubtful) == 1:
        first, last = doubtful[0]
        return True if _is_needed(text, separator, cells, (int(plain.starts[first]), int(plain.stops[last]))) else None
    return verdict


def _is_needed(text: bytes, separator: bytes, quoted: QuotedCells, apart: tuple[int, int]) -> bool:
    """Whether cells need their marks, as they hold separators; but for those of one record."""
    separators = np.flatnonzero(np.frombuffer(text, np.uint8) == separator[0])
    needed = separators[quoted.covers(separators)]
    return bool(((needed < apart[0]) | (needed >= apart[1])).any())


def _verdict(text: bytes, separator: bytes, plain: Layout, doubtful: list[tuple[int, int]]) -> bool | None:
    """Whether marks enclose cells, by the other columns of lines that may be rows; None if these do not tell."""

    def cells(line: int) -> list[bytes]:
        return text[plain.starts[line] : plain.stops[line]].split(separator)

    swallowed = {line for first, last in doubtful for line in range(first, last + 1)}
    width = plain.cells[~plain.blank][0]
    like = [line for line in np.flatnonzero(plain.cells == width).tolist()[1 : _ORDINARY + 1] if line not in swallowed]
    ordinary = [row for row in map(cells, like) if b'"' not in b"".join(row)]
    if len(ordinary) < _ENOUGH:
        return None
    known: dict[int, set[bytes] | None] = {}
    for number, column in enumerate(zip(*ordinary, strict=True)):
        values = set(column)
        if len(values) <= max(2, len(column) // 10):
            known[number] = values
        elif all(map(_is_number, values)):
            known[number] = None
    if not known:
        return None

    def fits(line: int) -> bool:
        row = cells(line)
        return all(
            _is_number(row[number]) if values is None else row[number] in values for number, values in known.items()
        )

    if all(plain.blank[line] or fits(line) for line in swallowed):
        return False
    return True if not any(all(map(fits, pair)) for pair in doubtful) else None


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell
    return True
