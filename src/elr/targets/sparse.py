"""Of the targets of each row the largest, and the others as one number: as many bytes for any number of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elr.checking import checked
from elr.devices import sent
from elr.errors import ArgumentError
from elr.targets.largest import moved_largest, spread
from elr.targets.ranks import refuse_unlike_tables
from elr.targets.store import CHUNK, Targets, check_rows
from elr.targets.updating import (
    finite_parts,
    full_type,
    gather_rows,
    has_repeats,
    mean_over_repeats,
    not_compiled,
    note_nonfinite,
)

_SHORT = 2**15  # classes that int16 numbers from 0; up to twice as many from -_SHORT
_State = dict[str, Tensor]


class SparseTargets(Targets):
    """Of each row the `top_k` largest targets with their classes, and the sum of the others as one number.

    As read, a row is (C,) as ever: the stored values at their classes, the sum of the others spread evenly over the
    other classes. After an update t <- beta t + (1 - beta) p of that row the largest are kept again; so the sum of a
    row stays 1 - beta^n after n updates, and what is lost is how the others differ among themselves
    (docs/concepts/sparse-targets.md bounds it). Of equal values those that are stored already stay, then those of the
    lowest classes come in.

    Values and the sum are stored in `dtype`, the classes in int16 up to C = 65,536 and int32 above; every update is
    computed in float32 (float64 where stored so). N * (k * (2 + 2) + 2) bytes in bfloat16: 66 a row for k = 16,
    whatever C is; from C = 65,537 on N * (k * (4 + 2) + 2), 98 a row. float32 goes over to float64 as in a
    `DenseTargets`. `state_dict` holds the rows; `.to()` moves them and leaves their dtype alone.

    Args:
        num_examples: N >= 1.
        num_classes: C >= 2.
        top_k: k >= 1, classes stored of each row; all where there are no more. Default 16.
        dtype: storage: torch.bfloat16 (default), torch.float32, torch.float16 or torch.float64.

    Raises:
        ArgumentError: another dtype, or counts out of range.

    Example:
        >>> targets = SparseTargets(1_000_000, 5, top_k=1, dtype=torch.float32)
        >>> targets.update(torch.tensor([3]), torch.tensor([[0.0, 0.6, 0.3, 0.1, 0.0]]), beta=0.0)
        tensor([[0.1000, 0.6000, 0.1000, 0.1000, 0.1000]])
        >>> targets.read(torch.tensor([3])).sum()
        tensor(1.)
        >>> SparseTargets(1_000_000, 20_000).bytes_per_row
        66
    """

    @checked
    def __init__(
        self, num_examples: int, num_classes: int, *, top_k: int = 16, dtype: torch.dtype = torch.bfloat16
    ) -> None:
        super().__init__(num_examples, num_classes)
        self.check_storage(dtype)
        if top_k < 1:
            raise ArgumentError(f"top_k is {top_k}: expected at least 1 class to store of each row; the default is 16")
        self.top_k = min(top_k, num_classes)
        self.offset = _SHORT if _SHORT < num_classes <= 2 * _SHORT else 0
        kind = _id_type(num_classes)
        first = (torch.arange(self.top_k) - self.offset).to(kind)
        self.ids = first.repeat(num_examples, 1)
        self.values = torch.zeros(num_examples, self.top_k, dtype=dtype)
        self.rest = torch.zeros(num_examples, dtype=dtype)

    @property
    def bytes_per_row(self) -> int:
        """What a row takes, of classes, values and the sum of the others."""
        return sparse_row_bytes(self.num_classes, top_k=self.top_k, dtype=self.values.dtype)

    def read(self, index: Tensor) -> Tensor:
        self.check(index)
        return self.spread(*_rows(self.ids, self.values, self.rest, sent(index, self.ids.device), self.offset))

    def spread(self, ids: Tensor, values: Tensor, rest: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Rows (B, C) written out, of classes (B, k) int64, values (B, k) and rest (B,)."""
        return spread(ids, values, rest, self.num_classes, out=out)

    def mean(self) -> Tensor:
        total = torch.zeros(self.num_classes, dtype=torch.float64, device=self.ids.device)
        for index in torch.arange(self.num_examples, device=self.ids.device).split(CHUNK // self.top_k + 1):
            ids, values, rest = _rows(self.ids, self.values, self.rest, index, self.offset)
            share = rest.double() / max(self.num_classes - self.top_k, 1)
            above = (values.double() - share[:, None]).flatten()
            if above.device.type == "cpu":
                total.index_add_(0, ids.flatten(), above)
            else:  # index_add_ adds in any order there
                total.index_put_((ids.flatten(),), above, accumulate=True)
            total += share.sum()
        return total / self.num_examples

    @torch.no_grad()  # the paper holds targets constant in the gradient
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        if probs is None:
            raise ArgumentError("probs is None: expected a tensor (B, C)")
        self.check(index, probs, beta=beta)
        self._follow(probs.dtype)
        probs = probs.detach().to(self.values.device, full_type(self.values))
        if self.process_group is None:
            return self._moved(sent(index, self.ids.device), probs, beta)
        return self._update_with_others(index, probs, beta)

    @not_compiled
    def _update_with_others(self, index: Tensor, probs: Tensor, beta: float) -> Tensor:
        """`update` of the rows of all ranks; those of this one."""
        assert self.process_group is not None, "there are others"
        if not self.compared:
            shape = (self.num_examples, self.num_classes)
            kind = f"{type(self).__name__} of {self.top_k} classes a row"
            refuse_unlike_tables(kind, shape, self.values.dtype, self.process_group)
            self.compared = True
        local = len(index)
        index, probs, start = gather_rows(index.to(self.ids.device), probs, self.process_group)
        check_rows(index, self.num_examples)
        return self._moved(index, probs, beta)[start : start + local]

    def _moved(self, index: Tensor, probs: Tensor, beta: float) -> Tensor:
        """`update` of the rows of all ranks."""
        distinct = self.trusts_rows and self.process_group is None
        tables = self.ids, self.values, self.rest
        if torch.compiler.is_compiling():
            move = torch.ops.elr.move_sparse
            return self.spread(*move(*tables, index, probs, beta, self.offset, self.nonfinite, self.parts))
        rows = _moved_rows(tables, index, probs, beta, self.offset, self.nonfinite, self.parts, distinct=distinct)
        if probs.device.type == "cpu":
            self.tell_nonfinite()
        return self.spread(*rows)

    def _follow(self, dtype: torch.dtype) -> None:
        """Go over from float32 to float64 where that is what comes."""
        if dtype == torch.float64 and self.values.dtype == torch.float32:
            self.values, self.rest = self.values.double(), self.rest.double()

    def piecewise(self, index: Tensor, *, beta: float) -> Callable[[slice, Tensor], Tensor] | None:
        self.check(index, beta=beta)
        apart = self.process_group is not None or self.ids.device != index.device
        if apart or (not self.trusts_rows and has_repeats(index)):
            return None
        scratch: list[Tensor] = []
        steps = self.nonfinite[1] + 1  # whichever pieces have outputs that are not finite, it is one step

        def update(rows: slice, probs: Tensor) -> Tensor:
            some = index[rows]
            self._follow(probs.dtype)
            tables = self.ids, self.values, self.rest
            if not scratch:
                scratch.append(self.values.new_empty(len(some), self.num_classes, dtype=full_type(self.values)))
            probs = probs.to(full_type(self.values))
            found = _moved_rows(tables, some, probs, beta, self.offset, self.nonfinite, self.parts, distinct=True)
            self.nonfinite[1].clamp_(max=steps)
            self.tell_nonfinite()
            return self.spread(*found, out=scratch[0][: len(some)])

        return update

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({f"{prefix}{name}": part for name, part in self.rows_state().items()})

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        names = list(self.rows_state())
        if any(name.startswith(prefix) for name in state_dict):
            there = [name for name in names if f"{prefix}{name}" in state_dict]
            self.set_rows_state({name: state_dict.pop(f"{prefix}{name}") for name in there})
        else:  # a state that says nothing of targets, which torch refuses where it is to be whole
            missing_keys: list[str] = args[2]
            missing_keys += [f"{prefix}{name}" for name in names]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def rows_state(self) -> _State:
        """What `state_dict()` has of the rows: tensors, as those who save models expect."""
        return {
            "ids": self.ids,
            "values": self.values,
            "rest": self.rest,
            "num_classes": torch.tensor(self.num_classes),
        }

    def set_rows_state(self, state: _State) -> None:
        """Take what `rows_state` gave."""
        if state.keys() != self.rows_state().keys():
            raise ArgumentError(
                f"the saved targets have {', '.join(state) or 'no rows'}, and are not of a sparse store: make it with "
                "the placement that they were saved from"
            )
        count, top_k = state["values"].shape
        shape, here = (count, int(state["num_classes"])), (self.num_examples, self.num_classes)
        if shape != here:
            raise ArgumentError(
                f"the saved targets have shape {shape}, these {here}: they belong to another training set"
            )
        if top_k != self.top_k:
            raise ArgumentError(
                f"the saved targets have {top_k} classes of each row, these {self.top_k}: set top_k to {top_k}"
            )
        for name, found, kept in (("ids", state["ids"], self.ids), ("rest", state["rest"], self.rest)):
            if found.shape != kept.shape or found.is_floating_point() != kept.is_floating_point():
                raise ArgumentError(
                    f"{name} of the saved targets have shape {tuple(found.shape)} and type {found.dtype}: expected "
                    f"{tuple(kept.shape)} and {kept.dtype}; the file is damaged"
                )
        low, high = (int(bound) + self.offset for bound in state["ids"].aminmax())
        if low < 0 or high >= self.num_classes:
            raise ArgumentError(
                f"ids of the saved targets are classes outside [0, {self.num_classes}): the file is damaged"
            )
        self._follow(state["values"].dtype)
        self.ids.copy_(state["ids"])
        self.values.copy_(state["values"])
        self.rest.copy_(state["rest"])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SparseTargets:
        super()._apply(fn, recurse)
        device = fn(self.rest[:0]).device
        self.ids, self.values, self.rest = self.ids.to(device), self.values.to(device), self.rest.to(device)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}, top_k={self.top_k}, dtype={self.values.dtype}"


