"""Targets at size: two epochs of ELR over computed rows with one store, beside a dense one; and the table of sizes.

python benchmarks/scale.py --table prints the table of docs/scale.md. python benchmarks/scale.py --rows 10000000
--folder DISK trains two epochs on made features, which are computed by row number and never stored, goes through the
audit, and prints the table that "Measured" in docs/scale.md has; with each store in a process of its own.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

import elr.devices
from elr.audit.evidence import Evidence, write_evidence
from elr.audit.issues_view import write_issues
from elr.data.examples import Examples, StoredInputs, permutation
from elr.methods.elr import ELRConfig
from elr.targets.config import TargetsConfig
from elr.targets.table_file import TableHeader
from elr.training.checkpoints import Checkpoints, remove_checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.monitor import Monitor

FEATURES, BATCH = 16, 1024
_DTYPES = {2: "bfloat16", 4: "float32", 8: "float64"}
EPOCHS = 2
"""By default. In the first, targets are zero, and a file of them was never read."""
SMALL = 100_000
"""Rows of the dense store that the others are compared with."""
TURN = 16
"""Steps that a training has before it is the other's turn."""
EVIDENCE = 4 * 10**9
"""Bytes of probabilities up to which evidence.parquet is written."""


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
    mapped: the same with the table on disk, once for each process, rows padded to whole pages where that takes little.
    sharded: N C s / W on each; B (W - 1) / W (8 + 4 C + s C) are sent.
    sparse: N (k (i + s) + s), i = 2 bytes up to 65,536 classes and 4 above; outputs as dense.
    A checkpoint writes the table once, by W processes at the same time where it is sharded.
    """
    rows, classes, ranks, batch = place.num_examples, place.num_classes, place.gpus, place.batch
    table = rows * classes * itemsize
    gathered = batch * (ranks - 1) * (8 + 4 * classes)
    if placement == "sparse":
        table = rows * (top_k * ((2 if classes <= 2**16 else 4) + itemsize) + itemsize)
    if placement == "mapped":
        table = rows * TableHeader(num_examples=rows, num_classes=classes, dtype=_DTYPES[itemsize], nonce=0).stride
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


class MadeInputs(StoredInputs):
    """Features that are computed by row number, some of the rows or all."""

    def __init__(self, rows: int, num_classes: int, chosen: Tensor | None = None) -> None:
        self.rows, self.num_classes, self.chosen = rows, num_classes, chosen

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, FEATURES)

    def start(self, index: Tensor, places: Tensor | None = None):
        del places
        rows = index if self.chosen is None else self.chosen[index]
        return lambda: made(rows, self.num_classes)[0]

    def order(self, generator: torch.Generator) -> Tensor:
        return permutation(self.rows, generator)

    def take(self, positions) -> StoredInputs:
        rows = torch.from_numpy(positions)
        return MadeInputs(len(rows), self.num_classes, rows if self.chosen is None else self.chosen[rows])

    def identity(self) -> bytes:
        return f"made {self.rows} {self.num_classes}".encode()


def made_examples(rows: int, num_classes: int) -> Examples:
    labels = np.empty(rows, dtype=np.int64)
    for part in torch.arange(rows).split(2**16):
        labels[int(part[0]) : int(part[-1]) + 1] = made(part, num_classes)[1].numpy()
    return Examples(MadeInputs(rows, num_classes), labels)


def training_of(examples: Examples, num_classes: int, config: TargetsConfig, *, epochs: int, folder=None) -> Training:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, num_classes))
    method = ELRConfig().build([network], num_examples=len(examples), num_classes=num_classes, targets=config)
    how = TrainingConfig(
        epochs=epochs, batch_size=min(BATCH, len(examples)), learning_rate=0.05, device="cpu", precision="float32"
    )
    return Training(method, examples, config=how, monitor=Monitor(examples.labels.numpy()), folder=folder)


class OverError(Exception):
    """There is nothing left to take turns with."""


class Turns:
    """Two trainings that step by turns: each goes on when the other has finished some steps, and all that they began.

    Args:
        names: of both; the first is the one that is measured.
        steps: of a turn; its last one takes until all is done that goes on beside the training.
        settle: waits for that of the first training.
    """

    def __init__(self, *names: str, steps: int = TURN, settle: Callable[[], None] = lambda: None) -> None:
        self.steps, self.settle = steps, settle
        self.done = dict.fromkeys(names, 0)
        self.times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}  # of the wall, of the processor
        self.batons = {name: threading.Semaphore(0) for name in names}
        self.over = False
        self.failure: BaseException | None = None
        self.began, self.computed = 0.0, 0.0
        self.epochs = dict.fromkeys(names, -1)

    def other(self, name: str) -> str:
        return next(each for each in self.batons if each != name)

    def wait(self, name: str) -> None:
        self.batons[name].acquire()
        if self.failure is not None:
            raise RuntimeError("the training beside failed") from self.failure
        if self.over and name != next(iter(self.batons)):
            raise OverError
        self.begin()

    def give(self, name: str) -> None:
        """Have the training of this name take its first turn, before the other one begins."""
        self.batons[name].release()
        self.wait(self.other(name))

    def begin(self) -> None:
        self.began, self.computed = time.perf_counter(), time.thread_time()

    def stepped(self, name: str, progress) -> None:
        """What a training calls after each batch: what is between two epochs belongs to no step."""
        self.done[name] += 1
        last = self.done[name] % self.steps == 0
        if last and name == next(iter(self.batons)):
            self.settle()
        seconds, computing = time.perf_counter() - self.began, time.thread_time() - self.computed
        if progress.epoch == self.epochs[name]:
            self.times[name].append((seconds, computing))
        self.epochs[name] = progress.epoch
        if last:
            self.batons[self.other(name)].release()
            self.wait(name)
        else:
            self.begin()

    def ratios(self, part: slice) -> dict[str, float]:
        """Of the first training to the second, over a part of the steps: wall (median, mean), processor (median)."""
        first, second = (np.array(each[part]) for each in self.times.values())
        middle = np.median(first, axis=0) / np.median(second, axis=0)
        mean = first.mean(axis=0) / second.mean(axis=0)
        return {"ratio": float(middle[0]), "mean_ratio": float(mean[0]), "computing_ratio": float(middle[1])}

    def fail(self, failure: BaseException) -> None:
        """Have the training that waits fail too, which would wait for ever."""
        self.failure = failure
        self.finish()

    def finish(self) -> None:
        self.over = True
        for baton in self.batons.values():
            baton.release()


@contextmanager
def timed_checkpoints():
    """The seconds of each checkpoint."""
    seconds, save = [], Checkpoints.save

    def timed(self, epoch: int) -> None:
        started = time.perf_counter()
        save(self, epoch)
        seconds.append(time.perf_counter() - started)

    Checkpoints.save = timed
    try:
        yield seconds
    finally:
        Checkpoints.save = save


def release_freed() -> None:
    """Give back to the system what was freed and kept, which would hide what is taken from then on."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak() -> int:
    """Bytes of memory that this process has now; from here on `peak` counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """Bytes of memory that this process had at most, pages of mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@patch.object(elr.devices, "TURNS", nullcontext())  # the two trainings take turns by the step
