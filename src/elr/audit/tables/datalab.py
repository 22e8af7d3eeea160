"""An audit as cleanlab's Datalab gives one, for code that was written for Datalab; without cleanlab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.audit.tables.lines import Judged, named
from elr.checking import checked
from elr.errors import ArgumentError

_KIND = "label"


class DatalabView:
    """What was found about labels in the words and tables of cleanlab's `Datalab`.

    The judgment is ours, the form theirs: `get_issues("label")` has is_label_issue, label_score (our label_quality: low
    is suspect), given_label and predicted_label, by name where classes have names, one line a row in the order of the
    rows. Other kinds of issues are not looked for. predicted_label is the class that the evidence favors, the given one
    where it is as good as any.

    Args:
        audit: what was found; `Audit.to_datalab` passes itself.

    Attributes:
        class_names: the C classes, or their numbers.
        labels: (N,) given class numbers.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> lab = DatalabView(audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
        >>> lab.get_issues("label")
           is_label_issue  label_score  given_label  predicted_label
        0           False          0.9            0                0
        1            True          0.2            0                1
        2           False          0.6            1                1
        >>> lab.get_issue_summary()
          issue_type     score  num_issues
        0      label  0.666667           1

    Source: the tables of cleanlab 2.9, column by column (tests/audit/tables/test_datalab.py compares them).
    """

    def __init__(self, audit: Judged) -> None:
        self._audit = audit
        self.labels = audit.labels
        self.class_names = self._names()

    @property
    def has_labels(self) -> bool:
        """Always."""
        return True

    @property
    def issues(self) -> pd.DataFrame:
        """is_label_issue and label_score of all rows."""
        return pd.DataFrame({"is_label_issue": self._audit.is_label_issue, "label_score": self._audit.label_quality})

    @property
    def issue_summary(self) -> pd.DataFrame:
        """One line: the kind of issue, the share of rows without, and how many rows have it."""
        found = self._audit.is_label_issue
        return pd.DataFrame(
            {"issue_type": [_KIND], "score": [1.0 - found.mean()], "num_issues": [int(found.sum())]}
        ).astype({"issue_type": object})

    @checked
    def get_issues(self, issue_name: str | None = None) -> pd.DataFrame:
        """All rows: with "label" also given_label and predicted_label, as Datalab has it.

        Raises:
            ArgumentError: another kind of issues.
        """
        _check(issue_name)
        if issue_name is None:
            return self.issues
        names = self._audit.class_names
        return self.issues.assign(
            given_label=_column(named(self.labels, names)),
            predicted_label=_column(named(self._audit.predicted_labels, names)),
        )

    @checked
    def get_issue_summary(self, issue_name: str | None = None) -> pd.DataFrame:
        """See `issue_summary`.

        Raises:
            ArgumentError: another kind of issues.
        """
        _check(issue_name)
        return self.issue_summary

    @checked
    def get_info(self, issue_name: str | None = None) -> dict[str, Any]:
        """Of "label": num_label_issues, average_label_quality, given_label, predicted_label, class_names; without a
        name, the same under "label", and the numbers of rows and classes under "statistics".

        Raises:
            ArgumentError: another kind of issues.
        """
        _check(issue_name)
        table = self.get_issues(_KIND)
        found = {
            "num_label_issues": int(table["is_label_issue"].sum()),
            "average_label_quality": float(table["label_score"].mean()),
            "given_label": table["given_label"].to_numpy(),
            "predicted_label": table["predicted_label"].to_numpy(),
            "class_names": self.class_names,
        }
        statistics = {"num_examples": len(table), "num_classes": len(self.class_names), "class_names": self.class_names}
        return found if issue_name else {"statistics": statistics, _KIND: found}

    @checked
    def summary(self, num_examples: int = 5) -> str:
        """What Datalab's `report` prints, in short, as text: how many rows and issues, and the worst rows.

        Raises:
            ArgumentError: a negative number.
        """
        if num_examples < 0:
            raise ArgumentError(f"num_examples is {num_examples}: expected how many rows to show, 0 or more")
        table = self.get_issues(_KIND)
        found = int(table["is_label_issue"].sum())
        worst = table[table["is_label_issue"]].sort_values("label_score", kind="stable").head(num_examples)
        return (
            f"Dataset Information: num_examples: {len(table)}, num_classes: {len(self.class_names)}\n\n"
            f"Number of examples with label issues: {found}\n"
            f"Overall dataset quality in terms of this issue: {1.0 - found / len(table):.4f}\n\n"
            f"{worst.to_string() if len(worst) else 'No label issue is shown.'}\n"
        )

    def list_possible_issue_types(self) -> list[str]:
        """The kinds that are looked for: labels."""
        return [_KIND]

    def _names(self) -> list[Any]:
        names: Sequence[Any] | None = self._audit.class_names
        return list(range(self._audit.num_classes)) if names is None else list(names)


def _check(issue_name: str | None) -> None:
    if issue_name not in (None, _KIND):
        raise ArgumentError(
            f"issue_name is {issue_name!r}: only label issues are looked for here, 'label'; cleanlab's Datalab finds "
            "other kinds"
        )


def _column(values: NDArray) -> pd.Series:
    """Names of one type as pandas has them: text as text, whole numbers as numbers."""
    return pd.Series(values.tolist()) if values.dtype == np.dtype(object) else pd.Series(values)
