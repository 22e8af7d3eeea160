"""Planted cases of what an audit must say, and the quiet ones of which it must say nothing."""

from functools import partial

import numpy as np
import pytest

from alarmed import alarms_by_kind, probs_sure_of
from elr.audit.alarms import find_alarms
from elr.audit.label_quality import audit_labels

sure, kinds = partial(probs_sure_of, classes=3), partial(alarms_by_kind, out_of_fold=False)


def symmetric(count=600, noise_rate=0.3, classes=3):
    """Labels with noise that has no direction, and their clean classes."""
    rng = np.random.default_rng(0)
    clean = np.arange(count) % classes
    return np.where(rng.random(count) < noise_rate, (clean + rng.integers(1, classes, count)) % classes, clean), clean


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_noise_without_direction_is_quiet(out_of_fold):
    labels, clean = symmetric()
    assert kinds(labels, sure(clean), out_of_fold=out_of_fold) == {}


def test_labels_that_are_foretold_may_follow_a_rule():
    _, clean = symmetric()
    by_rule = clean % 2  # a third is wrong, and no network that learns the rule can know
    for labels in (clean, by_rule):
        found = kinds(labels, sure(labels), out_of_fold=True)
        assert set(found) == {"noise out of sight"}
        assert "a rule or a program gave" in found["noise out of sight"].text
        assert found["noise out of sight"].to_json()["classes"] == []
        assert kinds(labels, sure(labels)) == {}  # a network agrees with labels that it was trained on in any case


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_a_class_never_predicted(out_of_fold):
    labels, clean = symmetric()
    found = kinds(labels, sure(np.where(clean == 2, 0, clean)), out_of_fold=out_of_fold)
    alarm = found["class never predicted"]
    assert alarm.classes == [2]
    assert alarm.numbers == {"num_rows": int((labels == 2).sum())}
    assert "No row is predicted as 'eel'" in alarm.text
    assert "class contradicted" not in found


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_a_class_nearly_all_of_whose_rows_are_contradicted(out_of_fold):
    labels, clean = symmetric()
    predicted = np.where(clean == 2, 1, clean)
    predicted[np.flatnonzero(labels == 2)[:3]] = 2
    alarm = kinds(labels, sure(predicted), out_of_fold=out_of_fold)["class contradicted"]
    assert alarm.classes == [2]
    rows = int((labels == 2).sum())
    assert alarm.numbers == {"num_rows": rows, "share_contradicted": pytest.approx(1 - 3 / rows)}
    assert alarm.text.startswith(f"Of the rows given 'eel' ({rows} rows) at least {1 - 3 / rows:.0%} are predicted as")


def test_one_class_only_is_not_called_right_by_default():
    found = kinds(np.array([0, 0, 1] * 30), sure(np.zeros(90, dtype=int), classes=2), out_of_fold=True)
    assert set(found) == {"nothing learned", "class never predicted"}
    assert "contradicted" not in found["class never predicted"].text


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_one_sided_flips(out_of_fold):
    rng = np.random.default_rng(0)
    clean = np.arange(600) % 2
    labels = np.where((clean == 0) & (rng.random(600) < 0.3), 1, clean)
    alarm = kinds(labels, sure(clean, classes=2), out_of_fold=out_of_fold)["one-way noise"]
    assert alarm.classes == [(0, 1)]
    assert "of 'cat' as 'dog'" in alarm.text
    assert "no memorization is seen says nothing" in alarm.text


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_flips_to_the_next_class(out_of_fold):
    rng = np.random.default_rng(0)
    clean = np.arange(900) % 3
    labels = np.where(rng.random(900) < 0.3, (clean + 1) % 3, clean)
    alarm = kinds(labels, sure(clean), out_of_fold=out_of_fold)["one-way noise"]
    assert sorted(alarm.classes) == [(0, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_a_class_predicted_far_less_often_than_given(out_of_fold):
    labels, clean = symmetric(noise_rate=0.2)
    drifted = np.where((clean == 2) & (np.arange(600) % 10 < 6), 0, clean)
    alarm = kinds(labels, sure(drifted), out_of_fold=out_of_fold)["class shares changed"]
    assert alarm.classes[0] == 2
    assert "'eel' (given to" in alarm.text
    ratio = (labels == 2).sum() / (drifted == 2).sum()
    assert alarm.numbers == {"largest_ratio": pytest.approx(ratio), "num_classes": len(alarm.classes)}


def test_of_many_classes_a_few_are_named():
    labels = np.arange(1000) % 100
    audit = audit_labels(labels, sure(labels % 50, classes=100))
    [alarm] = [each for each in find_alarms(audit, list(range(100))) if each.kind == "class never predicted"]
    assert alarm.text.startswith("No row is predicted as '50', '51', '52' and 47 more (given to 500 rows)")
    assert alarm.to_json()["classes"] == list(range(50, 100))


@pytest.mark.parametrize(("lost", "said"), [(2, "'8', '9'"), (3, "'7', '8', '9'"), (4, "'6', '7', '8' and 1 more")])
def test_what_is_named_is_all_or_is_counted(lost, said):
    labels = np.arange(200) % 10
    predicted = np.where(labels >= 10 - lost, 0, labels)
    audit = audit_labels(labels, sure(predicted, classes=10))
    [alarm] = [each for each in find_alarms(audit, list(range(10))) if each.kind == "class never predicted"]
    assert alarm.text.startswith(f"No row is predicted as {said} (given to {20 * lost} rows): each of their labels")


def flipped(*counts, classes):
    """Labels and what is predicted, by (predicted, given, rows)."""
    predicted = np.concatenate([np.full(rows, clean) for clean, _, rows in counts])
    labels = np.concatenate([np.full(rows, given) for _, given, rows in counts])
    return kinds(labels, sure(predicted, classes=classes, of=0.999))


def test_flips_that_may_be_chance_are_no_direction():
    assert "one-way noise" not in flipped((0, 0, 50), (0, 1, 10), (1, 1, 57), (1, 0, 3), classes=2)
    assert "one-way noise" in flipped((0, 0, 500), (0, 1, 100), (1, 1, 570), (1, 0, 30), classes=2)


def test_of_several_directions_that_with_most_rows_comes_first():
    found = flipped((0, 0, 240), (0, 1, 60), (1, 1, 300), (2, 2, 180), (2, 0, 120), classes=3)
    assert found["one-way noise"].classes == [(2, 0), (0, 1)]
    assert "40% of 'eel' as 'cat', 20% of 'cat' as 'dog', and hardly back" in found["one-way noise"].text
    assert found["one-way noise"].numbers == {"largest_rate": pytest.approx(0.4, abs=0.01), "num_pairs": 2}


def test_shares_that_differ_by_chance_are_quiet():
    assert "class shares changed" not in flipped((0, 0, 500), (1, 1, 491), (1, 2, 4), (2, 2, 5), classes=3)
    assert "class shares changed" in flipped((0, 0, 500), (1, 1, 400), (1, 2, 40), (2, 2, 50), classes=3)
