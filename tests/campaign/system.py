"""The disk and the system: full, read-only, gone, out of memory or files, clocks that jump, names from everywhere."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from campaign.kills import results
from campaign.made import clusters
from campaign.outcomes import ELR, Outcome, accepted, apart, checked, contents, inside, kept, no_leftovers, refused
from campaign.trials import DIFFERS, HALF_WRITTEN, LOST, SILENT, UNCLEAR, FaultFound, NotHere, need, trial

FIT = ("fit", "--label", "label", "--device", "cpu", "--epochs", "3", "--seed", "3")


@contextmanager
def small_disk(at: Path, *, kilobytes: int, options: str = "") -> Iterator[Path]:
    """A file system of that size in memory, where this user may mount one."""
    at.mkdir(parents=True, exist_ok=True)
    settings = f"size={kilobytes}k,nr_inodes=2k{options}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "tmpfs", str(at)], capture_output=True, check=False)
    if made.returncode:
        raise NotHere("this user may not mount a small file system")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def decided(folder: Path, out: Path | str) -> list[str]:
    """The options of `elr clean` with a decision to accept the first suspects of a run."""
    issues = pd.read_csv(folder / out / "issues.csv", dtype=str, keep_default_na=False).head(5)
    issues = issues.assign(id=issues.get("id", ""), decision="accept", label=issues["predicted_label"])
    issues[["row", "id", "given_label", "decision", "label"]].to_csv(folder / "decisions.csv", index=False)
    return ["--decisions", "decisions.csv"]


def failed(outcome: Outcome, *words: str) -> Outcome:
    """It must end with an error in words, whichever status it has."""
    need(outcome.code in (1, 2), SILENT if outcome.code == 0 else UNCLEAR, outcome.words)
    need("error:" in outcome.err, UNCLEAR, outcome.words)
    for word in words:
        need(word.lower() in outcome.err.lower(), UNCLEAR, f"expected {word!r} in: {outcome.words}")
    return outcome


@trial("system", repeats=8, seconds=400)
def disk_full_while_fitting(folder: Path, generator: random.Random) -> None:
    """Also while targets are mapped into a file, and while checkpoints are written."""
    clusters(2000).to_csv(folder / "d.csv", index=False)
    mapped = generator.choice([(), ("--members", "1", "--targets", "mapped", "--epochs", "20")])
    command = (*FIT, "d.csv", *mapped)
    accepted(inside(*command, "--out", "whole", folder=folder))
    with small_disk(folder / "disk", kilobytes=generator.choice([4, 40, 100, 200, 300, 500, 800])) as disk:
        outcome = inside(*command, "--out", "disk/run", folder=folder)
        if outcome.code == 0:
            need(results(disk / "run") == results(folder / "whole"), DIFFERS, "other results on a small disk")
            return
        failed(outcome, "full", "disk/run")
        no_leftovers(disk)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        accepted(inside(*command, "--out", "disk/run", "--resume", folder=folder))
        need(results(disk / "run") == results(folder / "whole"), DIFFERS, "resumed after a full disk: other results")
        no_leftovers(disk)


@trial("system", repeats=6, seconds=400)
def disk_full_while_reading_a_run(folder: Path, generator: random.Random) -> None:
    clusters(3000).to_csv(folder / "d.csv", index=False)
    accepted(inside(*FIT, "d.csv", "--out", "run", folder=folder))
    with small_disk(folder / "disk", kilobytes=generator.choice([4, 16, 40])) as disk:
        for command in (
            ("predict", "run", "d.csv", "--out", "disk/p.csv"),
            ("clean", "run", *decided(folder, "run"), "--out", "disk/c.csv"),
            ("export", "run", "--torch-export", "disk/m.pt2"),
        ):
            failed(inside(*command, folder=folder), "full", command[-1])
            need(not any(disk.iterdir()), HALF_WRITTEN, f"{command[0]} left {[each.name for each in disk.iterdir()]}")


@trial("system", seconds=400)
def disk_full_while_a_report_is_written_again(folder: Path, _: random.Random) -> None:
    clusters(800).to_csv(folder / "d.csv", index=False)
    accepted(inside(*FIT, "d.csv", "--out", "run", folder=folder))
    size = sum(path.stat().st_size for path in (folder / "run").iterdir()) // 1024
    with small_disk(folder / "disk", kilobytes=size + 120) as disk:
        shutil.copytree(folder / "run", disk / "run")
        (disk / "filling").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 8192)))
        before = contents(disk)
        failed(inside("report", "disk/run", folder=folder), "full")
        kept(before, disk)
        no_leftovers(disk)


@trial("system", seconds=300)
def folder_that_may_not_be_written(folder: Path, _: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False)
    accepted(inside(*FIT, "d.csv", "--out", "run", folder=folder))
    with small_disk(folder / "disk", kilobytes=4000) as disk:
        shutil.copytree(folder / "run", disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused(inside(*FIT, "d.csv", "--out", "disk/new", folder=folder), "disk/new", "read-only")
        failed(inside("report", "disk/run", folder=folder), "read-only")
        accepted(inside("audit", "disk/run", folder=folder))
        accepted(inside("predict", "disk/run", "d.csv", "--out", "p.csv", folder=folder))


@trial("system", repeats=2, seconds=300)
def folder_that_vanishes_in_the_middle(folder: Path, generator: random.Random) -> None:
    clusters(1500).to_csv(folder / "d.csv", index=False)
    out = folder / "run"
    ended = threading.Event()
    wait = generator.uniform(0.0, 0.4)

    def remove() -> None:
        while not ended.is_set():
            if (out / "metrics.jsonl").exists():
                time.sleep(wait)
                shutil.rmtree(out, ignore_errors=True)
                return
            time.sleep(0.005)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        outcome = inside(*FIT, "d.csv", "--members", "1", "--epochs", "150", "--out", "run", folder=folder)
    finally:
        ended.set()
        thread.join()
    if outcome.code == 0 and (out / "issues.csv").exists() and (out / "run.json").exists():
        return  # it was quicker
    failed(outcome, "run")


def limited(command: list[str], folder: Path, kind: int, most: int) -> Outcome:
    """A command in a process that may have so much of something."""
    result = subprocess.run(
        [*ELR, *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=280,
        check=False,
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
    )
    out, err = (each.decode("utf-8", "replace") for each in (result.stdout, result.stderr))
    return Outcome(command, result.returncode, out, err)


@trial("system", repeats=2, seconds=300)
def out_of_memory_while_reading(folder: Path, generator: random.Random) -> None:
    """Arrays of gigabytes do not fit: words with what is to be done, and no folder."""
    with (folder / "x.npy").open("wb") as file:  # a hole, no bytes on the disk
        head = {"descr": "<f4", "fortran_order": False, "shape": (400_000, 10_000)}
        np.lib.format.write_array_header_1_0(file, head)
        file.truncate(file.tell() + 400_000 * 10_000 * 4)
    np.save(folder / "y.npy", np.arange(400_000) % 2)
    most = generator.choice([6, 8]) * 2**30
    command = [*FIT[:1], *FIT[3:], "x.npy", "--label", "y.npy", "--out", "run"]
    outcome = limited(command, folder, resource.RLIMIT_AS, most)
    checked(failed(outcome, "memory"))
    need("x.npy does not fit" in outcome.err or "not enough memory" in outcome.err, UNCLEAR, outcome.words)
    need(not (folder / "run").exists(), HALF_WRITTEN, "a folder was left behind")


_LITTLE = """
import importlib, pkgutil, re, resource, sys
from pathlib import Path
import elr, skops.io, jinja2
for found in pkgutil.walk_packages(elr.__path__, "elr."):
    if not found.name.startswith(("elr.integrations", "elr.__main__")):
        importlib.import_module(found.name)
