from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.audit.label_quality import Tally, audit_labels, rows_at_once
from elr.audit.tables.confusions import Confusion
from elr.errors import ArgumentError

PROBS = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.5, 0.5, 0.0]]


def test_a_case_counted_by_hand():
    audit = audit_labels([0, 0, 2, 1], PROBS)
    np.testing.assert_allclose(audit.label_quality, [0.9, 0.25, 0.55, 0.5])
    assert audit.predicted_labels.tolist() == [0, 1, 2, 1]  # a tie goes to the given label
    assert audit.is_label_issue.tolist() == [False, True, False, False]
    assert audit.ranking.tolist() == [1, 3, 2, 0]
    assert audit.noise_rate == 0.25
    assert audit.num_label_issues == 1
    np.testing.assert_allclose(audit.transition_matrix, [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    np.testing.assert_allclose(audit.error_probs, [0.1, 0.8, 0.6, 0.5])


def test_self_confidence():
    audit = audit_labels([0, 0, 2, 1], PROBS, score="self_confidence")
    np.testing.assert_allclose(audit.label_quality, [0.9, 0.2, 0.4, 0.5])
    assert audit.is_label_issue.tolist() == [False, True, False, False]


def test_area_under_the_margin_ranks_and_leaves_the_issues_alone():
    margins = [-3.0, 2.0, float("nan"), 0.0]
    audit, plain = audit_labels([0, 0, 2, 1], PROBS, score="aum", margins=margins), audit_labels([0, 0, 2, 1], PROBS)
    np.testing.assert_allclose(audit.label_quality, [1 / (1 + np.exp(3)), 1 / (1 + np.exp(-2)), 0.55, 0.5])
    assert audit.ranking.tolist() == [0, 3, 2, 1]
    assert audit.is_label_issue.tolist() == plain.is_label_issue.tolist()
    assert audit.predicted_labels.tolist() == plain.predicted_labels.tolist()


@given(st.integers(0, 1000), st.integers(2, 8), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_properties(seed, classes, count):
    rng = np.random.default_rng(seed)
    audit = audit_labels(rng.integers(classes, size=count), rng.dirichlet(np.ones(classes), size=count))
    np.testing.assert_allclose(audit.transition_matrix.sum(axis=1), 1.0)
    assert ((audit.label_quality < 0.5) == audit.is_label_issue).all()
    assert ((audit.predicted_labels != audit.labels) == audit.is_label_issue).all()
    assert (np.diff(audit.label_quality[audit.ranking]) >= 0).all()
    low, high = audit.noise_rate_interval
    assert 0 <= low <= audit.noise_rate <= high <= 1
    assert audit.noise_rate == pytest.approx(audit.num_label_issues / count)


def test_interval_covers_the_rate_as_often_as_it_says():
    """Of 300 samples from a population with 30 % wrong labels, about 95 % of the intervals hold 0.3."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        wrong = rng.random(500) < 0.3
        probs = np.where(wrong[:, None], [0.1, 0.9], [0.9, 0.1])
        low, high = audit_labels(np.zeros(500, dtype=int), probs).noise_rate_interval
        hits += low <= 0.3 <= high
    assert 0.91 <= hits / 300 <= 0.99


def test_no_issue_is_no_certainty():
    low, high = audit_labels([0] * 10, [[0.9, 0.1]] * 10).noise_rate_interval
    assert low == 0.0
    assert 0.2 < high < 0.35  # Wilson: z^2 / (n + z^2)


def test_transitions_of_a_class_never_predicted():
    audit = audit_labels([0, 1], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(audit.transition_matrix, [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("labels", "probs", "words"),
    [
        ([0, 1], [[0.5, 0.5]], "labels have shape"),
        ([0.0], [[0.5, 0.5]], "expected integers"),
        (["a"], [[0.5, 0.5]], "labels are <U1, such as .*'a'.*expected integers"),
        ([2], [[0.5, 0.5]], r"expected integers in \[0, 2\)"),
        ([0, 0], [[0.5, 0.5], [3.0, -1.0]], "pred_probs of row 1 are .*not logits"),
        ([0], [[float("nan"), 0.5]], "pred_probs of row 0"),
        ([0], [[0.5, 0.9]], "sum 1.4000"),
    ],
)
def test_wrong_input_is_refused(labels, probs, words):
    with pytest.raises(ArgumentError, match=words):
        audit_labels(labels, probs)


def test_other_arguments_are_checked():
    with pytest.raises(ArgumentError, match="score is 'loss'"):
        audit_labels([0, 0, 2, 1], PROBS, score="loss")
    with pytest.raises(ArgumentError, match="and there are no margins: pass them"):
        audit_labels([0, 0, 2, 1], PROBS, score="aum")
    with pytest.raises(ArgumentError, match=r"margins have shape \(3,\): expected \(4,\)"):
        audit_labels([0, 0, 2, 1], PROBS, score="aum", margins=[0.0] * 3)


def blind(count=400, noise_rate=0.3):
    """Out-of-fold evidence of three classes, right in 95 of 100 rows, and noisy labels."""
    rng = np.random.default_rng(0)
    clean = np.arange(count) % 3
    favored = np.where(rng.random(count) < 0.95, clean, (clean + 1) % 3)
    labels = np.where(rng.random(count) < noise_rate, (clean + rng.integers(1, 3, count)) % 3, clean)
    probs = rng.dirichlet([1.0, 1.0, 1.0], size=count) * 0.2
    probs[np.arange(count), favored] += 0.8
    return labels, probs, clean


def test_evidence_out_of_fold_is_calibrated():
    labels, probs, clean = blind()
    audit, plain = audit_labels(labels, probs, out_of_fold=True), audit_labels(labels, probs)
    assert (audit.out_of_fold, plain.out_of_fold) == (True, False)
    np.testing.assert_array_equal(audit.is_label_issue, plain.is_label_issue)
    np.testing.assert_array_equal(audit.label_quality < 0.5, audit.is_label_issue)
    right = np.where(audit.is_label_issue, audit.label_quality * 2, audit.label_quality * 2 - 1)
    np.testing.assert_allclose(right, 1 - audit.error_probs)
    assert audit.noise_rate == pytest.approx(audit.error_probs.mean())
    assert audit.noise_rate == pytest.approx((labels != clean).mean(), abs=0.05)
    low, high = audit.noise_rate_interval
    assert low < audit.noise_rate < high
    np.testing.assert_allclose(audit.transition_matrix.sum(axis=1), 1.0)
    shares = np.bincount(labels) / len(labels)
    assert (audit.class_noise_rates * shares).sum() == pytest.approx(audit.noise_rate)


def test_another_score_ranks_out_of_fold_evidence_and_leaves_the_probabilities_alone():
    labels, probs, _ = blind()
    audit, margin = (audit_labels(labels, probs, out_of_fold=True, score=score) for score in (None, "margin"))
    np.testing.assert_array_equal(audit.error_probs, margin.error_probs)
    np.testing.assert_array_equal(margin.label_quality, audit_labels(labels, probs).label_quality)


def test_chunks_of_out_of_fold_evidence_are_judged_as_one():
    labels, probs, _ = blind()
    tally = Tally(labels, num_classes=3, out_of_fold=True)
    for start in range(0, 400, 150):
        tally.add(probs[start : start + 150])
    found = tally.audit()
    np.testing.assert_allclose(found.error_probs, audit_labels(labels, probs, out_of_fold=True).error_probs)


def test_the_row_of_a_class_never_predicted_stays_the_identity_out_of_fold():
    labels, probs, _ = blind()
    wide = np.column_stack([probs, np.zeros(400)])
    np.testing.assert_array_equal(audit_labels(labels, wide, out_of_fold=True).transition_matrix[3], [0, 0, 0, 1])


def of_counts(counts):
    """Labels and probabilities of which [i, j] rows given class j are favored in class i, with little doubt."""
    favored, given = (np.repeat(each.ravel(), np.ravel(counts)) for each in np.indices(np.shape(counts)))
    probs = np.full((len(given), len(counts)), 0.1 / (len(counts) - 1))
    probs[np.arange(len(given)), favored] = 0.9
    return given, probs


def test_where_nothing_was_learned_there_is_a_ranking_and_no_more():
    labels, probs = of_counts([[30, 20], [20, 30]])  # agrees in 60 of 100, the larger class would in 50: 2 errors
    assert not audit_labels(labels, probs, out_of_fold=True).nothing_learned
    labels, probs = of_counts([[27, 23], [23, 27]])  # 54 against 50, a standard error is 5
    audit, plain = audit_labels(labels, probs, out_of_fold=True), audit_labels(labels, probs)
    assert (audit.nothing_learned, audit.out_of_fold, plain.nothing_learned) == (True, True, False)
    assert not audit.is_label_issue.any()
    assert audit.is_label_issue.shape == labels.shape
    np.testing.assert_array_equal(audit.predicted_labels, labels)
    assert audit.error_probs.shape == labels.shape
    assert np.isnan(audit.error_probs).all()
    assert np.isnan(audit.noise_rate)
    assert audit.noise_rate_interval == (0.0, 1.0)
    np.testing.assert_array_equal(audit.transition_matrix, np.eye(2))
    np.testing.assert_array_equal(audit.favored_counts, [[27, 23], [23, 27]])
    assert set(audit.ranking[:46]) == set(np.flatnonzero(plain.is_label_issue)), "which is still a ranking"


@pytest.mark.parametrize(
    ("counts", "nothing"),
    [
        ([[80, 10], [10, 0]], True),  # agrees in 80 of 100 rows, of which 90 have the most frequent given label
        ([[89, 1], [1, 9]], False),  # 98 against 90, a standard error is 1.4
        ([[88, 5], [2, 5]], False),  # 93 against 90, a standard error is 2.6
        ([[88, 6], [2, 4]], False),  # 92 against 90, a standard error is 2.7; but by chance it would be 85
        ([[50, 0], [0, 50]], False),
    ],
)
def test_what_is_learned_is_held_to_the_most_frequent_given_label_and_to_chance(counts, nothing):
    labels, probs = of_counts(np.array(counts))
    assert audit_labels(labels, probs, out_of_fold=True).nothing_learned == nothing


def test_transitions_out_of_fold_are_those_of_the_calibration():
    """Not the raw counts, in which the errors of the evidence are counted as wrong labels."""
    labels, probs, clean = blind(count=1200)
    audit, plain = audit_labels(labels, probs, out_of_fold=True), audit_labels(labels, probs)
    true = np.stack([np.bincount(labels[clean == each], minlength=3) / (clean == each).sum() for each in range(3)])
    assert np.abs(audit.transition_matrix - true).max() < np.abs(plain.transition_matrix - true).max()


def test_what_an_audit_says_in_words_lines_and_pairs():
    audit = audit_labels([0, 0, 2, 1], PROBS)
    assert "4 labels" in repr(audit).replace("rows", "labels")
    np.testing.assert_allclose(audit.expected_precision, [0.8, 0.65, 1.9 / 3, 0.5])
    np.testing.assert_allclose(audit.error_probs, [0.1, 0.8, 0.6, 0.5], err_msg="which are left as they were")
    frame = audit.to_frame()
    assert frame["row"].tolist() == [1, 3, 2, 0]
    assert frame["given_label"].tolist() == [0, 1, 2, 0]
    assert frame["predicted_label"].tolist() == [1, 1, 2, 0]
    assert frame["is_label_issue"].tolist() == [True, False, False, False]
    np.testing.assert_allclose(frame["expected_precision"], audit.expected_precision)
    assert audit.to_datalab().get_issues("label")["is_label_issue"].tolist() == [False, True, False, False]
    assert audit.confusions() == [Confusion(given=0, clean=1, num_rows=1, rate=0.5)]
    np.testing.assert_allclose(audit.class_noise_rates, [0.5, 0.0, 0.0])


def test_at_most_ten_pairs_are_told_unless_more_are_asked_for():
    labels, probs = of_counts(np.ones((4, 4), dtype=int))
    audit = audit_labels(labels, probs)
    assert [len(audit.confusions(*limit)) for limit in ((), (3,), (100,))] == [10, 3, 12]
    assert {each.rate for each in audit.confusions()} == {0.25}


def test_the_rate_of_a_class_that_nobody_gave_is_zero():
    audit = audit_labels([0, 0, 0], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    np.testing.assert_allclose(audit.class_noise_rates, [2 / 3, 0.0])


def test_rows_are_looked_at_in_parts_of_a_million_numbers():
    assert [rows_at_once(each) for each in (2, 2**20, 2**20 + 1, 2**30)] == [2**19, 1, 1, 1]


def test_a_tally_says_what_is_still_to_come_and_what_is_too_much():
    tally = Tally([0, 1, 1], num_classes=2)
    tally.add([[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(ArgumentError, match="pred_probs of 2 rows for 3 labels"):
        tally.audit()
    for wrong in ([[0.5, 0.5]] * 2, [[0.2, 0.3, 0.5]], [0.5, 0.5]):
        with pytest.raises(ArgumentError, match="from row 2 on: expected 2 classes and at most 1 rows"):
            tally.add(wrong)
    with pytest.raises(ArgumentError, match="pred_probs of row 2"):
        tally.add([[0.7, 0.7]])
    tally.add([[0.6, 0.4]])
    assert tally.audit().is_label_issue.tolist() == [False, False, True]


def test_audits_of_published_size_are_tallied_in_several_parts(monkeypatch):
    labels, probs, _ = blind()
    whole = audit_labels(labels, probs)
    monkeypatch.setattr("elr.audit.label_quality._NUMBERS", 300)
    parts = audit_labels(labels, probs)
    np.testing.assert_array_equal(parts.label_quality, whole.label_quality)
    np.testing.assert_array_equal(parts.predicted_labels, whole.predicted_labels)


def test_a_line_has_the_index_of_its_row():
    given = [0, 0, 1]
    plain = audit_labels(given, [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    named = replace(plain, index=pd.Index(["a", "b", "c"]), class_names=(False, True))
    table = named.to_frame()
    assert table.index.tolist() == ["b", "c", "a"]
    assert table["row"].tolist() == plain.to_frame()["row"].tolist() == [1, 2, 0]
    assert plain.to_frame().index.tolist() == [0, 1, 2]
    assert table["given_label"].dtype == table["predicted_label"].dtype == bool
    assert (pd.Series(given, index=["a", "b", "c"]).astype(bool)[table.index] == table["given_label"]).all()


@pytest.mark.parametrize("score", ["calibrated", "margin", "self_confidence"])
def test_nothing_is_said_of_rows_whose_classes_are_all_as_probable(score):
    """They are no issues, and what is said of the others is what it is without them."""
    labels, probs, _ = blind()
    silent = np.zeros(len(labels) + 100, dtype=bool)
    silent[np.random.default_rng(3).permutation(len(silent))[:100]] = True
    more, uniform = np.zeros(len(silent), dtype=int), np.full((len(silent), probs.shape[1]), 1 / probs.shape[1])
    more[~silent], uniform[~silent] = labels, probs
    plain = audit_labels(labels, probs, out_of_fold=True, score=score)
    found = audit_labels(more, uniform, out_of_fold=True, score=score)
    assert not found.is_label_issue[silent].any()
    assert (found.predicted_labels == more)[silent].all()
    assert found.noise_rate == plain.noise_rate
    np.testing.assert_array_equal(found.error_probs[~silent], plain.error_probs)
    np.testing.assert_array_equal(found.label_quality[~silent], plain.label_quality)
    np.testing.assert_allclose(found.error_probs[silent], plain.noise_rate)
    assert audit_labels(more[silent], uniform[silent], out_of_fold=True).nothing_learned


def test_rows_of_which_nothing_is_known_agree_with_nothing():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    probs = np.where(np.arange(2) == rng.integers(2, size=400)[:, None], 0.9, 0.1)
    probs[:160] = 0.5
    assert audit_labels(labels, probs, out_of_fold=True).favored_counts.sum() == 240
