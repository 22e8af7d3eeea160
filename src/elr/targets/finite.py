"""Outputs that are not finite: found, counted, and told of; they never enter targets."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor


def warn_nonfinite(nonfinite: Tensor) -> bool:
    """Warn of outputs that were kept out of the targets, if there were any; whether there were.

    Args:
        nonfinite: (2,) int64 outputs and steps.

    Example:
        >>> warn_nonfinite(torch.tensor([0, 0]))
        False
    """
    outputs, steps = nonfinite.tolist()
    if outputs:
        warnings.warn(
            f"{outputs} outputs of the network were not finite in {steps} step(s) so far and were kept out of the "
            "targets, which stay as they were for these rows: lower the learning rate, or look at the inputs of these "
            "batches (in half precision a GradScaler is to skip such steps); `nonfinite` of the targets counts on, and "
            "this is said once",
            RuntimeWarning,
            stacklevel=3,
        )
    return outputs > 0


def finite_parts(probs: Tensor, parts: int) -> Tensor:
    """(B, parts, 1) which of the outputs that lie side by side in (B, parts * C) are finite.

    Example:
        >>> finite_parts(torch.tensor([[0.5, 0.5, torch.nan, 1.0]]), 2).flatten()
        tensor([ True, False])
    """
    totals = probs.unflatten(1, (parts, -1)).sum(dim=-1, keepdim=True)
    return totals - totals == 0.0  # a sum is finite where all of it is; fewer kernels than isfinite


def note_nonfinite(probs: Tensor, nonfinite: Tensor, parts: int = 1) -> bool:
    """Count outputs that are not finite; whether there may be some: an accelerator is not asked.

    Args:
        probs: (B, parts * C).
        nonfinite: (2,) int64 outputs and steps, changed.
        parts: as `Targets.parts`.

    Example:
        >>> nonfinite = torch.zeros(2, dtype=torch.int64)
        >>> note_nonfinite(torch.tensor([[0.5, 0.5], [torch.nan, torch.nan]]), nonfinite), nonfinite
        (True, tensor([1, 1]))
    """
    if probs.device.type == "cpu" and not torch.compiler.is_compiling() and math.isfinite(probs.sum().item()):
        return False
    missed = ~finite_parts(probs, parts)
    nonfinite += torch.stack([missed.sum(), missed.any().long()]).to(nonfinite.device)
    return True
