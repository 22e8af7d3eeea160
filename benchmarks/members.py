"""What networks side by side cost, as a ratio to a single network on the same data, in one process, in turns.

python benchmarks/members.py [--rows 1000,5000] [--features 30] [--classes 4] [--rounds 3] [--only default,single]
                             [--threads 2]

"single": `--members 1`, the paper's network and loop; "five": five members with lam 3 and dropout 0.5, nothing to
choose; "default": five members and the grid of settings. Training and audit alone are timed, not the reading of a file.
Beside the ratio: networks, MiB of targets, and the peak memory of the process so far.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.runs.fit_config import FitConfig
from elr.runs.run import run_plan

CONFIGS = {
    "single": FitConfig(members=1),
    "five": FitConfig(members=5, lam=3.0, dropout=0.5, network="mlp"),
    "default": FitConfig(),
}


def made(rows: int, *, features: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Blobs of which a fifth of the labels are wrong."""
    generator = np.random.default_rng(0)
    clean = generator.integers(classes, size=rows)
    inputs = generator.normal(size=(classes, features))[clean] + generator.normal(size=(rows, features))
    flipped = (clean + generator.integers(1, classes, size=rows)) % classes
    return inputs.astype(np.float32), np.where(generator.random(rows) < 0.2, flipped, clean)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000,5000")
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONFIGS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = arguments.only.split(",")
    for rows in map(int, arguments.rows.split(",")):
        data = made(rows, features=arguments.features, classes=arguments.classes)
        prepared = prepare_data(data, ReadOptions())
        times: dict[str, list[float]] = {name: [] for name in names}
        for number in range(arguments.rounds):
            for name in names:
                with tempfile.TemporaryDirectory() as folder:
                    plan = CONFIGS[name].plan(prepared)
                    started = time.perf_counter()
                    run_plan(prepared, plan, config={}, out=Path(folder) / str(number))
                    times[name].append(time.perf_counter() - started)
        first = statistics.median(times[names[0]])
        for name, values in times.items():
            networks = CONFIGS[name].plan(prepared).method.num_networks
            targets = 4 * rows * networks * arguments.classes / 2**20
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            median = statistics.median(values)
            print(
                f"{rows:>9,} rows  {name:<8} {networks:>3} networks  {median:8.1f} s  {median / first:5.2f} of "
                f"{names[0]}  targets {targets:7.1f} MiB  peak {peak:6.0f} MiB",
                flush=True,
            )
