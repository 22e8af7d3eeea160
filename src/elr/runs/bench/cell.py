"""A cell of a bench, one method on some data with some noise and one seed, and the file that it leaves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from elr import files
from elr.checking import check_ranges, check_types, checked_value
from elr.errors import ArtifactError

DONE, FAILED = "done", "failed"
CELLS_FOLDER = "cells"
"""Where in the folder of a bench the files of its cells are, `Cell.key` and .json each."""
_LARGEST = 2**63
_DATA = {
    **dict.fromkeys(("source", "noise", "sha256"), "str | None"),
    **dict.fromkeys(("num_examples", "num_test", "num_classes"), "int | None"),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on some data with some noise, by one seed.

    Args:
        data: name of the data in the grid.
        noise: name in `elr.noise.named.NOISES`; "human" for labels that people gave; "none" for labels as they are.
        rate: what the noise is asked for: a rate in [0, 1], or the name of a set of human labels; None without noise.
        method: what the grid calls the method with its settings: the row of the table.
        uses: the method's name in `elr.methods.catalog.METHODS`.
        settings: of the method, by name.
        training: how it is trained, fields of `elr.runs.fit_config.FitConfig` by name; with a "recipe", changes of it.
        seed: of noise, weights and order.
        source: what the grid says of the data, as `elr.runs.bench.sources.source.source_of` takes it.

    Example:
        >>> cell = Cell(data="digits", noise="symmetric", rate=0.4, method="elr", uses="elr", seed=1)
        >>> cell.key, cell.column
        ('digits--symmetric-0.4--elr--1', ('digits', 'symmetric', 0.4))
        >>> Cell.from_json(cell.to_json()) == cell
        True
    """

    data: str
    noise: str
    rate: float | str | None
    method: str
    uses: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def column(self) -> tuple[str, str, float | str | None]:
        """What methods are compared on: data, noise, rate."""
        return self.data, self.noise, self.rate

    @property
    def key(self) -> str:
        """Name of its files, unlike those of all other cells of the grid."""
        noise = self.noise if self.rate is None else f"{self.noise}-{self.rate}"
        return "--".join(_safe(part) for part in (self.data, noise, self.method, str(self.seed)))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Cell:
        """A cell as `to_json` wrote it."""
        cell = cls(**values)
        check_types(cell)
        return cell


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What a cell gave: the content of its file.

    Args:
        cell: which one.
        status: `DONE` or `FAILED`.
        error: what went wrong; "" if nothing did.
        measures: numbers by name: test_accuracy_last, test_accuracy_best, test_balanced_accuracy, average_precision (of
            the method's own ranking of the labels, against the clean ones), noise_rate_realized, and others.
        seconds: from the first step on: training, what the method does between epochs, measuring after each of them,
            checkpoints, judging the labels at the end; no reading of data. Of a run that was stopped, the epochs before
            count without what was measured after them.
        peak_memory_bytes: most memory that the process held in the meantime, data included; of a run that was stopped
            and gone on with, in its last part. None where the system does not say, or that part had no training.
        threads: that were used.
        machine: on which.
        versions: of elr, Python and what computes.
        plan: all settings of the run, see `elr.runs.plan.Plan`.
        created: when it ended, in UTC.
        filled: settings that the method was given from the noise, and the quantity that each is.
        data: of what was trained on: source, noise, sha256, num_examples, num_test, num_classes.

    Example:
        >>> cell = Cell(data="digits", noise="symmetric", rate=0.4, method="elr", uses="elr", seed=1)
        >>> result = CellResult(cell=cell, status=DONE, measures={"test_accuracy_last": 0.91}, seconds=2.5, threads=1)
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.write(Path(folder))
        ...     found = read_result(Path(folder) / CELLS_FOLDER / "digits--symmetric-0.4--elr--1.json")
        >>> found.measures["test_accuracy_last"], found.cell == cell
        (0.91, True)
    """

    cell: Cell
    status: str
    error: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    threads: int = 1
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    filled: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)

    def write(self, folder: Path) -> None:
        """Write its file into the folder of a bench, whole or not at all."""
        path = folder / CELLS_FOLDER / f"{self.cell.key}.json"
        with files.writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, asdict(self))


def read_result(path: Path) -> CellResult:
    """The result of a cell.

    Args:
        path: of its file.

    Raises:
        ArtifactError: no such file, or it is damaged.

    Example:
        >>> read_result(Path("no-such-cell.json"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: ...
    """
    values = files.read_json(path)
    try:
        known: dict[str, Any] = {each.name: values[each.name] for each in fields(CellResult)}
        known["cell"] = Cell.from_json(values["cell"])
        result = CellResult(**known)
        _check(result)
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is no result of a cell ({error}): it is damaged, or of another version") from None
    return result


def _check(result: CellResult) -> None:
    """Refuse a result whose values cannot be what a cell wrote.

    Raises:
        ValueError: as it says.
    """
    ranges = {
        "status": (result.status in (DONE, FAILED), f"{DONE} or {FAILED}"),
        "seconds": (0 <= result.seconds <= _LARGEST, "0 or more"),
        "threads": (1 <= result.threads <= _LARGEST, "at least 1"),
        "peak_memory_bytes": (0 <= (result.peak_memory_bytes or 0) <= _LARGEST, "None, or 0 or more"),
    }
    check_ranges(result, ranges)
    for name, kind in (("measures", "float | None"), ("versions", "str"), ("filled", "str")):
        for key, value in getattr(result, name).items():
            checked_value(f"{name}.{key}", value, kind, {})
    if huge := [name for name, value in result.measures.items() if value is not None and abs(value) > _LARGEST]:
        raise ValueError(f"measures.{huge[0]} is {result.measures[huge[0]]:.3g}: expected what can be measured")
    for name, kind in _DATA.items():
        checked_value(f"data.{name}", result.data.get(name), kind, {})


def _safe(text: str) -> str:
    """Letters, digits, dots, underscores and hyphens alone; where others had to go, with a mark of what they were."""
    safe = re.sub(r"[^A-Za-z0-9._-]+|--+", "-", text)
    return safe if safe == text else f"{safe}-{hashlib.sha256(json.dumps(text).encode()).hexdigest()[:6]}"
