import json
import zipfile
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import elr
from elr.audit.audited_run import AuditedRun
from elr.audit.handover.cvat import export_cvat
from elr.errors import ArgumentError, DataError


def test_a_table_is_refused_with_a_way_out(audited, tmp_path):
    with pytest.raises(ArgumentError, match="CVAT shows images, and the run was trained on table: use --export-label"):
        export_cvat(audited.evidence, audited.audit, tmp_path / "a.zip", run=audited.run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "parquet"])
def test_given_labels_are_tags_and_the_images_lie_beside_them(noisy_images, name, tmp_path):
    found, contents = noisy_images[name]
    path = tmp_path / "suspects.zip"
    labels = json.loads(export_cvat(found.evidence, found.audit, path, run=found.run).read_text())
    assert [label["name"] for label in labels] == ["bright & <new>", "dark"]
    assert {label["type"] for label in labels} == {"tag"}
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
        images = root.findall("image")
        assert len(images) == found.audit.num_label_issues == 2
        assert [image.get("id") for image in images] == ["0", "1"]
        names = [image.get("name") for image in images]
        assert names == sorted(names)
        for image in images:
            tag = image.find("tag")
            said = {each.get("name"): each.text for each in tag}
            row = int(said["row"])
            assert archive.read(f"images/{image.get('name')}") == contents[row][0]
            assert (tag.get("label"), tag.get("source")) == (contents[row][1], "manual")
            assert said["suggested_label"] != tag.get("label")
            assert 0 <= float(said["label_quality"]) <= 1
            assert (image.get("width"), image.get("height")) == ("8", "8")
    assert root.find("version").text == "1.1"
    declared = [each.text for each in root.findall("meta/task/labels/label/name")]
    assert declared == [label["name"] for label in labels]
    again = tmp_path / "again.zip"
    export_cvat(found.evidence, found.audit, again, run=found.run)
    assert again.read_bytes() == path.read_bytes()


def test_images_that_are_gone_are_named(noisy_images, tmp_path):
    found, _ = noisy_images["folder"]
    with pytest.raises(DataError, match=r"is not there any more: name the data of the run with --data"):
        export_cvat(found.evidence, found.audit, tmp_path / "a.zip", run=found.run, data=tmp_path)
    assert not (tmp_path / "a.zip").exists()


def test_names_that_xml_cannot_hold_are_brought_into_what_it_can(tmp_path):
    for name, shade in (("a", 0), ("b", 255)):
        (tmp_path / "d" / name).mkdir(parents=True)
        for number in range(10):
            odd = ("\x1b[2J", "\x07[2J", "plain")[number % 3]
            pixels = np.full((8, 8, 3), 255 - shade if number < 3 else shade, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / name / f"{odd}{number // 3 * 3}.png")
    elr.fit(tmp_path / "d", out=tmp_path / "run", config=elr.FitConfig(epochs=12))
    found = AuditedRun.read(tmp_path / "run")
    assert found.audit.num_label_issues
    with patch("elr.audit.handover.cvat.issues_of", lambda audit: list(range(20))):
        export_cvat(found.evidence, found.audit, tmp_path / "a.zip", run=found.run, data=tmp_path / "d")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
        names = [image.get("name") for image in root.findall("image")]
        assert len(set(names)) == 20
        assert {f"images/{name}" for name in names} | {"annotations.xml"} == set(archive.namelist())
