"""How much the two loaders of the authors' ELR+ tell each network of the labels that the other one has.

    python benchmarks/leak.py [--seeds 5] [--json]

In the authors' code each of the two networks has a loader of its own, which draws its own split and its own noise. So
an image carries two noisy labels that are drawn independently, one for each network, and a network's validation rows
are mostly training rows of the other. Targets come from the other network: what it knows of its labels leaks. Sampling
alone, on the labels of a set of CIFAR-10's size: no training. A seed decides on both splits and both noises. (Theirs
corrupts the two parts of a split one by one, this all rows at once, with the same shares.)
"""

import argparse
import json
import statistics

import numpy as np

from elr.noise.named import corrupt

NUM_EXAMPLES, NUM_CLASSES, HELD_OUT = 50_000, 10, 0.1
NOISES = [
    *(("symmetric-authors", rate) for rate in (0.2, 0.4, 0.5, 0.6, 0.8, 0.9)),
    ("asymmetric-cifar10-authors", 0.4),
]
MEASURED = {
    "wrong_for_first": "wrong for network 1",
    "wrong_for_both": "wrong for both",
    "validation_trained_by_other": "validation rows of network 1 that network 2 trains on",
}


def leak(noise: str, noise_rate: float, *, seed: int) -> dict[str, float]:
    """Shares in [0, 1], keyed as `MEASURED`, of two independent draws of the noise and of the validation split."""
    clean = np.arange(NUM_EXAMPLES) % NUM_CLASSES
    rng = np.random.default_rng(seed)
    first, second = (
        corrupt(noise, clean, noise_rate=noise_rate, num_classes=NUM_CLASSES, seed=rng).is_wrong for _ in range(2)
    )
    count = round(HELD_OUT * NUM_EXAMPLES)
    held_by_first, held_by_second = (rng.permutation(NUM_EXAMPLES)[:count] for _ in range(2))
    shares = (first.mean(), (first & second).mean(), 1.0 - np.isin(held_by_first, held_by_second).mean())
    return dict(zip(MEASURED, map(float, shares), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for noise, rate in NOISES:
        draws = [leak(noise, rate, seed=seed) for seed in range(arguments.seeds)]
        columns = {key: [draw[key] for draw in draws] for key in MEASURED}
        found = {key: [statistics.mean(values), statistics.stdev(values)] for key, values in columns.items()}
        rows.append({"noise": noise, "noise_rate": rate, **found})
    if arguments.json:
        print(json.dumps({"seeds": arguments.seeds, "rows": rows}))
    else:
        print(f"| {arguments.seeds} seeds | " + " | ".join(MEASURED.values()) + " |")
        print("|---" * (len(MEASURED) + 1) + "|")
        for row in rows:
            cells = [f"{100 * row[key][0]:.2f} ± {100 * row[key][1]:.2f} %" for key in MEASURED]
            print(f"| {row['noise']} {row['noise_rate']} | " + " | ".join(cells) + " |")
