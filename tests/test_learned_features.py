import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.model_selection import cross_val_score

from elr import ELRClassifier
from elr.errors import DataError, DataWarning
from elr.learned_features import LearnedFeatures

QUICK = {"members": 1, "epochs": 5, "hidden_layer_sizes": (), "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """Blobs as a frame of columns p, q, r and s, and their classes."""
    X, y = make_blobs(300, centers=3, n_features=4, cluster_std=2.0, random_state=0)
    return pd.DataFrame(X, columns=list("pqrs")), y


def said_by(work):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(each.message) for each in caught if issubclass(each.category, DataWarning)]


def test_columns_that_are_not_learned_from_are_said_once(data):
    frame, y = data
    hours = pd.to_timedelta(frame["p"], unit="h")
    odd = {
        "review": [f"this film, number {row}, is fine" for row in range(300)],
        "lists": [[number] for number in frame["p"]],
        "time": (pd.Timestamp("2024-01-01") + hours).dt.time,
        "python": pd.Series([each.to_pytimedelta() for each in hours], dtype=object),
        "big": (frame["p"] * 1000).astype("int64") + 2**60,
        "one": 1,
    }
    (said,) = said_by(lambda: ELRClassifier(**QUICK).fit(frame.assign(**odd), y))
    assert said.startswith("6 of 10 columns of X are not learned from: 'review' (text with 300 different values")
    assert all(repr(name) in said for name in odd)
    assert "--" not in said
    (said,) = said_by(lambda: ELRClassifier(**QUICK).fit(frame.assign(big=odd["big"]), y))  # numbers only
    assert said.startswith("1 of 5 columns of X is not learned from: 'big' (its whole numbers have more digits")


def test_how_columns_were_read_is_said_once(data):
    frame, y = data
    rows = np.arange(300)
    read = {
        "comma": [f"{number:.3f}".replace(".", ",") for number in frame["p"]],
        "day": [f"{1 + row % 12:02d}/{1 + row * 5 % 12:02d}/2024" for row in rows],
        "gaps": np.where(rows % 4 == 0, "n/a", frame["q"].astype(str)),
        "wild": np.where(rows == 5, 1e6, frame["r"]),
    }
    (said,) = said_by(lambda: ELRClassifier(**QUICK).fit(frame.assign(**read), y))
    for text in ("decimal commas", "no day above 12", "'n/a', first in row 0", "'wild': a few of its numbers"):
        assert text in said
    (said,) = said_by(lambda: ELRClassifier(**QUICK).fit(frame.assign(wild=read["wild"]), y))
    assert said == "in X, column 'wild': a few of its numbers lie far out: learned from by rank"
    many = pd.DataFrame({f"c{number}": read["wild"] for number in range(15)}).assign(**{f"t{k}": k for k in range(15)})
    left, ranked = said_by(lambda: ELRClassifier(**QUICK).fit(many, y))
    assert left.endswith("'t9' (it says the same in every row), and 5 more")
    assert "and 10 more: a few of their numbers" in ranked


def test_flags_of_the_command_line_are_not_pointed_to(data):
    frame, y = data
    odd = {"steady": np.arange(300) ** 2, "first": y == 0, "points": [f"{row % 9 + 1}.{row:03d}" for row in range(300)]}
    (said,) = said_by(lambda: ELRClassifier(**QUICK).fit(frame.assign(**odd), y))
    assert "as a counter does: drop it" in said
    assert "if it was made from the label, drop it" in said
    assert "its numbers have three digits behind every point" in said
    assert "--" not in said


def test_frames_of_numbers_give_what_arrays_give(data):
    frame, y = data
    model = ELRClassifier(**QUICK)
    learned, rows, labels = LearnedFeatures.learn(model, frame, y)
    assert (labels == y).all()
    np.testing.assert_allclose(rows, LearnedFeatures.learn(model, frame.to_numpy(), y)[1], rtol=1e-12)
    assert learned.alike
    model.fit(frame, y)
    expected = model.predict_proba(frame)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert (model.predict_proba(frame.to_numpy()) == expected).all()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert (model.predict_proba(sparse.csr_array(frame.to_numpy())) == expected).all()
    for other in (frame[list("srqp")], frame.drop(columns="p"), frame.assign(z=1)):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(other)


def test_columns_named_by_numbers_are_taken_by_name(data):
    frame, y = data
    counted, turned = frame.set_axis(range(4), axis=1), [3, 1, 0, 2]
    model = ELRClassifier(**QUICK).fit(counted, y)
    expected = model.predict_proba(counted)
    assert (model.predict_proba(counted[turned]) == expected).all()
    assert (model.predict_proba(counted.to_numpy()) == expected).all()
    with pytest.raises(DataError, match="X lacks 1 columns that training had: '2'"):
        model.predict(counted.rename(columns={2: 7}))
    for inputs in (counted.to_numpy(), counted.astype(pd.SparseDtype(float, 0.0))):
        model = ELRClassifier(**QUICK).fit(inputs, y)
        assert model.predict_proba(counted).shape == (300, 3)
        with pytest.raises(DataError, match="X has the columns '3', '1', '0', '2', and those of training"):
            model.predict(counted[turned])


def test_gaps_that_training_did_not_have(data):
    frame, y = data
    model = ELRClassifier(**QUICK).fit(frame, y)
    gap = frame.copy()
    gap.iloc[7, 1] = np.nan
    probs, expected = model.predict_proba(gap), model.predict_proba(frame)
    assert np.isfinite(probs).all()
    assert (np.flatnonzero((probs != expected).any(axis=1)) == [7]).all()
    assert (cross_val_score(ELRClassifier(**QUICK), gap, y, cv=3) > 0.6).all()
    assert model.predict(frame.head(0)).shape == (0,)
    assert model.predict_proba(frame.head(0)).shape == (0, 3)


def test_other_units_are_said_of_frames_of_numbers_in_one_warning(data):
    frame, y = data
    model = ELRClassifier(**QUICK).fit(frame, y)
    (said,) = said_by(lambda: model.predict(frame * 1000))
    assert said.count("is it another unit or scale?") == 4


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_what_transformers_of_scikit_learn_give_elsewhere_changes_nothing(data, output):
    pytest.importorskip(output)
    frame, y = data
    mixed = frame.assign(word=np.array(["u", "v"])[np.arange(300) % 2], wild=np.where(np.arange(300) == 5, 1e6, 1))
    for inputs in (frame, frame.to_numpy(), sparse.csr_array(frame.to_numpy()), mixed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            expected = ELRClassifier(**QUICK).fit(inputs, y).predict_proba(inputs)
            with sklearn.config_context(transform_output=output):
                assert (ELRClassifier(**QUICK).fit(inputs, y).predict_proba(inputs) == expected).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X.head(0), y[:0]), "X has no rows"),
        (lambda X, y: (X, y[:-1]), "X has 300 rows, y 299"),
        (lambda X, y: (X, None), "y is None"),
        (lambda X, y: (X.assign(p=np.where(y > 1, np.inf, X["p"])), y), "column 'p' of the training data is infinite"),
        (lambda X, y: (X[["p"]] * 0, y), "no column is left to learn from"),
    ],
)
def test_frames_that_nothing_can_be_learned_from(data, change, message):
    with pytest.raises(DataError, match=message):
        ELRClassifier(**QUICK).fit(*change(*data))
