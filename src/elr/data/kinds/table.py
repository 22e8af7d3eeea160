"""Rows of a table: cells of mixed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer

from elr.data.formats.format import FileFormat
from elr.data.kinds.kind import Contents, Kind, column_cells, table_rows
from elr.data.label_coding import LabelCoding
from elr.data.preprocessing import Preprocessing
from elr.data.records import TABLE, ReadOptions, Records
from elr.data.tables import column_kinds, plain_columns, table_preprocessing


@dataclass(frozen=True, kw_only=True)
class TablePreprocessing(Preprocessing):
    """Columns of numbers, dates and categories: see `elr.data.tables`.

    Example:
        >>> import pandas as pd
        >>> records = Records(kind="table", rows=np.arange(2), table=pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]}))
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> TablePreprocessing.fit(records, ReadOptions(), coding=coding).encode(records, name="it").inputs
        tensor([[-1.,  1.,  0.],
                [ 1.,  0.,  1.]])
    """

    kind, learns_from = TABLE, TABLE

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> TablePreprocessing:
        del options
        assert records.table is not None, "a table has columns"
        columns, remarks = column_kinds(records.table, as_written=records.as_written)
        plain = plain_columns(records.table, columns, name="the training data")
        fitted = table_preprocessing(columns).fit(plain)
        return cls(coding=coding, transformer=fitted, columns=columns, remarks=tuple(remarks))

    def _inputs(self, records: Records, name: str) -> NDArray[np.float32]:
        assert records.table is not None, "a table has columns"
        assert self.columns is not None, "a table has columns"
        return self._transformed(plain_columns(records.table, self.columns, name=name), name)

    @classmethod
    def _restored(cls, transformer: Any, settings: Mapping[str, Any], coding: LabelCoding) -> TablePreprocessing | None:
        columns = settings["columns"]
        fits = isinstance(transformer, ColumnTransformer) and list(transformer.feature_names_in_) == list(columns)
        return cls(coding=coding, transformer=transformer, columns=columns) if fits else None


class Table(Kind):
    """Cells of the columns that are learned from.

    Example:
        >>> import pandas as pd
        >>> records = Records(kind="table", rows=np.arange(1), table=pd.DataFrame({"x": [1.5], "n": ["u"]}))
        >>> Table().cells(records, np.array([0]), ["n", "x"])
        {'n': ['u'], 'x': [1.5]}
    """

    preprocessings = (TablePreprocessing,)

    def contents(
        self, form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]
    ) -> Contents:
        del ids
        frame = table_rows(form, source, options, rows)
        cells = frame[[column for column in frame.columns if column not in options.apart]]
        texts = cells.astype(object).where(cells.notna(), "").astype(str).to_dict(orient="records")
        return "Text", [{"text": "\n".join(f"{name}: {text}" for name, text in row.items())} for row in texts]

    def cells(self, records: Records, rows: np.ndarray, columns: Sequence[str]) -> Mapping[str, list[Any]]:
        return column_cells(records, rows, columns)
