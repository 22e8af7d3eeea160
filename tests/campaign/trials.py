"""What a trial is, and the list of all of them; each area of the campaign adds its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TRACEBACK, SILENT, HALF_WRITTEN, LOST, HANG = "traceback", "silent wrong answer", "half-written", "lost file", "hang"
UNCLEAR, DIFFERS, LEAK, EXECUTED = "unclear message", "differs", "leak", "executed or written outside"
KINDS = (TRACEBACK, SILENT, HALF_WRITTEN, LOST, HANG, UNCLEAR, DIFFERS, LEAK, EXECUTED)


class FaultFound(AssertionError):
    """What a trial found: its kind, and words with what was seen."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(f"{kind}: {words}")
        assert kind in KINDS, kind
        self.kind, self.words = kind, words


class NotHere(Exception):
    """A trial that this machine cannot make, with the reason (no tmpfs, no permission, another system)."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One way in which something goes wrong.

    Args:
        area: of the campaign, the name of its module.
        name: within the area.
        run: called with an empty folder and a generator of its own; raises `FaultFound`, or `NotHere`.
        repeats: how often it is run in a whole campaign, each time with another seed.
        quick: whether it is in the slice that the ordinary suite runs: a second or two, the same on every machine.
        seconds: after which it counts as hanging.
    """

    area: str
    name: str
    run: Callable[[Path, random.Random], None]
    repeats: int = 1
    quick: bool = False
    seconds: float = 300.0


TRIALS: list[Trial] = []


def trial(
    area: str, *, repeats: int = 1, quick: bool = False, seconds: float = 300.0
) -> Callable[[Callable[[Path, random.Random], None]], Callable[[Path, random.Random], None]]:
    """Add a function to the list; its name, without underscores, is that of the trial."""

    def add(run: Callable[[Path, random.Random], None]) -> Callable[[Path, random.Random], None]:
        name = run.__name__.replace("_", " ")
        assert all((each.area, each.name) != (area, name) for each in TRIALS), f"{area}: {name} is there already"
        TRIALS.append(Trial(area=area, name=name, run=run, repeats=repeats, quick=quick, seconds=seconds))
        return run

    return add


def need(condition: object, kind: str, words: str) -> None:
    """Raise a fault of a kind unless something holds."""
    if not condition:
        raise FaultFound(kind, words)
