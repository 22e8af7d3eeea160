"""How `elr` is called in a trial, and what may come of it: the right result, or a refusal that helps."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from campaign.trials import HALF_WRITTEN, HANG, LOST, SILENT, TRACEBACK, UNCLEAR, FaultFound, need
from elr.cli.main import app

ELR = [sys.executable, "-m", "elr"]


@dataclass(frozen=True)
class Outcome:
    """What a command gave."""

    command: list[str]
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return f"elr {' '.join(self.command)} -> {self.code}\n{self.err[-1500:]}"


@contextmanager
def gone_to(folder: Path) -> Iterator[None]:
    """Work in a folder; contextlib has it from Python 3.11 on."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def inside(*arguments: object, folder: Path) -> Outcome:
    """A command in this process: quick, and an exception that escapes is a traceback."""
    command = [*map(str, arguments)]
    with gone_to(folder), warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner().invoke(app, command, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        lines = "".join(traceback.format_exception(result.exception))
        raise FaultFound(TRACEBACK, f"elr {' '.join(command)}\n{lines[-1500:]}")
    return checked(Outcome(command, result.exit_code, result.stdout, result.stderr))


def apart(*arguments: object, folder: Path, seconds: float = 240.0, **settings: Any) -> Outcome:
    """A command in a process of its own; `env` adds to the environment."""
    command = [*map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings.pop("env", {})
    try:
        result = subprocess.run(
            [*ELR, *command], cwd=folder, env=environment, capture_output=True, timeout=seconds, **settings
        )
    except subprocess.TimeoutExpired as error:
        raise FaultFound(HANG, f"elr {' '.join(command)} had not ended after {seconds:.0f} s") from error
    out, err = (each.decode("utf-8", "replace") for each in (result.stdout, result.stderr))
    return checked(Outcome(command, result.returncode, out, err))


def checked(outcome: Outcome) -> Outcome:
    """No command shows people a traceback, however it ends."""
    need("Traceback (most recent call last)" not in outcome.err, TRACEBACK, outcome.words)
    return outcome


def refused(outcome: Outcome, *words: str, out: Path | None = None) -> Outcome:
    """It must be a refusal of bad input, exit 2, that has these words (any case), and leaves no folder of a run."""
    need(outcome.code != 0, SILENT, f"expected a refusal: {outcome.words}")
    need(outcome.code == 2, UNCLEAR, f"expected exit status 2: {outcome.words}")
    for word in words:
        need(word.lower() in outcome.err.lower(), UNCLEAR, f"expected {word!r} in: {outcome.words}")
    if out is not None:
        need(not out.exists() or not any(out.iterdir()), HALF_WRITTEN, f"{out} was left behind: {outcome.words}")
    return outcome


def accepted(outcome: Outcome) -> dict[str, Any]:
    """It must be done, exit 0; what --json printed, {} without it."""
    need(outcome.code == 0, UNCLEAR, f"expected it to be done: {outcome.words}")
    lines = outcome.out.splitlines()
    return json.loads(lines[-1]) if "--json" in outcome.command and lines else {}


def right_or_refused(outcome: Outcome, *words: str, out: Path | None = None) -> dict[str, Any] | None:
    """Either is good: what was printed, or None where it was refused with these words."""
    if outcome.code == 0:
        return accepted(outcome)
    refused(outcome, *words, out=out)
    return None


def contents(folder: Path) -> dict[str, str]:
    """The files below a folder and a digest of each."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def kept(before: dict[str, str], folder: Path) -> None:
    """No file that was there is gone or other than it was."""
    now = contents(folder)
    gone = [name for name, digest in before.items() if now.get(name) != digest]
    need(not gone, LOST, f"gone or changed: {', '.join(gone[:5])}")


def no_leftovers(folder: Path) -> None:
    """Nothing temporary stays below a folder; what typer's runner holds of a command that failed is let go of first."""
    gc.collect()
    marks = (".partial", ".tmp", ".part", "~")
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(marks)]
    need(not found, HALF_WRITTEN, f"temporary files stayed: {', '.join(found[:5])}")
