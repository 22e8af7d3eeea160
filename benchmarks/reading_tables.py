"""How fast a CSV file is read, beside Arrow's reader alone.

    python benchmarks/reading_tables.py [--rows 1000000] [--rounds 7] [--json]

Files of 20 columns: ten of decimals, five of whole numbers, four of words and a label; once without quotation marks,
once with one column of words in them. In turns, in one process:

- arrow: pyarrow.csv.read_csv to a table of Arrow, its types guessed: the yardstick.
- elr: all that `elr fit` does to get a data frame: encoding, separator and marks found, every cell read as text, lines
  counted and compared with rows.

Ratios are taken round by round; medians are printed. The files are in the page cache: a disk is not measured.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv

from elr.data.formats.catalog import FORMATS
from elr.data.formats.table import TableFile


def write_files(root: Path, rows: int) -> dict[str, Path]:
    """The same table without and with quotation marks."""
    rng = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {f"decimal_{place}": rng.normal(size=rows).round(4) for place in range(10)}
    columns |= {f"whole_{place}": rng.integers(0, 1000, rows) for place in range(5)}
    columns |= {f"word_{place}": rng.choice(["red", "green", "blue", "violet"], rows) for place in range(4)}
    frame = pd.DataFrame(columns | {"label": rng.choice(["cat", "dog"], rows)})
    paths = {"plain": root / "plain.csv", "with quotation marks": root / "marks.csv"}
    frame.to_csv(paths["plain"], index=False)
    frame.assign(word_0=frame["word_0"] + ", it is").to_csv(paths["with quotation marks"], index=False)
    return paths


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(path: Path, rounds: int) -> dict[str, float]:
    """Medians over rounds, after one that is not counted."""
    form = FORMATS["csv"]
    assert isinstance(form, TableFile)
    times = []
    for _ in range(rounds + 1):
        arrow = seconds(lambda: pyarrow.csv.read_csv(path))
        times.append((arrow, seconds(lambda: form.table(path, as_text=["label"]))))
    return {
        "arrow_seconds": statistics.median(arrow for arrow, _ in times[1:]),
        "elr_seconds": statistics.median(own for _, own in times[1:]),
        "ratio": statistics.median(own / arrow for arrow, own in times[1:]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), arguments.rows)
        found = {name: measured(path, arguments.rounds) for name, path in paths.items()}
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, each in found.items():
            seconds_each = f"Arrow {each['arrow_seconds']:.2f} s, elr {each['elr_seconds']:.2f} s"
            print(f"{name}: {seconds_each}, ratio {each['ratio']:.2f}")
