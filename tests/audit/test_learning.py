"""What keeps numbers of wrong labels from being told: nothing learned, chance, one class only, memorized labels."""

from functools import partial

import numpy as np
import pytest

from alarmed import NAMES, alarms_by_kind, probs_sure_of
from elr.audit.alarms import find_alarms
from elr.audit.label_quality import audit_labels
from elr.audit.learning import of_memory, share_is_known

sure, kinds = partial(probs_sure_of, classes=2), partial(alarms_by_kind, out_of_fold=True)


def test_a_model_that_knows_nothing_calls_no_label_wrong():
    labels = np.array([0] * 70 + [1] * 30)
    predicted = np.random.default_rng(0).integers(2, size=100)
    probs = sure(predicted)
    found = kinds(labels, probs)
    assert set(found) == {"nothing learned"}
    agreement, numbers = float((predicted == labels).mean()), found["nothing learned"].numbers
    assert (numbers["agreement_with_given_labels"], numbers["most_frequent_class"]) == (agreement, 0.7)
    assert f"agree with {agreement:.1%} of the given labels" in found["nothing learned"].text
    assert found["nothing learned"].classes == []
    audit = audit_labels(labels, probs, out_of_fold=True)
    assert audit.num_label_issues == 0
    assert not audit.is_label_issue.any()
    assert len(set(audit.label_quality)) > 1  # there still is a ranking
    assert np.isnan(audit.noise_rate)
    assert audit.noise_rate_interval == (0.0, 1.0)
    assert "nothing learned" not in kinds(labels, probs, out_of_fold=False)  # of rows that it was trained on


def test_what_knows_something_is_not_called_nothing_for_being_no_better_than_one_class():
    """So it is of rare classes: here every second one that is predicted is right, of one in twenty."""
    labels = np.array([0] * 570 + [1] * 30)
    predicted = labels.copy()
    predicted[:10], predicted[580:] = 1, 0
    audit = audit_labels(labels, sure(predicted), out_of_fold=True)
    found = kinds(labels, sure(predicted))
    assert not audit.nothing_learned
    assert audit.num_label_issues == 30
    assert {"only a ranking"} <= set(found)
    assert not {"nothing learned", "may be chance"} & set(found)
    text = found["only a ranking"].text
    assert "hardly better than always saying 'cat', or not at all: they agree with 95.0%" in text
    assert "the ranking may still be good" in text
    assert not share_is_known(audit), "rows of the rare class may be mistakes of the networks"


def test_better_by_less_than_a_standard_error_is_nothing_where_it_may_be_chance():
    labels = np.array([0] * 60 + [1] * 40)
    predicted = np.zeros(100, dtype=int)
    predicted[60:64] = 1  # 64 % against 60 %, standard error 4.8 %; by chance 53 %, standard error 1.9 %
    predicted[:3] = 1
    assert "nothing learned" in kinds(labels, sure(predicted))
    predicted[60:70] = 1
    assert "nothing learned" not in kinds(labels, sure(predicted))


@pytest.mark.parametrize(
    ("right", "of", "classes", "chance"),
    [(53, 100, 2, True), (60, 100, 2, True), (70, 100, 2, False), (330, 600, 2, True), (350, 600, 2, False)],
)
def test_what_so_few_labels_cannot_tell_from_chance_is_said(right, of, classes, chance):
    labels = np.arange(of) % classes
    predicted = np.where(np.arange(of) < right, labels, (labels + 1) % classes)
    found = kinds(labels, sure(predicted, classes=classes))
    assert ("may be chance" in found or "nothing learned" in found) == chance
    assert not {"may be chance", "nothing learned"} <= set(found)
    assert "may be chance" not in kinds(labels, sure(predicted, classes=classes), out_of_fold=False)
    assert share_is_known(audit_labels(labels, sure(predicted), out_of_fold=True)) != chance


def test_rare_classes_that_are_found_are_no_chance():
    """Agreement alone is hardly above that of saying the frequent class."""
    labels = np.array([0] * 970 + [1] * 30)
    for found in (15, 6):
        predicted = labels.copy()
        predicted[970 : 1000 - found] = 0
        assert "may be chance" not in kinds(labels, sure(predicted))


def test_who_memorized_the_labels_cannot_count_the_wrong_ones():
    """A few contradictions are left, and they are no share of anything."""
    labels = np.arange(200) % 2
    predicted = np.where(np.arange(200) < 3, 1 - labels, labels)
    plain = audit_labels(labels, sure(predicted))
    audit = of_memory(plain)
    (alarm,) = find_alarms(audit, NAMES[:2])
    assert (alarm.kind, alarm.numbers) == ("labels memorized", {"share_contradicted": 0.015})
    assert "cannot be known from this run" in alarm.text
    assert "--members" in alarm.text
    assert np.isnan(audit.noise_rate)
    assert audit.noise_rate_interval == (0.0, 1.0)
    assert np.isnan(audit.class_noise_rates).all()
    assert np.isnan(audit.expected_precision).all()
    assert (share_is_known(plain), share_is_known(audit)) == (True, False)
    np.testing.assert_array_equal(audit.ranking, plain.ranking)
    assert audit.num_label_issues == 3


def test_of_labels_that_were_never_seen_nothing_was_memorized():
    labels = np.arange(200) % 2
    audit = audit_labels(labels, sure(labels), out_of_fold=True)
    assert of_memory(audit) is audit
