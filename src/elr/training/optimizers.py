"""The optimizer and the schedule of a run; Muon, which torch does not have in the form needed here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
)

from elr.errors import ArgumentError
from elr.methods.method import Method, ParameterGroup
from elr.training.config import TrainingConfig

PEAK = 0.1
"""Share of a generation after which the triangle schedule is at its peak."""
FLOOR = 20
"""What the learning rate is divided by at the end of a period of restarts."""
SQUARES = 0.99
"""What AdamW's average of squared gradients keeps of itself in a step; torch's default is 0.999."""

PLAIN = "plain"
"""The constant learning rate of a group of an optimizer that has neither momentum nor schedule; others have no such."""

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: they bring singular values into about [0.7, 1.2]
_STEPS = 3

Schedule = TypeVar("Schedule", bound=LRScheduler)


class ConvolutionalMuon(Optimizer):
    """Muon for the filters of convolutions, stochastic gradient descent with Nesterov momentum for all else.

    Each filter bank w (out, in, h, w), taken as a matrix of out rows, is first scaled to norm sqrt(out), and then moves
    by lr times the nearest orthogonal matrix to its Nesterov momentum. It has no weight decay: the scaling bounds it.
    (Weights before a batch norm have no scale that matters.) Stores one momentum for each weight.

    A group with a learning rate of its own is left to gradient descent at that rate, filters or not: Muon's rates are
    not to be compared with others. A weight decay of its own holds for all weights of its group, filters too. Plain
    groups have no momentum.

    Args:
        groups: the weights to be trained.
        lr: of the filters. Default 0.12: half of the speed run's 0.24, as the root of its batch over ours (2000, 500).
        head_lr: of other matrices.
        bias_lr: of biases, and of the scales of batch norms.
        momentum: of the filters in [0, 1); airbench94_muon has 0.6.
        other_momentum: of all else in [0, 1); airbench94_muon has 0.85.
        weight_decay: of all but the filters.

    Raises:
        ArgumentError: a rate or momentum out of range, or no convolution among the weights.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        >>> optimizer = ConvolutionalMuon([ParameterGroup(list(network.parameters()))])
        >>> [(len(group["params"]), group["lr"]) for group in optimizer.param_groups]
        [(1, 0.12), (1, 0.6), (4, 0.05)]

    Source: Jordan et al., "Muon", 2024 (kellerjordan.github.io/posts/muon), and airbench94_muon.py. torch.optim.Muon
    takes matrices only, and decays weights where the speed run keeps their norm.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
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
        plain = {"momentum": other_momentum, "orthogonal": False}
        filters, rest = {"lr": lr, "momentum": momentum, "orthogonal": True}, {"lr": head_lr, **plain}
        found: list[dict[str, Any]] = []
        for group in groups:
            decay = weight_decay if group.weight_decay is None else group.weight_decay
            if group.learning_rate is not None:
                found.append({"weight_decay": decay, **plain, **as_settings(group)})
                continue
            kinds: list[list[nn.Parameter]] = [[], [], []]
            for weight in group.weights:
                kinds[0 if weight.ndim == 4 else 1 if weight.ndim > 1 else 2].append(weight)
            found += [
                {"params": kinds[0], "weight_decay": group.weight_decay or 0.0, **filters},
                {"params": kinds[1], "weight_decay": decay, **rest},
                {"params": kinds[2], "weight_decay": decay, **rest, "lr": bias_lr},
            ]
        if not any(group["orthogonal"] and group["params"] for group in found):
            raise ArgumentError("muon is for convolutional networks, and this one has no convolution: take sgd")
        super().__init__([group for group in found if group["params"]], {})

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
        if PLAIN in group:
            weight.add_(gradient, alpha=-group["lr"])
            return
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


