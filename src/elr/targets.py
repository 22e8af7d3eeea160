"""Running target probabilities per example: what the network has said of each training row so far.

`Targets` is the contract that `elr.elr` relies on; where the rows live (dense in memory here; sharded, memory-mapped or
sparse elsewhere) is the class, in which precision is an argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

from elr.errors import ArgumentError, RowIndexError
from elr.transfer import sent

STORAGE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class Targets(nn.Module, ABC):
    """A table of target probabilities, one row per training example, read and updated by row number.

    A store is a module only so that it is found by `modules()`, moved by `.to()` and saved by `state_dict()`; it must
    keep its rows out of `buffers()`, which DistributedDataParallel overwrites with those of rank 0 at every forward.

    Args:
        num_examples: N >= 1, rows of the training set.
        num_classes: C >= 2.

    Attributes:
        trusts_rows: whether rows are taken to be in range and different from one another without a look; see
            `trusted_rows`.

    Raises:
        ArgumentError: N or C out of range.
    """

    trusts_rows = False

    def __init__(self, num_examples: int, num_classes: int) -> None:
        super().__init__()
        if num_examples < 1 or num_classes < 2:
            raise ArgumentError(
                f"targets for {num_examples} examples and {num_classes} classes: expected at least 1 and 2"
            )
        self.num_examples = num_examples
        self.num_classes = num_classes
        self.process_group: dist.ProcessGroup | None = None

    @abstractmethod
    def read(self, index: Tensor) -> Tensor:
        """The targets of some rows.

        Args:
            index: (B,) int64 rows in [0, N).

        Returns:
            (B, C) float32, detached, zeros for rows never updated.

        Raises:
            RowIndexError: a row outside [0, N), for an index on the CPU. One on an accelerator would have to be waited
                for at every step: there, the device stops with an assertion that cannot name the row.
        """

    @abstractmethod
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        """Move the targets of some rows towards new outputs: t <- beta t + (1 - beta) p.

        A row that comes more than once is updated once, with the mean of its outputs, so that repeated and permuted
        rows give the same table. Under a process group, the rows of all ranks count as one batch.

        Args:
            index: (B,) int64 rows in [0, N), repeats allowed.
            probs: (B, C) outputs p, float32 or float64, rows that sum to 1; no gradient is kept. They may be buffers of
                the caller: to be neither changed nor kept.
            beta: momentum in [0, 1].

        Returns:
            (B, C) float32, the new targets of these rows, detached.

        Raises:
            RowIndexError: as `read`.
            ArgumentError: shapes that do not belong together, or beta outside [0, 1].
        """

    def piecewise(self, index: Tensor, *, beta: float) -> Callable[[slice, Tensor], Tensor] | None:  # noqa: ARG002
        """An `update` of this batch that takes the outputs in pieces, so that each is still in the cache; or None.

        Args:
            index: as `update`.
            beta: as `update`.

        Returns:
            A function of a slice of the batch and its (b, C) outputs that updates these rows and returns their (b, C)
            new targets, valid until the next call; to be called for all slices of the batch, each once. None (default)
            where the store, or this batch, needs the outputs at once: use `update`.

        Raises:
            RowIndexError: as `update`.
            ArgumentError: as `update`.
        """
        return None

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:  # noqa: ARG002
        """The table itself, (N, C), for an `update` in a sweep of the caller's own; or None.

        Args:
            index: as `update`.
            beta: as `update`.

        Returns:
            The rows in memory on the device of `index`, of which no other process has a part: whoever takes them checks
            that `index` is in range. None (default) where there is no such thing: use `update`.

        Raises:
            ArgumentError: as `update`.
        """
        return None

    def distribute(self, process_group: dist.ProcessGroup | None) -> None:
        """Let the store see the rows of every rank of `process_group` (None: this process alone)."""
        self.process_group = process_group

    def check(self, index: Tensor, probs: Tensor | None = None, *, beta: float = 0.0) -> None:
        """Raise what `read` and `update` promise to raise, before anything is changed."""
        self._check_shapes(index, probs, beta)
        if not self.trusts_rows:
            check_rows(index, self.num_examples)

    def _check_shapes(self, index: Tensor, probs: Tensor | None, beta: float) -> None:
        if index.ndim != 1 or index.dtype != torch.int64:
            raise ArgumentError(
                f"index has shape {tuple(index.shape)} and type {index.dtype}: expected (B,) int64 rows"
            )
        if probs is not None and probs.shape != (len(index), self.num_classes):
            raise ArgumentError(
                f"probs have shape {tuple(probs.shape)}: expected ({len(index)}, {self.num_classes}), a row per index"
            )
        if not 0.0 <= beta <= 1.0:
            raise ArgumentError(f"beta is {beta}: expected a momentum in [0, 1]; the paper uses 0.7 and 0.9")


class DenseTargets(Targets):
    """All rows in memory, on the device of the model; a copy on every rank.

    Stored in `dtype`, computed in float32. N * C * itemsize bytes: 2 MB for CIFAR-10 in float32, 28 MB for Clothing1M's
    1,000,000 x 14 in bfloat16. `state_dict` holds the table; `.to()` moves it and leaves its dtype alone.

    Args:
        num_examples: N >= 1.
        num_classes: C >= 2.
        dtype: storage: torch.float32 (default), torch.bfloat16 or torch.float16.

    Raises:
        ArgumentError: another dtype, or counts out of range.

    Example:
        >>> targets = DenseTargets(4, 2)
        >>> targets.update(torch.tensor([3]), torch.tensor([[0.5, 0.5]]), beta=0.5)
        tensor([[0.2500, 0.2500]])
        >>> targets.read(torch.tensor([0, 3]))
        tensor([[0.0000, 0.0000],
                [0.2500, 0.2500]])

    Source: equation 9 and Algorithm 1 of Liu et al., NeurIPS 2020: t(0) = 0, no bias correction. Differs from the
    authors' code, whose table is lost at checkpoints, not moved with the model, and keyed by position in a subset.
    """

    def __init__(self, num_examples: int, num_classes: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(num_examples, num_classes)
        if dtype not in STORAGE_DTYPES:
            raise ArgumentError(f"targets stored as {dtype}: expected one of {', '.join(map(str, STORAGE_DTYPES))}")
        self.table = torch.zeros(num_examples, num_classes, dtype=dtype)

    def read(self, index: Tensor) -> Tensor:
        self.check(index)
        return self.table[sent(index, self.table.device)].float()

    @torch.no_grad()  # the paper holds targets constant in the gradient
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        self.check(index, probs, beta=beta)
        probs = probs.detach().to(self.table.device, torch.float32)
        if self.process_group is None:
            if torch.compiler.is_compiling():
                return torch.ops.elr.update_rows(self.table, index.to(self.table.device), probs, beta)
            # Of rows on the processor this is known at once; of those on an accelerator one would wait for it.
            distinct = self.trusts_rows or (index.device.type == "cpu" and not has_repeats(index))
            index = sent(index, self.table.device)
            return _blend(self.table, index, probs if distinct else _mean_over_repeats(index, probs), beta)
        local = len(index)
        index, probs, start = _gather(index.to(self.table.device), probs, self.process_group)
        return update_rows(self.table, index, probs, beta)[start : start + local]

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:
        self._check_shapes(index, None, beta)
        return self.table if self.process_group is None and self.table.device == index.device else None

    def piecewise(self, index: Tensor, *, beta: float) -> Callable[[slice, Tensor], Tensor] | None:
        self.check(index, beta=beta)
        if self.table_of(index, beta=beta) is None or (not self.trusts_rows and has_repeats(index)):
            return None
        scratch: list[Tensor] = []

        def update(rows: slice, probs: Tensor) -> Tensor:
            some = index[rows]
            if not scratch:
                scratch.append(self.table.new_empty(len(some), self.num_classes))
            return _blend(self.table, some, probs, beta, out=scratch[0][: len(some)])

        return update

    def get_extra_state(self) -> Tensor:
        return self.table

    def set_extra_state(self, state: Tensor) -> None:
        if state.shape != self.table.shape:
            raise ArgumentError(
                f"the saved targets have shape {tuple(state.shape)}, these {tuple(self.table.shape)}: "
                "they belong to another training set"
            )
        self.table.copy_(state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DenseTargets:
        super()._apply(fn, recurse)
        self.table = self.table.to(fn(self.table[:0]).device)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}, dtype={self.table.dtype}"


def stores_in(module: nn.Module) -> list[Targets]:
    """The stores of a method or loss."""
    return [part for part in module.modules() if isinstance(part, Targets)]


@contextmanager
def trusted_rows(module: nn.Module) -> Iterator[None]:
    """Within it, the stores of a module take it that rows are in range and that none comes twice in a batch.

    For a loop that draws without replacement: on an accelerator, looking costs more than the loss itself. What `read`
    and `update` promise to raise for rows out of range is then up to the caller; under a process group they look.
    """
    stores = stores_in(module)
    before = [store.trusts_rows for store in stores]
    for store in stores:
        store.trusts_rows = True
    try:
        yield
    finally:
        for store, trusted in zip(stores, before, strict=True):
            store.trusts_rows = trusted


def whole_probs(targets: Tensor) -> Tensor:
    """Targets (B, C), which sum to less than 1 at first, scaled to rows that sum to 1.

    A row that training never saw says nothing: it comes out uniform.
    """
    totals = targets.sum(dim=1, keepdim=True)
    return (targets / totals.clamp(min=1e-12)).where(totals > 0, 1.0 / targets.shape[1])


def check_rows(index: Tensor, num_examples: int) -> None:
    """Raise RowIndexError for rows outside [0, num_examples); traced or on an accelerator the device stops instead."""
    if torch.compiler.is_compiling() or index.device.type != "cpu":  # naming the value would stall the device each step
        torch._assert_async(  # pyright: ignore[reportPrivateImportUsage]
            ((index >= 0) & (index < num_examples)).all()
        )
        return
    if not index.numel():
        return
    low, high = (int(bound) for bound in index.aminmax())
    if low < 0 or high >= num_examples:
        raise RowIndexError(
            f"index {low if low < 0 else high} is out of range for {num_examples} examples: expected rows in "
            f"[0, {num_examples}); a Subset gives positions, not rows, so number rows in the data set itself"
        )


def _blend(table: Tensor, index: Tensor, probs: Tensor, beta: float, *, out: Tensor | None = None) -> Tensor:
    """t <- beta t + (1 - beta) p for some rows of the table, which it returns; rows that repeat bring equal outputs."""
    rows = torch.index_select(table, 0, index, out=out)
    if table.dtype == torch.float32:
        rows.lerp_(probs.to(torch.float32), 1.0 - beta)
    else:  # computed in float32
        rows.copy_(rows.float().lerp_(probs.to(torch.float32), 1.0 - beta))
    table.index_copy_(0, index, rows)
    return rows.float()


@torch.library.custom_op("elr::update_rows", mutates_args={"table"})
def update_rows(table: Tensor, index: Tensor, probs: Tensor, beta: float) -> Tensor:
    """The whole update as one operation, so that compilers take its data-dependent steps as they are."""
    check_rows(index, len(table))
    return _blend(table, index, _mean_over_repeats(index, probs), beta)


@update_rows.register_fake
def _(table: Tensor, index: Tensor, probs: Tensor, beta: float) -> Tensor:  # noqa: ARG001
    return torch.empty_like(probs)


def has_repeats(index: Tensor) -> bool:
    """Whether a row comes more than once in (B,) rows; an accelerator is waited for."""
    ordered = index.sort().values
    return bool((ordered[1:] == ordered[:-1]).any())


def _mean_over_repeats(index: Tensor, probs: Tensor) -> Tensor:
    """Replace each row of `probs` by the mean over the rows that have the same index; deterministic on every device."""
    if index.device.type == "cpu" and not has_repeats(index):
        return probs
    order = torch.argsort(index, stable=True)
    repeats = index[order].diff() == 0
    group = torch.cat([repeats.new_zeros(1), ~repeats]).cumsum(0)
    # index_add_ adds in order on a CPU; on an accelerator index_put_ does (it sorts), where index_add_ races.
    sums = torch.zeros_like(probs)
    if index.device.type == "cpu":
        sums.index_add_(0, group, probs[order])
    else:
        sums.index_put_((group,), probs[order], accumulate=True)
    counts = torch.zeros_like(index, dtype=probs.dtype).index_add_(0, group, torch.ones_like(group, dtype=probs.dtype))
    means = torch.empty_like(probs)
    means[order] = (sums / counts.clamp(min=1.0)[:, None])[group]
    return means


def _gather(index: Tensor, probs: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor, int]:
    """Concatenate the rows of all ranks, in order of rank; ranks may hold different numbers of rows.

    Returns the rows, their outputs, and where this rank's rows start.
    """
    size, rank = dist.get_world_size(group), dist.get_rank(group)
    counts = [torch.zeros(1, dtype=torch.int64, device=index.device) for _ in range(size)]
    dist.all_gather(counts, torch.tensor([len(index)], device=index.device), group=group)
    lengths = [int(count) for count in counts]
    longest = max(lengths)

    def collect(rows: Tensor) -> Tensor:
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    return collect(index), collect(probs), sum(lengths[:rank])
