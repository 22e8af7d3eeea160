"""Time and memory to open a published data set of full size, on made lists without images.

    python benchmarks/opening.py [--json]

Clothing1M: a million names with noisy labels, 72,409 with clean ones, 37,497 of them with both. Each opening runs in a
process of its own; memory is what opening adds to the process's peak, and the peak itself, the imports (torch among
them) included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

NOISY, CLEAN, BOTH = 1_000_000, (47_570, 14_313, 10_526), 37_497
OPEN = """
import json, resource, sys, time
from pathlib import Path
from elr.datasets.catalog import make_loader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

loader, before = make_loader(sys.argv[1]), peak()
started = time.perf_counter()
opened = loader.open(Path(sys.argv[2]))
seconds = time.perf_counter() - started
sizes = {name: len(part) for name, part in opened.parts.items()}
print(json.dumps({"seconds": seconds, "added_bytes": peak() - before, "peak_bytes": peak(), "examples": sizes}))
"""


def write_clothing1m(root: Path) -> None:
    """Lists of the published lengths; names of the published length."""
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    count = NOISY + BOTH + sum(CLEAN)
    keys = [f"images/{row % 10}/{row % 100}/{row:010d},{row * 7919 % 2**32:010d}.jpg" for row in range(count)]
    labels = rng.integers(0, 14, count)
    clean = keys[NOISY : NOISY + sum(CLEAN)]
    (root / "noisy_train_key_list.txt").write_text("\n".join(keys[:NOISY]))
    noisy = zip(keys[: NOISY + BOTH], labels, strict=False)
    (root / "noisy_label_kv.txt").write_text("\n".join(f"{key} {label}" for key, label in noisy))
    (root / "clean_label_kv.txt").write_text("\n".join(f"{k} {c}" for k, c in zip(clean, labels, strict=False)))
    ends = np.cumsum([0, *CLEAN])
    for part, first, last in zip(("train", "val", "test"), ends, ends[1:], strict=False):
        (root / f"clean_{part}_key_list.txt").write_text("\n".join(clean[first:last]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_clothing1m(Path(folder))
        rounds = []
        for _ in range(arguments.rounds):
            command = [sys.executable, "-c", OPEN, "clothing1m", folder]
            rounds.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    if arguments.json:
        print(json.dumps(rounds))
        return
    for found in rounds:
        print(
            f"clothing1m: {found['seconds']:.2f} s, {found['added_bytes'] / 1e6:.0f} MB more at the peak "
            f"(in all {found['peak_bytes'] / 1e6:.0f} MB); {found['examples']}"
        )


if __name__ == "__main__":
    main()
