"""What it takes to read and to write rows of a file of targets, in microseconds a row.

    python benchmarks/mapped_rows.py [--rows 300000] [--classes 1000] [--batch 1024] [--rounds 9] [--folder DISK]

Rows of C numbers in bfloat16, in batches drawn at random, in turns in one process; medians over the rounds.

- held: the system has the file in memory. "Python" reads and writes a batch in the training thread, a call of the
  system for each row; "built" is what the compiler behind torch.compile builds for it, which a thread beside the
  training runs (here it is waited for).
- disk: the system has let go of the file before. "one by one" waits for each row before it asks for the next;
  "at once" asks for all rows of the batch and then waits, as elr does.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from elr.targets import row_access
from elr.targets.row_access import RowAccess

_CHUNK = 2**14  # rows written at once


class Rows:
    """A file of rows, and ways to read and write some of them.

    Args:
        folder: where the file is.
        count: rows.
        classes: numbers of a row, 2 bytes each.
    """

    def __init__(self, folder: Path, count: int, classes: int) -> None:
        self.count, self.classes, self.width = count, classes, 2 * classes
        self.path = folder / "rows"
        file = self.path.open("w+b")
        chunk = torch.rand(_CHUNK, classes).bfloat16().view(torch.uint8).numpy()
        for start in range(0, count, _CHUNK):
            file.write(chunk[: count - start].data)
        file.flush()
        self.access = RowAccess(file, self.path, first=0, stride=self.width, size=count * self.width, zeros=False)

    def read(self, index: Tensor, *, beside: bool) -> Tensor:
        memory = torch.empty(len(index), self.classes, dtype=torch.bfloat16)
        return self.access.begin(index, memory, beside=beside).take(len(index))

    def write(self, index: Tensor, rows: Tensor, *, beside: bool) -> None:
        self.access.write(index, rows, beside=beside)
        self.access.settle()

    def one_by_one(self, index: Tensor) -> None:
        for row in index.tolist():
            os.pread(self.access.file.fileno(), self.width, row * self.width)

    def let_go(self) -> None:
        """Have the system let go of the file, whose pages it may only keep."""
        os.fdatasync(self.access.file.fileno())
        os.posix_fadvise(self.access.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(self.access.file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)


def measure(folder: Path, count: int, classes: int, batch: int, rounds: int) -> dict[str, float | None]:
    """Microseconds a row; None where there is no compiler."""
    rows, generator = Rows(folder, count, classes), torch.Generator().manual_seed(0)
    built = row_access._mover() is not None
    taken: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        started = time.perf_counter()
        act()
        taken.setdefault(name, []).append(1e6 * (time.perf_counter() - started) / batch)

    for number in range(rounds + 1):
        for beside in (False, True) if built else (False,):
            index, way = torch.randperm(count, generator=generator)[:batch], "built" if beside else "Python"
            moved = rows.read(index, beside=beside)
            timed(f"held, read, {way}", lambda index=index, beside=beside: rows.read(index, beside=beside))
            timed(f"held, write, {way}", lambda i=index, m=moved, b=beside: rows.write(i, m, beside=b))
        for name, read in (("one by one", rows.one_by_one), ("at once", lambda index: rows.read(index, beside=False))):
            rows.let_go()
            index = torch.randperm(count, generator=generator)[:batch]
            timed(f"disk, read, {name}", lambda index=index, read=read: read(index))
        if not number:
            taken.clear()  # the first round warms up
    rows.access.close()
    names = [f"held, {what}, {way}" for way in ("Python", "built") for what in ("read", "write")]
    names += [f"disk, read, {way}" for way in ("one by one", "at once")]
    return {name: statistics.median(taken[name]) if name in taken else None for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not 1 <= asked.batch <= asked.rows:
        parser.error(f"--batch is {asked.batch}: expected at least 1 row, and at most the {asked.rows} that there are")
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = measure(Path(folder), asked.rows, asked.classes, asked.batch, asked.rounds)
    if asked.json:
        print(json.dumps(found))
        return
    print("| rows | microseconds each |\n|---|---:|")
    for name, value in found.items():
        print(f"| {name} | {'-' if value is None else f'{value:.1f}'} |")


if __name__ == "__main__":
    main()
