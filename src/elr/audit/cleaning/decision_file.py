"""decisions.csv: what a person decided on the rows of a run, as the report exports it or another tool writes it."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elr.errors import DataError
from elr.names import printable

COLUMNS = ("row", "id", "given_label", "decision", "label")
RUN_COLUMN = "run"
"""In exports of the report: which run was decided on."""
DECISIONS = ("accept", "keep", "relabel")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line of decisions.csv.

    Args:
        line: where it stands in the file, from 1.
        row: row of the data, from 0.
        id: name of the row, maybe clipped; "" if it has none.
        given_label: label in the data.
        decision: accept, keep or relabel.
        label: what it shall be.

    Example:
        >>> one = Decision(line=2, row=7, id="a.png", given_label="cat", decision="accept", label="dog")
        >>> one.label != one.given_label
        True
    """

    line: int
    row: int
    id: str
    given_label: str
    decision: str
    label: str


def run_name(run: Mapping[str, Any]) -> str:
    """What decisions call a run, wherever its folder lies: different for each run, the same for good.

    Args:
        run: its run.json.

    Example:
        >>> run = {"created": "2026-01-31", "command": "elr fit a.csv", "config": {}, "data": {"sha256": "7"}}
        >>> run_name(run), run_name(run | {"command": "elr fit a.csv --seed 1"})
        ('b30e3f7d28fd9670', '5ac7609c28b4822c')
    """
    told = [run["created"], run["command"], run["config"], run["data"]["sha256"]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def read_decisions(path: Path, *, run: str, folder: Path) -> list[Decision]:
    """The lines of decisions.csv; texts come exactly as they were exported.

    Args:
        path: the file.
        run: the name of the run that they must be on, where they say on which (`run_name`).
        folder: of that run, for messages.

    Raises:
        DataError: no such file, a damaged one, or one of another run.

    Example:
        >>> read_decisions(Path("absent.csv"), run="", folder=Path("run"))
        Traceback (most recent call last):
        elr.errors.DataError: absent.csv cannot be read (No such file or directory): export decisions.csv from ...
    """
    name = printable(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, [])
            if tuple(header) not in (COLUMNS, (*COLUMNS, RUN_COLUMN)):
                raise DataError(
                    f"{name} has the columns {', '.join(header) or 'of no file'}: expected {','.join(COLUMNS)}"
                )
            found = [(_decision(cells, header, reader.line_num, name), cells[-1]) for cells in reader if cells]
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): export decisions.csv from the report") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{name} is damaged ({error}): export decisions.csv from the report again") from error
    other = next((each for each in found if len(header) > len(COLUMNS) and each[1] not in ("", run)), None)
    if other is not None:
        raise DataError(
            f"line {other[0].line} of {name} was decided on another run ({other[1][:40]!r}) than that in {folder} "
            f"({run!r}): export decisions.csv from the report in {folder}; to take these over on purpose, remove the "
            f"column {RUN_COLUMN!r}, and each is held against this run"
        )
    return [decision for decision, _ in found]


def _decision(cells: Sequence[str], header: Sequence[str], line: int, name: str) -> Decision:
    if len(cells) != len(header):
        raise DataError(f"line {line} of {name} has {len(cells)} cells: expected {len(header)}, {','.join(header)}")
    row, id_, given, decision, label = cells[: len(COLUMNS)]
    if not (row.isascii() and row.isdigit() and len(row) < 19):
        raise DataError(f"line {line} of {name} has row {row[:80]!r}: expected the number of a row, from 0")
    if decision not in DECISIONS:
        raise DataError(f"line {line} of {name} has decision {decision[:80]!r}: expected {', '.join(DECISIONS)}")
    return Decision(line=line, row=int(row), id=id_, given_label=given, decision=decision, label=label)
