"""Descent in the linear model: seconds and memory, beside the two matrix-vector products a step that it needs.

    python benchmarks/theory.py [--p 2000 --n 2500 --steps 10000] [--lam 3] [--json]

The products run in this process, in turns with stretches of the descent, on the same inputs.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np

from elr.theory.clusters import is_separable, make_clusters
from elr.theory.descent import descend


def bare_seconds(inputs: np.ndarray, steps: int) -> float:
    """X w and X' r, as often as there are steps."""
    weights, residual = np.ones((1, inputs.shape[1])), np.ones((inputs.shape[0], 1))
    started = time.perf_counter()
    for _ in range(steps):
        inputs @ weights.T
        residual.T @ inputs
    return time.perf_counter() - started


def measure(p: int, n: int, steps: int, lam: float, rounds: int = 5) -> dict:
    """Seconds of the whole descent, and its ratio to the bare products, taken in rounds."""
    data = make_clusters(p, n, sigma=0.1, delta=0.8, seed=0)
    started = time.perf_counter()
    trajectory = descend(data, lam=lam, steps=steps)
    seconds = time.perf_counter() - started
    part = max(steps // 20, 1)
    ratios = []
    for _ in range(rounds):
        started = time.perf_counter()
        descend(data, lam=lam, steps=part)
        ratios.append((time.perf_counter() - started) / bare_seconds(data.inputs, part + 1))
    return {
        "p": p,
        "n": n,
        "steps": steps,
        "lam": lam,
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "input_megabytes": data.inputs.nbytes / 2**20,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "memorized": float(trajectory.memorized[-1]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, default=2000)
    parser.add_argument("--n", type=int, default=2500)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--lam", type=float, default=0.0)
    parser.add_argument("--separable", action="store_true", help="time the linear program as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.p, options.n, options.steps, options.lam)
    if options.separable:
        data = make_clusters(options.p, options.n, sigma=0.1, delta=0.8, seed=0)
        started = time.perf_counter()
        found["separable"] = is_separable(data.inputs, data.labels)
        found["linear_program_seconds"] = time.perf_counter() - started
    print(json.dumps(found) if options.json else "\n".join(f"{name:<24}{value}" for name, value in found.items()))
