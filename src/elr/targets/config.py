"""Where targets are stored and how precisely, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from elr.checking import check_types, checked
from elr.errors import ArgumentError
from elr.targets.dense import DenseTargets
from elr.targets.sharded import ShardedTargets
from elr.targets.sparse import SparseTargets
from elr.targets.store import Targets

DENSE_PLACEMENT, MAPPED, SHARDED, SPARSE, STATELESS = "dense", "mapped", "sharded", "sparse", "stateless"


def _mapped(num_examples: int, num_classes: int, **settings: Any) -> Targets:
    from elr.targets.mapped import MappedTargets  # a dense store with a file, and most runs need none

    return MappedTargets(num_examples, num_classes, **settings)


PLACEMENTS: dict[str, Callable[..., Targets]] = {
    DENSE_PLACEMENT: DenseTargets,
    MAPPED: _mapped,
    SHARDED: ShardedTargets,
    SPARSE: SparseTargets,
}
"""Where the rows are kept, by name; each is made from N, C and a dtype."""

NAMES = (*PLACEMENTS, STATELESS)
"""What a placement may be: "stateless" has no store, and methods that can do without average weights instead."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
"""How precisely they are kept; every update is computed in float32, in float64 for that."""


@dataclass(frozen=True, kw_only=True)
class TargetsConfig:
    """Which store of targets a method is given. Methods build none themselves.

    Args:
        placement: one of `NAMES`. Default "dense": all rows in memory on the device of the model, a copy on every
            rank.
        dtype: one of `DTYPES`. Default "float32"; the half ones take half of the memory, "float64" twice as much.
        top_k: of "sparse", how many classes of a row have a number of their own, >= 1. Default 16.
        folder: of the run, where "mapped" has its file. Default: that of temporary files. No part of what is compared
            or written down.

    Raises:
        ArgumentError: no such placement or dtype, or top_k out of range.

    Example:
        >>> TargetsConfig(dtype="bfloat16").build(50_000, 10)
        DenseTargets(50000, 10, dtype=torch.bfloat16)
        >>> TargetsConfig(placement="cloud")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: placement of targets is 'cloud': expected one of dense...
    """

    placement: str = DENSE_PLACEMENT
    dtype: str = "float32"
    top_k: int = 16
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_types(self)
        for name, value, known in (("placement", self.placement, NAMES), ("dtype", self.dtype, DTYPES)):
            if value not in known:
                raise ArgumentError(f"{name} of targets is {value!r}: expected one of {', '.join(known)}")
        if self.top_k < 1:
            raise ArgumentError(f"top_k of targets is {self.top_k}: expected at least 1 class; 16 is the default")

    @checked
    def build(self, num_examples: int, num_classes: int, *, folder: Path | None = None) -> Targets:
        """A store for the targets of one network, all zero.

        Args:
            num_examples: N >= 1, rows of the training set.
            num_classes: C >= 2.
            folder: in place of the config's.

        Raises:
            ArgumentError: N or C out of range.
        """
        if self.placement == STATELESS:
            raise ArgumentError(
                f"targets are {STATELESS}, and networks side by side, as other methods than 'elr' and 'elr_plus', keep "
                f"some: take another store, such as {DENSE_PLACEMENT} or {MAPPED}, or one of these two (of 'elr' a "
                "single network, --members 1, members=1), whose averaged weights stand in"
            )
        dtype = DTYPES[self.dtype]
        where: dict[str, Any] = {"folder": folder or self.folder} if self.placement == MAPPED else {}
        some: dict[str, Any] = {"top_k": self.top_k} if self.placement == SPARSE else {}
        return PLACEMENTS[self.placement](num_examples, num_classes, dtype=dtype, **where, **some)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}


DENSE = TargetsConfig()
"""What methods take where nothing else is said."""
