"""The folder of `elr theory`: what was found, the path and the figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elr.errors import OutputError
from elr.files import read_json, write_file, write_json, writing
from elr.theory import figures
from elr.theory.linear import MEASURES
from elr.theory.theorem import Finding, examine

FINDING_FILE = "theory.json"
PATH_FILE = "path.csv"
FIGURE_FILE = "theory.png"
_ROWS = 400  # of path.csv: enough for every curve on a logarithmic axis


def exhibit(out: str | Path, **settings: Any) -> Finding:
    """Draw the model, train it and check the theorem, and write what came of it into a folder.

    theory.json has the table, path.csv the measures along the path (every step at first, then ever fewer), theory.png
    the curves. With lam > 0 the figure shows cross entropy on the same draw beside it.

    Args:
        out: a folder; made if missing.
        settings: those of `elr.theory.theorem.examine`.

    Returns:
        What was found.

    Raises:
        ArgumentError: a setting out of range.
        OutputError: the folder holds the results of other settings, or cannot be written.

    Example:
        >>> import tempfile
        >>> finding = exhibit(tempfile.mkdtemp(), p=80, n=100, steps=50)
        >>> finding.theorem["theorem_6"]
        True
    """
    out = Path(out)
    finding = examine(**settings)
    _check_folder(out, finding.settings)
    paths = {f"ELR, lam {finding.settings['lam']:g}": finding.path}
    if finding.settings["lam"] == 0:
        paths = {"cross entropy": finding.path}
    else:
        paths = {"cross entropy": examine(**{**settings, "lam": 0.0}).path, **paths}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(out / FINDING_FILE, finding.to_json())
    write_file(out / PATH_FILE, lambda partial: _rows(finding).to_csv(partial, index=False))
    figures.save(figures.path_figure(paths), out / FIGURE_FILE)
    return finding


def table(finding: Finding) -> str:
    """What was found, for people: a line for each number and each part of the theorem."""
    found = finding.to_json()
    lines = [
        f"{key:<24} {_shown(found[key])}"
        for key in (
            "noise_rate",
            "gradient_correlation",
            "early_learning_step",
            "peak_accuracy_on_wrong",
            "peak_step",
            "final_accuracy_on_wrong",
            "final_accuracy_on_clean",
            "fraction_memorized",
            "steps",
            "separable",
        )
    ]
    lines += [f"{check.name:<14} {'holds' if check.holds else 'fails'}: {check.says}" for check in finding.checks]
    if finding.settings["lam"] > 0:
        lines.append("The theorem is about cross entropy; with lam > 0, (iii) should fail: that is what ELR is for.")
    return "\n".join(lines)


def _shown(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _rows(finding: Finding) -> pd.DataFrame:
    """The path's measures at steps that grow ever farther apart."""
    last = finding.path.steps
    steps = np.unique(np.append(np.geomspace(1, last + 1, _ROWS).astype(int) - 1, last))
    return pd.DataFrame({"step": steps, **{name: getattr(finding.path, name)[steps] for name in MEASURES}})


def _check_folder(out: Path, settings: dict[str, Any]) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: expected a folder for the results; choose another --out")
    earlier = out / FINDING_FILE
    if not earlier.exists():
        return
    if read_json(earlier).get("settings") != settings:
        raise OutputError(f"{out} holds the results of other settings: choose another --out, or remove {earlier}")