_Rows = tuple[Tensor, Tensor, Tensor]


def _rows(ids: Tensor, values: Tensor, rest: Tensor, index: Tensor, offset: int) -> _Rows:
    """Classes, values and rest of some rows, for computing."""
    full = full_type(values)
    some = (torch.index_select(table, 0, index) for table in (ids, values, rest))
    chosen, numbers, others = some
    return chosen.long() + offset, numbers.to(full), others.to(full)


def _moved_rows(
    tables: _Rows,
    index: Tensor,
    probs: Tensor,
    beta: float,
    offset: int,
    nonfinite: Tensor,
    parts: int,
    *,
    distinct: bool,
) -> _Rows:
    """Update some rows of the tables; their new classes, values and rest, as they are stored."""
    careful, stays = note_nonfinite(probs, nonfinite, parts), None
    if not distinct:
        probs = mean_over_repeats(index, probs, parts)
    former = _rows(*tables, index, offset)
    if careful:
        probs, stays = _finite(probs, former, parts)
    ids, *numbers = moved_largest(*former, probs, beta)
    if stays is not None:  # nothing moves, not even by rounding
        ids = torch.where(stays[:, None], former[0], ids)
        numbers = [torch.where(stays[:, None], former[1], numbers[0]), torch.where(stays, former[2], numbers[1])]
    values, rest = (new.to(table.dtype) for new, table in zip(numbers, tables[1:], strict=True))
    for table, rows in zip(tables, ((ids - offset).to(tables[0].dtype), values, rest), strict=True):
        table.index_copy_(0, index, rows)
    full = full_type(values)
    return ids, values.to(full), rest.to(full)


