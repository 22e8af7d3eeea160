"""One epoch of every recipe on the first rows of CIFAR-10: that each one runs, and what its epoch costs here.

    python benchmarks/recipes.py --data PATH [--num-examples 600] [--only WORD] [--json]

Prints for each recipe the seconds of its epoch and its loss; the numbers say nothing about accuracy. The human labels
of CIFAR-10N belong to all 50,000 rows and are left out.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from elr.datasets.as_data import HUMAN
from elr.runs.experiment import run_recipe
from elr.runs.recipe import Changes
from elr.runs.recipes import RECIPES


def cut_out(data: Path, count: int, folder: Path) -> None:
    """The first rows of train.parquet and test.parquet, so that not every recipe reads all of them."""
    for part in ("train", "test"):
        pd.read_parquet(data / f"{part}.parquet").head(count).to_parquet(folder / f"{part}.parquet")


def one_epoch(data: Path, count: int, only: str) -> Iterator[dict]:
    """One epoch of each recipe whose name holds a word."""
    with tempfile.TemporaryDirectory() as folder:
        cut_out(data, count, Path(folder))
        for name, recipe in RECIPES.items():
            if only in name and HUMAN not in name:
                out = Path(folder) / name
                fitted = run_recipe(recipe, data=folder, out=out, changes=Changes(epochs=1))
                yield {"recipe": name} | {key: fitted.history[-1][key] for key in ("seconds", "loss")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--num-examples", type=int, default=600)
    parser.add_argument("--only", default="", help="recipes whose name holds this")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for row in one_epoch(Path(arguments.data), arguments.num_examples, arguments.only):
        rows.append(row)
        if not arguments.json:
            print(f"{row['recipe']:<36} {row['seconds']:7.1f} s  loss {row['loss']:8.4f}", flush=True)
    if not rows:
        sys.exit(f"no recipe has {arguments.only!r} in its name")
    if arguments.json:
        print(json.dumps(rows))
