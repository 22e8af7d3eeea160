"""Commands killed at random moments: what is run again ends as if nothing had happened, and nothing else is lost."""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from campaign.forked import forked
from campaign.made import clusters
from campaign.outcomes import contents, kept, no_leftovers
from campaign.trials import DIFFERS, HALF_WRITTEN, TRACEBACK, UNCLEAR, need, trial

SIGNALS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}
TIMED = ("run.json", "report.html", "report.json", "metrics.jsonl", "README.md", "preprocessing.skops", "tuning.sqlite")
"""Files that say when and how long, or hold addresses in memory: not compared."""
SENT: Counter[str] = Counter()
"""Signals that reached a command at work."""
HERE = Path(tempfile.mkdtemp(prefix="elr-campaign-kills-"))
_OWNER = os.getpid()


@atexit.register
def _end() -> None:
    if os.getpid() == _OWNER:
        shutil.rmtree(HERE, ignore_errors=True)
        if SENT:
            print(f"kills: {sum(SENT.values())} in all: {dict(SENT)}", file=sys.stderr)


@cache
def data() -> Path:
    """A table, images, a grid of a bench, new rows, finished runs and decisions about them, made once."""
    folder = HERE / "data"
    folder.mkdir()
    clusters(400, wrong=20).to_csv(folder / "d.csv", index=False)
    clusters(30_000, seed=3).drop(columns="label").to_csv(folder / "new.csv", index=False)
    generator = np.random.default_rng(0)
    for number in range(120):
        path = folder / "pictures" / ("dark" if number % 2 else "light") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 90, size=(24, 24, 3)) + (0 if number % 2 else 150)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (folder / "grid.toml").write_text(
        'title = "killed"\ntraining = { epochs = 4, members = 1 }\n[[cells]]\ndata = "few"\nnoise = ["symmetric-0.4"]\n'
        'method = ["cross_entropy", "elr"]\nseed = [0, 1]\n[data.few]\npath = "d.csv"\nlabel = "label"\n'
    )
    for name, given in (("done", ("d.csv", "--label", "label")), ("seen", ("pictures", "--network", "fast"))):
        code, words = forked(["fit", *given, "--epochs", "2", "--out", name], folder)
        need(code == 0, UNCLEAR, words)
        issues = pd.read_csv(folder / name / "issues.csv", dtype=str, keep_default_na=False).head(20)
        issues = issues.assign(id=issues.get("id", ""), decision="accept", label=issues["predicted_label"])
        columns = ["row", "id", "given_label", "decision", "label"]
        issues[columns].to_csv(folder / f"decisions of {name}.csv", index=False)
    return folder


def moment(out: Path, generator: random.Random, seconds: float) -> Callable[[], bool]:
    """When to send a signal: after a while of which training has most, or in the middle of writing something."""
    pattern = generator.choice(
        [None, None, "checkpoint.partial", "checkpoint-*", "checkpoint.partial/*.pt", ".*.partial", "model.safetensors"]
    )
    begun, wait = time.monotonic(), generator.uniform(0.02, seconds)
    waited = generator.choice([0.0, 0.0, 0.002, 0.02, 0.1])
    seen: list[float] = []

    def now() -> bool:
        if pattern is None:
            return time.monotonic() - begun > wait
        if not seen and out.exists() and next(iter(out.glob(pattern)), None) is not None:
            seen.append(time.monotonic())
        return bool(seen) and time.monotonic() - seen[0] >= waited

    return now


def killed(command: list[str], folder: Path, by: signal.Signals, until: Callable[[], bool]) -> int:
    """Begin a command and send a signal; it must end at once, without a traceback."""
    code, words = forked(command, folder, until=until, by=by)
    SENT[by.name] += code in SIGNALS[by]
    print(f"{by.name} -> {code}", file=sys.stderr)
    need("Traceback (most recent call last)" not in words, TRACEBACK, f"{by.name}: {words[-2500:]}")
    need(code in (0, *SIGNALS[by]), UNCLEAR, f"exit status {code} after {by.name}: {words[-1500:]}")
    if code in (130, 143) and "results go to" in words.lower():  # earlier it has not begun
        need("interrupted" in words, UNCLEAR, f"{by.name}: nothing is said of an interruption: {words[-800:]}")
    return code


