"""Labels as values of a column, and as the numbers of classes."""

import datetime
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elr.data.label_coding import LabelCoding, label_values
from elr.data.labels.spelling import class_key
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.errors import DataError


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b", "a"], ("a", "b")),
        ([10, 9, 10, 9], (9, 10)),
        (["10", "9", "10", "9"], ("10", "9")),
        ([-1, 2**62, -1, 2**62], (-1, 2**62)),
        (["NA", "None", "", "None", "NA", ""], ("", "NA", "None")),
    ],
)
def test_classes_are_sorted_and_survive_json(labels, names):
    coding = LabelCoding.fit(labels, column="y")
    assert coding.class_names == names
    again = LabelCoding(class_names=tuple(json.loads(json.dumps(coding.class_names))))
    assert again == coding
    assert [type(name) for name in again.class_names] == [type(name) for name in names]
    assert [names[number] for number in again.encode(labels, column="y")] == labels


@given(
    st.lists(st.text(max_size=3), min_size=2, max_size=6, unique_by=class_key)
    | st.lists(st.integers(), min_size=2, unique=True)
)
def test_every_label_comes_back(values):
    labels = [*values, *reversed(values)]
    coding = LabelCoding.fit(labels, column="y")
    numbers = coding.encode(labels, column="y")
    assert sorted(set(numbers.tolist())) == list(range(len(values)))
    assert [coding.class_names[number] for number in numbers] == labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "a", "a"], r"y is constant: all 3 rows say \['a'\]; at least two classes"),
        ([], "y is constant: all 0 rows"),
        ([3, 1, 2], r"y is different in each of the 3 rows \(such as 1\): that is an identifier"),
        (["a", "a", "b", "c"], r"y has 2 of 3 classes with one example only \('b', 'c'\).*merge or remove these rows"),
    ],
)
def test_labels_that_say_nothing_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        LabelCoding.fit(labels, column="y")


def test_a_message_does_not_repeat_a_whole_text():
    with pytest.raises(DataError) as caught:
        LabelCoding.fit([f"{row} " + "word " * 1000 for row in range(4)], column="y")
    assert len(str(caught.value)) < 400


def test_unknown_labels_are_named():
    coding = LabelCoding(class_names=("cat", "dog"))
    with pytest.raises(DataError, match=r"y has 2 values that the training labels do not have: 'Cat', 'cow'; known"):
        coding.encode(["cat", "cow", "Cat", "cow"], column="y")


def test_digits_alone_mean_the_classes_of_the_same_text():
    """Training labels "1", "2", "x" are text; a file that lacks the x reads as numbers, and the other way round."""
    assert LabelCoding(class_names=("1", "2", "x")).encode([2, 1], column="y").tolist() == [1, 0]
    assert LabelCoding(class_names=(1, 2)).encode(["2", "1"], column="y").tolist() == [1, 0]
    with pytest.raises(DataError, match="'01'"):
        LabelCoding(class_names=(1, 2)).encode(["01"], column="y")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([0, 1], [0, 1]),
        (["3", "-2"], [3, -2]),
        (["1.0", "2"], [1, 2]),
        ([1.0, 2.0], [1, 2]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        (["01", "1"], ["01", "1"]),
        (["1.5", "2"], ["1.5", "2"]),
        (["none", "na"], ["none", "na"]),
        (["-", "+"], ["-", "+"]),
        (["-1", "+1"], ["-1", "+1"]),
        ([True, False], ["True", "False"]),
        (["True", "1"], [1, 1]),
        (["True", "1", "x"], ["1", "1", "x"]),
        ([True, 1, 1.0, "1", 2], [1, 1, 1, 1, 2]),
        (["true", "true", "True", "x"], ["true", "true", "true", "x"]),
        ([" a", "a "], [" a", " a"]),
        (["a", "a\u00a0", "\ufeffa", "b"], ["a", "a", "a", "b"]),
        (["cafe\u0301", "caf\u00e9"], ["caf\u00e9", "caf\u00e9"]),
        (["Cat", "cat"], ["Cat", "cat"]),
        (["\u0661", "\u0662"], ["\u0661", "\u0662"]),
        (["1e3", "2"], ["1e3", "2"]),
        ([b"cat", b"\xff"], ["cat", "\\xff"]),
        ([9007199254740993, 1], [9007199254740993, 1]),
        (["9007199254740993.0", "1"], [9007199254740993, 1]),
        (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
        (pd.Categorical(["b", "a"], categories=["a", "b", "c"]), ["b", "a"]),
        (pd.array([1, 2], dtype="Int64"), [1, 2]),
        (pd.array([True, False], dtype="boolean"), ["True", "False"]),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], ["2024-01-01", "2024-01-02"]),
    ],
)
def test_labels_are_whole_numbers_or_text(column, expected):
    found = label_values(pd.Series(column), name="y")
    assert found == expected
    assert [type(label) for label in found] == [type(label) for label in expected]


