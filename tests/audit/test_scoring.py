"""An audit against labels that are known to be right."""

import numpy as np
import pytest

from elr.audit.label_quality import audit_labels
from elr.audit.scoring import score_suspects
from elr.errors import ArgumentError

PROBS = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.5, 0.5, 0.0]]


def test_score_against_clean_labels():
    audit = audit_labels([0, 0, 2, 1], PROBS)
    assert score_suspects(audit, [0, 1, 2, 0]) == {
        "suspects_precision": 1.0,
        "suspects_recall": 0.5,
        "average_precision": 1.0,
    }
    nothing = score_suspects(audit_labels([0, 1], [[0.9, 0.1], [0.1, 0.9]]), [0, 1])
    assert all(np.isnan(value) for value in nothing.values())


def test_as_many_clean_labels_as_given_ones():
    with pytest.raises(ArgumentError, match="clean labels"):
        score_suspects(audit_labels([0, 0, 2, 1], PROBS), [0])
