"""Mixup: each example of a batch is mixed with another one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from elr.devices import sent
from elr.errors import ArgumentError
from elr.methods.method import Batch, Inputs
from elr.targets.ranks import number_of_ranks
from elr.targets.updating import joined_of_ranks, rows_of_ranks

_TINY = 1e-12


class Mixing(NamedTuple):
    """Which example each one is mixed with, and how much of it stays.

    Args:
        weight: share of the example itself, in [0, 1]; its partner has the rest.
        partner: (B,) int64, position in the batch of each example's partner; of several ranks, in the rows of all, in
            order of rank.
        group: the ranks that have parts of the batch. Default: it is whole.
        counts: how many rows each of them has.

    Example:
        >>> Mixing(0.75, torch.tensor([1, 0])).mix(torch.tensor([[0.0], [4.0]]))
        tensor([[1.],
                [3.]])
    """

    weight: float
    partner: Tensor
    group: dist.ProcessGroup | None = None
    counts: tuple[int, ...] = ()

    def mix(self, values: Tensor) -> Tensor:
        """weight * values + (1 - weight) * values[partner], for (B, ...) floating values.

        Raises:
            ArgumentError: integers, which are names of something rather than amounts.
        """
        if not values.is_floating_point():
            raise ArgumentError(f"mixup of {values.dtype}: expected floating-point inputs; embed them first")
        return values * self.weight + self.of_partners(values) * (1.0 - self.weight)

    def of_partners(self, values: Tensor) -> Tensor:
        """(B, ...) what the partners have, on whichever rank they are; all ranks call it."""
        if self.group is None:
            return values[self.partner]
        return joined_of_ranks(values, self.counts, self.group)[self.partner]

    def mix_inputs(self, inputs: Inputs) -> Inputs:
        """The same for inputs, whichever form they have."""
        if isinstance(inputs, Tensor):
            return self.mix(inputs)
        return {name: self.mix(values) for name, values in inputs.items()}


def draw_mixing(
    count: int,
    *,
    alpha: float,
    device: torch.device,
    nearer: bool = True,
    group: dist.ProcessGroup | None = None,
) -> Mixing:
    """One weight for the batch, max(l, 1 - l) with l ~ Beta(alpha, alpha), and a random permutation of partners.

    Draws from torch's generator of the CPU, so that every device mixes alike. Of several ranks the first one draws for
    all, and partners may be on any: the batch of all is mixed as one process would.

    Args:
        count: B.
        alpha: concentration, > 0; 1 is the paper's: l is uniform.
        device: of the batch.
        nearer: whether each example stays nearer to itself than to its partner; False: the weight is l itself.
        group: the ranks that have parts of one batch, all of which call this. Default: the batch is whole.

    Example:
        >>> mixing = draw_mixing(4, alpha=1.0, device=torch.device("cpu"))
        >>> 0.5 <= mixing.weight <= 1.0, sorted(mixing.partner.tolist())
        (True, [0, 1, 2, 3])

    Source: Zhang et al., "mixup", ICLR 2018, which has l itself; max(l, 1 - l) as in ELR's code and in MixMatch.
    """
    if number_of_ranks(group) > 1:
        assert group is not None, "several ranks are a group"
        return _of_all_ranks(count, alpha, device, nearer, group)
    share, partner = _drawn(count, alpha, nearer)
    return Mixing(share, sent(partner, device))


def _drawn(count: int, alpha: float, nearer: bool) -> tuple[float, Tensor]:
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return max(share, 1.0 - share) if nearer else share, torch.randperm(count)


def _of_all_ranks(count: int, alpha: float, device: torch.device, nearer: bool, group: dist.ProcessGroup) -> Mixing:
    """What one process would draw for the batch that the loop has dealt out row by row."""
    counts = rows_of_ranks(count, group, device)
    drawn = torch.empty(1 + sum(counts), dtype=torch.float64, device=device)
    if dist.get_rank(group) == 0:
        share, partner = _drawn(sum(counts), alpha, nearer)
        drawn.copy_(torch.cat([torch.tensor([share], dtype=torch.float64), partner.double()]))
    dist.broadcast(drawn, src=dist.get_global_rank(group, 0), group=group)
    there = torch.arange(max(counts))[:, None] < torch.tensor(counts)  # whether a rank has a first row, a second one
    ranks = torch.arange(len(counts)).expand_as(there)[there]  # of the rows of the batch, in its order
    joined = ranks.argsort(stable=True)  # the rows of the batch, in order of rank
    place = torch.empty_like(joined).index_put_((joined,), torch.arange(len(joined)))
    partner = place[drawn[1:].long().cpu()[ranks == dist.get_rank(group)]]
    return Mixing(float(drawn[0]), sent(partner, device), group, counts)


def mixed_batch(batch: Batch, targets: Tensor, mixing: Mixing | None) -> tuple[Inputs, Tensor, Tensor]:
    """Inputs, labels (B, C) and targets (B, C) of a batch, mixed alike; None: as they are, labels as rows all the same.

    Example:
        >>> batch = Batch(torch.tensor([4, 2]), torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
        >>> inputs, labels, _ = mixed_batch(batch, torch.full((2, 2), 0.5), Mixing(0.75, torch.tensor([1, 0])))
        >>> inputs.flatten(), labels
        (tensor([1., 3.]), tensor([[0.7500, 0.2500],
                [0.2500, 0.7500]]))
    """
    inputs, labels = batch.inputs, batch.labels
    if labels.ndim == 1:
        labels = F.one_hot(labels, targets.shape[1]).to(targets.dtype)
    if mixing is None:
        return inputs, labels, targets
    return mixing.mix_inputs(inputs), mixing.mix(labels), mixing.mix(targets)


def refined(labels: Tensor, targets: Tensor) -> Tensor:
    """Mixed labels y weighed with targets t: y t / sum(y t), so that the class that targets agree with prevails.

    Args:
        labels: (B, C) rows that sum to 1.
        targets: (B, C) of the same mixture.

    Returns:
        (B, C) rows that sum to 1; those of `labels` where the targets say nothing of their classes.

    Example:
        >>> refined(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.6, 0.2, 0.2]]))
        tensor([[0.7500, 0.2500, 0.0000]])

    Source: the authors' code, for data sets of 100 classes.
    """
    weighed = labels * targets
    total = weighed.sum(dim=1, keepdim=True)
    return (weighed / total.clamp(min=_TINY)).where(total > _TINY, labels)
