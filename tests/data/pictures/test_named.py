"""Tables of names of image files: the images are read, where the files are."""

import json

import pandas as pd
import pytest

import elr
from elr.audit.cleaning.decisions import clean
from elr.data.pictures.named import image_column, image_folder
from elr.data.prepared_data import inspect, prepare_data
from elr.data.records import ReadOptions
from elr.errors import DataError
from elr.runs.fit_config import FitConfig
from pictures import color, encoded

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def table(tmp_path):
    """A table of 12 images in a folder beside it."""
    names = [f"{row}.png" for row in range(12)]
    (tmp_path / "photos").mkdir()
    for row, name in enumerate(names):
        (tmp_path / "photos" / name).write_bytes(encoded(color(BLUE if row % 2 else RED)))
    return pd.DataFrame({"file": names, "kind": ["rose", "iris"] * 6})


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_images_are_read(table, tmp_path, suffix):
    path = tmp_path / f"labels.{suffix}"
    write = {"csv": table.to_csv, "parquet": table.to_parquet}.get(suffix)
    if write:
        write(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    prepared = prepare_data(path, ReadOptions(label="kind"), test=path)
    assert prepared.records.kind == "images"
    assert prepared.records.ids == table["file"].tolist()
    assert prepared.records.images[0, :, 0, 0].tolist() == list(RED)
    assert prepared.options.image == "file"
    assert prepared.test.labels.tolist() == prepared.examples.labels.tolist() == [1, 0] * 6
    found = inspect(path, ReadOptions(label="kind"))
    assert {each["name"]: each["use"] for each in found.columns} == {"file": "learned from", "kind": "label"}
    assert any("the images that column 'file'" in remark for remark in found.remarks)


def test_a_run_predicts_and_is_cleaned(table, tmp_path):
    data = tmp_path / "labels.csv"
    table.to_csv(data, index=False)
    outcome = elr.fit(data, label="kind", out=tmp_path / "run", config=FitConfig(epochs=2))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["data"]["options"]["image"] == "file"
    table.drop(columns="kind").to_csv(tmp_path / "new.csv", index=False)
    assert elr.predict(tmp_path / "run", tmp_path / "new.csv")["id"].tolist() == table["file"].tolist()
    favored = ["iris", "rose"][outcome.fitted.audit.predicted_labels[3]]
    decision = "keep" if favored == "rose" else "relabel"
    lines = f"row,id,given_label,decision,label\n3,3.png,iris,{'accept' if favored == 'rose' else decision},rose\n"
    (tmp_path / "decisions.csv").write_text(lines)
    assert clean(tmp_path / "run", tmp_path / "decisions.csv", tmp_path / "new-labels.csv").num_changed == 1
    assert pd.read_csv(tmp_path / "new-labels.csv")["kind"].tolist() == [
        *["rose", "iris", "rose", "rose"],
        *["rose", "iris"] * 4,
    ]


def test_images_that_are_not_there_are_named_or_left_out(table, tmp_path):
    data = tmp_path / "labels.csv"
    table.to_csv(data, index=False)
    (tmp_path / "photos" / "5.png").unlink()
    with pytest.raises(DataError, match=r"names 1 of 12 images that are not there, first in line 7 \(row 5\): '5.png'"):
        prepare_data(data, ReadOptions(label="kind"))
    prepared = prepare_data(data, ReadOptions(label="kind", skip_unreadable=True))
    assert prepared.records.rows.tolist() == [*range(5), *range(6, 12)]
    assert len(prepared.examples) == 11


def test_beside_other_columns_they_are_asked_for(table, tmp_path):
    data = tmp_path / "labels.csv"
    table.assign(size=[*range(5), 9, 1, 3, 7, 2, 2, 8]).to_csv(data, index=False)
    records = prepare_data(data, ReadOptions(label="kind")).records
    assert records.kind == "table"
    assert any("--image file" in remark for remark in records.remarks)
    assert prepare_data(data, ReadOptions(label="kind", image="file")).records.kind == "images"
    with pytest.raises(DataError, match="no image column 'photo'"):
        prepare_data(data, ReadOptions(label="kind", image="photo"))


def test_names_of_files_that_are_nowhere_are_text(table, tmp_path):
    assert image_column(table[["file"]], tmp_path) == "file"
    assert image_column(table[["file"]], tmp_path / "photos" / "no-such-folder") is None
    assert image_column(table[["kind"]], tmp_path) is None
    assert image_folder(tmp_path, table["file"]) == tmp_path / "photos"
