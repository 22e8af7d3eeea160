import pytest

from elr.errors import ArgumentError
from elr.runs.bench.cell import Cell
from elr.runs.bench.checks import Problems, check_data_of
from elr.runs.bench.work import Places, Shelf
from tiny_grids import TINY, grid


def test_cells_of_one_reason_are_named_together():
    cells = [Cell(data="x", noise="none", rate=None, method="elr", uses="elr", seed=seed) for seed in range(3)]
    problems = Problems()
    problems.add(cells[:2], "it is odd")
    problems.add(cells[2:], "it is even")
    with pytest.raises(ArgumentError) as caught:
        problems.refuse(9)
    assert str(caught.value) == (
        "3 of 9 cells are impossible, and none was run:\n"
        "  it is odd\n    in x none elr 0\n       x none elr 1\n"
        "  it is even\n    in x none elr 2"
    )


def test_data_are_looked_at_once_for_all_seeds(tmp_path):
    looked = []
    cells = grid(tmp_path).cells
    shelf = Shelf(Places(root=tmp_path))
    prepared, asked = shelf.prepared, []
    shelf.prepared = lambda cell: asked.append(cell.key) or prepared(cell)
    check_data_of(cells, shelf, on_look=looked.append)
    assert looked == ["few"]
    assert asked == ["few--none--cross_entropy--0", "few--symmetric-0.4--cross_entropy--0"]


def test_every_seed_of_a_cell_that_cannot_be_is_named(tmp_path):
    text = TINY.replace('label = "kind"', 'label = "kind"\nclass_order = ["dog", "cow"]').replace(
        '"none", "symmetric-0.4"', '"none", "pairflip-0.4"'
    )
    with pytest.raises(ArgumentError, match=r"4 of 8 cells are impossible") as caught:
        check_data_of(grid(tmp_path, text).cells, Shelf(Places(root=tmp_path)))
    assert "few pairflip-0.4 strong 1" in str(caught.value)
    assert "have no known order" in str(caught.value)
