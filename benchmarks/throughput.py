"""Images per second of the training loop, as a ratio to the bare forward-backward-step on tensors already in memory.

    python benchmarks/throughput.py [--network fast] [--batch-size 500] [--steps 8] [--json]

Both run in this process, in turns, on the same network, batch size, precision and memory format, with the ELR loss in
both. The loop adds what a real run needs: fetching rows, augmentation on uint8 images, normalization, monitoring, the
schedule, the history. The ratio is the median over the rounds.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch

from elr.data.examples import Examples
from elr.data.transforms import ImageTransform, Transform
from elr.methods.elr import ELRConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.loop import Training


def make_training(network: str, batch_size: int, steps: int) -> Training:
    """A run whose epochs have `steps` batches, on random data of the shape of CIFAR-10 (or 64 features for vectors)."""
    rng = np.random.default_rng(0)
    count = batch_size * steps
    labels = rng.integers(10, size=count)
    if network in ("mlp", "linear"):
        inputs, transform = rng.normal(size=(count, 64)).astype(np.float32), Transform()
        spec = NetworkSpec(network, 10, num_features=64)
    else:
        inputs = rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=4, flip=True)
        spec = NetworkSpec(network, 10)
    method = ELRConfig().build([spec.build(generator_seed=0)], num_examples=count, num_classes=10)
    config = TrainingConfig(epochs=1000, batch_size=batch_size)
    return Training(method, Examples(inputs, labels), config=config, transform=transform)


def bare_seconds(training: Training, batches: list) -> float:
    """The same steps on batches made beforehand: forward, backward, optimizer."""
    started = time.perf_counter()
    training.method.train()
    for batch, _ in batches:
        with torch.autocast(training.accelerator.device.type, torch.bfloat16, enabled=training.bfloat16):
            step = training.method(batch)
        step.loss.backward()
        training.optimizers[0].step()
        training.optimizers[0].zero_grad()
    return time.perf_counter() - started


def loop_seconds(training: Training) -> float:
    """One epoch of the training loop."""
    started = time.perf_counter()
    training._epoch(None)
    return time.perf_counter() - started


def measure(network: str, batch_size: int, steps: int, rounds: int) -> dict:
    training = make_training(network, batch_size, steps)
    batches = list(training._batches())
    small = network in ("mlp", "linear")
    torch.set_num_threads(1 if small else torch.get_num_threads())
    bare_seconds(training, batches[:1])  # the first step allocates
    bare, loop = [], []
    for _ in range(rounds):
        bare.append(bare_seconds(training, batches))
        loop.append(loop_seconds(training))
    count = batch_size * steps
    return {
        "network": network,
        "batch_size": batch_size,
        "bfloat16": training.bfloat16,
        "threads": torch.get_num_threads(),
        "bare_per_second": count / statistics.median(bare),
        "loop_per_second": count / statistics.median(loop),
        "ratio": statistics.median(b / a for a, b in zip(loop, bare, strict=True)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fast")
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.network, arguments.batch_size, arguments.steps, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['network']}, batch {result['batch_size']}, {'bfloat16' if result['bfloat16'] else 'float32'}, "
            f"{result['threads']} threads: bare {result['bare_per_second']:.0f}/s, "
            f"loop {result['loop_per_second']:.0f}/s, ratio {result['ratio']:.3f}"
        )
