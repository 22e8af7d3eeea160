"""The one training loop. Hugging Face Accelerate owns device, ranks and checkpoints; precision is decided here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from torch import Tensor
from torch import distributed as dist

from elr.data.examples import Examples
from elr.data.transforms import Transform
from elr.devices import (
    computes_bfloat16,
    forked_random_state,
    is_convolutional,
    keep_freed_memory,
    mixed_seed,
    prefers_channels_last,
    sent,
)
from elr.errors import ArgumentError, TrainingError
from elr.files import METRICS_FILE, append_line, json_line, write_lines
from elr.methods.method import Batch, Method, View
from elr.targets.store import trusted_rows
from elr.training.batches import AHEAD, BatchReader, agreed_rows
from elr.training.checkpoints import Checkpoints, Measures, RunState, identity_of
from elr.training.config import ALL, TrainingConfig
from elr.training.cuda_graphs import replayed
from elr.training.engine import make_accelerator, threads_for
from elr.training.monitor import Monitor
from elr.training.optimizers import groups_of
from elr.training.sampling import Pass, RowOrder, ahead

_PLAIN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, for whoever shows it.

    Args:
        step: batches done so far in the whole run.
        total: batches of the whole run.
        epoch: epochs finished.
        epochs: epochs of the whole run.
        record: measures of the last finished epoch, empty before the first.
    """

    step: int
    total: int
    epoch: int
    epochs: int
    record: Measures


