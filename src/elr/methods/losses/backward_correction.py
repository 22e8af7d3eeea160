"""Backward correction: losses of all labels, mixed so that their mean over the noise is the loss of the true one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elr.methods.losses.correction import CorrectionConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels

MOST_CONDITION = 1e4
"""Condition number of T from which on its inverse is refused: losses would be thousands of times the true ones."""
CLAMP = 1e-7
"""Probabilities below this are taken as this, as in the authors' code (the epsilon of Keras)."""


def backward_correction(logits: Tensor, labels: Tensor, inverse: Tensor) -> Tensor:
    """(T^-1 l)_y = sum_j T^-1[y, j] l_j of each example, l_j = -log max(p_j, 1e-7), p = softmax(logits).

    Unbiased: sum_y T[i, y] (T^-1 l)_y = l_i, the loss of the true class i, is its mean over the labels that class i may
    be given. A single one may be below 0, down to the largest entry of T^-1 times -16: without the bound on p training
    would lower it without end.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1: the mean over labels.
        inverse: (C, C) T^-1, of T[i, j] = P(given j | true i).

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Example:
        >>> transitions = torch.tensor([[0.8, 0.2], [0.3, 0.7]])
        >>> logits = torch.tensor([[1.0, -1.0]])
        >>> both = [backward_correction(logits, torch.tensor([y]), transitions.inverse()) for y in (0, 1)]
        >>> sum(share * loss for share, loss in zip(transitions[0], both))  # class 0: cross entropy is 0.1269
        tensor([0.1269])

    Source: theorem 1 (number from memory) of Patrini et al., CVPR 2017 (arXiv:1609.03683).
    """
    costs = -log_probs_of(logits, labels).clamp(min=math.log(CLAMP))
    with torch.autocast(costs.device.type, enabled=False):  # it would round a product of matrices
        return mean_over_labels(costs @ inverse.to(costs.dtype).T, labels)


@dataclass(frozen=True, kw_only=True)
class BackwardCorrectionConfig(CorrectionConfig):
    """Settings of backward correction: those of `CorrectionConfig`.

    Example:
        >>> BackwardCorrectionConfig(transition=[[0.5, 0.5], [0.5, 0.5]])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: transition has condition number inf: expected below 10000, for it is to be inverted...
    """

    name: ClassVar[str] = "backward_correction"

    def factors(self, transitions: Tensor) -> Tensor:
        return torch.linalg.inv(transitions)

    def corrected(self, logits: Tensor, labels: Tensor, factors: Tensor) -> Tensor:
        return backward_correction(logits, labels, factors)

    def trouble_with(self, transitions: Tensor) -> str | None:
        condition = float(torch.linalg.cond(transitions))
        if condition < MOST_CONDITION:
            return None
        return (
            f"has condition number {condition:.3g}: expected below {MOST_CONDITION:.0f}, for it is to be inverted, and "
            "then differences between losses are blown up as much; take forward_correction, which inverts nothing"
        )
