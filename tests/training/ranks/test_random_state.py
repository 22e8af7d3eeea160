"""Random numbers that ranks have in common, beside their own."""

import pytest
import torch

from elr.training.ranks.random_state import CommonRandomState


@pytest.fixture
def common():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = CommonRandomState(torch.device("cpu"))
        state.begin()
        yield state


def test_it_goes_on_where_it_was_left_whatever_is_drawn_between(common):
    expected = torch.rand(5)
    found = []
    for count in (2, 3):
        with common.drawing():
            found.append(torch.rand(count))
        torch.rand(7)
    assert torch.equal(torch.cat(found), expected)


def test_the_usual_state_does_not_see_it(common):
    expected = torch.rand(5)
    torch.manual_seed(3)
    first = torch.rand(2)
    with common.drawing():
        torch.rand(9)
    assert torch.equal(torch.cat([first, torch.rand(3)]), expected)


def test_an_error_within_puts_the_usual_state_back(common):
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), common.drawing():
        torch.rand(9) @ torch.rand(8)
    assert torch.equal(torch.get_rng_state(), before)
