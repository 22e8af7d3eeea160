"""The folder of `elr theory`: what was found, the trajectory and the figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elr.errors import OutputError
from elr.files import free_folder, read_json, write_file, write_json, writing
from elr.theory import figures
from elr.theory.descent import MEASURES
from elr.theory.theorem import Examination, examine

RESULT_FILE = "theory.json"
TRAJECTORY_FILE = "path.csv"
FIGURE_FILE = "theory.png"
_ROWS = 400  # of path.csv: enough for every curve on a logarithmic axis


def exhibit(out: str | Path, **settings: Any) -> Examination:
    """Draw the model, train it and check the theorem, and write what came of it into a folder.

    theory.json has the table, path.csv the measures along the trajectory (every step at first, then ever fewer),
    theory.png the curves. With lam > 0 the figure shows cross entropy on the same draw beside it.

    Args:
        out: a folder; made if missing.
        settings: those of `elr.theory.theorem.examine`.

    Returns:
        What was found.

    Raises:
        ArgumentError: a setting out of range; matplotlib is not installed.
        OutputError: the folder holds the results of other settings, or cannot be written.

    Example:
        >>> import tempfile
        >>> examination = exhibit(tempfile.mkdtemp(), p=80, n=100, steps=50)
        >>> examination.theorem["theorem_6"]
        True
    """
    figures.check_drawing()
    out = Path(out)
    examination = examine(**settings)
    _check_folder(out, examination.settings)
    drawn = {f"ELR, lam {examination.settings['lam']:g}": examination.trajectory}
    if examination.settings["lam"] == 0:
        drawn = {"cross entropy": examination.trajectory}
    else:
        drawn = {"cross entropy": examine(**{**settings, "lam": 0.0}).trajectory, **drawn}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(out / RESULT_FILE, examination.to_json())
    write_file(out / TRAJECTORY_FILE, lambda partial: _rows(examination).to_csv(partial, index=False))
    figures.save(figures.trajectory_figure(drawn), out / FIGURE_FILE)
    return examination


def table(examination: Examination) -> str:
    """What was found, for people: a line for each number and each part of the theorem.

    Example:
        >>> print(table(examine(p=80, n=100, steps=50)).splitlines()[9])
        separable                yes
    """
    found = examination.to_json()
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
    lines += [f"{each.name:<14} {'holds' if each.holds else 'fails'}: {each.says}" for each in examination.statements]
    if examination.settings["lam"] > 0:
        lines.append("The theorem is about cross entropy; with lam > 0, (iii) should fail: that is what ELR is for.")
    return "\n".join(lines)


def _shown(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _rows(examination: Examination) -> pd.DataFrame:
    """The measures at steps that grow ever farther apart."""
    last = examination.trajectory.steps
    steps = np.unique(np.append(np.geomspace(1, last + 1, _ROWS).astype(int) - 1, last))
    return pd.DataFrame({"step": steps, **{name: getattr(examination.trajectory, name)[steps] for name in MEASURES}})


def _check_folder(out: Path, settings: dict[str, Any]) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(
            f"{out} is a file: expected a folder for the results; choose another --out, such as {free_folder(out)}"
        )
    earlier = out / RESULT_FILE
    if not earlier.exists():
        return
    if read_json(earlier).get("settings") != settings:
        raise OutputError(
            f"{out} holds the results of other settings: choose another --out, such as {free_folder(out)}, or remove "
            f"{earlier}"
        )
