"""Agreement with given labels, held against a random order and against always saying one class."""

import numpy as np
import pytest

from elr.audit.chance import agreement_of


def table(predicted, labels):
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (predicted, labels), 1)
    return counts


def test_the_error_of_chance_is_that_of_random_orders():
    rng = np.random.default_rng(0)
    labels, predicted = np.arange(200) % 3, np.minimum(np.arange(200) % 7, 2)
    drawn = [float((rng.permutation(predicted) == labels).mean()) for _ in range(4000)]
    found = agreement_of(table(predicted, labels))
    assert found.standard_error == pytest.approx(np.std(drawn), rel=0.05)
    assert found.by_chance == pytest.approx(np.mean(drawn), abs=0.002)


@pytest.mark.parametrize(
    ("counts", "nothing", "ranking"),
    [
        ([[80, 10], [10, 0]], True, False),  # fewer than by chance
        ([[89, 1], [1, 9]], False, False),  # 98 against 90, a standard error is 1.4
        ([[88, 6], [2, 4]], False, True),  # 92 against 90, a standard error is 2.7; by chance 85
        ([[90, 10], [0, 0]], True, False),  # one class is predicted: this knows nothing, and errs by nothing
        ([[27, 23], [23, 27]], True, False),
        ([[30, 20], [20, 30]], False, False),  # better than one class, and still it may be chance
        ([[60, 0], [0, 0]], False, False),  # one class is all there is
    ],
)
def test_nothing_is_learned_by_what_is_better_than_neither(counts, nothing, ranking):
    found = agreement_of(counts)
    assert (found.nothing_learned, found.only_a_ranking) == (nothing, ranking)
