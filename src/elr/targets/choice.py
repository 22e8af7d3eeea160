"""Which store of targets suits a run, by its size."""

from __future__ import annotations

from collections.abc import Sequence

from elr.errors import ArgumentError
from elr.targets.config import (
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
) -> tuple[TargetsConfig, str]:
    """The store for a run, and a sentence that says it with its bytes, where there is something to say.

    Of "auto", in this order: dense in float32 where all tables take at most SHARE of the memory; dense in bfloat16
    where that does; sharded in bfloat16 under several ranks; else mapped in bfloat16.

    Args:
        num_examples: N, rows of the training set.
        widths: targets of a row in each store of the method: C, or C for each of networks that lie side by side; empty
            for a method that has none.
        memory: bytes that may be used.
        targets: a placement, or "auto".
        dtype: of what is stored. Default: by the rule above; of a placement that is given bfloat16 for "sparse" and
            "mapped", float32 for the others.
        ranks: processes that train together.

    Example:
        >>> chosen_targets(50_000, [10], memory=8 * 10**9)[0].placement
        'dense'
        >>> config, sentence = chosen_targets(10_000_000, [1000], memory=8 * 10**9)
        >>> print(sentence)
        the targets are kept as mapped ones in bfloat16, 20,000,000,000 bytes of disk: in memory they would take \
40,000,000,000 bytes as float32 and 8,000,000,000 may be used
    """
    check_choice(targets, dtype)
    per_row = sum(widths)
    if targets != AUTO:
        kind = dtype or _DEFAULT_DTYPES.get(targets, "float32")
        config = TargetsConfig(placement=targets, dtype="float32" if targets == STATELESS else kind)
        return config, _sentence(config, num_examples, widths, ranks=ranks, given=True)
    room = int(SHARE * memory)
    for kind in ("float32", "bfloat16") if dtype is None else (dtype,):
        if num_examples * per_row * DTYPES[kind].itemsize <= room:
            config = TargetsConfig(dtype=kind)
            break
    else:
        placement = SHARDED if ranks > 1 else MAPPED
        config = TargetsConfig(placement=placement, dtype=dtype or "bfloat16")
    sentence = _sentence(config, num_examples, widths, ranks=ranks, given=False)
    if config.placement != DENSE_PLACEMENT or (dtype is None and config.dtype != "float32"):
        full = num_examples * per_row * DTYPES["float32"].itemsize
        sentence += f": in memory they would take {full:,} bytes as float32 and {memory:,} may be used"
    return config, sentence


def _sentence(config: TargetsConfig, num_examples: int, widths: Sequence[int], *, ranks: int, given: bool) -> str:
    plain = config.placement == DENSE_PLACEMENT and (given or config.dtype == "float32")
    size = num_examples * sum(widths) * DTYPES[config.dtype].itemsize
    if not widths or (plain and size < LARGE):
        return ""
    if config.placement == STATELESS:
        return f"{TARGETS_ARE}not kept (stateless): the averaged weights say what they would"
    where = {MAPPED: " of disk", SHARDED: f" over {ranks} process{'es' * (ranks > 1)}", DENSE_PLACEMENT: " of memory"}
    kept = f"{TARGETS_ARE}kept as {config.placement} ones in {config.dtype}"
    if config.placement == SPARSE:
        kind, classes = DTYPES[config.dtype], min(widths)
        row = sum(sparse_row_bytes(each, top_k=config.top_k * each // classes, dtype=kind) for each in widths)
        return f"{kept}, {min(config.top_k, classes)} classes a row, {num_examples * row:,} bytes of memory"
    return f"{kept}, {size:,} bytes{where[config.placement]}"
