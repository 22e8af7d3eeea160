"""All kinds of rows, and what they promise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from elr.data.annotations import from_table
from elr.data.kinds.catalog import KINDS, fit_preprocessing, load_preprocessing
from elr.data.reading import read_data
from elr.data.records import ReadOptions, Records
from elr.errors import ArtifactError, DataError
from small_data import LABEL, N, frame, images, settings_of, table

ROWS = np.arange(4)
LABELS = ["cat", "dog"] * 2
TITLES = pd.DataFrame({"title": ["a red mug", "a blue mug", "a red hat", "a blue hat"]})
RECORDS = {
    "table": Records(kind="table", rows=ROWS, table=TITLES.assign(x=[1.0, 2.0, 3.0, 4.0]), labels=LABELS),
    "text": Records(kind="text", rows=ROWS, table=TITLES, labels=LABELS),
    "images": Records(kind="images", rows=ROWS, images=torch.zeros(4, 3, 8, 8, dtype=torch.uint8), labels=LABELS),
    "features": Records(kind="features", rows=ROWS, features=np.eye(4, dtype=np.float32), labels=LABELS),
}
RATES = {"table": (None, None), "text": (0.005, 0.005), "images": (None, None), "features": (None, None)}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_prepares_its_rows_and_shows_them(name):
    kind, records = KINDS[name], RECORDS[name]
    fitted = fit_preprocessing(records, ReadOptions(text="title" if name == "text" else None))
    assert fitted.kind == name
    assert type(fitted) in kind.preprocessings
    assert len(fitted.encode(records, name="it")) == 4
    assert fitted.takes_images == (name == "images")
    assert (fitted.feature_rate(4), fitted.feature_rate(256)) == RATES[name]
    assert (kind.picture(records, 0) is not None) == (name == "images")
    shown = kind.cells(records, np.array([2]), ["title"])
    assert shown == ({"title": ["a red hat"]} if name in ("table", "text") else {})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * N, "label column 'y' is constant"),
        ([f"a{row}" for row in range(N)], "label column 'y' is different in each of the 24 rows"),
        (["a"] * 12 + ["b"] * 11 + ["c"], "label column 'y' has 1 of 3 classes with one example only"),
    ],
)
def test_labels_that_say_nothing(labels, message):
    with pytest.raises(DataError, match=message):
        fit_preprocessing(table(frame().assign(y=labels)), LABEL)


def test_messages_of_arrays_do_not_speak_of_folders():
    with pytest.raises(DataError, match=r"^the label is constant"):
        fit_preprocessing(read_data((np.eye(4), [1] * 4), ReadOptions()), ReadOptions())
    with pytest.raises(DataError, match="the training data have no labels"):
        fit_preprocessing(read_data((np.eye(4), None), ReadOptions()), ReadOptions())


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": None},
        {"kind": "sound"},
        {"columns": None},
        {"columns": {"z": "numeric"}},
        {"kind": "images"},
        {"kind": "features"},
    ],
)
def test_damaged_settings_are_refused(changes, tmp_path):
    encoder = fit_preprocessing(table(), LABEL)
    encoder.save(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"run\.json in .* is damaged: .*|does not fit run\.json .*run `elr fit` again"
    ):
        load_preprocessing(tmp_path, settings_of(encoder, **changes))


@pytest.mark.parametrize("key", ["kind", "class_names", "columns", "image_format"])
def test_lacking_settings_are_refused(key, tmp_path):
    encoder = fit_preprocessing(images(), ReadOptions())
    settings = settings_of(encoder)
    del settings[key]
    with pytest.raises(
        ArtifactError, match=rf"run\.json in .* is damaged: its preprocessing is incomplete \('{key}'\)"
    ):
        load_preprocessing(tmp_path, settings)
    with pytest.raises(ArtifactError, match="incomplete"):
        load_preprocessing(tmp_path, settings_of(encoder, image_format={"channels": 3}))


def test_classes_that_differ_only_by_case_or_space_are_remarked():
    frame = pd.DataFrame({"x": range(8), "y": ["basic", " Basic", "pro", "plus"] * 2})
    encoder = fit_preprocessing(read_data(frame, ReadOptions(label="y")), ReadOptions(label="y"))
    assert len(encoder.coding.class_names) == 4
    assert any("classes ' Basic', 'basic' look like one" in remark for remark in encoder.remarks)
    assert not any("'pro'" in remark for remark in encoder.remarks)


def test_a_class_of_one_vote_is_called_one_of_votes():
    rows = [(row, who, "ab"[row % 2]) for row in range(6) for who in ("ann", "bob", "eve")]
    rows[4] = (1, "bob", "other")
    lines = pd.DataFrame(rows, columns=["row", "annotator", "label"])
    found = from_table(lines, None, id_column=None, num_rows=6, name="it")
    records = Records(kind="features", rows=np.arange(6), features=np.eye(6, dtype=np.float32), labels=list("ababab"))
    with pytest.raises(DataError, match=r"what annotators said has 1 of 3 classes with one example only \('other'\)"):
        fit_preprocessing(replace(records, annotations=found), ReadOptions(annotations="votes.csv"))
