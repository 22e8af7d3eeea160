import json

import pytest

from elr.errors import ArgumentError, ArtifactError
from elr.runs.bench.cell import CELLS_FOLDER, DONE, Cell, CellResult, read_result

CELL = {"data": "digits", "noise": "symmetric", "rate": 0.2, "method": "elr", "uses": "elr", "seed": 3}


def test_cells_that_differ_have_files_that_differ():
    changes = [
        {},
        {"seed": 4},
        {"method": "elr_plus"},
        {"rate": None, "noise": "none"},
        {"data": "a b"},
        {"data": "a-b"},
    ]
    changes += [{"data": "a--b"}, {"data": "a/b"}, {"data": "../a"}]
    keys = [Cell(**CELL | change).key for change in changes]
    assert len({key.lower() for key in keys}) == len(keys)
    assert all("/" not in key for key in keys)


def test_a_result_comes_back_as_it_was(tmp_path):
    cell = Cell(**CELL, settings={"lam": 7.0}, training={"epochs": 3})
    result = CellResult(cell=cell, status=DONE, measures={"test_accuracy_last": 0.5}, seconds=1.5, threads=2)
    result.write(tmp_path)
    [path] = (tmp_path / CELLS_FOLDER).iterdir()
    assert path.stem == cell.key
    assert read_result(path) == result


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged: it is not JSON"),
        (lambda text: "[]", "expected a JSON object"),
        (
            lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "seconds"}),
            "seconds",
        ),
        (lambda text: text.replace('"method"', '"mothed"'), "mothed"),
        (lambda text: text.replace('"threads": 1', '"threads": "one"'), "threads is 'one'"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, spoil, message):
    CellResult(cell=Cell(**CELL), status=DONE).write(tmp_path)
    [path] = (tmp_path / CELLS_FOLDER).iterdir()
    path.write_text(spoil(path.read_text()))
    with pytest.raises((ArtifactError, ArgumentError), match=message) as found:
        read_result(path)
    assert str(path) in str(found.value)
