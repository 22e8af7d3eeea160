"""Rows of targets in files, a part for each rank, which any number of ranks can read again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from elr.errors import CheckpointError

BLOCK = 2**24
"""Bytes that have a checksum of their own: whoever reads a few rows checks these alone."""
_FORMAT = "elr rows 1"
_ADVICE = "put back the whole folder, or go on from another checkpoint"


def part_name(rank: int, world: int, num_examples: int) -> str:
    """What the file of a rank is called, which says which rows it has.

    Example:
        >>> part_name(1, 4, 10)
        'rank-1-of-4-rows-3-to-6.safetensors'
    """
    first, last = part_of(rank, world, num_examples)
    return f"rank-{rank}-of-{world}-rows-{first}-to-{last}.safetensors"


def part_of(rank: int, world: int, num_examples: int) -> tuple[int, int]:
    """The first row of a rank, and the one after its last: ceil(N / world) of them, fewer at the end.

    Example:
        >>> [part_of(rank, 4, 10) for rank in range(4)]
        [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    each = -(-num_examples // world)
    return min(rank * each, num_examples), min((rank + 1) * each, num_examples)


def save_part(folder: Path, rows: Tensor, *, rank: int, world: int, num_examples: int) -> None:
    """Write the rows of a rank, with their checksums.

    Args:
        folder: an existing one.
        rows: (last - first, C), see `part_of`.
        rank: whose they are.
        world: of how many ranks.
        num_examples: N, rows of all ranks.

    Raises:
        OSError, SafetensorError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for rank in range(2):
        ...         save_part(folder, torch.full((2, 3), rank), rank=rank, world=2, num_examples=4)
        ...     load_part(folder, (1, 3), shape=(4, 3))
        tensor([[0, 0, 0],
                [1, 1, 1]])
    """
    rows = rows.detach().cpu().contiguous()
    block = max(1, BLOCK // max(1, rows.shape[1] * rows.itemsize))
    header = {
        "format": _FORMAT,
        "shape": json.dumps([num_examples, rows.shape[1]]),
        "world": str(world),
        "block": str(block),
        "checksums": json.dumps([_checksum(each) for each in rows.split(block)] if len(rows) else []),
    }
    save_file({"rows": rows}, folder / part_name(rank, world, num_examples), metadata=header)


def load_part(folder: Path, wanted: tuple[int, int], *, shape: tuple[int, int]) -> Tensor:
    """Read some rows, from whichever files have them; only these, but for what the checksums need.

    Args:
        folder: where all ranks wrote their parts.
        wanted: the first row, and the one after the last.
        shape: (N, C) of the whole table.

    Returns:
        (last - first, C) in the type that they were stored in, on the CPU.

    Raises:
        CheckpointError: a file is missing, truncated, damaged, or of another table; it is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     save_part(Path(name), torch.zeros(2, 3), rank=0, world=2, num_examples=4)
        ...     load_part(Path(name), (0, 2), shape=(4, 3))  # the other rank has not written its part
        Traceback (most recent call last):
        elr.errors.CheckpointError: ...rank-1-of-2-rows-2-to-4.safetensors is missing: ...
    """
    first, last = wanted
    found = sorted(folder.glob("rank-*.safetensors"))
    if not found:
        alone = part_name(0, 1, shape[0])
        raise CheckpointError(
            f"{folder} has no rows of targets: expected a file for each rank, {alone} of a run on one; {_ADVICE}"
        )
    header = _header(found[0], shape)
    world = int(header["world"])
    paths = [folder / part_name(rank, world, shape[0]) for rank in range(world)]
    others = [path for path in found if path not in paths]
    if others:
        raise CheckpointError(
            f"{found[0].name} is of {world} ranks, and {others[0]} beside it of others: expected the files of one "
            f"checkpoint; {_ADVICE}"
        )
    for path in paths:
        _header(path, shape)
    if first == last:
        return _read(paths[0], 0, 0)
    parts = []
    for rank, path in enumerate(paths):
        begin, end = part_of(rank, world, shape[0])
        if begin < last and first < end:
            parts.append(_read(path, max(first, begin) - begin, min(last, end) - begin))
    return torch.cat(parts)


def _header(path: Path, shape: tuple[int, int]) -> dict[str, str]:
    """What a file says of itself, if it is of this table."""
    if not path.exists():
        raise CheckpointError(f"{path} is missing: its rows of the targets are lost; {_ADVICE}")
    try:
        with _opened(path) as file:
            header: dict[str, str] = file.metadata() or {}
        found = tuple(json.loads(header["shape"])) if header.get("format") == _FORMAT else None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}): {_ADVICE}") from error
    if found != shape:
        raise CheckpointError(
            f"{path} is of another table ({found or 'no rows of targets'}): expected {shape[0]} rows of {shape[1]} "
            "classes; resume with the data that the checkpoint is of"
        )
    return header


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from elr.names import plain_name

    with plain_name(path) as named, safe_open(named, framework="pt") as file:
        yield file


def _read(path: Path, first: int, last: int) -> Tensor:
    """Rows of a file by its own count, with the blocks that they lie in checked."""
    try:
        with _opened(path) as file:
            header: dict[str, Any] = file.metadata()
            block, checksums = int(header["block"]), json.loads(header["checksums"])
            stored = file.get_slice("rows")
            count, classes = stored.get_shape()
            found: Tensor = stored[0:0]
            for number in range(first // block, -(-last // block)):
                begin = number * block
                rows = stored[begin : min(begin + block, count)]
                if _checksum(rows) != checksums[number]:
                    raise ValueError(f"rows from {begin} on have another checksum than when they were written")
                if not len(found):  # of the type that is stored
                    found = rows.new_empty(last - first, classes)
                part = rows[max(0, first - begin) : last - begin]
                start = max(begin, first) - first
                found[start : start + len(part)] = part
            return found
    except (OSError, SafetensorError, IndexError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}): {_ADVICE}") from error


def _checksum(rows: Tensor) -> int:
    whole: Any = rows.contiguous().view(torch.uint8).numpy()  # a buffer, which Python before 3.12 cannot say
    return zlib.crc32(whole) if rows.numel() else 0
