"""The one training loop. Hugging Face Accelerate owns device, ranks and checkpoints; precision is decided here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from elr.data.examples import Examples
from elr.data.transforms import Transform
from elr.devices import (
    computes_bfloat16,
    forked_random_state,
    is_convolutional,
    keep_freed_memory,
    prefers_channels_last,
)
from elr.errors import ArgumentError, TrainingError, of_all_ranks
from elr.files import METRICS_FILE
from elr.methods.method import Batch, Method
from elr.targets.store import trusted_rows
from elr.training.batches import BatchReader, agreed_rows
from elr.training.checkpoints import Checkpoints, RunState, identity_of
from elr.training.config import ALL, TrainingConfig
from elr.training.cuda_graphs import replayed
from elr.training.engine import is_plain, make_accelerator, refuse_other_data, threads_for
from elr.training.inference import PlainInputs, gathered_probs, predicted_probs, settle_statistics
from elr.training.method_view import TrainingView
from elr.training.monitor import Monitor
from elr.training.optimizers import groups_of, make_optimizer, make_scheduler
from elr.training.progress import Measures, Progress, append_line, json_line, write_lines
from elr.training.ranks.whole_batch import WholeBatch
from elr.training.sampling import Pass, RowOrder


class Training:
    """One run of a method over a training set.

    A run killed at any moment and resumed from `folder` ends bit-identical to an unbroken one (same device, same
    number of threads; on a GPU only with torch's deterministic algorithms): the order of the rows and every random
    number depend on seed and epoch only. The caller's global generators on the CPU are left as they were.

    Under torchrun or `accelerate launch` each rank takes its share of every batch, and the results are those of one
    rank but for rounding: `elr.training.ranks.whole_batch` says how, `Method.whole_batches` and FSDP or DeepSpeed where
    not. Ranks with other labels or settings than the others are refused, on all.

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

    Example:
        >>> from torch import nn
        >>> from elr.methods.cross_entropy import LossMethod
        >>> examples = Examples(torch.eye(4), [0, 1, 0, 1])
        >>> config = TrainingConfig(epochs=3, batch_size=2, device="cpu")
        >>> training = Training(LossMethod(nn.Linear(4, 2)), examples, config=config)
        >>> training.run()
        >>> [record["epoch"] for record in training.history], training.pred_probs().shape
        ([1, 2, 3], torch.Size([4, 2]))
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
        self.loss_labels = examples.labels if examples.label_shares is None else examples.label_shares
        self.config = config
        self.transform = transform or Transform()
        self.probe = probe
        self.probe_period = probe_period
        self.folder = folder
        self.method = method
        self.state = RunState(monitor or Monitor(examples.labels), config=config, probe=probe or ())
        self.earlier_seconds = 0.0
        self.rows = RowOrder(examples, config)
        self.steps_per_epoch = self.state.steps = self.rows.steps
        if config.sampling != ALL:
            self.state.visited = torch.zeros(len(examples), dtype=torch.bool)
        self._prepare()

    def _prepare(self) -> None:
        """Hand the method to Accelerate and decide on the precision."""
        self.accelerator = make_accelerator(self.config.device, every_weight_every_step=self.method.passes == 1)
        world = self.accelerator.num_processes
        refuse_other_data(self.examples, self.config)
        if self.rows.per_epoch // self.steps_per_epoch < world:
            raise of_all_ranks(
                ArgumentError(f"a batch of {self.config.batch_size} cannot be shared by {world} processes")
            )
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
        optimizers = [make_optimizer(self.config, groups) for groups in self.groups]
        self.schedulers = [make_scheduler(self.config, optimizer, self.steps_per_epoch) for optimizer in optimizers]
        self.step_module, *self.optimizers = self.accelerator.prepare(self.method, *optimizers)
        # Accelerate looks for optional packages at every backward; only engines other than torch's own need it to.
        plain = is_plain(self.accelerator)
        self.backward: Callable[[Tensor], None] = torch.Tensor.backward if plain else self.accelerator.backward
        if world > 1:
            self.method.distribute(dist.group.WORLD)
        self.whole = WholeBatch(self.method, device=device, caught=plain)
        self.plain_inputs = PlainInputs(transform=self.transform, device=device, channels_last=self.channels_last)
        self.view = TrainingView(self.examples, self.loss_labels, inputs=self.plain_inputs)
        self.reader = BatchReader(
            self.examples,
            self.loss_labels,
            transform=self.transform,
            accelerator=self.accelerator,
            layout=self.plain_inputs.laid_out,
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
            checkpoints = Checkpoints(self.folder, identity, self.accelerator, parts, stores=self.method.stores)
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
                self.method.end_training(self.view)
            if self.state.probe_labels and self.probe is not None and self.method.choice():
                self.state.probe_labels[-1] = self.predict_labels(self.probe)  # by the networks that were chosen

    def _states(self) -> list[dict[str, Any]]:
        """What a generation begins with: networks, optimizers, schedules."""
        return [self.method.first_state(), *(part.state_dict() for part in (*self.optimizers, *self.schedulers))]

    def _begin_generation(self) -> None:
        """Start again, but for what the method keeps."""
        with self._autocast():
            self.method.end_generation(self.view)
        weights, *others = deepcopy(self.state.first)  # a loaded state may be taken, not copied
        self.method.load_state_dict(weights, strict=False)
        for part, state in zip((*self.optimizers, *self.schedulers), others, strict=True):
            part.load_state_dict(state)
        self.method.begin_generation(self.config.generation_epochs * self.steps_per_epoch)

    def _epoch(self, on_progress: Callable[[Progress], None] | None) -> None:
        """One pass over the data, its measures, and its line in metrics.jsonl."""
        started = time.perf_counter()
        self.whole.begin_epoch(self.config.seed, self.state.epoch)
        if self.state.epoch // self.config.generation_epochs > self.state.generation:
            self._begin_generation()
            self.state.generation += 1
        self.method.begin_epoch(self.state.epoch, self.view)
        self.step_module.train()
        rate = self.optimizers[0].param_groups[0]["lr"]
        sums, num_rows = self._passes(on_progress)
        seconds = time.perf_counter() - started
        record: Measures = {"epoch": self.state.epoch + 1, "learning_rate": rate}
        record |= {name: float(self.accelerator.reduce(total)) for name, total in sums.items()}  # type: ignore[arg-type]
        if not math.isfinite(record.get("loss", 0.0)):
            error = TrainingError(
                f"the loss is {record['loss']} in epoch {record['epoch']}: training diverged; lower the learning rate "
                f"(now {self.config.learning_rate})"
            )
            raise of_all_ranks(error)  # the loss is that of all of them
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
        chosen = agreed_rows(chosen, len(self.examples), self.accelerator)
        if chosen is not None and self.state.visited is None:  # so far every pass had all rows
            self.state.visited = torch.full((len(self.examples),), self.state.epoch > 0 or number > 0)
        this = self.rows.begin(self.state.epoch, number, chosen=chosen)
        if self.state.visited is not None:
            self.state.visited[torch.cat(this.batches)] = True
        return this

    def _step(self, batch: Batch, share: float, number: int = 0, *, steps: int = 1) -> dict[str, Tensor]:
        """Forward, backward, step; `share` makes the mean over ranks the mean over the whole batch.

        The learning rate moves on by `steps` of its schedule.
        """
        with self._autocast(), self.whole.forward(batch, share):
            step = self.step_module(batch)
        self.backward(step.loss * share if share != 1.0 else step.loss)
        self.optimizers[number].step()
        self.optimizers[number].zero_grad()
        self.method.zero_grad()  # of all weights: a loss may reach those of another pass
        for _ in range(steps):
            self.schedulers[number].step()
        self.state.monitor.update(batch.index, step.logits)
        return dict(step.terms)

    def _measure(self) -> Measures:
        """The epoch's measures of learning and memorization, and the probe's predictions."""
        if self.accelerator.num_processes > 1:
            for seen in self.state.monitor.shared(self.accelerator.device):
                dist.all_reduce(seen, op=dist.ReduceOp.MAX)
        measures: Measures = dict(self.state.monitor.end_epoch(self._favored(), self._gradients))
        epoch = self.state.epoch + 1
        if epoch == self.config.epochs:
            further = lambda n: self._batches(self.rows.begin(epoch + n))  # noqa: E731
            settle_statistics(self.method, further, autocast=self._autocast, sharing=self.whole.forward)
        if self.probe is not None and (epoch % self.probe_period == 0 or epoch == self.config.epochs):
            self.state.probe_labels.append(self.predict_labels(self.probe))
            self.state.probe_epochs.append(epoch)
        return measures

    def _favored(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows (B,) and the classes (B,) that their targets favor, some at a time; nothing where there are none."""
        gathered = gathered_probs(self.method, len(self.examples))
        return ((rows, probs.argmax(dim=1)) for rows, probs in gathered)

    def _gradients(self, index: Tensor, logits: Tensor) -> Tensor | None:
        """(B, C) gradients of the losses of these rows, for the monitor."""
        return self.method.logit_gradients(index, logits, self.loss_labels[index.cpu()].to(logits.device))

    def _batches(self, this: Pass | None = None) -> Iterator[tuple[Batch, float]]:
        """This rank's batches of a pass, by default the first of the epoch, each with the weight of its loss."""
        return self.reader.batches(this or self._begin_pass(0), views=self.method.views)

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

    def predict_chunks(self, examples: Examples) -> Iterator[Tensor]:
        """(B, C) class probabilities by the method in its present state, in order, float32 on the CPU."""
        chunks = (views for _, views in self.plain_inputs.views(examples))
        found = predicted_probs(self.method, chunks, predictors=[self.method.predict], autocast=self._autocast)
        return (probs.float() for probs in found)

    def predict(self, examples: Examples) -> Tensor:
        """(M, C) class probabilities by the method in its present state, float32 on the CPU."""
        return torch.cat(list(self.predict_chunks(examples)))

    def predict_labels(self, examples: Examples) -> Tensor:
        """(M,) the most probable classes by the method in its present state."""
        return torch.cat([probs.argmax(dim=1) for probs in self.predict_chunks(examples)])

    def pred_prob_chunks(self) -> Iterator[Tensor]:
        """(B, C) of the training rows, chunk by chunk in order: what training gathered, or else the present outputs.

        Where an epoch has not all rows, the outputs stand in for those that had no step yet.
        """
        visited = self.state.visited
        unseen = None if visited is None else torch.nonzero(~visited).flatten()
        instead = () if unseen is None else self.predict_chunks(self.examples.take(unseen))
        gathered = gathered_probs(self.method, len(self.examples), unseen=unseen, instead=instead)
        first = next(gathered, None)
        if first is None:
            yield from self.predict_chunks(self.examples)
        else:
            yield from (probs for _, probs in chain([first], gathered))

    def pred_probs(self) -> Tensor:
        """(N, C) the whole of `pred_prob_chunks`, for those who need it at once."""
        chunks = self.pred_prob_chunks()
        first = next(chunks)
        whole, start = first.new_empty(len(self.examples), first.shape[1]), 0
        for probs in chain([first], chunks):
            whole[start : start + len(probs)] = probs
            start += len(probs)
        return whole
