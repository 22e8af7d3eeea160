"""A network that is in eval mode for a while."""

import pytest
import torch
from torch import nn

from elr.methods.ingredients.eval_mode import in_eval_mode


def test_every_part_comes_back_in_its_own_mode():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    network[1][0].eval()
    before = [part.training for part in network.modules()]
    statistics = network[0].running_mean.clone()
    with in_eval_mode(network):
        assert not any(part.training for part in network.modules())
        network(torch.randn(8, 2) + 5.0)
    assert [part.training for part in network.modules()] == before
    assert torch.equal(network[0].running_mean, statistics)


def test_it_comes_back_after_an_error_too():
    network = nn.Linear(2, 2)
    with pytest.raises(RuntimeError), in_eval_mode(network):
        network(torch.zeros(3, 5))
    assert network.training
