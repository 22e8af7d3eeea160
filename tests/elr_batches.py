"""Batches of logits, outputs and targets, and the ELR term as PyTorch differentiates it, for tests of the formulas."""

import numpy as np
import torch
from torch.nn import functional as F


def random_case(seed, batch=64, classes=10, scale=2.0):
    """Logits and targets; targets are what a network said earlier, times what t(0) = 0 has left out."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=scale, size=(batch, classes))
    targets = rng.dirichlet(np.ones(classes), size=batch) * rng.uniform(0.3, 1.0, size=(batch, 1))
    return logits, targets


def outputs(seed, batch, classes):
    """Probabilities (B, C) as a network gives them."""
    return torch.softmax(torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed)), dim=1)


def soft_labels(seed, batch=64, classes=10):
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(classes), size=batch))


def autograd_term(logits, targets, *, clamp=0.0):
    """log(1 - <p, t>) of each example without a gradient of ours, and without cancellation: in float32 at least.

    Clamped rows do not sum to 1, so 1 - <p, t> is put together from p (1 - t) and what clamping added. The floor only
    catches targets whose low-precision storage sums to a little more than 1.
    """
    full = logits if logits.dtype == torch.float64 else logits.float()
    remainder = torch.log1p(-targets.detach().to(full.dtype))
    log_probs = F.log_softmax(full, dim=1)
    if clamp == 0.0:
        return torch.logsumexp(log_probs + remainder, dim=1)
    probs = log_probs.exp()
    clamped = probs.clamp(clamp, 1.0 - clamp)
    excess = (clamped - probs).sum(dim=1)
    return torch.log(((clamped * remainder.exp()).sum(dim=1) - excess).clamp(min=clamp))


class Elsewhere(torch.Tensor):
    """Says that it is on an accelerator, so that what is done there is done here."""

    device = property(lambda self: torch.device("cuda"))
