"""The suspects of a run as tasks of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.handover.row_source import RowSource, issues_of, without_controls
from elr.audit.label_quality import Audit


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

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> evidence = Evidence(
        ...     rows=np.arange(2), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, "float32"), chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8]], "float32")])
        >>> run = {"data": {"options": {}, "source": "arrays"}, "preprocessing": {"kind": "features"}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tasks.json"
        ...     interface = export_label_studio(evidence, evidence.audit(), path, run=run)
        ...     [task] = json.loads(path.read_text())
        >>> task["data"]["text"], task["predictions"][0]["result"][0]["value"], interface.name
        ('row 1', {'choices': ['dog']}, 'tasks.xml')

    Source: https://labelstud.io/guide/predictions (basic Label Studio JSON: data and predictions, each with
    model_version, score and result) and https://labelstud.io/tags/choices.
    """
    interface = path.with_suffix(".xml")
    files.check_new(path, ".json")
    files.check_new(interface, ".xml")
    suspects = issues_of(audit)
    shown, contents = RowSource.of(run, data).contents(evidence, suspects)
    names = [without_controls(name) for name in evidence.class_names]
    scores = evidence.probs_of(audit.predicted_labels)
    tasks = []
    for position, content in zip(suspects, contents, strict=True):
        suggested = names[audit.predicted_labels[position]]
        choice = {"from_name": "label", "to_name": "data", "type": "choices", "value": {"choices": [suggested]}}
        quality = float(audit.label_quality[position])
        about = {
            "row": int(evidence.rows[position]),
            "id": None if evidence.ids is None else evidence.ids[position],
            "given_label": names[audit.labels[position]],
            "predicted_label": suggested,
            "label_quality": round(quality, 6),
        }
        prediction = {
            "model_version": f"elr {metadata.version('elr')}",
            "score": float(scores[position]),
            "result": [choice],
        }
        tasks.append({"data": content | {"elr": about}, "predictions": [prediction]})
    files.write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    files.write_text(interface, _interface(shown, names))
    return interface


def _interface(tag: str, names: list[str]) -> str:
    """The labeling interface of a project: what is shown, and the classes to choose from."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <{tag} name="data" value="${tag.lower()}"/>\n  <Choices name="label" toName="data" choice="single" '
        f'showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
    )
