"""Peak memory of a run beside its targets: an epoch, the audit and the files at the end, as a ratio to the store.

    python benchmarks/memory.py [--num-examples 2000000] [--num-classes 100] [--epochs 2] [--json]

A method with dense targets in float32 is trained on one made feature a row, by the real loop; then its evidence is
audited and written, and issues.csv. The peak is that of the resident memory (VmHWM) above what the process held before
the store was made: libraries, features, labels and row numbers. Linux only.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elr.audit.evidence import Evidence, write_evidence
from elr.audit.issues_view import write_issues
from elr.data.examples import Examples
from elr.methods.elr import ELRConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.monitor import Monitor

BATCH_SIZE = 8192


def memory(name: str) -> int:
    """VmRSS (resident now) or VmHWM (at the peak) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in /proc/self/status: expected Linux")


def made_examples(num_examples: int, num_classes: int) -> Examples:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(num_examples, 1, generator=generator)
    return Examples(features, torch.randint(num_classes, (num_examples,), generator=generator))


def measure(num_examples: int, num_classes: int, epochs: int) -> dict[str, float]:
    """Bytes of the store, and of the peak above what was there before it, after each part of a run; and seconds."""
    examples, rows = made_examples(num_examples, num_classes), np.arange(num_examples)
    assert examples.labels is not None
    before, started = memory("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    found: dict[str, float] = {"store": 4.0 * num_examples * num_classes}
    torch.manual_seed(0)
    network = nn.Linear(1, num_classes)
    method = ELRConfig().build([network], num_examples=num_examples, num_classes=num_classes)
    config = TrainingConfig(epochs=epochs, batch_size=min(BATCH_SIZE, num_examples), device="cpu", precision="float32")
    training = Training(method, examples, config=config, monitor=Monitor(examples.labels.numpy()))
    training.run()
    found["epochs"] = memory("VmHWM") - before
    evidence = Evidence(
        rows=rows,
        ids=None,
        class_names=tuple(range(num_classes)),
        labels=training.labels.numpy(),
        margins=training.state.monitor.margins.astype(np.float32),
        chunks=lambda: (probs.numpy() for probs in training.pred_prob_chunks()),
    )
    with tempfile.TemporaryDirectory() as folder:
        audit = write_evidence(Path(folder) / "evidence.parquet", evidence)
        found["audit and evidence"] = memory("VmHWM") - before
        write_issues(evidence, audit, Path(folder) / "issues.csv")
        found["peak"] = memory("VmHWM") - before
        found["evidence.parquet"] = (Path(folder) / "evidence.parquet").stat().st_size
    return found | {"ratio": found["peak"] / found["store"], "seconds": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-examples", type=int, default=2_000_000)
    parser.add_argument("--num-classes", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measure(20_000, arguments.num_classes, 1)  # what is loaded and made ready once
    found = measure(arguments.num_examples, arguments.num_classes, arguments.epochs)
    if arguments.json:
        print(json.dumps(found))
        return
    for name in ("store", "epochs", "audit and evidence", "peak", "evidence.parquet"):
        print(f"{name:20} {found[name] / 1e6:8.0f} MB {found[name] / found['store']:6.2f} of the store")
    print(f"{'seconds':20} {found['seconds']:8.0f}")


if __name__ == "__main__":
    main()
