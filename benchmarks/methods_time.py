"""Seconds of an epoch of every method, as a ratio to cross entropy: the same data, network and loop, in one process.

    python benchmarks/methods_time.py [--network mlp,fast] [--rows 5000] [--batch-size 128] [--epochs 6] [--rounds 5]
                                      [--only elr,elr_plus] [--threads 2] [--json]

"mlp" learns from rows of 512 features, as frozen networks give them; "fast", the small convolutional network, from
images of 32 x 32 with crops and flips. All that an epoch does is counted: the steps of every network, views, what the
method does between epochs. What it does once, and predictions, are not. Settings are those that `elr fit` gives to a
run of so many epochs, in which warm-ups are shorter; the first half of the epochs is left out, with the warm-up in it.
What a method has to know of the noise it is told (20 % symmetric).

In each round every method trains once, in an order that turns from round to round. Printed for each method: the median
over rounds of its median epoch's ratio to that of cross entropy in the same round, the least and the greatest of these
ratios, and the median seconds. Exit status 1: a method could not be timed; it is named.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from elr.data.examples import Examples
from elr.data.transforms import ImageTransform, Transform
from elr.errors import ELRError
from elr.methods.catalog import METHODS, method_for_run
from elr.methods.config import NOISE_RATE, TRANSITION, MethodConfig
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.loop import Training

CLASSES, FEATURES, WRONG = 10, 512, 0.2
REFERENCE = CrossEntropyConfig.name
WIDTHS = (16, 32, 64)


def noisy(network: str, rows: int) -> tuple[Examples, NetworkSpec, Transform]:
    """Rows of which a fifth have wrong labels, the network, and what becomes of the rows in training."""
    rng = np.random.default_rng(0)
    clean = rng.integers(CLASSES, size=rows)
    labels = np.where(rng.random(rows) < WRONG, (clean + rng.integers(1, CLASSES, size=rows)) % CLASSES, clean)
    if network == "mlp":
        centers = rng.normal(size=(CLASSES, FEATURES))
        features = (centers[clean] + 2 * rng.normal(size=(rows, FEATURES))).astype(np.float32)
        return Examples(features, labels), NetworkSpec("mlp", CLASSES, num_features=FEATURES), Transform()
    images = rng.integers(128, size=(rows, 3, 32, 32)) + 12 * clean[:, None, None, None]
    spec = NetworkSpec(network, CLASSES, widths=WIDTHS if network == "fast" else None)
    return Examples(images.astype(np.uint8), labels), spec, ImageTransform([0.5] * 3, [0.25] * 3, padding=4, flip=True)


def config_of(name: str, *, steps: int, epochs: int) -> MethodConfig:
    """The settings of a method in a run of so many epochs, told what it has to know."""
    transition = np.full((CLASSES, CLASSES), WRONG / (CLASSES - 1))
    np.fill_diagonal(transition, 1 - WRONG)
    known: dict[str, Any] = {NOISE_RATE: WRONG, TRANSITION: transition.tolist()}
    asked = {setting: known[quantity] for setting, quantity in METHODS[name].needs.items()}
    return method_for_run(name, asked, steps=steps, epochs=epochs)


def epoch_seconds(name: str, network: str, *, rows: int, batch_size: int, epochs: int) -> float:
    """The median seconds of an epoch in the second half of a run."""
    examples, spec, transform = noisy(network, rows)
    config = config_of(name, steps=epochs * -(-rows // batch_size), epochs=epochs)
    specs = config.network_specs(spec)
    networks = [each.build(generator_seed=number) for number, each in enumerate(specs)]
    method = config.build(networks, num_examples=rows, num_classes=CLASSES)
    loop = TrainingConfig(epochs=epochs, batch_size=batch_size).in_generations(config.generations)
    training = Training(method, examples, config=loop, transform=transform)
    training.run()
    return statistics.median(record["seconds"] for record in training.history[epochs // 2 :])


def measure(names: Sequence[str], network: str, *, rounds: int, **size: int) -> dict[str, Any]:
    """Ratios and seconds of the methods on a network; what went wrong, by method."""
    seconds: dict[str, list[float]] = {name: [] for name in dict.fromkeys([REFERENCE, *names])}
    failed: dict[str, str] = {}
    epoch_seconds(REFERENCE, network, **size | {"epochs": 2})  # first steps allocate
    for number in range(rounds):
        order = [name for name in seconds if name not in failed]
        turned = order[number % len(order) :] + order[: number % len(order)]
        for name in turned:
            try:
                seconds[name].append(epoch_seconds(name, network, **size))
            except ELRError as error:
                if name == REFERENCE:
                    raise
                failed[name] = str(error)
    rows = []
    for name, values in seconds.items():
        if name in failed:
            continue
        ratios = [own / base for own, base in zip(values, seconds[REFERENCE], strict=True)]
        rows.append(
            {
                "method": name,
                "networks": config_of(name, steps=1, epochs=size["epochs"]).num_networks,
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "greatest": max(ratios),
                "seconds": statistics.median(values),
            }
        )
    return {"network": network, "threads": torch.get_num_threads(), **size, "methods": rows, "failed": failed}


def table(found: dict[str, Any]) -> str:
    """For people: a line for each method."""
    lines = [
        f"{found['network']}, {found['rows']} rows, batch {found['batch_size']}, {found['epochs']} epochs, "
        f"{found['threads']} threads",
        f"{'method':<24} {'networks':>8} {'ratio':>6}  {'rounds':<14} {'s/epoch':>8}",
    ]
    for row in found["methods"]:
        rounds = f"{row['least']:.2f} to {row['greatest']:.2f}"
        lines.append(
            f"{row['method']:<24} {row['networks']:>8} {row['ratio']:>6.2f}  {rounds:<14} {row['seconds']:>8.3f}"
        )
    return "\n".join([*lines, *(f"NOT TIMED: {name}: {why}" for name, why in found["failed"].items())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mlp,fast")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in METHODS]:
        parser.error(f"no method {', '.join(unknown)}: there are {', '.join(METHODS)}")
    if min(arguments.epochs, arguments.rounds) < 1:
        parser.error("--epochs and --rounds are at least 1")
    torch.set_num_threads(arguments.threads)
    size = {"rows": arguments.rows, "batch_size": arguments.batch_size, "epochs": arguments.epochs}
    failed = False
    for network in arguments.network.split(","):
        found = measure(names, network, rounds=arguments.rounds, **size)
        failed |= bool(found["failed"])
        print(json.dumps(found) if arguments.json else f"{table(found)}\n", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
