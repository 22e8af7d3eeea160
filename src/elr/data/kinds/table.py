"""Rows of a table: cells of mixed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer

from elr.data.columns.categories import MISSING
from elr.data.columns.new_data import column_findings, plain_columns
from elr.data.columns.reading import ColumnReading
from elr.data.columns.scaling import fit_table_preprocessing, ranks_remark
from elr.data.columns.selection import select_columns
from elr.data.formats.format import FileFormat
from elr.data.kinds.kind import Contents, Kind, column_cells, table_rows
from elr.data.label_coding import LabelCoding
from elr.data.preprocessing import Preprocessing
from elr.data.records import TABLE, Finding, ReadOptions, Records


@dataclass(frozen=True, kw_only=True)
class TablePreprocessing(Preprocessing):
    """Columns of numbers, dates and categories: see `elr.data.columns`.

    Args:
        readings: how each column is read.
        left_out: the columns of the training data that are not learned from.

    Example:
        >>> import pandas as pd
        >>> records = Records(kind="table", rows=np.arange(2), table=pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]}))
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> TablePreprocessing.fit(records, ReadOptions(), coding=coding).encode(records, name="it").inputs
        tensor([[-1.,  1.,  0.],
                [ 1.,  0.,  1.]])
    """

    kind, learns_from = TABLE, TABLE
    readings: Mapping[str, ColumnReading]
    left_out: tuple[str, ...] = ()

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> TablePreprocessing:
        assert records.table is not None, "a table has columns"
        chosen = select_columns(
            records.table, records.labels, decimal=options.decimal, keep=options.keep, place_of=records.place_of
        )
        kinds = {name: reading.kind for name, reading in chosen.readings.items()}
        transformer = fit_table_preprocessing(chosen.plain, kinds)
        empty = int(_empty(chosen.plain).sum())
        unjudged = f"{empty} of {len(records)} rows are empty in all columns learned from: their labels are not judged"
        return cls(
            coding=coding,
            transformer=transformer,
            columns=kinds,
            remarks=(*chosen.remarks, *ranks_remark(transformer, what="column"), *([unjudged] if empty else [])),
            column_reports=chosen.reports,
            readings=chosen.readings,
            left_out=tuple(chosen.left_out),
        )

    def _inputs(self, records: Records, name: str) -> NDArray[np.float32]:
        return self._transformed(self.plain(records, name=name), name)

    def plain(self, records: Records, *, name: str) -> pd.DataFrame:
        assert records.table is not None, "a table has columns"
        return plain_columns(records.table, self.readings, name=name)

    def silent(self, records: Records) -> NDArray[np.bool_]:
        return _empty(self.plain(records, name="the data"))

    def written_with(self, decimal: str) -> TablePreprocessing:
        readings = {name: reading.written_with(decimal) for name, reading in self.readings.items()}
        return replace(self, readings=readings)

    def findings(self, records: Records, *, name: str) -> list[Finding]:
        assert records.table is not None, "a table has columns"
        return column_findings(records.table, self.readings, name=name, known=self.left_out, place_of=records.place_of)

    def to_json(self) -> dict[str, Any]:
        readings = {name: reading.to_json() for name, reading in self.readings.items()}
        return super().to_json() | {"readings": readings, "left_out": list(self.left_out)}

    @classmethod
    def _restored(cls, transformer: Any, settings: Mapping[str, Any], coding: LabelCoding) -> TablePreprocessing | None:
        columns, left_out = settings["columns"], tuple(settings["left_out"])
        readings = {name: ColumnReading.from_json(reading) for name, reading in settings["readings"].items()}
        fits = isinstance(transformer, ColumnTransformer) and (
            list(transformer.feature_names_in_) == list(columns) == list(readings)
        )
        if not fits:
            return None
        return cls(coding=coding, transformer=transformer, columns=columns, readings=readings, left_out=left_out)


def _empty(plain: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows have a value in no column that is learned from."""
    empty = np.ones(len(plain), dtype=bool)
    for name in plain.columns:
        empty &= (plain[name].isna() | (plain[name] == MISSING)).to_numpy(dtype=bool)
    return empty


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
