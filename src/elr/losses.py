"""The formulas, one function each, per example and from logits.

Every function returns one value per example, in nats, computed in float32 (float64 for float64 logits) whatever the
precision of its inputs, and inside `torch.autocast` too.
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
    _check_logits(logits)
    batch, classes = logits.shape
    if labels.shape not in ((batch,), (batch, classes)):
        raise ArgumentError(
            f"labels have shape {tuple(labels.shape)} beside logits of shape {(batch, classes)}: "
            f"expected ({batch},) class numbers or ({batch}, {classes}) label probabilities"
        )
    with torch.autocast(logits.device.type, enabled=False):
        full = _full_precision(logits)
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
    _check_logits(logits)
    if targets.shape != logits.shape:
        raise ArgumentError(
            f"targets have shape {tuple(targets.shape)}, logits {tuple(logits.shape)}: they must be equal, (B, C)"
        )
    if not 0.0 <= clamp < 0.5:
        raise ArgumentError(f"clamp is {clamp}: expected a probability in [0, 0.5); 0 switches it off")
    with torch.autocast(logits.device.type, enabled=False):
        full = _full_precision(logits)
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


def elr_loss(
    logits: Tensor, labels: Tensor, targets: Tensor, *, lam: float, clamp: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    entropy = cross_entropy(logits, labels).mean()
    term = elr_term(logits, targets, clamp=clamp).mean()
    return entropy + lam * term, entropy.detach(), term.detach()


def _check_logits(logits: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ArgumentError(
            f"logits have shape {tuple(logits.shape)} and type {logits.dtype}: "
            "expected floating-point (B, C) with at least two classes"
        )


def _full_precision(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
