"""Cells of one column, in all their spellings."""

import datetime
import decimal
import math

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.categories import MISSING
from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC, ColumnReading
from elr.errors import ArgumentError, DataError


def plain(column, kind):
    return ColumnReading(kind=kind).read(pd.Series(column), place="column 'x' of new.csv").values.tolist()


def test_numbers_from_all_their_spellings():
    expected = [1.0, 2.5, pytest.approx(np.nan, nan_ok=True)]
    for column in (
        [1, 2.5, None],
        ["1", " 2.5", None],
        pd.array([1, 2.5, None], dtype="Float64"),
        pd.Series([decimal.Decimal(1), decimal.Decimal("2.5"), None], dtype=object),
        pd.Categorical([1, 2.5, None]),
        pd.to_timedelta([1, 2.5, None], unit="s"),
        pd.Series([1, 2.5, None], dtype="double[pyarrow]"),
    ):
        assert plain(column, NUMERIC) == expected
    assert plain([True, False], NUMERIC) == [1, 0]
    assert np.isnan(plain([None, None], NUMERIC)).all()


def test_dates_from_all_their_spellings():
    moment = [pd.Timestamp("2024-03-01 12:00"), pd.NaT]
    expected = [19783.5, pytest.approx(np.nan, nan_ok=True)]
    for column in (
        moment,
        pd.Series(moment).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        ["2024-03-01T12:00:00", None],
        ["2024-03-01 14:00+02:00", None],
        pd.Categorical(["2024-03-01T12:00Z", None]),
        pd.Series(moment, dtype="timestamp[us][pyarrow]"),
        [datetime.datetime(2024, 3, 1, 12), None],
    ):
        assert plain(column, DATE) == expected
    assert plain([datetime.date(1970, 1, 2)], DATE) == [1]
    assert plain(pd.Series([datetime.date(1970, 1, 2)], dtype="date32[pyarrow]"), DATE) == [1]
    assert plain(["0001-01-01", "9999-12-31"], DATE) == [-719162, 2932896]


def test_categories_from_all_their_spellings():
    assert plain(["a", None, "", " ", "b"], CATEGORICAL) == ["a", MISSING, MISSING, MISSING, "b"]
    for column in ([12, 7, None], [12.0, 7.0, None], ["12", "7.0", None], pd.Categorical([12, 7, None])):
        assert plain(column, CATEGORICAL) == ["12", "7", MISSING]
    for column in ([True, False], ["true", "FALSE"], pd.array([True, False], dtype="boolean"), np.array([True, False])):
        assert plain(column, CATEGORICAL) == ["True", "False"]
    assert plain(["007", "1.50", "-3.0"], CATEGORICAL) == ["007", "1.50", "-3"]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ([1, "two", "three"], NUMERIC, r"column 'x' of new\.csv has 'two' in row 1: expected a number, as in training"),
        (["True", "True", "2"], NUMERIC, "has 'True' in row 0: expected a number"),
        ([1.0, np.inf, 2], NUMERIC, "is infinite in row 1: replace it by a number or leave the cell empty"),
        (["1", "2", "-inf"], NUMERIC, "is infinite in row 2"),
        (["1", "1e400", "2"], NUMERIC, "is infinite in row 1"),
        ([1, 1e300, 2], NUMERIC, r"is 1e\+300, beyond float32, in row 1"),
        (pd.date_range("2024-01-01", periods=3), NUMERIC, r"holds datetime64.*: expected numbers, as in training"),
        ([1j, 2, 3], NUMERIC, "holds complex128: expected numbers"),
        ([[1], [2], [3]], NUMERIC, "holds lists, records or bytes: expected numbers"),
        (["soon", "yesterday", None], DATE, "has 'soon' in row 0: expected a date such as 2024-12-31"),
        ([None, "2024-02-30", None], DATE, "has '2024-02-30' in row 1: expected a date"),
        ([None, 20240101], DATE, r"in row 1: expected a date"),
    ],
)
def test_cells_that_do_not_fit_are_said_where(column, kind, message):
    with pytest.raises(DataError, match=message):
        plain(column, kind)


def test_rows_are_counted_from_the_top_whatever_the_index():
    column = pd.Series([1, "x", "x"], index=[7, 7, 7])
    with pytest.raises(DataError, match="'x' in row 1"):
        plain(column, NUMERIC)
    dated = pd.Series([None, "x"], index=[3, 3])
    with pytest.raises(DataError, match="'x' in row 1"):
        plain(dated, DATE)
    assert plain(pd.Series(["2024-01-02", "2024-01-01"], index=[3, 3]), DATE) == [19724, 19723]


@pytest.mark.parametrize(
    ("name", "value"),
    [("low", {}), ("high", "/etc/passwd"), ("missing", [[]]), ("kind", "other"), ("truth", 3), ("date_form", 1)],
)
def test_what_is_no_reading_is_refused(name, value):
    stored = ColumnReading(kind=NUMERIC, low=-1.0, high=2.0).to_json()
    with pytest.raises(ArgumentError, match=f"^{name} is "):
        ColumnReading.from_json(stored | {name: value})
    assert math.isnan(ColumnReading.from_json(stored | {"low": None}).low)  # as JSON has a number that is none
