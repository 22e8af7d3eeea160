"""The suspects of a run on images as annotations of CVAT."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.handover.row_source import Picture, RowSource, issues_of, without_controls
from elr.audit.label_quality import Audit
from elr.errors import DataError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a ZIP can say: the same run gives the same file
_ATTRIBUTES = ("suggested_label", "label_quality", "row")


def export_cvat(
    evidence: Evidence, audit: Audit, path: Path, *, run: Mapping[str, Any], data: str | Path | None = None
) -> Path:
    """Write the suspects with their images in the format "CVAT for images 1.1": a ZIP of annotations.xml and images/.

    Each image has the given label as its tag, so that nothing changes where nobody looks, with the attributes
    suggested_label, label_quality and row. Images stand in the order of their names, as CVAT numbers them.

    Args:
        evidence: of a run on images.
        audit: of that evidence.
        path: .zip file to write; the labels of the project are written beside it, as .json, for CVAT's "Raw" editor.
        run: the run.json.
        data: where the data are, if not where the run found them.

    Returns:
        Where the labels of the project are.

    Raises:
        ArgumentError: a run on anything but images.
        OutputError: another suffix, an existing file, or no room.
        DataError: data that are not there any more, have fewer rows, or are no files of images.
        ArtifactError: a damaged run.json.

    Example:
        >>> import numpy as np
        >>> evidence = Evidence(
        ...     rows=np.arange(2), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, "float32"), chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8]], "float32")])
        >>> run = {"data": {"options": {}, "source": "a.csv"}, "preprocessing": {"kind": "table"}}
        >>> export_cvat(evidence, evidence.audit(), Path("suspects.zip"), run=run)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: CVAT shows images, and the run was trained on table: use --export-label-studio, ...

    Source: https://docs.cvat.ai/docs/other/xml_format (version 1.1, annotation) and the page on the format CVAT, which
    says what its loader takes.
    """
    labels = path.with_suffix(".json")
    files.check_new(path, ".zip")
    files.check_new(labels, ".json")
    suspects = issues_of(audit)
    names = [without_controls(name) for name in evidence.class_names]
    pictures = list(RowSource.of(run, data).pictures(evidence, suspects, tool="CVAT"))
    said = [
        {
            "given": names[audit.labels[position]],
            "suggested_label": names[audit.predicted_labels[position]],
            "label_quality": f"{float(audit.label_quality[position]):.6f}",
            "row": str(int(evidence.rows[position])),
        }
        for position in suspects
    ]
    ordered = sorted(zip(pictures, said, strict=True), key=lambda pair: pair[0].name)
    files.write_file(path, lambda partial: _write(partial, ordered, names))
    files.write_text(labels, json.dumps(_labels(names), ensure_ascii=False, indent=1) + "\n")
    return labels


def _write(path: Path, ordered: Sequence[tuple[Picture, Mapping[str, str]]], names: Sequence[str]) -> None:
    root = ElementTree.Element("annotations")
    _text(root, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, value in (("name", "label issues"), ("size", str(len(ordered))), ("mode", "annotation")):
        _text(task, name, value)
    labels = ElementTree.SubElement(task, "labels")
    for label in _labels(names):
        _label(labels, label)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, (picture, said)) in enumerate(zip(_printable_names(ordered), ordered, strict=True)):
            content = picture.read()
            root.append(_image(number, name, _size(content, name), said))
            archive.writestr(zipfile.ZipInfo(f"images/{name}", _EPOCH), content)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        archive.writestr(zipfile.ZipInfo("annotations.xml", _EPOCH), text)


def _printable_names(ordered: Sequence[tuple[Picture, object]]) -> list[str]:
    """The names of the images without what XML and archives cannot hold; of two that became one, one gets a number."""
    names: dict[str, None] = {}
    for number, (picture, _) in enumerate(ordered):
        name = without_controls(picture.name)
        names[name if name not in names else f"{number}-{name}"] = None
    return list(names)


def _image(number: int, name: str, size: tuple[int, int], said: Mapping[str, str]) -> ElementTree.Element:
    about = {"id": str(number), "name": name, "width": str(size[0]), "height": str(size[1])}
    image = ElementTree.Element("image", about)
    tag = ElementTree.SubElement(image, "tag", {"label": said["given"], "source": "manual"})
    for name in _ATTRIBUTES:
        ElementTree.SubElement(tag, "attribute", {"name": name}).text = said[name]
    return image


def _labels(names: Sequence[str]) -> list[dict[str, Any]]:
    """What a project of CVAT has to know before it takes the tags."""
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in _ATTRIBUTES
    ]
    return [{"name": name, "type": "tag", "attributes": attributes} for name in names]


def _label(parent: ElementTree.Element, label: Mapping[str, Any]) -> None:
    element = ElementTree.SubElement(parent, "label")
    _text(element, "name", label["name"])
    _text(element, "type", label["type"])
    attributes = ElementTree.SubElement(element, "attributes")
    for each in label["attributes"]:
        attribute = ElementTree.SubElement(attributes, "attribute")
        for name in ("name", "mutable", "input_type", "default_value"):
            _text(attribute, name, str(each[name]))
        _text(attribute, "values", "\n".join(each["values"]))


def _text(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text


def _size(content: bytes, name: str) -> tuple[int, int]:
    """Width and height in pixels."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except Exception as error:  # decoders fail in many ways on damaged files
        raise DataError(f"image {name} cannot be read ({error}): mend the data of the run") from error
