"""The script of benchmarks/table.py: that its cells are recipes, and its table what their runs have measured."""

import json
import subprocess
import sys

import pytest

import tiny_cifar
from elr.runs.recipes import RECIPES
from scripts import ROOT, load_script

SCRIPT = ROOT / "benchmarks" / "table.py"


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


def finished(folder, accuracy, *, seconds=(30.0, 60.0), status="complete"):
    folder.mkdir(parents=True)
    measured = {"test_accuracy_last": accuracy, "validation_agreement_last": 0.5, "fraction_memorized": None}
    (folder / "run.json").write_text(json.dumps({"status": status, "results": measured}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"seconds": value}) + "\n" for value in seconds))


def printed_by(*flags):
    printed = subprocess.run([sys.executable, SCRIPT, *map(str, flags)], capture_output=True, text=True, check=False)
    return printed.returncode, printed.stdout, printed.stderr


def test_every_cell_is_a_recipe(script):
    cells = [script.Cell(*names) for names in script.CELLS]
    assert len(set(cells)) == len(cells)
    assert all(cell.recipe in RECIPES for cell in cells)


def test_the_table_has_means_over_the_finished_seeds(tmp_path):
    finished(tmp_path / "fast-cifar10-sym40-elr-0", 0.80)
    finished(tmp_path / "fast-cifar10-sym40-elr-1", 0.84)
    finished(tmp_path / "fast-cifar10-sym40-elr-2", 0.10, status="running")
    finished(tmp_path / "fast-cifar10-asym40-elr-0", 0.70)
    flags = ["--data", "x", "--out", tmp_path, "--dry-run"]
    code, out, _ = printed_by(*flags)
    assert code == 0
    assert out.splitlines()[2:] == [
        "| sym40 | elr | 0, 1 | 0.8200 ± 0.0283 |  | 0.5000 ± 0.0000 |  | 2 |",
        "| asym40 | elr | 0 | 0.7000 |  | 0.5000 |  | 2 |",
    ]
    first, second = json.loads(printed_by(*flags, "--json")[1])
    assert first["seeds"] == [0, 1]
    assert first["test_accuracy_last"] == pytest.approx(0.82)
    assert second["minutes"] == pytest.approx(1.5)
    assert second["test_accuracy_last_std"] is None


def test_cells_are_run_and_failures_are_said(tmp_path):
    """A run on a few made images to its end, and one whose data are not there."""
    data = tmp_path / "cifar10"
    tiny_cifar.write_parquet(data)
    code, out, err = printed_by("--data", data, "--out", tmp_path / "runs", "--only", "clean")
    assert code == 0
    [line] = err.splitlines()
    assert line == "fast-cifar10-clean-cross-entropy-0: done"
    assert out.splitlines()[2].startswith("| clean | cross-entropy | 0 | ")
    again = printed_by("--data", tmp_path / "nowhere", "--out", tmp_path / "more", "--only", "clean")
    assert again[0] == 1
    assert again[2].splitlines() == ["fast-cifar10-clean-cross-entropy-0: exit status 2, see its log"]
    assert "nowhere" in (tmp_path / "more" / "fast-cifar10-clean-cross-entropy-0.log").read_text()


def test_nothing_to_run_is_refused(tmp_path):
    assert "no cell has 'mnist' in its name" in printed_by("--data", "x", "--out", tmp_path, "--only", "mnist")[2]
    assert "--workers is 0" in printed_by("--data", "x", "--out", tmp_path, "--workers", "0")[2]