@pytest.mark.parametrize(
    "column",
    [
        ["a", "b", None, "c", None],
        ["a", "b", "  ", "c", ""],
        ["a", "b", "nan", "c", "N/A"],
        np.array(["a", "b", "nan", "c", "?"]),
        [1, 2, np.nan, 3, np.nan],
        pd.array([1, 2, None, 3, None], dtype="Int64"),
        [pd.Timestamp(0), pd.Timestamp(1), pd.NaT, pd.Timestamp(2), pd.NaT],
    ],
)
def test_missing_labels_are_said_where(column):
    with pytest.raises(DataError, match="label 'y' is missing in 2 of 5 rows, first in row 2: remove these rows, or"):
        label_values(pd.Series(column), name="label 'y'")


def test_labels_must_be_single_values():
    for cell in ([1, 2], {"a": 1}, (1, 2), np.arange(2)):
        with pytest.raises(DataError, match="y holds lists or records: expected one class in each row"):
            label_values(pd.Series([cell, cell]), name="y")


# The same labels in every format and place

ROWS = 12
WAYS = ("csv", "tsv", "parquet", "jsonl", "frame", "pair", "npz", "npy")


def lying(root, way, labels, name="t"):
    """The same features with some labels, in one format, and how to read them."""
    x = np.arange(len(labels), dtype=np.float64) % 5
    frame = pd.DataFrame({"x": x + 0.5, "z": x[::-1]})
    path = root / f"{name}.{way}"
    texts = np.array([str(label) for label in labels])
    if way == "pair":
        return (frame.to_numpy(), labels), ReadOptions()
    if way == "npz":
        np.savez(path, X=frame.to_numpy(), y=texts)
    elif way == "npy":
        np.save(path, frame.to_numpy())
        np.save(root / f"{name}-y.npy", texts)
        return path, ReadOptions(label=str(root / f"{name}-y.npy"))
    elif way == "jsonl":
        path.write_text(
            "".join(json.dumps({**row, "y": y}) + "\n" for row, y in zip(frame.to_dict("records"), labels, strict=True))
        )
    elif way == "parquet":
        frame.assign(y=texts).to_parquet(path)
    elif way == "frame":
        return frame.assign(y=pd.Series(labels, dtype=object)), ReadOptions(label="y")
    else:
        frame.assign(y=texts).to_csv(path, index=False, sep="," if way == "csv" else "\t")
    return path, ReadOptions(label="y")


@pytest.mark.parametrize("way", WAYS)
def test_one_class_in_several_spellings(tmp_path, way):
    data, options = lying(tmp_path, way, [1, "1.0", True, "true", 0, "0.0", False, "0", 1, 0, "other", "other"])
    prepared = prepare_data(data, options)
    assert prepared.preprocessing.coding.class_names == ("0", "1", "other")
    assert prepared.examples.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 2, 2]
    said = [*prepared.records.remarks, *prepared.preprocessing.remarks]
    assert sum("in several spellings, taken as one" in remark for remark in said) == 1
    stored = prepared.preprocessing.to_json()["spellings"]
    assert set(stored) == {"0", "1"}
    assert sum(stored["1"].values()) == 5


