"""Run the campaign: `./scripts/campaign --seed 0 --minutes 10`; see docs/campaign.md."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaign.trials import HANG, TRACEBACK, TRIALS, FaultFound, NotHere, Trial

HERE = Path(__file__).parent
FRAME = ("__init__", "__main__", "trials", "outcomes", "made", "made_pictures", "forked")
"""Modules that are no areas."""


def areas() -> list[str]:
    """The areas of the campaign; a new module here is one."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in FRAME)


def load(asked: list[str]) -> list[Trial]:
    """The trials of some areas, in their order; NAME stands for all of NAME_*, too."""
    names = [each for each in areas() if each in asked or each.startswith(tuple(f"{name}_" for name in asked))]
    for name in names:
        importlib.import_module(f"campaign.{name}")
    return [each for each in TRIALS if each.area in names]


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End what hangs."""

    def stop(*_: object) -> None:
        raise FaultFound(HANG, f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_trial(each: Trial, seed: int, folder: Path) -> dict[str, object]:
    """One trial with one seed, and what came of it."""
    generator = random.Random(f"{seed} {each.area} {each.name}")
    started = time.perf_counter()
    found: dict[str, object] = {"area": each.area, "trial": each.name, "seed": seed, "outcome": "passed"}
    try:
        with limited(each.seconds):
            each.run(folder, generator)
    except FaultFound as fault:
        found |= {"outcome": "failed", "kind": fault.kind, "words": fault.words}
    except NotHere as reason:
        found |= {"outcome": "not here", "words": str(reason)}
    except Exception:
        found |= {"outcome": "failed", "kind": TRACEBACK, "words": traceback.format_exc()[-3000:]}
    return found | {"seconds": round(time.perf_counter() - started, 2)}


def in_turn(trials: list[Trial], seed: int) -> Iterator[tuple[Trial, int]]:
    """Every trial once, then those that repeat again with the next seed, and so on."""
    for turn in range(max((each.repeats for each in trials), default=0)):
        yield from ((each, seed + turn) for each in trials if each.repeats > turn)


def table(records: list[dict[str, object]]) -> str:
    """The table at the end: a line for each area, and then the faults."""
    lines = [f"{'area':14} {'trials':>7} {'runs':>6} {'passed':>7} {'failed':>7} {'not here':>9} {'seconds':>8}"]
    for area in sorted({str(each["area"]) for each in records}):
        of_area = [each for each in records if each["area"] == area]
        outcomes = Counter(str(each["outcome"]) for each in of_area)
        seconds = sum(float(str(each["seconds"])) for each in of_area)
        lines.append(
            f"{area:14} {len({str(each['trial']) for each in of_area}):7} {len(of_area):6} {outcomes['passed']:7} "
            f"{outcomes['failed']:7} {outcomes['not here']:9} {seconds:8.0f}"
        )
    for each in records:
        if each["outcome"] == "failed":
            lines.append(f"\n{each['kind']}: {each['area']} / {each['trial']} (seed {each['seed']})\n{each['words']}")
        elif each["outcome"] == "not here":
            lines.append(f"\nnot here: {each['area']} / {each['trial']}: {each['words']}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no further trial begins (default 60)")
    parser.add_argument("--only", nargs="+", choices=areas(), default=areas(), help="areas (default: all)")
    parser.add_argument("--trial", help="only trials whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="only the slice that the ordinary suite runs")
    parser.add_argument("--log", type=Path, help="a file for what each run gave, a line of JSON each")
    parser.add_argument("--list", action="store_true", help="name the trials and end")
    asked = parser.parse_args()
    faulthandler.enable()
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(each).resolve()) for each in given)  # commands run elsewhere
    trials = [each for each in load(asked.only) if asked.trial is None or asked.trial in each.name]
    trials = [each for each in trials if each.quick or not asked.quick]
    if asked.list:
        print("\n".join(f"{each.area}: {each.name} ({each.repeats})" for each in trials))
        return 0
    records: list[dict[str, object]] = []
    ends, left = time.monotonic() + 60 * asked.minutes, 0
    for each, seed in in_turn(trials, asked.seed):
        if time.monotonic() > ends:
            left += 1
            continue
        with tempfile.TemporaryDirectory(prefix="elr-campaign-", ignore_cleanup_errors=True) as folder:
            records.append(run_trial(each, seed, Path(folder)))
        record = records[-1]
        print(f"{record['outcome']:9} {record['seconds']:7} s  {each.area}: {each.name} ({seed})", file=sys.stderr)
        if asked.log:
            with asked.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    print(table(records))
    if left:
        print(f"\n{left} runs were not begun within {asked.minutes:g} minutes")
    return 1 if any(each["outcome"] == "failed" for each in records) else 0


if __name__ == "__main__":
    sys.exit(main())
