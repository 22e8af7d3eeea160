"""Corrections that a person accepted, applied to a copy of the data; the original is only read."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from elr import files
from elr.audit.evidence import read_evidence
from elr.audit.suspects import MAX_ID, clip
from elr.audit.tables.lines import without_formulas
from elr.data.formats.format import Changes, FileFormat
from elr.data.kinds.catalog import KINDS
from elr.data.label_coding import LabelCoding
from elr.data.reading import file_format, file_suffixes
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, DataError, OutputError
from elr.names import printable, similar_name

COLUMNS = ("row", "id", "given_label", "decision", "label")
DECISIONS = ("accept", "keep", "relabel")


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What `clean` did.

    Args:
        out: the corrected copy.
        num_decisions: decisions read.
        num_changed: labels that are another one in the copy.

    Example:
        >>> done = Cleaned(out=Path("pets-cleaned.csv"), num_decisions=12, num_changed=9)
        >>> f"{done.num_changed} of {done.num_decisions} decisions changed a label"
        '9 of 12 decisions changed a label'
    """

    out: Path
    num_decisions: int
    num_changed: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line of decisions.csv.

    Args:
        line: where it stands in the file, from 1.
        row: row of the data, from 0.
        id: name of the row, maybe clipped; "" if it has none.
        given_label: label in the data.
        decision: accept, keep or relabel.
        label: what it shall be.

    Example:
        >>> one = Decision(line=2, row=7, id="a.png", given_label="cat", decision="accept", label="dog")
        >>> one.label != one.given_label
        True
    """

    line: int
    row: int
    id: str
    given_label: str
    decision: str
    label: str


def clean(folder: str | Path, decisions: str | Path, out: str | Path, *, data: str | Path | None = None) -> Cleaned:
    """Apply accepted corrections to a copy of the data that a run was trained on.

    The copy has the format of the original: a table keeps every other cell as it is written, a Parquet file its types
    and metadata, an .npz its other arrays; in a folder of images the corrected files lie in the folder of their new
    class. Of an .npy the file of labels is written. It is written whole or not at all.

    Args:
        folder: of a run of `elr fit`.
        decisions: decisions.csv, as the report exports it.
        out: where the copy goes; nothing may be there yet.
        data: where the data lie now, if they have moved.

    Raises:
        ArtifactError: no finished run, or a damaged one.
        DataError: the data or decisions are not there, cannot be corrected, or do not belong to the run.
        OutputError: `out` exists, lies inside the data, has another suffix, or cannot be written.

    Example:
        >>> clean("no-such-run", "decisions.csv", "cleaned.csv")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    folder, out = Path(folder), Path(out)
    run = files.read_run(folder)
    try:
        source, form = _source(run, data)
        coding = LabelCoding.stored(run["preprocessing"])
        options = ReadOptions(**run["data"]["options"])
        named = KINDS[run["preprocessing"]["kind"]].named_classes
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): run `elr fit` again") from error
    _check_out(out, source)
    taken = _in_one_spelling(_read_decisions(Path(decisions)), coding)
    _check_decisions(taken, folder, [str(name) for name in coding.class_names], Path(decisions))
    changed = [each for each in taken if each.label != each.given_label]
    given = _Labels(form, source, options, coding=coding, named=named)
    given.check(taken)
    given.write_corrected(out, changed)
    return Cleaned(out=out, num_decisions=len(taken), num_changed=len(changed))


def _source(run: Mapping[str, Any], data: str | Path | None) -> tuple[Path, FileFormat]:
    """Where the data of a run lie, or its labels if they have a file of their own, and in which format."""
    about = run["data"]
    source, made = about["source"], about["source"].startswith("digits (") and not Path(about["source"]).exists()
    if about["noise"] is not None or "recipe" in run["config"] or made:
        raise DataError(
            f"the labels of this run ({source}) were corrupted or replaced for an experiment: there is nothing to "
            "correct; `elr clean` is for runs of `elr fit DATA` without --noise"
        )
    if about["options"].get("annotators") or about["options"].get("annotations"):
        raise DataError(
            f"this run was trained on the labels of several annotators ({source}): there is no one label of a row to "
            "correct; issues.csv in its folder has what to put in their place"
        )
    if source == "arrays" or (source == "a data frame" and data is None):
        instead = "; write the same rows to a file and name it with --data (data=...)" if source != "arrays" else ""
        raise DataError(f"this run was trained on {source} in memory: expected one on a file{instead}")
    path = Path(about["source"] if data is None else data)
    label = about["options"]["label"]
    if data is None and (form := file_format(path)) is not None:
        path = form.label_file(path, label)
    if not path.exists():
        place = f"{printable(path)} (looked for from {Path.cwd()}){similar_name(path)}"
        raise DataError(f"no such file: {place}: name the data with --data")
    form = file_format(path)
    either = form is not None and (form.file_or_folder or (path.is_dir() and form.has_columns))
    if path.is_dir() == bool(label) and not either:
        found, wanted = ("a folder", "a file") if label else ("a file", "a folder of images")
        raise DataError(f"{printable(path)} is {found}, the run was trained on {wanted}: name that with --data")
    if form is None:
        expected = ", ".join(file_suffixes())
        raise DataError(f"{printable(path)} ends in {path.suffix!r}: expected {expected}, or a folder of images")
    return path, form


def _check_out(out: Path, source: Path) -> None:
    with files.writing(out):
        if out.exists() or out.is_symlink():
            raise OutputError(f"{out} exists already: choose another --out, or remove it")
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise OutputError(f"{out} lies inside the data, {printable(source)}: choose an --out beside them")
    if not source.is_dir() and out.suffix.lower() != source.suffix.lower():
        raise OutputError(f"{out} ends in {out.suffix!r}: the copy has the format of the data, {source.suffix!r}")


