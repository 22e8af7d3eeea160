"""Columns of labels: classes, and what is no label."""

import numpy as np
import pandas as pd
import pytest
import torch

from elr.data.labels.columns import MISSING_WORDS, LabelRules, is_negative, is_nested, read_labels
from elr.errors import DataError


@pytest.mark.parametrize("word", [*sorted(MISSING_WORDS), " nan ", "\u00a0", "\ufeff"])
def test_words_that_say_that_a_label_is_missing(word):
    found = read_labels(pd.Series(["a", word, "b", word, "a"]), name="y")
    assert found.values == ["a", None, "b", None, "a"]
    with pytest.raises(DataError, match="y is missing in 2 of 5 rows, first in row 1: remove these rows, or give"):
        found.checked()
    if word.strip("\u00a0\ufeff "):
        rules = LabelRules(classes=(word,))
        assert None not in read_labels(pd.Series(["a", word]), name="y", rules=rules).values
        with pytest.raises(DataError, match="--class"):
            found.checked()


@pytest.mark.parametrize("word", ["none", "na", "-", "+", "unknown", "0", "nano", "!", "."])
def test_words_that_are_classes(word):
    assert read_labels(pd.Series(["a", word]), name="y").values == ["a", word] or word == "0"


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, np.nan, 2]),
        pd.array([1, None, 2], dtype="Int64"),
        pd.array([True, None, False], dtype="boolean"),
        pd.array(["a", None, "b"], dtype="string"),
        pd.Categorical(["a", None, "b"]),
        pd.Series(["a", None, "b"], dtype=pd.ArrowDtype(__import__("pyarrow").string())),
        np.array(["a", "nan", "b"]),
        [1, None, "x"],
        [True, float("nan"), 2.0],
        [pd.Timestamp(0), pd.NaT, pd.Timestamp(1)],
        [b"a", None, b"b"],
    ],
)
def test_missing_cells_of_every_type(column):
    found = read_labels(pd.Series(column), name="y")
    assert [value is None for value in found.values] == [False, True, False]
    with pytest.raises(DataError, match="missing in 1 of 3 rows, first in row 1"):
        found.checked()


def test_what_the_user_calls_no_label_is_left_out():
    found = read_labels(pd.Series([-1, 0, 1, 2, -1]), name="y", rules=LabelRules(no_label=("-1",)))
    assert found.values == [None, 0, 1, 2, None]
    assert found.checked() == ["2 of 5 rows left out: y says 2 '-1' there, which --no-label says is no label"]
    mixed = read_labels(pd.Series(["-1", "?", "a"]), name="y", rules=LabelRules(no_label=("-1",)))
    with pytest.raises(DataError, match=r"--no-label '\?' leaves them out; --class '\?'"):
        mixed.checked()


@pytest.mark.parametrize(
    ("values", "said"),
    [([-1, 1], None), ([-1, 0, 1], "taken for a class"), ([-1, 0], "taken for a class"), ([-2, -1, 0, 1], None)],
)
def test_minus_one_as_a_class(values, said):
    remarks = read_labels(pd.Series(values * 2), name="y").checked()
    assert [said in remark for remark in remarks] == [True] * (said is not None)


@pytest.mark.parametrize("values", [[-1, 0, 1, 2], ["-1", "cat", "dog"], [-1.0, 1.0, 2.0]])
def test_minus_one_that_is_hardly_a_class(values):
    column = pd.Series(values * 2)
    with pytest.raises(DataError, match=r"y has -1 in 2 of .*--no-label -1 .*--class -1"):
        read_labels(column, name="y").checked()
    assert read_labels(column, name="y", rules=LabelRules(classes=("-1",))).checked() == []


def test_many_measurements_are_said():
    (remark,) = read_labels(pd.Series(np.arange(20) / 7 + 0.01), name="y").checked()
    assert "holds 20 different numbers that are not whole" in remark


def test_lists_are_no_labels_and_stop_no_prediction():
    found = read_labels(pd.Series([[1], [2]]), name="y")
    assert found.values == ["[1]", "[2]"]
    with pytest.raises(DataError, match="y holds lists or records"):
        found.checked()
    assert is_nested(pd.Series([{"a": 1}, None]))
    assert not is_nested(pd.Series([b"a"]), text=False)
    assert is_negative(-3)
    assert not is_negative("-3.5")


def test_flags_that_say_something_of_no_value_are_said():
    rules = LabelRules(classes=("nan", "none"), no_label=("?",))
    found = read_labels(pd.Series(["nan", "cat", "cat", "nan"]), name="y", rules=rules)
    assert found.unheeded == [
        "--class none says something of a value that y does not have",
        "--no-label '?' says something of a value that y does not have",
    ]
    assert found.checked()[-2:] == found.unheeded


@pytest.mark.parametrize("word", ["unknown", "none", "-999", "Missing"])
def test_words_that_may_say_that_a_label_is_missing_are_said(word):
    labels = pd.Series(["cat", "dog", word, "cat", "dog", word])
    (remark,) = read_labels(labels, name="y").checked()
    assert f"{word!r} in 2 of 6 rows" in remark
    assert "--no-label" in remark
    assert read_labels(labels, name="y", rules=LabelRules(classes=(word,))).checked() == []


def test_several_classes_in_one_cell_are_said():
    (remark,) = read_labels(pd.Series(["cat", "dog", "cat|dog", "a/b", "dog|dog"]), name="y").checked()
    assert "several classes in one cell in 2 of 5 rows, such as 'cat|dog'" in remark


def test_labels_of_a_list_of_a_tensor():
    assert read_labels(pd.Series(list(torch.tensor([1, 0, 1])), dtype=object), name="y").values == [1, 0, 1]
    assert read_labels(pd.Series([torch.ones(2), torch.ones(2)], dtype=object), name="y").nested is False
