"""What DivideMix teaches in place of the given labels, and how networks are held to it: formulas, a function each."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def sharpened(probs: Tensor, temperature: float) -> Tensor:
    """p_c^(1/T) / sum_c p_c^(1/T) of each row (B, C): below T = 1 what is probable becomes more so.

    Example:
        >>> sharpened(torch.tensor([[0.6, 0.2, 0.2]]), 0.5)
        tensor([[0.8182, 0.0909, 0.0909]])

    Source: equation 4 of Li, Socher, Hoi, ICLR 2020.
    """
    powers = (probs / probs.amax(dim=1, keepdim=True)) ** (1.0 / temperature)  # the largest is 1: nothing underflows
    return powers / powers.sum(dim=1, keepdim=True)


def co_refined(labels: Tensor, probs: Tensor, clean_probs: Tensor) -> Tensor:
    """w y + (1 - w) p: the given label as far as it is thought right, what the network says for the rest.

    Args:
        labels: (B, C) rows y that sum to 1.
        probs: (B, C) rows p that sum to 1.
        clean_probs: (B,) w, see `elr.methods.peers.division.clean_probs_of`.

    Example:
        >>> co_refined(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.2, 0.8]]), torch.tensor([0.75]))
        tensor([[0.8000, 0.2000]])

    Source: equation 3 of Li, Socher, Hoi, ICLR 2020.
    """
    return torch.lerp(probs, labels.to(probs.dtype), clean_probs.to(probs.dtype)[:, None])


def prior_penalty(log_probs: Tensor) -> Tensor:
    """KL(u || m) in nats of the equal shares u of C classes and the mean m of the outputs: no class is left out.

    Args:
        log_probs: (B, C) logarithms of the outputs; of the mean, too, nothing is lost to underflow.

    Example:
        >>> prior_penalty(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()).round(decimals=4)
        tensor(0.)
        >>> prior_penalty(torch.tensor([[0.9, 0.1]]).log())
        tensor(0.5108)

    Source: equation 11 of Li, Socher, Hoi, ICLR 2020.
    """
    log_means = torch.logsumexp(log_probs, dim=0) - math.log(len(log_probs))
    return -math.log(len(log_means)) - log_means.mean()


def semi_supervised_parts(logits: Tensor, labels: Tensor, *, labeled: int) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms of DivideMix's loss: of labeled rows, of the others, of all.

    Args:
        logits: (B, C), first those of labeled rows.
        labels: (B, C) rows that sum to 1, refined and guessed; constant.
        labeled: how many rows are labeled; a term without rows is 0.

    Returns:
        Mean cross entropy over the labeled rows; mean squared difference of p and labels over the others and over the
        classes; `prior_penalty` over all: scalars in nats, but the second.

    Example:
        >>> [round(float(part), 4) for part in semi_supervised_parts(torch.zeros(2, 2), torch.eye(2), labeled=1)]
        [0.6931, 0.25, 0.0]

    Source: equations 9 to 11 of Li, Socher, Hoi, ICLR 2020. The second is a mean over the classes too in the authors'
    code, for which the published weights are; equation 10 has their sum.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    probs = log_probs.exp()
    nothing = log_probs.sum() * 0.0
    few, others = log_probs[:labeled], probs[labeled:]
    cross_entropy = -(few * labels[:labeled]).sum(dim=1).mean() if len(few) else nothing
    consistency = (others - labels[labeled:]).square().mean() if len(others) else nothing
    return cross_entropy, consistency, prior_penalty(log_probs)


def confidence_penalty(logits: Tensor) -> Tensor:
    """Mean negative entropy sum_c p_c log p_c of the outputs, in nats: 0 where they are sure, -log C at equal shares.

    Example:
        >>> confidence_penalty(torch.zeros(3, 2)).round(decimals=4)
        tensor(-0.6931)

    Source: equation 2 of Li, Socher, Hoi, ICLR 2020.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    return (log_probs.exp() * log_probs).sum(dim=1).mean()
