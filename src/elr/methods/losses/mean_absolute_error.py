"""The mean absolute error between label and prediction: not moved by symmetric noise, and slow to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from elr.methods.losses.loss_config import LossConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels


def mean_absolute_error(logits: Tensor, labels: Tensor) -> Tensor:
    """2 (1 - p_y) of each example, which is sum_c |[c = y] - p_c|, with p = softmax(logits).

    Its sum over all C labels that an example might have is 2 (C - 1), whatever p is: so labels that are wrong at
    random, toward all other classes alike, add a constant and scale the rest, and do not move the minimum while less
    than (C - 1) / C of them are wrong. Its gradient, 2 p_y (p - [c = y]), vanishes where the label finds no belief.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1: the mean over labels, sum_c y_c 2 (1 - p_c).

    Returns:
        (B,) losses in [0, 2], float32 (float64 for float64 logits).

    Example:
        >>> import torch
        >>> mean_absolute_error(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0]))
        tensor([1.0000e+00, 2.4673e-04])

    Source: Ghosh, Kumar, Sastry, "Robust loss functions under label noise for deep neural networks", AAAI 2017
    (arXiv:1712.09482), section on MAE and theorem 1. In theirs, as here, the error is not divided by C.
    """
    return -2.0 * mean_over_labels(log_probs_of(logits, labels).expm1(), labels)


@dataclass(frozen=True, kw_only=True)
class MeanAbsoluteErrorConfig(LossConfig):
    """The mean absolute error; there is nothing to set.

    Example:
        >>> from torch import nn
        >>> MeanAbsoluteErrorConfig().build([nn.Linear(2, 3)], num_examples=8, num_classes=3).loss
        ConfiguredLoss(MeanAbsoluteErrorConfig())
    """

    name: ClassVar[str] = "mae"

    @property
    def label(self) -> str:
        return "mean absolute error"

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return mean_absolute_error(logits, labels)
