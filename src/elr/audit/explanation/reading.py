"""Why a label is suspect: its course over the epochs, what blind networks say, and the rows nearest to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from elr import files
from elr.audit.explanation.differences import Difference
from elr.checking import checked
from elr.errors import ArgumentError, ArtifactError
from elr.names import plain_name

if TYPE_CHECKING:
    from elr.audit.audited_run import AuditedRun

_SHOWN = 40
_ADVICE = "repeat the command of the run into a new folder"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a run knows about one label.

    Args:
        row: of the data, as issues.csv has it.
        id: its name, or None.
        given_label: in the data.
        predicted_label: what the evidence favors.
        label_quality: in [0, 1], low = suspect.
        is_label_issue: whether it is a suspect.
        epochs: that were kept, from 1.
        given_course: how probable the given class was in each of them; None where nothing was said.
        favored_course: the same of the class that the evidence favors.
        blind: whether the course is of networks that never saw this label.
        votes: for each setting of the ensemble, what its network that never saw this label says at the end: network,
            says, probability, given_probability, chosen (whether the evidence is of that setting; these first). Empty
            for other methods.
        neighbors: the nearest rows, the nearest first: row, id, given_label, is_label_issue, distance, contents (in
            short, of tables and texts).
        space: in which they are nearest; "" where they are not known.
        differences: of a table, the columns that speak most for the given or the suggested class: column, value, alike
            (values that count as like it), share_given and share_predicted (how many of either class's other rows that
            are no suspects have such a value); see `elr.audit.explanation.differences`.
        notes: what is not known, and why.

    Example:
        >>> why = Explanation(
        ...     row=7, id=None, given_label="cat", predicted_label="dog", label_quality=0.1, is_label_issue=True,
        ...     epochs=[1, 2], given_course=[0.5, 0.2], favored_course=[0.5, 0.8], blind=True, votes=[],
        ...     neighbors=[], space="", differences=[], notes=[])
        >>> print(why)
        Row 7: given cat, the evidence favors dog (quality 0.100, a suspect).
        Course (by all networks that never saw this label): epoch 1: cat 50 %, dog 50 %; epoch 2: cat 20 %, dog 80 %.
    """

    row: int
    id: str | None
    given_label: str
    predicted_label: str
    label_quality: float
    is_label_issue: bool
    epochs: Sequence[int]
    given_course: Sequence[float | None]
    favored_course: Sequence[float | None]
    blind: bool
    votes: Sequence[Mapping[str, Any]]
    neighbors: Sequence[Mapping[str, Any]]
    space: str
    differences: Sequence[Mapping[str, Any]]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def in_short(self) -> dict[str, Any]:
        """What the report shows of it, beside what it shows anyway: shares in percent, at most `_SHOWN` epochs."""
        last = max(1, len(self.epochs) - 1)
        shown = sorted({round(k * last / (_SHOWN - 1)) for k in range(_SHOWN)} & set(range(len(self.epochs))))
        return {
            "blind": self.blind,
            "epochs": [self.epochs[k] for k in shown],
            "given": [_whole_percent(self.given_course[k]) for k in shown],
            "favored": [_whole_percent(self.favored_course[k]) for k in shown],
            "votes": [
                [vote["network"], vote["says"], _whole_percent(vote["probability"]), vote["chosen"]]
                for vote in self.votes
            ],
            "space": self.space,
            "neighbors": [
                [n["row"], n["id"], n["given_label"], n["is_label_issue"], float(f"{n['distance']:.3g}"), n["contents"]]
                for n in self.neighbors
            ],
            "differences": [
                [d["column"], d["value"], d["alike"], *map(_whole_percent, (d["share_given"], d["share_predicted"]))]
                for d in self.differences
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The same in words, some lines."""
        about = f"Row {self.row}" + ("" if self.id is None else f" ({self.id})")
        favors = (
            "the evidence agrees"
            if self.given_label == self.predicted_label
            else f"the evidence favors {self.predicted_label}"
        )
        verdict = "a suspect" if self.is_label_issue else "no suspect"
        lines = [f"{about}: given {self.given_label}, {favors} (quality {self.label_quality:.3f}, {verdict})."]
        if self.epochs:
            whose = "all networks that never saw this label" if self.blind else "networks that were trained on it"
            chosen = sorted({round(k * (len(self.epochs) - 1) / 5) for k in range(6)})
            lines.append(f"Course (by {whose}): {'; '.join(map(self._epoch, chosen))}.")
        if self.votes:
            given = sum(vote["says"] == self.given_label for vote in self.votes)
            lines.append(f"{given} of {len(self.votes)} networks that never saw this label say {self.given_label}:")
            lines += map(_vote, self.votes)
        if self.neighbors:
            lines.append(f"Nearest rows (by {self.space}):")
            lines += map(_neighbor, self.neighbors)
        if self.differences:
            lines.append(f"Columns that differ, by how many rows have a value like it, of {self.given_label} and of ")
            lines[-1] += f"{self.predicted_label}:"
            lines += map(_difference, self.differences)
        return "\n".join([*lines, *self.notes])

    def _epoch(self, k: int) -> str:
        said = f"epoch {self.epochs[k]}: {self.given_label} {_percent(self.given_course[k])}"
        same = self.given_label == self.predicted_label
        return said if same else f"{said}, {self.predicted_label} {_percent(self.favored_course[k])}"


def _whole_percent(value: float | None) -> int | None:
    return None if value is None else round(100 * value)


def _vote(vote: Mapping[str, Any]) -> str:
    chosen = " (chosen: decides)" if vote["chosen"] else ""
    return f"  {vote['network']}{chosen}: {vote['says']} {_percent(vote['probability'])}"


def _rounded(distance: float) -> str:
    """Three digits, or all before the point: 0.0123, 4,630."""
    return f"{distance:.3g}" if distance < 999.5 else f"{distance:,.0f}"


def _neighbor(near: Mapping[str, Any]) -> str:
    about = f"row {near['row']}" + ("" if near["id"] is None else f" ({near['id']})")
    suspect = " (itself a suspect)" if near["is_label_issue"] else ""
    contents = f": {near['contents']}" if near["contents"] else ""
    return f"  {about}: {near['given_label']}{suspect}, distance {_rounded(near['distance'])}{contents}"


def _difference(found: Mapping[str, Any]) -> str:
    alike = "" if found["alike"] == found["value"] else f" ({found['alike']})"
    shares = f"{_percent(found['share_given'])} and {_percent(found['share_predicted'])}"
    return f"  {found['column']} {found['value']}{alike}: {shares}"


def _percent(value: float | None) -> str:
    return "not said" if value is None else f"{100 * value:.0f} %"


@checked
def explain(run: str | Path, row: int | str) -> Explanation:
    """Why a label of a finished run is suspect, or is not.

    Args:
        run: folder of a run of `elr fit`.
        row: its number, as in issues.csv; or its id, as text.

    Raises:
        ArtifactError: no finished run, a damaged one, or one that was trained before explanations were kept.
        ArgumentError: no such row, or an id that several rows have.

    Example:
        >>> explain("no-such-run", 3)
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    from elr.audit.audited_run import AuditedRun  # here, for a shorter chain of imports

    return Explanations(AuditedRun.read(Path(run))).of(row)


class Explanations:
    """What a run knows about its labels, read once for many of them.

    Args:
        audited: the run.

    Raises:
        ArtifactError: damaged, or of a run that was trained before explanations were kept.

    Example:
        >>> import tempfile
        >>> from elr.audit.audited_run import AuditedRun
        >>> from elr.runs.fit import fit
        >>> from elr.runs.fit_config import FitConfig
        >>> inputs, labels = np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fitted = fit((inputs, labels), out=Path(folder) / "run", config=FitConfig(epochs=2)).fitted
        ...     explanations = Explanations(AuditedRun.read(fitted.out))
        >>> [len(explanations.of(row).epochs) for row in (3, 8)]
        [2, 2]
    """

    def __init__(self, audited: AuditedRun) -> None:
        self.audited = audited
        self._names = [str(name) for name in audited.evidence.class_names]
        choice = audited.run.get("choice") or {}
        try:
            self._settings = [str(each["text"]) for each in choice.get("settings", [])]
            self._chosen = {each["setting"] for each in choice.get("candidates", []) if each["chosen"]}
        except (AttributeError, KeyError, TypeError) as error:
            raise ArtifactError(f"run.json in {audited.folder} is damaged ({error!r}): {_ADVICE}") from error
        self._path = audited.folder / files.EXPLANATIONS_FILE
        self._lines, self._epochs, self._space = self._read()

    def of(self, row: int | str) -> Explanation:
        """Of one label, by the number or the id of its row.

        Raises:
            ArtifactError: its line is damaged.
            ArgumentError: no such row, or an id that several rows have.
        """
        evidence, audit, names = self.audited.evidence, self.audited.audit, self._names
        place = _position(self.audited, row)
        try:
            line = self._lines.slice(place, 1).to_pylist()[0]
            votes = np.asarray(line["votes"], dtype=np.float64).reshape(-1, 3).tolist()
            return Explanation(
                row=int(evidence.rows[place]),
                id=None if evidence.ids is None else evidence.ids[place],
                given_label=names[audit.labels[place]],
                predicted_label=names[audit.predicted_labels[place]],
                label_quality=float(audit.label_quality[place]),
                is_label_issue=bool(audit.is_label_issue[place]),
                epochs=self._epochs,
                given_course=_said(line["given"]),
                favored_course=_said(line["favored"]),
                blind=evidence.out_of_fold,
                votes=self._votes(votes),
                neighbors=[self._neighbor(*each) for each in json.loads(line["neighbors"] or "[]")],
                space=self._space,
                differences=[Difference(*each)._asdict() for each in json.loads(line["differences"] or "[]")],
                notes=self._notes(line),
            )
        except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{self._path} is damaged ({error}): {_ADVICE}") from error

    def _votes(self, votes: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
        told = [
            {
                "network": network,
                "says": self._names[int(says)],
                "probability": most,
                "given_probability": given,
                "chosen": number in self._chosen,
            }
            for number, (network, (says, most, given)) in enumerate(
                zip(self._settings if votes else [], votes, strict=True)
            )
        ]
        return sorted(told, key=lambda vote: not vote["chosen"])

    def _neighbor(self, at: int, distance: float, contents: str | None) -> dict[str, Any]:
        evidence, audit = self.audited.evidence, self.audited.audit
        return {
            "row": int(evidence.rows[at]),
            "id": None if evidence.ids is None else evidence.ids[at],
            "given_label": self._names[audit.labels[at]],
            "is_label_issue": bool(audit.is_label_issue[at]),
            "distance": distance,
            "contents": contents,
        }

    def _notes(self, line: Mapping[str, Any]) -> list[str]:
        notes = [] if self._epochs else ["Its course was not kept: too many rows and classes for the room of 64 MiB."]
        if line["neighbors"] is None:
            notes.append(
                "Its nearest rows are not known: they are kept for the most suspect rows, and not for images on disk."
            )
        return notes

    def _read(self) -> tuple[pa.Table, list[int], str]:
        path = self._path
        if not path.exists():
            raise ArtifactError(f"{path.parent} has no {path.name}: it was trained without it; {_ADVICE}")
        try:
            with plain_name(path) as named:
                table = pq.read_table(named, page_checksum_verification=True)
            about = table.schema.metadata or {}
            epochs, space = json.loads(about[b"epochs"]), about[b"space"].decode()
            lengths = [
                table[name].combine_chunks().value_lengths().unique().to_pylist() for name in ("given", "favored")
            ]
            if table.num_rows != len(self.audited.evidence.rows) or lengths != [[len(epochs)]] * 2:
                raise ValueError("it is of another run")
            return table, epochs, space
        except (OSError, pa.ArrowException, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{path} is damaged ({error}): {_ADVICE}") from error


def _position(audited: AuditedRun, row: int | str) -> int:
    """Where the row stands among the training examples."""
    if isinstance(row, bool) or not isinstance(row, int | str):
        raise ArgumentError(f"row is {row!r}: expected the number of a row, or its id as text")
    rows, ids = audited.evidence.rows, audited.evidence.ids
    if isinstance(row, int):
        found = np.flatnonzero(rows == row).tolist()
    else:
        found = [place for place, name in enumerate(ids or ()) if name == row]
    if len(found) != 1:
        what = f"row {row}" if isinstance(row, int) else f"row with the id {row!r}"
        many = f"{len(found)} rows have the id {row!r}" if found else f"the run has no {what}"
        numbers = f"a row number, {rows.min()} to {rows.max()}"
        raise ArgumentError(f"{many}: expected {numbers}, or the id of one row, as issues.csv has them")
    return found[0]


def _said(values: Sequence[float]) -> list[float | None]:
    return [None if value != value else value for value in values]
