"""A model without features: one bias vector, the same outputs for every row. Where ELR leads its shares of the classes.

Rows that the features cannot tell apart are such a model. What cross entropy learns of them are the given shares.
"""

from __future__ import annotations

import numpy as np
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import check_weights, regularizer


def settle(
    class_shares: np.ndarray,
    *,
    lam: float,
    prior: np.ndarray | None = None,
    clamp: float = 1e-4,
    steps: int = 5000,
    learning_rate: float = 0.5,
) -> np.ndarray:
    """Gradient descent of one bias vector b on CE + lam log(1 - <p, t>), p = softmax(b), from the given shares pi.

    The targets have long become what the model says, t = p, and are held constant in the gradient,

        p - pi - lam / (1 - <p, t>) * p (t - <p, t>)

    Args:
        class_shares: (C,) pi, shares of the classes among the given labels, above 0.
        lam: weight of the regularizer, >= 0.
        prior: (C,) shares that the targets are aligned to, so that all of them are `prior`; None: t = p, as published.
        clamp: see `elr.methods.loss.formulas.elr_term`.
        steps: of descent.
        learning_rate: of each.

    Returns:
        (steps + 1, C) outputs p, the start first.

    Raises:
        ArgumentError: shares that are not positive, or lam out of range.

    Example:
        >>> given = np.array([0.55, 0.45])
        >>> settle(given, lam=3.0)[-1].round(3)  # as published: all rows are of the first class
        array([1., 0.])
        >>> settle(given, lam=3.0, prior=given)[-1].round(3)
        array([0.685, 0.315])
    """
    check_weights(lam, 0.0)
    shares = torch.as_tensor(np.asarray(class_shares, dtype=np.float64))[None]
    if not (shares > 0.0).all():
        raise ArgumentError(f"class_shares are {shares[0].tolist()}: expected shares above 0 of each class")
    shares = shares / shares.sum()
    goal = None if prior is None else torch.as_tensor(np.asarray(prior, dtype=np.float64))[None]
    bias = shares.log()
    path = [torch.softmax(bias, dim=1)]
    for _ in range(steps):
        probs = path[-1]
        targets = probs if goal is None else goal / goal.sum()
        _, factor, pulls = regularizer(probs, targets, clamp=clamp, logits=bias)
        slope = factor * (pulls - probs * pulls.sum(dim=1, keepdim=True))
        bias = bias - learning_rate * (probs - shares + lam * slope)
        path.append(torch.softmax(bias, dim=1))
    return torch.cat(path).numpy()


def published_balance(share: float, lam: float) -> float:
    """Where `settle` as published ends for two classes: 1/2 + (pi - 1/2) / (1 - lam), at most 1; 1 from lam 2 (1 - pi).

    Args:
        share: pi of the more frequent class, in [1/2, 1).
        lam: >= 0.

    Example:
        >>> [round(published_balance(0.55, lam), 3) for lam in (0.0, 0.5, 0.8, 0.9, 3.0)]
        [0.55, 0.6, 0.75, 1.0, 1.0]
    """
    _check_share(share)
    if share == 0.5 and lam < 1.0:
        return 0.5
    return 1.0 if lam >= 2.0 * (1.0 - share) else 0.5 + (share - 0.5) / (1.0 - lam)


def aligned_balance(share: float, lam: float, *, prior: float | None = None) -> float:
    """Where `settle` with aligned targets ends for two classes, without a clamp; below 1 for every lam.

    With t = (r, 1 - r) it is the root in [0, 1] of (p - pi) (1 - <p, t>) = lam p (1 - p) (2 r - 1).

    Args:
        share: pi of the more frequent class, in [1/2, 1).
        lam: >= 0.
        prior: r that the targets are aligned to. Default: pi.

    Example:
        >>> [round(aligned_balance(0.55, lam), 3) for lam in (0.0, 0.9, 3.0, 7.0)]
        [0.55, 0.594, 0.685, 0.794]
        >>> round(aligned_balance(0.55, 7.0, prior=0.5), 3)  # aligned to equal shares nothing drifts
        0.55
    """
    _check_share(share)
    goal = share if prior is None else prior
    lean = 2.0 * goal - 1.0
    if lean == 0.0:
        return share
    roots = np.roots([lean * (lam - 1.0), goal + share * lean - lam * lean, -share * goal])
    return float(next(root.real for root in roots if abs(root.imag) < 1e-12 and 0.0 <= root.real <= 1.0))


def _check_share(share: float) -> None:
    if not 0.5 <= share < 1.0:
        raise ArgumentError(f"the share is {share}: expected that of the more frequent of two classes, in [0.5, 1)")
