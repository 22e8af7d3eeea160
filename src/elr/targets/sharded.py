"""Targets whose rows are spread over the ranks: each has its part, and no rank has all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from elr.checking import checked
from elr.errors import ArgumentError, CheckpointError, RowIndexError
from elr.files import writing
from elr.targets.ranks import number_of_ranks, raise_together, refuse_unlike_tables
from elr.targets.row_files import load_part, part_name, part_of, save_part
from elr.targets.store import CHUNK, Targets, update_rows
from elr.targets.updating import full_type, not_compiled

_READ, _UPDATE, _REFUSED = 0, 1, 2
_ROW_NUMBER = 8  # bytes


@dataclass
class _Route:
    """Where the rows of a batch go, and which rows have come from the others."""

    index: Tensor
    order: Tensor
    asked: list[int]
    answered: list[int]
    rows: Tensor
    work: dist.Work | None

    def arrived(self) -> Tensor:
        """(A,) the rows that this rank owns and is asked for, by its own count: in order of rank, then of batch."""
        if self.work is not None:
            self.work.wait()
            self.work = None
        return self.rows


class ShardedTargets(Targets):
    """Rows spread over the ranks of the process group; only those of a batch travel, and only to where they are asked.

    Rank r of W owns the rows from r * ceil(N / W) on, ceil(N / W) of them, so that each rank has N * C * itemsize / W
    bytes. Without a group, all rows are here. What comes out is that of `DenseTargets`, bit for bit on a CPU: the owner
    of a row has the outputs of all ranks for it in order of rank, then of batch.

    **Every rank of the group calls `read`, `update`, `mean`, `save_rows` and `load_rows`, as often as the others do**;
    each with as many rows as it likes, none included. A rank that is alone in a call waits for the others; a row out of
    range on one rank is an error on all, and so is an `update` that meets a `read`.

    An update sends, from each rank, of B rows of its batch those that others own, about B (W - 1) / W of them:

        bytes = 16 (W - 1) + B (W - 1) / W * (8 + 4 C + itemsize C)

    their numbers, their outputs in float32 (float64 for a table of that), and back the new targets in the type that
    they are stored in, which loses nothing; `bytes_per_step`. The count of outputs that are not finite, one number, is
    summed over the ranks beside that. `read` sends the same without the outputs. `prefetch` has the numbers travel
    while the network works; outputs and new targets are waited for, for the loss needs them at once.

    `state_dict` holds this rank's part, with its place, and goes back to the same rank of as many; on one process it is
    the table, as that of `DenseTargets`, and goes to any. `save_rows` and `load_rows` serve any number of ranks.

    Args:
        num_examples: N >= 1.
        num_classes: C >= 2.
        dtype: storage, as of `DenseTargets`.

    Attributes:
        sent: bytes that this rank has sent to others for `read` and `update` so far.

    Raises:
        ArgumentError: another dtype, or counts out of range.

    Example:
        >>> targets = ShardedTargets(4, 2)
        >>> targets.update(torch.tensor([3]), torch.tensor([[0.5, 0.5]]), beta=0.5)
        tensor([[0.2500, 0.2500]])
        >>> targets.first, targets.last, targets.bytes_per_step(64)  # alone, it has all rows and sends nothing
        (0, 4, 0)
    """

    @checked
    def __init__(self, num_examples: int, num_classes: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(num_examples, num_classes)
        self.check_storage(dtype)
        self.dtype = dtype
        self.world, self.rank = 1, 0
        self.sent = 0
        self.part: Tensor | None = None  # made when first needed: until then no rank has to have room for all
        self.device = torch.device("cpu")
        self.route: _Route | None = None

    @property
    def table(self) -> Tensor:
        """(last - first, C) the rows of this rank."""
        if self.part is None:
            self.part = torch.zeros(self.last - self.first, self.num_classes, dtype=self.dtype, device=self.device)
        return self.part

    @property
    def first(self) -> int:
        """The first row of this rank."""
        return part_of(self.rank, self.world, self.num_examples)[0]

    @property
    def last(self) -> int:
        """The row after the last one of this rank."""
        return part_of(self.rank, self.world, self.num_examples)[1]

    @property
    def _each(self) -> int:
        return -(-self.num_examples // self.world)

    def distribute(self, process_group: dist.ProcessGroup | None) -> None:
        """Spread the rows over the ranks of `process_group`, each of which calls this; None: all stay here.

        Of a table that is whole, each rank keeps its part, and gives the rest away.

        Raises:
            ArgumentError: the rows are spread already, over other ranks.
        """
        world = number_of_ranks(process_group)
        rank = 0 if process_group is None else dist.get_rank(process_group)
        if self.part is not None and (world, rank) != (self.world, self.rank):
            if self.world > 1:
                raise ArgumentError(
                    f"the targets are spread over {self.world} ranks, and are now to be spread over {world}: expected "
                    "the same ranks; save_rows them to a folder, and load_rows from there into a new store"
                )
            self.part = self.part[slice(*part_of(rank, world, self.num_examples))].clone()
        self.world, self.rank = world, rank
        self.route = None
        super().distribute(process_group if world > 1 else None)

    def bytes_per_step(self, batch: int) -> int:
        """What an update sends from this rank to others, rows that are asked for evenly; bytes, see above.

        Args:
            batch: B, rows of this rank's batch.

        Example:
            >>> targets = ShardedTargets(10**6, 1_000)
            >>> targets.world = 8  # as `distribute` finds it
            >>> targets.bytes_per_step(256)
            1793904
        """
        others = self.world - 1
        computed = torch.promote_types(self.dtype, torch.float32)
        row = _ROW_NUMBER + self.num_classes * (computed.itemsize + self.dtype.itemsize)
        return 2 * _ROW_NUMBER * others + round(batch * others / self.world * row)

    @torch.no_grad()
    @not_compiled
    def read(self, index: Tensor) -> Tensor:
        self._check_on_all(index)
        if self.process_group is None:
            return self.table[index.to(self.device)].to(full_type(self.table))
        route = self._begin(index, _READ)
        return self._returned(route, self.table[route.arrived()])

    @torch.no_grad()  # the paper holds targets constant in the gradient
    @not_compiled
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        if probs is None:
            raise ArgumentError("probs is None: expected a tensor (B, C)")
        self._check_on_all(index, probs, beta=beta)
        self._follow(probs.dtype)
        probs = probs.detach().to(self.device, full_type(self.table))
        if self.process_group is None:
            rows = update_rows(self.table, index.to(self.device), probs, beta, self.nonfinite, self.parts)
        else:
            rows = self._update_with_others(index, probs, beta)
        if self.device.type == "cpu":
            self.tell_nonfinite()
        return rows

    def _update_with_others(self, index: Tensor, probs: Tensor, beta: float) -> Tensor:
        route = self._taken(index) or self._begin(index, _UPDATE)
        came, work = self._exchange(probs[route.order], route.asked, route.answered)
        work.wait()
        missed = torch.zeros_like(self.nonfinite)
        rows, full = route.arrived(), full_type(self.table)
        new = update_rows(self.table, rows, came, beta, missed, self.parts) if len(rows) else came.to(full)
        missed = missed[:1].to(self.device)
        counted = dist.all_reduce(missed, group=self.process_group, async_op=True)
        found = self._returned(route, new.to(self.table.dtype))
        counted.wait()  # pyright: ignore[reportOptionalMemberAccess]
        self.nonfinite += torch.cat([missed, (missed > 0).long()]).to(self.nonfinite.device)
        return found

    @torch.no_grad()
    @not_compiled
    def prefetch(self, index: Tensor) -> None:
        """Begin the `update` of these rows, which is to come: their numbers travel while the network works.

        Raises:
            RowIndexError: as `update`.
        """
        if self.process_group is None:
            return
        self._check_on_all(index)
        self.route = self._begin(index, _UPDATE)

    def _taken(self, index: Tensor) -> _Route | None:
        """The route that `prefetch` began, once."""
        route, self.route = self.route, None
        if route is None or route.index is index:
            return route
        if not torch.equal(route.index, index.to(route.index.device)):
            raise ArgumentError(
                "prefetch was called with other rows than update: expected both with the rows of the same batch"
            )
        return route

    def _check_on_all(self, index: Tensor, probs: Tensor | None = None, *, beta: float = 0.0) -> None:
        """As `check`, and where it refuses, the other ranks hear of it rather than wait."""
        if self.process_group is not None and not self.compared:
            shape = (self.num_examples, self.num_classes)
            refuse_unlike_tables(type(self).__name__, shape, self.dtype, self.process_group)
            self.compared = True
        try:
            self.check(index, probs, beta=beta)
        except (ArgumentError, RowIndexError):
            if self.process_group is not None and self.route is None:
                self._say([0] * self.world, _REFUSED)
            raise

    def _say(self, counts: list[int], kind: int) -> list[list[int]]:
        """Tell each rank how many rows are for it and what for; what they say, (rows, kind) of each."""
        mine = torch.tensor([[count, kind] for count in counts], device=self.device)
        theirs, work = self._exchange(mine, [1] * self.world, [1] * self.world)
        work.wait()
        return theirs.tolist()

    def _begin(self, index: Tensor, kind: int) -> _Route:
        """Send the numbers of rows to their owners."""
        here = index.to(self.device)
        owners = torch.div(here, self._each, rounding_mode="floor")
        order = torch.argsort(owners, stable=True)
        asked = torch.bincount(owners, minlength=self.world).tolist()
        said = self._say(asked, kind)
        if {each[1] for each in said} != {kind}:
            refused = [str(rank) for rank, each in enumerate(said) if each[1] == _REFUSED]
            if refused:
                raise RowIndexError(
                    f"rank {' and '.join(refused)} asked for rows that cannot be (see its own message): the step is "
                    "refused on all ranks"
                )
            kinds = ", ".join(f"{('read', 'update')[each[1]]} on rank {rank}" for rank, each in enumerate(said))
            raise ArgumentError(
                f"the ranks ask different things of the targets at once ({kinds}): expected the same calls in the same "
                "order on all of them; is one in eval mode, or has it another number of batches?"
            )
        answered = [each[0] for each in said]
        rows, work = self._exchange(here[order] - owners[order] * self._each, asked, answered)
        return _Route(index, order, asked, answered, rows, work)

    def _returned(self, route: _Route, rows: Tensor) -> Tensor:
        """(B, C) what was asked for, in order of the batch."""
        came, work = self._exchange(rows, route.answered, route.asked)
        work.wait()
        found = torch.empty_like(came)
        found[route.order] = came
        return found.to(full_type(self.table))

    def _exchange(self, values: Tensor, to: list[int], of: list[int]) -> tuple[Tensor, Any]:
        """Rows to each rank and from each, (A, ...), as bytes; and what to wait for."""
        came = values.new_empty(sum(of), *values.shape[1:])
        there, back = (
            (each if each.ndim > 1 else each[:, None]).contiguous().view(torch.uint8) for each in (came, values)
        )
        self.sent += (len(values) - to[self.rank]) * back.shape[1]
        work = dist.all_to_all_single(there, back, of, to, group=self.process_group, async_op=True)
        return came, work

    @torch.no_grad()
    def mean(self) -> Tensor:
        parts = self.table.split(max(1, CHUNK // self.num_classes))
        total = torch.stack([part.sum(dim=0, dtype=torch.float64) for part in parts]).sum(dim=0)
        if self.process_group is not None:
            dist.all_reduce(total, group=self.process_group)
        return total / self.num_examples

    def _follow(self, dtype: torch.dtype) -> None:
        """Go over from float32 to float64 where that is what comes."""
        if dtype == torch.float64 and self.dtype == torch.float32:
            self.dtype = torch.float64
            self.part = None if self.part is None else self.part.double()

    def save_rows(self, folder: Path) -> None:
        folder = Path(folder)
        with writing(folder / part_name(self.rank, self.world, self.num_examples)):
            save_part(folder, self.table, rank=self.rank, world=self.world, num_examples=self.num_examples)

    def load_rows(self, folder: Path) -> None:
        error: CheckpointError | None = None
        try:
            part = load_part(Path(folder), (self.first, self.last), shape=(self.num_examples, self.num_classes))
        except CheckpointError as found:
            error, part = found, None
        raise_together(error, self.process_group)  # no rank goes on with rows that another one lacks
        assert part is not None, "a part that cannot be loaded is an error"
        self._follow(part.dtype)
        self.table.copy_(part)

    def get_extra_state(self) -> Any:
        shape = [self.num_examples, self.num_classes]
        if self.rows_apart:
            return torch.tensor(shape)
        place = torch.tensor([*shape, self.world, self.rank])
        return self.table if self.world == 1 else {"rows": self.table, "place": place}

    def set_extra_state(self, state: Any) -> None:
        rows = state
        if isinstance(state, dict):
            *shape, world, rank = state["place"].tolist()
            if (world, rank) != (self.world, self.rank):
                raise ArgumentError(
                    f"the saved targets are the part of rank {rank} of {world}, and this is rank {self.rank} of "
                    f"{self.world}: expected the same; to go on with another number of ranks, keep targets by "
                    "save_rows and load_rows"
                )
            rows = state["rows"]
        else:
            shape = state.tolist() if state.ndim == 1 else list(state.shape)
        if shape != [self.num_examples, self.num_classes]:
            raise ArgumentError(
                f"the saved targets have shape {tuple(shape)}, these {(self.num_examples, self.num_classes)}: "
                "they belong to another training set"
            )
        if rows.ndim == 1:  # load_rows brings them
            return
        self._follow(rows.dtype)
        self.table.copy_(rows if isinstance(state, dict) else rows[self.first : self.last])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ShardedTargets:
        super()._apply(fn, recurse)
        self.device = fn(torch.empty(0, dtype=self.dtype, device=self.device)).device
        self.part = None if self.part is None else self.part.to(self.device)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}, dtype={self.dtype}"
