"""Which rows an epoch trains on, in what order and in what batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elr.data.examples import Examples
from elr.devices import mixed_seed
from elr.errors import ArgumentError
from elr.training.config import ALL, ANEW, TrainingConfig

_ORDER, _SUBSET = 0, 2  # streams of random numbers; 1 + rank is that of the training step


@dataclass(frozen=True)
class Pass:
    """One pass over the data: which rows, in which batches.

    Args:
        batches: rows of each batch, in order, int32 or int64.
        generator: to draw augmentation from, batch by batch.
        nominal: steps of the schedule that the pass stands for, however many batches it has.

    Example:
        >>> short = Pass((torch.tensor([3, 1]), torch.tensor([2])), torch.Generator(), nominal=5)
        >>> short.num_rows, [short.steps(done) for done in range(3)]
        (3, [0, 2, 5])
    """

    batches: tuple[Tensor, ...]
    generator: torch.Generator
    nominal: int

    @property
    def num_rows(self) -> int:
        """How many rows are trained on."""
        return sum(map(len, self.batches))

    def steps(self, done: int) -> int:
        """Steps of the schedule that so many batches stand for: one each, where their number is the nominal one."""
        return self.nominal * done // len(self.batches)


class RowOrder:
    """The rows of each epoch: they depend on the labels, the configuration and the epoch, or on what a method chooses.

    Args:
        examples: the training set, with labels.
        config: how to train.

    Attributes:
        per_epoch: rows that an epoch trains on, unless the method chooses them.
        steps: batches that they are cut into; their sizes differ by one at most.

    Raises:
        ArgumentError: a balanced subset of so few batches that a class has no row in it.

    Example:
        >>> rows = RowOrder(Examples(np.zeros((5, 2)), [0, 1, 1, 0, 1]), TrainingConfig(batch_size=2))
        >>> [len(batch) for batch in rows.begin(epoch=0).batches]
        [2, 2, 1]
        >>> sorted(torch.cat(rows.begin(epoch=0, chosen=torch.tensor([4, 0])).batches).tolist())
        [0, 4]
        >>> [sorted(batch.tolist()) for batch in rows.begin(0, chosen=[torch.tensor([2]), torch.tensor([4])]).batches]
        [[2, 4]]
    """

    def __init__(self, examples: Examples, config: TrainingConfig) -> None:
        self.examples = examples
        self.config = config
        self.classes: list[np.ndarray] = []
        self.each = 0
        self.per_epoch = len(examples)
        if config.num_batches is not None:
            self._balance(config.num_batches)
        self.steps = math.ceil(self.per_epoch / config.batch_size)

    def _balance(self, num_batches: int) -> None:
        assert self.examples.labels is not None, "training examples have labels"
        labels = self.examples.labels.numpy()
        by_label = np.argsort(labels, kind="stable")
        self.classes = np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1)
        self.each = num_batches * self.config.batch_size // len(self.classes)
        if not self.each:
            raise ArgumentError(
                f"num_batches is {num_batches}: {num_batches * self.config.batch_size} rows an epoch are fewer than "
                f"the {len(self.classes)} classes; take more"
            )
        self.per_epoch = sum(min(self.each, len(rows)) for rows in self.classes)

    def begin(self, epoch: int, number: int = 0, *, chosen: Tensor | Sequence[Tensor] | None = None) -> Pass:
        """A pass, in an order of its own.

        Args:
            epoch: from 0.
            number: of the pass within the epoch.
            chosen: (M,) the rows, in rising order, or several such sets, see `elr.methods.method.Method.epoch_rows`;
                None: those that the configuration says.

        Raises:
            ArgumentError: more sets than a batch has rows.
        """
        key = (self.config.seed, epoch, _ORDER, *([number] if number else []))
        generator = torch.Generator().manual_seed(mixed_seed(*key))
        if chosen is None and self.config.sampling != ALL:
            chosen = self._subset(epoch)
        if chosen is None or isinstance(chosen, Tensor):
            batches = self._cut(chosen, self.config.batch_size, generator)
        else:
            batches = self._together(chosen, generator)
        return Pass(batches, generator, self.steps)

    def _cut(self, rows: Tensor | None, most: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """All rows, or these, in an order drawn for them, in parts of `most` at most whose sizes differ by one."""
        order = self.examples.order(generator, rows)
        return order.tensor_split(math.ceil(len(order) / most))

    def _together(self, sets: Sequence[Tensor], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Batches that take an equal share of each set; the others than the first start over when they are through."""
        share = self.config.batch_size // len(sets)
        if not share:
            raise ArgumentError(
                f"the method chose {len(sets)} sets of rows, and a batch has {self.config.batch_size}: "
                f"expected a batch size of at least {len(sets)}"
            )

        def endless(rows: Tensor) -> Iterator[Tensor]:
            while True:
                yield from self._cut(rows, share, generator)

        first, *others = sets
        leading, following = self._cut(first, share, generator), list(map(endless, others))
        return tuple(torch.cat([part, *map(next, following)]) for part in leading)

    def _subset(self, epoch: int) -> Tensor:
        """As many rows of each given label, in their order; anew in each epoch, or the same in all."""
        drawn_in = epoch if self.config.sampling == ANEW else 0
        generator = np.random.default_rng([self.config.seed, drawn_in, _SUBSET])
        chosen = [
            rows if len(rows) <= self.each else generator.choice(rows, self.each, replace=False)
            for rows in self.classes
        ]
        return torch.from_numpy(np.sort(np.concatenate(chosen)))


