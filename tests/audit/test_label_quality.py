import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.audit.label_quality import Tally, audit_labels, score_suspects
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


def test_score_against_clean_labels():
    audit = audit_labels([0, 0, 2, 1], PROBS)
    assert score_suspects(audit, [0, 1, 2, 0]) == {
        "suspects_precision": 1.0,
        "suspects_recall": 0.5,
        "average_precision": 1.0,
    }
    nothing = score_suspects(audit_labels([0, 1], [[0.9, 0.1], [0.1, 0.9]]), [0, 1])
    assert all(np.isnan(value) for value in nothing.values())


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
    with pytest.raises(ArgumentError, match="clean labels"):
        score_suspects(audit_labels([0, 0, 2, 1], PROBS), [0])


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
