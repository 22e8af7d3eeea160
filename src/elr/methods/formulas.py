"""The formulas, one function each, from logits, per example; and what a batch must be before they are taken.

Every value is in nats, computed in float32 (float64 for float64 logits) whatever the precision of its inputs, and
inside `torch.autocast` too. `elr.methods.fused` has the same for training, in fewer passes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from elr.errors import ArgumentError


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each example.

    -log p_i[y_i] for labels (B,), or -sum_c y_ic log p_ic for rows of label probabilities (B, C), with
    p = softmax(logits).

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) floating rows that sum to 1.

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Raises:
        ArgumentError: the shapes do not belong together.

    Example:
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2]))
        tensor([1.3863])
    """
    check_logits(logits)
    check_labels(logits, labels)
    with torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits)
        return F.cross_entropy(full, labels.to(full.dtype) if labels.ndim == 2 else labels, reduction="none")


def elr_term(logits: Tensor, targets: Tensor, *, clamp: float = 0.0) -> Tensor:
    """The early-learning regularizer of each example, log(1 - <p_i, t_i>), p = softmax(logits).

    Since the probabilities sum to 1, 1 - <p, t> = sum_c p_c (1 - t_c): a sum of terms that are not negative, so nothing
    cancels, and in logarithms nothing rounds to zero:

        log(1 - <p, t>) = logsumexp_c(log p_c + log(1 - t_c))

    Its gradient with respect to the logits is q - p with q_c = p_c (1 - t_c) / (1 - <p, t>), the paper's
    p_c (<p, t> - t_c) / (1 - <p, t>) in other words: bounded by 1 in every entry, also where p and t are one-hot. The
    value has no lower bound: as p approaches a one-hot t it falls without end (as does the published loss).

    `targets` get no gradient: the paper holds them constant.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype, C >= 2.
        targets: (B, C) running averages t in [0, 1], rows with sum <= 1; at most one entry of a row may be exactly 1.
        clamp: probabilities are confined to [clamp, 1 - clamp], and get no gradient beyond; in [0, 0.5). 0 (default) is
            the paper's formula; 1e-4 is the authors' code, which thereby stops pushing an example whose p passes
            0.9999.

    Returns:
        (B,) terms in nats, <= 0, float32 (float64 for float64 logits).

    Raises:
        ArgumentError: shapes that differ, fewer than two classes, or a clamp outside [0, 0.5).

    Example:
        >>> elr_term(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.9, 0.1]])).round(decimals=4)
        tensor([-1.6329])
        >>> elr_term(torch.tensor([[1e4, -1e4]]), torch.tensor([[1.0, 0.0]]))
        tensor([-20000.])

    Source: equation 7 of Liu et al., NeurIPS 2020 (arXiv:2007.00151). Differs from the authors' code, which forms
    1 - <p, t> by subtraction from clamped probabilities: that rounds to log(0) in bfloat16 and float16.
    """
    check_logits(logits)
    check_targets(logits, targets)
    check_clamp(clamp)
    with torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits)
        remainder = torch.log1p(-targets.detach().to(full.dtype))
        log_probs = F.log_softmax(full, dim=1)
        if clamp == 0.0:
            return torch.logsumexp(log_probs + remainder, dim=1)
        # Clamped rows no longer sum to 1, so 1 - <p, t> is put together from p (1 - t) and what clamping added.
        probs = log_probs.exp()
        clamped = probs.clamp(clamp, 1.0 - clamp)
        excess = (clamped - probs).sum(dim=1)
        # The floor only catches targets whose low-precision storage sums to a little more than 1.
        return torch.log(((clamped * remainder.exp()).sum(dim=1) - excess).clamp(min=clamp))


def full_dtype(logits: Tensor) -> torch.dtype:
    """The precision that formulas are computed in: float64 for float64 logits, else float32."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def full_precision(logits: Tensor) -> Tensor:
    """Logits in the precision that formulas are computed in."""
    return logits.to(full_dtype(logits))


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
