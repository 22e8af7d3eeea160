"""Labels as values of a column, and as the numbers of classes."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elr.data.label_coding import LabelCoding, label_values
from elr.data.labels.spelling import class_key
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
