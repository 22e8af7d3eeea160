"""Cells in quotation marks: where they begin and end, and whether the marks of a file mean that at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_QUOTE, _BACKSLASH = 34, 92


@dataclass(frozen=True, kw_only=True, eq=False)
class QuotedCells:
    """The cells in quotation marks of some text.

    Args:
        opens: (K,) int64, where the mark that opens each stands.
        closes: (K,) int64, where the mark that closes it stands.
        fault: where a mark stands that opens a cell which nothing closes as it should; None if there is none.

    Example:
        >>> cells = quoted_cells(b'a,"b,c"', b",")
        >>> cells.covers(np.array([1, 4])).tolist()
        [False, True]
    """

    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    fault: int | None = None

    def covers(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether some positions, which are none of marks, lie within such cells."""
        if not len(self.opens):
            return np.zeros(len(positions), bool)
        place = np.searchsorted(self.opens, positions) - 1
        return (place >= 0) & (positions < self.closes[place])


def quoted_cells(content: bytes, separator: bytes, *, escaped: bool = False) -> QuotedCells:
    r"""Find the cells in quotation marks.

    A mark opens a cell only where a cell begins, and closes it only where one ends; within, it is written twice. All
    other marks are characters of cells without.

    Args:
        content: whole lines of text in UTF-8.
        separator: between cells.
        escaped: whether marks within are written \" instead.

    Example:
        >>> cells = quoted_cells(b'5" disk,"say ""hi"" to"\n"lost,x\n', b",")
        >>> cells.opens.tolist(), cells.closes.tolist(), cells.fault
        ([8], [22], 24)
    """
    buffer = np.frombuffer(content, np.uint8)
    marks = np.flatnonzero(buffer == _QUOTE)
    edges = np.zeros(256, bool)
    edges[[separator[0], 10, 13]] = True
    if escaped:
        before = content.replace(b"\\\\", b"__")  # a backslash that is written twice is one, and escapes nothing
        marks = marks[np.frombuffer(b"\n" + before, np.uint8)[marks] != _BACKSLASH]
    begins, ends = np.ones(len(marks), bool), np.ones(len(marks), bool)
    inner = slice(int(len(marks) > 0 and marks[0] == 0), None)
    begins[inner] = edges[buffer[marks[inner] - 1]]
    inner = slice(None, len(marks) - int(len(marks) > 0 and marks[-1] == len(content) - 1))
    ends[inner] = edges[buffer[marks[inner] + 1]]
    opens, closes = marks[0::2], marks[1::2]
    if len(opens) == len(closes):
        twice = closes[:-1] + 1 == opens[1:]
        if np.all(begins[2::2] | twice) and begins[:1].all() and np.all(ends[1:-1:2] | twice) and ends[-1:].all():
            first, last = np.ones(len(opens), bool), np.ones(len(opens), bool)
            first[1:], last[:-1] = ~twice, ~twice
            return QuotedCells(opens=opens[first], closes=closes[last])
    return _one_by_one(marks.tolist(), begins.tolist(), ends.tolist())


def _one_by_one(marks: list[int], begins: list[bool], ends: list[bool]) -> QuotedCells:
    """The same where marks stand in cells without quotation too."""
    opens: list[int] = []
    closes: list[int] = []
    number, fault = 0, None
    while number < len(marks):
        if not begins[number]:
            number += 1
            continue
        close = number + 1
        while close + 1 < len(marks) and marks[close + 1] == marks[close] + 1:
            close += 2
        if close >= len(marks) or not ends[close]:
            fault = marks[number]
            break
        opens.append(marks[number])
        closes.append(marks[close])
        number = close + 1
    return QuotedCells(opens=np.array(opens, np.int64), closes=np.array(closes, np.int64), fault=fault)
