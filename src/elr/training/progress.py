"""How far a run has come: for whoever shows it, and line by line in metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elr.errors import ArtifactError
from elr.files import without_nan, write_text, writing

Measures = dict[str, float | int]
"""Measures of an epoch."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, for whoever shows it.

    Args:
        step: batches done so far in the whole run.
        total: batches of the whole run.
        epoch: epochs finished.
        epochs: epochs of the whole run.
        record: measures of the last finished epoch, empty before the first.

    Example:
        >>> now = Progress(step=30, total=120, epoch=2, epochs=8, record={"loss": 0.25})
        >>> f"{now.step / now.total:.0%} done, loss {now.record['loss']}"
        '25% done, loss 0.25'
    """

    step: int
    total: int
    epoch: int
    epochs: int
    record: Measures


def are_records(history: Any) -> bool:
    """Whether these are the measures of epochs from the first on, each with its number and seconds.

    Example:
        >>> are_records([{"epoch": 1, "seconds": 0.5}]), are_records([{"epoch": 2, "seconds": 0.5}]), are_records({})
        (True, False, False)
    """
    return isinstance(history, list) and all(
        isinstance(record, dict)
        and all(type(value) in (int, float) for value in record.values())
        and record.get("epoch") == number
        and 0.0 <= record.get("seconds", -1.0) < math.inf
        for number, record in enumerate(history, 1)
    )


def parts(count: int, *, most: int = 2**16) -> Iterator[slice]:
    """All rows, some at a time, so that what is computed of them takes little memory.

    Example:
        >>> list(parts(5, most=3))
        [slice(0, 3, None), slice(3, 6, None)]
    """
    return (slice(start, start + most) for start in range(0, count, most))


def ratio(count: int, among: int) -> float:
    """So many of them; NaN of none.

    Example:
        >>> ratio(1, 4), ratio(0, 0)
        (0.25, nan)
    """
    return count / among if among else math.nan


def agreement_by_chance(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The share of equal classes that is expected of classes so frequent that have nothing in common.

    Args:
        predicted: (N,) classes; rows where they are below 0 do not count.
        labels: (N,) classes.

    Returns:
        NaN where no row counts.

    Example:
        >>> agreement_by_chance(np.array([0, 0, 1, 1, -1]), np.array([0, 2, 2, 1, 1]))
        0.25
    """
    counts, seen = [np.zeros(0, dtype=np.int64)] * 2, 0
    for part in parts(len(labels)):
        rows = predicted[part] >= 0
        seen += int(np.count_nonzero(rows))
        for which, classes in enumerate((predicted, labels)):
            found = np.bincount(classes[part][rows], minlength=len(counts[which]))
            found[: len(counts[which])] += counts[which]
            counts[which] = found
    most = min(map(len, counts))  # a class that only one of them has counts for nothing
    return float((counts[0][:most] / seen) @ (counts[1][:most] / seen)) if seen else math.nan


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write objects as JSON, one a line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_lines(Path(folder) / "m.jsonl", [{"epoch": 1}, {"epoch": 2}])
        ...     print((Path(folder) / "m.jsonl").read_text(), end="")
        {"epoch": 1}
        {"epoch": 2}
    """
    write_text(path, "".join(json_line(record) + "\n" for record in records))


def append_line(path: Path, line: str) -> None:
    """Add one line to a file, and hand it to the operating system before going on.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_lines(Path(folder) / "m.jsonl", [{"epoch": 1}])
        ...     append_line(Path(folder) / "m.jsonl", json_line({"epoch": 2}))
        ...     read_lines(Path(folder) / "m.jsonl")
        [{'epoch': 1}, {'epoch': 2}]
    """
    with writing(path), path.open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


def json_line(record: Mapping[str, Any]) -> str:
    """An object as JSON in one line, numbers that are not finite as null.

    Example:
        >>> json_line({"epoch": 1, "change": float("nan")})
        '{"epoch": 1, "change": null}'
    """
    return json.dumps(without_nan(dict(record)), allow_nan=False)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read objects, one a line.

    Raises:
        ArtifactError: no such file, or damaged.

    Example:
        >>> read_lines(Path("no-such-run") / "metrics.jsonl")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run/metrics.jsonl cannot be read (...): the run is incomplete or damaged
    """
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(each, dict) for each in found):
            raise ValueError("a line is no JSON object")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error
