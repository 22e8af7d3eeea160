"""Exported models say what `elr predict` says; read with ONNX Runtime and torch.export, without elr."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

import elr
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, ArtifactError, DataError, OutputError
from elr.runs.export import model
from elr.runs.export.model import export_model


def table(root, rows=90):
    rng = np.random.default_rng(0)
    classes, towns = np.arange(rows) % 3, np.array(["Bonn", "Köln", "Ulm"])[rng.integers(3, size=rows)]
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.1, np.nan, np.exp(3 * rng.normal(size=rows))),  # is ranked
            "x": classes + 0.3 * rng.normal(size=rows),
            "gaps": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "since": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "town": np.where(rng.random(rows) < 0.1, None, towns),
            "y": np.array(["<a>", 'b"c', "d"])[classes],
        }
    )
    frame.to_csv(root / "table.csv", index=False)
    return root / "table.csv"


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def probs_of(found):
    return found[[name for name in found if name.startswith("prob_")]].to_numpy()


def columns_of(described, frame):
    """The inputs of an exported table, made of its JSON alone."""
    numbers = []
    for column in described["numbers"]:
        cells = frame[column["name"]]
        dates = column["kind"] == "date"
        numbers.append((pd.to_datetime(cells) - pd.Timestamp(0)) / pd.Timedelta(days=1) if dates else cells)
    codes = []
    for column in described["categories"]:
        names = column["categories"]
        cells = frame[column["name"]].fillna(column["missing_as"])
        codes.append([names.index(cell) if cell in names else len(names) for cell in cells])
    return np.stack(numbers, axis=1).astype(np.float64), np.array(codes, dtype=np.int64).T


def test_a_table_without_missing_cells_is_exported(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    frame = pd.DataFrame({"x": labels + 0.3 * rng.normal(size=60), "y": np.array(["a", "b"])[labels]})
    elr.fit(frame, out=tmp_path / "run", label="y", config=elr.FitConfig(epochs=2, members=1))
    [written] = export_model(tmp_path / "run", torch_export=tmp_path / "m.pt2")
    program = torch.export.load(written.path).module()
    assert program(torch.tensor([[0.0], [1.0]], dtype=torch.float64)).argmax(dim=1).tolist() == [0, 1]


@pytest.mark.parametrize("members", [1, 3])
def test_a_table_from_its_json_alone(tmp_path, members):
    data = table(tmp_path)
    elr.fit(data, out=tmp_path / "run", label="y", config=elr.FitConfig(epochs=3, members=members))
    written = export_model(tmp_path / "run", onnx=tmp_path / "m.onnx", torch_export=tmp_path / "m.pt2")
    described = json.loads((tmp_path / "m.onnx.json").read_text())
    assert described["class_names"] == ["<a>", 'b"c', "d"]
    assert described["check"]["from"] == f"of {data}"
    assert described["check"]["largest_difference"] <= described["check"]["tolerance"] == 1e-4
    frame = pd.read_csv(data).drop(columns="y")
    frame.loc[0, "town"] = "Paris"  # which training never saw
    frame.loc[1, "x"] = None
    expected = probs_of(elr.predict(tmp_path / "run", frame))
    numbers, categories = columns_of(described, frame)
    found = session(tmp_path / "m.onnx").run(["probs"], {"numbers": numbers, "categories": categories})[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    program = torch.export.load(tmp_path / "m.pt2").module()
    again = program(torch.from_numpy(numbers), torch.from_numpy(categories))
    np.testing.assert_allclose(again.detach().numpy(), expected, atol=1e-5)
    proto = onnx.load(tmp_path / "m.onnx")
    assert [each.version for each in proto.opset_import if each.domain == ""] == [described["opset"]] == [18]
    about = {each.key: each.value for each in proto.metadata_props}
    assert json.loads(about["class_names"]) == described["class_names"]
    assert "checked on 8 rows" in written[0].check_line


@pytest.mark.parametrize("network", ["linear", "mlp"])
@pytest.mark.parametrize("ranked", [[], [1, 3], [0, 1, 2, 3, 4]])
def test_arrays_of_which_there_are_no_more(tmp_path, network, ranked):
    rng = np.random.default_rng(0)
    features = (100 * rng.normal(size=(60, 5))).astype(np.float32)
    features[:, ranked] = np.exp(features[:, ranked] / 30)
    config = elr.FitConfig(epochs=2, members=1, network=network)
    elr.fit((features, np.arange(60) % 2), out=tmp_path / "run", config=config)
    [written] = export_model(tmp_path / "run", onnx=tmp_path / "m.onnx")
    assert written.about["class_names"] == [0, 1]
    assert written.about["check"]["from"].startswith("made at random")
    found = session(written.path).run(["probs"], {"features": features})[0]
    np.testing.assert_allclose(found, probs_of(elr.predict(tmp_path / "run", (features, None))), atol=1e-5)


@pytest.mark.parametrize("network", ["fast", "linear"])
def test_images_as_they_are_stored(tmp_path, network):
    images = np.random.default_rng(0).integers(0, 256, size=(40, 3, 16, 16), dtype=np.uint8)
    config = elr.FitConfig(epochs=1, network=network)
    elr.fit((images, np.arange(40) % 2), out=tmp_path / "run", config=config)
    [written] = export_model(tmp_path / "run", onnx=tmp_path / "m.onnx")
    assert written.about["inputs"][0]["shape"] == ["batch", 3, 16, 16]
    found = session(written.path).run(["probs"], {"images": images})[0]
    np.testing.assert_allclose(found, probs_of(elr.predict(tmp_path / "run", (images, None))), atol=1e-4)


def test_words_stay_outside(tmp_path):
    frame = pd.DataFrame({"text": ["good and fine", "bad and poor"] * 30, "y": ["up", "down"] * 30})
    frame.to_csv(tmp_path / "t.csv", index=False)
    options = ReadOptions(label="y", text="text")
    elr.fit(tmp_path / "t.csv", out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=2))
    [written] = export_model(tmp_path / "run", torch_export=tmp_path / "m.pt2")
    assert written.about["check"]["from"] == f"of {tmp_path / 't.csv'}"
    assert "Words stay outside" in written.about["preprocessing"]


def photographs(root, side=20):
    rng = np.random.default_rng(0)
    for number in range(8):
        path = root / "photos" / ("light" if number % 2 else "dark") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 80, size=(side, side, 3)) + 150 * (number % 2)
        Image.fromarray(pixels.astype("uint8")).save(path)
    return root / "photos"


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_backbone_goes_along(tmp_path, fine_tune):
    timm = pytest.importorskip("timm")
    state = timm.create_model("resnet10t", pretrained=False).state_dict()
    torch.save(state, tmp_path / "w.pt")
    options = ReadOptions(backbone="resnet10t", weights=str(tmp_path / "w.pt"), fine_tune=fine_tune, image_size=32)
    elr.fit(photographs(tmp_path), out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=1, batch_size=4))
    [written] = export_model(tmp_path / "run", torch_export=tmp_path / "m.pt2")
    assert written.about["inputs"][0]["shape"] == ["batch", 3, 32, 32]
    assert written.about["check"]["tolerance"] in (1e-4, 0.05)


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match="no file was asked for"):
        export_model(tmp_path / "run")
    with pytest.raises(OutputError, match=r"ends in '.pb': expected .onnx"):
        export_model(tmp_path / "run", onnx=tmp_path / "m.pb")
    with pytest.raises(ArtifactError, match="is not a folder"):
        export_model(tmp_path / "run", onnx=tmp_path / "m.onnx")
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    elr.fit((rows, np.arange(40) % 2), out=tmp_path / "run", config=elr.FitConfig(epochs=1, members=1))
    with pytest.raises(DataError, match="there are no data at"):
        export_model(tmp_path / "run", torch_export=tmp_path / "m.pt2", data=tmp_path / "gone.npz")
    monkeypatch.setattr(model, "TOLERANCE", -1.0)
    with pytest.raises(ArgumentError, match="differs from elr predict by"):
        export_model(tmp_path / "run", torch_export=tmp_path / "m.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
