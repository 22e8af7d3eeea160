"""Cross entropy with labels that leave a little for every class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from elr.checking import check_types
from elr.errors import ArgumentError
from elr.methods.losses.loss_config import LossConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels


def label_smoothing(logits: Tensor, labels: Tensor, *, alpha: float) -> Tensor:
    """Cross entropy of each example with the label (1 - alpha) y + alpha / C.

        -(1 - alpha) log p_y - alpha / C sum_c log p_c,    p = softmax(logits)

    The smoothing reaches all C classes, the label's too.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1.
        alpha: share of the label that is spread, in [0, 1); 0 is cross entropy.

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Example:
        >>> import torch
        >>> label_smoothing(torch.tensor([[9.0, 0.0]]), torch.tensor([0]), alpha=0.1)
        tensor([0.4501])

    Source: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016 (arXiv:1512.00567), section 7; as a
    remedy for wrong labels Lukasik et al., ICML 2020 (arXiv:2003.02819).
    """
    log_probs = log_probs_of(logits, labels)
    return -(1.0 - alpha) * mean_over_labels(log_probs, labels) - alpha * log_probs.mean(dim=1)


@dataclass(frozen=True, kw_only=True)
class LabelSmoothingConfig(LossConfig):
    """Settings of label smoothing.

    Args:
        alpha: share of each label that is spread over all classes, in [0, 1). Default 0.1, that of both papers.

    Raises:
        ArgumentError: alpha out of range.

    Example:
        >>> LabelSmoothingConfig(alpha=0.2).to_json()
        {'name': 'label_smoothing', 'alpha': 0.2}
    """

    name: ClassVar[str] = "label_smoothing"
    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_types(self)
        if not 0.0 <= self.alpha < 1.0:
            raise ArgumentError(
                f"alpha is {self.alpha}: expected a share of the label in [0, 1); the paper has 0.1, and 0 is cross "
                "entropy"
            )

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return label_smoothing(logits, labels, alpha=self.alpha)
