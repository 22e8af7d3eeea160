"""Texts that are made when they are asked for, so that a large set costs no string for each row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload


class LazyTexts(Sequence[str]):
    """A sequence of texts; a subclass says how many there are and makes the one of a row.

    Example:
        >>> class Rows(LazyTexts):
        ...     def __len__(self) -> int:
        ...         return 1000
        ...
        ...     def _text(self, row: int) -> str:
        ...         return f"row {row}"
        >>> Rows()[-1], Rows()[1:4:2]
        ('row 999', ['row 1', 'row 3'])
    """

    @abstractmethod
    def _text(self, row: int) -> str:
        """The text of a row in [0, len)."""

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self._text(each) for each in range(len(self))[row]]
        return self._text(range(len(self))[row])
