"""Predictions for new data from the folder of a run: the same as before it was written, whatever the data."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import elr
from elr import files
from elr.data.kinds.table import TablePreprocessing
from elr.data.prepared_data import prepare_data
from elr.data.reading import ReadOptions
from elr.data.records import Finding
from elr.errors import ArgumentError, ArtifactError, DataError, DataWarning, OutputError, lack_of_memory
from elr.runs import plan
from elr.runs.fit_config import FitConfig
from elr.runs.predict import check_predictions_path, predict, predict_and_measure, write_predictions
from elr.runs.run import run_plan
from elr.training.loop import Training

N = 48
ODD = ("None", "NA")  # names of classes that would else say that a label is missing
RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(shade, side=16):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 255 - shade, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def table():
    rng = np.random.default_rng(0)
    rows = np.arange(N)
    return pd.DataFrame(
        {
            "key": [f"{row:03}" for row in rows],
            "row": rng.normal(size=N).round(3) + 2 * (rows % 3),
            "town": np.where(rows % 4 == 0, None, np.array(["007", "12", "x"])[(rows // 2) % 3]),
            "since": pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"),
            "member": np.where(rows % 2 == 0, "True", "False"),
            "y": np.array(["None", "NA", "01"])[rows % 3],
            "truth": np.array(["None", "NA", "01"])[rows % 3],
        }
    )


def folder(root):
    for number in range(N):
        path = root / ("cat" if number % 2 else "dog") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(4 * number))
    (root / "cat" / "07.png").write_bytes(b"")
    return root


def hub(path):
    cells = [{"bytes": png(4 * number), "path": None} for number in range(N)]
    data = pa.table({"img": pa.array(cells, RECORD), "label": [number % 2 for number in range(N)]})
    names = {"info": {"features": {"label": {"names": ["cat", "dog"]}}}}
    pq.write_table(data.replace_schema_metadata({b"huggingface": json.dumps(names).encode()}), path)
    return path


def arrays(rows=N):
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 2
    return rng.normal(size=(rows, 4)) + 2 * labels[:, None], labels * 10 - 3


def pixels():
    labels = np.arange(N) % 3
    noise = np.random.default_rng(0).integers(0, 60, (N, 1, 9, 7))
    return (noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels.astype(str)


def trained(root, kind, data, **options):
    """A tiny run on some data, and the training while it is still in memory."""
    kept = []

    class Kept(Training):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            kept.append(self)

    prepared = prepare_data(data, ReadOptions(**options))
    config = FitConfig(epochs=2, batch_size=16, device="cpu", precision="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "Training", Kept)
        run_plan(prepared, config.plan(prepared), config={}, out=root / f"run-{kind}")
    return root / f"run-{kind}", data, prepared, kept[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    table().to_csv(root / "t.csv", index=False)
    features, labels = arrays()
    np.savez(root / "t.npz", X=features, y=labels, unused=features)
    return {
        "csv": trained(root, "csv", root / "t.csv", label="y", clean_label="truth", id="key", classes=ODD),
        "frame": trained(root, "frame", table(), label="y", id="key", ignore=("truth",), classes=ODD),
        "folder": trained(root, "folder", folder(root / "images"), skip_unreadable=True),
        "hub": trained(root, "hub", hub(root / "hub.parquet"), label="label"),
        "npz": trained(root, "npz", root / "t.npz", label="y", ignore=("unused",)),
        "arrays": trained(root, "arrays", arrays()),
        "pixels": trained(root, "pixels", pixels()),
    }


KINDS = ["csv", "frame", "folder", "hub", "npz", "arrays", "pixels"]


def names_of(predictions):
    return [column.removeprefix("prob_") for column in predictions.columns if column.startswith("prob_")]


def probs_of(predictions):
    return predictions[[column for column in predictions.columns if column.startswith("prob_")]].to_numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_network_in_memory(fitted, kind):
    out, data, prepared, training = fitted[kind]
    predictions = predict(out, data)
    before = training.predict(prepared.examples).numpy()
    np.testing.assert_allclose(probs_of(predictions), before, rtol=0, atol=1e-6)
    names = prepared.preprocessing.coding.class_names
    assert predictions["predicted_label"].tolist() == [names[number] for number in before.argmax(axis=1)]
    assert names_of(predictions) == [str(name) for name in names]
    assert predictions["row"].tolist() == prepared.records.rows.tolist()
    assert ("id" in predictions) == (prepared.records.ids is not None)
    if prepared.records.ids is not None:
        assert predictions["id"].tolist() == prepared.records.ids
    pd.testing.assert_frame_equal(predictions, predict(str(out), data))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("csv", ["01", "NA", "None"]),
        ("frame", ["01", "NA", "None"]),
        ("folder", ["cat", "dog"]),
        ("hub", ["cat", "dog"]),
        ("npz", [-3, 7]),
        ("arrays", [-3, 7]),
        ("pixels", [0, 1, 2]),
    ],
)
def test_class_names_are_those_of_the_data(fitted, kind, names):
    out, data, *_ = fitted[kind]
    assert files.read_run(out)["preprocessing"]["class_names"] == names
    predicted = predict(out, data)["predicted_label"].tolist()
    assert set(predicted) <= set(names)
    assert {type(label) for label in predicted} == {type(names[0])}


def test_the_network_has_learned_something(fitted):
    """So that equal predictions are not equal for lack of any difference between rows."""
    out, data, *_ = fitted["arrays"]
    predictions = predict(out, data)
    assert (predictions["predicted_label"] == data[1]).mean() > 0.9
    assert predictions["prob_7"].std() > 0.1
    np.testing.assert_allclose(probs_of(predictions).sum(axis=1), 1, rtol=1e-5)


def test_columns_keep_their_order_and_kinds_in_the_run(fitted):
    columns = files.read_run(fitted["csv"][0])["preprocessing"]["columns"]
    assert list(columns.items()) == [
        ("row", "numeric"),
        ("town", "categorical"),
        ("since", "date"),
        ("member", "categorical"),
    ]


def test_a_row_is_predicted_alike_alone_and_among_others(fitted):
    out, data, *_ = fitted["arrays"]
    whole = predict(out, data)
    part = predict(out, (data[0][[30, 4]], None))
    np.testing.assert_allclose(probs_of(part), probs_of(whole)[[30, 4]], rtol=0, atol=1e-6)
    assert part["row"].tolist() == [0, 1]
    long = predict(out, (np.tile(data[0], (50, 1)), None))
    np.testing.assert_allclose(probs_of(long), np.tile(probs_of(whole), (50, 1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_predicted_alike_from_any_format(fitted, suffix, tmp_path):
    out, data, *_ = fitted["csv"]
    frame = table().assign(member=table()["member"] == "True", since=pd.to_datetime(table()["since"]), extra=1)
    frame = frame[frame.columns[::-1]].drop(columns=["y", "truth"])
    if suffix == "csv":
        frame.to_csv(tmp_path / "new.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "new.parquet")
    expected = predict(out, data)
    pd.testing.assert_frame_equal(predict(out, tmp_path / f"new.{suffix}"), expected, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(predict(out, frame), expected, rtol=0, atol=1e-6)


def test_tables_may_lack_cells_labels_and_names_of_rows(fitted):
    out = fitted["csv"][0]
    new = table().drop(columns=["key", "truth"]).assign(row=None, town="never seen", y=None)
    with pytest.warns(DataWarning, match="column '(row|town)'"):
        predictions = predict(out, new)
    assert list(predictions.columns[:2]) == ["row", "predicted_label"]
    assert np.isfinite(probs_of(predictions)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda new: new.drop(columns=["row", "since"]),
            "a data frame lacks 2 columns that training had: 'row', 'since'",
        ),
        (lambda new: new.assign(row=["1"] + ["one"] * 47), "column 'row' of a data frame has 'one' in row 1"),
        (lambda new: new.assign(row=np.inf), "column 'row' of a data frame is infinite in row 0"),
        (lambda new: pd.concat([new, new["row"]], axis=1), "2 columns named 'row'"),
    ],
)
def test_tables_that_do_not_fit_the_run(fitted, change, message):
    with pytest.raises(DataError, match=message):
        predict(fitted["csv"][0], change(table()))


@pytest.mark.parametrize(
    "labels",
    ["cow", "?", None, -1, ["01", "?", "", "NA", "cow", -1] * 8, [[1]] * N, np.nan, True, pd.Timestamp(0)],
)
def test_labels_of_new_data_stop_no_prediction(fitted, labels):
    out, data, *_ = fitted["csv"]
    new = table().assign(y=labels if isinstance(labels, list) else [labels] * N, truth="cow", key="twice")
    found = predict_and_measure(out, new)
    assert np.array_equal(probs_of(found.table), probs_of(predict(out, data)))
    known = 16 if isinstance(labels, list) and labels[0] == "01" else 0
    assert found.num_measured == known
    assert (found.agreement is None) == (known == 0)
    if known:
        assert "on the 16 of 48 rows that have a class of the run; 16 have none; 16 have other values" in str(found)


def test_label_arrays_that_do_not_fit_stop_no_prediction(fitted, tmp_path):
    out, data, *_ = fitted["npz"]
    features = arrays()[0]
    for labels in (np.arange(3), np.array([{}] * N, dtype=object), np.zeros((N, 2, 2))):
        np.savez(tmp_path / "new.npz", X=features, y=labels)
        found = predict_and_measure(out, tmp_path / "new.npz")
        assert np.array_equal(probs_of(found.table), probs_of(predict(out, data)))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "frame"])
def test_tables_without_rows_predict_nothing(fitted, tmp_path, suffix):
    path, none = tmp_path / f"none.{suffix}", table().head(0)
    if suffix in ("csv", "tsv"):
        none.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    elif suffix == "parquet":
        none.to_parquet(path)
    elif suffix == "jsonl":
        path.write_text("")
    found = predict_and_measure(fitted["csv"][0], none if suffix == "frame" else path)
    assert len(found.table) == 0
    assert names_of(found.table) == ["01", "NA", "None"]
    assert any("has no rows: there is nothing to predict" in finding.text for finding in found.findings)


def test_other_data_without_rows_predict_nothing(fitted, tmp_path):
    (tmp_path / "none").mkdir()
    np.savez(tmp_path / "none.npz", X=np.zeros((0, 4)))
    for kind, none in (
        ("arrays", (np.zeros((0, 4)), None)),
        ("npz", tmp_path / "none.npz"),
        ("pixels", (np.zeros((0, 1, 9, 7), np.uint8), None)),
        ("folder", tmp_path / "none"),
    ):
        found = predict(fitted[kind][0], none)
        assert len(found) == 0
        assert len(names_of(found)) >= 2


def test_what_is_found_in_new_data_is_warned_of(fitted, monkeypatch):
    loud = [Finding(text="column 'town' is empty", loud=True), Finding(text="column 'extra' is not used")]
    monkeypatch.setattr(TablePreprocessing, "findings", lambda self, records, *, name: loud)
    with pytest.warns(DataWarning, match="column 'town' is empty"):
        predict(fitted["csv"][0], table())
    found = predict_and_measure(fitted["csv"][0], table()).to_json()
    assert [each["text"] for each in found["warnings"]] == ["column 'town' is empty"]
    assert "column 'extra' is not used" in found["remarks"]


def test_unreadable_images_keep_the_rows_of_the_others(fitted):
    out, data, *_ = fitted["folder"]
    predictions = predict(out, data)
    assert len(predictions) == N - 1
    assert sorted(set(range(N)) - set(predictions["row"])) == [3]
    assert predictions["id"].tolist()[2:4] == ["cat/05.png", "cat/09.png"]


def test_new_images_need_no_class_folders(fitted, tmp_path):
    out = fitted["folder"][0]
    (tmp_path / "unsorted").mkdir()
    (tmp_path / "unsorted" / "1.png").write_bytes(png(4))
    (tmp_path / "2.jpg").write_bytes(png(4, side=50))
    predictions = predict(out, tmp_path)
    assert predictions["id"].tolist() == ["2.jpg", "unsorted/1.png"]
    np.testing.assert_allclose(probs_of(predictions)[0], probs_of(predictions)[1], atol=1e-6)
    images = np.full((1, 1, 16, 16), 9, np.uint8)
    assert np.array_equal(probs_of(predict(out, (images, None))), probs_of(predict(out, (images.repeat(3, 1), None))))


def test_new_parquet_files_of_images_need_no_labels(fitted, tmp_path):
    out, data, *_ = fitted["hub"]
    pq.write_table(pq.read_table(data).drop_columns("label"), tmp_path / "new.parquet")
    np.testing.assert_array_equal(probs_of(predict(out, tmp_path / "new.parquet")), probs_of(predict(out, data)))


def test_arrays_of_another_shape_are_refused(fitted):
    with pytest.raises(DataError, match="arrays has 3 features, training had 4"):
        predict(fitted["arrays"][0], (np.ones((2, 3)), None))
    with pytest.raises(DataError, match=r"arrays has images of \(7, 9\) pixels, training had \(9, 7\): resize them"):
        predict(fitted["pixels"][0], (np.zeros((2, 1, 7, 9), np.uint8), None))
    with pytest.raises(DataError, match="1 values that are NaN"):
        predict(fitted["arrays"][0], (np.array([[1, 2, np.nan, 3]]), None))
    assert len(predict(fitted["pixels"][0], (np.zeros((2, 3, 9, 7), np.uint8), ["any", None]))) == 2


def test_another_kind_of_data_is_refused(fitted):
    for trained_on, given, message in (
        ("csv", arrays(), "arrays holds features, the run was trained on table"),
        ("arrays", table(), "a data frame holds table, the run was trained on features"),
        ("arrays", pixels(), "arrays holds images, the run was trained on features"),
        ("folder", table(), "a data frame holds table, the run was trained on images"),
    ):
        with pytest.raises(DataError, match=message):
            predict(fitted[trained_on][0], given)


@pytest.mark.parametrize("data", [np.eye(4), None, "", (), (1, 2, 3)])
def test_things_that_are_no_data(fitted, data):
    with pytest.raises(ArgumentError, match="expected a path, a data frame, or a pair"):
        predict(fitted["arrays"][0], data)


def test_predict_is_on_the_face():
    assert elr.predict is predict


# Folders of runs that are damaged


@pytest.fixture
def copied(fitted, tmp_path):
    shutil.copytree(fitted["csv"][0], tmp_path / "run")
    return tmp_path / "run"


def rewritten(out, change):
    run = json.loads((out / "run.json").read_text())
    change(run)
    (out / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.pop("preprocessing"),
        lambda run: run.pop("network"),
        lambda run: run["data"].pop("options"),
        lambda run: run["data"]["options"].update(unknown=1),
        lambda run: run["data"]["options"].update(label=["y"]),
        lambda run: run["network"].update(name="brain"),
        lambda run: run["network"].update(num_classes=7),
        lambda run: run["network"].update(widths=[2**40, 2**40]),
        lambda run: run["network"].update(num_features=2**40),
        lambda run: run["network"].update(num_features=2**40, hidden=[2**40]),
        lambda run: run["versions"].update(torch=[None]),
        lambda run: run["results"].update(noise_rate="x"),
        lambda run: run["preprocessing"]["class_names"].append("more"),
        lambda run: run["preprocessing"].update(columns={"row": "numeric"}),
        lambda run: run["preprocessing"].update(kind="images"),
        lambda run: run.update(preprocessing=[]),
    ],
)
def test_a_damaged_description_is_refused(copied, change):
    rewritten(copied, change)
    with pytest.raises(ArtifactError, match=r"run\.json.*run `elr fit` again") as refused:
        predict(copied, table())
    assert lack_of_memory(refused.value) is None  # which ends with another status, and other advice


def test_a_run_that_did_not_finish_is_refused(copied):
    rewritten(copied, lambda run: run.update(status="running"))
    with pytest.raises(ArtifactError, match="is not complete: finish it with --resume"):
        predict(copied, table())


def test_lacking_or_foreign_files_are_refused(copied, fitted):
    model = copied / files.MODEL_FILE
    shutil.copy(fitted["arrays"][0] / files.MODEL_FILE, model)
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit run\.json"):
        predict(copied, table())
    save_file({"weight": torch.ones(2)}, model)
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit run\.json"):
        predict(copied, table())
    model.unlink()
    with pytest.raises(ArtifactError, match=r"model\.safetensors cannot be read"):
        predict(copied, table())
    shutil.copy(fitted["arrays"][0] / files.PREPROCESSING_FILE, copied)
    with pytest.raises(ArtifactError, match="holds a StandardScaler that does not fit"):
        predict(copied, table())
    (copied / files.PREPROCESSING_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"preprocessing\.skops cannot be read"):
        predict(copied, table())
    with pytest.raises(ArtifactError, match="is not a folder"):
        predict(str(copied / "absent"), table())


# Written


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_written_predictions_read_back(fitted, kind, tmp_path):
    out, data, *_ = fitted[kind]
    predictions = predict(out, data)
    write_predictions(predictions, tmp_path / "p.csv")
    write_predictions(predictions, tmp_path / "p.parquet")
    back = pd.read_csv(tmp_path / "p.csv", dtype={"id": str, "predicted_label": str}, keep_default_na=False)
    assert list(back.columns) == list(predictions.columns)
    assert back["predicted_label"].tolist() == predictions["predicted_label"].astype(str).tolist()
    np.testing.assert_allclose(probs_of(back), probs_of(predictions), rtol=1e-6)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), predictions)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path):
    predictions = pd.DataFrame({"row": [0], "predicted_label": ["a"], "prob_a": [1.0]})
    (tmp_path / "p.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"p\.csv exists already: choose another --out, or remove it"):
        write_predictions(predictions, tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "mine"
    with pytest.raises(OutputError, match=r"ends in '\.xlsx': expected \.csv or \.parquet"):
        write_predictions(predictions, tmp_path / "p.xlsx")
    with pytest.raises(OutputError, match="exists already"):
        check_predictions_path(tmp_path / "p.csv")
    check_predictions_path(tmp_path / "new.CSV")
    with pytest.raises(OutputError, match=r"cannot write .*absent.*directory"):
        write_predictions(predictions, tmp_path / "absent" / "p.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
