import math

import pytest
import torch

from elr.diagnostics import Monitor, fractions
from elr.errors import ArgumentError


def test_fractions_of_a_case_counted_by_hand():
    #            right: 0 0 1   wrong: memorized, correct, incorrect, memorized
    clean = [0, 0, 1, 0, 1, 2, 2]
    given = [0, 0, 1, 1, 2, 0, 1]
    predicted = [0, 1, 1, 1, 1, 1, 1]
    assert fractions(predicted, given, clean) == {
        "fraction_correct_on_wrong": 1 / 4,
        "fraction_memorized_on_wrong": 2 / 4,
        "fraction_incorrect_on_wrong": 1 / 4,
        "fraction_correct_on_clean": 2 / 3,
    }


def test_no_wrong_labels_is_not_a_number():
    measured = fractions([0, 1], [0, 1], [0, 1])
    assert math.isnan(measured["fraction_memorized_on_wrong"])
    assert measured["fraction_correct_on_clean"] == 1.0


def logits_for(classes, count=3):
    return torch.nn.functional.one_hot(torch.tensor(classes), count).float()


def test_monitor_follows_two_epochs():
    monitor = Monitor([0, 1, 2, 2], clean_labels=[0, 1, 1, 2])
    monitor.update(torch.tensor([2, 0]), logits_for([1, 0]))
    monitor.update(torch.tensor([1, 3]), logits_for([0, 0]))
    first = monitor.end_epoch()
    assert first["agreement_with_given_labels"] == 1 / 4
    assert math.isnan(first["change"])
    assert first["fraction_correct_on_wrong"] == 1.0
    assert first["fraction_correct_on_clean"] == 1 / 3
    monitor.update(torch.arange(4), logits_for([0, 1, 2, 0]))
    second = monitor.end_epoch(torch.tensor([0, 1, 1, 0]))
    assert second["change"] == 2 / 4
    assert second["fraction_memorized_on_wrong"] == 1.0
    assert second["agreement_with_targets"] == 3 / 4


def test_rows_not_seen_do_not_count():
    monitor = Monitor([0, 1, 1])
    monitor.update(torch.tensor([0]), logits_for([0]))
    assert monitor.end_epoch() == {"agreement_with_given_labels": 1.0, "change": pytest.approx(math.nan, nan_ok=True)}
    monitor.update(torch.tensor([1]), logits_for([0]))
    assert monitor.end_epoch()["agreement_with_given_labels"] == 0.0


def test_state_goes_on_between_epochs():
    monitor, again = Monitor([0, 1]), Monitor([0, 1])
    monitor.update(torch.arange(2), logits_for([0, 1]))
    monitor.end_epoch()
    again.load_state_dict(monitor.state_dict())
    for each in (monitor, again):
        each.update(torch.arange(2), logits_for([0, 2]))
    assert monitor.end_epoch() == again.end_epoch()


def test_lengths_that_differ_are_refused():
    with pytest.raises(ArgumentError, match="2 given and 3 clean"):
        Monitor([0, 1], clean_labels=[0, 1, 2])
    with pytest.raises(ArgumentError, match="one each per example"):
        fractions([0], [0, 1], [0, 1])
