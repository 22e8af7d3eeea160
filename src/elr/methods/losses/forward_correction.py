"""Forward correction: the network says what is true, the transition matrix makes of it what is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elr.methods.losses.correction import CorrectionConfig
from elr.methods.losses.per_class import log_probs_of


def forward_correction(logits: Tensor, labels: Tensor, log_transitions: Tensor) -> Tensor:
    """-log (T^T p)_y = -log sum_i p_i T[i, y] of each example, p = softmax(logits): cross entropy of the given label.

    Its minimizer over many examples is p_i = P(true i | x), where cross entropy's is P(given i | x).

    Computed from logarithms, as -logsumexp_i(log p_i + log T[i, y]): finite where all p that could have given the label
    underflow.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1: the mean over labels. Of rows, memory is C numbers
            for each entry that is not 0.
        log_transitions: (C, C) log T, with T[i, j] = P(given j | true i); -inf for 0.

    Returns:
        (B,) losses in nats, >= 0, float32 (float64 for float64 logits).

    Example:
        >>> transitions = torch.tensor([[1.0, 0.0], [0.4, 0.6]])
        >>> sure = torch.tensor([[-50.0, 50.0]])  # of class 1, which is labeled 0 in 40 % of cases
        >>> forward_correction(sure, torch.tensor([0]), transitions.log()), -torch.tensor(0.4).log()
        (tensor([0.9163]), tensor(0.9163))

    Source: theorem 2 (number from memory) of Patrini et al., CVPR 2017 (arXiv:1609.03683). The authors' code clips p to
    [1e-7, 1 - 1e-7].
    """
    log_probs = log_probs_of(logits, labels)
    columns = log_transitions.to(log_probs.dtype).T
    if labels.ndim == 1:
        return -torch.logsumexp(log_probs + columns[labels], dim=1)
    rows, classes = labels.nonzero(as_tuple=True)
    given = torch.logsumexp(log_probs[rows] + columns[classes], dim=1)
    weighed = labels[rows, classes].to(given.dtype) * given
    return -log_probs.new_zeros(len(labels)).index_add(0, rows, weighed)


@dataclass(frozen=True, kw_only=True)
class ForwardCorrectionConfig(CorrectionConfig):
    """Settings of forward correction: those of `CorrectionConfig`.

    Example:
        >>> config = ForwardCorrectionConfig(transition=[[0.9, 0.1], [0.2, 0.8]])
        >>> config.to_json()["transition"]
        ((0.9, 0.1), (0.2, 0.8))
        >>> ForwardCorrectionConfig(transition=[[1, 0], [1, 0]])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: transition has only zeros in column 1: expected that each label can be given...
    """

    name: ClassVar[str] = "forward_correction"

    def factors(self, transitions: Tensor) -> Tensor:
        return transitions.log()

    def corrected(self, logits: Tensor, labels: Tensor, factors: Tensor) -> Tensor:
        return forward_correction(logits, labels, factors)

    def trouble_with(self, transitions: Tensor) -> str | None:
        empty = (transitions.sum(dim=0) == 0.0).nonzero()[:, 0].tolist()
        if not empty:
            return None
        return f"has only zeros in column {empty[0]}: expected that each label can be given to some class; correct it"