class Training:
    """One run of a method over a training set.

    A run killed at any moment and resumed from `folder` ends bit-identical to an unbroken one (same device, same
    number of threads; on a GPU only with torch's deterministic algorithms): the order of the rows and every random
    number depend on seed and epoch only. The caller's global generators on the CPU are left as they were.

    Under torchrun or `accelerate launch` each rank takes its share of every batch; the targets come out as on one rank,
    but for what batch norm, dropout and mixup see of a batch: each rank draws a mixing of its own.

    Args:
        method: what a step is.
        examples: the training set, with labels.
        config: how to train.
        transform: from stored rows to network inputs.
        monitor: measures of memorization; default: without clean labels.
        probe: examples whose classes are predicted in the course of the run (labels, if any, are not looked at).
        probe_period: epochs between these predictions, >= 1; the last epoch always has one.
        folder: where metrics.jsonl and checkpoints go; None: nowhere.

    Attributes:
        earlier_seconds: training time of the epochs that a resumed run found done.

    Raises:
        ArgumentError: no labels, fewer examples than a batch, or a method that asks for what cannot be.
    """

    def __init__(
        self,
        method: Method,
        examples: Examples,
        *,
        config: TrainingConfig,
        transform: Transform | None = None,
        monitor: Monitor | None = None,
        probe: Examples | None = None,
        probe_period: int = 1,
        folder: Path | None = None,
    ) -> None:
        if examples.labels is None:
            raise ArgumentError("the training examples have no labels")
        if probe_period < 1:
            raise ArgumentError(f"probe_period is {probe_period}: expected at least 1 epoch")
        if len(examples) < config.batch_size:
            raise ArgumentError(
                f"{len(examples)} examples are fewer than a batch of {config.batch_size}: "
                f"choose a batch size of at most {len(examples)}"
            )
        self.examples = examples
        self.labels = examples.labels
        self.given = examples.labels if examples.label_shares is None else examples.label_shares
        self.config = config
        self.transform = transform or Transform()
        self.probe = probe
        self.probe_period = probe_period
        self.folder = folder
        self.method = method
        self.state = RunState(monitor or Monitor(examples.labels))
        self.earlier_seconds = 0.0
        self.rows = RowOrder(examples, config)
        self.steps_per_epoch = self.rows.steps
        if config.sampling != ALL:
            self.state.visited = torch.zeros(len(examples), dtype=torch.bool)
        self._prepare()

    def _prepare(self) -> None:
        """Hand the method to Accelerate and decide on the precision."""
        self.accelerator = make_accelerator(self.config.device, every_weight_every_step=self.method.passes == 1)
        world = self.accelerator.num_processes
        if self.rows.per_epoch // self.steps_per_epoch < world:
            raise ArgumentError(f"a batch of {self.config.batch_size} cannot be shared by {world} processes")
        device = self.accelerator.device
        if type(self.method.views) is not int or self.method.views < 1:
            raise ArgumentError(
                f"the method has views={self.method.views!r}: expected how many a batch has, at least 1"
            )
        for store in self.method.stores:
            if store.num_examples < len(self.examples):
                raise ArgumentError(
                    f"the method has targets for {store.num_examples} examples, and there are {len(self.examples)}: "
                    "make it for as many"
                )
        if self.config.cuda_graphs and (device.type != "cuda" or world > 1):
            raise ArgumentError(
                f"cuda_graphs is set, and training runs on {world} x {device.type}: expected one GPU; leave it out"
            )
        self.bfloat16 = self.config.precision == "bfloat16" or (
            self.config.precision == "auto" and is_convolutional(self.method) and computes_bfloat16(device)
        )
        if device.type == "cpu" and is_convolutional(self.method):
            keep_freed_memory()
        self.channels_last = is_convolutional(self.method) and (self.bfloat16 or prefers_channels_last(device))
        self.method.to(device)
        if self.channels_last:
            self.method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.groups = [groups_of(self.method, number) for number in range(self.method.passes)]
        optimizers = [self.config.make_optimizer(groups) for groups in self.groups]
        self.schedulers = [self.config.scheduler(optimizer, self.steps_per_epoch) for optimizer in optimizers]
        self.step_module, *self.optimizers = self.accelerator.prepare(self.method, *optimizers)
        # Accelerate looks for optional packages at every backward; only engines other than torch's own need it to.
        plain = self.accelerator.distributed_type in _PLAIN
        self.backward: Callable[[Tensor], None] = torch.Tensor.backward if plain else self.accelerator.backward
        if world > 1:
            for store in self.method.stores:
                store.distribute(dist.group.WORLD)
        self.reader = BatchReader(
            self.examples, self.given, transform=self.transform, accelerator=self.accelerator, layout=self._layout
        )
        if self.config.generations > 1:
            self.state.first = deepcopy(self._states())

    @property
    def history(self) -> list[Measures]:
        """Measures of each finished epoch, oldest first."""
        return self.state.history

    @property
    def probe_labels(self) -> Tensor:
        """(probes, M) classes predicted for the probe, after the epochs in `probe_epochs`."""
        return torch.stack(self.state.probe_labels) if self.state.probe_labels else torch.empty(0, 0, dtype=torch.int64)

    @property
    def probe_epochs(self) -> list[int]:
        """The epochs, counted from 1, after which the probe was predicted."""
        return self.state.probe_epochs

    def run(self, *, resume: bool = False, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Train to the last epoch.

        Args:
            resume: go on from the newest checkpoint in the folder, if there is one.
            on_progress: called after every batch.

        Raises:
            CheckpointError: the checkpoint is of another configuration, or damaged.
            TrainingError: the loss is no longer finite.
        """
        checkpoints = None
        if self.folder:
            parts: dict[str, Any] = {"state": self.state}
            parts |= {f"scheduler {number}": scheduler for number, scheduler in enumerate(self.schedulers)}
            identity = identity_of(self.method, self.groups, self.config) | {
                "num_examples": len(self.examples),
                "num_processes": self.accelerator.num_processes,
            }
            checkpoints = Checkpoints(self.folder, identity, self.accelerator, parts)
        if checkpoints and resume:
            checkpoints.load()
        self.earlier_seconds = sum(record["seconds"] for record in self.history)
        if self.folder and self.accelerator.is_main_process:
            write_lines(self.folder / METRICS_FILE, self.history)
        if checkpoints and self.state.epoch == 0:
            checkpoints.save(self.state.epoch)
        recorded = replayed(self.method.trained_networks) if self.config.cuda_graphs else nullcontext()
        device = self.accelerator.device
        with forked_random_state(device), threads_for(self.method), trusted_rows(self.method.stores), recorded:
            while self.state.epoch < self.config.epochs:
                self._epoch(on_progress)
                if checkpoints and (checkpoints.due() or self.state.epoch == self.config.epochs):
                    checkpoints.save(self.state.epoch)
            with self._autocast():
                self.method.end_training(_TrainingView(self))

    def _states(self) -> list[dict[str, Any]]:
        """What a generation begins with: networks, optimizers, schedules."""
        return [self.method.first_state(), *(part.state_dict() for part in (*self.optimizers, *self.schedulers))]

    def _begin_generation(self) -> None:
        """Start again, but for what the method keeps."""
        with self._autocast():
            self.method.end_generation(_TrainingView(self))
        weights, *others = deepcopy(self.state.first)  # a loaded state may be taken, not copied
        self.method.load_state_dict(weights, strict=False)
        for part, state in zip((*self.optimizers, *self.schedulers), others, strict=True):
            part.load_state_dict(state)
        self.method.begin_generation(self.config.generation_epochs * self.steps_per_epoch)

    def _epoch(self, on_progress: Callable[[Progress], None] | None) -> None:
        """One pass over the data, its measures, and its line in metrics.jsonl."""
        started = time.perf_counter()
        torch.manual_seed(mixed_seed(self.config.seed, self.state.epoch, 1 + self.accelerator.process_index))
        if self.state.epoch // self.config.generation_epochs > self.state.generation:
            self._begin_generation()
            self.state.generation += 1
        self.method.begin_epoch(self.state.epoch, _TrainingView(self))
        self.step_module.train()
        rate = self.optimizers[0].param_groups[0]["lr"]
        sums, num_rows = self._passes(on_progress)
        seconds = time.perf_counter() - started
        record: Measures = {"epoch": self.state.epoch + 1, "learning_rate": rate}
        record |= {name: float(self.accelerator.reduce(total)) for name, total in sums.items()}  # type: ignore[arg-type]
        if not math.isfinite(record.get("loss", 0.0)):
            raise TrainingError(
                f"the loss is {record['loss']} in epoch {record['epoch']}: training diverged; lower the learning rate "
                f"(now {self.config.learning_rate})"
            )
        record |= self._measure()
        record |= {"seconds": seconds, "examples_per_second": num_rows / seconds}
        self.state.history.append(record)
        self.state.epoch += 1
        if self.folder and self.accelerator.is_main_process:
            append_line(self.folder / METRICS_FILE, json_line(record))
        if on_progress:
            on_progress(self._progress(self.state.epoch * self.method.passes * self.steps_per_epoch))

    def _passes(self, on_progress: Callable[[Progress], None] | None) -> tuple[dict[str, Tensor], float]:
        """Every pass of the epoch: the means of the terms over this rank's rows, and how many rows a pass had."""
        passes, done = self.method.passes, self.state.epoch * self.method.passes * self.steps_per_epoch
        sums: dict[str, Tensor] = {}
        num_rows = 0
        for number in range(passes):
            self.method.begin_pass(number)
            self.state.monitor.begin_pass()
            this = self._begin_pass(number)
            rows_of_pass = this.num_rows
            for count, (batch, share) in enumerate(self._batches(this)):
                steps = this.steps(count + 1) - this.steps(count)
                for name, value in self._step(batch, share, number, steps=steps).items():
                    weighted = value * (len(batch.index) / rows_of_pass / passes)
                    sums[name] = sums[name] + weighted if name in sums else weighted
                if on_progress:
                    on_progress(self._progress(done + this.steps(count + 1)))
            done, num_rows = done + this.nominal, num_rows + rows_of_pass
        return sums, num_rows / passes

    def _begin_pass(self, number: int) -> Pass:
        """The rows of a pass in their batches: those that the method chooses, or else the usual ones."""
        chosen = self.method.epoch_rows(self.state.epoch, number)
        if chosen is not None:
            chosen = agreed_rows(chosen, len(self.examples), self.accelerator)
            if self.state.visited is None:  # so far every pass had all rows
                self.state.visited = torch.full((len(self.examples),), self.state.epoch > 0 or number > 0)
        this = self.rows.begin(self.state.epoch, number, chosen=chosen)
        if self.state.visited is not None:
            self.state.visited[torch.cat(this.batches)] = True
        return this

    def _step(self, batch: Batch, share: float, number: int = 0, *, steps: int = 1) -> dict[str, Tensor]:
        """Forward, backward, step; `share` makes the mean over ranks the mean over the whole batch.

        The learning rate moves on by `steps` of its schedule.
        """
        with self._autocast():
            step = self.step_module(batch)
        self.backward(step.loss * share if share != 1.0 else step.loss)
        self.optimizers[number].step()
        self.optimizers[number].zero_grad()
        for _ in range(steps):
            self.schedulers[number].step()
        self.state.monitor.update(batch.index, step.logits)
        return dict(step.terms)

    def _measure(self) -> Measures:
        """The epoch's measures of learning and memorization, and the probe's predictions."""
        if self.accelerator.num_processes > 1:
            for seen in self.state.monitor.shared(self.accelerator.device):
                dist.all_reduce(seen, op=dist.ReduceOp.MAX)
        gathered = self._gathered()
        target_labels = None if gathered is None else gathered.argmax(dim=1)
        measures: Measures = dict(self.state.monitor.end_epoch(target_labels, self._gradients))
        epoch = self.state.epoch + 1
        if self.probe is not None and (epoch % self.probe_period == 0 or epoch == self.config.epochs):
            self.state.probe_labels.append(self.predict(self.probe).argmax(dim=1))
            self.state.probe_epochs.append(epoch)
        return measures

    def _gradients(self, index: Tensor, logits: Tensor) -> Tensor | None:
        """(B, C) gradients of the losses of these rows, for the monitor."""
        return self.method.logit_gradients(index, logits, self.given[index.cpu()].to(logits.device))

    def _batches(self, this: Pass | None = None) -> Iterator[tuple[Batch, float]]:
        """This rank's batches of a pass, by default the first of the epoch, each with the weight of its loss."""
        return self.reader.batches(this or self._begin_pass(0), views=self.method.views)

    def _sent(self, tensor: Tensor) -> Tensor:
        return sent(tensor, self.accelerator.device)

    def _layout(self, inputs: Tensor) -> Tensor:
        return inputs.contiguous(memory_format=torch.channels_last) if self.channels_last else inputs

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _progress(self, done: int) -> Progress:
        return Progress(
            step=done,
            total=self.config.epochs * self.steps_per_epoch * self.method.passes,
            epoch=self.state.epoch,
            epochs=self.config.epochs,
            record=self.history[-1] if self.history else {},
        )

    def inputs_in_order(self, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows (B,) and network inputs (B, ...) of every example, in order, without augmentation."""
        for rows, stored in self._in_order(examples):
            yield rows, self._layout(self.transform(stored))

    def _in_order(self, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows (B,) and stored inputs (B, ...) of every example, in order, on the device."""
        chunks = torch.arange(len(examples)).split(examples.at_once)
        for rows, fetched in ahead(((rows, examples.start(rows)) for rows in chunks), AHEAD):
            yield rows, self._sent(fetched())

    @torch.no_grad()
    def predict(self, examples: Examples) -> Tensor:
        """(M, C) class probabilities by the method in its present state, float32 on the CPU."""
        was_training = self.method.training
        self.method.eval()
        with self._autocast():
            parts = [
                torch.stack([self.method.predict(self._layout(view)) for view in self.transform.views(stored)])
                for _, stored in self._in_order(examples)
            ]
        self.method.train(was_training)
        return torch.cat([part.mean(dim=0).float().cpu() for part in parts])

    def pred_probs(self) -> Tensor:
        """(N, C) probabilities for the training rows: what training gathered, or else the network's present outputs."""
        gathered = self._gathered()
        if gathered is None:
            return self.predict(self.examples)
        if self.state.visited is not None and not self.state.visited.all():
            unseen = torch.nonzero(~self.state.visited).flatten()  # of these nothing was gathered
            gathered[unseen] = self.predict(self.examples.take(unseen))
        return gathered

    @torch.no_grad()
    def _gathered(self) -> Tensor | None:
        """(N, C) what the method has gathered about the training rows, on the CPU; None if nothing."""
        parts = []
        for rows in torch.arange(len(self.examples)).split(10_000):
            gathered = self.method.pred_probs(rows)
            if gathered is None:
                return None
            parts.append(gathered.cpu())
        return torch.cat(parts)


class _TrainingView(View):
    def __init__(self, training: Training) -> None:
        self.training = training
        self.num_examples = len(training.examples)

    def batches(self) -> Iterable[Batch]:
        training = self.training
        for rows, inputs in training.inputs_in_order(training.examples):
            yield Batch(rows.to(inputs.device), inputs, training.given[rows].to(inputs.device))

    def views(self) -> Iterable[list[Batch]]:
        training = self.training
        for rows, stored in training._in_order(training.examples):
            index, given = rows.to(stored.device), training.given[rows].to(stored.device)
            yield [Batch(index, training._layout(view), given) for view in training.transform.views(stored)]
