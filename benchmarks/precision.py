"""Images per second of a training step by precision and memory layout, and what `precision="auto"` takes here.

    python benchmarks/precision.py [--network fast] [--batch-size 500] [--steps 4] [--rounds 3] [--json]

Forward, cross entropy, backward and optimizer on random images already in memory; the layouts take turns in this
process, and each figure is the median over the rounds. Ratios are to float32 with images channel by channel, torch's
default.
"""

import argparse
import json
import statistics
import time

import torch
from torch.nn import functional as F

from elr.devices import computes_bfloat16, keep_freed_memory
from elr.methods.method import ParameterGroup
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.optimizers import make_optimizer

LAYOUTS = {
    "float32": (False, torch.contiguous_format),
    "float32, channels_last": (False, torch.channels_last),
    "bfloat16": (True, torch.contiguous_format),
    "bfloat16, channels_last": (True, torch.channels_last),
}


class Bench:
    """A network, its optimizer and a batch in one layout."""

    def __init__(self, network: str, batch_size: int, *, bfloat16: bool, layout: torch.memory_format) -> None:
        self.bfloat16 = bfloat16
        self.network = NetworkSpec(network, 10).build(generator_seed=0).to(memory_format=layout)  # type: ignore[call-overload]
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(batch_size, 3, 32, 32, generator=generator).contiguous(memory_format=layout)
        self.labels = torch.randint(10, (batch_size,), generator=generator)
        self.optimizer = make_optimizer(TrainingConfig(), [ParameterGroup(list(self.network.parameters()))])

    def per_second(self, steps: int) -> float:
        """Images per second of so many steps."""
        started = time.perf_counter()
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                loss = F.cross_entropy(self.network(self.images).float(), self.labels)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return steps * len(self.images) / (time.perf_counter() - started)


def measure(network: str, batch_size: int, steps: int, rounds: int) -> dict[str, float]:
    """The median over the rounds of images per second, by layout."""
    keep_freed_memory()  # as training does
    benches = {
        name: Bench(network, batch_size, bfloat16=bfloat16, layout=layout)
        for name, (bfloat16, layout) in LAYOUTS.items()
    }
    for bench in benches.values():
        bench.per_second(1)  # first steps allocate
    found = [{name: bench.per_second(steps) for name, bench in benches.items()} for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in found) for name in LAYOUTS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fast")
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.network, arguments.batch_size, arguments.steps, arguments.rounds)
    taken = "bfloat16" if computes_bfloat16(torch.device("cpu")) else "float32"
    if arguments.json:
        print(json.dumps({"images_per_second": result, "auto": taken}))
    else:
        for name, speed in result.items():
            print(f"{name:<24} {speed:6.0f} images/s, {speed / result['float32']:.2f}")
        print(f'precision="auto" takes {taken}, channels_last')
