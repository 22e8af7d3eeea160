import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from elr.runs.bench.show.statistics import Difference, Spread, paired_differences


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_spread_is_mean_and_standard_deviation(values):
    spread = Spread.of(values)
    assert spread.count == len(values)
    assert spread.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert spread.std == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_interval_is_that_of_a_paired_t_test(count):
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(0.8, 0.1, count), rng.normal(0.7, 0.1, count)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    pairs = paired_differences(dict(enumerate(ours)), dict(enumerate(theirs)))
    found = Difference.of(pairs)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(ours - theirs))
    assert found.interval_excludes_zero == (stats.ttest_rel(ours, theirs).pvalue < 0.05)


def test_the_interval_by_hand():
    """t of 2 degrees of freedom at 0.975 is 4.302653, from a table."""
    found = Difference.of([0.01, 0.02, 0.03])
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.02 - half, 0.02 + half))


def test_too_few_pairs_have_no_interval():
    assert Difference.of([0.25]) == Difference(0.25, None, None, 1)
    none = Difference.of([])
    assert math.isnan(none.mean)
    assert (none.low, none.count, none.interval_excludes_zero) == (None, 0, False)


def test_differences_that_are_all_the_same_claim_no_certainty():
    differences = paired_differences({0: 0.91, 1: 0.82, 2: 0.3}, {0: 0.90, 1: 0.81, 2: 0.29})
    assert len(set(differences)) > 1  # by rounding alone
    found = Difference.of(differences)
    assert (found.low, found.high, found.count) == (None, None, 3)
    assert Difference.of([0.0, 0.0]).mean == 0


def test_only_common_pairs_count():
    assert paired_differences({1: 1.0, 2: 2.0, 3: 3.0}, {2: 0.5, 3: 0.5, 4: 0.5}) == [1.5, 2.5]
    assert paired_differences({1: 1.0}, {2: 1.0}) == []
