"""All targets in memory, a copy on every rank."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from elr.checking import checked
from elr.devices import sent
from elr.errors import ArgumentError
from elr.targets.ranks import refuse_unlike_tables
from elr.targets.store import CHUNK, Targets, update_rows
from elr.targets.updating import (
    blend,
    full_type,
    gather_rows,
    has_repeats,
    mean_over_repeats,
    not_compiled,
    note_nonfinite,
)


class DenseTargets(Targets):
    """All rows in memory, on the device of the model; a copy on every rank.

    Stored in `dtype`, computed in float32 (float64 where stored so). N * C * itemsize bytes: 2 MB for CIFAR-10 in
    float32, 28 MB for Clothing1M's 1,000,000 x 14 in bfloat16. A float32 table goes over to float64 when the first
    float64 outputs (or state) come, so that a run in float64 is one throughout; only a loss that is compiled for a CPU
    leaves it. `state_dict` holds the table; `.to()` moves it and leaves its dtype alone.

    Args:
        num_examples: N >= 1.
        num_classes: C >= 2.
        dtype: storage: torch.float32 (default), torch.bfloat16, torch.float16 or torch.float64.

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

    @checked
    def __init__(self, num_examples: int, num_classes: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(num_examples, num_classes)
        self.check_storage(dtype)
        self.table = torch.zeros(num_examples, num_classes, dtype=dtype)

    @property
    def _like(self) -> Tensor:
        """The table, for its type and its device alone."""
        return self.table

    def read(self, index: Tensor) -> Tensor:
        self.check(index)
        return self.table[sent(index, self._like.device)].to(full_type(self._like))

    def mean(self) -> Tensor:
        parts = self.table.split(max(1, CHUNK // self.num_classes))
        sums = [part.sum(dim=0, dtype=torch.float64) for part in parts]
        return torch.stack(sums).sum(dim=0) / self.num_examples

    @torch.no_grad()  # the paper holds targets constant in the gradient
    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        if probs is None:
            raise ArgumentError("probs is None: expected a tensor (B, C)")
        self.check(index, probs, beta=beta)
        self._follow(probs.dtype)
        probs = probs.detach().to(self._like.device, full_type(self._like))
        if self.process_group is None:
            if torch.compiler.is_compiling():
                return torch.ops.elr.update_rows(
                    self.table, index.to(self._like.device), probs, beta, self.nonfinite, self.parts
                )
            # Of rows on the processor this is known at once; of those on an accelerator one would wait for it.
            distinct = self.trusts_rows or (index.device.type == "cpu" and not has_repeats(index))
            index = sent(index, self._like.device)
            parts = self._noted(probs)
            probs = probs if distinct else mean_over_repeats(index, probs, self.parts)
            return self._blended(index, probs, beta, parts=parts)
        return self._update_with_others(index, probs, beta)

    @not_compiled
    def _update_with_others(self, index: Tensor, probs: Tensor, beta: float) -> Tensor:
        """`update` of the rows of all ranks; those of this one."""
        assert self.process_group is not None, "there are others"
        if not self.compared:
            shape = (self.num_examples, self.num_classes)
            refuse_unlike_tables(type(self).__name__, shape, self._like.dtype, self.process_group)
            self.compared = True
        local = len(index)
        index, probs, start = gather_rows(index.to(self._like.device), probs, self.process_group)
        rows = update_rows(self.table, index, probs, beta, self.nonfinite, self.parts)
        if rows.device.type == "cpu":
            self.tell_nonfinite()
        return rows[start : start + local]

    def _blended(
        self, index: Tensor, probs: Tensor, beta: float, *, out: Tensor | None = None, parts: int | None = None
    ) -> Tensor:
        """`blend` of rows of the table; `out` is memory for as many, of the type that they are stored in."""
        return blend(self.table, index, probs, beta, out=out, parts=parts)

    def _follow(self, dtype: torch.dtype) -> None:
        """Go over from float32 to float64 where that is what comes."""
        if dtype == torch.float64 and self.table.dtype == torch.float32:
            self.table = self.table.double()

    def _noted(self, probs: Tensor) -> int | None:
        """Count outputs that are not finite, and say so where that is free; None if there are none for certain."""
        if not note_nonfinite(probs, self.nonfinite, self.parts):
            return None
        if probs.device.type == "cpu":
            self.tell_nonfinite()
        return self.parts

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:
        self._check_shapes(index, None, beta)
        return self.table if self._is_near(index) else None

    def _is_near(self, index: Tensor) -> bool:
        """Whether the rows are all here, and on the device of `index`."""
        return self.process_group is None and self._like.device == index.device

    def piecewise(self, index: Tensor, *, beta: float) -> Callable[[slice, Tensor], Tensor] | None:
        self.check(index, beta=beta)
        if not self._is_near(index) or (not self.trusts_rows and has_repeats(index)):
            return None
        scratch: list[Tensor] = []
        steps = self.nonfinite[1] + 1  # whichever pieces have outputs that are not finite, it is one step

        def update(rows: slice, probs: Tensor) -> Tensor:
            some = index[rows]
            if not scratch:
                self._follow(probs.dtype)
                scratch.append(self._like.new_empty(len(some), self.num_classes))
            parts = self._noted(probs)
            if parts is not None:
                self.nonfinite[1].clamp_(max=steps)
            return self._blended(some, probs, beta, out=scratch[0][: len(some)], parts=parts)

        return update

    def get_extra_state(self) -> Tensor:
        return self.table

    def set_extra_state(self, state: Tensor) -> None:
        if not isinstance(state, Tensor):
            raise ArgumentError(
                f"the saved targets belong to another kind of store than {type(self).__name__}: make it with the "
                "placement that they were saved from"
            )
        if state.shape != self.table.shape:
            raise ArgumentError(
                f"the saved targets have shape {tuple(state.shape)}, these {tuple(self.table.shape)}: "
                "they belong to another training set"
            )
        self._follow(state.dtype)
        self.table.copy_(state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DenseTargets:
        super()._apply(fn, recurse)
        self.table = self.table.to(fn(self.table[:0]).device)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}, dtype={self.table.dtype}"
