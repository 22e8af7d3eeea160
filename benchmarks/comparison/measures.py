"""What is measured of a method on a case. Clean labels and test labels are looked at here, and nowhere before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from comparison.cases import Case
from comparison.methods import Found

PERCENTS = (10, 50, 100)
"""Of the issues, most suspect first, at which precision is measured."""


def measured(case: Case, found: Found) -> dict[str, Any]:
    """The numbers of one run, those that it has."""
    wrong = case.is_wrong
    record = test_measures(found.test_labels, case.test_labels)
    record |= {"noise_rate": float(wrong.mean()), "num_train": len(wrong), "num_test": len(case.test_labels)}
    record["seconds"] = round(found.seconds, 3)
    if found.label_quality is not None:
        record["average_precision"] = float(average_precision_score(wrong, -found.label_quality))
    if found.label_quality is None or found.num_issues is None:
        return record
    record["num_issues"] = found.num_issues
    hits = wrong[np.argsort(found.label_quality, kind="stable")].cumsum()
    for percent in PERCENTS if found.num_issues else ():
        count = max(1, round(found.num_issues * percent / 100))
        record[f"precision_{percent}"] = float(hits[count - 1] / count)
        if found.expected_precision is not None:
            record[f"expected_precision_{percent}"] = float(found.expected_precision[count - 1])
    return record


def test_measures(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Of predictions on test rows: balanced accuracy is the mean over the classes of the share found."""
    classes = np.unique(labels)
    recalls = [float((predicted[labels == c] == c).mean()) for c in classes]
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "num_classes": len(classes),
        "classes_never_predicted": len(np.setdiff1d(classes, predicted)),
        "classes_predicted": len(np.unique(predicted)),
    }
