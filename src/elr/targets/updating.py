"""The operations that stores of targets are made of: rows averaged over repeats, moved, written back.

Outputs that are not finite are found, counted and told of here; they never enter targets.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

_Function = TypeVar("_Function", bound=Callable[..., Any])
STORAGE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""What targets can be stored in."""


def not_compiled(function: _Function) -> _Function:
    """What talks to other processes is left as it is by compilers.

    Example:
        >>> not_compiled(len)([7, 5])
        2
    """
    return torch.compiler.disable(function)  # pyright: ignore[reportReturnType]


def blend(
    table: Tensor, index: Tensor, probs: Tensor, beta: float, *, out: Tensor | None = None, parts: int | None = None
) -> Tensor:
    """t <- beta t + (1 - beta) p for some rows of the table, which it returns; rows that repeat bring equal outputs.

    With `parts`, see `Targets.parts`, those that are not finite leave the table as it is; None: all are known to be.

    Example:
        >>> table = torch.zeros(3, 2)
        >>> blend(table, torch.tensor([2]), torch.tensor([[0.5, 0.5]]), 0.5)
        tensor([[0.2500, 0.2500]])
        >>> table[2]
        tensor([0.2500, 0.2500])
    """
    rows, full = torch.index_select(table, 0, index, out=out), full_type(table)
    probs = probs.to(full)
    if parts is not None:  # a number moved toward itself stays exactly what it is
        split = probs.unflatten(1, (parts, -1))
        probs = torch.where(finite_parts(probs, parts), split, rows.to(full).view_as(split)).flatten(1)
    if table.dtype == full:
        rows.lerp_(probs, 1.0 - beta)
    else:
        rows.copy_(rows.to(full).lerp_(probs, 1.0 - beta))
    table.index_copy_(0, index, rows)
    return rows.to(full)


def full_type(table: Tensor) -> torch.dtype:
    """The precision that targets are computed and handed out in: float32, or float64 for a table stored so.

    Example:
        >>> [full_type(torch.zeros(1, 2, dtype=dtype)) for dtype in (torch.bfloat16, torch.float64)]
        [torch.float32, torch.float64]
    """
    return torch.promote_types(table.dtype, torch.float32)


def has_repeats(index: Tensor) -> bool:
    """Whether a row comes more than once in (B,) rows; an accelerator is waited for.

    Example:
        >>> has_repeats(torch.tensor([4, 2, 4])), has_repeats(torch.tensor([4, 2, 3]))
        (True, False)
    """
    ordered = index.sort().values
    return bool((ordered[1:] == ordered[:-1]).any())


def mean_over_repeats(index: Tensor, probs: Tensor, parts: int = 1) -> Tensor:
    """Replace each row of `probs` by the mean over the rows that have the same index; deterministic on every device.

    Outputs that are not finite do not count (`parts`: see `Targets`); where all are such, the mean is NaN.

    Example:
        >>> mean_over_repeats(torch.tensor([4, 1, 4]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000],
                [0.5000, 0.5000]])
    """
    if index.device.type == "cpu" and not has_repeats(index):
        return probs
    order = torch.argsort(index, stable=True)
    repeats = index[order].diff() == 0
    group = torch.cat([repeats.new_zeros(1), ~repeats]).cumsum(0)
    # index_add_ adds in order on a CPU; on an accelerator index_put_ does (it sorts), where index_add_ races.
    finite, split = finite_parts(probs, parts), probs.unflatten(1, (parts, -1))
    whole = torch.where(finite, split, 0.0)
    sums = torch.zeros_like(whole)
    if index.device.type == "cpu":
        sums.index_add_(0, group, whole[order])
    else:
        sums.index_put_((group,), whole[order], accumulate=True)
    some = finite.to(probs.dtype)
    counts = torch.zeros_like(some).index_add_(0, group, some[order])
    means = torch.empty_like(whole)
    means[order] = (sums / counts)[group]
    return means.flatten(1)


