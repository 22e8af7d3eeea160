"""The suspects of a run as tasks of Label Studio."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import pandas as pd

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.labels import Audit
from elr.data import images
from elr.data.records import ReadOptions
from elr.data.tables import TABLE_SUFFIXES, read_table
from elr.errors import ArtifactError, DataError
from elr.files import printable

_MEDIA = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


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
        >>> run = {"data": {"options": {}, "source": "arrays"}, "encoder": {"kind": "features"}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tasks.json"
        ...     interface = export_label_studio(evidence, evidence.audit(), path, run=run)
        ...     [task] = json.loads(path.read_text())
        >>> task["data"]["text"], task["predictions"][0]["result"][0]["value"], interface.name
        ('row 1', {'choices': ['dog']}, 'tasks.xml')
    """
    interface = path.with_suffix(".xml")
    files.check_new(path, ".json")
    files.check_new(interface, ".xml")
    suspects = [position for position in audit.ranking.tolist() if audit.is_label_issue[position]]
    try:
        options = ReadOptions(**run["data"]["options"])
        kind, source = run["encoder"]["kind"], Path(data or run["data"]["source"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"the run.json of this run is damaged ({error!r}): run `elr fit` again") from error
    shown, contents = _contents(kind, source, options, evidence, suspects)
    names = [str(name) for name in evidence.class_names]
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


def _contents(
    kind: str, source: Path, options: ReadOptions, evidence: Evidence, suspects: list[int]
) -> tuple[str, list[dict[str, Any]]]:
    """The tag of Label Studio that shows such data, and the data of each suspect."""
    rows = evidence.rows[suspects].tolist()
    if kind == "features" or (kind == "images" and source.suffix.lower() == ".npz"):
        return "Text", [{"text": f"row {row}"} for row in rows]
    if not source.exists():
        raise DataError(f"the data of the run are not at {printable(source)} any more: name them with --data")
    if kind == "images":
        if source.is_dir():
            ids = evidence.ids or []
            return "Image", [{"image": _local((source / ids[position]).resolve())} for position in suspects]
        return "Image", _data_uris(source, options, rows)
    if source.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{printable(source)} is no table: name the data of the run with --data")
    frame = read_table(source, as_text=[options.text] if options.text else [], as_written=source.suffix != ".parquet")
    if rows and max(rows) >= len(frame):
        raise DataError(
            f"{printable(source)} has {len(frame)} rows, the run had more than {max(rows)}: it is not the data "
            "of this run; name them with --data"
        )
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1).iloc[rows]
    if kind == "text" and options.text in frame:
        return "Text", [{"text": "" if pd.isna(text) else str(text)} for text in frame[options.text].tolist()]
    cells = frame[[column for column in frame.columns if column not in options.apart]]
    texts = cells.astype(object).where(cells.notna(), "").astype(str).to_dict(orient="records")
    return "Text", [{"text": "\n".join(f"{name}: {text}" for name, text in row.items())} for row in texts]


def _local(path: Path) -> str:
    return f"/data/local-files/?d={quote(str(path).lstrip('/'))}"


def _data_uris(source: Path, options: ReadOptions, rows: list[int]) -> list[dict[str, Any]]:
    """The images of some rows of a Parquet file, as they are encoded there."""
    columns = [column for column in images.parquet_image_columns(source) if column not in options.apart]
    if len(columns) != 1:
        raise DataError(f"{printable(source)} has {len(columns)} columns of images, the run had one: name its data")
    wanted = set(rows)
    found = dict(_encoded(source, columns[0], wanted))
    if len(found) < len(wanted):
        raise DataError(f"{printable(source)} has fewer rows than the run: name the data of this run with --data")
    return [{"image": found[row]} for row in rows]


def _encoded(source: Path, column: str, wanted: set[int]) -> Iterator[tuple[int, str]]:
    last = max(wanted, default=-1)
    for row, (encoded, _) in enumerate(islice(images.parquet_images(source, column), last + 1)):
        if row in wanted:
            content = encoded if isinstance(encoded, bytes) else Path(encoded).read_bytes() if encoded else b""
            kind = next((kind for magic, kind in _MEDIA.items() if content.startswith(magic)), "png")
            yield row, f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _interface(tag: str, names: list[str]) -> str:
    """The labeling interface of a project: what is shown, and the classes to choose from."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <{tag} name="data" value="${tag.lower()}"/>\n  <Choices name="label" toName="data" choice="single" '
        f'showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
    )