def measure(
    config: TargetsConfig, rows: int, num_classes: int, folder: Path, *, epochs: int = EPOCHS, turn: int = TURN
) -> dict[str, float]:
    """Some epochs and the audit.

    Seconds a step as ratios to those of a dense store of at most 100,000 rows, taking turns in one process (median, and
    mean; the median of processor time, which a crowded machine leaves as it is), in the
    first epoch and in the last; bytes above what the process had with the data in it and the other training after its
    first turn; seconds of the checkpoint at the end and of each part of the audit.
    """
    examples, few = made_examples(rows, num_classes), made_examples(min(rows, SMALL), num_classes)
    other = training_of(few, num_classes, TargetsConfig(), epochs=10**6)
    turns, started = Turns("large", "dense", steps=turn, settle=lambda: settle()), time.perf_counter()

    def step_beside() -> None:
        try:
            turns.wait("dense")
            other.run(on_progress=lambda progress: turns.stepped("dense", progress))
        except OverError:
            pass
        except BaseException as error:
            turns.fail(error)

    def stepped(progress) -> None:
        if progress.step == 1:  # and no other than the last
            remove_checkpoints(folder)  # that of the beginning: the disk is to have room for two tables, not for three
        turns.stepped("large", progress)

    other.method.stores[0].mean()  # its memory is there
    beside = threading.Thread(target=step_beside)
    beside.start()
    with timed_checkpoints() as checkpoints:
        try:
            release_freed()
            turns.give("dense")  # what it frees in a step it takes again in the next one
            before = forget_peak()
            training = training_of(examples, num_classes, replace(config, folder=folder), epochs=epochs, folder=folder)
            settle = getattr(training.method.stores[0], "settle", lambda: None)
            turns.begin()
            training.run(on_progress=stepped)
        finally:
            turns.finish()
            beside.join()
    in_training = peak()
    steps = len(turns.times["large"]) // epochs
    found = {
        "step_ms": 1e3 * float(np.median([wall for wall, _ in turns.times["large"]])),
        "first_epoch": turns.ratios(slice(steps)),
        "last_epoch": turns.ratios(slice(steps * (epochs - 1), None)),
        "store_bytes": store_bytes(config, rows, num_classes),
        "peak_in_training": in_training - before,
        "checkpoint_seconds": checkpoints[-1],
        "training_seconds": time.perf_counter() - started,
    }
    remove_checkpoints(folder)
    return found | audited(training, num_classes, folder, before)


