"""Networks side by side compute what they computed alone, forward and backward."""

import pytest
import torch
from torch import nn

from elr.errors import ArgumentError
from elr.networks.architectures import MLP, Linear
from elr.networks.side_by_side import OneByOne, SideBySide, side_by_side


def perceptrons(count=3, **settings):
    torch.manual_seed(0)
    return [MLP(5, 4, hidden=(8, 6), **settings) for _ in range(count)]


@pytest.mark.parametrize("networks", [perceptrons(), [Linear(5, 4) for _ in range(3)], perceptrons(1)])
def test_outputs_and_gradients_are_those_of_each_alone(networks):
    stacked, inputs = side_by_side(networks), torch.randn(7, 5)
    assert isinstance(stacked, SideBySide)
    weights = torch.randn(len(networks), 7, 4)
    (stacked(inputs) * weights).sum().backward()
    for number, network in enumerate(networks):
        logits = network(inputs)
        torch.testing.assert_close(stacked(inputs)[number], logits, atol=1e-6, rtol=1e-5)
        network.zero_grad()
        (logits * weights[number]).sum().backward()
        copy = stacked.unstacked(number)
        assert torch.equal(copy(inputs), logits)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
        torch.testing.assert_close(stacked.weights[0].grad[:, number].T, first.weight.grad, atol=1e-5, rtol=1e-4)


def test_networks_are_copied():
    networks = perceptrons()
    stacked = side_by_side(networks)
    with torch.no_grad():
        networks[0].head.weight.zero_()
    assert stacked.weights[-1][0].abs().sum() > 0
    stacked.unstacked(0).head.weight.data.zero_()
    assert stacked.weights[-1][0].abs().sum() > 0


def test_each_drops_with_a_probability_of_its_own():
    networks = [*perceptrons(1), *perceptrons(1, dropout=0.5)]
    stacked, inputs = SideBySide(networks), torch.randn(2000, 5)
    torch.manual_seed(1)
    first, second = stacked.train()(inputs)
    torch.testing.assert_close(first, networks[0](inputs), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(second, networks[1].eval()(inputs))
    torch.testing.assert_close(stacked.eval()(inputs)[1], networks[1].eval()(inputs), atol=1e-6, rtol=1e-5)
    hidden = torch.ones(2, 2000, 8)
    dropped = stacked.train()._dropped(hidden)
    assert torch.equal(dropped[0], hidden[0])
    assert dropped[1].unique().tolist() == [0.0, 2.0]
    assert dropped[1].mean().item() == pytest.approx(1.0, abs=0.05)


def test_columns_are_read_as_by_each_alone():
    networks = [Linear(3, 4, columns=(2, 5)) for _ in range(2)]
    inputs = torch.randn(6, 9)
    torch.testing.assert_close(SideBySide(networks)(inputs)[1], networks[1](inputs))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ArgumentError, match="no networks"):
        SideBySide([])
    with pytest.raises(ArgumentError, match="2 shapes"):
        SideBySide([MLP(5, 4, hidden=(8,)), MLP(5, 4, hidden=(9,))])
    with pytest.raises(ArgumentError, match="different columns"):
        SideBySide([Linear(3, 4, columns=(0, 3)), Linear(3, 4, columns=(1, 4))])


def test_other_networks_come_one_by_one():
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(12, 4)) for _ in range(2)]
    stacked, images = side_by_side(networks), torch.randn(3, 3, 2, 2)
    assert isinstance(stacked, OneByOne)
    assert len(stacked) == 2
    assert torch.equal(stacked(images)[1], networks[1](images))
    assert torch.equal(stacked.unstacked(1)(images), networks[1](images))
