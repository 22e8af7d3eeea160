"""What a kind of rows is: how such rows become examples, and how people are shown them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from elr.errors import DataError
from elr.names import printable

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from elr.data.formats.format import FileFormat
    from elr.data.label_coding import LabelCoding
    from elr.data.preprocessing import Preprocessing
    from elr.data.records import ReadOptions, Records

Contents = tuple[str, list[dict[str, str]]]
"""The tag of Label Studio that shows some rows, and the data of each."""


class Kind(ABC):
    """What rows hold to learn from. `elr.data.kinds.catalog.KINDS` has them all.

    Example:
        >>> from elr.data.kinds.catalog import KINDS
        >>> {name: [way.learns_from for way in kind.preprocessings] for name, kind in KINDS.items()}["images"]
        ['images', 'features of images']
    """

    preprocessings: ClassVar[tuple[type[Preprocessing], ...]]
    """The ways in which such rows become examples."""
    named_classes: ClassVar[bool] = False
    """Whether class numbers stand for the names that a file has beside them."""
    shows_rows: ClassVar[bool] = True
    """Whether people can be shown its rows."""
    label_hint: ClassVar[str] = ""
    """Where labels are, where no column is named."""

    def fit(self, records: Records, options: ReadOptions, *, coding: LabelCoding) -> Preprocessing:
        """The preprocessing of such records, learned from them.

        Raises:
            DataError: records that nothing can be learned from.
        """
        way = next(each for each in self.preprocessings if each.suits(records, options))
        return way.fit(records, options, coding=coding)

    def load(self, folder: Path, settings: Mapping[str, Any], *, coding: LabelCoding) -> Preprocessing:
        """The preprocessing of a run; see `Preprocessing.load`."""
        way = next(each for each in self.preprocessings if each.wrote(settings))
        return way.load(folder, settings, coding=coding)

    @abstractmethod
    def contents(
        self, form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]
    ) -> Contents:
        """Some rows for Label Studio.

        Args:
            form: the format of the data.
            source: where they are.
            options: how they were read.
            rows: of the source.
            ids: their names, if they have any.

        Raises:
            DataError: unreadable, fewer rows than that, or of a format that has no such rows.
        """

    def picture(self, records: Records, row: int) -> Tensor | None:
        """A row as an image (channels, H, W) uint8, None where it is none."""
        del records, row

    def cells(self, records: Records, rows: np.ndarray, columns: Sequence[str]) -> Mapping[str, list[Any]]:
        """Column -> the cells of some rows, None where one is missing; nothing where there are no columns."""
        del records, rows, columns
        return {}


def numbers(rows: Sequence[int]) -> Contents:
    """Rows that cannot be shown, by their numbers.

    Example:
        >>> numbers([3])
        ('Text', [{'text': 'row 3'}])
    """
    return "Text", [{"text": f"row {row}"} for row in rows]


def table_rows(form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int]) -> pd.DataFrame:
    """Some rows of a table in a file.

    Raises:
        DataError: no table, unreadable, or fewer rows than that.

    Example:
        >>> from elr.data.reading import FORMATS
        >>> from elr.data.records import ReadOptions
        >>> table_rows(FORMATS["npz"], Path("t.npz"), ReadOptions(), [0])
        Traceback (most recent call last):
        elr.errors.DataError: t.npz is no table: name the data of the run with --data
    """
    frame = form.cells(source, options, rows)
    if frame is None:
        raise DataError(f"{printable(source)} is no table: name the data of the run with --data")
    return frame


def column_cells(records: Records, rows: np.ndarray, columns: Sequence[str]) -> dict[str, list[Any]]:
    """The cells of some rows of a table, None where one is missing.

    Example:
        >>> import pandas as pd
        >>> from elr.data.records import Records
        >>> records = Records(kind="table", rows=np.arange(2), table=pd.DataFrame({"x": ["a", None]}))
        >>> column_cells(records, np.array([1, 0]), ["x"])
        {'x': [None, 'a']}
    """
    if records.table is None:
        return {}
    chosen = records.table[list(columns)].iloc[rows]
    return {
        name: [None if gone else value for value, gone in zip(chosen[name].tolist(), chosen[name].isna(), strict=True)]
        for name in columns
    }
