"""A model without features: descent against formulas of docs/concepts/alignment.md, and against gradients by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.theory.drift import aligned_balance, published_balance, settle
from reference.losses_reference import elr_gradient

TWO = np.array([0.55, 0.45])


def test_a_step_is_the_gradient_of_the_paper():
    bias, shares = np.log([0.5, 0.3, 0.2]), np.array([0.5, 0.3, 0.2])
    for _ in range(3):
        probs = np.exp(bias) / np.exp(bias).sum()
        bias = bias - 0.1 * (probs - shares + 3.0 * elr_gradient(bias, probs))
    expected = np.exp(bias) / np.exp(bias).sum()
    found = settle(shares, lam=3.0, clamp=0.0, steps=3, learning_rate=0.1)
    np.testing.assert_allclose(found[-1], expected, rtol=1e-9)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.6, 0.8])
def test_published_below_the_threshold_it_ends_where_the_formula_says(lam):
    assert settle(TWO, lam=lam)[-1, 0] == pytest.approx(published_balance(0.55, lam), abs=1e-4)


def test_the_numbers_of_the_issue():
    """A given share of .55 becomes 1.000 at lam 3; cross entropy stays; aligned it becomes .69."""
    assert settle(TWO, lam=3.0)[-1, 0] > 0.9998
    assert settle(TWO, lam=0.0)[-1, 0] == pytest.approx(0.55)
    assert settle(TWO, lam=3.0, prior=TWO)[-1, 0] == pytest.approx(0.6845, abs=1e-4)
    slow = settle(TWO, lam=0.9, steps=50_000, clamp=0.0)[:, 0]  # at the threshold it is slow
    assert slow[200] < 0.95
    assert slow[-1] > 0.998


@pytest.mark.parametrize(("lam", "falls"), [(1.3, True), (1.1, False)])
def test_a_class_swallows_the_others_from_twice_what_its_share_leaves(lam, falls):
    """2 (1 - pi) = 1.2 for a share of .4, for any number of classes."""
    end = settle(np.array([0.4, 0.3, 0.2, 0.1]), lam=lam, steps=20_000)[-1]
    assert (end[0] > 0.9998) == falls


@given(st.floats(0.5, 0.95), st.floats(0.0, 10.0), st.floats(0.0, 1.0))
def test_aligned_there_is_one_end_and_it_is_no_corner(share, lam, power):
    shares = np.array([share, 1.0 - share])
    prior = shares**power / (shares**power).sum()
    end = aligned_balance(share, lam, prior=prior[0])
    assert share - 1e-6 <= end < 1.0
    probs = np.array([end, 1.0 - end])
    slope = probs - shares + lam * elr_gradient(np.log(probs), prior)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    if end < 0.999:
        beyond = np.array([end + 5e-4, 1.0 - end - 5e-4])
        assert (beyond - shares + lam * elr_gradient(np.log(beyond), prior))[0] > 0.0  # leads back


def test_aligned_to_equal_shares_nothing_drifts():
    four = np.array([0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(settle(four, lam=7.0, prior=np.ones(4), steps=200)[-1], four, atol=1e-9)


def test_values_out_of_range_are_refused():
    with pytest.raises(ArgumentError, match="above 0 of each class"):
        settle(np.array([1.0, 0.0]), lam=3.0)
    with pytest.raises(ArgumentError, match="lam is -1"):
        settle(TWO, lam=-1.0)
    for balance in (published_balance, aligned_balance):
        with pytest.raises(ArgumentError, match="more frequent of two classes"):
            balance(0.4, 3.0)
