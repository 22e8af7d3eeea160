"""Data as read, and how it was asked for."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from elr.data.annotations import from_columns
from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.data.prepared_data import prepare_data
from elr.data.reading import read_data
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, DataError
from elr.files import on_disk
from pictures import color, encoded

N = 12
FEATURES_2D = np.arange(2.0 * N).reshape(N, 2)
LABELS = np.arange(N) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, 6, 5)).astype(np.uint8)


def read(data, **options):
    return read_data(data, ReadOptions(**options))


def test_options_are_plain_values():
    options = ReadOptions(label="y", ignore=["a", "b"], image_size=32)
    values = json.loads(json.dumps(dataclasses.asdict(options)))
    assert ReadOptions(**values) == options
    assert options.apart == ("y", "a", "b")


def test_columns_may_be_named_by_numbers_as_pandas_does():
    assert ReadOptions(label=0, id=3) == ReadOptions(label="0", id="3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": ""}, "label is '': expected the name of a column"),
        ({"clean_label": b"y"}, "clean_label is b'y'"),
        ({"ignore": (1,)}, "ignore is 1"),
        ({"ignore": "abc"}, r"ignore is 'abc': expected a sequence of names, \('abc',\)"),
        ({"label": "y", "ignore": ("y",)}, "column 'y' is named as label and as clean_label or ignore"),
        ({"label": "y", "clean_label": "y"}, "column 'y' is named as label and as clean_label"),
        ({"image_size": 0}, "image_size is 0: expected whole pixels, at least 1"),
        ({"image_size": -3}, "image_size is -3"),
        ({"image_size": 8.5}, "image_size is 8.5"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ArgumentError, match=message):
        ReadOptions(**options)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"x": np.arange(N), "y": LABELS, "truth": LABELS[::-1], "key": [f"k{i}" for i in range(N)]}),
        (FEATURES_2D, LABELS),
        (PIXELS, LABELS),
    ],
    ids=["table", "features", "images"],
)
def test_some_rows_are_the_same_rows_of_everything(data):
    named = {"label": "y", "clean_label": "truth", "id": "key"} if isinstance(data, pd.DataFrame) else {}
    raw = read(data, **named)
    rows = np.array([7, 2, 11])
    some = raw.take(rows)
    assert len(some) == 3
    assert some.rows.tolist() == [7, 2, 11]
    assert some.kind == raw.kind
    assert some.labels == [raw.labels[row] for row in rows]
    if named:
        assert some.ids == ["k7", "k2", "k11"]
        assert some.clean_labels == [raw.clean_labels[row] for row in rows]
        assert some.table["x"].tolist() == [7, 2, 11]
    else:
        assert some.ids is some.clean_labels is None
        inputs, found = (raw.features, some.features) if raw.images is None else (raw.images, some.images)
        assert (found == inputs[rows]).all()
    assert len(raw) == N, "the original is as it was"
    twice = some.take(np.array([2, 0]))
    assert twice.rows.tolist() == [11, 7], "rows are those of the source, also of a part of a part"
    assert some.take(np.array([], dtype=int)).labels == []


def test_images_on_disk_and_annotations_are_taken_along(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(encoded(color((60 * number, 0, 0))))
    store = FileImages(tmp_path, [f"{number}.png" for number in range(4)], Geometry(resize=8, crop=8))
    votes = pd.DataFrame({"ann": ["cat", "dog", "cat", "dog"], "bob": ["cat", None, "dog", None]})
    given = from_columns(votes, ["ann", "bob"], name="it")
    raw = Records(kind="images", rows=np.arange(4), images=store, annotations=given, labels=given.majority()[0])
    some = raw.take(np.array([3, 2]))
    assert torch.equal(some.images[0], store[3])
    assert len(some.images) == some.annotations.num_rows == 2
    assert sorted(zip(some.annotations.rows.tolist(), some.annotations.labels, strict=True)) == [
        (0, "dog"),
        (1, "cat"),
        (1, "dog"),
    ]


def test_other_data_are_read_as_these_were():
    asked = ReadOptions(image_resize=20)
    images = Records(kind="images", rows=np.arange(2), images=torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert images.resolved(asked) == ReadOptions(image_size=16, image_resize=20)
    backbone = SimpleNamespace(name="resnet18")
    tuned = dataclasses.replace(images, pretrained=backbone, image_size=128)
    assert tuned.resolved(asked) == dataclasses.replace(asked, backbone="resnet18", fine_tune=True, image_size=128)
    frozen = dataclasses.replace(tuned, features=np.eye(2, dtype=np.float32))
    assert frozen.resolved(asked) == dataclasses.replace(asked, backbone="resnet18", fine_tune=False, image_size=128)
    assert Records(kind="features", rows=np.arange(2), features=np.eye(2)).resolved(asked) == asked


def test_options_for_data_with_labels_in_another_column():
    options = ReadOptions(annotators=["ann", "bob"], clean_label="truth", id="key", ignore=["junk"], text="title")
    found = options.with_label("truth")
    assert (found.label, found.annotators, found.clean_label, found.id) == ("truth", (), None, "key")
    assert found.ignore == ("ann", "bob", "junk")
    assert found.text == "title"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "the label"),
        ({"label": "y"}, "label column 'y'"),
        ({"annotators": ["ann"]}, "the majority of the annotators"),
        ({"annotations": "votes.csv"}, "the majority of the annotators"),
    ],
)
def test_messages_name_the_label(options, name):
    assert ReadOptions(**options).label_name == name


def test_the_first_rows_are_all_of_them_at_most():
    raw = read((PIXELS, LABELS))
    assert raw.head(4).rows.tolist() == [0, 1, 2, 3]
    assert (raw.head(4).images.numpy() == PIXELS[:4]).all()
    assert len(raw.head(N + 5)) == N
    assert raw.head(4).remarks == raw.remarks


def test_one_column_has_one_role():
    with pytest.raises(ArgumentError, match="'q' is named as text and in another role"):
        ReadOptions(label="q", text="q")
    with pytest.raises(ArgumentError, match="text and embedding are both named"):
        ReadOptions(label="y", text="q", embedding="e")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "a", "annotators": ("b",)}, "label and annotators are both named"),
        ({"annotators": ("b",), "annotations": "x.csv"}, "annotators and annotations are both named"),
        ({"annotators": "b"}, "expected a sequence of names"),
        ({"annotators": ("b",), "ignore": ("b",)}, "'b' is named as label and as clean_label or ignore"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(ArgumentError, match=message):
        ReadOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "x"}, "encoder is 'x' and no text is named"),
        ({"weights": "w.pth"}, "weights is 'w.pth' and no backbone is named"),
        ({"fine_tune": True, "backbone": "none"}, "fine_tune is True and no backbone is named"),
    ],
)
def test_options_that_lack_their_other_half(options, message):
    with pytest.raises(ArgumentError, match=message):
        ReadOptions(**options)


# Where rows stand in the file

ROWS = [f"{row},{row * row},{'ab'[row % 2]}" for row in range(12)]


def changed(path, change):
    path.write_text("\n".join(["x,z,y", "", *(change.get(row, line) for row, line in enumerate(ROWS))]))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({4: "inf,,a"}, r"column 'x' of the training data is infinite in line 7 of .*t\.csv \(row 4\): replace it"),
        ({0: "1,1,?", 4: "inf,,a"}, r"is infinite in line 7 of .*t\.csv \(row 4\)"),
        ({4: "1,,lily"}, r"one example only \('lily'\): .*; merge or remove these rows: line 7 of .*t\.csv \(row 4\)"),
    ],
)
def test_training_data_that_cannot_be_learned_from(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        prepare_data(changed(tmp_path / "t.csv", change), ReadOptions(label="y", no_label=("?",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {row: f"many,{row},a" for row in range(3, 12)},
            r"column 'x' of the test data has 'many' in line 6 of .*new",
        ),
        ({0: "1,1,", 4: "9,9,lily"}, r"do not have: 'lily'; known .*; first in line 7 of .*new\.csv \(row 4\)"),
        ({4: "1e39,,a"}, r"beyond float32, in line 7 of .*new\.csv \(row 4\)"),
    ],
)
def test_new_data_that_cannot_be_read_as_in_training(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        prepare_data(
            changed(tmp_path / "t.csv", {}), ReadOptions(label="y"), test=changed(tmp_path / "new.csv", change)
        )


@pytest.mark.parametrize(("blank", "place"), [("", "line 6, row 4"), ("\n", "row 4")])
def test_remarks_on_cells_name_the_line_where_that_needs_no_second_reading(tmp_path, blank, place):
    rows = ["1,1,?", *ROWS[1:4], "many,2,a", *ROWS[5:]]
    (tmp_path / "t.csv").write_text("x,z,y\n" + blank + "\n".join(rows))
    prepared = prepare_data(tmp_path / "t.csv", ReadOptions(label="y", no_label=("?",)), test=tmp_path / "t.csv")
    expected = f"column 'x': it holds numbers; 1 cells ('many', first in {place}) are no numbers, and taken for missing"
    assert expected in prepared.preprocessing.remarks
    assert f"1 cells are no numbers ('many'; first in {place}) and count as missing" in prepared.findings[-2].text


def test_features_on_disk_are_taken_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("elr.data.records.ROWS_AT_ONCE", 2)
    features = on_disk((5, 1), np.float32, str(tmp_path))
    features[:, 0] = range(5)
    records = Records(kind="images", rows=np.arange(5), features=features, scratch=str(tmp_path))
    taken = records.take(np.array([4, 0, 2])).features
    assert isinstance(taken, np.memmap)
    assert taken.ravel().tolist() == [4, 0, 2]
    assert list(tmp_path.iterdir()) == []
