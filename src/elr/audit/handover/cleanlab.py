"""What a run found, as the arrays that cleanlab reads, and as the table that its Datalab gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.label_quality import Audit
from elr.audit.tables.lines import unmixed
from elr.errors import OutputError


def export_cleanlab(evidence: Evidence, audit: Audit, folder: Path) -> None:
    """Write what `cleanlab.filter.find_label_issues(labels, pred_probs)` reads, and what Datalab would say of it.

    In the order of the rows: pred_probs.npy (N, C) float32, labels.npy (N,) int64, rows.npy (N,) int64 (row of each in
    the data), class_names.json, and datalab.parquet: row, and the columns of `Audit.to_datalab().get_issues("label")`,
    which is our judgment in cleanlab's words. Of a run of several networks the probabilities are out of sample, as
    cleanlab asks for; of a run of one network they are ELR's targets, gathered in training. (cleanlab asks because a
    network of plain cross entropy memorizes what it is trained on.) They are written some rows at a time;
    np.load(..., mmap_mode="r") reads them so.

    Args:
        evidence: of a run.
        audit: of this evidence.
        folder: where the files go: new, or empty.

    Raises:
        OutputError: a folder that is there and not empty, or no room.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> evidence = Evidence(
        ...     rows=np.array([0, 7]), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, dtype=np.float32), chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8]], "float32")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_cleanlab(evidence, evidence.audit(), Path(folder))
        ...     print(pd.read_parquet(Path(folder) / "datalab.parquet").round(1).to_string(index=False))
        ...     np.load(Path(folder) / "pred_probs.npy").shape
         row  is_label_issue  label_score given_label predicted_label
           0           False          0.9         cat             cat
           7            True          0.2         cat             dog
        (2, 2)
    """
    with files.writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} exists already: choose another folder, or empty it")
        folder.mkdir(parents=True, exist_ok=True)
    files.write_file(folder / "pred_probs.npy", lambda partial: _write_probs(evidence, partial))
    for name, array in {"labels": evidence.labels, "rows": evidence.rows}.items():
        files.write_file(folder / f"{name}.npy", _saver(array))
    names = [str(name) for name in evidence.class_names]
    files.write_text(folder / "class_names.json", json.dumps(names, ensure_ascii=False) + "\n")
    table = unmixed(audit.to_datalab().get_issues("label"))
    table.insert(0, "row", evidence.rows)
    files.write_file(folder / "datalab.parquet", lambda partial: table.to_parquet(partial, index=False))


def _write_probs(evidence: Evidence, path: Path) -> None:
    """Not through a memory map, where a full disk would end the process instead of raising an error."""
    shape = (len(evidence.labels), len(evidence.class_names))
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for probs in evidence.chunks():
            handle.write(np.ascontiguousarray(probs, dtype="<f4").tobytes())


def _saver(array: np.ndarray) -> Callable[[Path], None]:
    def save(partial: Path) -> None:
        with partial.open("wb") as handle:  # np.save would add a suffix to the temporary name
            np.save(handle, array)

    return save
