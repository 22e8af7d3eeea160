"""Two ranks under torchrun, of which one is killed, or all, or only what launched them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from campaign.forked import ENVIRONMENT
from campaign.kills import HERE, SENT, command_of, data, moment, results
from campaign.outcomes import contents, kept, no_leftovers
from campaign.trials import DIFFERS, HALF_WRITTEN, HANG, TRACEBACK, UNCLEAR, FaultFound, need, trial

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
LAUNCH += ["--rdzv-endpoint=localhost:0", "-m", "elr"]
PLACEMENTS = ("dense", "mapped", "sharded", "sparse")
ENDS = 90.0
"""Seconds in which all ranks must have ended after one of them was killed."""


def command(placement: str) -> list[str]:
    return [*command_of("a table by one network"), "--epochs", "100", "--targets", placement, "--resume"]


class Launched:
    """Two ranks of a command, and what they said."""

    def __init__(self, placement: str, out: Path, folder: Path) -> None:
        self.words = folder / "words.txt"
        with self.words.open("w") as words:
            self.process = subprocess.Popen(
                [*LAUNCH, *command(placement), "--out", str(out)],
                cwd=folder,
                env=os.environ | ENVIRONMENT | {"TERM": "dumb", "PYTHONFAULTHANDLER": "1"},
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        self.begun = time.monotonic()
        self.ranks: dict[int, psutil.Process] = {}

    @property
    def said(self) -> str:
        return self.words.read_text(errors="replace")

    def look(self) -> None:
        """Take note of the ranks, as long as it takes until they are there."""
        if len(self.ranks) < 2:
            with suppress(psutil.Error):
                for each in psutil.Process(self.process.pid).children(recursive=True):
                    rank = each.environ().get("RANK")
                    if rank is not None:
                        self.ranks.setdefault(int(rank), each)

    def alive(self) -> list[psutil.Process]:
        """The ranks that have not ended."""
        return [each for each in self.ranks.values() if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    def ended(self, until: Callable[[], bool] = lambda: False, act: Callable[[], None] = lambda: None) -> int:
        """Wait for the end, and act once something holds; the exit status."""
        acted: float | None = None
        while self.process.poll() is None:
            self.look()
            if acted is None and len(self.ranks) == 2 and until():
                act()
                acted = time.monotonic()
            late = time.monotonic() - self.begun > 300 or (acted is not None and time.monotonic() - acted > ENDS)
            if late:
                raise FaultFound(HANG, f"two ranks had not ended (acted: {acted is not None}): {self.stacks()}")
            time.sleep(0.001)
        return self.process.returncode

    def stacks(self) -> str:
        """End all that has not, which says where each of its threads stood."""
        said, stacks, launcher = self.said, [], psutil.Process(self.process.pid)
        with suppress(psutil.Error):
            launcher.suspend()  # or it would end the others when the first has
        for name, each in [*self.ranks.items(), ("torchrun", launcher)]:
            had = len(self.said)
            with suppress(psutil.Error):
                each.send_signal(signal.SIGABRT)
                each.resume()
                each.wait(20)
            told = self.said[had:].partition("Extension modules")[0]
            stacks.append(f"{name} stood at: {told[-3000:]}" if told else f"{name} has ended")
        self.end()
        return "\n".join([said[-1500:], *stacks])

    def end(self) -> None:
        """Let nothing of it go on."""
        for each in [*self.alive(), self.process]:
            with suppress(psutil.Error, ProcessLookupError):
                each.kill()
        self.process.wait()


@cache
def unbroken(placement: str) -> tuple[dict[str, str], float]:
    """The results of two ranks that nobody disturbs, and how many seconds they take."""
    folder = HERE / f"two ranks {placement}"
    folder.mkdir()
    launched = Launched(placement, folder / "run", folder)
    code = launched.ended()
    need(code == 0, UNCLEAR, launched.said[-2500:])
    return results(folder / "run"), time.monotonic() - launched.begun


def at_work(launched: Launched, out: Path, generator: random.Random) -> Callable[[], bool]:
    """A moment after the data are read: while networks are trained, or within a checkpoint."""
    found: list[Callable[[], bool]] = []

    def now() -> bool:
        if not found and "Learned from" in launched.said:
            found.append(moment(out, generator, 4.0))
        return bool(found) and found[0]()

    return now


def goes_on(placement: str, folder: Path, said: list[str]) -> None:
    """Run again without a kill, it ends as if nothing had happened."""
    launched = Launched(placement, folder / "run", folder)
    code = launched.ended()
    need(code == 0, UNCLEAR, f"it does not go on after {said}: {launched.said[-2500:]}")
    expected, found = unbroken(placement)[0], results(folder / "run")
    other = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    need(not other, DIFFERS, f"{placement}, after {said}: {', '.join(other)}")
    need(not list((folder / "run").glob("checkpoint*")), HALF_WRITTEN, "checkpoints of a run that is done stay")
    no_leftovers(folder)


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("checkpoint-*"))


@trial("kills_ranks", repeats=8, seconds=900)
def one_rank_is_killed(folder: Path, generator: random.Random) -> None:
    """The other ends by itself, what was the last checkpoint is one still, and the run goes on from there."""
    placement = generator.choice(PLACEMENTS)
    unbroken(placement)
    before, out, said = contents(data()), folder / "run", []
    for _ in range(3):
        by, rank = generator.choice([signal.SIGKILL, signal.SIGTERM]), generator.randrange(2)
        launched = Launched(placement, out, folder)
        had: list[str] = []

        def act(launched: Launched = launched, by: int = by, rank: int = rank, had: list[str] = had) -> None:
            with suppress(psutil.Error):
                launched.ranks[rank].send_signal(by)
            had.extend(checkpoints(out))

        code = launched.ended(at_work(launched, out, generator), act)
        said.append(f"{by.name} to rank {rank} -> {code}")
        if code == 0:  # it was quicker
            break
        SENT[f"{by.name} to one of two ranks"] += 1
        need(not launched.alive(), HANG, f"{said}: a rank goes on by itself")
        done = '"status": "complete"' in (out / "run.json").read_text() if (out / "run.json").exists() else False
        need(done or not had or checkpoints(out), HALF_WRITTEN, f"{said}: {had} gone, and none in its place")
        own = launched.said.partition("torch/distributed/elastic")[0]
        need("Traceback (most recent call last)" not in own, TRACEBACK, f"{said}: {own[-2500:]}")
    goes_on(placement, folder, said)
    kept(before, data())


@trial("kills_ranks", repeats=4, seconds=900)
def what_launched_them_is_killed(folder: Path, generator: random.Random) -> None:
    """By SIGKILL the ranks know nothing of it: as long as they are at work, nobody else is let into the folder."""
    placement = generator.choice(PLACEMENTS)
    unbroken(placement)
    said = []
    for _ in range(2):
        by = generator.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        launched = Launched(placement, folder / "run", folder)
        until = at_work(launched, folder / "run", generator)
        code = launched.ended(until, lambda launched=launched, by=by: launched.process.send_signal(by))
        said.append(f"{by.name} to torchrun -> {code}")
        if code == 0:
            break
        SENT[f"{by.name} to torchrun"] += 1
        if launched.alive():  # orphans
            again = Launched(placement, folder / "run", folder)
            orphans = launched.alive()
            code = again.ended()
            told = any(words in again.said for words in ("another process is at work", "the state of the folder"))
            need(code == 0 or told, UNCLEAR, f"{said}: {again.said[-2500:]}")
            began = time.monotonic()
            while launched.alive():
                need(time.monotonic() - began < 120, HANG, f"{said}: {orphans} do not end")
                time.sleep(0.05)
    goes_on(placement, folder, said)
