import pytest

from elr.errors import ArgumentError, DataError
from elr.methods.catalog import METHODS
from elr.runs.bench.checks import check_settings_of
from elr.runs.bench.grid import grid_from, identity, read_grid, shipped
from elr.runs.bench.plans import recipe_of
from elr.runs.bench.work import Places, Shelf
from tiny_grids import TINY, grid, written

WRONG = {
    "cells = 1": "has no cells",
    "[[cells]]\ndata = 'x'\nmethode = 'elr'": "'methode', which is no part of one: did you mean method",
    "[[cells]]\ndata = 'x'\nmethod = []": "method of [[cells]] 1 is []: expected one of names",
    "[[cells]]\ndata = 'x'\nmethod = 'elr'\nseed = [0, true]": "expected one of whole numbers",
    "[[cells]]\ndata = 'x'\nmethod = 'elr'\nseed = -1": "expected numbers from 0 on",
    "[[cells]]\ndata = ['x']": "method of [[cells]] 1 is None",
    "training = 3\n[[cells]]\ndata = 'x'\nmethod = 'elr'": "expected a table [training]",
    "methods = {elr = 3}\n[[cells]]\ndata = 'x'\nmethod = 'elr'": "expected a table [methods.elr]",
    "title = 3\n[[cells]]\ndata = 'x'\nmethod = 'elr'": "title of grid mine is 3: expected text",
    "[[cells]\n": "is no TOML",
    "x = " + "[" * 100_000: "is no TOML",
    "x = " + "9" * 5000: "is no TOML",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:60])
def test_what_is_no_grid_is_told_so(text):
    with pytest.raises(ArgumentError) as caught:
        grid_from(text, name="mine")
    assert WRONG[text] in str(caught.value)


def test_settings_of_a_method_come_before_those_of_its_cells_and_these_before_all():
    text = """
    training = { epochs = 1, batch_size = 8 }
    [[cells]]
    data = "digits"
    method = ["elr", "long"]
    training = { epochs = 2, members = 1 }
    [methods.long]
    method = "elr"
    epochs = 3
    beta = 0.9
    """
    plain, long = grid_from(text, name="mine").cells
    assert plain.training == {"epochs": 2, "members": 1, "batch_size": 8}
    assert (long.training["epochs"], long.settings, long.uses) == (3, {"beta": 0.9}, "elr")


def test_cells_in_two_tables_are_one_cell_unless_they_differ():
    table = "[[cells]]\ndata = 'digits'\nmethod = 'elr'\n"
    assert len(grid_from(table + table, name="mine").cells) == 1
    with pytest.raises(ArgumentError, match="two cells digits none elr 0 with other settings"):
        grid_from(f"{table}{table}training = {{epochs = 3}}\n", name="mine")


def test_files_are_read_and_missing_ones_told(tmp_path):
    found = read_grid(written(tmp_path))
    assert (found.name, found.title, found.folder, len(found.cells)) == ("tiny", "tiny", tmp_path, 8)
    assert found.cells == grid(tmp_path).cells
    assert len({identity(cell) for cell in found.cells}) == 8
    with pytest.raises(DataError, match=r"expected a \.toml file, or one that ships: ablation"):
        read_grid(tmp_path / "other.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        read_grid(tmp_path / "odd.toml")


@pytest.mark.parametrize("name", shipped())
def test_shipped_grids_hold_no_wrong_name(name, tmp_path):
    """All but the methods that this version of elr does not have, and the places of data."""
    found = read_grid(name)
    assert found.title != name
    assert found.about
    named = {cell.source["path"] for cell in found.cells if "path" in cell.source}
    for path in named:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).mkdir()
        for cell in found.cells:
            if cell.source.get("path") == path and "test" in cell.source:
                (tmp_path / path).parent.joinpath(cell.source["test"]).touch()
    places = Places(root=tmp_path, named=dict.fromkeys(("cifar10", "cifar100"), tmp_path))
    check_settings_of([cell for cell in found.cells if cell.uses in METHODS], Shelf(places))


def test_the_shipped_grids_have_what_they_are_for():
    digits = read_grid("digits").cells
    assert {(cell.noise, cell.rate) for cell in digits} == {
        *(("symmetric", rate) for rate in (0.2, 0.4, 0.6, 0.8)),
        *(("next-class", rate) for rate in (0.2, 0.4)),
        ("instance-dependent", 0.4),
    }
    assert {cell.seed for cell in digits} == set(range(5))
    features = read_grid("cifar10-features").cells
    assert {cell.rate for cell in features if cell.noise == "human"} == {"aggre_label", "random_label1", "worse_label"}
    rows = {
        cell.method: tuple(cell.settings[name] for name in ("networks", "mixup", "gamma"))
        for cell in read_grid("ablation").cells
    }
    assert len(rows) == len(set(rows.values())) == 8
    assert read_grid("paper-table5").cells[0].method in rows


def test_the_text_is_kept():
    assert grid_from(TINY, name="tiny").text == TINY


def test_table_1_trains_in_full_both_before_and_after_the_estimate_of_the_matrix():
    """After its first milestone the rate is a hundredth: a network that starts over then would learn nothing."""
    cells = [cell for cell in read_grid("paper-table1").cells if cell.method == "forward-estimated"]
    assert {cell.data for cell in cells} == {"cifar10", "cifar100"}
    for cell in cells:
        published = recipe_of(cell).training
        assert cell.training["generations"] == 2
        assert cell.training["epochs"] == 2 * published.epochs
        assert tuple(cell.training["milestones"]) == published.milestones
