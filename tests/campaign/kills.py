"""Commands killed at random moments: what is run again ends as if nothing had happened, and nothing else is lost."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from campaign.made import clusters
from campaign.outcomes import ELR, apart, contents, kept, no_leftovers
from campaign.trials import DIFFERS, HANG, TRACEBACK, UNCLEAR, FaultFound, need, trial

SIGNALS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}
TIMED = ("run.json", "report.html", "report.json", "metrics.jsonl", "README.md", "preprocessing.skops")
"""Files that say when and how long, or hold addresses in memory: not compared."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
_HERE = Path(tempfile.mkdtemp(prefix="elr-campaign-kills-"))
atexit.register(shutil.rmtree, _HERE, ignore_errors=True)


@cache
def data() -> Path:
    """A table, images, a grid of a bench, new rows and a finished run, made once."""
    folder = _HERE / "data"
    folder.mkdir()
    clusters(600, wrong=30).to_csv(folder / "d.csv", index=False)
    clusters(4000, seed=3).drop(columns="label").to_csv(folder / "new.csv", index=False)
    generator = np.random.default_rng(0)
    for number in range(80):
        path = folder / "pictures" / ("dark" if number % 2 else "light") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 90, size=(24, 24, 3)) + (0 if number % 2 else 150)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (folder / "grid.toml").write_text(
        'title = "killed"\ntraining = { epochs = 8, members = 1 }\n[[cells]]\ndata = "few"\nnoise = ["symmetric-0.4"]\n'
        'method = ["cross_entropy", "elr"]\nseed = [0, 1]\n[data.few]\npath = "d.csv"\nlabel = "label"\n'
    )
    result = apart("fit", "d.csv", "--label", "label", "--epochs", "4", "--out", "done", folder=folder)
    need(result.code == 0, UNCLEAR, result.words)
    return folder


FITS: dict[str, tuple[str, ...]] = {
    "a table by one network": ("d.csv", "--label", "label", "--members", "1", "--epochs", "120"),
    "a table by several networks": ("d.csv", "--label", "label", "--epochs", "12"),
    "a table by ELR+": ("d.csv", "--label", "label", "--method", "elr_plus", "--epochs", "60"),
    "a table in generations": ("d.csv", "--label", "label", "--members", "1", "--generations", "2", "--epochs", "60"),
    "images": ("pictures", "--epochs", "6"),
    "a table with tuning": ("d.csv", "--label", "label", "--members", "1", "--tune", "3", "--epochs", "10"),
}


def command_of(name: str) -> list[str]:
    given, *others = FITS[name]
    return ["fit", str(data() / given), *others, "--device", "cpu", "--seed", "3"]


def results(run: Path) -> dict[str, str]:
    """What of a run must be the same whenever it is finished."""
    return {name: digest for name, digest in contents(run).items() if Path(name).name not in TIMED}


@cache
def unbroken(name: str) -> tuple[dict[str, str], float]:
    """The results of a run that nobody disturbs, and how many seconds it takes."""
    out = _HERE / f"unbroken {name}"
    started = time.monotonic()
    outcome = apart(*command_of(name), "--out", out, folder=_HERE, env=ENVIRONMENT)
    need(outcome.code == 0, UNCLEAR, outcome.words)
    return results(out), time.monotonic() - started


def killed(
    command: list[str], folder: Path, *, after: float, by: signal.Signals, prefix: list[str] | None = None
) -> int:
    """Begin a command, send a signal to it and all that it began after so many seconds; its exit status."""
    with subprocess.Popen(
        [*(prefix or ELR), *command],
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            out, _ = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, by)
            try:
                out, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                raise FaultFound(HANG, f"not ended two minutes after {by.name}: {command}") from error
        words = out.decode("utf-8", "replace")
        begun = "usage:" in words.lower() or "read " in words.lower() or "results go to" in words.lower()
        if begun:  # before that it is the interpreter that speaks
            need("Traceback (most recent call last)" not in words, TRACEBACK, f"{by.name}: {words[-1500:]}")
        return process.returncode


def kill_of_a_fit(name: str) -> Callable[[Path, random.Random], None]:
    def run(folder: Path, generator: random.Random) -> None:
        expected, seconds = unbroken(name)
        before = contents(data())
        out, command = folder / "run", command_of(name)
        for _ in range(generator.choice([1, 1, 2])):
            by = generator.choice(list(SIGNALS))
            code = killed(
                [*command, "--out", str(out), "--resume"], folder, after=generator.uniform(1.5, seconds), by=by
            )
            need(code in (0, 1, *SIGNALS[by]), UNCLEAR, f"exit status {code} after {by.name}")
        outcome = apart(*command, "--out", out, "--resume", folder=folder, env=ENVIRONMENT)
        need(outcome.code == 0, UNCLEAR, f"it does not go on: {outcome.words}")
        found = results(out)
        other = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
        need(not other, DIFFERS, f"{name}: not as in an unbroken run: {', '.join(other)}")
        no_leftovers(folder)
        kept(before, data())

    return run


