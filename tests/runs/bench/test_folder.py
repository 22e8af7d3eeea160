import json
from dataclasses import replace

import pytest

from elr.errors import ArtifactError
from elr.runs.bench.cell import DONE, CellResult
from elr.runs.bench.folder import DAMAGED, BenchFolder
from tiny_grids import grid


@pytest.fixture
def opened(tmp_path):
    found = grid(tmp_path)
    folder = BenchFolder(tmp_path / "out")
    folder.open(found)
    return folder, found


def test_the_folder_knows_its_cells(opened):
    folder, found = opened
    assert folder.cells() == list(found.cells)
    assert (folder.path / "grid.toml").read_text() == found.text
    folder.open(found)  # again
    assert [path.name for path in sorted(folder.path.iterdir())] == ["bench.json", "grid.toml"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"status": "done"}', "is no result of a cell"),
    ],
)
def test_damage_is_told(opened, content, why):
    folder, found = opened
    folder.file(found.cells[0]).parent.mkdir()
    folder.file(found.cells[0]).write_text(content)
    seen = folder.look(found.cells[0])
    assert seen.status == DAMAGED
    assert why in seen.why


def test_the_file_of_another_cell_is_no_result(opened):
    folder, found = opened
    first, second = found.cells[:2]
    CellResult(cell=first, status=DONE).write(folder.path)
    folder.file(first).rename(folder.file(second))
    assert "is of another cell or other settings: few none cross_entropy 0" in folder.look(second).why
    CellResult(cell=replace(first, training={"epochs": 9}), status=DONE).write(folder.path)
    assert folder.look(first).status == DAMAGED
    CellResult(cell=first, status="half").write(folder.path)
    assert "status is 'half': expected done or failed" in folder.look(first).why
    CellResult(cell=first, status=DONE).write(folder.path)
    assert folder.look(first).status == DONE
    assert folder.result(first).cell == first


def test_a_damaged_folder_is_told(opened, tmp_path):
    folder, found = opened
    (folder.path / "bench.json").write_text(json.dumps({"cells": []}))
    with pytest.raises(ArtifactError, match=r"bench\.json is damaged"):
        folder.open(found)
    with pytest.raises(ArtifactError, match="cannot be read"):
        BenchFolder(tmp_path / "none").cells()


@pytest.mark.parametrize("value", [{}, [], {"data": [None]}])
def test_a_bench_whose_cells_are_none_is_damaged(opened, value):
    folder, found = opened
    content = json.loads((folder.path / "bench.json").read_text())
    key = found.cells[0].key
    content["cells"][key] = value if not value else content["cells"][key] | value
    (folder.path / "bench.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"bench\.json is damaged: a cell of it is none"):
        folder.cells()
