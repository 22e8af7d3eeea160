"""Rows have the fingerprint that they had, in any format and order of columns; one cell that changes gives another."""

import io

import numpy as np
import pandas as pd
import pytest

from elr.data.matching.fingerprints import row_fingerprints
from elr.data.reading import read_data
from elr.data.records import ReadOptions, Records

FRAME = pd.DataFrame(
    {
        "whole": [1, 2, 3, 2**60],
        "float": [0.1, -0.0, np.nan, 1e300],
        "single": np.array([0.1, 0.2, np.nan, 3], dtype="float32"),
        "text": ["a", "b, c", None, "ü\u202e"],
        "truth": [True, False, True, False],
        "when": pd.to_datetime(["2024-01-01", "2024-02-29", None, "2025-12-31"]),
        "kind": pd.Categorical(["x", "y", "x", None]),
        "y": ["p", "q", "p", "q"],
    }
)


def of(table, columns=None):
    return row_fingerprints(Records(kind="table", rows=np.arange(len(table)), table=table), columns)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather", "jsonl"])
def test_a_file_has_the_fingerprints_of_the_frame_it_was_made_of(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    {
        "csv": lambda: FRAME.to_csv(path, index=False),
        "parquet": lambda: FRAME.to_parquet(path),
        "feather": lambda: FRAME.to_feather(path),
        "jsonl": lambda: FRAME.to_json(path, orient="records", lines=True, date_format="iso"),
    }[suffix]()
    left_out = ["when", "float", "single"] if suffix == "jsonl" else []  # JSON has no dates; pandas writes ten digits
    frame, options = FRAME.drop(columns=left_out), ReadOptions(label="y", ignore=tuple(left_out))
    one, two = read_data(frame, ReadOptions(label="y")), read_data(path, options)
    np.testing.assert_array_equal(row_fingerprints(one), row_fingerprints(two))


@pytest.mark.parametrize("name", [name for name in FRAME.columns if name != "y"])
def test_one_changed_cell_is_another_row(name):
    changed = FRAME.copy()
    changed[name] = changed[name].iloc[[1, 1, 2, 3]].to_numpy()
    assert (of(changed) != of(FRAME)).tolist() == [True, False, False, False]


def test_cells_do_not_change_places_unseen_and_others_do_not_count():
    pair = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"]})
    assert len(set(of(pair).tolist())) == 2
    assert (of(pair, ["a"]) == of(pair[["a"]])).all()


def test_rows_of_arrays_and_none_of_images():
    features = np.random.default_rng(0).normal(size=(3000, 5)).astype("float32")
    swapped, edited = features[:, [1, 0, 2, 3, 4]], features.copy()
    edited[2999, 4] += 1e-3
    one, two, three = (
        row_fingerprints(Records(kind="features", rows=np.arange(3000), features=each))
        for each in (features, swapped, edited)
    )
    assert len(set(one.tolist())) == 3000
    assert not (one == two).any()
    assert np.flatnonzero(one != three).tolist() == [2999]
    assert row_fingerprints(Records(kind="images", rows=np.arange(1))) is None


def test_they_are_the_same_in_every_version():
    """They are kept for years in the folders of runs."""
    table = pd.read_csv(io.StringIO("n,t\n1.5,a\n,b\n"))
    assert of(table).tolist() == [14237166814549247240, 14402196459537114406]
    features = np.array([[1.0, 2.0]], dtype="float32")
    records = Records(kind="features", rows=np.arange(1), features=features)
    assert row_fingerprints(records).tolist() == [556020867173239511]
