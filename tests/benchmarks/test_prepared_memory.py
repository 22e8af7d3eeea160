"""What the memory benchmark makes is what elr reads, and its table has a line for each."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import ROOT

SCRIPT = ROOT / "benchmarks" / "prepared_memory.py"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_each_file_has_a_line_of_two_ratios():
    command = [sys.executable, SCRIPT, "--megabytes", "8", "--only", "csv-mixed", "parquet-lists", "npz-images"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| CSV, 10 of numbers, 10 of categories with 20 values each",
        "| Parquet, lists of 384 float32",
        "| .npz of uint8 images of 32 x 32",
    ]
    for line in lines[2:]:
        peak, held = (float(cell) for cell in line.strip("| ").split(" | ")[1:])
        assert peak > 0.1
        # A first reading also gives memory back, about a megabyte: "held" can lie below what was there.
        assert peak >= held
