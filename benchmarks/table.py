"""The CIFAR-10 table of the fast recipes, cell by cell: each a run of `elr run`, some beside each other.

    python benchmarks/table.py --data PATH --out runs [--labels FILE] [--workers 2] [--only sym40] [--dry-run] [--json]

The cells are taken in their order below, each into its folder, OUT/RECIPE-SEED, with its words in OUT/RECIPE-SEED.log.
The cores are shared out among the workers: on two cores two runs of one thread take a little less time than one after
the other. Finished cells are not run again, and one that was stopped goes on, so that the command can be repeated until
the table is whole; --dry-run prints what there is and runs nothing. Printed, with --json as a list: means and standard
deviations over the seeds, and the minutes that the epochs took (beside the other worker). Exit status 1: a cell failed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elr.files import METRICS_FILE, RUN_FILE, read_json
from elr.training.progress import read_lines

ELR, CROSS_ENTROPY, ELR_PLUS = "elr", "cross-entropy", "elr-plus"
CELLS = (
    ("sym40", ELR, 0),
    ("sym40", CROSS_ENTROPY, 0),
    ("clean", CROSS_ENTROPY, 0),
    ("sym40", ELR_PLUS, 0),
    ("sym40", ELR, 1),
    ("sym40", ELR, 2),
    ("asym40", ELR, 0),
    ("asym40", CROSS_ENTROPY, 0),
    ("human", ELR, 0),
    ("human", CROSS_ENTROPY, 0),
    ("sym20", ELR, 0),
    ("sym80", ELR, 0),
    ("sym20", CROSS_ENTROPY, 0),
    ("sym80", CROSS_ENTROPY, 0),
)
MEASURES = ("test_accuracy_last", "test_accuracy_best", "validation_agreement_last", "fraction_memorized")


@dataclass(frozen=True)
class Cell:
    """A noise, a method and a seed."""

    noise: str
    method: str
    seed: int

    @property
    def recipe(self) -> str:
        return f"fast-cifar10-{self.noise}-{self.method}"

    @property
    def folder(self) -> str:
        return f"{self.recipe}-{self.seed}"


def run(cell: Cell, arguments: argparse.Namespace, threads: int) -> bool:
    """Train a cell to its end, and say whether that went well; what goes wrong does not stop the others."""
    command = [sys.executable, "-m", "elr", "run", cell.recipe, "--seed", str(cell.seed), "--data", arguments.data]
    command += ["--out", str(arguments.out / cell.folder)]
    if arguments.labels and cell.noise == "human":
        command += ["--labels", arguments.labels]
    with (arguments.out / f"{cell.folder}.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        code = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode
    print(f"{cell.folder}: {'done' if code == 0 else f'exit status {code}, see its log'}", file=sys.stderr, flush=True)
    return code == 0


def results(folder: Path) -> dict[str, Any] | None:
    """What a finished run measured, with the minutes that its epochs took; None if it is not finished."""
    if not (folder / RUN_FILE).exists() or (measured := read_json(folder / RUN_FILE))["status"] != "complete":
        return None
    return measured["results"] | {"minutes": sum(line["seconds"] for line in read_lines(folder / METRICS_FILE)) / 60}


def rows(out: Path, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each noise and method of which at least one seed is finished."""
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cell in cells:
        if measured := results(out / cell.folder):
            found.setdefault((cell.noise, cell.method), {})[cell.seed] = measured
    table = []
    for (noise, method), seeds in found.items():
        row: dict[str, Any] = {"noise": noise, "method": method, "seeds": sorted(seeds)}
        for name in (*MEASURES, "minutes"):
            values = [measured[name] for measured in seeds.values() if measured.get(name) is not None]
            row[name] = statistics.mean(values) if values else None
            row[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
        table.append(row)
    return table


def printed(row: dict[str, Any]) -> str:
    """A row of the table for people."""

    def number(name: str) -> str:
        if row[name] is None:
            return ""
        spread = row[f"{name}_std"]
        return f"{row[name]:.4f}" if spread is None else f"{row[name]:.4f} ± {spread:.4f}"

    seeds = ", ".join(map(str, row["seeds"]))
    return (
        f"| {row['noise']} | {row['method']} | {seeds} | {' | '.join(map(number, MEASURES))} | {row['minutes']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--labels", help="file of the human labels, if it is not beside the data")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="cells whose folder's name holds this")
    parser.add_argument("--dry-run", action="store_true", help="run nothing")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cells = [cell for cell in (Cell(*names) for names in CELLS) if arguments.only in cell.folder]
    if not cells:
        sys.exit(f"no cell has {arguments.only!r} in its name: {', '.join(Cell(*names).folder for names in CELLS)}")
    if arguments.workers < 1:
        sys.exit(f"--workers is {arguments.workers}: expected 1 or more")
    done = []
    if not arguments.dry_run:
        arguments.out.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // arguments.workers)
        with ThreadPoolExecutor(arguments.workers) as pool:
            done = list(pool.map(lambda cell: run(cell, arguments, threads), cells))
    table = rows(arguments.out, cells)
    if arguments.json:
        print(json.dumps(table))
        sys.exit(not all(done))
    print(f"| noise | method | seeds | {' | '.join(MEASURES)} | minutes |")
    print("|---" * (len(MEASURES) + 4) + "|")
    for row in table:
        print(printed(row))
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
