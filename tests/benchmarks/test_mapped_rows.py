"""The benchmark of rows in a file tells each way to read and write them, on a small one."""

import json
import subprocess
import sys

import pytest

from elr.targets import row_access
from scripts import ROOT

SCRIPT = ROOT / "benchmarks" / "mapped_rows.py"
WAYS = ["held, read, Python", "held, write, Python", "held, read, built", "held, write, built"]
WAYS += ["disk, read, one by one", "disk, read, at once"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_each_way_has_a_time(tmp_path):
    command = [sys.executable, SCRIPT, "--rows", "500", "--classes", "10", "--batch", "40", "--rounds", "1"]
    ran = subprocess.run([*command, "--folder", tmp_path / "new", "--json"], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert list(found) == WAYS
    absent = [] if row_access._mover() is not None else WAYS[2:4]
    assert [name for name, value in found.items() if value is None] == absent
    assert all(value > 0.0 for value in found.values() if value is not None)
    assert not list((tmp_path / "new").iterdir())


def test_a_batch_of_more_rows_than_there_are_is_refused():
    command = [sys.executable, SCRIPT, "--rows", "500", "--batch", "501"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "--batch is 501: expected at least 1 row, and at most the 500 that there are" in ran.stderr
