"""The transition matrix, counted example by example; who needs it takes it from here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.audit.label_quality import audit_labels
from elr.datasets.base import Part
from elr.datasets.sets.clothing1m import measured_noise
from elr.errors import ArgumentError
from elr.noise.models import NoisyLabels
from elr.noise.transitions import checked_transitions, count_transitions, transition_matrix


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_counts_and_shares_by_hand(seed, num_classes, num_examples):
    rng = np.random.default_rng(seed)
    given_labels, clean = rng.integers(num_classes, size=(2, num_examples))
    counts = count_transitions(given_labels, clean, num_classes=num_classes)
    matrix = transition_matrix(counts)
    for i in range(num_classes):
        rows = given_labels[clean == i].tolist()
        assert counts[i].tolist() == [rows.count(j) for j in range(num_classes)]
        expected = [rows.count(j) / len(rows) for j in range(num_classes)] if rows else np.eye(num_classes)[i]
        np.testing.assert_array_equal(matrix[i], expected)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)


def test_a_class_without_examples_keeps_its_label():
    counts = count_transitions(np.array([0, 1]), np.array([0, 0]), num_classes=3)
    np.testing.assert_allclose(transition_matrix(counts), [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])


def test_sums_of_label_probabilities_are_scaled_too():
    assert transition_matrix([[0.3, 0.1], [1e-3, 0.0]])[0].tolist() == [pytest.approx(0.75), pytest.approx(0.25)]
    assert transition_matrix([[0.3, 0.1], [1e-3, 0.0]])[1].tolist() == [1.0, 0.0]


def test_noisy_labels_audit_and_published_set_have_the_same_matrix():
    rng = np.random.default_rng(0)
    clean = np.arange(60) % 3
    labels = np.where(rng.random(60) < 0.4, rng.integers(3, size=60), clean)
    expected = transition_matrix(count_transitions(labels, clean, num_classes=3))
    np.testing.assert_array_equal(NoisyLabels(labels, clean, 3, "drawn").transition_matrix, expected)
    np.testing.assert_array_equal(audit_labels(labels, np.eye(3)[clean]).transition_matrix, expected)
    np.testing.assert_array_equal(measured_noise(Part(labels=labels, clean_labels=clean), 3), expected)


def test_a_matrix_as_text_that_is_no_list_is_told_how_it_is_written():
    with pytest.raises(ArgumentError, match=r"transition is '0.9,0.1;0.2,0.8'; expected a row .*\[\[0.9,0.1\]"):
        checked_transitions("0.9,0.1;0.2,0.8", "transition")


@pytest.mark.parametrize(
    ("labels", "clean", "classes", "words"),
    [
        ([0], [0], 0, "num_classes is 0: expected an integer of at least 1"),
        ([0, 1], [0], 2, r"labels have shape \(2,\), clean_labels \(1,\)"),
        ([[0]], [[0]], 2, r"labels have shape \(1, 1\)"),
        ([0, 2], [0, 0], 2, r"labels go from 0 to 2: expected classes in \[0, 2\)"),
        ([0, 0], [0, 2], 2, "clean_labels go from 0 to 2"),
        ([-1, 0], [0, 0], 2, "labels go from -1 to 0"),
        ([0, 0], [0, -1], 2, "clean_labels go from -1 to 0"),
        ([0.5], [0], 2, "labels has dtype float64"),
        ([0], ["a"], 2, "clean_labels has dtype <U1"),
    ],
)
def test_labels_that_cannot_be_counted_are_refused(labels, clean, classes, words):
    with pytest.raises(ArgumentError, match=words):
        count_transitions(np.array(labels), np.array(clean), num_classes=classes)


def test_one_class_and_small_integers_are_counted():
    assert count_transitions(np.zeros(3, int), np.zeros(3, int), num_classes=1).tolist() == [[3]]
    small = np.array([199, 0, 199], dtype=np.uint8)  # 199 * 200 is more than its type holds
    counts = count_transitions(small, small, num_classes=200)
    assert (counts.dtype, counts.sum(), counts[199, 199], counts[0, 0]) == (np.int64, 3, 2, 1)


@pytest.mark.parametrize("counts", [[1, 2], [[1, 2, 3], [4, 5, 6]], [[[1]]]])
def test_counts_that_are_no_matrix_are_refused(counts):
    with pytest.raises(ArgumentError, match=r"expected \(C, C\), a row for each true class"):
        transition_matrix(counts)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([0.5, 0.5], r"m has shape \(2,\)"),
        ([[1.0]], r"m has shape \(1, 1\)"),
        ([[0.5, 0.5]], r"m has shape \(1, 2\)"),
        ([[1.5, -0.5], [0, 1]], "m has a negative or not finite entry"),
        ([[np.nan, 1], [0, 1]], "m has a negative or not finite entry"),
        ([[np.inf, 1], [0, 1]], "m has a negative or not finite entry"),
        ([[1, 0], [0.1, 0.8]], "row 1 of m sums to 0.9; expected 1"),
        ([[0.5, 0.4], [0.1, 0.2]], "row 1 of m sums to 0.3"),
        ([[0.9, 0.1], [0, 1.00001]], "row 1 of m sums to 1.00001"),
        ([["a", "b"], ["c", "d"]], "m has dtype <U1"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, words):
    with pytest.raises(ArgumentError, match=words):
        checked_transitions(matrix, "m")


def test_a_transition_matrix_comes_back_in_float64():
    found = checked_transitions(np.array([[0.9, 0.1], [0.3, 0.7]], dtype=np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0.9, 0.1], [0.3, 0.7]], atol=1e-7)
    assert checked_transitions([[1, 0], [0, 1]]).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ArgumentError, match="transition_matrix has shape"):
        checked_transitions([[1]])