class _AdamW(AdamW):
    """AdamW, but for plain groups, which go down the gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        groups = self.param_groups
        self.param_groups = [group for group in groups if PLAIN not in group]
        try:
            loss = super().step(closure)  # pyright: ignore[reportArgumentType, reportCallIssue]
        finally:
            self.param_groups = groups
        for group in groups:
            for weight in group["params"] if PLAIN in group else ():
                if weight.grad is not None:
                    weight.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(weight.grad, alpha=-group["lr"])
        return loss


def as_settings(group: ParameterGroup) -> dict[str, Any]:
    """A group of parameters as torch's optimizers take it: without what is the run's.

    Example:
        >>> as_settings(ParameterGroup([nn.Parameter(torch.zeros(1))], weight_decay=0.0))["weight_decay"]
        0.0
    """
    own = {"lr": group.learning_rate, "weight_decay": group.weight_decay}
    settings = {"params": list(group.weights), **{name: value for name, value in own.items() if value is not None}}
    return settings | {"momentum": 0.0, PLAIN: group.learning_rate} if group.plain else settings


def groups_of(method: Method, number: int) -> list[ParameterGroup]:
    """What a pass of a method trains, checked.

    Args:
        method: says it in `parameter_groups`.
        number: of the pass.

    Raises:
        ArgumentError: no group, a weight that is no parameter of the method, or one that comes twice.

    Example:
        >>> from elr.methods.cross_entropy import LossMethod
        >>> [len(group.weights) for group in groups_of(LossMethod(nn.Linear(2, 3)), 0)]
        [2]
    """
    groups = method.parameter_groups(number)
    name_of, seen = {id(weight): name for name, weight in method.named_parameters()}, set[int]()
    if not groups:
        raise ArgumentError(f"{type(method).__name__} has no parameters for pass {number}: expected at least one group")
    for weight in (weight for group in groups for weight in group.weights):
        if id(weight) not in name_of:
            raise ArgumentError(
                f"a group of parameters for pass {number} has a weight of shape {tuple(weight.shape)} that is no "
                f"parameter of {type(method).__name__}: register its module or the parameter itself"
            )
        if id(weight) in seen:
            raise ArgumentError(
                f"{name_of[id(weight)]} comes twice in the groups of parameters for pass {number}: expected each "
                "parameter in one group"
            )
        seen.add(id(weight))
    return groups


def make_optimizer(config: TrainingConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """The optimizer of what a pass trains; what a group leaves open is as the run has it.

    AdamW decays all weights, biases too, and keeps two averages of each; it runs as one fused kernel.

    Example:
        >>> weights, shifts = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.zeros(9))
        >>> groups = [ParameterGroup([weights]), ParameterGroup([shifts], learning_rate=1.0, weight_decay=0.0)]
        >>> optimizer = make_optimizer(TrainingConfig(learning_rate=0.1), groups)
        >>> [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
        [(0.1, 0.001), (1.0, 0.0)]
    """
    groups = [_for_batches(group, config.batch_size) for group in groups]
    if config.optimizer == "muon":
        return ConvolutionalMuon(
            groups, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    if config.optimizer == "adamw":
        return _AdamW(
            [as_settings(group) for group in groups],
            lr=config.learning_rate,
            betas=(config.momentum, SQUARES),
            weight_decay=config.weight_decay,
            fused=True,
        )
    return SGD(
        [as_settings(group) for group in groups],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
    )


def _for_batches(group: ParameterGroup, batch_size: int) -> ParameterGroup:
    """The same group with the learning rate that goes with batches of a run."""
    if group.batch_size is None or group.learning_rate is None:
        return group
    return replace(group, learning_rate=group.learning_rate * batch_size / group.batch_size)


def make_scheduler(config: TrainingConfig, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler:
    """The learning-rate schedule of a generation, from torch, to be stepped `steps_per_epoch` times an epoch.

    Each group of the optimizer is scheduled from its own learning rate; plain ones stay at theirs.

    Example:
        >>> optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> scheduler = make_scheduler(TrainingConfig(epochs=4, schedule="triangle"), optimizer, 1)
        >>> rates = []
        >>> for _ in range(4):
        ...     rates.append(round(scheduler.get_last_lr()[0], 4))
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [0.0, 0.0833, 0.0556, 0.0278]
    """
    total = config.generation_epochs * steps_per_epoch
    match config.schedule:
        case "cosine":
            return _but_plain(CosineAnnealingLR)(optimizer, total)
        case "restarts":
            return _but_plain(_Restarts)(optimizer, config.period * steps_per_epoch)
        case "multistep":
            return _but_plain(MultiStepLR)(
                optimizer, [epoch * steps_per_epoch for epoch in config.milestones], gamma=config.decay
            )
        case "onecycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            return _but_plain(OneCycleLR)(optimizer, peaks, total_steps=total, cycle_momentum=False)
        case "triangle":
            return _but_plain(LambdaLR)(optimizer, lambda step: _triangle(step / total))
        case _:
            return _but_plain(ConstantLR)(optimizer, factor=1.0)


def _but_plain(schedule: type[Schedule]) -> type[Schedule]:
    """The same schedule, which leaves plain groups alone."""

    class Partly(schedule):  # type: ignore[misc, valid-type]  # pyright: ignore[reportGeneralTypeIssues]
        def get_lr(self) -> list[float | Tensor]:
            rates = zip(self.optimizer.param_groups, super().get_lr(), strict=True)
            return [group.get(PLAIN, rate) for group, rate in rates]

    return Partly  # pyright: ignore[reportReturnType]


class _Restarts(CosineAnnealingWarmRestarts):
    """Cosine restarts of which each group has a floor of its own, where torch has one for all."""

    def get_lr(self) -> list[float | Tensor]:
        swing = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        floors = [rate / FLOOR for rate in self.base_lrs]
        return [floor + (rate - floor) * swing / 2 for rate, floor in zip(self.base_lrs, floors, strict=True)]


def _triangle(share: float) -> float:
    """Up over the first tenth, down to 0 over the rest."""
    return share / PEAK if share < PEAK else (1.0 - share) / (1.0 - PEAK)
