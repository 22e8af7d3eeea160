"""Several commands on the folder of one run at the same time: one of them has it, the others are told so."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from campaign.kills import results
from campaign.made import clusters
from campaign.outcomes import ELR, accepted, apart, inside, no_leftovers
from campaign.system import FIT
from campaign.trials import DIFFERS, HANG, SILENT, UNCLEAR, need, trial

LONG = (*FIT, "d.csv", "--members", "1", "--epochs", "150", "--out", "run")


def begun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that goes on by itself."""
    return subprocess.Popen(
        [*ELR, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def both(folder: Path, *arguments: str) -> list[tuple[int, str]]:
    """What two processes with the same command gave, in the order of their exit statuses."""
    processes = [begun(folder, *arguments) for _ in range(2)]
    ended = [(each.communicate(timeout=250)[1], each.returncode) for each in processes]
    return sorted((code, words) for words, code in ended)


def whole(folder: Path, *command: str) -> dict[str, str]:
    """The results of the same run, which nobody else is at."""
    accepted(inside(*command[:-1], "alone", folder=folder))
    return results(folder / "alone")


def checkpoint_of(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run has a checkpoint."""
    started = time.monotonic()
    while next(iter(run.glob("checkpoint-*")), None) is None:
        need(process.poll() is None, SILENT, "it ended before it had a checkpoint")
        need(time.monotonic() - started < 200, HANG, "no checkpoint")
        time.sleep(0.005)


@trial("system_at_once", repeats=2, seconds=300)
def two_that_begin(folder: Path, _: random.Random) -> None:
    clusters(400).to_csv(folder / "d.csv", index=False)
    command = (*FIT, "d.csv", "--out", "run")
    ended = both(folder, *command)
    codes = [code for code, _ in ended]
    need(codes != [0, 0], SILENT, "both say that they wrote the folder")
    need(codes == [0, 2], DIFFERS, f"exit statuses {codes}: {[words[-600:] for _, words in ended]}")
    need(results(folder / "run") == whole(folder, *command), DIFFERS, "the folder is not that of one run")


@trial("system_at_once", repeats=4, seconds=300)
def two_that_go_on(folder: Path, generator: random.Random) -> None:
    """Both with --resume, after a kill: they would write one another's checkpoints."""
    clusters(400).to_csv(folder / "d.csv", index=False)
    first = begun(folder, *LONG)
    checkpoint_of(folder / "run", first)
    time.sleep(generator.uniform(0.0, 0.5))
    first.kill()
    first.communicate()
    ended = both(folder, *LONG, "--resume")
    codes = [code for code, _ in ended]
    need("Traceback" not in ended[1][1] + ended[0][1], UNCLEAR, f"{[words[-1500:] for _, words in ended]}")
    need(codes in ([0, 0], [0, 2]), DIFFERS, f"exit statuses {codes}: {[words[-600:] for _, words in ended]}")
    if codes == [0, 2]:  # else one came when the other was done: it gives back what is there
        need("another process" in ended[1][1], UNCLEAR, ended[1][1][-600:])
    need(results(folder / "run") == whole(folder, *LONG), DIFFERS, "the folder is not that of one run")
    no_leftovers(folder)


@trial("system_at_once", repeats=2, seconds=300)
def one_that_goes_on_while_the_first_is_at_work(folder: Path, generator: random.Random) -> None:
    clusters(400).to_csv(folder / "d.csv", index=False)
    first = begun(folder, *(*LONG[:-3], "1500", *LONG[-2:]))
    checkpoint_of(folder / "run", first)
    time.sleep(generator.uniform(0.0, 0.5))
    outcome = apart(*LONG[:-3], "1500", *LONG[-2:], "--resume", folder=folder)
    running = first.poll() is None
    words = first.communicate(timeout=250)[1]
    need(first.returncode == 0, DIFFERS, f"the first was disturbed: {words[-1500:]}")
    if running or outcome.code:
        need(outcome.code == 2, SILENT, outcome.words)
        need("another process" in outcome.err and "run" in outcome.err, UNCLEAR, outcome.words)
    alone = whole(folder, *LONG[:-3], "1500", *LONG[-2:])
    need(results(folder / "run") == alone, DIFFERS, "the folder is not that of one run")
