"""Corrections that a person accepted, applied to a copy of the data; the original is only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from elr import files
from elr.audit.cleaning.decision_file import Decision, read_decisions, run_name
from elr.audit.cleaning.labels_now import LabelsNow
from elr.audit.evidence import Evidence, read_evidence
from elr.audit.suspects import MAX_ID, brief, clip
from elr.audit.tables.lines import without_formulas
from elr.data.formats.format import FileFormat
from elr.data.kinds.catalog import KINDS
from elr.data.label_coding import LabelCoding
from elr.data.reading import file_format, file_suffixes
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, DataError, OutputError
from elr.names import printable, similar_name


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
        now = LabelsNow(
            form=form,
            source=source,
            inputs=_inputs(run, source, form, moved=data is not None),
            options=ReadOptions(**run["data"]["options"]),
            coding=LabelCoding.stored(run["preprocessing"]),
            kind=run["preprocessing"]["kind"],
            columns=None if run["preprocessing"]["columns"] is None else list(run["preprocessing"]["columns"]),
            comparable=run["data"]["source"] != "a data frame",
        )
        name = run_name(run)
        KINDS[now.kind]  # one that is known
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): run `elr fit` again") from error
    _check_out(out, source)
    evidence = read_evidence(folder)
    taken = _in_one_spelling(read_decisions(Path(decisions), run=name, folder=folder), now.coding)
    _check_decisions(taken, evidence, folder, Path(decisions))
    taken = now.located(taken, evidence)
    changed = [each for each in taken if each.label != each.given_label]
    now.write_corrected(out, changed)
    return Cleaned(out=out, num_decisions=len(taken), num_changed=len(changed))


def _inputs(run: Mapping[str, Any], source: Path, form: FileFormat, *, moved: bool) -> Path | None:
    """Where the rows of a run lie; None where only their labels are known to have moved to `source`."""
    beside = form.label_file(Path("inputs"), "labels") != Path("inputs")
    return source if not beside else None if moved else Path(run["data"]["source"])


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


def _in_one_spelling(taken: Sequence[Decision], coding: LabelCoding) -> list[Decision]:
    """Decisions with classes in the spelling of the run."""
    shown = dict(zip(without_formulas(coding.class_names), coding.class_names, strict=True))  # as issues.csv has them
    known = set(coding.class_names)
    given, labels = (
        coding.canonical([label if label in known else str(shown.get(label, label)) for label in column])
        for column in ([each.given_label for each in taken], [each.label for each in taken])
    )
    return [replace(each, given_label=old, label=new) for each, old, new in zip(taken, given, labels, strict=True)]


def _check_decisions(taken: Sequence[Decision], evidence: Evidence, folder: Path, path: Path) -> None:
    """Refuse decisions that do not belong to the run, or contradict themselves."""
    known = _known(evidence, [each.row for each in taken])
    class_names = {str(name) for name in evidence.class_names}
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
        names = [name, brief(name, MAX_ID), clip(name, MAX_ID)] if name else []  # as pages have it, and older ones
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


def _known(evidence: Evidence, rows: Sequence[int]) -> dict[int, tuple[str, str, str]]:
    """Of those rows that the run was trained on: the given label, the one that the evidence favors, and the name."""
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
