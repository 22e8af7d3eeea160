"""Rows as their largest numbers and the sum of the others."""

import torch

from elr.targets.largest import moved_largest, rivals_of, spread
from elr_batches import outputs


def test_many_rivals_are_the_largest_at_least():
    probs = outputs(0, 5, 200)
    ids = torch.arange(4).repeat(5, 1)
    rivals, absent = rivals_of(ids, probs, torch.zeros(5, 1))
    assert rivals.shape[1] < 40
    for row in range(5):
        expected = set(probs[row].topk(4).indices.tolist()) - {0, 1, 2, 3}
        assert expected <= set(rivals[row][~absent[row]].tolist())


def test_a_row_does_not_depend_on_the_others():
    ids, values = torch.arange(4).repeat(5, 1), torch.tensor([0.1, 0.3, 0.2, 0.25]).repeat(5, 1)
    rest, probs = torch.full((5,), 0.15), outputs(1, 5, 50)
    probs[2] = spread(ids, values, rest, 50)[2]
    together = moved_largest(ids, values, rest, probs, 0.5)
    for row in range(5):
        some = slice(row, row + 1)
        alone = moved_largest(ids[some], values[some], rest[some], probs[some], 0.5)
        assert all(torch.equal(a, b[some]) for a, b in zip(alone, together, strict=True))
