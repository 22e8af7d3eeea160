"""Which store of targets suits a run, by its size."""

from __future__ import annotations

from collections.abc import Sequence

from elr.errors import ArgumentError
from elr.targets.config import (
    DENSE,
    DENSE_PLACEMENT,
    DTYPES,
    MAPPED,
    NAMES,
    SHARDED,
    SPARSE,
    STATELESS,
    TargetsConfig,
)
from elr.targets.sparse import sparse_row_bytes

AUTO = "auto"
SHARE = 0.5
"""Of the memory that may be used, what a dense table may take; the data, the network and its steps have the rest."""
LARGE = 10**9
"""Bytes from which on it is said how many they are."""
TARGETS_ARE = "the targets are "
"""How the sentence about them begins."""
_DEFAULT_DTYPES = {SPARSE: "bfloat16", MAPPED: "bfloat16"}


def check_choice(targets: str, dtype: str | None) -> None:
    """Refuse a store or a precision that there is not.

    Example:
        >>> check_choice("cloud", None)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: targets is 'cloud': expected one of auto, dense, ...
    """
    for name, value, known in (("targets", targets, (AUTO, *NAMES)), ("targets_dtype", dtype or "float32", DTYPES)):
        if value not in known:
            raise ArgumentError(f"{name} is {value!r}: expected one of {', '.join(known)}")
    if targets == STATELESS and dtype is not None:
        raise ArgumentError(f"targets_dtype is {dtype!r} and targets {targets!r}, which keeps none: leave one out")


def chosen_targets(
    num_examples: int,
    widths: Sequence[int],
    *,
    memory: int,
    targets: str = AUTO,
    dtype: str | None = None,
    ranks: int = 1,
    ranks_here: int | None = None,
) -> tuple[TargetsConfig, str]:
    """The store for a run, and a sentence that says it with its bytes, where there is something to say.

    Of "auto", in this order: dense in float32 where the tables of all processes of a machine take at most SHARE of its
    memory; dense in bfloat16 where they do; sharded in bfloat16 under several ranks; else mapped in bfloat16.

    Args:
        num_examples: N, rows of the training set.
        widths: targets of a row in each store of the method: C, or C for each of networks that lie side by side; empty
            for a method that has none.
        memory: bytes that may be used on a machine, by all of its processes together.
        targets: a placement, or "auto".
        dtype: of what is stored. Default: by the rule above; of a placement that is given bfloat16 for "sparse" and
            "mapped", float32 for the others.
        ranks: processes that train together.
        ranks_here: how many of them share the memory of a machine. Default: all.

    Example:
        >>> chosen_targets(50_000, [10], memory=8 * 10**9)[0].placement
        'dense'
        >>> config, sentence = chosen_targets(10_000_000, [1000], memory=8 * 10**9)
        >>> print(sentence)
        the targets are kept as mapped ones in bfloat16, 20,000,000,000 bytes of disk: in memory they would take \
40,000,000,000 bytes as float32 and 8,000,000,000 may be used
        >>> chosen_targets(1_240_000, [1000], memory=10 * 10**9, ranks=8)[0].placement
        'sharded'
    """
    check_choice(targets, dtype)
    here = ranks if ranks_here is None else ranks_here
    if not widths and (targets != AUTO or dtype is not None):
        asked = " ".join(each for each in (targets, dtype) if each not in (None, AUTO))
        return DENSE, f"{TARGETS_ARE}not stored: {asked} ones were asked for, and the method has none as it is set"
    if targets != AUTO:
        kind = dtype or _DEFAULT_DTYPES.get(targets, "float32")
        config = TargetsConfig(placement=targets, dtype="float32" if targets == STATELESS else kind)
        return config, _sentence(config, num_examples, widths, ranks=ranks, here=here, given=True)
    full, room = num_examples * sum(widths), int(SHARE * memory)
    for kind in ("float32", "bfloat16") if dtype is None else (dtype,):
        if full * DTYPES[kind].itemsize * here <= room:
            config = TargetsConfig(dtype=kind)
            break
    else:
        placement = SHARDED if ranks > 1 else MAPPED
        config = TargetsConfig(placement=placement, dtype=dtype or "bfloat16")
    sentence = _sentence(config, num_examples, widths, ranks=ranks, here=here, given=False)
    if config.placement != DENSE_PLACEMENT or (dtype is None and config.dtype != "float32"):
        size = full * DTYPES["float32"].itemsize
        each, there = (f" in each of {here} processes", " on the machine") if here > 1 else ("", "")
        sentence += f": in memory they would take {size:,} bytes as float32{each} and {memory:,} may be used{there}"
    return config, sentence


def _sentence(
    config: TargetsConfig, num_examples: int, widths: Sequence[int], *, ranks: int, here: int, given: bool
) -> str:
    plain = config.placement == DENSE_PLACEMENT and (given or config.dtype == "float32")
    size = num_examples * sum(widths) * DTYPES[config.dtype].itemsize
    if not widths or (plain and size * here < LARGE):
        return ""
    if config.placement == STATELESS:
        return f"{TARGETS_ARE}not kept (stateless): the averaged weights say what they would"
    kept, where = f"{TARGETS_ARE}kept as {config.placement} ones in {config.dtype}", "memory"
    if config.placement == SPARSE:
        kind, classes = DTYPES[config.dtype], min(widths)
        row = sum(sparse_row_bytes(each, top_k=config.top_k * each // classes, dtype=kind) for each in widths)
        kept, size = f"{kept}, {min(config.top_k, classes)} classes a row", num_examples * row
    elif config.placement == SHARDED:
        size = -(-num_examples // ranks) * (size // num_examples)
    elif config.placement == MAPPED:
        where = "disk"
    return f"{kept}, {size:,} bytes of {where}" + (f" in each of {ranks} processes" if ranks > 1 else "")
