"""The rule of choice, against numbers worked out by hand."""

import json
import math

import numpy as np
import pytest

from elr.methods.ensemble.choice import choice_text, choose, row_weights


def rows(*runs):
    """(N,) bool from (value, how many) pairs."""
    return np.concatenate([np.full(count, value) for value, count in runs])


def test_the_score_is_the_mean_of_accuracy_and_balanced_accuracy():
    labels = np.array([0] * 90 + [1] * 10)
    always_0 = labels == 0
    (found,) = choose([(0, 5)], [always_0], labels, most=3)
    assert (found.agreement, found.balanced_agreement) == pytest.approx((0.9, 0.5))
    assert found.score == pytest.approx(0.7)
    assert found.chosen


def test_classes_that_are_not_given_count_nothing():
    labels = np.array([0, 0, 3, 3])
    assert row_weights(labels) == pytest.approx([0.25] * 4)
    (found,) = choose([(0, 1)], [[True, True, True, False]], labels, most=1)
    assert found.balanced_agreement == pytest.approx(0.75)


def test_the_standard_error_is_that_of_the_rows_on_which_two_differ():
    labels = np.zeros(100, dtype=int)
    best, other = rows((True, 60), (False, 40)), rows((True, 50), (False, 46), (True, 4))
    first, second = choose([(0, 9), (1, 9)], [best, other], labels, most=3)
    assert first.standard_error == 0.0
    assert second.behind == pytest.approx(0.06)  # 10 lost, 4 won
    assert second.standard_error == pytest.approx(math.sqrt(14) / 100)
    assert not second.chosen  # 0.06 > 0.037


def test_those_within_a_standard_error_are_kept_up_to_so_many_and_the_best_first():
    labels = np.zeros(100, dtype=int)
    correct = np.array([rows((False, k), (True, 80), (False, 20 - k)) for k in (2, 0, 4, 6, 8)])
    correct[1, 90] = True  # the best by one row
    found = choose([(k, 9) for k in range(5)], correct, labels, most=3)
    assert [each.chosen for each in found] == [True, True, True, False, False]
    assert [each.chosen for each in choose([(k, 9) for k in range(5)], correct, labels, most=1)] == [
        False,
        True,
        False,
        False,
        False,
    ]


def test_of_equals_the_first_is_the_best():
    correct = np.ones((2, 10), dtype=bool)
    found = choose([(1, 3), (0, 3)], correct, np.arange(10) % 2, most=1)
    assert [(each.setting, each.chosen) for each in found] == [(1, True), (0, False)]


def test_a_candidate_is_plain_values():
    (found,) = choose([(0, 1)], [[True, False]], np.array([0, 1]), most=1)
    assert json.loads(json.dumps(found.to_json()))["chosen"] is True


def test_the_words_say_what_was_chosen_of_what_and_why():
    labels = np.zeros(100, dtype=int)
    correct = np.array([rows((False, k), (True, 80), (False, 20 - k)) for k in (0, 1)])
    correct[0, 95] = True
    found = choose([(0, 10), (0, 30)], correct, labels, most=3)
    text = choice_text(found, ["mlp, lam 3"])
    assert "of 1 settings, each after 10 and 30 epochs, mlp, lam 3 after 10 epochs was chosen" in text
    assert "it alone predicts 81.0% of them" in text
    assert "With it predict, not worse by a standard error: mlp, lam 3 after 30." in text


def test_a_score_is_a_rate_though_weights_are_rounded():
    labels = np.arange(20) % 3
    assert row_weights(labels).sum() > 1.0
    (found,) = choose([(0, 1)], [np.ones(20, bool)], labels, most=1)
    assert found.score == 1.0
