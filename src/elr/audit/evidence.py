"""What finished runs say of the labels that they were trained on: read from their folders, tabulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr import files
from elr.audit.labels import Audit, audit_labels
from elr.data.labels import Label
from elr.data.reading import read_table
from elr.errors import ArgumentError, ArtifactError

_TEXT_COLUMNS = ("id", "given_label", "predicted_label")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What training gathered about each row, and how people know the row.

    Args:
        rows: (N,) int64, row of each training example in the data as they lie (from 0; of a folder of images, in order
            of the file names).
        ids: names of the rows, or None.
        class_names: the C classes.
        given_labels: (N,) int64.
        pred_probs: (N, C) rows that sum to 1.
        margins: (N,) mean margins of the given labels over the epochs (`elr.training.monitor.Monitor.margins`); None
            for runs of versions that did not keep them.
    """

    rows: NDArray[np.int64]
    ids: Sequence[str] | None
    class_names: tuple[Label, ...]
    given_labels: NDArray[np.int64]
    pred_probs: NDArray[np.float32]
    margins: NDArray[np.float32] | None = None

    def audit(self, *, score: str = "margin") -> Audit:
        """Which given labels it contradicts; see `elr.audit.labels.audit_labels`.

        Raises:
            ArgumentError: an unknown score, or "aum" for a run without margins.
        """
        if score == "aum" and self.margins is None:
            raise ArgumentError(
                "the run has no margins, for it was trained by an earlier version of elr: train it again, or take "
                "another score"
            )
        return audit_labels(self.given_labels, self.pred_probs, score=score, margins=self.margins)

    def table(self, audit: Audit) -> pd.DataFrame:
        """One line per training example, the most suspect label first; columns as in issues.csv.

        row, id (where there is one), given_label, predicted_label, label_quality, is_label_issue, and
        expected_precision: the share of wrong labels expected among this line and those above it.
        """
        names = np.array(self.class_names, dtype=object)
        order = audit.ranking
        columns: dict[str, Any] = {"row": self.rows[order]}
        if self.ids is not None:
            columns["id"] = [self.ids[position] for position in order]
        return pd.DataFrame(
            columns
            | {
                "given_label": names[audit.given_labels[order]],
                "predicted_label": names[audit.predicted_labels[order]],
                "label_quality": audit.label_quality[order].round(6),
                "is_label_issue": audit.is_label_issue[order],
                "expected_precision": audit.expected_precision.round(4),
            }
        )


def read_evidence(folder: Path, *others: Path) -> Evidence:
    """The evidence of a finished run, or the mean of several on the same labels (other seeds, other settings).

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        ArgumentError: runs on different rows, labels or classes.
    """
    first = _read(Path(folder))
    pred_probs, margins = [first.pred_probs], [first.margins]
    for path in map(Path, others):
        other = _read(path)
        for what, same in (
            ("classes", other.class_names == first.class_names),
            ("rows", np.array_equal(other.rows, first.rows)),
            ("given labels", np.array_equal(other.given_labels, first.given_labels)),
        ):
            if not same:
                raise ArgumentError(
                    f"the runs in {folder} and {path} have different {what}: expected runs on the same data, such as "
                    "with another --seed"
                )
        pred_probs.append(other.pred_probs)
        margins.append(other.margins)
    mean = np.asarray(np.mean(pred_probs, axis=0, dtype=np.float64), dtype=np.float32)
    return Evidence(
        rows=first.rows,
        ids=first.ids,
        class_names=first.class_names,
        given_labels=first.given_labels,
        pred_probs=mean,
        margins=None if any(each is None for each in margins) else np.mean(margins, axis=0),  # type: ignore[arg-type]
    )


def _read(folder: Path) -> Evidence:
    run = files.read_run(folder)
    tensors = files.read_tensors(folder / files.TARGETS_FILE)
    issues = read_table(folder / files.ISSUES_FILE, as_text=_TEXT_COLUMNS)
    try:
        given, pred_probs = tensors["given_labels"].numpy(), tensors["pred_probs"].float().numpy()
        names = tuple(run["encoder"]["class_names"])
        margins = tensors["margins"].numpy() if "margins" in tensors else None
        if not len(issues) == len(given) == len(pred_probs) or pred_probs.shape[1:] != (len(names),):
            raise KeyError(f"{len(issues)} rows in {files.ISSUES_FILE}, {len(given)} in {files.TARGETS_FILE}")
        in_order = issues.sort_values("row")
        ids = [str(name) for name in in_order["id"].fillna("")] if "id" in in_order else None
        rows = in_order["row"].to_numpy(dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the files in {folder} do not belong together ({error}): run `elr fit` again") from error
    return Evidence(rows=rows, ids=ids, class_names=names, given_labels=given, pred_probs=pred_probs, margins=margins)
