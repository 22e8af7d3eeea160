"""Rows as their largest numbers and the sum of the others."""

import pytest
import torch

from elr.targets.largest import in_order, moved_largest, rivals_of, spread
from elr_batches import outputs


def test_many_rivals_are_the_largest_at_least():
    probs = outputs(0, 5, 200)
    ids = torch.arange(4).repeat(5, 1)
    rivals, absent = rivals_of(ids, probs, torch.zeros(5, 1))
    assert rivals.shape[1] < 40
    for row in range(5):
        expected = set(probs[row].topk(4).indices.tolist()) - {0, 1, 2, 3}
        assert expected <= set(rivals[row][~absent[row]].tolist())


def test_one_row_of_many_rivals_brings_its_largest_alone():
    probs = outputs(0, 40, 400)
    ids, least = torch.arange(4).repeat(40, 1), torch.full((40, 1), 2.0)
    least[7] = -1.0
    rivals, absent = rivals_of(ids, probs, least)
    assert 4 <= rivals.shape[1] < 40
    expected = set(probs[7].topk(4).indices.tolist()) - {0, 1, 2, 3}
    assert expected <= set(rivals[7][~absent[7]].tolist())
    assert int((~absent).any(dim=1).sum()) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_is_that_of_a_stable_sort(dtype):
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(0, 6, (50, 23), generator=generator).to(dtype) / 4
    values[:, ::5] = -1.0
    values[::2, 3] = -0.0
    values[4, 7], values[5, 8] = float("inf"), 1e-42
    expected = values.sort(dim=1, descending=True, stable=True).indices[:, :9]
    assert torch.equal(in_order(values, 9), expected)


def test_a_row_does_not_depend_on_the_others():
    ids, values = torch.arange(4).repeat(5, 1), torch.tensor([0.1, 0.3, 0.2, 0.25]).repeat(5, 1)
    rest, probs = torch.full((5,), 0.15), outputs(1, 5, 50)
    probs[2] = spread(ids, values, rest, 50)[2]
    together = moved_largest(ids, values, rest, probs, 0.5)
    for row in range(5):
        some = slice(row, row + 1)
        alone = moved_largest(ids[some], values[some], rest[some], probs[some], 0.5)
        assert all(torch.equal(a, b[some]) for a, b in zip(alone, together, strict=True))
