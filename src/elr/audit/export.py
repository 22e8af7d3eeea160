"""What a run found, in the formats of other tools: tables, cleanlab's arrays, tasks of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from elr import files
from elr.audit.evidence import Evidence, read_evidence
from elr.audit.labels import Audit
from elr.data.kinds.catalog import KINDS
from elr.data.kinds.kind import Kind, numbers
from elr.data.reading import file_format
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, DataError, OutputError
from elr.files import printable


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditedRun:
    """A finished run with its audit.

    Args:
        folder: of the run.
        run: its run.json.
        evidence: of the run, or the mean over several.
        audit: of that evidence.
    """

    folder: Path
    run: Mapping[str, Any]
    evidence: Evidence
    audit: Audit

    @classmethod
    def read(cls, folder: Path, *, also: Sequence[Path] = (), score: str = "margin") -> AuditedRun:
        """Read a run, and others on the same data to average with.

        Raises:
            ArtifactError: not the folder of a finished run, or damaged.
            ArgumentError: runs on different data, or an unknown score.
        """
        evidence = read_evidence(folder, *also)
        return cls(folder=folder, run=files.read_run(folder), evidence=evidence, audit=evidence.audit(score=score))

    def suspects(self, top: int) -> pd.DataFrame:
        """The most suspect label issues, at most `top`."""
        table = self.evidence.table(self.audit)
        return table[table["is_label_issue"]].head(top)

    def expected_precision(self) -> dict[str, float]:
        """At some cut-offs of the ranking, their number of rows as text -> the share of wrong labels expected there."""
        issues = self.audit.num_label_issues
        cuts = sorted(
            {cut for cut in (10, 100, 1000, 10_000, 100_000) if cut < issues} | ({issues} if issues else set())
        )
        return {str(cut): float(self.audit.expected_precision[cut - 1]) for cut in cuts}

    def confusions(self, limit: int = 10) -> list[dict[str, Any]]:
        """The pairs of classes most often confused, by name."""
        names = [str(name) for name in self.evidence.class_names]
        return [
            {"given": names[pair.given], "clean": names[pair.clean], "num_rows": pair.num_rows, "rate": pair.rate}
            for pair in self.audit.confusions(limit)
        ]

    def to_json(self, top: int) -> dict[str, Any]:
        """What `elr audit --json` prints."""
        audit = self.audit
        names = [str(name) for name in self.evidence.class_names]
        return {
            "out": str(self.folder),
            "num_examples": len(audit.given_labels),
            "num_classes": len(names),
            "noise_rate": audit.noise_rate,
            "noise_rate_interval": list(audit.noise_rate_interval),
            "num_label_issues": audit.num_label_issues,
            "expected_precision": self.expected_precision(),
            "class_names": names,
            "class_noise_rates": audit.class_noise_rates.tolist(),
            "transition_matrix": audit.transition_matrix.tolist(),
            "confusions": self.confusions(),
            "suspects": json.loads(self.suspects(top).to_json(orient="records")),
        }


def export_table(evidence: Evidence, audit: Audit, path: Path) -> None:
    """Write one line per row, the most suspect first, as .csv or .parquet.

    Raises:
        OutputError: another suffix, an existing file, or no room.
    """
    check_export(path, ".csv", ".parquet")
    table = evidence.table(audit)
    if path.suffix.lower() == ".csv":
        files.write_file(path, lambda partial: table.to_csv(partial, index=False))
    else:
        mixed = [name for name in ("given_label", "predicted_label") if table[name].map(type).nunique() > 1]
        table = table.astype(dict.fromkeys(mixed, str))
        files.write_file(path, lambda partial: table.to_parquet(partial, index=False))


def export_cleanlab(evidence: Evidence, folder: Path) -> None:
    """Write what `cleanlab.filter.find_label_issues(labels, pred_probs)` reads, in the order of the rows.

    pred_probs.npy (N, C) float32, labels.npy (N,) int64, rows.npy (N,) int64 (row of each in the data) and
    class_names.json. The probabilities are ELR's targets: gathered in one training run, not out of sample, which
    cleanlab asks for because a network of plain cross entropy memorizes what it is trained on.

    Raises:
        OutputError: a folder that is there and not empty, or no room.
    """
    with files.writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} exists already: choose another folder, or empty it")
        folder.mkdir(parents=True, exist_ok=True)
    arrays = {"pred_probs": evidence.pred_probs, "labels": evidence.given_labels, "rows": evidence.rows}
    for name, array in arrays.items():
        files.write_file(folder / f"{name}.npy", _saver(array))
    names = [str(name) for name in evidence.class_names]
    files.write_text(folder / "class_names.json", json.dumps(names, ensure_ascii=False) + "\n")


def _saver(array: np.ndarray) -> Callable[[Path], None]:
    def save(partial: Path) -> None:
        with partial.open("wb") as handle:  # np.save would add a suffix to the temporary name
            np.save(handle, array)

    return save


def export_label_studio(
    evidence: Evidence, audit: Audit, path: Path, *, run: Mapping[str, Any], data: str | Path | None = None
) -> Path:
    """Write the suspects as tasks for Label Studio, the worst first, with the suggested class as a prediction.

    A task's data hold the text, the image or the cells of the row, and row, id, given_label, predicted_label and
    label_quality. Images of a folder stand by their path, for a Label Studio that serves local files from the root
    (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/); those of a Parquet file as data URIs.

    Args:
        evidence: of the run.
        audit: of that evidence.
        path: .json file to write; the labeling interface is written beside it, as .xml.
        run: the run.json.
        data: where the data are, if not where the run found them.

    Returns:
        Where the labeling interface is.

    Raises:
        OutputError: another suffix, an existing file, or no room.
        DataError: data that are not there any more, or have fewer rows.
        ArtifactError: a damaged run.json.
    """
    interface = path.with_suffix(".xml")
    check_export(path, ".json")
    check_export(interface, ".xml")
    suspects = [position for position in audit.ranking.tolist() if audit.is_label_issue[position]]
    try:
        options = ReadOptions(**run["data"]["options"])
        kind, source = KINDS[run["encoder"]["kind"]], Path(data or run["data"]["source"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"the run.json of this run is damaged ({error!r}): run `elr fit` again") from error
    shown, contents = _contents(kind, source, options, evidence, suspects)
    names = [str(name) for name in evidence.class_names]
    tasks = []
    for position, content in zip(suspects, contents, strict=True):
        suggested = names[audit.predicted_labels[position]]
        choice = {"from_name": "label", "to_name": "data", "type": "choices", "value": {"choices": [suggested]}}
        quality = float(audit.label_quality[position])
        about = {
            "row": int(evidence.rows[position]),
            "id": None if evidence.ids is None else evidence.ids[position],
            "given_label": names[audit.given_labels[position]],
            "predicted_label": suggested,
            "label_quality": round(quality, 6),
        }
        prediction = {
            "model_version": f"elr {metadata.version('elr')}",
            "score": float(evidence.pred_probs[position, audit.predicted_labels[position]]),
            "result": [choice],
        }
        tasks.append({"data": content | {"elr": about}, "predictions": [prediction]})
    files.write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    files.write_text(interface, _interface(shown, names))
    return interface


def check_export(path: Path, *suffixes: str) -> None:
    """Refuse to write a file of another kind, or over one that is there.

    Raises:
        OutputError: such a path.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path} ends in {path.suffix!r}: expected {' or '.join(suffixes)}")
    with files.writing(path):
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name, or remove it")


def _contents(
    kind: Kind, source: Path, options: ReadOptions, evidence: Evidence, suspects: list[int]
) -> tuple[str, list[dict[str, str]]]:
    """The tag of Label Studio that shows such data, and the data of each suspect."""
    rows = evidence.rows[suspects].tolist()
    form = file_format(source)
    if not (kind.shows_rows and (form is None or form.shows_rows)):
        return numbers(rows)
    if not source.exists():
        raise DataError(f"the data of the run are not at {printable(source)} any more: name them with --data")
    if form is None:
        raise DataError(f"{printable(source)} is no table: name the data of the run with --data")
    ids = [] if evidence.ids is None else [evidence.ids[position] for position in suspects]
    return kind.contents(form, source, options, rows, ids)


def _interface(tag: str, names: list[str]) -> str:
    """The labeling interface of a project: what is shown, and the classes to choose from."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <{tag} name="data" value="${tag.lower()}"/>\n  <Choices name="label" toName="data" choice="single" '
        f'showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
    )
