"""Optimizers that torch does not have in the form needed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from elr.errors import ArgumentError

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: they bring singular values into about [0.7, 1.2]
_STEPS = 3


class ConvolutionalMuon(Optimizer):
    """Muon for the filters of convolutions, stochastic gradient descent with Nesterov momentum for all else.

    Each filter bank w (out, in, h, w), taken as a matrix of out rows, is first scaled to norm sqrt(out), and then moves
    by lr times the nearest orthogonal matrix to its Nesterov momentum. It has no weight decay: the scaling bounds it.
    (Weights before a batch norm have no scale that matters.) Stores one momentum for each weight.

    Args:
        weights: to be trained.
        lr: of the filters. Default 0.12: half of the speed run's 0.24, as the root of its batch over ours (2000, 500).
        head_lr: of other matrices.
        bias_lr: of biases, and of the scales of batch norms.
        momentum: of the filters in [0, 1); airbench94_muon has 0.6.
        other_momentum: of all else in [0, 1); airbench94_muon has 0.85.
        weight_decay: of all but the filters.

    Raises:
        ArgumentError: a rate or momentum out of range, or no convolution among the weights.

    Source: Jordan et al., "Muon", 2024 (kellerjordan.github.io/posts/muon), and airbench94_muon.py. torch.optim.Muon
    takes matrices only, and decays weights where the speed run keeps their norm.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        *,
        lr: float = 0.12,
        head_lr: float = 0.6,
        bias_lr: float = 0.05,
        momentum: float = 0.6,
        other_momentum: float = 0.85,
        weight_decay: float = 5e-4,
    ) -> None:
        for name, value in {"lr": lr, "head_lr": head_lr, "bias_lr": bias_lr, "weight_decay": weight_decay}.items():
            if not 0.0 <= value < float("inf"):
                raise ArgumentError(f"{name} is {value}: expected 0 or more")
        for name, value in {"momentum": momentum, "other_momentum": other_momentum}.items():
            if not 0.0 <= value < 1.0:
                raise ArgumentError(f"{name} is {value}: expected a momentum in [0, 1)")
        kinds: dict[str, list[nn.Parameter]] = {"filters": [], "matrices": [], "vectors": []}
        for weight in weights:
            kinds["filters" if weight.ndim == 4 else "matrices" if weight.ndim > 1 else "vectors"].append(weight)
        if not kinds["filters"]:
            raise ArgumentError("muon is for convolutional networks, and this one has no convolution: take sgd")
        rest = {"momentum": other_momentum, "weight_decay": weight_decay, "orthogonal": False}
        groups: list[dict[str, Any]] = [
            {"params": kinds["filters"], "lr": lr, "momentum": momentum, "weight_decay": 0.0, "orthogonal": True},
            {"params": kinds["matrices"], "lr": head_lr, **rest},
            {"params": kinds["vectors"], "lr": bias_lr, **rest},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        direction = gradient.add(buffer, alpha=group["momentum"])
        if group["orthogonal"]:
            weight.mul_(len(weight) ** 0.5 / weight.norm().clamp(min=1e-12))
            direction = _orthogonal(direction.flatten(1)).view(weight.shape)
        weight.add_(direction, alpha=-group["lr"])


def _orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthonormal rows or columns, by Newton-Schulz steps in bfloat16, and as float32."""
    a, b, c = _QUINTIC
    wide = matrix.bfloat16()
    wide = wide / (wide.norm() + 1e-7)
    tall = len(wide) > wide.shape[1]
    wide = wide.T if tall else wide
    for _ in range(_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return (wide.T if tall else wide).to(matrix.dtype)
