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
from elr.audit.handover.label_studio import export_label_studio
from elr.data.records import ReadOptions
from elr.errors import DataError


def test_tasks_of_label_studio(audited, noisy_table, tmp_path):
    interface = export_label_studio(audited.evidence, audited.audit, tmp_path / "tasks.json", run=audited.run)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == audited.audit.num_label_issues
    worst = audited.suspects(1).iloc[0]
    data = tasks[0]["data"]
    assert data["elr"]["row"] == worst["row"]
    assert data["elr"]["given_label"] == worst["given_label"]
    frame = noisy_table
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
    assert all(prepared["data"]["text"] == frame["text"][prepared["data"]["elr"]["row"]] for prepared in tasks)
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
    assert {prepared["data"]["image"] for prepared in local} == paths
    inline = json.loads((tmp_path / "parquet.json").read_text())
    for prepared in inline:
        kind, content = prepared["data"]["image"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == records[prepared["data"]["elr"]["row"]]["img"]["bytes"]
