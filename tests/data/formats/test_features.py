"""Arrays as people bring them: what is taken, and what is refused and where."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from elr.data.formats.features import as_array, checked_features, list_features, lost_digits, native_frame, one_each
from elr.errors import DataError


def test_as_array_says_what_it_cannot_take():
    assert as_array([[1, 2]], "the inputs").shape == (1, 2)
    with pytest.raises(DataError, match="the inputs are no array of one shape"):
        as_array([[1], [1, 2]], "the inputs")
    with pytest.raises(DataError, match=r"sparse matrix: pass their \.toarray\(\), or use ELRClassifier"):
        as_array(sparse.eye_array(2), "the inputs")
    with pytest.raises(DataError, match="detach"):
        as_array(torch.ones(2, requires_grad=True), "the inputs")


def test_one_value_for_each_row():
    assert one_each(np.arange(3), 3, name="y").tolist() == [0, 1, 2]
    assert one_each(np.arange(3)[:, None], 3, name="y").tolist() == [0, 1, 2]
    for wrong in (np.eye(3), np.arange(2), np.array(1)):
        with pytest.raises(DataError, match=r"y has shape .* for 3 rows: expected one value for each row, \(3,\)"):
            one_each(wrong, 3, name="y")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_features_say_where_they_are_not_finite(value):
    rows = np.ones((4, 3))
    rows[2, 1] = rows[3, 0] = value
    with pytest.raises(DataError, match=r"the inputs have 2 values .* in row 2, column 1: replace them or remove"):
        checked_features(rows, "the inputs")


def test_features_may_be_any_real_numbers():
    for dtype in ("float16", "float64", "int8", "uint16", "bool"):
        assert checked_features(np.ones((2, 3), dtype), "x").dtype == np.float32
    for wrong in (np.ones(3), np.ones((3, 0)), np.ones((2, 2), complex), np.array([["a"]]), np.ones((2, 2), object)):
        with pytest.raises(DataError, match=r"x are .* of shape .*: expected numbers \(N, D\), D >= 1"):
            checked_features(wrong, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"column 'e' has 1 numbers in row 1: expected a list of 2 numbers"),
        ([[1.0, 2.0], [1.0, 2.0], 3.0], r"has 3.0, which is no list, in row 2"),
        ([[1.0], None], "is missing in 1 of 2 rows, first in row 1"),
        ([[1.0], ["a"]], "lists of something else than numbers"),
        ([[1.0], [float("inf")]], "NaN, infinite or beyond float32, first inf in row 1"),
        ([[], []], "has 0 numbers in row 0"),
    ],
)
def test_lists_that_are_no_features_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        list_features(pd.Series(values), name="column 'e'")


def test_masked_values_are_refused_with_the_first_row():
    masked = np.ma.masked_array(np.eye(3), [[0, 0, 0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="it have 2 masked values, first in row 1"):
        as_array(masked, "it")
    assert as_array(np.ma.masked_array(np.eye(2)), "it").tolist() == np.eye(2).tolist()


def test_the_order_of_bytes_is_that_of_this_machine():
    foreign = np.array([1.5, 2.5], dtype=">f8")
    assert one_each(foreign, 2, name="y").dtype.isnative
    assert as_array(foreign[:, None], "it").tolist() == [[1.5], [2.5]]
    frame = pd.DataFrame({"x": foreign, "c": pd.Categorical(["a", "b"])})
    assert native_frame(frame).dtypes["x"].isnative
    assert native_frame(frame)["x"].tolist() == [1.5, 2.5]
    plain = frame.astype({"x": "float64"})
    assert native_frame(plain) is plain


def test_records_are_no_values():
    with pytest.raises(DataError, match=r"y holds records of 'u', 'v': .* such as those of one field, array\['u'\]"):
        one_each(np.zeros(3, dtype=[("u", int), ("v", int)]), 3, name="y")


def test_tensors_of_bfloat16():
    assert as_array(torch.tensor([[1.5, 2.0]]).bfloat16(), "it").tolist() == [[1.5, 2.0]]


@pytest.mark.parametrize("given", [1e9 + np.arange(9.0), np.arange(9.0) * 1e-300, 2**62 + np.arange(9)])
def test_digits_that_float32_loses_are_said(given):
    given = np.column_stack([np.arange(len(given)), given])
    with np.errstate(under="ignore"):
        (remark,) = lost_digits(given, given.astype(np.float32), "it")
    assert remark.startswith(
        "it lose digits in 1 of 2 columns, as float32 has only 7 of them: column 1 has values from"
    )


def test_numbers_that_float32_has_are_not_remarked_on():
    given = np.random.default_rng(0).normal(size=(50, 3)) * 1e20
    assert lost_digits(given, given.astype(np.float32), "it") == []
    assert lost_digits(np.full((5, 2), 0.1), np.full((5, 2), 0.1, np.float32), "it") == []
