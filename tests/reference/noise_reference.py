"""Label noise written a second time, one example after another, from the definitions and with other routines."""

import math

import numpy as np
from scipy import stats


def symmetric(clean, rate, num_classes, seed, *, authors):
    """`corrupt_symmetric` (authors=False) or `corrupt_symmetric_authors`, from the draws that their docstrings list."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(clean))
    hit = sum(i < rate * len(clean) for i in range(len(clean))) if authors else round(rate * len(clean))
    draws = rng.integers(0 if authors else 1, num_classes, size=hit)
    given = list(clean)
    for row, draw in zip(order[:hit], draws, strict=True):
        given[row] = draw if authors else (clean[row] + draw) % num_classes
    return np.array(given)


def asymmetric(clean, rate, mapping, seed, *, authors):
    """`corrupt_asymmetric` (authors=False) or `corrupt_asymmetric_authors`, from the draws that they document."""
    rng = np.random.default_rng(seed)
    given = list(clean)
    for c in sorted(mapping):
        seen = given if authors else clean
        rows = rng.permutation([row for row in range(len(clean)) if seen[row] == c])
        for i, row in enumerate(rows):
            if i < rate * len(rows) if authors else i < round(rate * len(rows)):
                given[row] = mapping[c]
    return np.array(given)


def transition(clean, matrix, seed):
    """`corrupt_transition`: the first class at which the running sum of the row passes the uniform."""
    uniforms = np.random.default_rng(seed).random(len(clean))
    given = []
    for c, uniform in zip(clean, uniforms, strict=True):
        total, j = matrix[c][0], 0
        while total <= uniform:
            j += 1
            total += matrix[c][j]
        given.append(j)
    return np.array(given)


def instance_dependent(clean, features, rate, num_classes, seed):
    """`corrupt_instance_dependent`, Algorithm 2 of Xia et al. 2020, with scipy's truncated normal: labels and probs."""
    rng = np.random.default_rng(seed)
    num_examples, size = features.shape
    q = stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).ppf(rng.random(num_examples))
    uniforms = rng.random(num_examples)
    weights = [rng.standard_normal((size, num_classes)) for _ in range(num_classes)]
    given, probs = [], np.zeros((num_examples, num_classes))
    for i, c in enumerate(clean):
        others = [j for j in range(num_classes) if j != c]
        logits = [sum(features[i, s] * weights[c][s, j] for s in range(size)) for j in others]
        scale = sum(math.exp(v) for v in logits)
        for j, logit in zip(others, logits, strict=True):
            probs[i, j] = q[i] * math.exp(logit) / scale
        probs[i, c] = 1 - q[i]
        given.append(min(j for j in range(num_classes) if probs[i, : j + 1].sum() > uniforms[i]))
    return np.array(given), probs
