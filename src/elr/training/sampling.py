"""Which rows an epoch trains on, in what order and in what batches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from elr.data.examples import Examples
from elr.devices import mixed_seed
from elr.errors import ArgumentError
from elr.training.config import ALL, ANEW, TrainingConfig

_ORDER, _SUBSET = 0, 2  # streams of random numbers; 1 + rank is that of the training step


class RowOrder:
    """The rows of each epoch: they depend on the labels, the configuration and the epoch only.

    Args:
        examples: the training set, with labels.
        config: how to train.

    Attributes:
        per_epoch: rows that an epoch trains on.
        steps: batches that they are cut into; their sizes differ by one at most.

    Raises:
        ArgumentError: a balanced subset of so few batches that a class has no row in it.
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

    def batches(self, epoch: int, number: int = 0) -> tuple[tuple[Tensor, ...], torch.Generator]:
        """The rows of each batch of a pass, and the generator to draw its augmentation from, in order.

        Args:
            epoch: from 0.
            number: of the pass within the epoch.
        """
        key = (self.config.seed, epoch, _ORDER, *([number] if number else []))
        generator = torch.Generator().manual_seed(mixed_seed(*key))
        order = self.examples.order(generator, None if self.config.sampling == ALL else self._subset(epoch))
        return order.tensor_split(self.steps), generator

    def _subset(self, epoch: int) -> Tensor:
        """As many rows of each given label, in their order; anew in each epoch, or the same in all."""
        drawn_in = epoch if self.config.sampling == ANEW else 0
        generator = np.random.default_rng([self.config.seed, drawn_in, _SUBSET])
        chosen = [
            rows if len(rows) <= self.each else generator.choice(rows, self.each, replace=False)
            for rows in self.classes
        ]
        return torch.from_numpy(np.sort(np.concatenate(chosen)))
