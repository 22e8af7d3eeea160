"""Truths, fractions and dates as labels: what they were is known again, or nothing is said."""

import numpy as np
import pandas as pd
import pytest

from elr.data.labels.columns import read_labels
from elr.data.labels.value_types import as_values, value_type

DATES = pd.Series([pd.Timestamp("2024-01-01"), pd.Timestamp("2024-07-02 12:30:00.5")])
COLUMNS = {
    "bool": pd.Series([True, False]),
    "boolean": pd.Series([True, False], dtype="boolean"),
    "objects": pd.Series([True, False], dtype=object),
    "arrow": pd.Series([True, False], dtype="bool[pyarrow]"),
    "fractions": pd.Series([0.5, -1.25]),
    "whole": pd.Series([0.0, 1.0]),
    "single": pd.Series(np.array([0.1, 0.2], dtype=np.float32)),
    "nullable": pd.Series([0.5, 1.0], dtype="Float64"),
    "categorical": pd.Series([0.5, 1.5], dtype="category"),
    "dates": DATES,
    "zoned": DATES.dt.tz_localize("Europe/Berlin"),
    "nanoseconds": DATES.astype("datetime64[ns]"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_names_come_back_as_the_values_that_they_were(name):
    column = COLUMNS[name]
    read = read_labels(column, name="y")
    values = as_values([label for label in read.values if label is not None], read.value_type)
    assert values is not None
    assert (values == pd.Index(column.tolist(), dtype=values.dtype)).all()
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        assert values.dtype == column.dtype


@pytest.mark.parametrize(
    "column", [["a", "b"], [1, 2], [True, 1, "x"], [(1,), (2,)], [pd.Timedelta(1), pd.Timedelta(2)]], ids=repr
)
def test_text_whole_numbers_and_what_is_mixed_stay_as_they_are(column):
    assert value_type(pd.Series(column)) is None


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["cat", "dog"], "bool"),
        (["0.5", "cat"], "float64"),
        (["cat"], "datetime64[ns]"),
        (["1", "2"], "object"),
        (["1", "2"], 7),
        (["1", "2"], None),
    ],
)
def test_what_cannot_be_those_values_has_none(names, kind):
    assert as_values(names, kind) is None
