"""Checkpoints of a run: written whole or not at all, read only into the configuration they were written by."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch import distributed as dist
from torch.optim.lr_scheduler import LRScheduler

from elr.checking import refuse_unlike
from elr.errors import ArtifactError, CheckpointError, OutputError
from elr.files import differences, read_json, write_json, writing
from elr.methods.method import Method, ParameterGroup
from elr.targets.ranks import raise_together
from elr.targets.store import Targets, rows_apart, stores_in
from elr.training.config import TrainingConfig
from elr.training.engine import preserved_random_state
from elr.training.monitor import Monitor
from elr.training.progress import Measures, are_records

COST_SHARE = 0.05
"""Checkpoints may take this share of the training time; they are written as often as that allows."""

PARTIAL = "checkpoint.partial"
_OUTDATED = ".checkpoint.partial"
IDENTITY = "identity.json"
PARTS = "parts.pt"
_ADVICE = "delete it and start anew"

_KEPT = ("epoch", "generation", "first", "probe_labels", "probe_epochs", "visited")


class Stateful(Protocol):
    """Anything whose state is plain values and tensors.

    Example:
        >>> part: Stateful = RunState(Monitor([0, 1]), epoch=1, history=[{"epoch": 1, "seconds": 0.5}])
        >>> part.state_dict()["epoch"]
        1
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None: ...