def warn_nonfinite(nonfinite: Tensor) -> bool:
    """Warn of outputs that were kept out of the targets, if there were any; whether there were.

    Args:
        nonfinite: (2,) int64 outputs and steps.

    Example:
        >>> warn_nonfinite(torch.tensor([0, 0]))
        False
    """
    outputs, steps = nonfinite.tolist()
    if outputs:
        warnings.warn(
            f"{outputs} outputs of the network were not finite in {steps} step(s) so far and were kept out of the "
            "targets, which stay as they were for these rows: lower the learning rate, or look at the inputs of these "
            "batches (in half precision a GradScaler is to skip such steps); `nonfinite` of the targets counts on, and "
            "this is said once",
            RuntimeWarning,
            stacklevel=3,
        )
    return outputs > 0


def finite_parts(probs: Tensor, parts: int) -> Tensor:
    """(B, parts, 1) which of the outputs that lie side by side in (B, parts * C) are finite.

    Example:
        >>> finite_parts(torch.tensor([[0.5, 0.5, torch.nan, 1.0]]), 2).flatten()
        tensor([ True, False])
    """
    totals = probs.unflatten(1, (parts, -1)).sum(dim=-1, keepdim=True)
    return totals - totals == 0.0  # a sum is finite where all of it is; fewer kernels than isfinite


def note_nonfinite(probs: Tensor, nonfinite: Tensor, parts: int = 1) -> bool:
    """Count outputs that are not finite; whether there may be some: an accelerator is not asked.

    Args:
        probs: (B, parts * C).
        nonfinite: (2,) int64 outputs and steps, changed.
        parts: as `Targets.parts`.

    Example:
        >>> nonfinite = torch.zeros(2, dtype=torch.int64)
        >>> note_nonfinite(torch.tensor([[0.5, 0.5], [torch.nan, torch.nan]]), nonfinite), nonfinite
        (True, tensor([1, 1]))
    """
    if probs.device.type == "cpu" and not torch.compiler.is_compiling() and math.isfinite(probs.sum().item()):
        return False
    missed = ~finite_parts(probs, parts)
    nonfinite += torch.stack([missed.sum(), missed.any().long()]).to(nonfinite.device)
    return True


def rows_of_ranks(count: int, group: dist.ProcessGroup, device: torch.device) -> tuple[int, ...]:
    """How many rows each rank of a group has, of which this one has `count`; all of them call it.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> rows_of_ranks(3, dist.group.WORLD, torch.device("cpu"))
        (3,)
        >>> dist.destroy_process_group()
    """
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size(group))]
    dist.all_gather(counts, torch.tensor([count], device=device), group=group)
    return tuple(int(each) for each in counts)


def joined_of_ranks(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """The rows of all ranks of a group, in order of rank; all of them call it.

    Args:
        rows: (B, ...) of this rank.
        counts: B of each rank, see `rows_of_ranks`.
        group: the ranks.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> joined_of_ranks(torch.tensor([7, 5]), [2], dist.group.WORLD)
        tensor([7, 5])
        >>> dist.destroy_process_group()
    """
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def gather_rows(index: Tensor, probs: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor, int]:
    """Concatenate the rows of all ranks, in order of rank; ranks may hold different numbers of rows.

    Args:
        index: (B,) rows of this rank.
        probs: (B, C) their outputs.
        group: the ranks.

    Returns:
        The rows, their outputs, and where this rank's rows start.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> gather_rows(torch.tensor([7]), torch.tensor([[0.5, 0.5]]), dist.group.WORLD)
        (tensor([7]), tensor([[0.5000, 0.5000]]), 0)
        >>> dist.destroy_process_group()
    """
    counts = rows_of_ranks(len(index), group, index.device)
    start = sum(counts[: dist.get_rank(group)])
    return joined_of_ranks(index, counts, group), joined_of_ranks(probs, counts, group), start
