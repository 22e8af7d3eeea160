"""Columns as numbers for a network."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from elr.data.columns.new_data import plain_columns
from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC, ColumnReading
from elr.data.columns.scaling import (
    LEAST_EMBEDDING,
    RANKED,
    RANKS,
    centers,
    fit_array_preprocessing,
    fit_table_preprocessing,
    heavy_tailed,
    ranked_columns,
    ranks_remark,
    table_preprocessing,
)
from elr.errors import ArtifactError

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=1000)
TAILED = {
    "amounts": np.exp(1.5 * NORMAL),
    "three outliers": np.concatenate([NORMAL, [5e3, -4e3, 9e3]]),
    "a stand-in": np.concatenate([NORMAL, np.full(50, -9999.0)]),
    "counts with an outlier": np.concatenate([RNG.poisson(1.0, 1000), [100_000]]).astype(float),
    "mostly nothing, else amounts": np.where(NORMAL > 1.0, np.exp(3 * NORMAL), 0.0),
    "missing ones among them": np.concatenate([np.exp(2 * NORMAL), np.full(300, np.nan)]),
    "three codes, one far away": np.concatenate([np.repeat([1.0, 2.0, 3.0], 300), np.full(50, 9999.0)]),
}
ORDINARY = {
    "normal": NORMAL,
    "uniform": RNG.random(1000),
    "exponential": RNG.exponential(size=1000),
    "two heaps": np.concatenate([NORMAL, NORMAL + 50]),
    "counts": RNG.poisson(3.0, 1000).astype(float),
    "rarely something": np.where(NORMAL > 2, RNG.integers(1, 6, 1000), 0).astype(float),
    "pixels of digits": np.where(RNG.random(1000) < 0.7, 0.0, RNG.integers(1, 17, 1000)),
    "yes and no": (NORMAL > 2.5).astype(float),
    "stars": RNG.integers(1, 6, 1000).astype(float),
    "one value": np.ones(10),
    "nothing": np.full(10, np.nan),
}


def test_numbers_are_imputed_by_the_median_and_standardized():
    frame = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan]})
    rows = table_preprocessing(frame, {"x": NUMERIC}).fit_transform(frame)
    filled = np.array([1, 2, 9, 2.0])
    np.testing.assert_allclose(rows[:, 0], (filled - filled.mean()) / filled.std())
    assert rows[:3, 1].std() < 1e-12 < rows[3, 1] - rows[0, 1]


def test_what_is_missing_or_unseen_only_at_prediction_still_gives_numbers():
    kinds = {"x": NUMERIC, "d": DATE, "c": CATEGORICAL}
    readings = {name: ColumnReading(kind=kind) for name, kind in kinds.items()}
    plain = partial(plain_columns, readings=readings, name="it")
    train = pd.DataFrame({"x": [1, 2, 3], "d": ["2024-01-01", "2024-01-02", "2024-01-09"], "c": ["a", "b", "a"]})
    new = pd.DataFrame({"x": [None, 2], "d": ["2024-01-01", None], "c": ["never seen", "b"]})
    fitted = table_preprocessing(plain(train), kinds).fit(plain(train))
    rows = fitted.transform(plain(new))
    assert rows.shape == (2, 4)
    assert np.isfinite(rows).all()
    assert rows[:, 2:].tolist() == [[0, 0], [0, 1]]


def test_at_most_a_hundred_categories_a_column():
    column = [f"c{row % 150}" for row in range(450)] + ["c0"] * 10
    kinds = {"c": CATEGORICAL}
    frame = pd.DataFrame({"c": column})
    fitted = table_preprocessing(frame, kinds).fit(frame)
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
    expected, found = table_preprocessing(ready, kinds).fit(ready), fit_table_preprocessing(ready, kinds)
    rows = [each.transform(ready) for each in (expected, found)]
    assert type(rows[1]) is np.ndarray
    assert rows[0].dtype == rows[1].dtype
    np.testing.assert_array_equal(*rows)
    assert repr(found) == repr(expected)
    states = [_plain_state(each) for each in (expected, found)]
    assert states[0] == states[1]


@pytest.mark.parametrize("name", TAILED)
def test_heavy_tails_are_seen(name):
    assert heavy_tailed(RNG.permutation(TAILED[name]))
    assert heavy_tailed(-1e-6 * TAILED[name])


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_are_not_taken_for_such(name):
    assert not heavy_tailed(RNG.permutation(ORDINARY[name]))


def test_an_outlier_outside_of_the_sample_counts():
    numbers = np.random.default_rng(1).normal(size=250_001)
    numbers[1::1000] = 1e4
    assert heavy_tailed(numbers)


def test_columns_with_heavy_tails_are_ranked_before_they_are_standardized():
    frame = pd.DataFrame({"plain": NORMAL, "amount": np.exp(3 * NORMAL), "group": ["a", "b"] * 500})
    frame.loc[::10, "amount"] = np.nan
    kinds = {"plain": NUMERIC, "amount": NUMERIC, "group": CATEGORICAL}
    fitted = fit_table_preprocessing(frame, kinds)
    assert ranked_columns(fitted) == ["amount"]
    assert ranks_remark(fitted, what="column") == [
        "column 'amount': a few of its numbers lie far out: learned from by rank"
    ]
    rows = fitted.transform(frame)
    there = frame["amount"].notna().to_numpy()
    np.testing.assert_allclose(rows[:, 0], (NORMAL - NORMAL.mean()) / NORMAL.std())
    rising = rows[there, 1][np.argsort(NORMAL[there])]
    assert (np.diff(rising) >= 0).all()
    places = [0, 1, 25, 75, 99, 100]
    assert np.percentile(rising, places) == pytest.approx([-3.4, -2.4, -0.62, 0.62, 2.4, 3.4], abs=0.25)
    assert rows[there, 2].max() < rows[~there, 2].min()
    far = fitted.transform(frame.assign(amount=1e30).iloc[:2])
    np.testing.assert_allclose(far[:, 1], rows[:, 1].max())


def test_arrays_as_tables():
    features = np.stack([NORMAL, np.exp(3 * NORMAL), NORMAL + 5], axis=1).astype(np.float32)
    fitted = fit_array_preprocessing(features)
    assert ranked_columns(fitted) == [1]
    rows = fitted.transform(features)
    assert rows.shape == (1000, 3)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=0), 1, rtol=1e-5)
    ranks = np.argsort(np.argsort(NORMAL)) / 999
    assert np.corrcoef(rows[:, 2], np.arctanh(0.995 * (2 * ranks - 1)))[0, 1] > 0.9999
    means, spreads = centers(fitted)
    np.testing.assert_allclose(means[[0, 2]], features.mean(axis=0)[[0, 2]], atol=1e-4)
    assert means[1] == pytest.approx(np.median(features[:, 1]), rel=0.05)
    assert (spreads > 0).all()
    np.testing.assert_array_equal(fit_array_preprocessing(features).transform(features), rows)


def test_arrays_without_heavy_tails_are_standardized_as_they_were():
    features = np.stack([NORMAL, RNG.random(1000)], axis=1)
    fitted = fit_array_preprocessing(features)
    assert isinstance(fitted, StandardScaler)
    assert ranked_columns(fitted) == ranks_remark(fitted, what="feature") == []
    assert isinstance(fit_array_preprocessing(np.exp(3 * features)[:, :1]), ColumnTransformer)
    thin = sparse.csr_matrix(np.exp(5 * features))
    assert fit_array_preprocessing(thin).transform(thin).nnz == thin.nnz


def test_embeddings_are_not_ranked():
    wide = np.exp(3 * RNG.normal(size=(50, LEAST_EMBEDDING)))
    assert isinstance(fit_array_preprocessing(wide), StandardScaler)
    assert len(ranked_columns(fit_array_preprocessing(wide[:, 1:]))) > LEAST_EMBEDDING // 2
    frame = pd.DataFrame(wide).rename(columns=str)
    assert ranked_columns(fit_table_preprocessing(frame, dict.fromkeys(frame, NUMERIC))) == []


def test_many_ranked_columns_are_counted():
    fitted = fit_array_preprocessing(np.exp(3 * RNG.normal(size=(100, 8))))
    (remark,) = ranks_remark(fitted, what="feature")
    assert remark == "features 0, 1, 2, 3, 4 and 3 more: a few of their numbers lie far out: learned from by rank"


def test_ranks_of_many_rows_are_those_of_a_sample():
    column = pd.DataFrame({"x": np.exp(3 * np.random.default_rng(2).normal(size=150_000))})
    fitted = fit_table_preprocessing(column, {"x": NUMERIC})
    ranks = fitted.named_transformers_[RANKED][RANKS].transform(column.to_numpy())
    assert np.abs(ranks[:, 0] - column["x"].rank(pct=True)).max() < 0.01


def _plain_state(fitted):
    """All that is in a transformer, as text."""
    if hasattr(fitted, "__sklearn_tags__"):
        return {name: _plain_state(value) for name, value in vars(fitted).items()}
    if isinstance(fitted, dict):
        return {name: _plain_state(value) for name, value in fitted.items()}
    if isinstance(fitted, list | tuple):
        return [_plain_state(value) for value in fitted]
    return repr(fitted)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_arrays_come_whatever_scikit_learn_is_told_to_give(output):
    pytest.importorskip(output)
    plain = pd.DataFrame({"x": NORMAL, "wild": np.exp(3 * NORMAL), "n": np.array(["u", "v"])[(NORMAL > 0).astype(int)]})
    kinds = {"x": NUMERIC, "wild": NUMERIC, "n": CATEGORICAL}
    with config_context(transform_output=output):
        rows = fit_table_preprocessing(plain, kinds).transform(plain)
        features = plain[["x", "wild"]].to_numpy()
        found = [fit_array_preprocessing(each).transform(each) for each in (features, features[:, :1])]
        scaled = fit_array_preprocessing(sparse.csr_array(features)).transform(sparse.csr_array(features))
    assert [type(each) for each in (rows, *found)] == [np.ndarray] * 3
    assert (rows == fit_table_preprocessing(plain, kinds).transform(plain)).all()
    assert sparse.issparse(scaled)


def test_what_a_former_elr_has_ranked_is_refused_with_advice():
    former = Pipeline([("views", StandardScaler()), ("scale", StandardScaler())]).fit(NORMAL[:, None])
    transformer = ColumnTransformer([(RANKED, former, [0])]).fit(NORMAL[:, None])
    with pytest.raises(ArtifactError, match=r"of an earlier elr.*run `elr fit` anew"):
        centers(transformer)
