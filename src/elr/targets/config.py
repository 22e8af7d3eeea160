"""Where targets are stored and how precisely, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from elr.checking import check_types, checked
from elr.errors import ArgumentError
from elr.targets.dense import DenseTargets
from elr.targets.sharded import ShardedTargets
from elr.targets.store import Targets

PLACEMENTS: dict[str, type[DenseTargets | ShardedTargets]] = {"dense": DenseTargets, "sharded": ShardedTargets}
"""Where the rows are kept, by name; each is made from N, C and a dtype."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
"""How precisely they are kept; every update is computed in float32, in float64 for that."""


@dataclass(frozen=True, kw_only=True)
class TargetsConfig:
    """Which store of targets a method is given. Methods build none themselves.

    Args:
        placement: one of `PLACEMENTS`. Default "dense": all rows in memory on the device of the model, a copy on every
            rank; "sharded": spread over the ranks.
        dtype: one of `DTYPES`. Default "float32"; the half ones take half of the memory, "float64" twice as much.

    Raises:
        ArgumentError: no such placement or dtype.

    Example:
        >>> TargetsConfig(dtype="bfloat16").build(50_000, 10)
        DenseTargets(50000, 10, dtype=torch.bfloat16)
        >>> TargetsConfig(placement="cloud")
        Traceback (most recent call last):
        elr.errors.ArgumentError: placement of targets is 'cloud': expected one of dense, sharded
    """

    placement: str = "dense"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_types(self)
        for name, value, known in (("placement", self.placement, PLACEMENTS), ("dtype", self.dtype, DTYPES)):
            if value not in known:
                raise ArgumentError(f"{name} of targets is {value!r}: expected one of {', '.join(known)}")

    @checked
    def build(self, num_examples: int, num_classes: int) -> Targets:
        """A store for the targets of one network, all zero.

        Args:
            num_examples: N >= 1, rows of the training set.
            num_classes: C >= 2.

        Raises:
            ArgumentError: N or C out of range.
        """
        return PLACEMENTS[self.placement](num_examples, num_classes, dtype=DTYPES[self.dtype])

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return asdict(self)


DENSE = TargetsConfig()
"""What methods take where nothing else is said."""
