"""One cell: its data, its training, its result."""

from __future__ import annotations

import math
import platform
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elr.errors import CheckpointError, OutputError
from elr.runs.bench.cell import DONE, FAILED, Cell, CellResult
from elr.runs.bench.memory import PeakMemory

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData
    from elr.runs.bench.sources.loaded import Loaded
    from elr.runs.bench.sources.source import Source
    from elr.runs.run import Fitted
    from elr.training.progress import Progress

MEASURES = {
    "test_accuracy_last": "test_accuracy_last",
    "test_accuracy_best": "test_accuracy_best",
    "test_balanced_accuracy_last": "test_balanced_accuracy",
    "test_top5_accuracy_last": "test_top5_accuracy_last",
    "validation_agreement_last": "validation_agreement_last",
    "average_precision": "average_precision",
    "suspects_precision": "suspects_precision",
    "suspects_recall": "suspects_recall",
    "noise_rate": "noise_rate",
    "noise_rate_realized": "noise_rate_realized",
    "fraction_memorized": "fraction_memorized",
    "num_label_issues": "num_label_issues",
}
"""What is kept of the results of a run, and under which name."""
_LIBRARIES = ("elr", "torch", "numpy", "scikit-learn", "accelerate")
_KEPT = 2  # data in memory at a time: those of the cell, and those of the next


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the data of a grid are.

    Args:
        root: the folder that relative paths of the grid start from.
        named: places by name of the data or of a published set, in place of what the grid says.
        cache: folder for frozen features.

    Example:
        >>> cell = Cell(data="digits", noise="none", rate=None, method="elr", uses="elr")
        >>> Places().source(cell).name
        'digits'
    """

    root: Path | None = None
    named: Mapping[str, Path] = field(default_factory=dict)
    cache: Path | None = None

    def source(self, cell: Cell) -> Source:
        """Of the data of a cell.

        Raises:
            ArgumentError: no such data, or settings that they do not have.
        """
        from elr.runs.bench.sources.source import (
            source_of,  # here, so that whoever only waits for workers loads no readers
        )

        return source_of(cell.data, cell.source, root=self.root, places=self.named, cache=self.cache)


class Shelf:
    """Data that have been read, the last ones of them: cells of the same data come one after another.

    Args:
        places: where data are.

    Example:
        >>> shelf = Shelf(Places())
        >>> cell = Cell(data="digits", noise="symmetric", rate=0.4, method="elr", uses="elr")
        >>> shelf.loaded(cell) is shelf.loaded(cell), len(shelf.prepared(cell).examples)
        (True, 1437)
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._loaded: OrderedDict[tuple[Any, ...], Loaded] = OrderedDict()

    def loaded(self, cell: Cell) -> Loaded:
        """The data of a cell as read.

        Raises:
            ELRError: they cannot be read.
        """
        source = self.places.source(cell)
        key = (cell.data, cell.seed if source.split_by_seed else None)
        if key in self._loaded:
            self._loaded.move_to_end(key)
        else:
            while len(self._loaded) >= _KEPT:
                self._loaded.popitem(last=False)
            self._loaded[key] = source.load(seed=cell.seed)
        return self._loaded[key]

    def prepared(self, cell: Cell) -> PreparedData:
        """The data of a cell, split and with its noise.

        Raises:
            ELRError: see `Loaded.prepared`.
        """
        from elr.runs.bench.plans import holdout
        from elr.runs.bench.sources.planting import Noise

        return self.loaded(cell).prepared(Noise(cell.noise, cell.rate), seed=cell.seed, holdout=holdout(cell))


def run_cell(
    cell: Cell, shelf: Shelf, *, folder: Path, on_progress: Callable[[Progress], None] | None = None
) -> CellResult:
    """Run a cell, or go on with it where its run was stopped.

    Whatever it fails by is in its result and stops nothing else, but for an interruption and a full disk.

    Args:
        cell: which one.
        shelf: of the data.
        folder: for its run while it trains; removed in the end.
        on_progress: called after every batch.

    Raises:
        OutputError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> cell = Cell(
        ...     data="digits", noise="none", rate=None, method="ce", uses="cross_entropy", training={"epochs": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = run_cell(cell, Shelf(Places()), folder=Path(folder) / "run")
        >>> result.status, result.measures["noise_rate_realized"], result.plan["method"]
        ('done', 0.0, {'name': 'cross_entropy'})
    """
    done: dict[str, Any]
    try:
        done = _done(cell, shelf, folder, on_progress)
    except OutputError:
        raise
    except Exception as error:  # whatever a method raises on some data
        done = {"status": FAILED, "error": f"{type(error).__name__}: {error}"}
    return CellResult(
        cell=cell,
        threads=torch.get_num_threads(),
        machine=platform.node(),
        versions={name: metadata.version(name) for name in _LIBRARIES}
        | {"python": platform.python_version(), "platform": platform.platform()},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **done,
    )


def _done(cell: Cell, shelf: Shelf, folder: Path, on_progress: Callable[[Progress], None] | None) -> dict[str, Any]:
    """Train and measure."""
    from elr.runs.bench.plans import needed, plan_cell

    prepared = shelf.prepared(cell)
    planned = plan_cell(cell, prepared)
    peak, trained = PeakMemory(), False

    def watched(progress: Progress) -> None:
        nonlocal trained
        trained = True
        if on_progress is not None:
            on_progress(progress)

    fitted = _fitted(prepared, planned, folder, watched)
    measures = {name: fitted.results.get(key) for key, name in MEASURES.items()}
    device = peak.device_bytes() if trained else None  # a run that was found finished needs next to nothing
    return {
        "status": DONE,
        "measures": {
            name: float(value)
            for name, value in (measures | {"peak_device_memory_bytes": device}).items()
            if value is not None and math.isfinite(value)
        },
        "seconds": float(fitted.results["seconds"]),
        "peak_memory_bytes": peak.bytes() if trained else None,
        "plan": planned.plan.to_json(),
        "filled": needed(cell),
        "data": {
            "source": prepared.source,
            "noise": prepared.noise,
            "sha256": prepared.sha256,
            "num_examples": len(prepared.examples),
            "num_test": 0 if prepared.test is None else len(prepared.test),
            "num_classes": prepared.preprocessing.num_classes,
        },
    }


def _fitted(
    prepared: PreparedData, planned: Any, folder: Path, on_progress: Callable[[Progress], None] | None
) -> Fitted:
    """The run, gone on with where a part of this very run is in the folder."""
    from elr.runs.run import run_plan

    def run() -> Fitted:
        return run_plan(
            prepared, planned.plan, config=dict(planned.config), out=folder, resume=True, on_progress=on_progress
        )

    try:
        return run()
    except CheckpointError:  # of another run, or damaged by the end of the one before
        shutil.rmtree(folder, ignore_errors=True)
        return run()