TABLE = ("d.csv", "--label", "label")
CO_TEACHING = ("--members", "1", "--method", "co_teaching", "--set", "forget_rate=0.2")
FITS: dict[str, tuple[str, ...]] = {
    "a table by one network": (*TABLE, "--members", "1", "--epochs", "60"),
    "a table by several networks": (*TABLE, "--epochs", "5"),
    "a table by ELR+": (*TABLE, "--method", "elr_plus", "--epochs", "15"),
    "a table in generations": (*TABLE, "--members", "1", "--method", "joint_optimization", "--epochs", "16"),
    "a table by DivideMix": (*TABLE, "--members", "1", "--method", "dividemix", "--epochs", "8"),
    "a table by co-teaching": (*TABLE, *CO_TEACHING, "--epochs", "16"),
    "a table with mapped targets": (*TABLE, "--members", "1", "--targets", "mapped", "--epochs", "40"),
    "a table with sparse targets": (*TABLE, "--members", "1", "--targets", "sparse", "--epochs", "40"),
    "images": ("pictures", "--network", "fast", "--epochs", "3"),
    "images that are streamed": ("pictures", "--network", "fast", "--stream", "--epochs", "3"),
    "a table with tuning": (*TABLE, "--members", "1", "--tune", "3", "--epochs", "5"),
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
    out = HERE / f"unbroken {name}"
    started = time.monotonic()
    code, words = forked([*command_of(name), "--out", str(out)], HERE)
    need(code == 0, UNCLEAR, words)
    return results(out), time.monotonic() - started


def as_expected(name: str, out: Path, said: list[tuple[str, int]]) -> None:
    """The folder of a run that is done must be as if nobody had disturbed it."""
    expected, found = unbroken(name)[0], results(out)
    other = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
    need(not other, DIFFERS, f"{name}, after {said}: not as in an unbroken run: {', '.join(other)}")
    need(not list(out.glob("checkpoint*")), HALF_WRITTEN, f"{name}: checkpoints of a run that is done stay")


def kill_of_a_fit(name: str) -> Callable[[Path, random.Random], None]:
    def run(folder: Path, generator: random.Random) -> None:
        _, seconds = unbroken(name)
        before = contents(data())
        out = folder / "run"
        command = [*command_of(name), "--out", str(out), "--resume"]
        said = []
        for _ in range(generator.choice([7, 8, 9])):
            by = generator.choice(list(SIGNALS))
            said.append((by.name, killed(command, folder, by, moment(out, generator, seconds))))
            if said[-1][1] == 0:  # it was quicker: the next is killed anew
                as_expected(name, out, said)
                shutil.rmtree(out)
        code, words = forked(command, folder)
        need(code == 0, UNCLEAR, f"it does not go on after {said}: {words[-1500:]}")
        as_expected(name, out, said)
        no_leftovers(folder)
        kept(before, data())

    return run


for _name in FITS:
    _trial = kill_of_a_fit(_name)
    _trial.__name__ = f"fit of {_name}"
    trial("kills", repeats=4, seconds=900)(_trial)


@trial("kills", repeats=5, seconds=1200)
def a_bench(folder: Path, generator: random.Random) -> None:
    """Cells, claims and workers: killed twice, the table is that of an unbroken bench."""
    jobs = generator.choice(["1", "2"])
    command = ["bench", str(data() / "grid.toml"), "--jobs", jobs, "--threads", "1", "--out"]
    for _ in range(2):
        by = generator.choice(list(SIGNALS))
        cells = generator.choice([0, 0, 1, 2])
        begun, wait = time.monotonic(), generator.uniform(0.3, 8.0)

        def now(cells: int = cells, begun: float = begun, wait: float = wait) -> bool:
            there = len(list((folder / "out" / "cells").glob("*.json"))) if cells else 0
            return time.monotonic() - begun > wait if not cells else there >= cells

        killed([*command, str(folder / "out")], folder, by, now)
    code, words = forked([*command, str(folder / "out")], folder, seconds=600)
    need(code == 0, UNCLEAR, f"it does not go on: {words}")
    need(measured(folder / "out") == _whole_bench(), DIFFERS, "other measures than those of an unbroken bench")
    need(not list((folder / "out" / "claims").iterdir()), DIFFERS, "claims stay behind")
    no_leftovers(folder)


def measured(out: Path) -> dict[str, object]:
    """What the cells of a bench say that does not hang on the clock."""
    found = {}
    for path in sorted((out / "cells").glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        measures = {name: each for name, each in cell["measures"].items() if "seconds" not in name}
        found[path.name] = [cell["status"], {name: each for name, each in measures.items() if "bytes" not in name}]
    need(len(found) == 4, DIFFERS, f"{len(found)} cells of 4")
    return found


@cache
def _whole_bench() -> dict[str, object]:
    out = HERE / "whole bench"
    code, words = forked(["bench", str(data() / "grid.toml"), "--threads", "1", "--out", str(out)], HERE)
    need(code == 0, UNCLEAR, words)
    return measured(out)


READERS: dict[str, tuple[tuple[str, ...], str]] = {  # the command, and what it writes
    "clean of a table": (("clean", "done", "--decisions", "decisions of done.csv", "--out", "c.csv"), "c.csv"),
    "clean of images": (("clean", "seen", "--decisions", "decisions of seen.csv", "--out", "cleaned"), "cleaned"),
    "report": (("report", "done"), "done/report.html"),
    "predict": (("predict", "done", "new.csv", "--out", "p.csv"), "p.csv"),
    "export": (("export", "done", "--torch-export", "m.pt2"), "m.pt2"),
}


@cache
def _whole(name: str) -> tuple[dict[str, str], float]:
    """What such a command writes when nobody disturbs it, and how many seconds it takes."""
    command, written = READERS[name]
    folder = HERE / f"whole {name}"
    shutil.copytree(data(), folder)
    started = time.monotonic()
    code, words = forked([*command, *_moved(name)], folder)
    need(code == 0, UNCLEAR, words)
    return _written(folder / written), time.monotonic() - started


def _moved(name: str) -> list[str]:
    given = {"clean of a table": "d.csv", "clean of images": "pictures"}.get(name)
    return ["--data", given] if given else []


def _written(path: Path) -> dict[str, str]:
    if path.is_dir():
        return contents(path)
    found = contents(path.parent).get(path.name, "")
    return {path.name: found if path.suffix == ".csv" else f"{bool(found)}"}


def kill_of_a_reader(name: str) -> Callable[[Path, random.Random], None]:
    command, written = READERS[name]

    def run(folder: Path, generator: random.Random) -> None:
        expected, seconds = _whole(name)
        shutil.copytree(data(), folder, dirs_exist_ok=True)
        before = contents(folder)
        others = {file: digest for file, digest in before.items() if file != written}
        for _ in range(3):
            by = generator.choice(list(SIGNALS))
            begun, wait = time.monotonic(), generator.uniform(0.0, seconds)
            partial = generator.choice([True, False])

            def now(begun: float = begun, wait: float = wait, partial: bool = partial) -> bool:
                if partial and next(folder.glob("*.partial"), None) is not None:
                    return True
                return time.monotonic() - begun > wait

            code = killed([*command, *_moved(name)], folder, by, now)
            kept(others, folder)
            if (folder / written).exists() and name != "report":
                need(_written(folder / written) == expected, HALF_WRITTEN, f"{written} is not whole after {by.name}")
                break
        code, words = forked([*command, *_moved(name)], folder)
        if code == 2 and name != "report" and (folder / written).exists():  # it was there already: whole, then
            need("exists" in words, UNCLEAR, words)
            return
        need(code == 0, UNCLEAR, f"it cannot be run again: {words}")
        need(_written(folder / written) == expected, DIFFERS, f"{written} is not that of an unbroken command")
        no_leftovers(folder)

    return run


for _name in READERS:
    _trial = kill_of_a_reader(_name)
    _trial.__name__ = f"elr {_name}"
    trial("kills", repeats=5)(_trial)
