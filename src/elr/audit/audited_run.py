"""A finished run, read again with its audit: the most suspect labels and the classes confused, as `elr audit` shows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from elr import files
from elr.audit.alarms import find_alarms
from elr.audit.evidence import Evidence, read_evidence
from elr.audit.issues_view import issues_table
from elr.audit.label_quality import Audit
from elr.audit.learning import Alarm, of_memory, share_is_known


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditedRun:
    """A finished run with its audit: what `elr audit` shows and prints.

    Args:
        folder: of the run.
        run: its run.json.
        evidence: of the run, or the mean over several.
        audit: of that evidence.

    Example:
        >>> import tempfile
        >>> from elr.audit.evidence import write_evidence
        >>> import numpy as np
        >>> evidence = Evidence(
        ...     rows=np.arange(3), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0, 1]),
        ...     margins=np.zeros(3, "float32"),
        ...     chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], "float32")])
        >>> about = {"status": "complete", "data": {"num_examples": 3}}
        >>> about["preprocessing"] = {"class_names": ["cat", "dog"]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files.write_json(Path(folder) / files.RUN_FILE, about)
        ...     _ = write_evidence(Path(folder) / files.EVIDENCE_FILE, evidence)
        ...     found = AuditedRun.read(Path(folder))
        >>> found.confusions()
        [{'given': 'cat', 'clean': 'dog', 'num_rows': 1, 'rate': 0.5}]
    """

    folder: Path
    run: Mapping[str, Any]
    evidence: Evidence
    audit: Audit

    @classmethod
    def read(cls, folder: Path, *, also: Sequence[Path] = (), score: str | None = None) -> AuditedRun:
        """Read a run, and others on the same data to average with.

        Raises:
            ArtifactError: not the folder of a finished run, or damaged.
            ArgumentError: runs on different data, or a score that is unknown or cannot be had.
        """
        evidence, runs = read_evidence(folder, *also), [files.read_run(each) for each in (folder, *also)]
        audit = evidence.audit(score=score)
        return cls(
            folder=folder,
            run=runs[0],
            evidence=evidence,
            audit=of_memory(audit) if any(map(_memorized, runs)) else audit,
        )

    @property
    def warnings(self) -> list[Alarm]:
        """What must be known before the rest is believed."""
        return find_alarms(self.audit, self.evidence.class_names)

    def suspects(self, top: int) -> pd.DataFrame:
        """The most suspect label issues, at most `top`."""
        table = issues_table(self.evidence, self.audit)
        return table[table["is_label_issue"]].head(top)

    def expected_precision(self) -> dict[str, float]:
        """At some cut-offs of the ranking, their number of rows as text -> the share of wrong labels expected there.

        None where the suspects may be chance or mistakes, or labels were memorized (`share_is_known`).
        """
        issues = self.audit.num_label_issues if share_is_known(self.audit) else 0
        cuts = sorted(
            {cut for cut in (10, 100, 1000, 10_000, 100_000) if cut < issues} | ({issues} if issues else set())
        )
        return {str(cut): float(self.audit.expected_precision[cut - 1]) for cut in cuts}

    def confusions(self, limit: int = 10) -> list[dict[str, Any]]:
        """The pairs of classes most often confused, by name."""
        names = [str(name) for name in self.evidence.class_names]
        return [
            {"given": names[pair.given], "clean": names[pair.clean], "num_rows": pair.num_rows, "rate": pair.rate}
            for pair in self.audit.confusions(limit)
        ]

    def to_json(self, top: int) -> dict[str, Any]:
        """What `elr audit --json` prints."""
        audit = self.audit
        names = [str(name) for name in self.evidence.class_names]
        return {
            "out": str(self.folder),
            "num_examples": len(audit.labels),
            "num_classes": len(names),
            "noise_rate": audit.noise_rate,
            "noise_rate_interval": list(audit.noise_rate_interval),
            "num_label_issues": audit.num_label_issues,
            "expected_precision": self.expected_precision(),
            "out_of_fold": audit.out_of_fold,
            "warnings": [alarm.to_json() for alarm in self.warnings],
            "class_names": names,
            "class_noise_rates": audit.class_noise_rates.tolist(),
            "transition_matrix": None if math.isnan(audit.noise_rate) else audit.transition_matrix.tolist(),
            "confusions": self.confusions(),
            "suspects": json.loads(self.suspects(top).to_json(orient="records")),
        }


def _memorized(run: Mapping[str, Any]) -> bool:
    """Whether the verdict of a run on its own training is memorization (`elr.training.verdict`)."""
    return run.get("results", {}).get("early_learning", {}).get("state") == "memorization"
