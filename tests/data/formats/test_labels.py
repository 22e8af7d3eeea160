"""Labels as people pass them, and whose they are."""

import numpy as np
import pandas as pd
import pytest

from elr.data.formats.labels import (
    check_ids,
    check_order,
    flat_labels,
    label_columns,
    label_series,
    labeled,
    plain_labels,
    row_index,
)
from elr.data.labels.columns import read_labels
from elr.data.records import ReadOptions, Records
from elr.errors import DataError

FRAME = pd.DataFrame({"x": [1.0, 2, 3]}, index=[5, 6, 7])


@pytest.mark.parametrize(
    "labels",
    [
        [True, 1, "x"],
        (True, 1, "x"),
        pd.Series([True, 1, "x"], index=[9, 9, 9]),
        np.array([True, 1, "x"], dtype=object),
        np.array([[True], [1], ["x"]], dtype=object),
        pd.DataFrame({"y": [True, 1, "x"]}),
    ],
)
def test_labels_keep_their_types(labels):
    assert label_series(labels, 3, name="y").tolist() == [True, 1, "x"]
    with pytest.raises(DataError, match="for 4 rows: expected one value for each row"):
        label_series(labels, 4, name="y")


def test_masked_labels_are_missing():
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    assert label_series(masked, 3, name="y").tolist() == [1, None, 3]
    with pytest.raises(DataError, match="y is missing in row 1, one of 1 such rows"):
        plain_labels(np.eye(3), masked)


def test_labels_in_another_order_than_the_rows():
    with pytest.raises(DataError, match=r"X and y have the same index in another order, first 5 and 7: pass y\.loc\[X"):
        check_order(FRAME, pd.Series([0, 1, 0], index=[7, 6, 5]), names=("X", "y"))
    assert check_order(FRAME, pd.Series([0, 1, 0], index=[5, 6, 7]), names=("X", "y")) == []
    assert check_order(FRAME, [0, 1, 0], names=("X", "y")) == []
    (remark,) = check_order(FRAME, pd.Series([0, 1, 0]), names=("X", "y"))
    assert "different indexes (first 5 and 0): labels were taken by position" in remark


def test_an_estimator_keeps_labels_of_one_type():
    for labels in ([0, 1, 1], np.array(["a", "b", "a"]), np.array([0.0, 1.0, 1.0]), pd.Series([True, False, True])):
        assert plain_labels(None, labels)[0] is labels
    assert plain_labels(None, [1, "1", 1.0, "x"])[0].tolist() == ["1", "1", "1", "x"]
    assert plain_labels(None, [1, True, "0"])[0].tolist() == [1, 1, 0]
    merged, (remark,) = plain_labels(None, ["1", "1.0", "2", "2"])
    assert merged.tolist() == ["1", "1", "2", "2"]
    assert "taken as one" in remark
    for missing in (["a", "nan"], ["a", None, 1], np.array(["a", "?"])):
        with pytest.raises(DataError, match="y is missing in row 1"):
            plain_labels(None, missing)


def test_labels_as_one_column_are_flat():
    polars = pytest.importorskip("polars")
    for labels in (pd.DataFrame({"y": ["a", "b"]}), polars.DataFrame({"y": ["a", "b"]}), np.array([["a"], ["b"]])):
        assert flat_labels(labels).tolist() == ["a", "b"]
    assert flat_labels([[1], [2]]).tolist() == [1, 2]
    for labels in (["a", "b"], [[1], [2, 3]], np.eye(2), pd.DataFrame({"y": [1], "z": [2]}), None, 3):
        assert flat_labels(labels) is labels


def test_labels_to_learn_from_are_checked():
    with pytest.raises(DataError, match=r"y has -1 in 1 of 5 rows .*: leave these rows out, or give it another name"):
        plain_labels(None, [-1, 0, 0, 2, 2])
    assert plain_labels(None, [-1, 0, 0, 2, 2], training=False) == ([-1, 0, 0, 2, 2], [])
    assert plain_labels(None, [-1, 1, -1, 1])[1] == []
    (remark,) = plain_labels(None, np.array([-1, -1, 0, 0, 1, 1]))[1]
    assert remark.endswith("taken for a class beside 0 and 1: if it says 'no label', leave these rows out")
    (remark,) = plain_labels(None, ["a", "tbd"] * 2)[1]
    assert remark.endswith("taken for a class: leave these rows out if it says that there is no label")
    (remark,) = plain_labels(None, [3, 4, 4])[1]
    assert remark.startswith("y has 1 of 2 classes with one example only ('3')")


def test_columns_of_labels():
    frame = pd.DataFrame({"y": ["?", "a"], "gold": ["a", "b"], "k": [1, 2]})
    given, clean, ids = label_columns(frame, ReadOptions(label="y", clean_label="gold", id="k"), name="t.csv")
    assert (given.values, clean.values, ids) == ([None, "a"], ["a", "b"], ["1", "2"])
    records = Records(kind="features", rows=np.arange(2), features=np.eye(2, dtype=np.float32))
    assert labeled(records, given, clean, training=False).labels == [None, "a"]
    with pytest.raises(DataError, match=r"label column 'y' of t\.csv is missing in 1 of 2 rows"):
        labeled(records, given, clean, training=True)
    assert labeled(records, read_labels(pd.Series(["", None]), name="y"), training=False).labels is None
    with pytest.raises(DataError, match="1 names that stand in several rows"):
        check_ids(["a", "a"], name="k")


def test_labels_of_pandas_in_another_order_of_bytes():
    labels = pd.Series(np.array([1, 0, 1], dtype=">i4"))
    assert label_series(labels, 3, name="y").tolist() == [1, 0, 1]
    assert read_labels(label_series(labels, 3, name="y"), name="y").values == [1, 0, 1]
    assert label_series(pd.Series(["a", "b"], dtype="category"), 2, name="y").tolist() == ["a", "b"]


def test_the_index_of_rows_is_that_of_whatever_has_one():
    rows = np.array([2, 0])
    assert row_index(FRAME, rows).tolist() == [7, 5]
    assert row_index((FRAME, [0, 1, 2]), rows).tolist() == [7, 5]
    assert row_index((np.eye(3), pd.Series(list("abc"), index=list("xyz"))), rows).tolist() == ["z", "x"]
    pairs = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    assert row_index(FRAME.set_axis(pairs), rows).tolist() == [("b", 1), ("a", 1)]
    for data in (None, "t.csv", np.eye(3), (np.eye(3), [0, 1, 2]), FRAME.reset_index(drop=True)):
        assert row_index(data, np.arange(3)) is None
    assert row_index(FRAME.reset_index(drop=True), rows).tolist() == [2, 0]  # rows that are left out shift the others
