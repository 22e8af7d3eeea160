import json

import pytest

from elr.errors import ArtifactError
from elr.runs.bench.cell import CELLS_FOLDER
from elr.runs.bench.show.results import read_results
from tiny_bench import cell, failure, result


def write(folder, *results):
    for each in results:
        each.write(folder)


def file_of(folder, each):
    return folder / CELLS_FOLDER / f"{each.cell.key}.json"


def test_results_come_in_the_order_of_the_grid(tmp_path):
    write(tmp_path, result("a", 0), result("b", 0), result("a", 1))
    cells = [cell("b", 0), cell("a", 1), cell("a", 0), cell("c", 0)]
    found = read_results(tmp_path, cells)
    assert [each.cell for each in found.results] == cells[:3]
    assert found.methods == ["b", "a", "c"]
    assert found.seeds("a", cells[0].column) == [1, 0]
    assert (found.damaged, found.foreign) == ([], [])


def test_without_a_grid_each_method_has_all_seeds_of_its_column(tmp_path):
    high = ("digits", "symmetric", 0.8)
    low = ("digits", "symmetric", 0.1)
    write(
        tmp_path,
        result("b", 0),
        result("a", 1),
        failure("c", 2),
        result("a", 7, column=high),
        result("a", 0, column=low),
    )
    found = read_results(tmp_path)
    assert found.columns == [low, cell().column, high]
    assert found.methods == ["a", "b", "c"]
    assert all(found.seeds(method, cell().column) == [0, 1, 2] for method in "abc")
    assert found.seeds("a", high) == [7]
    assert found.seeds("b", high) == []
    assert len(found.done) == 4
    assert len(found.results) == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:40], "is damaged: it is not JSON"),
        (lambda text: "[]", "expected a JSON object"),
        (lambda text: text.replace('"seed": 1', '"seed": "1"'), "seed is '1': expected an integer"),
        (lambda text: text.replace('"seed": 1', '"seed": 2'), "digits--symmetric-0.4--elr--2: was it renamed"),
        (lambda text: text.replace('"done"', '"going on"'), "status is 'going on': expected done or failed"),
        (lambda text: text.replace("0.5", '"half"'), "test_accuracy_last is 'half': expected a number or None"),
        (lambda text: text.replace('"seconds": 2.0', '"seconds": null'), "seconds is None"),
        (lambda text: text.replace('"seconds": 2.0', '"seconds": -1'), "seconds is -1: expected 0 or more"),
        (lambda text: text.replace('"threads": 1', '"threads": 0'), "threads is 0: expected at least 1"),
        (lambda text: text.replace("0.5", "1e308"), "test_accuracy_last is 1e+308"),
        (lambda text: text.replace("0.5", "NaN"), "NaN is no number of JSON"),
        (
            lambda text: text.replace('"versions": {', '"versions": {"torch": [null]'),
            "torch is [None]: expected text",
        ),
        (lambda text: text.replace('"filled": {', '"filled": {"lam": {}'), "filled.lam is {}: expected text"),
        (lambda text: text.replace('"data": {', '"data": {"sha256": 7'), "data.sha256 is 7: expected text or None"),
        (lambda text: "\xff\xfe", "damaged"),
    ],
)
def test_damaged_files_are_named_and_left_out(tmp_path, spoil, message):
    good, bad = result(seed=0), result(seed=1)
    write(tmp_path, good, bad)
    path = file_of(tmp_path, bad)
    path.write_text(spoil(path.read_text()), encoding="latin-1")
    found = read_results(tmp_path, [good.cell, bad.cell])
    assert found.results == [good]
    [line] = found.damaged
    assert line.startswith(path.name)
    assert message in line
    assert str(tmp_path) not in line


def test_copies_under_another_name_do_not_count_twice(tmp_path):
    write(tmp_path, result())
    path = file_of(tmp_path, result())
    (path.parent / "copy.json").write_text(path.read_text())
    found = read_results(tmp_path)
    assert len(found.results) == 1
    assert "copy.json is damaged: it holds the cell digits--symmetric-0.4--elr--0" in found.damaged[0]


def test_what_is_of_no_cell_of_the_grid_is_left_out(tmp_path):
    mine = result(of={"settings": {"lam": 3.0}, "training": {"hidden": [64, 64]}})
    write(tmp_path, mine, result("mae"), result(seed=1, of={"settings": {"lam": 7.0}}))
    cells = [cell(seed=seed, settings={"lam": 3.0}, training={"hidden": (64, 64)}) for seed in (0, 1)]
    found = read_results(tmp_path, [cells[0], cell(seed=1, settings={"lam": 3.0})])
    assert found.results == [mine]
    assert found.foreign == [
        "digits--symmetric-0.4--elr--1.json was made with other settings than the grid has",
        "digits--symmetric-0.4--mae--0.json is of no cell of this grid",
    ]


def test_other_files_are_not_looked_at(tmp_path):
    write(tmp_path, result())
    (tmp_path / CELLS_FOLDER / ".x.json.partial").write_text("{")
    (tmp_path / CELLS_FOLDER / "x.claim").write_text("{")
    assert read_results(tmp_path).damaged == []


def test_no_bench_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"none is not a folder: expected the --out of `elr bench`"):
        read_results(tmp_path / "none")
    with pytest.raises(ArtifactError, match="has no folder 'cells'"):
        read_results(tmp_path)
    (tmp_path / CELLS_FOLDER).mkdir()
    with pytest.raises(ArtifactError, match=r"has no finished cell: run `elr bench GRID"):
        read_results(tmp_path)


def test_why_nothing_has_finished_is_said(tmp_path):
    write(tmp_path, failure(error="DataError: no\nsuch file"))
    (tmp_path / CELLS_FOLDER / "x.json").write_text(json.dumps([1]))
    with pytest.raises(ArtifactError, match=r"\(1 failed, the first with: DataError: no such file; x.json is damaged"):
        read_results(tmp_path)
