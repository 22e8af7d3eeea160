"""Data as read, and how it was asked for."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 0}, "label is 0: expected the name of a column as text, such as '0'"),
        ({"label": ""}, "label is '': expected the name of a column"),
        ({"id": 3}, "id is 3"),
        ({"clean_label": b"y"}, "clean_label is b'y'"),
        ({"ignore": (1,)}, "ignore is 1"),
        ({"ignore": "abc"}, r"ignore is 'abc': expected a sequence of column names, \('abc',\)"),
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
        ({"annotators": "b"}, "expected a sequence of column names"),
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
