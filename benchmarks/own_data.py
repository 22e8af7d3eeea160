"""elr beside what people use today, on tables, texts and features with wrong labels: one command, one table.

    python benchmarks/own_data.py --out FILE [--sets german,labelme] [--noises next-30] [--seeds 1,2,3]
                                  [--methods elr,boosting] [--variant 'elr-lam7={"lam": 7}'] [--keep FOLDER]
                                  [--also FILE] [--table] [--shared FOLDER] [--features FILE] [--threads 2]

A run is one method on one cell: a set, a noise and a seed. Each appends a line of JSON to FILE when it is done. What is
there, or in --also, is not run again, so that the command can be killed and repeated until it is through; runs of elr
count only if they are of the commit (and the uncommitted changes) of src/elr that is imported now, and runs that failed
are tried again. Seed after seed, so that the first is through first. With --table nothing is run, and the table of the
chosen sets, noises, seeds and methods is printed, in Markdown. Exit status 1: a run failed.

Sets: tables of --shared (german, car, crx, splice, segment) and of scikit-learn (breast_cancer, wine, digits), split
70 to 30 by seed, with noise planted in the training labels: symmetric-20, symmetric-40, next-30 (class c as c + 1; of
two classes the first as the second), instance-25; labelme, sentiment and trec with the noise of their files; cifar10,
frozen features of the first 5,000 training and test rows, symmetric-40, asymmetric-40, human. Sets whose files are
absent are left out, with a word.

Methods: elr by `elr.runs.fit.fit` and `elr.runs.predict.predict` with all defaults, and variants of it; logistic,
forest, boosting (HistGradientBoostingClassifier), and cleanlab's CleanLearning with the first and the last. All
defaults. Seconds are those of fitting, what prepares the inputs included.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from comparison.cases import NOISES, Case, MissingSetError, Place, load_case
from comparison.measures import measured
from comparison.methods import VARIANTS, Found, Method, elr_commit, methods
from comparison.summary import Cell, Run, Runs, is_variant, latest, table
from elr.training.progress import append_line, json_line

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Lines of the files that there are; one that was cut off when its writer was killed is left out."""
    return [
        json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines() if whole(line)
    ]


def whole(line: str) -> bool:
    """Whether a line is one, from its first character to its last."""
    return line.startswith("{") and line.endswith("}")


