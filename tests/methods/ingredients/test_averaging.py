import math

import pytest
import torch
from torch import nn

from elr.methods.ingredients.averaging import averaged_weights, ramp


def test_averages_follow_by_the_decay_of_the_moment():
    network, decays = nn.Linear(2, 2, bias=False), [0.5, 0.9]
    averaged = averaged_weights(network, lambda: decays.pop(0))
    expected = None
    for value, decay in ((1.0, None), (2.0, 0.5), (-4.0, 0.9)):
        with torch.no_grad():
            network.weight.fill_(value)
        averaged.update_parameters(network)
        expected = value if expected is None else decay * expected + (1 - decay) * value
        torch.testing.assert_close(averaged.module.weight, torch.full((2, 2), expected))
    assert not decays
    assert not any(weight.requires_grad for weight in averaged.parameters())


def test_statistics_of_batch_norm_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(1)
    averaged = averaged_weights(network, lambda: 0.75)
    for mean, count in ((0.0, 3), (4.0, 8)):
        network.running_mean.fill_(mean)
        network.num_batches_tracked.fill_(count)
        averaged.update_parameters(network)
    assert averaged.module.running_mean.item() == 1.0
    assert averaged.module.num_batches_tracked.item() == 8


def test_the_ramp_is_the_papers():
    assert ramp(0, 40_000) == pytest.approx(math.exp(-5.0))
    assert ramp(20_000, 40_000) == pytest.approx(math.exp(-1.25))
    assert ramp(40_000, 40_000) == ramp(50_000, 40_000) == ramp(0, 0) == 1.0
