"""Running target probabilities per example: what the network has said of each training row so far.

`Targets` is the contract that `elr.methods.elr` relies on; where the rows live is the class, how precisely an argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from elr.errors import ArgumentError, RowIndexError
from elr.targets.updating import STORAGE_DTYPES, blend, full_type, mean_over_repeats, note_nonfinite, warn_nonfinite

CHUNK = 2**20
"""Numbers that are read at once where all rows are gone over: 4 MiB in float32."""
_EXTRA_STATE = "_extra_state"  # where torch has what get_extra_state gives


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
        rows_apart: whether `state_dict()` leaves out what `save_rows` writes; see `rows_apart`.
        parts: how many outputs a row consists of, side by side, each of which is finite or not by itself. 1 unless the
            method says otherwise.
        nonfinite: (2,) int64, how many outputs were not finite and were kept out, and in how many steps; in
            `state_dict()`. A warning says it once: at once on the CPU; on an accelerator, which would have to be waited
            for, when `train()` or `eval()` is called next.

    Raises:
        ArgumentError: N or C out of range.

    Example:
        >>> class Sparse(Targets):
        ...     def __init__(self, num_examples, num_classes):
        ...         super().__init__(num_examples, num_classes)
        ...         self.rows = {}
        ...
        ...     def read(self, index):
        ...         self.check(index)
        ...         zero = torch.zeros(self.num_classes)
        ...         return torch.stack([self.rows.get(row, zero) for row in index.tolist()])
        ...
        ...     def update(self, index, probs, *, beta):
        ...         self.check(index, probs, beta=beta)
        ...         self.rows |= dict(zip(index.tolist(), torch.lerp(probs, self.read(index), beta)))
        ...         return self.read(index)
        >>> targets = Sparse(1_000_000, 2)
        >>> targets.update(torch.tensor([999_999]), torch.tensor([[0.5, 0.5]]), beta=0.5)
        tensor([[0.2500, 0.2500]])
        >>> len(targets.rows)
        1
    """

    trusts_rows = False
    rows_apart = False
    parts = 1

    def __init__(self, num_examples: int, num_classes: int) -> None:
        super().__init__()
        if num_examples < 1 or num_classes < 2:
            raise ArgumentError(
                f"targets for {num_examples} examples and {num_classes} classes: expected at least 1 example and 2 "
                "classes; of two classes a network gives two logits, one for each"
            )
        self.num_examples = num_examples
        self.num_classes = num_classes
        self.process_group: dist.ProcessGroup | None = None
        self.placed = False  # whether `distribute` was called, be it with None
        self.compared = False  # whether the ranks were found to have tables that are alike
        self.nonfinite = torch.zeros(2, dtype=torch.int64)
        self.told = False  # whether the warning was given

    def train(self, mode: bool = True) -> Targets:
        super().train(mode)
        self.tell_nonfinite()
        return self

    def tell_nonfinite(self) -> None:
        """Warn, once, of outputs that were kept out; an accelerator is waited for."""
        if not self.told and not self.nonfinite.is_meta:
            self.told = warn_nonfinite(self.nonfinite)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Targets:
        super()._apply(fn, recurse)
        self.nonfinite = self.nonfinite.to(fn(self.nonfinite[:0]).device)
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}nonfinite"] = self.nonfinite

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        found = state_dict.pop(f"{prefix}nonfinite", None)  # not a buffer, so not looked for by what follows
        keeps_rows_in_one = type(self).get_extra_state is not nn.Module.get_extra_state
        others = [name.removeprefix(prefix) for name in state_dict if name.startswith(prefix)]
        if keeps_rows_in_one and others and _EXTRA_STATE not in others:
            raise ArgumentError(
                f"the saved targets have {', '.join(others)}: they belong to another kind of store than "
                f"{type(self).__name__}; make it with the placement that they were saved from"
            )
        if found is not None:
            self.nonfinite.copy_(found)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @abstractmethod
    def read(self, index: Tensor) -> Tensor:
        """The targets of some rows.

        Args:
            index: (B,) int64 rows in [0, N).

        Returns:
            (B, C) float32 (float64 where stored so), detached, zeros for rows never updated.

        Raises:
            RowIndexError: a row outside [0, N), for an index on the CPU. One on an accelerator would have to be waited
                for at every step: there, the device stops with an assertion that cannot name the row.
        """

    @abstractmethod
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        """Move the targets of some rows toward new outputs: t <- beta t + (1 - beta) p.

        A row that comes more than once is updated once, with the mean of its outputs, so that repeated and permuted
        rows give the same table. Under a process group, the rows of all ranks count as one batch.

        An output with a number that is not finite is kept out: the row has the mean of its other outputs in the batch;
        without any, its target stays what it was. It is counted in `nonfinite`.

        Args:
            index: (B,) int64 rows in [0, N), repeats allowed.
            probs: (B, C) outputs p, float32 or float64, rows that sum to 1; no gradient is kept. They may be buffers of
                the caller: to be neither changed nor kept.
            beta: momentum in [0, 1].

        Returns:
            (B, C) the new targets of these rows, of the type that `read` gives, detached.

        Raises:
            RowIndexError: as `read`.
            ArgumentError: shapes that do not belong together, or beta outside [0, 1].
        """

    @torch.no_grad()
    def mean(self) -> Tensor:
        """(C,) float64 mean of the targets over all N rows, those never updated included; in chunks."""
        total = torch.zeros(self.num_classes, dtype=torch.float64)
        for rows in torch.arange(self.num_examples).split(max(1, CHUNK // self.num_classes)):
            total += self.read(rows).sum(dim=0, dtype=torch.float64).cpu()
        return total / self.num_examples

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

    def prefetch(self, index: Tensor) -> None:
        """Begin the `update` of these rows, which is to come, while the network works; by default nothing.

        Args:
            index: as `update`, and the same.

        Raises:
            RowIndexError: as `update`.
        """

    def save_rows(self, folder: Path) -> None:
        """Write what `state_dict()` leaves out of a checkpoint into an empty folder, each rank its own part.

        Within `rows_apart` only, or for a checkpoint of one's own. By default nothing: `state_dict()` has all rows.

        Args:
            folder: an existing one, of this store alone; all ranks have the same.

        Raises:
            OutputError: it cannot be written.
        """

    def load_rows(self, folder: Path) -> None:
        """Read what `save_rows` wrote, on whatever number of ranks.

        Raises:
            CheckpointError: a part is missing, truncated, or of another table; it is named.
        """

    def distribute(self, process_group: dist.ProcessGroup | None) -> None:
        """Let the store see the rows of every rank of `process_group`.

        None: this process alone, also where it is one of several that train on data of their own each.
        """
        self.process_group = process_group
        self.compared, self.placed = False, True

    def check_ranks(self) -> None:
        """Refuse to be updated by one of several processes before `distribute` has said how they belong together."""
        if self.placed or not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
            return
        raise ArgumentError(
            f"{dist.get_world_size()} processes train together, and these targets would see the rows of one of them "
            "alone: call targets.distribute(torch.distributed.group.WORLD) on all of them before training (of a loss: "
            "loss.targets), so that each row has one target; or targets.distribute(None) where each process trains on "
            "data of its own, with row numbers of their own"
        )

    def check(self, index: Tensor, probs: Tensor | None = None, *, beta: float = 0.0) -> None:
        """Raise what `read` and `update` promise to raise, before anything is changed."""
        self._check_shapes(index, probs, beta)
        if not self.trusts_rows:
            check_rows(index, self.num_examples)

    @staticmethod
    def check_storage(dtype: object) -> None:
        """Raise ArgumentError for a type that targets are not stored in."""
        if not isinstance(dtype, torch.dtype) or dtype not in STORAGE_DTYPES:
            raise ArgumentError(f"targets stored as {dtype}: expected one of {', '.join(map(str, STORAGE_DTYPES))}")

    def _check_shapes(self, index: Tensor, probs: Tensor | None, beta: float) -> None:
        for name, value in (("index", index), ("probs", probs)):
            if not isinstance(value, Tensor) and not (name == "probs" and value is None):
                raise ArgumentError(f"{name} is {repr(value)[:200]}: expected a tensor")
        if index.ndim != 1 or index.dtype != torch.int64:
            raise ArgumentError(
                f"index has shape {tuple(index.shape)} and type {index.dtype}: expected (B,) int64 rows"
            )
        if probs is not None:
            self.check_ranks()
        if probs is not None and probs.shape != (len(index), self.num_classes):
            raise ArgumentError(
                f"probs have shape {tuple(probs.shape)}: expected ({len(index)}, {self.num_classes}), a row per index"
            )
        if not isinstance(beta, int | float) or not 0.0 <= beta <= 1.0:
            raise ArgumentError(f"beta is {beta}: expected a momentum in [0, 1]; the paper uses 0.7 and 0.9")


def stores_in(module: nn.Module) -> list[Targets]:
    """The stores of a method or loss.

    Example:
        >>> from elr.targets.dense import DenseTargets
        >>> stores_in(nn.Sequential(nn.Linear(5, 2), DenseTargets(9, 2)))
        [DenseTargets(9, 2, dtype=torch.float32)]
    """
    return [part for part in module.modules() if isinstance(part, Targets)]


@contextmanager
def _marked(stores: Sequence[Targets], mark: str) -> Iterator[None]:
    """Within it, an attribute of stores is true."""
    before = [getattr(store, mark) for store in stores]
    for store in stores:
        setattr(store, mark, True)
    try:
        yield
    finally:
        for store, was in zip(stores, before, strict=True):
            setattr(store, mark, was)


def rows_apart(stores: Sequence[Targets]) -> AbstractContextManager[None]:
    """Within it, `state_dict()` of stores whose rows `save_rows` writes leaves them out.

    Example:
        >>> from elr.targets.dense import DenseTargets
        >>> with rows_apart([DenseTargets(4, 2)]) as none:
        ...     none
    """
    return _marked(stores, "rows_apart")


def trusted_rows(stores: Sequence[Targets]) -> AbstractContextManager[None]:
    """Within it, stores take it that rows are in range and that none comes twice in a batch.

    For a loop that draws without replacement: on an accelerator, looking costs more than the loss itself. What `read`
    and `update` promise to raise for rows out of range is then up to the caller; under a process group they look.

    Example:
        >>> from elr.targets.dense import DenseTargets
        >>> targets = DenseTargets(4, 2)
        >>> with trusted_rows([targets]):
        ...     print(targets.trusts_rows)
        True
        >>> targets.trusts_rows
        False
    """
    return _marked(stores, "trusts_rows")


def whole_probs(targets: Tensor) -> Tensor:
    """Targets (B, C), which sum to less than 1 at first, scaled to rows that sum to 1.

    A row that training never saw says nothing: it comes out uniform.

    Example:
        >>> whole_probs(torch.tensor([[0.3, 0.1], [0.0, 0.0]]))
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    totals = targets.sum(dim=1, keepdim=True)
    return (targets / totals.clamp(min=1e-12)).where(totals > 0, 1.0 / targets.shape[1])


def check_rows(index: Tensor, num_examples: int) -> None:
    """Raise RowIndexError for rows outside [0, num_examples); traced or on an accelerator the device stops instead.

    Example:
        >>> check_rows(torch.tensor([0, 8]), 8)
        Traceback (most recent call last):
        elr.errors.RowIndexError: index 8 is out of range for 8 examples: expected rows in [0, 8); a Subset gives \
positions, not rows, so number rows in the data set itself
    """
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


@torch.library.custom_op("elr::update_rows", mutates_args={"table", "nonfinite"})
def update_rows(
    table: Tensor, index: Tensor, probs: Tensor, beta: float, nonfinite: Tensor | None = None, parts: int = 1
) -> Tensor:
    """The whole update as one operation, so that compilers take its data-dependent steps as they are.

    Example:
        >>> table = torch.zeros(3, 2)
        >>> update_rows(table, torch.tensor([2, 2]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.5)
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
        >>> table[2]
        tensor([0.2500, 0.2500])
    """
    check_rows(index, len(table))
    careful = nonfinite is None or note_nonfinite(probs, nonfinite, parts)
    return blend(table, index, mean_over_repeats(index, probs, parts), beta, parts=parts if careful else None)


@update_rows.register_fake
def _(
    table: Tensor,
    index: Tensor,  # noqa: ARG001
    probs: Tensor,
    beta: float,  # noqa: ARG001
    nonfinite: Tensor | None = None,  # noqa: ARG001
    parts: int = 1,  # noqa: ARG001
) -> Tensor:
    return torch.empty_like(probs, dtype=full_type(table))