for _name in FITS:
    _trial = kill_of_a_fit(_name)
    _trial.__name__ = f"fit of {_name}"
    trial("kills", repeats=10, seconds=900)(_trial)


@trial("kills", repeats=6, seconds=1200)
def a_bench(folder: Path, generator: random.Random) -> None:
    command = ["bench", str(data() / "grid.toml"), "--out", str(folder / "out"), "--jobs", "2"]
    by = generator.choice(list(SIGNALS))
    killed(command, folder, after=generator.uniform(3.0, 25.0), by=by)
    outcome = apart(*command, folder=folder, env=ENVIRONMENT, seconds=600)
    need(outcome.code == 0, UNCLEAR, f"it does not go on: {outcome.words}")
    cells = list((folder / "out" / "cells").glob("*.json"))
    need(len(cells) == 4, DIFFERS, f"{len(cells)} cells of 4")
    accuracies = {path.name: pd.read_json(path, typ="series").get("status") for path in cells}
    need(set(accuracies.values()) == {"done"}, DIFFERS, f"cells: {accuracies}")
    need(not list((folder / "out" / "claims").iterdir()), DIFFERS, "claims stay behind")
    no_leftovers(folder)


@trial("kills", repeats=6, seconds=900)
def two_ranks(folder: Path, generator: random.Random) -> None:
    name = "a table by one network"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launcher += ["--rdzv-endpoint=localhost:0", "-m", "elr"]
    whole, broken = folder / "whole", folder / "broken"

    def run(out: Path) -> None:
        command = [*launcher, *command_of(name), "--out", str(out), "--resume"]
        result = subprocess.run(command, cwd=folder, env=os.environ | ENVIRONMENT, capture_output=True, timeout=400)
        words = result.stderr.decode("utf-8", "replace")[-1500:]
        need(result.returncode == 0, UNCLEAR, f"two ranks: {words}")

    started = time.monotonic()
    run(whole)
    by = generator.choice([signal.SIGKILL, signal.SIGTERM])
    after = generator.uniform(4.0, time.monotonic() - started)
    killed([*command_of(name), "--out", str(broken), "--resume"], folder, after=after, by=by, prefix=launcher)
    run(broken)
    need(results(whole) == results(broken), DIFFERS, f"two ranks after {by.name}: not as in an unbroken run")
    no_leftovers(folder)


READERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # the command, and what it writes
    "clean": (("clean", "run", "--out", "cleaned.csv"), ("cleaned.csv",)),
    "report": (("report", "run"), ("run/report.html",)),
    "predict": (("predict", "run", "new.csv", "--out", "p.csv"), ("p.csv",)),
    "export": (("export", "run", "--torch-export", "m.pt2"), ("m.pt2",)),
}


def kill_of_a_reader(name: str) -> Callable[[Path, random.Random], None]:
    command, written = READERS[name]

    def run(folder: Path, generator: random.Random) -> None:
        shutil.copytree(data() / "done", folder / "run")
        shutil.copy(data() / "new.csv", folder / "new.csv")
        shutil.copy(data() / "d.csv", folder / "d.csv")
        before = contents(folder)
        by = generator.choice(list(SIGNALS))
        code = killed([*command], folder, after=generator.uniform(1.0, 9.0), by=by)
        need(code in (0, 1, *SIGNALS[by]), UNCLEAR, f"exit status {code} after {by.name}")
        kept({file: digest for file, digest in before.items() if file not in written}, folder)
        ended = all((folder / file).exists() for file in written) and name != "report"
        again = apart(*command, folder=folder, env=ENVIRONMENT)
        if ended and again.code == 2:  # it was there already: whole, then
            need("exists" in again.err, UNCLEAR, again.words)
        else:
            need(again.code == 0, UNCLEAR, f"it cannot be run again: {again.words}")
            no_leftovers(folder)
        for file in written:
            need((folder / file).stat().st_size > 100, DIFFERS, f"{file} is empty")

    return run


for _name in READERS:
    _trial = kill_of_a_reader(_name)
    _trial.__name__ = f"elr {_name}"
    trial("kills", repeats=6)(_trial)
