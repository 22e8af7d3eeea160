"""What several processes must agree in before they work on one table, and how all hear of what one ran into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed as dist

from elr import errors
from elr.errors import ArgumentError, ELRError, lack_of_memory, of_all_ranks

_MOST_SAID = 3  # different errors of as many ranks


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
        raise of_all_ranks(ArgumentError(f"the ranks differ in {'; in '.join(told)}: {advice}"))


def raise_together(error: Exception | None, group: dist.ProcessGroup | None) -> None:
    """Raise on every rank of a group what some of them ran into; all of them call it.

    Args:
        error: what this rank ran into, if it did.
        group: None: this process alone.

    Raises:
        ELRError: on the ranks that ran into something that error itself; on the first one, and on those that ran into
            nothing, one of the same class that says which ranks did.
        DistError: instead of that, where it is no error that elr raises on purpose: the rank shows where it came from.

    Example:
        >>> raise_together(None, None)
        >>> raise_together(ArgumentError("epochs is 0"), None)
        Traceback (most recent call last):
        elr.errors.ArgumentError: epochs is 0
    """
    found: list[Any] = [None if error is None else (_class_of(error), str(error))] * number_of_ranks(group)
    if len(found) > 1:
        dist.all_gather_object(found, found[0], group=group)
    said = said_together(found)
    try:
        if error is not None and (len(found) == 1 or not _class_of(error)):
            raise error
        if error is not None and said is not None and (dist.get_rank(group) > 0 or said[1] == str(error)):
            raise of_all_ranks(error)
        if said is not None:
            kind, text = said
            raise (dist.DistError(text) if kind is None else of_all_ranks(kind(text))) from error
    finally:
        error = None  # else it would hold this frame, and with it those of its callers, until some later time


def said_together(found: list[tuple[str, str] | None]) -> tuple[type[Exception] | None, str] | None:
    """What the first rank says of the errors of all: of which class, and in which words; None where there is none.

    Args:
        found: name of a class of `elr.errors` (MemoryError; "" for any other) and words, in order of rank.

    Example:
        >>> said_together([None, ("DataError", "no such file: x.csv"), None])
        (<class 'elr.errors.DataError'>, 'rank 1: no such file: x.csv')
        >>> said_together([("DataError", "no such file: x.csv")] * 2)
        (<class 'elr.errors.DataError'>, 'no such file: x.csv')
    """
    places: dict[str, list[str]] = {}
    for rank, each in enumerate(found):
        if each is not None:
            places.setdefault(each[1], []).append(str(rank))
    if not places:
        return None
    told = [f"rank {' and '.join(ranks)}: {text}" for text, ranks in places.items()][:_MOST_SAID]
    text = next(iter(places)) if found[0] is not None and len(places) == 1 else "; ".join(told)
    name = next(each[0] for each in found if each is not None)
    return (MemoryError if name == MemoryError.__name__ else getattr(errors, name, None)), text


def _class_of(error: Exception) -> str:
    """The class of `elr.errors` that it is of, or MemoryError; "" for one that nobody foresaw."""
    if lack_of_memory(error) is not None and not isinstance(error, ELRError):
        return MemoryError.__name__
    names = (each.__name__ for each in type(error).__mro__ if each.__module__ == errors.__name__)
    return next(names, "")


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
