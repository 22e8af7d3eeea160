import base64
import io
import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import elr
from elr.audit.audited_run import AuditedRun
from elr.audit.cleanlab import export_cleanlab
from elr.audit.issues import export_table
from elr.audit.label_studio import export_label_studio
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, DataError, OutputError

QUICK = elr.FitConfig(epochs=8)


def table(count=120, seed=0):
    rng = np.random.default_rng(seed)
    clean = rng.integers(2, size=count)
    frame = pd.DataFrame({"x": clean + 0.2 * rng.normal(size=count), "kind": np.where(clean, "big", "small")})
    return frame.assign(label=np.where(np.where(rng.random(count) < 0.2, 1 - clean, clean), 'y"<b>', "n"))


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    table().to_csv(folder / "data.csv", index=False)
    elr.fit(folder / "data.csv", out=folder / "run", label="label", config=QUICK)
    found = AuditedRun.read(folder / "run")
    assert found.audit.num_label_issues > 3
    return found


def test_tables(audited, tmp_path):
    export_table(audited.evidence, audited.audit, tmp_path / "all.parquet")
    export_table(audited.evidence, audited.audit, tmp_path / "all.csv")
    written = pd.read_parquet(tmp_path / "all.parquet")
    assert written["label_quality"].is_monotonic_increasing
    assert len(written) == 120
    pd.testing.assert_frame_equal(written, pd.read_csv(tmp_path / "all.csv"), check_dtype=False)
    with pytest.raises(OutputError, match="exists already"):
        export_table(audited.evidence, audited.audit, tmp_path / "all.csv")
    with pytest.raises(OutputError, match=r"ends in '.xlsx': expected .csv or .parquet"):
        export_table(audited.evidence, audited.audit, tmp_path / "all.xlsx")


def test_cleanlab_reads_what_is_exported_and_scores_alike(audited, tmp_path):
    filters, rank = pytest.importorskip("cleanlab.filter"), pytest.importorskip("cleanlab.rank")
    export_cleanlab(audited.evidence, tmp_path / "out")
    labels, pred_probs = np.load(tmp_path / "out" / "labels.npy"), np.load(tmp_path / "out" / "pred_probs.npy")
    assert json.loads((tmp_path / "out" / "class_names.json").read_text()) == ["n", 'y"<b>']
    found = filters.find_label_issues(labels, pred_probs, n_jobs=1)
    shared = (found & audited.audit.is_label_issue).sum() / audited.audit.num_label_issues
    assert shared > 0.8
    margins = rank.get_label_quality_scores(labels, pred_probs, method="normalized_margin")
    np.testing.assert_allclose(margins, audited.audit.label_quality, atol=1e-6)
    own = audited.evidence.audit(score="self_confidence").label_quality
    np.testing.assert_allclose(
        rank.get_label_quality_scores(labels, pred_probs, method="self_confidence"), own, atol=1e-6
    )
    with pytest.raises(OutputError, match="choose another folder"):
        export_cleanlab(audited.evidence, tmp_path / "out")


def test_tasks_of_label_studio(audited, tmp_path):
    interface = export_label_studio(audited.evidence, audited.audit, tmp_path / "tasks.json", run=audited.run)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == audited.audit.num_label_issues
    worst = audited.suspects(1).iloc[0]
    data = tasks[0]["data"]
    assert data["elr"]["row"] == worst["row"]
    assert data["elr"]["given_label"] == worst["given_label"]
    frame = table()
    assert f"kind: {frame['kind'][worst['row']]}" in data["text"]
    assert "label" not in data["text"]
    result = tasks[0]["predictions"][0]["result"][0]
    assert result["value"] == {"choices": [worst["predicted_label"]]}
    view = ElementTree.parse(interface).getroot()
    choices = view.find("Choices")
    assert [choice.get("value") for choice in choices] == ["n", 'y"<b>']
    assert (choices.get("name"), choices.get("toName")) == (result["from_name"], result["to_name"])
    assert view.find("Text").get("value") == "$text"


def test_texts_and_data_that_have_moved(tmp_path):
    frame = pd.DataFrame({"text": ["good and fine", "bad and poor"] * 30, "label": ["up", "down"] * 30})
    frame.loc[:5, "label"] = ["down", "up"] * 3
    frame.to_csv(tmp_path / "a.csv", index=False)
    options = ReadOptions(label="label", text="text")
    elr.fit(tmp_path / "a.csv", out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=20))
    found = AuditedRun.read(tmp_path / "run")
    assert found.audit.num_label_issues
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"not at .*a.csv any more: name them with --data"):
        export_label_studio(found.evidence, found.audit, tmp_path / "t.json", run=found.run)
    export_label_studio(found.evidence, found.audit, tmp_path / "t.json", run=found.run, data=tmp_path / "b.csv")
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert all(task["data"]["text"] == frame["text"][task["data"]["elr"]["row"]] for task in tasks)
    frame.head(2).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(DataError, match="it is not the data of this run"):
        export_label_studio(
            found.evidence, found.audit, tmp_path / "u.json", run=found.run, data=tmp_path / "short.csv"
        )
    assert not (tmp_path / "u.json").exists()


def pictures(count=24):
    """Bright and dark images of 8 pixels, the first two under the wrong label."""
    rng = np.random.default_rng(0)
    for number in range(count):
        bright = number % 2
        pixels = (rng.integers(0, 60, size=(8, 8, 3)) + 190 * bright).astype("uint8")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        yield buffer.getvalue(), "bright" if bool(bright) != (number < 2) else "dark"


def test_images_of_a_folder_and_of_a_parquet_file(tmp_path):
    records = []
    for number, (content, label) in enumerate(pictures()):
        (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / label / f"no {number:02}.png").write_bytes(content)
        records.append({"img": {"bytes": content, "path": None}, "label": label})
    pd.DataFrame(records).to_parquet(tmp_path / "images.parquet")
    config = elr.FitConfig(epochs=30, network="linear")
    elr.fit(tmp_path / "images", out=tmp_path / "folder", config=config)
    elr.fit(tmp_path / "images.parquet", out=tmp_path / "parquet", label="label", config=config)
    for name in ("folder", "parquet"):
        found = AuditedRun.read(tmp_path / name)
        assert found.audit.num_label_issues == 2
        export_label_studio(found.evidence, found.audit, tmp_path / f"{name}.json", run=found.run)
    local = json.loads((tmp_path / "folder.json").read_text())
    paths = {
        f"/data/local-files/?d={str(tmp_path / 'images')[1:]}/{name}"
        for name in ("bright/no%2000.png", "dark/no%2001.png")
    }
    assert {task["data"]["image"] for task in local} == paths
    inline = json.loads((tmp_path / "parquet.json").read_text())
    for task in inline:
        kind, content = task["data"]["image"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == records[task["data"]["elr"]["row"]]["img"]["bytes"]


def test_json_of_an_audit(audited):
    content = audited.to_json(3)
    assert len(content["suspects"]) == 3
    np.testing.assert_allclose(np.sum(content["transition_matrix"], axis=1), 1.0)
    issues = audited.audit.num_label_issues
    assert content["expected_precision"][str(issues)] == pytest.approx(audited.audit.expected_precision[issues - 1])
    assert content["confusions"][0]["num_rows"] <= issues
    assert {pair["given"] for pair in content["confusions"]} <= {"n", 'y"<b>'}
    with pytest.raises(ArgumentError, match="score is 'x'"):
        AuditedRun.read(audited.folder, score="x")
