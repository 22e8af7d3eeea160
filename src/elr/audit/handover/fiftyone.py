"""What a run on images found, as a data set of FiftyOne."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.handover.row_source import RowSource
from elr.audit.label_quality import Audit
from elr.errors import OutputError

_PREDICTED = "predicted.json"


def export_fiftyone(
    evidence: Evidence, audit: Audit, folder: Path, *, run: Mapping[str, Any], data: str | Path | None = None
) -> Path:
    """Write all rows as a FiftyOneImageClassificationDataset, with the given labels and a second file of suggestions.

    labels.json has the given label of each image with the attributes label_quality, is_label_issue, predicted_label,
    row and id; predicted.json the suggested class of the label issues with its probability as confidence. Images that
    are files stand by their absolute paths; those of a Parquet file are written to data/.

    Args:
        evidence: of a run on images.
        audit: of that evidence.
        folder: where the files go: new, or empty.
        run: the run.json.
        data: where the data are, if not where the run found them.

    Returns:
        Where the suggestions are.

    Raises:
        ArgumentError: a run on anything but images.
        OutputError: a folder that is there and not empty, or no room.
        DataError: data that are not there any more, have fewer rows, or are no files of images.
        ArtifactError: a damaged run.json.

    Example:
        >>> import numpy as np
        >>> evidence = Evidence(
        ...     rows=np.arange(2), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, "float32"), chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8]], "float32")])
        >>> run = {"data": {"options": {}, "source": "a.csv"}, "preprocessing": {"kind": "text"}}
        >>> export_fiftyone(evidence, evidence.audit(), Path("fiftyone"), run=run)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: FiftyOne shows images, and the run was trained on text: use --export-label-studio, ...

    Source: https://docs.voxel51.com/user_guide/import_datasets.html, section FiftyOneImageClassificationDataset:
    targets with confidences and attributes, images by absolute paths.
    """
    with files.writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} exists already: choose another folder, or empty it")
    positions = range(len(evidence.labels))
    pictures = list(RowSource.of(run, data).pictures(evidence, positions, tool="FiftyOne"))
    inside = folder / "data"
    with files.writing(folder):
        (inside if any(picture.path is None for picture in pictures) else folder).mkdir(parents=True, exist_ok=True)
    names = [str(name) for name in evidence.class_names]
    scores = evidence.probs_of(audit.predicted_labels)
    given: dict[str, Any] = {}
    predicted: dict[str, Any] = {}
    for position, picture in enumerate(pictures):
        if picture.path is None:
            files.write_file(inside / picture.name, _saver(picture.content))
            key = str(Path(picture.name).with_suffix(""))
        else:
            key = str(picture.path.absolute())
        suggested, issue = int(audit.predicted_labels[position]), bool(audit.is_label_issue[position])
        about = {
            "label_quality": round(float(audit.label_quality[position]), 6),
            "is_label_issue": issue,
            "predicted_label": names[suggested],
            "row": int(evidence.rows[position]),
            "id": None if evidence.ids is None else evidence.ids[position],
        }
        about = {name: value for name, value in about.items() if value is not None}
        given[key] = {"label": int(audit.labels[position]), "attributes": about}
        if issue:
            predicted[key] = {"label": suggested, "confidence": float(scores[position])}
    for name, labels in (("labels.json", given), (_PREDICTED, predicted)):
        content = {"classes": names, "labels": labels}
        files.write_text(folder / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return folder / _PREDICTED


def _saver(content: bytes) -> Callable[[Path], object]:
    return lambda partial: partial.write_bytes(content)
