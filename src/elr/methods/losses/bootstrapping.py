"""Bootstrapping: a share of each label is what the network itself says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from elr.checking import check_types
from elr.errors import ArgumentError
from elr.methods.losses.loss_config import LossConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels

BETAS = {"hard": 0.8, "soft": 0.95}
"""The kinds, and the share of the given label that the paper has for each."""


def bootstrapping(logits: Tensor, labels: Tensor, *, kind: str, beta: float) -> Tensor:
    """Cross entropy of each example with a label of which 1 - beta is the prediction.

        soft:   -sum_c (beta y_c + (1 - beta) p_c) log p_c
        hard:   -sum_c (beta y_c + (1 - beta) z_c) log p_c,    z the most probable class

    with p = softmax(logits) of the present step. Soft is cross entropy with the entropy of p added, and its gradient
    goes through p in both places; z is held constant, since it does not change where the gradient exists.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1.
        kind: "hard" or "soft".
        beta: share of the given label in [0, 1]; 1 is cross entropy.

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([1])
        >>> for beta in (1.0, 0.8):  # a label that the network does not believe weighs less
        ...     bootstrapping(logits, labels, kind="hard", beta=beta)
        tensor([2.1269])
        tensor([1.7269])

    Source: Reed et al., "Training deep neural networks on noisy labels with bootstrapping", ICLR 2015 workshop
    (arXiv:1412.6596), the section on bootstrapping by the prediction.
    """
    log_probs = log_probs_of(logits, labels)
    given = mean_over_labels(log_probs, labels)
    own = (log_probs.exp() * log_probs).sum(dim=1) if kind == "soft" else log_probs.amax(dim=1)
    return -beta * given - (1.0 - beta) * own


@dataclass(frozen=True, kw_only=True)
class BootstrappingConfig(LossConfig):
    """Settings of bootstrapping.

    Args:
        kind: "hard": a share of the label is the most probable class; "soft": the probabilities. Default "hard", which
            the paper finds the better one.
        beta: share of the given label in (0, 1]. Default 0.8 for "hard", 0.95 for "soft" (the paper's).

    Raises:
        ArgumentError: another kind, or beta out of range.

    Example:
        >>> BootstrappingConfig().beta, BootstrappingConfig(kind="soft").beta
        (0.8, 0.95)
    """

    name: ClassVar[str] = "bootstrapping"
    kind: str = "hard"
    beta: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.kind not in BETAS:
            raise ArgumentError(f"kind is {self.kind!r}: expected one of {', '.join(BETAS)}")
        if self.beta is None:
            object.__setattr__(self, "beta", BETAS[self.kind])
        elif not 0.0 < self.beta <= 1.0:
            raise ArgumentError(
                f"beta is {self.beta}: expected the share of the given label in (0, 1]; the paper has 0.8 for hard and "
                "0.95 for soft"
            )

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        assert self.beta is not None, "set in __post_init__"
        return bootstrapping(logits, labels, kind=self.kind, beta=self.beta)
