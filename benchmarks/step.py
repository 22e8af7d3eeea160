"""Seconds of a whole ELR step, as a ratio to the same step with cross entropy; and what freed memory costs.

    python benchmarks/step.py [--network fast] [--batch-size 500] [--steps 10] [--rounds 7] [--json]

A step is forward, backward and optimizer on tensors already in memory, on the fast CIFAR-10 network (bfloat16 where the
device computes it, channels_last), on a GPU where there is one. Each method has a network and an optimizer of its own
with equal first weights; single steps alternate in this process, and the ratio is the median over the rounds of the
ratio of sums. `allocator` is the speed with freed memory kept (as `Training` does on a processor) over the speed
without, measured first, before it is switched on for good.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch

from elr.data.examples import Examples
from elr.data.transforms import ImageTransform
from elr.devices import keep_freed_memory
from elr.methods.cross_entropy import LossMethod
from elr.methods.elr import ELRConfig
from elr.methods.method import Method
from elr.networks.spec import NetworkSpec
from elr.targets.store import trusted_rows
from elr.training import loop as loops
from elr.training.config import TrainingConfig
from elr.training.loop import Training


def make_trainings(network: str, batch_size: int, steps: int) -> dict[str, Training]:
    """The same random images, network and loop with each method."""
    rng = np.random.default_rng(0)
    count = batch_size * steps
    examples = Examples(rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=count))
    spec = NetworkSpec(network, 10)
    methods: dict[str, Method] = {
        "cross_entropy": LossMethod(spec.build(generator_seed=0)),
        "elr": ELRConfig().build([spec.build(generator_seed=0)], num_examples=count, num_classes=10),
    }
    transform = ImageTransform([0.5] * 3, [0.25] * 3)
    config = TrainingConfig(batch_size=batch_size)
    return {name: Training(method, examples, config=config, transform=transform) for name, method in methods.items()}


def step_seconds(training: Training, batch) -> float:
    device = training.accelerator.device
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    finish()
    started = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=training.bfloat16), trusted_rows(training.method.stores):
        step = training.method(batch)
    step.loss.backward()
    training.optimizers[0].step()
    training.optimizers[0].zero_grad()
    finish()
    return time.perf_counter() - started


def seconds(trainings: dict[str, Training], batches: list, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round and method; who comes first changes from step to step."""
    sums: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(rounds):
        round_sums = dict.fromkeys(trainings, 0.0)
        for number, (batch, _) in enumerate(batches):
            for name in sorted(trainings, reverse=number % 2 == 1):
                round_sums[name] += step_seconds(trainings[name], batch)
        for name, total in round_sums.items():
            sums[name].append(total)
    return sums


def measure(network: str, batch_size: int, steps: int, rounds: int) -> dict:
    loops.keep_freed_memory = lambda: None  # not yet: the first measurement is without it
    trainings = make_trainings(network, batch_size, steps)
    batches = list(trainings["elr"]._batches())
    seconds(trainings, batches[:2], 1)  # first steps allocate
    before = statistics.median(seconds(trainings, batches, 3)["cross_entropy"])
    keep_freed_memory()
    seconds(trainings, batches[:2], 1)
    sums = seconds(trainings, batches, rounds)
    after = statistics.median(sums["cross_entropy"])
    return {
        "network": network,
        "batch_size": batch_size,
        "bfloat16": trainings["elr"].bfloat16,
        "threads": torch.get_num_threads(),
        "cross_entropy_per_second": batch_size * steps / after,
        "ratio": statistics.median(a / b for a, b in zip(sums["elr"], sums["cross_entropy"], strict=True)),
        "ratios": [a / b for a, b in zip(sums["elr"], sums["cross_entropy"], strict=True)],
        "allocator": before / after,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fast")
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.network, arguments.batch_size, arguments.steps, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['network']}, batch {result['batch_size']}, {'bfloat16' if result['bfloat16'] else 'float32'}, "
            f"{result['threads']} threads: ELR step / cross-entropy step {result['ratio']:.4f} (rounds "
            f"{min(result['ratios']):.4f} to {max(result['ratios']):.4f}), cross entropy "
            f"{result['cross_entropy_per_second']:.0f} images/s, {result['allocator']:.2f} times as fast as without "
            "freed memory kept"
        )
