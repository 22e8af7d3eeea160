import math
from dataclasses import replace

import pytest

from elr.errors import OutputError
from elr.runs.bench import work
from elr.runs.bench.cell import DONE, FAILED
from elr.runs.bench.work import Places, Shelf, run_cell
from tiny_grids import grid


@pytest.fixture
def shelf(tmp_path):
    grid(tmp_path)
    return Shelf(Places(root=tmp_path))


def test_the_measures_are_those_of_the_run(tmp_path, shelf):
    cell = grid(tmp_path).cells[3]
    seen = []
    result = run_cell(cell, shelf, folder=tmp_path / "run", on_progress=seen.append)
    assert result.status == DONE
    assert seen[-1].step == seen[-1].total
    assert all(math.isfinite(value) for value in result.measures.values())
    assert 0 < result.measures["average_precision"] <= 1
    assert result.peak_memory_bytes is None or result.peak_memory_bytes > 50_000_000
    assert result.data["noise"] == "symmetric:0.4"
    assert result.filled == {}


def test_a_run_that_is_found_finished_has_no_peak_of_its_memory(tmp_path, shelf):
    """The process was killed between the end of the run and the writing of its cell: nothing was trained since."""
    cell = grid(tmp_path).cells[0]
    first = run_cell(cell, shelf, folder=tmp_path / "run")
    again = run_cell(cell, shelf, folder=tmp_path / "run")
    assert again.measures == first.measures
    assert again.seconds == first.seconds
    assert again.peak_memory_bytes is None


def test_what_is_in_the_way_of_a_run_is_taken_away(tmp_path, shelf):
    """A folder of another run, left by a command that was killed and whose grid was written anew."""
    cell = grid(tmp_path).cells[0]
    run_cell(cell, shelf, folder=tmp_path / "run")
    other = replace(cell, training={**cell.training, "epochs": 2})
    assert run_cell(other, shelf, folder=tmp_path / "run").plan["training"]["epochs"] == 2


def test_a_failure_is_a_result_and_a_full_disk_is_not(tmp_path, shelf, monkeypatch):
    cell = replace(grid(tmp_path).cells[0], training={"learning_rate": 1e30})
    result = run_cell(cell, shelf, folder=tmp_path / "run")
    assert result.status == FAILED
    assert result.error.startswith("TrainingError: ")

    def full(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(work, "_done", full)
    with pytest.raises(OutputError):
        run_cell(cell, shelf, folder=tmp_path / "other")


def test_few_data_are_kept_at_a_time(tmp_path, shelf):
    cells = [replace(grid(tmp_path).cells[0], data="digits", source={}, seed=seed) for seed in range(3)]
    first = shelf.loaded(cells[0])
    assert shelf.loaded(cells[0]) is first
    shelf.loaded(cells[1])
    shelf.loaded(cells[2])
    assert shelf.loaded(cells[0]) is not first
