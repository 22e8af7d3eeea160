"""What a batch must be before a loss is taken of it."""

from __future__ import annotations

import torch
from torch import Tensor

from elr.errors import ArgumentError


def check_logits(logits: Tensor) -> None:
    """Raise ArgumentError for logits that are not (B, C) floating-point numbers with C >= 2."""
    if logits.ndim != 2 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ArgumentError(
            f"logits have shape {tuple(logits.shape)} and type {logits.dtype}: "
            "expected floating-point (B, C) with at least two classes"
        )


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise ArgumentError for labels that do not belong to the logits: (B,) int64 or (B, C)."""
    batch, classes = logits.shape
    if labels.shape not in ((batch,), (batch, classes)):
        raise ArgumentError(
            f"labels have shape {tuple(labels.shape)} beside logits of shape {(batch, classes)}: "
            f"expected ({batch},) class numbers or ({batch}, {classes}) label probabilities"
        )
    if labels.ndim == 1 and labels.dtype != torch.int64:
        raise ArgumentError(f"labels are {labels.dtype}: expected int64 class numbers; use labels.long()")


def check_targets(logits: Tensor, targets: Tensor) -> None:
    """Raise ArgumentError for targets of another shape than the logits."""
    if targets.shape != logits.shape:
        raise ArgumentError(
            f"targets have shape {tuple(targets.shape)}, logits {tuple(logits.shape)}: they must be equal, (B, C)"
        )


def check_clamp(clamp: float) -> None:
    """Raise ArgumentError for a clamp outside [0, 0.5)."""
    if not 0.0 <= clamp < 0.5:
        raise ArgumentError(f"clamp is {clamp}: expected a probability in [0, 0.5); 0 switches it off")


def check_classes(labels: Tensor, num_classes: int) -> None:
    """Raise ArgumentError for class numbers (B,) outside [0, num_classes); on a device this would wait for it."""
    low, high = (int(bound) for bound in labels.aminmax()) if len(labels) else (0, 0)
    if low < 0 or high >= num_classes:
        raise ArgumentError(
            f"label {low if low < 0 else high} is out of range: expected class numbers in [0, {num_classes})"
        )
