"""Networks of one shape side by side: their weights are stacked, and one batched program computes all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elr.errors import ArgumentError
from elr.networks.architectures import MLP, Linear


class SideBySide(nn.Module):
    """M perceptrons of one shape as one network: the first layer is one matrix product, the others batched ones.

    Each computes what it computed alone. The inputs are the same for all of them. In train mode each drops hidden units
    with a probability of its own; the random numbers behind that are drawn once for all, so that what one network drops
    another with a higher probability drops, too. Stores 4 bytes for each parameter.

    Args:
        networks: M >= 1 of `elr.networks.architectures.MLP`, or of `Linear`, that read the same columns of the inputs;
            they are copied.

    Raises:
        ArgumentError: no network, or networks of different shapes.

    Example:
        >>> networks = [MLP(5, 3, hidden=(8,)) for _ in range(4)]
        >>> stacked, inputs = SideBySide(networks), torch.randn(2, 5)
        >>> stacked(inputs).shape
        torch.Size([4, 2, 3])
        >>> torch.allclose(stacked(inputs)[2], networks[2](inputs), atol=1e-6)
        True
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not networks:
            raise ArgumentError("there are no networks to put side by side: pass at least one")
        layers = [linear_layers(network) for network in networks]
        shapes = {tuple(tuple(layer.weight.shape) for layer in each) for each in layers}
        if len(shapes) > 1:
            raise ArgumentError(f"networks side by side have layers of {len(shapes)} shapes: expected one")
        self.columns: tuple[int, int] | None = networks[0].columns  # type: ignore[assignment]
        if any(network.columns != self.columns for network in networks):
            raise ArgumentError("networks side by side read different columns of the inputs: expected the same")
        self._template = (copy.deepcopy(networks[0]),)  # in a tuple, so that it is no part of this module
        drops = [network.dropout if isinstance(network, MLP) else 0.0 for network in networks]
        self.register_buffer("drops", torch.tensor(drops)[:, None, None], persistent=False)
        self.drops: Tensor
        self.drops_units = any(drops)
        first, *others = zip(*layers, strict=True)
        with torch.no_grad():
            weights = [torch.stack([layer.weight.T for layer in first], dim=1)]  # (D, M, H): one matrix for all
            weights += [torch.stack([layer.weight.T for layer in each]) for each in others]
            biases = [torch.stack([layer.bias for layer in each])[:, None] for each in (first, *others)]
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)

    def __len__(self) -> int:
        return len(self.biases[0])

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (M, B, C) of inputs (B, D)."""
        if self.columns is not None:
            inputs = inputs[:, slice(*self.columns)]
        first = self.weights[0]
        hidden = (inputs @ first.flatten(1)).unflatten(1, first.shape[1:]).transpose(0, 1) + self.biases[0]
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = torch.baddbmm(bias, self._dropped(F.relu(hidden)), weight)
        return hidden

    def _dropped(self, hidden: Tensor) -> Tensor:
        if not (self.training and self.drops_units):
            return hidden
        kept = torch.rand_like(hidden[0], dtype=torch.float32) >= self.drops
        return hidden * (kept.to(hidden.dtype) / (1.0 - self.drops).to(hidden.dtype))

    @torch.no_grad()
    def unstacked(self, number: int) -> nn.Module:
        """A copy of one of the networks, to be used alone; `number` in [0, M)."""
        network = copy.deepcopy(self._template[0])
        for place, layer in enumerate(linear_layers(network)):
            weight = self.weights[place]
            layer.weight.copy_((weight[:, number] if place == 0 else weight[number]).T)
            layer.bias.copy_(self.biases[place][number, 0])
        return network.train(self.training)

    def extra_repr(self) -> str:
        return f"{len(self)} x {self._template[0]}"


class OneByOne(nn.Module):
    """M networks of any kind, computed one after the other: what there is for networks that cannot be stacked.

    Args:
        networks: M >= 1, each from inputs (B, ...) to logits (B, C).

    Example:
        >>> OneByOne([nn.Linear(5, 3), nn.Linear(5, 3)])(torch.zeros(2, 5)).shape
        torch.Size([2, 2, 3])
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (M, B, C)."""
        return torch.stack([network(inputs) for network in self.networks])

    def unstacked(self, number: int) -> nn.Module:
        """A copy of one of the networks."""
        return copy.deepcopy(self.networks[number])


def side_by_side(networks: Sequence[nn.Module]) -> SideBySide | OneByOne:
    """Networks as one: stacked, where they are perceptrons, else one after the other.

    Example:
        >>> type(side_by_side([Linear(5, 3)])).__name__, type(side_by_side([nn.Identity()])).__name__
        ('SideBySide', 'OneByOne')
    """
    stackable = all(isinstance(network, MLP | Linear) for network in networks)
    return SideBySide(networks) if stackable else OneByOne(networks)


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """The layers of a perceptron with weights, from the inputs to the logits.

    Raises:
        ArgumentError: another network.

    Example:
        >>> [tuple(layer.weight.shape) for layer in linear_layers(MLP(5, 3, hidden=(8,)))]
        [(8, 5), (3, 8)]
    """
    if not isinstance(network, MLP | Linear):
        raise ArgumentError(f"a {type(network).__name__} cannot be stacked: expected an MLP or a Linear")
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
