"""How well an audit found the wrong labels, where clean ones are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score

from elr.audit.label_quality import Audit
from elr.errors import ArgumentError


def score_suspects(audit: Audit, clean_labels: ArrayLike) -> dict[str, float]:
    """How well an audit found the labels that are really wrong; for benchmarks, where clean labels are known.

    Args:
        audit: what was found.
        clean_labels: (N,) labels known to be right.

    Returns:
        suspects_precision and suspects_recall of is_label_issue, average_precision of the ranking by label_quality;
        NaN where nothing is suspect or nothing is wrong.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> score_suspects(audit, [0, 1, 1])["average_precision"]
        1.0
    """
    clean = np.asarray(clean_labels)
    if clean.shape != audit.labels.shape:
        raise ArgumentError(f"{clean.shape} clean labels for {audit.labels.shape} given ones: expected one each")
    wrong = audit.labels != clean
    hits = int((wrong & audit.is_label_issue).sum())
    return {
        "suspects_precision": hits / audit.num_label_issues if audit.num_label_issues else np.nan,
        "suspects_recall": hits / int(wrong.sum()) if wrong.any() else np.nan,
        "average_precision": float(average_precision_score(wrong, -audit.label_quality)) if wrong.any() else np.nan,
    }
