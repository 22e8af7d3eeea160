"""The formulas of ELR in plain NumPy, float64, from the paper and the authors' code, one example at a time."""

import numpy as np


def softmax(logits):
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def cross_entropy(logits, label):
    return -np.log(softmax(logits)[label])


def elr_term(logits, targets):
    """Equation 7 of the paper."""
    return np.log(1.0 - softmax(logits) @ targets)


def authors_elr_term(logits, targets):
    """The authors' code: the probabilities are clamped to [1e-4, 1 - 1e-4] first."""
    return np.log(1.0 - np.clip(softmax(logits), 1e-4, 1.0 - 1e-4) @ targets)


def elr_gradient(logits, targets):
    """Lemma 2 of the paper: g_c = p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k."""
    probs = softmax(logits)
    sums = np.array([((targets - targets[c]) * probs).sum() for c in range(len(probs))])
    return probs / (1.0 - probs @ targets) * sums


def confined(probs, clamp):
    """The authors' code of ELR: what enters the targets is clamped as in the term and divided by its sum."""
    clamped = np.clip(probs, clamp, 1.0 - clamp)
    return clamped / clamped.sum()


def running_average(targets, index, probs, beta):
    """Equation 9, a row that repeats updated once with the mean of its outputs."""
    updated = targets.copy()
    for row in np.unique(index):
        updated[row] = beta * targets[row] + (1.0 - beta) * probs[index == row].mean(axis=0)
    return updated


def alignment_weights(table, shares):
    """Given shares over those of the mean target; 1 where nothing is known."""
    means = np.array([np.mean([row[c] for row in table]) for c in range(table.shape[1])])
    if means.sum() == 0:
        return np.ones(len(means))
    return shares / (means / means.sum())


def aligned(targets, weights):
    """Each target times its weight, scaled so that the sum of the row stays what it was."""
    weighted = [t * w for t, w in zip(targets, weights, strict=True)]
    return np.array([value * sum(targets) / sum(weighted) if sum(targets) > 0 else 0.0 for value in weighted])