@pytest.mark.parametrize("way", [way for way in WAYS if way != "npy"])
def test_test_labels_may_be_spelled_otherwise_or_missing(tmp_path, way):
    data, options = lying(tmp_path, way, [1, 0] * 6)
    test, _ = lying(tmp_path, way, [True, False, "1.0", "0", "?", "-1", "nan", -1.0], name="test")
    prepared = prepare_data(data, options, test=test)
    assert prepared.test.labels.tolist() == [1, 0, 1, 0]
    assert ["4 of 8 rows of the test data have no label" in each.text for each in prepared.findings] == [True]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mark", ["nan", "None", "NA", "?", " "])
def test_marks_of_missing_labels_are_refused_unless_they_are_classes(tmp_path, way, mark):
    data, options = lying(tmp_path, way, ["a", "b", mark, "a", "b", mark] * 2)
    line = {"csv": r"line 4 \(row 2\)", "tsv": r"line 4 \(row 2\)", "jsonl": r"line 3 \(row 2\)"}.get(way, "row 2")
    with pytest.raises(DataError, match=f"is missing in 4 of 12 rows, first in {line}"):
        prepare_data(data, options)
    if mark.strip():
        kept = prepare_data(data, replace(options, classes=(mark,)))
        assert set(kept.preprocessing.coding.class_names) == {"a", "b", mark}
        without = prepare_data(data, replace(options, no_label=(mark,)))
        assert without.preprocessing.coding.class_names == ("a", "b")
        assert without.records.rows.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
        assert "4 of 12 rows left out" in without.records.remarks[0]


def test_a_pair_of_a_mixed_frame_and_labels_is_a_table():
    frame = pd.DataFrame({"town": ["u", "v"] * 6, "x": [1.0, None] * 6})
    prepared = prepare_data((frame, ["a", "b"] * 6), ReadOptions(), test=(frame, ["b", "a"] * 6))
    assert dict(prepared.preprocessing.columns) == {"town": "categorical", "x": "numeric"}
    assert prepared.test.labels.tolist() == [1, 0] * 6
    with pytest.raises(DataError, match="same index in another order"):
        prepare_data((frame, pd.Series(["a", "b"] * 6)[::-1]), ReadOptions())
    with pytest.raises(DataError, match="have 1 masked values, first in row 0"):
        prepare_data((np.ma.array(np.eye(4), mask=[[1, 0, 0, 0]] + [[0] * 4] * 3), [0, 1, 0, 1]), ReadOptions())


def test_folders_of_images_are_classes_in_any_spelling():
    coding = LabelCoding.fit(["cafe\u0301", "caf\u00e9", "the\u0301", "the\u0301"], column="the folders")
    assert coding.class_names == ("caf\u00e9", "the\u0301")
    assert coding.spellings == {"caf\u00e9": {"cafe\u0301": 1, "caf\u00e9": 1}}
    assert coding.encode(["th\u00e9", "caf\u00e9"], column="y").tolist() == [1, 0]
    assert coding.canonical(["th\u00e9", "cow"]) == ["the\u0301", "cow"]
    assert coding.numbers(["cow", None, "-1"]).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"class_names": ["cat", []]}, "expected texts or whole numbers"),
        ({"class_names": ["cat", {"a": 1}]}, "expected texts or whole numbers"),
        ({"class_names": [0, True]}, "expected texts or whole numbers"),
        ({"class_names": "cat"}, "expected texts or whole numbers"),
        ({"class_names": ["cat", "cat"]}, "a class twice"),
        ({"spellings": []}, "expected those of each class"),
    ],
)
def test_a_coding_of_a_run_that_is_none_is_no_coding(change, error):
    with pytest.raises(TypeError, match=error):
        LabelCoding.stored({"class_names": ["cat", "dog"], "spellings": {}} | change)
