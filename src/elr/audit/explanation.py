"""Why a label is suspect: its course over the epochs, what blind networks say, and the rows nearest to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from elr import files
from elr.audit.audited_run import AuditedRun
from elr.errors import ArgumentError, ArtifactError

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
        votes: for each setting of the ensemble, what its network that never saw this label says: network, says,
            probability, given_probability. Empty for other methods.
        neighbors: the nearest rows, the nearest first: row, id, given_label, is_label_issue, distance.
        space: in which they are nearest; "" where they are not known.
        notes: what is not known, and why.

    Example:
        >>> why = Explanation(
        ...     row=7, id=None, given_label="cat", predicted_label="dog", label_quality=0.1, is_label_issue=True,
        ...     epochs=[1, 2], given_course=[0.5, 0.2], favored_course=[0.5, 0.8], blind=True, votes=[],
        ...     neighbors=[], space="", notes=[])
        >>> print(why.text())
        Row 7: given cat, the evidence favors dog (quality 0.100, a suspect).
        Course (by networks that never saw this label): epoch 1: cat 50 %, dog 50 %; epoch 2: cat 20 %, dog 80 %.
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
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

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
            whose = "networks that never saw this label" if self.blind else "networks that were trained on this label"
            chosen = sorted({round(k * (len(self.epochs) - 1) / 5) for k in range(6)})
            lines.append(f"Course (by {whose}): {'; '.join(map(self._epoch, chosen))}.")
        if self.votes:
            given = sum(vote["says"] == self.given_label for vote in self.votes)
            lines.append(f"{given} of {len(self.votes)} networks that never saw this label say {self.given_label}:")
            lines += [f"  {v['network']}: {v['says']} {_percent(v['probability'])}" for v in self.votes]
        if self.neighbors:
            lines.append(f"Nearest rows (by {self.space}):")
            lines += [
                f"  row {n['row']}{'' if n['id'] is None else ' (' + n['id'] + ')'}: {n['given_label']}"
                f"{' (itself a suspect)' if n['is_label_issue'] else ''}, distance {n['distance']:.3g}"
                for n in self.neighbors
            ]
        return "\n".join([*lines, *self.notes])

    def _epoch(self, k: int) -> str:
        said = f"epoch {self.epochs[k]}: {self.given_label} {_percent(self.given_course[k])}"
        same = self.given_label == self.predicted_label
        return said if same else f"{said}, {self.predicted_label} {_percent(self.favored_course[k])}"


def _percent(value: float | None) -> str:
    return "not said" if value is None else f"{100 * value:.0f} %"


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
    audited = AuditedRun.read(Path(run))
    evidence, audit = audited.evidence, audited.audit
    place = _position(audited, row)
    line, epochs, space = _line(audited, place)
    names = [str(name) for name in evidence.class_names]
    votes = np.asarray(line["votes"], dtype=np.float64).reshape(-1, 3)
    settings = [each["text"] for each in (audited.run.get("choice") or {}).get("settings", [])]
    notes = [] if epochs else ["Its course was not kept: too many rows and classes for the room of 64 MiB."]
    if line["neighbors"] is None:
        notes.append(
            "Its nearest rows are not known: they are kept for the worst suspects, and not for images on disk."
        )
    label = lambda at: names[int(at)]  # noqa: E731
    return Explanation(
        row=int(evidence.rows[place]),
        id=None if evidence.ids is None else evidence.ids[place],
        given_label=label(audit.labels[place]),
        predicted_label=label(audit.predicted_labels[place]),
        label_quality=float(audit.label_quality[place]),
        is_label_issue=bool(audit.is_label_issue[place]),
        epochs=epochs,
        given_course=_said(line["given"]),
        favored_course=_said(line["favored"]),
        blind=evidence.out_of_fold,
        votes=[
            {"network": network, "says": label(vote[0]), "probability": vote[1], "given_probability": vote[2]}
            for network, vote in zip(settings, votes.tolist(), strict=True)
        ]
        if len(votes)
        else [],
        neighbors=[
            {
                "row": int(evidence.rows[at]),
                "id": None if evidence.ids is None else evidence.ids[at],
                "given_label": label(audit.labels[at]),
                "is_label_issue": bool(audit.is_label_issue[at]),
                "distance": distance,
            }
            for at, distance in json.loads(line["neighbors"] or "[]")
        ],
        space=space,
        notes=notes,
    )


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
        raise ArgumentError(f"{many}: expected the number of one row or its id, as issues.csv has them")
    return found[0]


def _line(audited: AuditedRun, place: int) -> tuple[dict[str, Any], list[int], str]:
    path = audited.folder / files.EXPLANATIONS_FILE
    if not path.exists():
        raise ArtifactError(f"{audited.folder} has no {path.name}: it was trained without it; {_ADVICE}")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        about = table.schema.metadata or {}
        line, epochs = table.slice(place, 1).to_pylist()[0], json.loads(about[b"epochs"])
        if table.num_rows != len(audited.evidence.rows) or not len(line["given"]) == len(line["favored"]) == len(
            epochs
        ):
            raise ValueError("it is of another run")
        return line, epochs, about[b"space"].decode()
    except (OSError, pa.ArrowException, KeyError, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): {_ADVICE}") from error


def _said(values: Sequence[float]) -> list[float | None]:
    return [None if value != value else value for value in values]
