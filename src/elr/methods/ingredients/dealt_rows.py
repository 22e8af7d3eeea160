"""The batch of which each rank has the rows that the training loop dealt to it, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist

from elr.targets.updating import joined_of_ranks, rows_of_ranks


def dealt_rows(counts: Sequence[int]) -> Tensor:
    """(B,) the places in the batch of the rows of all ranks, in order of rank.

    Args:
        counts: rows of each rank.

    Example:
        >>> dealt_rows([3, 2])
        tensor([0, 2, 4, 1, 3])
    """
    there = torch.arange(max(counts))[:, None] < torch.tensor(counts)  # whether a rank has a first row, a second one
    return torch.arange(len(counts)).expand_as(there)[there].argsort(stable=True)


def whole_batch(rows: Tensor, group: dist.ProcessGroup) -> Tensor:
    """(B, ...) what all ranks have of a batch, in its order; all of them call it.

    Args:
        rows: (b, ...) of this rank; those of rank r of W are r, r + W, ... of the result.
        group: the ranks.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> whole_batch(torch.tensor([7, 5]), dist.group.WORLD)
        tensor([7, 5])
        >>> dist.destroy_process_group()
    """
    counts = rows_of_ranks(len(rows), group, rows.device)
    joined = joined_of_ranks(rows, counts, group)
    whole = torch.empty_like(joined)
    whole[dealt_rows(counts).to(rows.device)] = joined
    return whole