class Checkpoints:
    """The newest complete checkpoint of a run, in folder/checkpoint-EPOCH; a half-written one never has that name.

    The folder is one that all ranks see. Each writes its own part, its rows of targets; networks and what else is alike
    on all ranks are written by the first. Random numbers follow from seed, epoch and rank, and need no part. Any number
    of ranks may go on from it, whatever number wrote it; one that differs is told of in a warning.

    Example:
        >>> import tempfile
        >>> from elr.training.engine import make_accelerator
        >>> state = RunState(Monitor([0, 1]), epoch=1, history=[{"epoch": 1, "seconds": 0.5}])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(Path(folder), {"lam": 3.0}, make_accelerator("cpu"), {"state": state})
        ...     checkpoints.save(1)
        ...     state.epoch = 9
        ...     checkpoints.load()
        >>> state.epoch
        1
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        accelerator: Accelerator,
        parts: Mapping[str, Stateful],
        *,
        stores: Sequence[Targets] = (),
    ) -> None:
        self.folder = folder
        self.parts = parts
        self.stores = stores
        self.identity = identity
        self.accelerator = accelerator
        self.cost = 0.0
        self.last = time.perf_counter()

    def due(self) -> bool:
        """Whether enough time has gone by for another one; the main process decides for all ranks."""
        due = time.perf_counter() - self.last >= self.cost / COST_SHARE
        if self.accelerator.num_processes == 1:
            return due
        verdict = torch.tensor([float(due and self.accelerator.is_main_process)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(verdict))  # type: ignore[arg-type]

    def save(self, epoch: int) -> None:
        """Write the checkpoint of an epoch, each rank its part; it gets its name when every rank has confirmed its own.

        Raises:
            OutputError: some rank cannot write; on all of them, and the checkpoint of before stays.
        """
        started = time.perf_counter()
        partial = self.folder / PARTIAL
        self._together(lambda: self._make(partial), on=self.accelerator.is_main_process)
        try:
            self._together(lambda: self._write(partial))
        except OutputError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self._together(lambda: self._name(partial, epoch), on=self.accelerator.is_main_process)
        self.last = time.perf_counter()
        self.cost = self.last - started

    def _together(self, write: Callable[[], None], *, on: bool = True) -> None:
        """Wait until every rank has written; where one cannot, all hear of it."""
        error: OutputError | None = None
        try:
            if on:
                write()
        except OutputError as found:
            error = found
        try:
            raise_together(error, dist.group.WORLD if self.accelerator.num_processes > 1 else None)
        finally:
            error = None  # else it would hold this frame, and with it the stores and their files, until some later time

    def _make(self, partial: Path) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        with writing(partial):
            for folder in self._rows_in(partial):
                folder.mkdir(parents=True)

    def _write(self, partial: Path) -> None:
        with writing(partial), rows_apart(self.stores):
            self.accelerator.save_state(str(partial))
        for store, folder in zip(self.stores, self._rows_in(partial), strict=True):
            store.save_rows(folder)
        if self.accelerator.is_main_process:
            with writing(partial):
                torch.save({name: part.state_dict() for name, part in self.parts.items()}, partial / PARTS)
            write_json(partial / IDENTITY, self.identity)

    def _name(self, partial: Path, epoch: int) -> None:
        outdated = checkpoint_folders(self.folder)
        final = self.folder / f"checkpoint-{epoch:06d}"
        if final in outdated:  # of a run that went on from it, and comes by it again: never half of it has its name
            with writing(final):
                shutil.rmtree(self.folder / _OUTDATED, ignore_errors=True)
                final.rename(self.folder / _OUTDATED)
        with writing(final):
            partial.rename(final)
        shutil.rmtree(self.folder / _OUTDATED, ignore_errors=True)
        for old in outdated:
            if old != final:
                shutil.rmtree(old)

    def _rows_in(self, folder: Path) -> list[Path]:
        """Where each store has the rows that `state_dict()` leaves out."""
        return [folder / f"targets-{number}" for number in range(len(self.stores))]

    def load(self) -> None:
        found = checkpoint_folders(self.folder)
        if not found:
            return
        try:
            identity = read_json(found[-1] / IDENTITY)
        except ArtifactError as error:
            raise CheckpointError(f"{found[-1]} is not a whole checkpoint ({error}): {_ADVICE}") from error
        ranks = identity.get("num_processes", 1), self.identity.get("num_processes", 1)
        if identity | {"num_processes": ranks[1]} != self.identity | {"num_processes": ranks[1]}:
            changed = differences(_flat(identity), _flat(self.identity))
            raise CheckpointError(
                f"{found[-1]} is of another configuration: {'; '.join(changed[:5])}; resume with the same settings and "
                "data, or choose another folder"
            )
        if ranks[0] != ranks[1] and self.accelerator.is_main_process:
            warnings.warn(
                f"{found[-1]} was written by {ranks[0]} process(es), and {ranks[1]} go on from it: rows, targets and "
                "weights are taken over as they are",
                RuntimeWarning,
                stacklevel=2,
            )
        with preserved_random_state():
            try:
                with rows_apart(self.stores):
                    self.accelerator.load_state(str(found[-1]))
                for store, folder in zip(self.stores, self._rows_in(found[-1]), strict=True):
                    store.load_rows(folder)
                # Not registered with Accelerate, which reads such objects by executing what they hold.
                states = torch.load(found[-1] / PARTS, map_location="cpu", weights_only=True)
                for name, part in self.parts.items():
                    refuse_unlike(part.state_dict(), states[name], name)
                    if isinstance(part, LRScheduler) and isinstance(run := self.parts["state"], RunState):
                        _refuse_moved(part.state_dict(), states[name], name, steps=run.steps_done)
                    part.load_state_dict(states[name])
            except (CheckpointError, MemoryError):
                raise
            except Exception as error:  # a damaged file fails in many ways
                raise CheckpointError(f"{found[-1]} cannot be read ({error}): {_ADVICE}") from error


def identity_of(method: Method, groups: Sequence[Sequence[ParameterGroup]], config: TrainingConfig) -> dict[str, Any]:
    """What of a method and a configuration a checkpoint must agree in with the run that resumes from it.

    Args:
        method: with its settings in its `repr`.
        groups: of parameters, of each pass.
        config: how it is trained.

    Example:
        >>> from elr.methods.cross_entropy import LossMethod
        >>> method = LossMethod(torch.nn.Linear(2, 3))
        >>> identity = identity_of(method, [method.parameter_groups(0)], TrainingConfig())
        >>> identity["groups"]
        [[[None, None, False, None, 'network.weight', 'network.bias']]]
    """
    names = {weight: name for name, weight in method.named_parameters()}
    settings = asdict(config) | {"milestones": list(config.milestones)}
    del settings["cuda_graphs"]  # how the same is computed
    with rows_apart(stores_in(method)):  # what does not depend on the number of ranks
        state = method.state_dict()
    return {
        "config": settings,
        "method": repr(method),
        "groups": [
            [
                [each.learning_rate, each.weight_decay, each.plain, each.batch_size, *map(names.get, each.weights)]
                for each in part
            ]
            for part in groups
        ],
        "views": method.views,
        "state": {name: list(each.shape) for name, each in state.items() if isinstance(each, Tensor)},
    }


def checkpoint_folders(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("checkpoint-000002", "checkpoint-000001", "checkpoint.partial"):
        ...         (Path(folder) / name).mkdir()
        ...     [path.name for path in checkpoint_folders(Path(folder))]
        ['checkpoint-000001', 'checkpoint-000002']
    """
    return sorted(path for path in folder.glob("checkpoint-*") if path.is_dir())


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a run that is complete.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "checkpoint-000001").mkdir()
        ...     remove_checkpoints(Path(folder))
        ...     checkpoint_folders(Path(folder))
        []
    """
    for path in [*checkpoint_folders(folder), folder / PARTIAL, folder / _OUTDATED]:
        shutil.rmtree(path, ignore_errors=True)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        inner: value
        for key, part in settings.items()
        for inner, value in (part.items() if isinstance(part, dict) else [(key, part)])
    }


@dataclass
class RunState:
    """What a run in progress knows beside networks, targets, optimizer and schedule.

    Args:
        monitor: measures of memorization.
        config: how is trained.
        probe: whose classes are predicted in the course of the run.
        steps: of the schedule, in an epoch.
        epoch: epochs finished.
        generation: the generation under way, from 0.
        first: what a generation begins with, where there are several.
        history: measures of each finished epoch.
        probe_labels: (M,) classes predicted for the probe, after each epoch in `probe_epochs`.
        probe_epochs: counted from 1.
        visited: (N,) bool, which rows had a step, where an epoch does not have all of them.

    Example:
        >>> state = RunState(Monitor([0, 1]), epoch=1, history=[{"epoch": 1, "seconds": 0.5}])
        >>> again = RunState(Monitor([0, 1]))
        >>> again.load_state_dict(state.state_dict())
        >>> again.epoch
        1
    """

    monitor: Monitor
    config: TrainingConfig = field(default_factory=TrainingConfig)
    probe: Sized = ()
    steps: int = 0
    epoch: int = 0
    generation: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)
    history: list[Measures] = field(default_factory=list)
    probe_labels: list[Tensor] = field(default_factory=list)
    probe_epochs: list[int] = field(default_factory=list)
    visited: Tensor | None = None

    @property
    def steps_done(self) -> int:
        """Steps of the schedule in the generation under way."""
        return self.steps * (self.epoch - self.generation * self.config.generation_epochs)

    def state_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        return kept | {"history": json.dumps(self.history), "monitor": self.monitor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        history = json.loads(state["history"])
        self._check(state, history)
        for name in _KEPT:
            setattr(self, name, state[name])
        self.history = history
        self.monitor.load_state_dict(state["monitor"])

    def _check(self, state: dict[str, Any], history: Any) -> None:
        """Refuse numbers that cannot be of one run, or of this one."""
        epoch, length, count = state["epoch"], self.config.generation_epochs, len(self.monitor.labels)
        if not are_records(history) or type(epoch) is not int or epoch != len(history) or epoch > self.config.epochs:
            raise ValueError(f"it has {len(history)} records of {epoch} epochs, the run {self.config.epochs}")
        if type(state["generation"]) is not int or state["generation"] != max(0, epoch - 1) // length:
            raise ValueError(f"its generation is {state['generation']}, after {epoch} epochs of {length} each")
        if len(state["first"]) != len(self.first):
            raise ValueError(f"its generations begin with {len(state['first'])} parts, those of now {len(self.first)}")
        if state["first"][1:] != self.first[1:]:  # what follows the weights is alike in every run of these settings
            raise ValueError("its generations begin with another optimizer or schedule")
        if (visited := state["visited"]) is not None:  # which a method may begin with at any time
            refuse_unlike(torch.zeros(count, dtype=torch.bool), visited, "visited")
        for each in state["probe_labels"]:
            refuse_unlike(torch.zeros(len(self.probe), dtype=torch.int64), each, "probe_labels")
        course = state["monitor"].get("course", {"epochs": [], "kept": []})
        for each in course["kept"]:
            refuse_unlike(torch.zeros(count, course["kept"][0].shape[1], dtype=torch.float16), each, "course")
        for what, epochs in (("probe_labels", state["probe_epochs"]), ("kept", course["epochs"])):
            found = state[what] if what in state else course[what]
            ascending = all(type(each) is int for each in epochs) and sorted({*epochs}) == [*epochs]
            if len(found) != len(epochs) or not ascending or not all(1 <= each <= epoch for each in epochs):
                raise ValueError(f"{what} has {len(found)} parts of the epochs {str(epochs)[:80]}, of {epoch}")
        if course.get("epoch", epoch) != epoch:
            raise ValueError(f"the course of the labels has {course['epoch']} epochs, the run {epoch}")


def _refuse_moved(present: dict[str, Any], stored: dict[str, Any], name: str, *, steps: int) -> None:
    """Refuse the schedule of other settings, or one that is not where its run is."""
    moved = {"last_epoch": steps, "_step_count": steps + 1, "T_cur": steps % present.get("T_i", 1)}
    for key, value in present.items():
        expected = moved.get(key, value)
        if (len(stored[key]) != len(value)) if key == "_last_lr" else (stored[key] != expected):
            raise ValueError(f"{name}.{key} is {str(stored[key])[:80]}, expected {expected}")