def end_line(path: Path) -> None:
    """Begin a new line, where the last was cut off."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        append_line(path, "")


def key(run: Run) -> tuple[Any, ...]:
    """What a run is known by."""
    return (run["set"], run["noise"], run["seed"], run["method"], run.get("commit"))


class Bench:
    """Runs what is not there yet.

    Args:
        out: the file of lines.
        place: where files are.
        keep: a folder for the evidence of elr; None: it is not kept.
        threads: how many are used, for the lines.
    """

    def __init__(self, *, out: Path, place: Place, keep: Path | None, threads: int) -> None:
        self.out, self.place, self.keep, self.threads = out, place, keep, threads
        self.commit = elr_commit()

    def line(self, cell: Cell, method: str) -> dict[str, Any]:
        """What is known of a run before it."""
        known = cell._asdict() | {"method": method}
        return known | {"commit": self.commit} if is_variant(method) else known

    def run(self, cells: Iterable[Cell], chosen: Mapping[str, Method], done: Iterable[Run]) -> bool:
        """All methods on all cells, and whether all went well."""
        there = {key(run) for run in done if "error" not in run}
        absent: set[str] = set()
        well = True
        for cell in cells:
            missing = [method for method in chosen if key(self.line(cell, method)) not in there]
            if not missing or cell.set in absent:
                continue
            try:
                case = load_case(cell.set, cell.noise, seed=cell.seed, place=self.place)
            except MissingSetError as error:
                absent.add(cell.set)
                say(f"{cell.set} is left out: {error}")
                continue
            for method in missing:
                well &= self.run_one(cell, case, method, chosen[method])
        return well

    def run_one(self, cell: Cell, case: Case, method: str, run: Method) -> bool:
        """One method on one case, and whether it went well; a failure is written down and does not stop the others."""
        line = self.line(cell, method) | {"threads": self.threads}
        try:
            found = run(case, cell.seed)
            line |= measured(case, found)
            self.keep_arrays(line, found)
        except Exception as error:  # whatever a peer or elr raises on someone's data
            line["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        line["created"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        append_line(self.out, json_line(line))
        told = line.get("error") or f"accuracy {line['accuracy']:.4f}, {line['seconds']:.1f} s"
        say(f"{cell.set} {cell.noise} {cell.seed} {method}: {told}")
        return "error" not in line

    def keep_arrays(self, line: Run, found: Found) -> None:
        """What elr said of each row, for later studies."""
        if self.keep is not None and found.kept is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            name = "_".join(str(line[part]) for part in ("set", "noise", "seed", "method", "commit"))
            np.savez_compressed(self.keep / f"{name}.npz", **found.kept)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cells(sets: Iterable[str], noises: Iterable[str] | None, seeds: Iterable[int]) -> list[Cell]:
    """What is chosen, seed after seed."""
    wanted = None if noises is None else set(noises)
    return [
        Cell(name, noise, seed)
        for seed in seeds
        for name in sets
        for noise in NOISES[name]
        if wanted is None or noise in wanted
    ]


def variant(text: str) -> tuple[str, dict[str, Any]]:
    """NAME={"field": value, ...}, for the command line."""
    name, found, fields = text.partition("=")
    if not found or not is_variant(name):
        raise argparse.ArgumentTypeError(f'{text!r}: expected elr-NAME={{"field of FitConfig": value}}')
    return name, json.loads(fields)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of results, one line of JSON for a run")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more results, which are only read")
    parser.add_argument("--sets", type=names, default=list(NOISES), help=f"of {', '.join(NOISES)}; default: all")
    parser.add_argument("--noises", type=names, help="default: all of each set")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in names(text)], default=[0, 1, 2, 3])
    parser.add_argument("--methods", type=names, help="default: elr and the peers, and each --variant")
    parser.add_argument("--variant", type=variant, action="append", default=[], help='elr-NAME={"lam": 7}')
    parser.add_argument("--keep", type=Path, help="folder for the evidence of each run of elr, as .npz")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table")
    parser.add_argument("--ours", default="elr", help="the method whose wins and losses the table counts")
    parser.add_argument("--commit", help="of elr, for the table; default: of the last line")
    parser.add_argument("--shared", type=Path, default=SHARED, help=f"default: {SHARED}")
    parser.add_argument("--features", type=Path, help="frozen features of CIFAR-10, made where they are not there")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    arguments = parser.parse_args()
    arguments.features = arguments.features or arguments.out.parent / "cifar10-features.npz"
    arguments.known = methods(VARIANTS | dict(arguments.variant))
    unwanted = [name for name in arguments.known if is_variant(name) and name not in ("elr", *dict(arguments.variant))]
    arguments.methods = arguments.methods or [name for name in arguments.known if name not in unwanted]
    check(parser, "--sets", arguments.sets, NOISES)
    check(parser, "--noises", arguments.noises or [], {noise for each in NOISES.values() for noise in each})
    check(parser, "--methods", [] if arguments.table else arguments.methods, arguments.known)
    return arguments


def only(runs: Runs, chosen: Iterable[Cell], methods: Iterable[str]) -> Runs:
    """The runs of some methods, in the order of the cells; those without any are left out."""
    wanted = set(methods)
    found = {cell: {name: run for name, run in runs.get(cell, {}).items() if name in wanted} for cell in chosen}
    return {cell: there for cell, there in found.items() if there}


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def check(parser: argparse.ArgumentParser, flag: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    unknown = [name for name in chosen if name not in known]
    if unknown:
        parser.error(f"{flag} {', '.join(unknown)}: expected some of {', '.join(known)}")


def main() -> None:
    arguments = parsed()
    chosen = cells(arguments.sets, arguments.noises, arguments.seeds)
    done = read_runs([*arguments.also, arguments.out])
    if arguments.table:
        runs, commits = latest(done, commit=arguments.commit)
        print(table(only(runs, chosen, arguments.methods), ours=arguments.ours, commits=commits))
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    end_line(arguments.out)
    torch.set_num_threads(arguments.threads)
    place = Place(shared=arguments.shared, features=arguments.features)
    bench = Bench(out=arguments.out, place=place, keep=arguments.keep, threads=arguments.threads)
    with threadpool_limits(arguments.threads):
        well = bench.run(chosen, {name: arguments.known[name] for name in arguments.methods}, done)
    sys.exit(not well)


if __name__ == "__main__":
    main()
