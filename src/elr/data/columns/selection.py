"""The columns of a table that are learned from, with the reasons of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.columns.choice import FoundColumn, example_of, found_columns, named_columns
from elr.data.columns.reading import CATEGORICAL, NUMERIC, ColumnReading, PlaceOf, ReadCells, row_place
from elr.data.columns.roles import counter, echoes, part_echoes
from elr.data.labels.columns import is_nested
from elr.data.records import LEARNED, ColumnReport
from elr.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is learned from a table, and how.

    Args:
        readings: of the columns that are learned from.
        plain: these as read: float64 (missing: NaN; dates: days since 1970) or names of categories.
        left_out: why each of the others is not.
        roles: which columns count the rows or say the label, and how they do; left out unless the user insists.
        doubts: which others may do so.
        remarks: what the user should know.
        reports: every column of the table.

    Example:
        >>> frame = pd.DataFrame({"Id": range(30), "x": [0.5, 0.25, 0.75] * 10})
        >>> chosen = select_columns(frame)
        >>> list(chosen.readings), chosen.remarks
        (['x'], ("column 'Id' left out: it numbers the rows (--keep Id learns from it)",))
    """

    readings: Mapping[str, ColumnReading]
    plain: pd.DataFrame
    left_out: Mapping[str, str]
    roles: Mapping[str, str]
    doubts: Mapping[str, str]
    remarks: tuple[str, ...]
    reports: tuple[ColumnReport, ...]


def select_columns(
    frame: pd.DataFrame,
    labels: Sequence[object] | None = None,
    *,
    decimal: str | None = None,
    keep: Sequence[str] = (),
    keep_all: bool = False,
    place_of: PlaceOf = row_place,
) -> Selection:
    """Decide what to learn from a table; see `found_columns` for what columns hold, `counter` and `echoes` for roles.

    Args:
        frame: the columns.
        labels: given labels.
        decimal: the mark of decimals, where a column leaves it open.
        keep: columns to learn from whatever they look like.
        keep_all: keep counters of the rows and columns that say the label.
        place_of: what remarks call a row.

    Raises:
        DataError: no column is left.

    Example:
        >>> frame = pd.DataFrame({"x": [0.5, 0.25, 0.75] * 10, "verdict": ["good", "bad"] * 15})
        >>> select_columns(frame, [1, 0] * 15).left_out
        {'verdict': 'it says the label in other words, in every row'}
    """
    columns = named_columns(frame, "the table")
    found = found_columns(frame, decimal=decimal, keep=keep, place_of=place_of)
    left_out = {name: column.reason for name, column in found.items() if column.reading is None}
    remarks = [f"column {name!r} left out: {reason}" for name, reason in left_out.items()]
    for name, column in found.items():
        remarks += [f"column {name!r}: {said}" for said in column.remarks]
    roles, doubts = _roles(found)
    cells = {name: column.cells for name, column in found.items() if column.cells is not None}
    copies = {} if labels is None else echoes(cells, labels)
    roles |= copies
    doubts = {**doubts, **({} if labels is None else part_echoes(cells, labels))}
    doubts = {name: said for name, said in doubts.items() if name not in roles and name not in keep}
    remarks += [f"column {name!r}: {said}" for name, said in doubts.items()]
    useful = [name for name in found if name not in left_out and name not in roles]
    for name, reason in roles.items():
        if name in keep or keep_all:
            continue
        if not useful and name not in copies:
            remarks.append(f"column {name!r}: {reason}; learned from, since there is no other")
            continue
        left_out[name] = reason
        remarks.append(f"column {name!r} left out: {reason} (--keep {quote(name)} learns from it)")
    readings = {name: column.reading for name, column in found.items() if column.reading and name not in left_out}
    if not readings:
        raise DataError(
            f"no column is left to learn from; {'; '.join(remarks) or 'the table has no other column'}. Expected "
            "numbers, dates or categories, or a column of text (--text COLUMN) or of embeddings (--embedding COLUMN)"
        )
    plain = {name: found[name].cells.values for name in readings}  # type: ignore[union-attr]
    return Selection(
        readings=readings,
        plain=pd.DataFrame(plain, index=pd.RangeIndex(len(frame))),
        left_out=left_out,
        roles=roles,
        doubts=doubts,
        remarks=tuple(remarks),
        reports=tuple(
            _report(name, columns[name], column, left_out.get(name, LEARNED)) for name, column in found.items()
        ),
    )


def number_roles(numbers: NDArray[np.floating], names: Sequence[str], labels: Sequence[object]) -> dict[str, str]:
    """Which columns of numbers without gaps count the rows or say the label, and how they do.

    Args:
        numbers: (N, D).
        names: of the columns.
        labels: given labels.

    Example:
        >>> number_roles(np.column_stack([np.arange(40), np.arange(40) % 3]).astype(float), ["Id", "x"], [0, 1] * 20)
        {'Id': 'it numbers the rows'}
    """
    none = np.zeros(len(numbers), dtype=bool)
    cells = {name: ReadCells(column, missing=none, strange=none) for name, column in zip(names, numbers.T, strict=True)}
    counters = {name: counter(name, ColumnReading(kind=NUMERIC), column)[0] for name, column in cells.items()}
    return {name: reason for name, reason in counters.items() if reason} | echoes(cells, labels)


def _roles(found: Mapping[str, FoundColumn]) -> tuple[dict[str, str], dict[str, str]]:
    """Columns that are no features, and doubts about others."""
    roles, doubts = {}, {}
    for name, column in found.items():
        if column.reading is None or column.cells is None:
            continue
        reason, doubt = counter(name, column.reading, column.cells)
        if column.reading.kind == CATEGORICAL and _names_rows(column):
            reason = "its text is different in every row"
        if reason:
            roles[name] = reason
        elif doubt:
            doubts[name] = doubt
    return roles, doubts


def _names_rows(column: FoundColumn) -> bool:
    assert column.cells is not None, "a column with a reading was read"
    count = len(column.cells.values)
    return count >= 20 and len(column.reading.categories) == count  # type: ignore[union-attr]


def _report(name: str, cells: pd.Series, column: FoundColumn, use: str) -> ColumnReport:
    if column.reading is None or column.cells is None:
        kind = "text" if column.reason.startswith("text") else "nothing to learn from"
        distinct = 0 if is_nested(cells) else int(cells.nunique())
        missing = int(cells.isna().sum())
    else:
        kind, values = column.reading.kind, column.cells.values[~(column.cells.missing | column.cells.strange)]
        distinct = len(pd.unique(values))
        missing = int((column.cells.missing | column.cells.strange).sum())
    return ColumnReport(name=name, kind=kind, use=use, missing=missing, distinct=distinct, example=example_of(cells))
