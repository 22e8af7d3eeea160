"""Running averages of a network's weights, and the ramp by which their decay rises."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_weights(network: nn.Module, decay: Callable[[], float]) -> AveragedModel:
    """A copy of a network that follows it: w <- decay w + (1 - decay) of the network, batch-norm statistics too.

    The first `update_parameters` copies. Stores 4 bytes for each weight; gets no gradient.

    Args:
        network: what is averaged.
        decay: called at each update for its decay in [0, 1).

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> averaged = averaged_weights(network, lambda: 0.75)
        >>> for weight in (0.0, 1.0):
        ...     _ = network.weight.data.fill_(weight)
        ...     averaged.update_parameters(network)
        >>> averaged.module.weight.item()
        0.25

    Source: torch.optim.swa_utils.AveragedModel, which counts the updates and keeps them in its state.
    """

    def move(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        del count  # it is on the device; the step of the host is the same, and waits for nothing
        if not averaged[0].is_floating_point():  # counters
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
            return
        torch._foreach_lerp_(averaged, current, 1.0 - decay())  # pyright: ignore[reportPrivateImportUsage]

    return AveragedModel(network, multi_avg_fn=move, use_buffers=True).requires_grad_(False)  # type: ignore[arg-type]


def ramp(step: int, length: int) -> float:
    """exp(-5 (1 - step / length)^2) up to `length`, then 1; 1 throughout if there is no ramp.

    Args:
        step: steps done, >= 0.
        length: of the ramp in steps; 0: none.

    Example:
        >>> [round(ramp(step, 10), 4) for step in (0, 5, 10, 99)], ramp(0, 0)
        ([0.0067, 0.2865, 1.0, 1.0], 1.0)

    Source: appendix F of Liu et al., NeurIPS 2020.
    """
    return math.exp(-5.0 * (1.0 - min(step / length, 1.0)) ** 2) if length else 1.0
