"""elr beside what people use today, on tables, texts and features with wrong labels: one command, one table.

    python benchmarks/own_data.py --out FILE [--sets german,labelme] [--noises next-30] [--seeds 1,2,3]
                                  [--methods elr,boosting] [--variant 'elr-lam7={"lam": 7}'] [--keep FOLDER]
                                  [--also FILE] [--table] [--ours elr] [--commit HASH] [--shared FOLDER]
                                  [--features FILE] [--threads 2]

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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from comparison.cases import NOISES, Case, MissingSetError, Place, load_case
from comparison.measures import measured
from comparison.methods import PEERS, VARIANTS, Found, elr_commit, methods
from comparison.summary import Cell, Run, Runs, is_variant, latest, stamp, table
from elr.training.progress import append_line, json_line

SHARED = Path(__file__).parents[2] / "shared"
CHOSEN_ON, REPORTED_ON = [0], [1, 2, 3]
"""Seeds: settings of elr are chosen on the first, which is not among those that are reported."""
SEEDS = f"default: {REPORTED_ON}, on which is reported; settings are chosen on {CHOSEN_ON}"


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Lines of the files that there are; one that was cut off when its writer was killed is left out."""
    found = []
    for line in (line for path in paths if path.exists() for line in path.read_text(encoding="utf-8").splitlines()):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def end_line(path: Path) -> None:
    """Begin a new line, where the last was cut off."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        append_line(path, "")


def key(run: Run) -> tuple[Any, ...]:
    """What a run is known by."""
    return (run["set"], run["noise"], run["seed"], run["method"], *stamp(run))


class Bench:
    """Runs what is not there yet.

    Args:
        out: the file of lines.
        place: where files are.
        variants: of elr, with their fields of `FitConfig`.
        keep: a folder for the evidence of elr; None: it is not kept.
        threads: how many are used, for the lines.
    """

    def __init__(
        self,
        *,
        out: Path,
        place: Place,
        variants: Mapping[str, Mapping[str, Any]] = VARIANTS,
        keep: Path | None = None,
        threads: int = 1,
    ) -> None:
        self.out, self.place, self.keep, self.threads = out, place, keep, threads
        self.methods = methods(variants)
        self.stamps = {name: {"commit": elr_commit(), "config": dict(fields)} for name, fields in variants.items()}

    def line(self, cell: Cell, method: str) -> dict[str, Any]:
        """What is known of a run before it."""
        return cell._asdict() | {"method": method} | self.stamps.get(method, {})

    def run(self, cells: Iterable[Cell], chosen: Sequence[str], done: Iterable[Run]) -> bool:
        """The chosen methods on all cells, but for what is done, and whether all went well."""
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
                well &= self.run_one(cell, case, method)
        return well

    def run_one(self, cell: Cell, case: Case, method: str) -> bool:
        """One method on one case, and whether it went well; a failure is written down and does not stop the others."""
        line = self.line(cell, method) | {"threads": self.threads}
        try:
            found = self.methods[method](case, cell.seed)
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
    name, _, fields = text.partition("=")
    try:
        found = json.loads(fields)
    except ValueError:
        found = None
    if not is_variant(name) or not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f'{text!r}: expected elr-NAME={{"field of FitConfig": value}}')
    return name, found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of results, one line of JSON for a run")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more results, which are only read")
    parser.add_argument("--sets", type=names, default=list(NOISES), help=f"of {', '.join(NOISES)}; default: all")
    parser.add_argument("--noises", type=names, help="default: all of each set")
    parser.add_argument("--seeds", type=seeds, default=REPORTED_ON, help=SEEDS)
    parser.add_argument("--methods", type=names, help="default: the peers, elr and each --variant; in a table all")
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
    arguments.variants = VARIANTS | dict(arguments.variant)
    if not arguments.methods and not arguments.table:
        arguments.methods = [*PEERS, "elr", *dict(arguments.variant)]
    check(parser, "--sets", arguments.sets, NOISES)
    check(parser, "--noises", arguments.noises or [], {noise for each in NOISES.values() for noise in each})
    if not arguments.table:
        check(parser, "--methods", arguments.methods, [*PEERS, *arguments.variants])
    return arguments


def seeds(text: str) -> list[int]:
    return [int(seed) for seed in names(text)]


def only(runs: Runs, chosen: Iterable[Cell], methods: Sequence[str] | None) -> Runs:
    """The runs of some methods (default: of all), in the order of the cells; those without any are left out."""
    found = {
        cell: {name: run for name, run in runs.get(cell, {}).items() if methods is None or name in methods}
        for cell in chosen
    }
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
        runs, origins = latest(done, commit=arguments.commit)
        print(table(only(runs, chosen, arguments.methods), ours=arguments.ours, origins=origins))
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    end_line(arguments.out)
    torch.set_num_threads(arguments.threads)
    place = Place(shared=arguments.shared, features=arguments.features)
    variants, threads = arguments.variants, arguments.threads
    bench = Bench(out=arguments.out, place=place, variants=variants, keep=arguments.keep, threads=threads)
    with threadpool_limits(threads):
        well = bench.run(chosen, arguments.methods, done)
    sys.exit(not well)


if __name__ == "__main__":
    main()