def checked_rows(rows: Tensor, num_examples: int) -> Tensor:
    """Rows that a method chose for a pass (`Method.epoch_rows`), in rising order, on the CPU.

    Raises:
        ArgumentError: none at all, some out of range, or some that repeat.

    Example:
        >>> checked_rows(torch.tensor([4, 1]), 5)
        tensor([1, 4])
        >>> checked_rows(torch.tensor([4, 5]), 5)
        Traceback (most recent call last):
        elr.errors.ArgumentError: the method chose row 5 of 5 examples: expected rows in [0, 5)
    """
    if rows.ndim != 1 or rows.dtype != torch.int64:
        raise ArgumentError(
            f"the method chose rows of shape {tuple(rows.shape)} and type {rows.dtype}: expected (M,) int64"
        )
    if not len(rows):
        raise ArgumentError("the method chose no rows to train on: expected at least one, or None for the usual ones")
    ordered = rows.cpu().sort().values
    low, high = int(ordered[0]), int(ordered[-1])
    if low < 0 or high >= num_examples:
        found = low if low < 0 else high
        raise ArgumentError(
            f"the method chose row {found} of {num_examples} examples: expected rows in [0, {num_examples})"
        )
    if len(repeated := ordered[1:][ordered[1:] == ordered[:-1]]):
        raise ArgumentError(f"the method chose row {int(repeated[0])} more than once: expected different rows")
    return ordered


def checked_choice(chosen: Tensor | Sequence[Tensor], num_examples: int) -> Tensor | tuple[Tensor, ...]:
    """What a method chose for a pass: one set of rows, or several that have no row in common; see `checked_rows`.

    Raises:
        ArgumentError: no set at all, a set that `checked_rows` refuses, or a row in two of them.

    Example:
        >>> checked_choice([torch.tensor([4, 1]), torch.tensor([0])], 5)
        (tensor([1, 4]), tensor([0]))
        >>> checked_choice([torch.tensor([4, 1]), torch.tensor([4])], 5)
        Traceback (most recent call last):
        elr.errors.ArgumentError: the method chose row 4 for two sets: expected sets that have no row in common
    """
    if isinstance(chosen, Tensor):
        return checked_rows(chosen, num_examples)
    if not isinstance(chosen, Sequence) or not chosen or not all(isinstance(rows, Tensor) for rows in chosen):
        raise ArgumentError(
            f"the method chose {type(chosen).__name__} {chosen!r:.60} to train on: expected a tensor of rows, or "
            "several of them"
        )
    sets = tuple(checked_rows(rows, num_examples) for rows in chosen)
    together = torch.cat(sets).sort().values
    if len(repeated := together[1:][together[1:] == together[:-1]]):
        raise ArgumentError(
            f"the method chose row {int(repeated[0])} for two sets: expected sets that have no row in common"
        )
    return sets[0] if len(sets) == 1 else sets
