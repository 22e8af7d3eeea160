"""Rows that are dealt to ranks, and put together again; over gloo ranks see tests/test_fits_on_ranks.py."""

import pytest
import torch

from elr.methods.ingredients.dealt_rows import dealt_rows


@pytest.mark.parametrize(("rows", "world"), [(7, 1), (7, 2), (7, 3), (8, 4), (3, 3)])
def test_places_are_those_that_the_loop_deals(rows, world):
    dealt = [torch.arange(rows)[rank::world] for rank in range(world)]
    assert torch.equal(dealt_rows([len(each) for each in dealt]), torch.cat(dealt))
