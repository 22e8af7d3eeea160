"""The ranking of all rows as people read it, the most suspect label first; written, never read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.label_quality import Audit
from elr.audit.tables.lines import lines, unmixed, without_formulas

_TEXTS = ["id", "given_label", "predicted_label"]
_LINES = 100_000  # that are written at a time


def issues_table(evidence: Evidence, audit: Audit) -> pd.DataFrame:
    """One line per training example, the most suspect label first; columns as in issues.csv.

    row, id (where there is one), given_label, predicted_label, label_quality, is_label_issue, and expected_precision:
    the share of wrong labels expected among this line and those above it.

    Args:
        evidence: of a run.
        audit: of that evidence.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
        >>> evidence = Evidence(
        ...     rows=np.array([0, 7]), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, dtype=np.float32), chunks=lambda: [probs])
        >>> print(issues_table(evidence, evidence.audit()).iloc[:, :4].to_string(index=False))
         row given_label predicted_label  label_quality
           7         cat             dog            0.2
           0         cat             cat            0.9
    """
    return _lines(evidence, audit, audit.ranking, audit.expected_precision)


def write_issues(evidence: Evidence, audit: Audit, path: Path) -> None:
    """Write the table as .csv, some lines at a time; no text in it is a formula to a spreadsheet.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
        >>> evidence = Evidence(
        ...     rows=np.array([0, 7]), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, dtype=np.float32), chunks=lambda: [probs])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_issues(evidence, evidence.audit(), Path(folder) / "issues.csv")
        ...     print((Path(folder) / "issues.csv").read_text().splitlines()[1])
        7,cat,dog,0.2,True,0.8
    """

    def write(partial: Path) -> None:
        with partial.open("w", encoding="utf-8", newline="") as handle:
            for number, lines in enumerate(_in_parts(evidence, audit)):
                for name in lines.columns.intersection(_TEXTS):
                    lines[name] = without_formulas(lines[name].tolist())
                lines.to_csv(handle, index=False, header=not number)

    files.write_file(path, write)


def export_table(evidence: Evidence, audit: Audit, path: Path) -> None:
    """Write the table as .csv or .parquet, where nothing is yet.

    Raises:
        OutputError: another suffix, an existing file, or no room.

    Example:
        >>> probs = np.array([[0.9, 0.1]], dtype=np.float32)
        >>> evidence = Evidence(
        ...     rows=np.array([0]), ids=None, class_names=("cat", "dog"), labels=np.array([0]),
        ...     margins=np.zeros(1, dtype=np.float32), chunks=lambda: [probs])
        >>> export_table(evidence, evidence.audit(), Path("ranking.xlsx"))
        Traceback (most recent call last):
        elr.errors.OutputError: ranking.xlsx ends in '.xlsx': expected .csv or .parquet
    """
    files.check_new(path, ".csv", ".parquet")
    if path.suffix.lower() == ".csv":
        write_issues(evidence, audit, path)
        return
    table = unmixed(issues_table(evidence, audit))
    files.write_file(path, lambda partial: table.to_parquet(partial, index=False))


def _in_parts(evidence: Evidence, audit: Audit) -> Iterator[pd.DataFrame]:
    order, precision = audit.ranking, audit.expected_precision
    for start in range(0, len(order), _LINES):
        yield _lines(evidence, audit, order[start : start + _LINES], precision[start : start + _LINES])


def _lines(evidence: Evidence, audit: Audit, order: NDArray[np.int64], precision: NDArray[np.float64]) -> pd.DataFrame:
    """The lines of these rows, in this order."""
    columns: dict[str, Any] = {"row": evidence.rows[order]}
    if evidence.ids is not None:
        columns["id"] = [evidence.ids[position] for position in order]
    columns |= lines(audit, order, precision, class_names=evidence.class_names)
    columns["label_quality"] = columns["label_quality"].round(6)
    columns["expected_precision"] = precision.round(4)
    return pd.DataFrame(columns)
