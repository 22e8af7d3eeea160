"""What reading and preparing a file takes of memory, for each byte of it: the table "Data in memory" of docs/scale.md.

    python benchmarks/prepared_memory.py [--megabytes 300] [--only csv-numbers ...]

Files of about that size are made in a temporary folder, one after another, and each is read and prepared by a process
of its own, as `elr fit` does before it trains. Peaks are resident memory (VmHWM) above what the process had when it had
done the same with 60 rows. Linux only.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as pf
import pyarrow.parquet as pq
from memory import memory


def numbers(rows: int, digits: int | None = None) -> dict[str, object]:
    values = np.random.default_rng(0).normal(size=(20, rows))
    values = values if digits is None else values.round(digits)
    return {f"x{number}": column for number, column in enumerate(values)} | {"y": np.arange(rows) % 3}


def mixed(rows: int) -> dict[str, object]:
    rng, words = np.random.default_rng(0), np.array([f"value{number}" for number in range(20)])
    found: dict[str, object] = {f"x{number}": rng.normal(size=rows).round(4) for number in range(10)}
    return found | {f"c{number}": words[rng.integers(0, 20, rows)] for number in range(10)} | {"y": np.arange(rows) % 3}


def notes(rows: int) -> dict[str, object]:
    rng, letters = np.random.default_rng(0), np.array(list("abcdefgh "))
    found = numbers(rows)
    texts = ["".join(letters[rng.integers(0, 9, 2000)]) for _ in range(rows)]
    return {"a": found["x0"], "b": found["x1"], "note": texts, "y": found["y"]}


def csv(table: dict[str, object], path: Path) -> None:
    pc.write_csv(pa.table(table), path)


def lists(rows: int, path: Path) -> None:
    flat = np.random.default_rng(0).normal(size=rows * 384).astype(np.float32)
    table = {"e": pa.FixedSizeListArray.from_arrays(pa.array(flat), 384), "y": np.arange(rows) % 3}
    pq.write_table(pa.table(table), path)


def typed(rows: int, path: Path) -> None:
    table = numbers(rows)
    table = {name: column if name == "y" else np.asarray(column, np.float32) for name, column in table.items()}
    if path.suffix == ".parquet":
        pq.write_table(pa.table(table), path, use_dictionary=False, compression="none")
    else:
        pf.write_feather(pa.table(table), path, compression="uncompressed")


def arrays(rows: int, path: Path, shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    images = len(shape) > 1
    values = rng.integers(0, 256, (rows, *shape), dtype=dtype) if images else rng.normal(size=(rows, *shape))
    np.savez(path, x=values.astype(dtype), y=np.arange(rows) % 3)


FILES = {  # name -> what it is, suffix, bytes a row, how it is written, further options
    "csv-numbers": ("CSV, 20 columns of numbers of six digits", "csv", 193, lambda n, p: csv(numbers(n, 6), p), {}),
    "csv-digits": ("CSV, 20 columns of numbers of 17 digits", "csv", 390, lambda n, p: csv(numbers(n), p), {}),
    "csv-mixed": (
        "CSV, 10 of numbers, 10 of categories with 20 values each",
        "csv",
        175,
        lambda n, p: csv(mixed(n), p),
        {},
    ),
    "csv-notes": ("CSV, 2 of numbers, a note of 2,000 letters", "csv", 2045, lambda n, p: csv(notes(n), p), {}),
    "json-lines": (
        "JSON lines, 20 columns of numbers",
        "jsonl",
        314,
        lambda n, p: pd.DataFrame(numbers(n, 6)).to_json(p, orient="records", lines=True),
        {},
    ),
    "parquet": ("Parquet, 20 columns of float32, not compressed", "parquet", 88, typed, {}),
    "feather": ("Feather, the same", "feather", 88, typed, {}),
    "parquet-lists": ("Parquet, lists of 384 float32", "parquet", 1540, lists, {"embedding": "e"}),
    "npz": (".npz of 384 float32 a row", "npz", 1544, lambda n, p: arrays(n, p, (384,), "float32"), {}),
    "npz-images": (
        ".npz of uint8 images of 32 x 32",
        "npz",
        3080,
        lambda n, p: arrays(n, p, (3, 32, 32), "uint8"),
        {},
    ),
}


def measured(path: Path, options: dict[str, str]) -> tuple[float, float]:
    """Bytes for each byte of the file: at the peak, and when all is prepared."""
    from elr.data.prepared_data import prepare_data
    from elr.data.records import ReadOptions

    prepare_data(path.with_stem("few"), ReadOptions(label="y", **options))  # libraries are there
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    prepared = prepare_data(path, ReadOptions(label="y", **options))
    size = path.stat().st_size
    assert len(prepared.examples), "nothing was read"
    return (memory("VmHWM") - before) / size, (memory("VmRSS") - before) / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=300.0)
    parser.add_argument("--only", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--path", type=Path, help="a file that is there, read in this process")
    asked = parser.parse_args()
    if asked.path is not None:
        peak, held = measured(asked.path, FILES[asked.only[0]][4])
        print(f"{peak:.1f} | {held:.1f}")
        return
    print("| file | memory at most | held when all is prepared |\n|---|---:|---:|")
    for name in asked.only:
        what, suffix, row, write, _ = FILES[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"data.{suffix}")
            write(60, path.with_stem("few"))
            write(max(60, round(asked.megabytes * 1e6 / row)), path)
            own = [sys.executable, __file__, "--path", str(path), "--only", name]
            found = subprocess.run(own, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        print(f"| {what} | {found} |", flush=True)


if __name__ == "__main__":
    main()
