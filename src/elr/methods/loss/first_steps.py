"""What the first steps of several processes tell of their batches: the same on all, or labels that contradict."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from elr.errors import ArgumentError
from elr.targets.ranks import number_of_ranks
from elr.targets.updating import not_compiled

CHANCE = 1e-6
"""How improbable it is to be that all processes draw the same rows in the same order, before that is an error."""
MOST_STEPS = 20
"""Steps that are looked at together at most, where so few rows are drawn that they may be the same by chance."""
ENOUGH = 32
"""Rows of other processes whose labels are compared when they come here."""
OWN = 4
"""Rows of its own that a process has to find unchanged before the labels of others can contradict its own."""
_SHOWN = 5
_Seen = tuple[list[int], list[int] | None]


class FirstSteps:
    """Compares the batches of the processes that train together, in the first step; it costs that one exchange.

    Batches that are the same on all are looked at again in the steps that follow, until it is no chance any more. The
    labels of the rows of that first step are kept, and compared when another process comes by one of these rows, as it
    does in a later epoch: that takes no exchange, and ends after `ENOUGH` of them. Where a process sees labels of its
    own change they are meant to, and are not compared; nor are soft ones. A batch of all rows may be the same on all.

    Args:
        num_examples: N, rows of the training set.

    Attributes:
        done: whether there is nothing to look at any more.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> first = FirstSteps(100)
        >>> first.look(torch.tensor([7, 5]), torch.tensor([1, 0]), dist.group.WORLD)
        >>> first.done
        True
        >>> dist.destroy_process_group()
    """

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples
        self.done = False
        self.steps = 0
        self.surprise = 0.0  # of batches that were the same so far, -log of their probability
        self.known: dict[int, tuple[int, int]] = {}  # row: its label, and the process that had it
        self.is_known: Tensor | None = None
        self.compared, self.unchanged, self.passed = 0, 0, 0
        self.contradiction = ""

    @not_compiled
    def look(self, index: Tensor, labels: Tensor, group: dist.ProcessGroup) -> None:
        """Look at a batch; every process calls it before each step until `done`.

        Args:
            index: (B,) rows.
            labels: (B,) class numbers, or (B, C) soft ones.
            group: the processes.

        Raises:
            ArgumentError: the processes have the same batches, or a row has other labels on one than on another.
        """
        if self.done or number_of_ranks(group) == 1:
            self.done = True
        elif self.is_known is None:
            self._together(index, labels, group)
        else:
            self._alone(index, labels, dist.get_rank(group))

    def _together(self, index: Tensor, labels: Tensor, group: dist.ProcessGroup) -> None:
        """Exchange the batches of a step."""
        hard = labels.ndim == 1 and not labels.is_floating_point() and len(labels) == len(index)
        mine: _Seen = (index.tolist(), labels.tolist() if hard else None)
        found: list[Any] = [None] * number_of_ranks(group)
        dist.all_gather_object(found, mine, group=group)
        self.steps += 1
        self._note(found)
        part = 0 < len(set(found[0][0])) < self.num_examples  # all rows at once may be all that there is to share
        same = part and all(rows == found[0][0] for rows, _ in found)
        if same:
            self._refuse_same(found[0][0], len(found))
        if not same or self.steps == MOST_STEPS:
            self.is_known = torch.zeros(self.num_examples, dtype=torch.bool)
            self.is_known[[row for row in self.known if 0 <= row < self.num_examples]] = True
            self.done = not self.known or index.device.type != "cpu"  # an accelerator would have to be waited for

    def _note(self, found: list[_Seen]) -> None:
        """Keep the labels of all, and refuse a row that has another one on another process."""
        for rank, (rows, labels) in enumerate(found):
            for row, label in zip(rows, labels or [], strict=bool(labels)):
                known, other = self.known.setdefault(row, (label, rank))
                if known != label and other != rank:
                    raise ArgumentError(_contradiction(row, (known, other), (label, rank)))

    def _refuse_same(self, rows: list[int], world: int) -> None:
        count, drawn = self.num_examples, len(set(rows))
        self.surprise += math.lgamma(count + 1) - math.lgamma(count - drawn + 1)
        if self.surprise < -math.log(CHANCE):
            return
        shown = ", ".join(map(str, rows[:_SHOWN])) + ", ..." * (len(rows) > _SHOWN)
        shown = f"rows {shown} in the same order" if len(rows) > 1 else f"row {shown}"
        raise ArgumentError(
            f"all {world} processes have the same batch in step {self.steps} ({shown}), so that "
            "each does the work of one alone: give each its part of the rows, by a DataLoader with "
            "sampler=torch.utils.data.DistributedSampler(data); where they are meant to be the same, as with other "
            "augmentations on each, make the loss with check_batches=False"
        )

    def _alone(self, index: Tensor, labels: Tensor, rank: int) -> None:
        """Compare what comes by with what is known, on this process alone."""
        assert self.is_known is not None, "made in the first step"
        self.passed += len(index)
        if index.device.type != "cpu" or labels.ndim != 1 or labels.is_floating_point():
            self.done = True
            return
        inside = index[(index >= 0) & (index < self.num_examples)]
        if self.is_known[inside].any():
            self._compare(index.tolist(), labels.tolist(), rank)
        if self.contradiction and self.unchanged >= OWN:
            raise ArgumentError(self.contradiction)
        enough = self.compared >= ENOUGH and not self.contradiction
        self.done = self.done or enough or self.passed > 4 * self.num_examples

    def _compare(self, rows: list[int], labels: list[int], rank: int) -> None:
        for row, label in zip(rows, labels, strict=True):
            if row not in self.known:
                continue
            known, other = self.known[row]
            if other != rank:
                self.compared += 1
                if known != label:
                    self.contradiction = self.contradiction or _contradiction(row, (known, other), (label, rank))
            elif known == label:
                self.unchanged += 1
            else:
                self.done, self.contradiction = True, ""  # labels change in the course of training, and say nothing
                return


def _contradiction(row: int, one: tuple[int, int], other: tuple[int, int]) -> str:
    return (
        f"row {row} has label {one[0]} on rank {one[1]} and {other[0]} on rank {other[1]}: row numbers count through "
        "the data of all ranks, so number the rows of one data set, in the same order on all, and draw its noise and "
        "its splits with the same seed; where each has data of its own, say targets.distribute(None); where labels are "
        "meant to change, make the loss with check_batches=False"
    )