from elr.cli.main import main
taken = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]) * 2**20,) * 2)
sys.argv = ["elr", *sys.argv[2:]]
main()
"""


@trial("system", repeats=4, seconds=600)
def out_of_memory_in_the_middle(folder: Path, generator: random.Random) -> None:
    """With so much more than what is loaded: done, or words; and what had begun goes on where there is more.

    elr is not held to what comes after its words, where torch finds no memory for its own at the end of the process
    (`dump_compile_times`), nor to words where a library ends the process by itself: safetensors does (SIGABRT, "memory
    allocation of 1048576 bytes failed"), and nobody in it can catch that. It goes on from there all the same.
    """
    clusters(4000).to_csv(folder / "d.csv", index=False)
    more = generator.choice([8, 20, 40, 80, 120, 200, 300])
    command = [sys.executable, "-c", _LITTLE, str(more), *FIT, "d.csv", "--members", "1", "--out", "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=500, check=False)
    out, err = (each.decode("utf-8", "replace") for each in (result.stdout, result.stderr))
    err, _, _ = err.partition("Exception ignored in atexit callback: <function dump_compile_times")
    outcome = checked(Outcome([f"{more} MB", *command[4:]], result.returncode, out, err))
    aborted = outcome.code == -signal.SIGABRT and "memory allocation of" in err
    if outcome.code != 0 and not aborted:
        failed(outcome, "memory")
        told = "not enough memory" if outcome.code == 1 else "d.csv does not fit into memory"
        need(told in err, UNCLEAR, outcome.words)
    if outcome.code != 0:
        accepted(inside(*FIT, "d.csv", "--members", "1", "--out", "run", "--resume", folder=folder))
    accepted(inside(*FIT, "d.csv", "--members", "1", "--out", "whole", folder=folder))
    need(results(folder / "run") == results(folder / "whole"), DIFFERS, "other results")
    no_leftovers(folder)


@trial("system", seconds=300)
def too_many_open_files(folder: Path, _: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False)
    whole = checked(limited([*FIT, "d.csv", "--out", "run"], folder, resource.RLIMIT_NOFILE, 64))
    if whole.code != 0:
        failed(whole, "open files")
    from PIL import Image

    for number in range(300):
        path = folder / "pictures" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number % 255, 0, 0)).save(path)
    outcome = checked(limited([*FIT[:1], *FIT[3:], "pictures", "--out", "p"], folder, resource.RLIMIT_NOFILE, 64))
    if outcome.code != 0:
        failed(outcome, "open files")


_JUMPS = """
import itertools, sys, time
clock, jumps = time.time, itertools.count()
time.time = lambda: clock() - (3600.0 if next(jumps) % 7 == 3 else 0.0) - 86400.0 * (next(jumps) > 20)
sys.argv = ["elr", *sys.argv[1:]]
from elr.cli.main import main
main()
"""


@trial("system", seconds=300)
def clock_that_jumps_back(folder: Path, _: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False)
    command = [sys.executable, "-c", _JUMPS, *FIT, "d.csv", "--out", "run"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    need(result.returncode == 0, UNCLEAR, result.stderr[-1500:])
    accepted(inside(*FIT, "d.csv", "--out", "plain", folder=folder))
    need(results(folder / "run") == results(folder / "plain"), DIFFERS, "results depend on the clock")


@trial("system", seconds=300)
def claims_of_a_bench_that_is_gone(folder: Path, _: random.Random) -> None:
    """What a machine that was switched off leaves: the lock of a process that is no more."""
    clusters().to_csv(folder / "d.csv", index=False)
    (folder / "g.toml").write_text(
        'title = "few"\ntraining = { epochs = 1, members = 1 }\n[[cells]]\ndata = "few"\nnoise = ["none"]\n'
        'method = ["cross_entropy"]\nseed = [0]\n[data.few]\npath = "d.csv"\nlabel = "label"\n'
    )
    code = "import sys; from pathlib import Path; from elr.runs.bench.claims import Claims; "
    code += "Claims(Path(sys.argv[1])).take(sys.argv[2])"
    key = "few--none--cross_entropy--0"
    subprocess.run([sys.executable, "-c", code, str(folder / "out" / "claims"), key], check=True)
    (folder / "out" / "claims" / ".stale.partial").touch()
    need(any((folder / "out" / "claims").glob(f"{key}.*")), DIFFERS, "no claim was made")
    accepted(apart("bench", "g.toml", "--out", "out", folder=folder))
    need(not list((folder / "out" / "claims").glob(f"{key}.*")), DIFFERS, "the stale claim stays")


@trial("system", quick=True, seconds=300)
def plain_locale_and_names_of_the_world(folder: Path, _: random.Random) -> None:
    frame = clusters(names=("größe", "日本語"))
    frame.rename(columns={"label": "標籤", "a": "größe"}).to_csv(folder / "dätä.csv", index=False)
    plain = {"LANG": "C", "LC_ALL": "C"}
    outcome = apart("fit", "dätä.csv", "--label", "標籤", "--epochs", "2", "--out", "rün", folder=folder, env=plain)
    accepted(outcome)
    accepted(apart("audit", "rün", folder=folder, env=plain))
    text = (folder / "rün" / "issues.csv").read_text(encoding="utf-8")
    need("日本語" in text and "größe" in text, SILENT, "the names of the classes are not in issues.csv")


ODD_NAMES = {
    "spaces": "my data (final) v2",
    "quotes": 'it\'s "mine"',
    "newline": "two\nlines",
    "a dash": "-data",
    "percent and braces": "100%{x}[0]*?",
    "other bytes": os.fsdecode(b"caf\xe9"),
    "255 characters": "x" * 251,
    "emoji": "🌹" * 20,
    "a dot": ".hidden",
}


def odd(word: str, folder: Path) -> None:
    """A run whose data and folder have such names, and all that reads it."""
    name = ODD_NAMES[word]
    given, out = f"./{name}.csv", f"./{name[:200]} run"
    clusters().to_csv(folder / given, index=False)
    accepted(inside(*FIT, given, "--out", out, folder=folder))
    accepted(inside("audit", out, folder=folder))
    accepted(inside("predict", out, given, "--out", "p.csv", folder=folder))
    moved = ["--data", given] if word == "other bytes" else []  # run.json holds such names as people read them
    accepted(inside("clean", out, *decided(folder, out), *moved, "--out", "c.csv", folder=folder))
    accepted(inside("report", out, folder=folder))
    need((folder / "p.csv").exists() and (folder / "c.csv").exists(), LOST, "an output is not where it was asked for")
    need(len(pd.read_csv(folder / "c.csv")) == 120, SILENT, "the copy has not all rows")
    no_leftovers(folder)


def add(word: str) -> None:
    """The trial of such names."""

    def run(folder: Path, _: random.Random) -> None:
        odd(word, folder)

    run.__name__ = f"paths with {word}"
    trial("system", quick=word in ("newline", "other bytes"), seconds=300)(run)


for _word in ODD_NAMES:
    add(_word)


@trial("system", seconds=300)
def links_in_a_loop(folder: Path, _: random.Random) -> None:
    from PIL import Image

    for number in range(20):
        path = folder / "pictures" / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (200 * (number % 2), number, 0)).save(path)
    (folder / "pictures" / "a" / "again").symlink_to(folder / "pictures")
    (folder / "pictures" / "loop").symlink_to("loop")
    (folder / "loop.csv").symlink_to("loop.csv")
    outcome = inside("fit", "pictures", "--epochs", "1", "--out", "run", "--json", folder=folder)
    if outcome.code == 0:
        need(accepted(outcome)["num_examples"] == 20, SILENT, f"images were taken twice: {outcome.words}")
    else:
        refused(outcome, "loop", "symbolic links")
    refused(inside(*FIT, "loop.csv", "--out", "run2", folder=folder), "loop.csv", out=folder / "run2")
    if not (folder / "pictures" / "loop").is_symlink():
        raise FaultFound(LOST, "the link is gone")
