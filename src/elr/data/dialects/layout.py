"""The lines and records of a text: where they begin and end, and how many cells they have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from elr.data.dialects.quoting import QuotedCells

_SPACE, _TAB, _LINE_FEED, _RETURN = 32, 9, 10, 13


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The records of a text: its lines, where no cell in quotation marks goes over the end of one.

    Args:
        starts: (R,) int64, where each begins.
        stops: (R,) int64, where it ends, without the end of its line.
        lines: (R,) int64, the number of the line it begins in, from 1.
        cells: (R,) int64, how many it has.
        blank: (R,) bool, nothing but white space.
        num_lines: of the text.
        lone_returns: how many lines end in a carriage return alone.

    Example:
        >>> layout = lay_out(b"x,y\\r\\n1,a\\n\\n2", b",")
        >>> layout.cells.tolist(), layout.blank.tolist(), layout.num_lines
        ([2, 2, 1, 1], [False, False, True, False], 4)
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    lines: NDArray[np.int64]
    cells: NDArray[np.int64]
    blank: NDArray[np.bool_]
    num_lines: int
    lone_returns: int

    @property
    def breaks(self) -> int:
        """Line ends within cells."""
        return self.num_lines - len(self.starts)

    def spans_lines(self) -> NDArray[np.bool_]:
        """(R,) whether a record goes over several lines."""
        return np.diff(self.lines, append=self.num_lines + 1) > 1


def lay_out(content: bytes, separator: bytes, quoted: QuotedCells | None = None) -> Layout:
    """Find the records of a text.

    Args:
        content: in UTF-8.
        separator: between cells.
        quoted: cells in which separators and line ends are characters.

    Example:
        >>> from elr.data.dialects.quoting import quoted_cells
        >>> text = b'x,"a\\nb"\\ny,c\\n'
        >>> lay_out(text, b",", quoted_cells(text, b",")).lines.tolist()
        [1, 3]
    """
    buffer = np.frombuffer(content, np.uint8)
    feeds, returns = np.flatnonzero(buffer == _LINE_FEED), np.flatnonzero(buffer == _RETURN)
    stops, nexts, lone = feeds, feeds + 1, 0
    if len(returns):
        after = np.append(buffer, np.uint8(0))[returns + 1] == _LINE_FEED
        alone, lone = returns[~after], int((~after).sum())
        stops = np.sort(np.concatenate([feeds - np.isin(feeds - 1, returns[after]), alone]))
        nexts = np.sort(np.concatenate([feeds + 1, alone + 1]))
    if len(content) > (nexts[-1] if len(nexts) else 0):  # the last line has no end
        stops, nexts = np.append(stops, len(content)), np.append(nexts, len(content))
    separators = np.flatnonzero(buffer == separator[0])
    ends = np.arange(len(stops))
    if quoted is not None and len(quoted.opens):
        ends = np.flatnonzero(~quoted.covers(stops))
        separators = separators[~quoted.covers(separators)]
    starts = np.concatenate([[0], nexts[ends][:-1]]).astype(np.int64)[: len(ends)]
    lines = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)] + 1
    cells = np.searchsorted(separators, stops[ends]) - np.searchsorted(separators, starts) + 1
    return Layout(
        starts=starts,
        stops=stops[ends],
        lines=lines,
        cells=cells,
        blank=_blank(buffer, starts, stops[ends], cells),
        num_lines=len(stops),
        lone_returns=lone,
    )


def _blank(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64], cells: NDArray[np.int64]
) -> NDArray[np.bool_]:
    blank = starts == stops
    first = np.append(buffer, np.uint8(0))[starts]
    for place in np.flatnonzero(~blank & (cells == 1) & ((first == _SPACE) | (first == _TAB))).tolist():
        blank[place] = not buffer[starts[place] : stops[place]].tobytes().strip(b" \t")
    return blank


def split_record(record: bytes, separator: bytes, quoted: QuotedCells | None) -> list[tuple[int, int]]:
    """Where the cells of a record begin and end.

    Args:
        record: its text.
        separator: between cells.
        quoted: its cells in quotation marks, where the marks mean that.

    Example:
        >>> split_record(b"1,cat", b",", None)
        [(0, 1), (2, 5)]
    """
    separators = np.flatnonzero(np.frombuffer(record, np.uint8) == separator[0])
    if quoted is not None:
        separators = separators[~quoted.covers(separators)]
    places = [-1, *separators.tolist(), len(record)]
    return [(before + 1, after) for before, after in pairwise(places)]


def cell_text(cell: bytes, *, quotes: bool, escaped: bool = False) -> str:
    r"""What a cell says.

    Args:
        cell: as it is written.
        quotes: whether quotation marks may enclose it.
        escaped: whether marks within are written \".

    Example:
        >>> cell_text(b'"say ""hi"" to"', quotes=True)
        'say "hi" to'
    """
    if quotes and len(cell) > 1 and cell.startswith(b'"') and cell.endswith(b'"'):
        cell = cell[1:-1].replace(b'\\"', b'"') if escaped else cell[1:-1].replace(b'""', b'"')
    return cell.decode("utf-8")


def line_at(content: bytes, position: int) -> int:
    """The number, from 1, of the line that a byte stands in.

    Example:
        >>> line_at(b"a\\r\\nb\\rc", 5)
        3
    """
    before = content[:position]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
