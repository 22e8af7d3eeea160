"""Targets at size: an epoch of ELR over computed rows with one store, beside a small dense one; and the table of sizes.

python benchmarks/scale.py --table prints the table of docs/scale.md. python benchmarks/scale.py --rows 10000000
--placement mapped trains an epoch on made features, which are computed by row number and never stored.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from elr.methods.elr import ELR, ELRConfig
from elr.methods.method import Batch
from elr.targets.config import TargetsConfig

FEATURES, BATCH = 16, 1024


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where targets are: a data set, and how many GPUs train on it.

    Args:
        name: of the data.
        num_examples: N.
        num_classes: C.
        gpus: W.
        batch: rows of a step on each GPU.
        disk: bytes a second of the disk, for checkpoints. An assumption.
    """

    name: str
    num_examples: int
    num_classes: int
    gpus: int = 1
    batch: int = 256
    disk: float = 1e9


def sizes(place: Place, placement: str, *, itemsize: int = 2, top_k: int = 16) -> dict[str, float]:
    """Bytes of each process, of the disk, sent by a GPU a step, and seconds of a checkpoint.

    dense: N C s on each process; all ranks' outputs are gathered: B (W - 1) (8 + 4 C) bytes arrive a step.
    mapped: the same with the table on disk, once for each process.
    sharded: N C s / W on each; B (W - 1) / W (8 + 4 C + s C) are sent.
    sparse: N (k (i + s) + s), i = 2 bytes up to 65,536 classes and 4 above; outputs as dense.
    A checkpoint writes the table once, by W processes at the same time where it is sharded.
    """
    rows, classes, ranks, batch = place.num_examples, place.num_classes, place.gpus, place.batch
    table = rows * classes * itemsize
    gathered = batch * (ranks - 1) * (8 + 4 * classes)
    if placement == "sparse":
        table = rows * (top_k * ((2 if classes <= 2**16 else 4) + itemsize) + itemsize)
    memory = {"mapped": 0.0, "sharded": table / ranks}.get(placement, float(table))
    sent = batch * (ranks - 1) / ranks * (8 + 4 * classes + itemsize * classes) if placement == "sharded" else gathered
    writers = ranks if placement == "sharded" else 1
    disk = float(table * ranks) if placement == "mapped" else 0.0
    return {"memory": memory, "disk": disk, "sent": float(sent), "checkpoint": table / place.disk / writers}


DATA = (("ImageNet-1k", 1_281_167, 1_000), ("ImageNet-21k", 14_197_122, 21_841), ("100 M x 10 k", 100_000_000, 10_000))


def table() -> str:
    """The table of docs/scale.md, in Markdown; bfloat16 for all stores."""
    lines = [
        "| data | GPUs | store | GB a process | GB of disk | MB a step | checkpoint, s |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for name, rows, classes in DATA:
        for gpus in (1, 8, 64):
            place = Place(name=name, num_examples=rows, num_classes=classes, gpus=gpus)
            for placement in ("dense", "mapped", "sharded", "sparse"):
                found = sizes(place, placement)
                cells = (found["memory"] / 1e9, found["disk"] / 1e9, found["sent"] / 1e6, found["checkpoint"])
                lines.append(
                    f"| {name} | {gpus} | {placement} | " + " | ".join(f"{cell:,.1f}" for cell in cells) + " |"
                )
    return "\n".join(lines)


def made(index: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Features (B, 16) and given labels (B,) of rows, a fifth of them wrong: a mixing hash of the row number."""
    columns = torch.arange(FEATURES + 2)
    mixed = (index[:, None] + 1) * (2 * columns + 1) * 2654435761
    mixed = (mixed ^ (mixed >> 15)) * 2246822519
    uniform = ((mixed ^ (mixed >> 13)) & 0xFFFFFF).float() / 2**24
    labels = index % num_classes
    features = torch.sin((labels[:, None] + 1) * (columns[:FEATURES] + 1) * 0.37) + 0.3 * (uniform[:, :FEATURES] - 0.5)
    wrong = uniform[:, FEATURES] < 0.2
    return features, torch.where(wrong, (labels + 1) % num_classes, labels)


def batches(rows: int, num_classes: int) -> Iterator[Batch]:
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    for index in order.split(BATCH):
        yield Batch(index, *made(index, num_classes))


def prepared(config: TargetsConfig, rows: int, num_classes: int) -> tuple[ELR, torch.optim.Optimizer]:
    network = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, num_classes))
    method = ELRConfig().build([network], num_examples=rows, num_classes=num_classes, targets=config)
    return method.train(), torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def step(method: ELR, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    started = time.perf_counter()
    optimizer.zero_grad()
    method(batch).loss.backward()
    optimizer.step()
    return time.perf_counter() - started


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(config: TargetsConfig, rows: int, num_classes: int, folder: Path) -> dict[str, float]:
    """An epoch: seconds a step and those of a dense store of at most 100,000 rows, taking turns; memory; checkpoint."""
    small = min(rows, 100_000)
    dense, dense_optimizer = prepared(TargetsConfig(), small, num_classes)
    dense.stores[0].mean()
    turns = batches(small, num_classes)
    before = peak()
    method, optimizer = prepared(replace(config, folder=folder), rows, num_classes)
    times: tuple[list[float], list[float]] = ([], [])
    for number, batch in enumerate(batches(rows, num_classes)):
        times[0].append(step(method, optimizer, batch))
        if number % 4 == 0:
            other = next(turns, None)
            if other is None:
                turns = batches(small, num_classes)
                other = next(turns)
            times[1].append(step(dense, dense_optimizer, other))
    middle = [torch.tensor(each[len(each) // 10 :]).median().item() for each in times]
    in_epoch = peak()
    started = time.perf_counter()
    (folder / "rows").mkdir()
    method.stores[0].save_rows(folder / "rows")
    return {
        "step_seconds": middle[0],
        "dense_step_seconds": middle[1],
        "ratio": middle[0] / middle[1],
        "mean_ratio": (sum(times[0]) / len(times[0])) / (sum(times[1]) / len(times[1])),
        "peak_above": in_epoch - before,
        "checkpoint_seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--placement", default="mapped")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--folder", type=Path, default=Path())
    asked = parser.parse_args()
    if asked.table:
        print(table())
    else:
        store = TargetsConfig(placement=asked.placement, dtype=asked.dtype)
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            print(json.dumps(vars(asked) | measure(store, asked.rows, asked.classes, Path(place)), default=str))
