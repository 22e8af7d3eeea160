"""Symmetric cross entropy: cross entropy and the same with label and prediction exchanged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from elr.checking import check_types
from elr.errors import ArgumentError
from elr.methods.losses.loss_config import LossConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels


def symmetric_cross_entropy(
    logits: Tensor, labels: Tensor, *, alpha: float, beta: float, log_zero: float = -4.0
) -> Tensor:
    """alpha times cross entropy and beta times the reverse cross entropy of each example.

        alpha (-log p_y) + beta (-sum_c p_c log y_c),    p = softmax(logits),    log 0 := A

    For a label that is one class the reverse term is -A (1 - p_y): the mean absolute error, times -A / 2. It is not
    moved by symmetric noise; cross entropy beside it keeps the learning fast.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1: the mean over labels of both terms.
        alpha: weight of cross entropy, >= 0.
        beta: weight of the reverse, >= 0.
        log_zero: A < 0.

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
        >>> symmetric_cross_entropy(logits, labels, alpha=1.0, beta=0.0)
        tensor([0.6931])
        >>> symmetric_cross_entropy(logits, labels, alpha=0.0, beta=1.0)
        tensor([2.])

    Source: Wang et al., "Symmetric cross entropy for robust learning with noisy labels", ICCV 2019 (arXiv:1908.06112),
    section on symmetric cross entropy learning. The authors' code (github.com/YisenWang/
    symmetric_cross_entropy_for_noisy_labels) has log 1e-4 = -9.21 in the place of A, and clips p at 1e-7, which stops
    the gradient of cross entropy for labels that find no belief.
    """
    log_probs = log_probs_of(logits, labels)
    return mean_over_labels(log_zero * beta * log_probs.expm1() - alpha * log_probs, labels)


@dataclass(frozen=True, kw_only=True)
class SymmetricCrossEntropyConfig(LossConfig):
    """Settings of symmetric cross entropy.

    Args:
        alpha: weight of cross entropy, >= 0. Default 0.1, the paper's for CIFAR-10; 6 for CIFAR-100.
        beta: weight of the reverse cross entropy, >= 0. Default 1, the paper's for CIFAR-10; 0.1 for CIFAR-100.
        log_zero: A, which stands for log 0, below 0. Default -4, the paper's.

    Raises:
        ArgumentError: a setting out of range, or both weights 0.

    Example:
        >>> SymmetricCrossEntropyConfig(alpha=6.0, beta=0.1).described()
        {'name': 'symmetric cross entropy', 'alpha': 6.0, 'beta': 0.1, 'log_zero': -4.0}
    """

    name: ClassVar[str] = "sce"
    alpha: float = 0.1
    beta: float = 1.0
    log_zero: float = -4.0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("alpha", "beta"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ArgumentError(
                    f"{name} is {getattr(self, name)}: expected a weight >= 0; the paper has alpha 0.1 and beta 1 for "
                    "CIFAR-10, 6 and 0.1 for CIFAR-100"
                )
        if self.alpha == 0.0 and self.beta == 0.0:
            raise ArgumentError("alpha and beta are both 0: nothing would be learned; set one of them above 0")
        if not -math.inf < self.log_zero < 0.0:
            raise ArgumentError(f"log_zero is {self.log_zero}: expected a number below 0; the paper has -4")

    @property
    def label(self) -> str:
        return "symmetric cross entropy"

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return symmetric_cross_entropy(logits, labels, alpha=self.alpha, beta=self.beta, log_zero=self.log_zero)
