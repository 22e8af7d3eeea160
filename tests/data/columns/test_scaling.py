"""Columns as numbers for a network."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.new_data import plain_columns
from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC, ColumnReading
from elr.data.columns.scaling import fit_table_preprocessing, table_preprocessing


def test_numbers_are_imputed_by_the_median_and_standardized():
    frame = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan]})
    rows = table_preprocessing({"x": NUMERIC}).fit_transform(frame)
    filled = np.array([1, 2, 9, 2.0])
    np.testing.assert_allclose(rows[:, 0], (filled - filled.mean()) / filled.std())
    assert rows[:3, 1].std() < 1e-12 < rows[3, 1] - rows[0, 1]


def test_what_is_missing_or_unseen_only_at_prediction_still_gives_numbers():
    kinds = {"x": NUMERIC, "d": DATE, "c": CATEGORICAL}
    readings = {name: ColumnReading(kind=kind) for name, kind in kinds.items()}
    plain = partial(plain_columns, readings=readings, name="it")
    train = pd.DataFrame({"x": [1, 2, 3], "d": ["2024-01-01", "2024-01-02", "2024-01-09"], "c": ["a", "b", "a"]})
    new = pd.DataFrame({"x": [None, 2], "d": ["2024-01-01", None], "c": ["never seen", "b"]})
    fitted = table_preprocessing(kinds).fit(plain(train))
    rows = fitted.transform(plain(new))
    assert rows.shape == (2, 4)
    assert np.isfinite(rows).all()
    assert rows[:, 2:].tolist() == [[0, 0], [0, 1]]


def test_at_most_a_hundred_categories_a_column():
    column = [f"c{row % 150}" for row in range(450)] + ["c0"] * 10
    kinds = {"c": CATEGORICAL}
    fitted = table_preprocessing(kinds).fit(pd.DataFrame({"c": column}))
    rows = fitted.transform(pd.DataFrame({"c": ["c0", "unseen"]}))
    assert rows.shape == (2, 100)
    assert rows.sum(axis=1).tolist() == [1, 1]
    assert rows[1, -1] == 1


@pytest.mark.parametrize("kinds", [{"x": NUMERIC, "c": CATEGORICAL}, {"x": NUMERIC}, {"c": CATEGORICAL}])
def test_fitted_with_less_memory_it_is_the_same(kinds, tmp_path):
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"x": rng.normal(size=300), "c": rng.choice([f"v{i}" for i in range(150)], 300)})
    train.loc[::7, "x"] = np.nan
    train.loc[::9, "c"] = None
    train = train[list(kinds)]
    ready = plain_columns(train, {name: ColumnReading(kind=kind) for name, kind in kinds.items()}, name="it")
    expected, found = table_preprocessing(kinds).fit(ready), fit_table_preprocessing(ready, kinds)
    rows = [each.transform(ready) for each in (expected, found)]
    assert type(rows[1]) is np.ndarray
    assert rows[0].dtype == rows[1].dtype
    np.testing.assert_array_equal(*rows)
    assert repr(found) == repr(expected)
    states = [_plain_state(each) for each in (expected, found)]
    assert states[0] == states[1]


def _plain_state(fitted):
    """All that is in a transformer, as text."""
    if hasattr(fitted, "__sklearn_tags__"):
        return {name: _plain_state(value) for name, value in vars(fitted).items()}
    if isinstance(fitted, dict):
        return {name: _plain_state(value) for name, value in fitted.items()}
    if isinstance(fitted, list | tuple):
        return [_plain_state(value) for value in fitted]
    return repr(fitted)
