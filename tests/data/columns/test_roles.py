"""Counters, and the label under another name."""

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.choice import found_column
from elr.data.columns.roles import counter, echoes
from elr.data.columns.selection import select_columns

N = 200
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, N)


def role(name, column):
    found = found_column(pd.Series(column))
    return counter(name, found.reading, found.cells)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Id", np.arange(1, N + 1)),
        ("Unnamed: 0", RNG.permutation(N)),
        ("Unnamed: 0", [1, 0]),
        ("x", RNG.permutation(N) + 5000.0),
        ("x", np.delete(np.arange(N), [5, 60, 61])),
        ("userId", RNG.choice(10**6, N, replace=False)),
        ("exported", pd.date_range("2024-01-01", periods=N, freq="s")),
        ("day", pd.date_range("2024-01-01", periods=N)[RNG.permutation(N)]),
    ],
)
def test_counters(name, column):
    reason, _ = role(name, column)
    assert reason


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("age", RNG.integers(18, 90, N)),
        ("x", np.arange(10)),
        ("x", np.arange(N) / 7),
        ("width", RNG.choice(10**6, N, replace=False)),
        ("valid", RNG.choice(10**6, N, replace=False)),
        ("born", pd.to_datetime("1990-01-01") + pd.to_timedelta(RNG.integers(0, 9999, N), unit="D")),
    ],
)
def test_features(name, column):
    assert role(name, column) == ("", "")


def test_numbers_that_rise_with_the_rows_are_said_and_kept():
    reason, doubt = role("salary", np.sort(RNG.choice(10**6, N, replace=False)))
    assert reason == ""
    assert "as a counter does" in doubt


def found(**columns):
    return echoes({name: found_column(pd.Series(column)).cells for name, column in columns.items()}, LABELS.tolist())


def test_copies_of_the_label():
    words = np.array(["bad", "so so", "good"], dtype=object)[LABELS]
    typos = words.copy()
    typos[:2] = ["god", "bed"]
    gaps = np.where(LABELS == 0, None, words)
    copies = found(words=words, codes=LABELS * 10.0, typos=typos, gaps=gaps)
    assert list(copies) == ["words", "codes", "typos", "gaps"]
    assert copies["codes"] == "it says the label in other words, in every row"


def test_indicators_of_all_classes_are_a_copy_together():
    assert list(found(a=LABELS == 0, b=(LABELS == 1) * 1, c=(LABELS == 2) * 1.0)) == ["a", "b", "c"]
    assert list(found(a=LABELS == 0, b=(LABELS == 1) * 1)) == ["a", "b"]
    assert found(a=LABELS == 0) == {}


def test_good_features_are_no_copies():
    good = LABELS.copy()
    good[:20] = (good[:20] + 1) % 3
    merged = np.where(LABELS == 2, 1, LABELS)
    assert found(good=good, merged=merged, finer=LABELS * 10 + RNG.integers(0, 5, N)) == {}
    rare = [1] * 3 + [0] * 197
    assert echoes({"x": found_column(pd.Series([0] * 197 + [1] * 3)).cells}, rare) == {}


def test_an_indicator_of_one_class_among_several_is_said_and_learned_from():
    labels = ["cat", "dog", "cow", "hen"] * 10
    frame = pd.DataFrame(
        {"x": np.linspace(0, 1, 40) ** 2 % 0.1, "is cat": [1, 0, 0, 0] * 10, "other": [1, 0, 1, 0] * 10}
    )
    chosen = select_columns(frame, labels)
    assert "is cat" in chosen.readings
    assert list(chosen.doubts) == ["is cat"]
    said = "it says in every row whether the label is 'cat': if it was made from the label, --ignore 'is cat' leaves it"
    assert f"column 'is cat': {said} out" in chosen.remarks
    assert not select_columns(frame, labels, keep=["is cat"]).doubts
    assert not select_columns(frame, [label == "cat" for label in labels]).doubts  # a copy of the whole label: left out


def test_gaps_do_not_hide_a_copy_of_the_label():
    copy = pd.Series(np.array(["no", "yes", "maybe"], dtype=object)[LABELS])
    copy[::10] = None
    found = echoes({"code": found_column(copy).cells}, LABELS)
    assert found == {"code": "it says the label in other words, in every row of the 180 that have a value"}
    copy[: N // 2 + 10] = None
    assert not echoes({"code": found_column(copy).cells}, LABELS)
