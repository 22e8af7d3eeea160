"""Folds: every class dealt out evenly, and the only row of a class to nobody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.methods.ensemble.folds import EVERYWHERE, folds_of


@given(st.lists(st.integers(0, 4), min_size=10, max_size=60), st.integers(2, 6), st.integers(0, 5))
def test_every_class_is_dealt_out_evenly(labels, num_folds, seed):
    given = np.array(labels)
    folds = folds_of(given, num_folds=num_folds, seed=seed)
    counts = np.bincount(given)
    assert np.array_equal(folds == EVERYWHERE, counts[given] == 1)
    dealt = folds[folds != EVERYWHERE]
    sizes = np.bincount(dealt, minlength=num_folds)
    assert sizes.max() - sizes.min() <= 1
    for number in np.flatnonzero(counts > 1):
        of_class = np.bincount(folds[given == number], minlength=num_folds)
        assert of_class.max() - of_class.min() <= 1
        assert of_class.max() < counts[number]  # no network lacks a class that has two rows


def test_the_seed_decides():
    labels = np.arange(60) % 3
    first = folds_of(labels, num_folds=5, seed=1)
    assert np.array_equal(first, folds_of(labels, num_folds=5, seed=1))
    assert not np.array_equal(first, folds_of(labels, num_folds=5, seed=2))


@pytest.mark.parametrize("num_folds", [0, 1, 7])
def test_as_many_folds_as_cannot_be_are_refused(num_folds):
    with pytest.raises(ArgumentError, match=f"members is {num_folds} for 6 rows: expected at least 2, and at most one"):
        folds_of([0, 1] * 3, num_folds=num_folds, seed=0)
