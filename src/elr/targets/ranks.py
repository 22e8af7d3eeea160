"""What several processes must agree in before they work on one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed as dist

from elr.errors import ArgumentError


def number_of_ranks(group: dist.ProcessGroup | None) -> int:
    """How many processes a group has; 1 for none.

    Example:
        >>> number_of_ranks(None)
        1
    """
    return 1 if group is None else dist.get_world_size(group)


def refuse_differences(values: Mapping[str, Any], group: dist.ProcessGroup | None, *, advice: str) -> None:
    """Raise on every rank where the ranks of a group differ in a value; all of them call it.

    Args:
        values: by name, plain ones; shown in the message.
        group: None: this process alone, which agrees with itself.
        advice: what to do, the end of the message.

    Raises:
        ArgumentError: names what differs, and on which ranks.

    Example:
        >>> refuse_differences({"num_examples": 5}, None, advice="give all ranks the same data")
    """
    if number_of_ranks(group) == 1:
        return
    found: list[Any] = [None] * number_of_ranks(group)
    dist.all_gather_object(found, dict(values), group=group)
    told = told_differences(found)
    if told:
        raise ArgumentError(f"the ranks differ in {'; in '.join(told)}: {advice}")


def refuse_unlike_tables(
    kind: str, shape: tuple[int, int], dtype: torch.dtype, group: dist.ProcessGroup | None
) -> None:
    """Raise on every rank of a group where their tables of targets are not alike; all of them call it.

    Args:
        kind: of store.
        shape: (N, C).
        dtype: of storage.
        group: None: this process alone.

    Raises:
        ArgumentError: names what differs, and on which ranks.

    Example:
        >>> refuse_unlike_tables("DenseTargets", (5, 2), torch.float32, None)
    """
    described = {"store": kind, "num_examples": shape[0], "num_classes": shape[1], "dtype": dtype}
    refuse_differences(
        described, group, advice="row numbers count through the data of all ranks: make the targets alike"
    )


def told_differences(found: list[dict[str, Any]]) -> list[str]:
    """What the values of the ranks, in order of rank, differ in.

    Example:
        >>> told_differences([{"N": 5, "C": 2}, {"N": 5, "C": 3}, {"N": 5, "C": 2}])
        ['C (2 on rank 0 and 2, 3 on rank 1)']
    """
    told = []
    for name in dict.fromkeys(name for each in found for name in each):
        places: dict[str, list[str]] = {}
        for rank, each in enumerate(found):
            places.setdefault(str(each.get(name, "nothing")), []).append(str(rank))
        if len(places) > 1:
            parts = [f"{value} on rank {' and '.join(ranks)}" for value, ranks in places.items()]
            told.append(f"{name} ({', '.join(parts)})")
    return told
