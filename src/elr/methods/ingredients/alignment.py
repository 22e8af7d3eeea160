"""Aligned targets: the regularizer sees targets whose mean over the training rows has the given shares of the classes.

The published regularizer pulls each output toward its own target, and toward frequent classes: where the features say
little, every target drifts to the class that most labels are of, and the rows of the others follow (docs/alignment.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

BOUND = 1e4
"""Weights lie in [1 / BOUND, BOUND], so that none is infinite or zero. A class whose mean target is less than 1e-4 of
its share is beyond repair by weights: they would tell rounding from rounding. 1e-4 is also where the authors' clamp
stops listening to a probability."""


def alignment_weights(mean_targets: Tensor, class_shares: Tensor) -> Tensor:
    """The weight of each class that gives targets the shares of the given labels, w = pi / mean(t).

    Both are scaled to sum 1 first: targets sum to less in the first epochs, and only their shares count. Weights are 1
    where nothing is to be aligned: where mean(t) has the shares pi already, and where it is empty.

    Args:
        mean_targets: (..., C) means of the targets over the training rows, >= 0; leading axes are of several networks.
        class_shares: (C,) or (..., C) pi, shares of the classes among the given labels of these rows, or their counts.

    Returns:
        (..., C) weights in [1 / BOUND, BOUND], float32 (float64 for float64 means).

    Example:
        >>> alignment_weights(torch.tensor([[0.6, 0.2], [0.0, 0.0]]), torch.tensor([0.5, 0.5]))
        tensor([[0.6667, 2.0000],
                [1.0000, 1.0000]])
    """
    dtype = torch.float64 if mean_targets.dtype == torch.float64 else torch.float32
    means, shares = mean_targets.to(dtype), class_shares.to(mean_targets.device, dtype)
    total = means.sum(dim=-1, keepdim=True)
    least = torch.finfo(dtype).tiny
    means = means / total.clamp(min=least)
    shares = shares / shares.sum(dim=-1, keepdim=True)
    nothing = (total <= 0.0) | ((means <= 0.0) & (shares <= 0.0))
    return (shares / means.clamp(min=least)).clamp(1.0 / BOUND, BOUND).masked_fill(nothing, 1.0)


def aligned(targets: Tensor, weights: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Targets as the regularizer sees them: a_c = t_c w_c (sum_k t_k) / (sum_k t_k w_k), row by row.

    The sum of a row stays what it is, so that a row which was seen little pulls as little as before; a row of zeros
    stays zeros, and no entry is above 1.

    Args:
        targets: (..., B, C) t, float32 or float64, >= 0.
        weights: (C,), or (..., 1, C) for several networks, of the same type; see `alignment_weights`.
        out: memory for the result, which may be `targets` itself. Default: new memory.

    Returns:
        (..., B, C) aligned targets, which are `out` if it is given.

    Example:
        >>> aligned(torch.tensor([[0.6, 0.2], [0.9, 0.0], [0.0, 0.0]]), torch.tensor([0.5, 1.5]))
        tensor([[0.4000, 0.4000],
                [0.9000, 0.0000],
                [0.0000, 0.0000]])
    """
    mass = targets.sum(dim=-1, keepdim=True)
    weighted = torch.mul(targets, weights, out=out)
    scale = mass / weighted.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weighted.dtype).tiny)
    return torch.mul(weighted, scale, out=out).clamp_(max=1.0)
