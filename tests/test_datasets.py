"""The embedded digits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as load_sklearn_digits

from elr.datasets import load_digits
from elr.errors import ArgumentError
from elr.reading import IMAGES

FEATURES, LABELS = load_sklearn_digits(return_X_y=True)


def numbers(raw):
    """The rows of scikit-learn's digits that a part holds."""
    return [int(name.removeprefix("scan ")) for name in raw.ids]


def test_parts_are_four_to_one_and_share_no_scan():
    train, test = load_digits()
    assert (len(train), len(test)) == (1437, 360)
    assert sorted(numbers(train) + numbers(test)) == list(range(1797))
    assert train.rows.tolist() == list(range(1437))
    shares = np.bincount(test.labels) / np.bincount(LABELS)
    assert (abs(shares - 0.2) < 0.01).all()


def test_images_and_clean_labels_are_those_of_scikit_learn():
    for raw in load_digits():
        assert raw.kind == IMAGES
        assert raw.images.shape == (len(raw), 1, 8, 8)
        assert raw.images.dtype == torch.uint8
        expected = (FEATURES[numbers(raw)].reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
        np.testing.assert_array_equal(raw.images.numpy(), expected)
        assert (raw.images.min(), raw.images.max()) == (0, 255)
        assert (raw.clean_labels or raw.labels) == LABELS[numbers(raw)].tolist()


@pytest.mark.parametrize(("noise", "rate"), [("symmetric", 0.4), ("pairflip", 0.2), ("symmetric", 0.0)])
def test_only_training_labels_are_corrupted(noise, rate):
    train, test = load_digits(noise=noise, noise_rate=rate)
    wrong = np.array(train.labels) != np.array(train.clean_labels)
    assert wrong.mean() == pytest.approx(rate, abs=0.005)
    assert test.clean_labels is None
    assert test.labels == LABELS[numbers(test)].tolist()
    assert all(type(label) is int for label in train.labels + train.clean_labels + test.labels)


def test_the_seed_decides_split_and_noise():
    first, again, other = load_digits(seed=3)[0], load_digits(seed=3)[0], load_digits(seed=4)[0]
    assert first.labels == again.labels
    assert first.ids == again.ids
    assert first.ids != other.ids


def test_unknown_noise_is_refused():
    with pytest.raises(ArgumentError, match="salt"):
        load_digits(noise="salt")
    with pytest.raises(ArgumentError, match=r"1\.5"):
        load_digits(noise_rate=1.5)
