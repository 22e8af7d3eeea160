"""Days of use: many fits in one process, many runs beside one another, folders of older and newer versions."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from campaign.made import clusters
from campaign.outcomes import ELR, accepted, inside, right_or_refused
from campaign.trials import DIFFERS, LEAK, UNCLEAR, need, trial

MEGABYTE = 2**20
_FITS = """
import sys, gc, psutil, ctypes
import numpy as np
from elr.estimator import ELRClassifier
draw = np.random.default_rng(0)
labels = np.arange(60) % 2
inputs = draw.normal(size=(60, 3)) + 3.0 * np.eye(3)[labels]
sizes = []
for number in range(int(sys.argv[1])):
    ELRClassifier(epochs=2, random_state=number).fit(inputs, labels).predict(inputs)
    if number % 100 == 99:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        sizes.append(psutil.Process().memory_info().rss)
print(" ".join(map(str, sizes)))
"""


@trial("long_use", seconds=3000)
def a_thousand_fits_in_one_process(_: Path, __: random.Random) -> None:
    """Memory may grow less than 1 MB each 100 fits, after the first 300: what is made once is made by then."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FITS, "1000"], capture_output=True, text=True, timeout=2900, check=False
    )
    need(result.returncode == 0, LEAK, result.stderr[-1500:])
    sizes = np.array(list(map(int, result.stdout.split())))[2:]
    growth = float(np.polyfit(np.arange(len(sizes)), sizes, 1)[0]) / MEGABYTE
    shown = (sizes / MEGABYTE).round(1).tolist()
    need(growth < 1.0, LEAK, f"memory grows {growth:.2f} MB each 100 fits: {shown}")


@trial("long_use", seconds=1200)
def open_files_and_threads_stay_as_many(folder: Path, __: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False)

    def fit(number: int) -> None:
        accepted(inside("fit", "d.csv", "--label", "label", "--epochs", "2", "--out", f"run{number}", folder=folder))

    fit(0)
    process = psutil.Process()
    gc.collect()
    before = (len(process.open_files()), process.num_threads(), process.num_fds())
    for number in range(1, 13):
        fit(number)
    gc.collect()
    after = (len(process.open_files()), process.num_threads(), process.num_fds())
    grown = [now - then for now, then in zip(after, before, strict=True)]
    need(max(grown) <= 2, LEAK, f"files, threads, descriptors: {before} before, {after} after 12 runs")


def _in_process(arguments: tuple[str, int]) -> tuple[int, str]:
    folder, number = arguments
    command = [*ELR, "fit", "d.csv", "--label", "label", "--epochs", "2", "--seed", "5", "--out", f"out{number}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1000, check=False)
    return result.returncode, result.stderr


@trial("long_use", seconds=1500)
def twenty_four_runs_in_processes_are_alike(folder: Path, __: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False)
    with ProcessPoolExecutor(8) as pool:
        ended = list(pool.map(_in_process, [(str(folder), number) for number in range(24)]))
    failed = [(number, words[-500:]) for number, (code, words) in enumerate(ended) if code]
    need(not failed, DIFFERS, f"{len(failed)} of 24 failed, first: {failed[:1]}")
    found = {(folder / f"out{number}" / "issues.csv").read_text() for number in range(24)}
    need(len(found) == 1, DIFFERS, f"{len(found)} different issues.csv of 24 runs alike")


@trial("long_use", seconds=1500)
def twenty_four_fits_in_threads_are_alike(_: Path, __: random.Random) -> None:
    from elr.estimator import ELRClassifier

    frame = clusters()
    inputs, labels = frame[list("abc")].to_numpy(), frame["label"].to_numpy()
    found: dict[int, bytes] = {}
    errors: list[str] = []

    def fit(number: int) -> None:
        try:
            fitted = ELRClassifier(epochs=2, random_state=5).fit(inputs, labels)
            found[number] = fitted.predict_proba(inputs).tobytes()
        except Exception as error:  # told of below
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=fit, args=(number,)) for number in range(24)]
    for start in range(0, 24, 8):
        for each in threads[start : start + 8]:
            each.start()
        for each in threads[start : start + 8]:
            each.join()
    if errors:
        need(all("thread" in words for words in errors), DIFFERS, f"{len(errors)} of 24 failed: {errors[:2]}")
        need(False, UNCLEAR, f"fits in threads are refused: {errors[0]}")
    need(len(set(found.values())) == 1, DIFFERS, f"{len(set(found.values()))} different models of 24 fits alike")


def _fitted(folder: Path) -> Path:
    clusters().to_csv(folder / "d.csv", index=False)
    accepted(inside("fit", "d.csv", "--label", "label", "--epochs", "2", "--out", "run", folder=folder))
    return folder / "run" / "run.json"


def _every_reader(folder: Path, *words: str) -> None:
    for command in (
        ("audit", "run"),
        ("report", "run"),
        ("predict", "run", "d.csv", "--out", "p.csv"),
        ("explain", "run", "0"),
        ("clean", "run", "--out", "cleaned.csv"),
        ("export", "run", "--torch-export", "model.pt2"),
    ):
        outcome = inside(*command, folder=folder)
        right_or_refused(outcome, *words)


@trial("long_use", quick=True)
def a_run_of_a_newer_version_with_more_in_it(folder: Path, _: random.Random) -> None:
    """Keys that this version does not know: read as if they were not there, or refused in words."""
    path = _fitted(folder)
    run = json.loads(path.read_text())
    run["elr_version"] = "99.0.0"
    run["something_new"] = {"deep": [1, 2, {"x": None}]}
    path.write_text(json.dumps(run))
    _every_reader(folder)


@trial("long_use")
def a_run_of_a_newer_version_with_settings_unknown_here(folder: Path, _: random.Random) -> None:
    path = _fitted(folder)
    run = json.loads(path.read_text())
    run["elr_version"] = "99.0.0"
    run["training"]["momentum_of_the_future"] = 0.5
    run["method"]["zeta"] = 1.0
    path.write_text(json.dumps(run))
    _every_reader(folder)


@trial("long_use")
def a_run_of_an_older_version_with_less_in_it(folder: Path, generator: random.Random) -> None:
    path = _fitted(folder)
    run = json.loads(path.read_text())
    run["elr_version"] = "0.0.1"
    for part in generator.sample(sorted(run), 4):
        if part != "elr_version":
            del run[part]
    path.write_text(json.dumps(run))
    _every_reader(folder)