def _finite(probs: Tensor, former: _Rows, parts: int) -> tuple[Tensor, Tensor]:
    """Outputs with former targets (rows of the store) in place of those not finite; which rows have no other ones."""
    finite, split = finite_parts(probs, parts), probs.unflatten(1, (parts, -1))
    probs = torch.where(finite, split, spread(*former, probs.shape[1]).view_as(split)).flatten(1)
    return probs, ~finite.flatten(1).any(dim=1)


@torch.library.custom_op("elr::move_sparse", mutates_args={"ids", "values", "rest", "nonfinite"})
def move_sparse(
    ids: Tensor,
    values: Tensor,
    rest: Tensor,
    index: Tensor,
    probs: Tensor,
    beta: float,
    offset: int,
    nonfinite: Tensor,
    parts: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The whole update as one operation, so that compilers take its data-dependent steps as they are.

    Example:
        >>> ids, values, rest = torch.tensor([[0]], dtype=torch.int16), torch.zeros(1, 1), torch.zeros(1)
        >>> index, probs, nonfinite = torch.tensor([0]), torch.tensor([[0.2, 0.8]]), torch.zeros(2, dtype=torch.int64)
        >>> move_sparse(ids, values, rest, index, probs, 0.5, 0, nonfinite, 1)
        (tensor([[1]]), tensor([[0.4000]]), tensor([0.1000]))
        >>> ids, values, rest
        (tensor([[1]], dtype=torch.int16), tensor([[0.4000]]), tensor([0.1000]))
    """
    check_rows(index, len(ids))
    found = _moved_rows((ids, values, rest), index, probs, beta, offset, nonfinite, parts, distinct=False)
    return tuple(each.clone() for each in found)  # type: ignore[return-value]  # no memory of what is changed


@move_sparse.register_fake
def _(ids: Tensor, values: Tensor, rest: Tensor, index: Tensor, probs: Tensor, *_: object) -> _Rows:
    shape, full = (len(index), ids.shape[1]), full_type(values)
    return (
        probs.new_empty(shape, dtype=torch.int64),
        probs.new_empty(shape, dtype=full),
        rest.new_empty(len(index), dtype=full),
    )


def sparse_row_bytes(num_classes: int, *, top_k: int, dtype: torch.dtype) -> int:
    """What a row of a sparse store takes: k classes, their values, and the sum of the others.

    Example:
        >>> [sparse_row_bytes(count, top_k=16, dtype=torch.bfloat16) for count in (10_000, 100_000)]
        [66, 98]
    """
    return min(top_k, num_classes) * (_id_type(num_classes).itemsize + dtype.itemsize) + dtype.itemsize


def _id_type(num_classes: int) -> torch.dtype:
    return torch.int16 if num_classes <= 2 * _SHORT else torch.int32
