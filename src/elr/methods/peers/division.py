"""How DivideMix tells rows with right labels from others: a mixture of two Gaussians, fitted to the losses."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from elr.errors import TrainingError

_SEED = 0  # of k-means, from which the fit starts: the same losses give the same division


def unit_losses(losses: Tensor) -> Tensor:
    """Losses (N,) stretched to [0, 1]; 0 where all are alike. What is not finite stays so and does not count.

    Example:
        >>> unit_losses(torch.tensor([0.5, 2.5, 1.0]))
        tensor([0.0000, 1.0000, 0.2500])
    """
    finite = losses[losses.isfinite()]
    if not len(finite):
        return losses
    low, high = finite.min(), finite.max()
    return (losses - low) / (high - low) if high > low else losses - low


def clean_probs_of(losses: Tensor) -> Tensor:
    """Probability of each row that its label is right: that its loss is of the Gaussian with the lower mean, of two.

    Where no loss differs from another they tell nothing, and every label is taken to be right. A loss that is not
    finite has no part in the fit and probability 0.

    Args:
        losses: (N,) of each row, in [0, 1]: see `unit_losses`.

    Returns:
        (N,) float32 probabilities w on the CPU.

    Raises:
        TrainingError: no loss is finite.

    Example:
        >>> clean_probs_of(torch.tensor([0.0, 0.02, 0.05, 0.01, 0.9, 1.0])).round(decimals=3)
        tensor([1., 1., 1., 1., 0., 0.])

    Source: section 3.1 of Li, Socher, Hoi, ICLR 2020. The settings of scikit-learn's GaussianMixture are those of the
    authors' code: at most 10 steps, tolerance 1e-2, 5e-4 added to variances. Differs from it in that the start of
    k-means is fixed and computed in one thread, so that the same losses always give the same division.
    """
    from sklearn.exceptions import ConvergenceWarning  # half a second that other methods need not wait for
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    values = losses.cpu().double().numpy()
    told = np.isfinite(values)
    if not told.any():
        raise TrainingError("no training example has a finite loss: training diverged; lower the learning rate")
    probs = torch.zeros(len(values))
    if np.ptp(values[told]) == 0.0:
        probs[torch.from_numpy(told)] = 1.0
        return probs
    column = values[told, None]
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=_SEED)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten steps are what is published
        posterior = mixture.fit(column).predict_proba(column)
    probs[torch.from_numpy(told)] = torch.from_numpy(posterior[:, mixture.means_.argmin()]).float()
    return probs
