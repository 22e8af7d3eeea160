import numpy as np
import pytest

from elr.audit.inputs import SCORES, check_probs, check_score, checked_labels, checked_margins
from elr.errors import ArgumentError


def test_evidence_out_of_fold_can_have_any_score_and_other_evidence_is_not_calibrated():
    for score in SCORES:
        check_score(score, out_of_fold=True)
    for score in SCORES[1:]:
        check_score(score, out_of_fold=False)
    with pytest.raises(ArgumentError, match=r"rows that the network was trained on.*take another score"):
        check_score("calibrated", out_of_fold=False)
    with pytest.raises(ArgumentError, match="score is 'loss': expected one of"):
        check_score("loss", out_of_fold=True)


def test_labels_of_any_integers_become_int64():
    assert checked_labels(np.array([0, 1], dtype=np.uint8), 2).dtype == np.int64
    with pytest.raises(ArgumentError, match="labels go from -1 to 1"):
        checked_labels([-1, 1], 2)


def test_margins_and_probabilities_pass_as_they_are():
    assert checked_margins([0.5, float("nan")], 2).shape == (2,)
    check_probs(np.array([[0.5, 0.51]]), start=0)  # float16 rounds
    with pytest.raises(ArgumentError, match="row 5 are"):
        check_probs(np.array([[0.5, 0.5], [0.5, 0.6]]), start=4)