def store_bytes(config: TargetsConfig, rows: int, num_classes: int) -> float:
    place = Place(name="", num_examples=rows, num_classes=num_classes)
    itemsize = {"float32": 4, "bfloat16": 2}[config.dtype]
    return sizes(place, config.placement, itemsize=itemsize, top_k=min(config.top_k, num_classes))["memory"]


def audited(training: Training, num_classes: int, folder: Path, before: int) -> dict[str, float]:
    """The chunks of the audit, evidence.parquet where it is not too large, and issues.csv."""
    rows = len(training.examples)
    evidence = Evidence(
        rows=np.arange(rows),
        ids=None,
        class_names=tuple(range(num_classes)),
        labels=training.labels.numpy(),
        margins=training.state.monitor.margins.astype(np.float32),
        chunks=lambda: (probs.numpy() for probs in training.pred_prob_chunks()),
    )
    release_freed()
    forget_peak()
    started = time.perf_counter()
    written = 4 * rows * num_classes <= EVIDENCE
    audit = write_evidence(folder / "evidence.parquet", evidence) if written else evidence.audit()
    audited = time.perf_counter()
    write_issues(evidence, audit, folder / "issues.csv")
    return {
        "evidence_written": written,
        "audit_seconds": audited - started,
        "issues_seconds": time.perf_counter() - audited,
        "peak_in_audit": peak() - before,
        "issues": audit.num_label_issues,
    }


def line(found: dict) -> str:
    """A row of the table in docs/scale.md."""
    cells = [
        f"{found['placement']} {found['dtype']}",
        f"{found['step_ms']:.1f} ms",
        *(
            " / ".join(f"{found[epoch][name]:.2f}" for epoch in ("first_epoch", "last_epoch"))
            for name in ("ratio", "mean_ratio", "computing_ratio")
        ),
        f"{found['store_bytes'] / 1e9:.2f}",
        f"{found['peak_in_training'] / 1e9:.2f}",
        f"{found['peak_in_audit'] / 1e9:.2f}",
        f"{found['checkpoint_seconds']:.1f}",
        f"{found['audit_seconds']:.0f}" + ("" if found["evidence_written"] else " (no evidence.parquet)"),
        f"{found['issues_seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| store | a step | ratio, median | mean | of processor time | GB of the store | GB more in training | in the audit \
| checkpoint, s | audit, s | issues.csv, s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--placement", nargs="+", default=["mapped", "sparse"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--json", action="store_true", help="one store in this process, and its numbers alone")
    asked = parser.parse_args()
    if asked.table:
        print(table())
        return
    if asked.json:
        store = TargetsConfig(placement=asked.placement[0], dtype=asked.dtype)
        asked.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            found = measure(store, asked.rows, asked.classes, Path(place), epochs=asked.epochs)
        print(json.dumps({"placement": store.placement, "dtype": store.dtype} | found))
        return
    lines = []
    for placement in asked.placement:
        own = [sys.executable, __file__, "--json", "--placement", placement, "--dtype", asked.dtype]
        own += [
            "--epochs",
            str(asked.epochs),
            "--rows",
            str(asked.rows),
            "--classes",
            str(asked.classes),
            "--folder",
            str(asked.folder),
        ]
        ran = subprocess.run(own, stdout=subprocess.PIPE, text=True, check=True)
        print(ran.stdout, end="", file=sys.stderr)
        lines.append(line(json.loads(ran.stdout.splitlines()[-1])))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"{asked.epochs} epoch(s) of {asked.rows:,} rows of {asked.classes:,} classes, batches of {BATCH}, "
        f"{time.strftime('%Y-%m-%d')}, "
        f"{platform.machine()} with {os.cpu_count()} cores, torch {torch.__version__}, load at the end {load}:\n"
    )
    print(HEAD)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
