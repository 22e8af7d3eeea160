"""Mixup: each example of a batch is mixed with another one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from elr.devices import sent
from elr.errors import ArgumentError
from elr.methods.method import Inputs


class Mixing(NamedTuple):
    """Which example each one is mixed with, and how much of it stays.

    Args:
        weight: share of the example itself, in [0.5, 1] when drawn by `draw_mixing`; its partner has the rest.
        partner: (B,) int64, position in the batch of each example's partner.
    """

    weight: float
    partner: Tensor

    def mix(self, values: Tensor) -> Tensor:
        """weight * values + (1 - weight) * values[partner], for (B, ...) floating values.

        Raises:
            ArgumentError: integers, which are names of something rather than amounts.
        """
        if not values.is_floating_point():
            raise ArgumentError(f"mixup of {values.dtype}: expected floating-point inputs; embed them first")
        return values * self.weight + values[self.partner] * (1.0 - self.weight)

    def mix_inputs(self, inputs: Inputs) -> Inputs:
        """The same for inputs, whichever form they have."""
        if isinstance(inputs, Tensor):
            return self.mix(inputs)
        return {name: self.mix(values) for name, values in inputs.items()}


def draw_mixing(count: int, *, alpha: float, device: torch.device) -> Mixing:
    """One weight for the batch, max(l, 1 - l) with l ~ Beta(alpha, alpha), and a random permutation of partners.

    Draws from torch's generator of the CPU, so that every device mixes alike.

    Args:
        count: B.
        alpha: concentration, > 0; 1 is the paper's: l is uniform.
        device: of the batch.

    Example:
        >>> mixing = draw_mixing(4, alpha=1.0, device=torch.device("cpu"))
        >>> 0.5 <= mixing.weight <= 1.0, sorted(mixing.partner.tolist())
        (True, [0, 1, 2, 3])

    Source: Zhang et al., "mixup", ICLR 2018; max(l, 1 - l) as in the authors' code and in MixMatch.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return Mixing(max(share, 1.0 - share), sent(torch.randperm(count), device))
