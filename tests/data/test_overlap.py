"""Test rows that stand in the training data."""

import numpy as np
import pytest
import torch
from scipy import sparse

from elr.data.examples import Examples
from elr.data.overlap import overlap

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(100, 5)).astype("float32")
IMAGES = RNG.integers(0, 256, (100, 3, 8, 8)).astype("uint8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (NUMBERS, NUMBERS + np.float32(1e-7)),
        (IMAGES, IMAGES.copy()),
        (sparse.csr_matrix(NUMBERS), sparse.csr_matrix(NUMBERS[:, :])),
    ],
)
def test_rows_that_stand_in_both_are_counted(old, new):
    train, test = Examples(old[:60], None), Examples(new[40:], None)
    found = overlap(train, test)
    assert found.text.startswith("20 of 60 rows of the test data (33.3%) stand in the training data too")
    assert found.loud
    assert overlap(Examples(old[:40], None), test) is None
    few = overlap(train, Examples(new[59:], None))
    assert few.text.startswith("1 of 41 rows")
    assert not few.loud


def test_rows_of_few_values_are_expected_to_come_again():
    few = RNG.integers(0, 2, (100, 3)).astype("float32")
    assert not overlap(Examples(few[:50], None), Examples(few[50:], None)).loud


def test_other_shapes_are_not_compared():
    assert overlap(Examples(NUMBERS, None), Examples(NUMBERS[:, :2], None)) is None
    assert overlap(Examples(NUMBERS, None), Examples(torch.empty(0, 5), None)) is None