def _read_decisions(path: Path) -> list[Decision]:
    """The lines of decisions.csv; texts come exactly as they were exported."""
    name = printable(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise DataError(
                    f"{name} has the columns {', '.join(header) or 'of no file'}: expected {','.join(COLUMNS)}"
                )
            return [_decision(cells, reader.line_num, name) for cells in reader if cells]
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): export decisions.csv from the report") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{name} is damaged ({error}): export decisions.csv from the report again") from error


def _decision(cells: Sequence[str], line: int, name: str) -> Decision:
    if len(cells) != len(COLUMNS):
        raise DataError(f"line {line} of {name} has {len(cells)} cells: expected {len(COLUMNS)}, {','.join(COLUMNS)}")
    row, id_, given, decision, label = cells
    if not (row.isascii() and row.isdigit() and len(row) < 19):
        raise DataError(f"line {line} of {name} has row {row[:80]!r}: expected the number of a row, from 0")
    if decision not in DECISIONS:
        raise DataError(f"line {line} of {name} has decision {decision[:80]!r}: expected {', '.join(DECISIONS)}")
    return Decision(line=line, row=int(row), id=id_, given_label=given, decision=decision, label=label)


def _in_one_spelling(taken: Sequence[Decision], coding: LabelCoding) -> list[Decision]:
    """Decisions with classes in the spelling of the run."""
    shown = dict(zip(without_formulas(coding.class_names), coding.class_names, strict=True))  # as issues.csv has them
    known = set(coding.class_names)
    given, labels = (
        coding.canonical([label if label in known else str(shown.get(label, label)) for label in column])
        for column in ([each.given_label for each in taken], [each.label for each in taken])
    )
    return [replace(each, given_label=old, label=new) for each, old, new in zip(taken, given, labels, strict=True)]


def _check_decisions(taken: Sequence[Decision], folder: Path, class_names: Sequence[str], path: Path) -> None:
    """Refuse decisions that do not belong to the run, or contradict themselves."""
    known = _known(folder, [each.row for each in taken])
    seen: dict[int, int] = {}
    for each in taken:
        place = f"line {each.line} of {printable(path)}"
        if each.row not in known:
            raise DataError(f"{place} is about row {each.row}, which the run in {folder} was not trained on")
        if each.row in seen:
            raise DataError(f"{place} decides on row {each.row} again, after line {seen[each.row]}: remove one of them")
        seen[each.row] = each.line
        given, predicted, name = known[each.row]
        if each.given_label != given:
            raise DataError(
                f"{place} has given label {each.given_label[:80]!r} for row {each.row}, the run in {folder} was "
                f"trained with {given[:80]!r}: give the decisions of this run"
            )
        names = [name, clip(name, MAX_ID)] if name else []
        if each.id and names and each.id not in (*names, *without_formulas(names)):
            raise DataError(f"{place} names row {each.row} {each.id[:80]!r}, the run in {folder} {name[:80]!r}")
        if each.label not in class_names:
            raise DataError(
                f"{place} has label {each.label[:80]!r}: expected a class of the run, such as {given[:80]!r}"
            )
        expected = {"accept": predicted, "keep": given}.get(each.decision, each.label)
        if each.label != expected:
            raise DataError(
                f"{place} says {each.decision}, but has label {each.label[:80]!r}: expected {expected[:80]!r}, or "
                "relabel as its decision"
            )


def _known(folder: Path, rows: Sequence[int]) -> dict[int, tuple[str, str, str]]:
    """Of those rows that the run was trained on: the given label, the one that the evidence favors, and the name."""
    evidence = read_evidence(folder)
    names = [str(name) for name in evidence.class_names]
    predicted = evidence.audit().predicted_labels
    return {
        int(evidence.rows[place]): (
            names[evidence.labels[place]],
            names[predicted[place]],
            evidence.ids[place] if evidence.ids is not None else "",
        )
        for place in map(int, np.flatnonzero(np.isin(evidence.rows, rows)))
    }


class _Labels:
    """The labels of some data, as they are now.

    Args:
        form: the format of the data.
        source: where they are.
        options: how they were read.
        coding: the classes of the run.
        named: see `FileFormat.labels`.
    """

    def __init__(
        self, form: FileFormat, source: Path, options: ReadOptions, *, coding: LabelCoding, named: bool
    ) -> None:
        self.form, self.source, self.options, self.coding, self.named = form, source, options, coding, named
        self.labels = self._read(source)
        self.ids = form.ids(source)

    def _read(self, source: Path) -> list[str]:
        """The class of each row, in the spelling of the run."""
        return self.coding.canonical(self.form.labels(source, self.options, named=self.named))

    def check(self, taken: Sequence[Decision]) -> None:
        """Refuse decisions on rows that have changed since the run."""
        for each in taken:
            found = self.labels[each.row] if each.row < len(self.labels) else None
            if found is not None and self.ids is not None and each.id:
                same = clip(self.ids[each.row], MAX_ID) == clip(each.id, MAX_ID)
                found = found if same else None
            if found != each.given_label:
                what = "is not there or is another image" if found is None else f"has label {found[:80]!r}"
                raise DataError(
                    f"row {each.row} of {printable(self.source)} {what}, the run was trained with "
                    f"{each.given_label[:80]!r}: the data have changed since; train again, or name those of "
                    "the run with --data"
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
