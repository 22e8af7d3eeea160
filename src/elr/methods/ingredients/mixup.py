"""Mixup: each example of a batch is mixed with another one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function_unary

from elr.devices import sent
from elr.errors import ArgumentError
from elr.methods.ingredients.dealt_rows import dealt_rows
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

    Draws from torch's generator of the CPU, so that every device mixes alike. Of several ranks all draw for the whole
    batch, what the first one drew is taken, and partners may be on any: the batch is mixed as one process would.

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
    drawn = fill_with_pairs(torch.empty(1 + count, dtype=torch.float64), alpha, nearer)
    return Mixing(float(drawn[0]), sent(drawn[1:].long(), device))


def fill_with_pairs(drawn: Tensor, alpha: float, nearer: bool) -> Tensor:
    """Draw the weight and the partners of a batch of B rows into (1 + B,) float64; see `draw_mixing`.

    The training loop has several ranks draw alike here, by `torch.overrides`, as for functions of torch.

    Example:
        >>> drawn = fill_with_pairs(torch.empty(4, dtype=torch.float64), 1.0, True)
        >>> 0.5 <= drawn[0].item() <= 1.0, sorted(drawn[1:].tolist())
        (True, [0.0, 1.0, 2.0])
    """
    if has_torch_function_unary(drawn):
        return handle_torch_function(fill_with_pairs, (drawn,), drawn, alpha, nearer)
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    drawn[0] = max(share, 1.0 - share) if nearer else share
    drawn[1:] = torch.randperm(len(drawn) - 1)
    return drawn


def _of_all_ranks(count: int, alpha: float, device: torch.device, nearer: bool, group: dist.ProcessGroup) -> Mixing:
    """What one process would draw for the batch that the loop has dealt out row by row."""
    counts = rows_of_ranks(count, group, device)
    drawn = fill_with_pairs(torch.empty(1 + sum(counts), dtype=torch.float64), alpha, nearer).to(device)
    dist.broadcast(drawn, src=dist.get_global_rank(group, 0), group=group)
    place = dealt_rows(counts).argsort()  # of the rows of the batch, among those of all ranks in order of rank
    partner = place[drawn[1:].long().cpu()[dist.get_rank(group) :: len(counts)]]
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
