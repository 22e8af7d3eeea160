"""The rows of a run in its data as these are now: the same rows, or they are refused; and a copy with other labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elr import files
from elr.audit.cleaning.decision_file import Decision
from elr.audit.evidence import Evidence, writable
from elr.audit.suspects import MAX_ID, brief, clip
from elr.data.formats.format import Changes, FileFormat
from elr.data.kinds.catalog import KINDS
from elr.data.label_coding import LabelCoding
from elr.data.matching.fingerprints import row_fingerprints
from elr.data.reading import read_data
from elr.data.records import IMAGES, NO_BACKBONE, ReadOptions, Records
from elr.errors import DataError
from elr.names import printable

_CHANGED = "the data have changed since; train again, or name those of the run with --data"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelsNow:
    """The data of a run, as they are now.

    Args:
        form: the format of the data.
        source: where the labels are.
        inputs: where the rest is; None where that is not known.
        options: how they were read.
        coding: the classes of the run.
        kind: of its rows.
        columns: those that it learned from, of a table.
        comparable: whether cells are compared: those of a data frame are other ones in some of the files made of it.

    Example:
        >>> from elr.data.reading import FORMATS
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.csv")
        ...     _ = path.write_text("x,y\\n1,cat\\n2,dog\\n")
        ...     now = LabelsNow(
        ...         form=FORMATS["csv"], source=path, inputs=path, options=ReadOptions(label="y"),
        ...         coding=LabelCoding(class_names=("cat", "dog")), kind="table", columns=["x"])
        ...     now.labels
        ['cat', 'dog']
    """

    form: FileFormat
    source: Path
    inputs: Path | None
    options: ReadOptions
    coding: LabelCoding
    kind: str
    columns: Sequence[str] | None
    comparable: bool = True

    @cached_property
    def labels(self) -> list[str]:
        """The class of each row, in the spelling of the run; "" where there is none."""
        return self._read(self.source)

    def _read(self, source: Path) -> list[str]:
        named = KINDS[self.kind].named_classes
        return self.coding.canonical(self.form.labels(source, self.options, named=named))

    def located(self, taken: Sequence[Decision], run: Evidence) -> list[Decision]:
        """Decisions with the numbers that their rows have now.

        Where rows have names, each is found by its own. Else all must stand where they stood.

        Args:
            taken: decisions on rows of the run.
            run: what it kept of them.

        Raises:
            DataError: other rows than those of the run, other labels, or other cells in the columns learned from.
        """
        names = self.form.ids(self.source)
        if names is not None:
            self._check_names(taken, names)
            return list(taken)
        now = self._rows_now()
        places = self._places(run, now)
        self._check_labels(run, now.rows[places])
        self._check_cells(run, now, places)
        moved = dict(zip(run.rows.tolist(), now.rows[places].tolist(), strict=True))
        return [replace(each, row=moved[each.row]) for each in taken]

    def _check_names(self, taken: Sequence[Decision], names: Sequence[str]) -> None:
        """Refuse decisions on images that are others, or of another class, than in the run."""
        for each in taken:
            found = self.labels[each.row] if each.row < len(self.labels) else None
            if found is not None and each.id:
                name = names[each.row]
                found = found if each.id in (name, brief(name, MAX_ID), clip(name, MAX_ID)) else None
            if found != each.given_label:
                what = "is not there or is another image" if found is None else f"has label {found[:80]!r}"
                raise self._changed(f"row {each.row}", what, f"trained with {each.given_label[:80]!r}")

    def _changed(self, found: str, what: str, expected: str) -> DataError:
        return DataError(f"{found} of {printable(self.source)} {what}, the run was {expected}: {_CHANGED}")

    def _rows_now(self) -> _Rows:
        """The rows that have labels, with their names and fingerprints as far as they can be had without networks."""
        records = self._records()
        if records is None:
            labeled = np.flatnonzero([bool(label) for label in self.labels])
            return _Rows(rows=labeled, ids=None, fingerprints=None)
        ids = records.ids
        if ids is None and self.kind == IMAGES and records.table is not None and self.options.image:
            ids = ["" if name is None else str(name) for name in records.table[self.options.image]]
        if self.columns is not None and records.table is not None:
            there = set(map(str, records.table.columns))
            gone = next((name for name in self.columns if name not in there), None)
            if gone is not None:
                raise DataError(f"{printable(self.source)} has no column {gone[:80]!r} any more: {_CHANGED}")
        prints = None if self.kind == IMAGES else row_fingerprints(records, self.columns)
        return _Rows(rows=records.rows, ids=None if ids is None else list(map(writable, ids)), fingerprints=prints)

    def _records(self) -> Records | None:
        """The data, read as for training, but for pretrained networks and images."""
        without = {"encoder": None, "backbone": NO_BACKBONE, "weights": None, "fine_tune": None}
        options = replace(self.options, **without)
        if self.inputs is None:
            return None
        if self.kind != IMAGES:
            return read_data(self.inputs, options)
        if self.options.image and self.form.has_columns:  # the names of images, and not these
            return self.form.read(self.inputs, options, training=True).labeled()
        return None

    def _places(self, run: Evidence, now: _Rows) -> NDArray[np.int64]:
        """Where in the rows of now those of the run are."""
        count, known = len(now.rows), len(run.rows)
        by_name = _unique(run.ids) and _unique(now.ids)
        at = dict(zip(now.ids if by_name and now.ids else now.rows.tolist(), range(count), strict=True))
        wanted = run.ids if by_name and run.ids else run.rows.tolist()
        gone = next((place for place, name in enumerate(wanted) if name not in at), None)
        if not self.options.skip_unreadable and count != known:
            told = (
                f"; row {run.rows[gone]} {_called(run, gone)}is not there any more"
                if by_name and gone is not None
                else ""
            )
            raise DataError(
                f"{printable(self.source)} has {count} rows with a label, the run was trained on {known}{told}: "
                f"{_CHANGED}"
            )
        if gone is not None:
            raise self._changed(f"row {run.rows[gone]}", f"{_called(run, gone)}is not there", "trained on it")
        places = np.array([at[name] for name in wanted], dtype=np.int64)
        if not by_name and run.ids is not None and now.ids is not None:
            for place, found in enumerate(places.tolist()):
                if now.ids[found] != run.ids[place]:
                    what = f"is {now.ids[found][:80]!r}"
                    raise self._changed(f"row {run.rows[place]}", what, f"trained with {run.ids[place][:80]!r} there")
        return places

    def _check_labels(self, run: Evidence, rows: NDArray[np.int64]) -> None:
        names = [str(name) for name in run.class_names]
        for row, number in zip(rows.tolist(), run.labels.tolist(), strict=True):
            found = self.labels[row]
            if found != names[number]:
                what = f"has label {found[:80]!r}" if found else "has no label"
                raise self._changed(f"row {row}", what, f"trained with {names[number][:80]!r}")

    def _check_cells(self, run: Evidence, now: _Rows, places: NDArray[np.int64]) -> None:
        if not self.comparable or run.fingerprints is None or now.fingerprints is None:
            return
        differ = np.flatnonzero(run.fingerprints != now.fingerprints[places])
        if len(differ):
            what = "values" if self.columns is None else "cells"
            raise DataError(
                f"{len(differ)} of {len(places)} rows of {printable(self.source)} have other {what} than the run was "
                f"trained on, first row {now.rows[places[differ[0]]]}: {_CHANGED}"
            )

    def write_corrected(self, out: Path, changed: Sequence[Decision]) -> None:
        """Write the copy whole or not at all."""
        example = {name: row for row, name in reversed(list(enumerate(self.labels)))}
        gone = next((each for each in changed if each.label not in example), None)
        if gone:
            what = "row of class" if self.form.has_names else "folder"
            raise DataError(
                f"{printable(self.source)} has no {what} {gone.label[:80]!r} any more: it has changed since the run"
            )
        changes = {each.row: example[each.label] for each in changed}
        new = list(self.labels)
        for each in changed:
            new[each.row] = each.label
        if self.source.is_dir():
            self._write_folder(out, changes, new)
        else:
            files.write_file(out, lambda partial: self._write_file(partial, changes, new))

    def _write_folder(self, out: Path, changes: Changes, new: list[str]) -> None:
        partial = out.with_name(f".{out.name}.partial")
        with files.writing(out):
            if partial.is_symlink():  # what it leads to is not ours
                partial.unlink()
            shutil.rmtree(partial, ignore_errors=True)
            try:
                self.form.write_corrected(self.source, partial, self.options, changes)
                if self.form.has_columns:
                    self._check_copy(partial, new)
                partial.rename(out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _write_file(self, partial: Path, changes: Changes, new: list[str]) -> None:
        copy = partial.with_name(f"{partial.name}{self.source.suffix}")  # the suffix says how to read it
        try:
            self.form.write_corrected(self.source, copy, self.options, changes)
            self._check_copy(copy, new)
            copy.replace(partial)
        finally:
            copy.unlink(missing_ok=True)

    def _check_copy(self, copy: Path, new: list[str]) -> None:
        if self._read(copy) != new:
            raise DataError(
                f"{printable(self.source)} cannot be corrected cell by cell: its rows are not what they seem"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Rows that have labels: their numbers, in ascending order, names and fingerprints."""

    rows: NDArray[np.int64]
    ids: list[str] | None
    fingerprints: NDArray[np.uint64] | None


def _unique(ids: Sequence[str] | None) -> bool:
    """Whether every row has a name of its own."""
    return ids is not None and len(set(ids)) == len(ids) and "" not in ids


def _called(run: Evidence, place: int) -> str:
    return "" if run.ids is None or not run.ids[place] else f"({run.ids[place][:80]!r}) "
