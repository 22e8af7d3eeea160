"""Rows of numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from elr.data.formats.catalog import FORMATS
from elr.data.kinds.catalog import fit_preprocessing
from elr.data.kinds.features import Features
from elr.data.label_coding import LabelCoding
from elr.data.reading import read_data
from elr.data.records import ReadOptions, Records
from elr.errors import DataError
from small_data import N, features, images, saved


def test_features_are_standardized_and_counted():
    encoder = fit_preprocessing(features(), ReadOptions())
    inputs = encoder.encode(features(), name="it").inputs
    torch.testing.assert_close(inputs.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(3))
    with pytest.raises(DataError, match="new has 2 features, training had 3: give the same ones in the same order"):
        encoder.encode(features(columns=2), name="new")


def test_constant_features_do_no_harm():
    raw = read_data((np.c_[np.ones(N), np.arange(N)], np.arange(N) % 2), ReadOptions())
    assert torch.isfinite(fit_preprocessing(raw, ReadOptions()).encode(raw, name="it").inputs).all()


def test_features_are_saved_as_a_plain_scaler(tmp_path):
    encoder = fit_preprocessing(features(), ReadOptions())
    loaded = saved(encoder, tmp_path)
    assert type(loaded.transformer) is StandardScaler
    assert loaded.coding == LabelCoding(class_names=(0, 1))
    fit_preprocessing(images(), ReadOptions()).save(tmp_path / "absent")  # images have nothing to write


@pytest.mark.parametrize(("columns", "rate"), [(1, None), (255, None), (256, 0.003), (2048, 0.003)])
def test_many_numbers_are_taken_for_an_embedding(columns, rate):
    fitted = fit_preprocessing(features(columns=columns), ReadOptions())
    assert fitted.feature_rate(columns) == rate
    assert (fitted.learns_from, fitted.takes_images) == ("features", False)


def test_people_are_not_shown_numbers():
    kind, records = Features(), features()
    assert not kind.shows_rows
    assert kind.picture(records, 0) is None
    assert kind.cells(records, np.array([0]), []) == {}
    assert kind.contents(FORMATS["npz"], Path("t.npz"), ReadOptions(), [7, 2], []) == (
        "Text",
        [{"text": "row 7"}, {"text": "row 2"}],
    )


def test_features_in_another_unit_are_said():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50, 3)) + 20
    fitted = fit_preprocessing(read_data((numbers, np.arange(50) % 2), ReadOptions()), ReadOptions())
    new = rng.normal(size=(20, 3)) + 20
    assert fitted.findings(read_data((new, None), ReadOptions(), training=False), name="new.npy") == []
    new[:, 1] *= 1000
    (found,) = fitted.findings(read_data((new, None), ReadOptions(), training=False), name="new.npy")
    assert found.text.startswith("1 of 3 features of new.npy lie far from those of training in every row: feature 1 ")
    assert found.loud
    assert fitted.findings(read_data((new[:5], None), ReadOptions(), training=False), name="new.npy") == []


def test_features_that_say_nothing_are_refused():
    with pytest.raises(DataError, match=r"all 3 features say the same in every row, .* nothing to learn from"):
        fit_preprocessing(read_data((np.ones((8, 3)), np.arange(8) % 2), ReadOptions()), ReadOptions())


def test_features_that_say_the_label_or_count_the_rows_are_said():
    labels = np.random.default_rng(0).permutation(np.arange(60) % 2)
    numbers = np.column_stack([np.arange(60), labels, np.random.default_rng(1).normal(size=60)])
    counts, says = fit_preprocessing(read_data((numbers, labels), ReadOptions()), ReadOptions()).remarks
    assert counts.startswith("feature 0 is learned from, but it numbers the rows")
    assert says.startswith("feature 1 is learned from, but it says the label in other words, in every row")


def test_ranked_features_are_no_embeddings():
    features = np.exp(3 * np.random.default_rng(0).normal(size=(60, 150))).astype(np.float32)
    records = Records(kind="features", rows=np.arange(60), features=features, labels=[0, 1] * 30)
    fitted = fit_preprocessing(records, ReadOptions())
    inputs = fitted.encode(records, name="it").inputs
    assert inputs.shape[1] == 150
    assert fitted.feature_rate(inputs.shape[1]) is None
