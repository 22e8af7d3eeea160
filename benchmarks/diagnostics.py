"""What diagnostics cost: an epoch with all measures as a ratio to the same epoch with none, in one process, in turns.

    python benchmarks/diagnostics.py [--network mlp] [--batch-size 64] [--steps 100] [--rounds 9] [--json]

With: predictions, agreement, standing objections, and, against known clean labels, fractions, targets and gradients.
Without: a monitor that does nothing. The ratio is the median over the rounds of neighboring epochs.
"""

import argparse
import json
import statistics

import numpy as np
import torch
from throughput import loop_seconds, make_training

from elr.training.loop import Training
from elr.training.monitor import Monitor


class Blind(Monitor):
    """A monitor that looks at nothing."""

    def update(self, index: torch.Tensor, logits: torch.Tensor) -> None:
        pass

    def begin_pass(self) -> None:
        pass


class Unmeasured(Training):
    """A run whose epochs end without a measure."""

    def _measure(self) -> dict[str, float]:
        return {}


def measure(network: str, batch_size: int, steps: int, rounds: int) -> dict:
    """Median ratio, and seconds of an epoch with and without."""
    seeing, blind = (make_training(network, batch_size, steps) for _ in range(2))
    given = seeing.labels.numpy()
    clean = np.where(np.random.default_rng(1).random(len(given)) < 0.4, (given + 1) % 10, given)
    seeing.state.monitor = Monitor(given, clean_labels=clean)
    blind.state.monitor = Blind(given)
    blind.__class__ = Unmeasured
    torch.set_num_threads(1 if network in ("mlp", "linear") else torch.get_num_threads())
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds + 1):
        pair = {"with": loop_seconds(seeing), "without": loop_seconds(blind)}
        if number:  # the first epoch allocates
            for name, value in pair.items():
                seconds[name].append(value)
    ratios = [each / bare for each, bare in zip(seconds["with"], seconds["without"], strict=True)]
    return {
        "network": network,
        "batch_size": batch_size,
        "num_examples": len(given),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "seconds_with": statistics.median(seconds["with"]),
        "seconds_without": statistics.median(seconds["without"]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mlp")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.network, options.batch_size, options.steps, options.rounds)
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['network']}, batch {found['batch_size']}, {found['num_examples']} examples: an epoch with "
            f"diagnostics takes {found['ratio']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f}) times one "
            f"without ({1000 * found['seconds_with']:.0f} and {1000 * found['seconds_without']:.0f} ms)"
        )
