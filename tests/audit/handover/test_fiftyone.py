import json
from pathlib import Path

import pytest

from elr.audit.handover.fiftyone import export_fiftyone
from elr.errors import ArgumentError, OutputError


def test_a_table_and_a_full_folder_are_refused(audited, noisy_images, tmp_path):
    with pytest.raises(ArgumentError, match="FiftyOne shows images, and the run was trained on table"):
        export_fiftyone(audited.evidence, audited.audit, tmp_path / "a", run=audited.run)
    assert not (tmp_path / "a").exists()
    found, _ = noisy_images["folder"]
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="exists already: choose another folder"):
        export_fiftyone(found.evidence, found.audit, tmp_path, run=found.run)


@pytest.mark.parametrize("name", ["folder", "parquet"])
def test_every_image_has_its_given_label_and_the_issues_a_suggestion(noisy_images, name, tmp_path):
    found, contents = noisy_images[name]
    suggestions = export_fiftyone(found.evidence, found.audit, tmp_path / "out", run=found.run)
    written = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert len(written["labels"]) == len(contents)
    issues = set()
    for key, target in written["labels"].items():
        about = target["attributes"]
        content, label = contents[about["row"]]
        assert written["classes"][target["label"]] == label
        path = Path(key) if Path(key).is_absolute() else tmp_path / "out" / "data" / f"{key}.png"
        assert path.read_bytes() == content
        if about["is_label_issue"]:
            issues.add(key)
            assert about["predicted_label"] != label
    predicted = json.loads(suggestions.read_text())
    assert predicted["classes"] == written["classes"]
    assert set(predicted["labels"]) == issues
    assert len(issues) == found.audit.num_label_issues
    for key, target in predicted["labels"].items():
        assert written["classes"][target["label"]] == written["labels"][key]["attributes"]["predicted_label"]
        assert 0.5 < target["confidence"] <= 1
