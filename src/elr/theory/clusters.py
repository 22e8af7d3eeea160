"""The examples of the paper's first half: Gaussian clusters, some of whose labels are false. NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from elr.checking import checked, checked_array
from elr.errors import ArgumentError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Examples of C Gaussian clusters, some with a false label.

    Args:
        inputs: (N, p) float64.
        labels: (N,) labels to train on.
        clean_labels: (N,) the cluster of each example.
        means: (C, p) centers of the clusters, of length 1.

    Example:
        >>> ends = np.array([[-1.0, 0.0], [1.0, 0.0]])
        >>> data = Clusters(inputs=ends[[0, 1, 1]], labels=np.array([0, 1, 0]), clean_labels=np.array([0, 1, 1]),
        ...     means=ends)
        >>> data.wrong.tolist(), round(data.noise_rate, 2)
        ([False, False, True], 0.33)
    """

    inputs: Floats
    labels: NDArray[np.int64]
    clean_labels: NDArray[np.int64]
    means: Floats

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) whose given label is false."""
        return self.labels != self.clean_labels

    @property
    def noise_rate(self) -> float:
        """Share of false labels, in [0, 1]."""
        return float(self.wrong.mean())


@checked
def make_clusters(
    num_features: int, num_examples: int, *, sigma: float, delta: float, num_classes: int = 2, seed: int = 0
) -> Clusters:
    """Draw the paper's model: x ~ N(v_c, sigma^2 I_p), c uniform; with probability delta the label is drawn anew.

    With two classes the means are -v and v (the paper's), with more they are orthogonal; directions are random. The new
    label is uniform over all classes (a fair coin), the true one included: delta (1 - 1/C) of the labels are wrong.

    Args:
        num_features: p, at least 2, and at least C with more than two classes.
        num_examples: N, at least 2.
        sigma: spread of each cluster in every direction, > 0; the means have length 1.
        delta: in [0, 1).
        num_classes: C, at least 2.
        seed: of means, examples and labels.

    Raises:
        ArgumentError: a value out of its range.

    Example:
        >>> data = make_clusters(20, 10, sigma=0.1, delta=0.5)
        >>> data.inputs.shape, data.means.shape
        ((10, 20), (2, 20))

    Source: section 3 of Liu et al., NeurIPS 2020; more than two classes are ours.
    """
    for name, value, least, why in (
        ("num_features (p)", num_features, 2, "the theorem is about many dimensions"),
        ("num_examples (n)", num_examples, 2, "there must be something to learn from"),
        ("num_classes", num_classes, 2, "a label must be able to be wrong"),
    ):
        if value < least:
            raise ArgumentError(f"{name} is {value}: expected at least {least}; {why}")
    if not 0.0 < sigma < math.inf:
        raise ArgumentError(f"sigma is {sigma}: expected a spread > 0; the centers have length 1, so 0.1 is narrow")
    if not 0.0 <= delta < 1.0:
        raise ArgumentError(
            f"delta is {delta}: expected a probability in [0, 1), at which a label is drawn anew; at 1 the labels say "
            "nothing (the share of wrong labels is delta (1 - 1/C), so with two classes below one half)"
        )
    if num_classes > 2 and num_features < num_classes:
        raise ArgumentError(
            f"{num_classes} orthogonal means need as many features, and num_features (p) is {num_features}"
        )
    if seed < 0:
        raise ArgumentError(f"seed is {seed}: expected an integer >= 0")
    generator = np.random.default_rng(seed)
    if num_classes == 2:
        direction = generator.standard_normal(num_features)
        direction /= np.linalg.norm(direction)
        means = np.stack([-direction, direction])
    else:
        means = np.linalg.qr(generator.standard_normal((num_features, num_classes)))[0].T
    clean = generator.integers(num_classes, size=num_examples)
    inputs = generator.standard_normal((num_examples, num_features))
    inputs *= sigma
    inputs += means[clean]
    redrawn = generator.random(num_examples) < delta
    given = np.where(redrawn, generator.integers(num_classes, size=num_examples), clean)
    return Clusters(inputs=inputs, labels=given, clean_labels=clean, means=means)


def is_separable(inputs: ArrayLike, labels: ArrayLike) -> bool:
    """Whether a linear model without bias can predict every one of these labels: decided by a linear program.

    It looks for the weights in [-1, 1] with the widest margin m, <w_y, x> >= <w_c, x> + m for every example and
    each other class c: the labels are separable if these weights predict them all.

    Args:
        inputs: (N, p).
        labels: (N,) class numbers 0 .. C - 1.

    Raises:
        ArgumentError: shapes that do not belong together.

    Example:
        >>> is_separable([[1.0, 0.0], [-1.0, 0.1]], [1, 0]), is_separable([[1.0], [2.0]], [0, 1])
        (True, False)

    Source: Theorem 6 of Liu et al., NeurIPS 2020, is about when this holds (after Schlaefli and Cover); what holds it
    decides gradient descent ends by memorizing (Soudry et al., JMLR 2018).
    """
    inputs = checked_array(inputs, "inputs", "biuf").astype(np.float64)
    labels = checked_array(labels, "labels", "biu").astype(np.int64)
    if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or not len(labels):
        raise ArgumentError(
            f"inputs have shape {inputs.shape}, labels {labels.shape}: expected (N, p) and (N,), N at least 1"
        )
    num_classes, (num_examples, num_features) = max(int(labels.max()) + 1, 2), inputs.shape
    if num_classes == 2:
        constraints = -np.where(labels == 1, 1.0, -1.0)[:, None] * inputs
    else:
        constraints = np.zeros((num_examples, num_classes - 1, num_classes, num_features))
        for given in range(num_classes):
            rows = np.flatnonzero(labels == given)
            for place, other in enumerate(c for c in range(num_classes) if c != given):
                constraints[rows, place, given] = -inputs[rows]
                constraints[rows, place, other] = inputs[rows]
        constraints = constraints.reshape(-1, num_classes * num_features)
    count = constraints.shape[1]
    found = linprog(
        np.append(np.zeros(count), -1.0),  # the widest margin
        A_ub=np.hstack([constraints, np.ones((len(constraints), 1))]),
        b_ub=np.zeros(len(constraints)),
        bounds=[(-1.0, 1.0)] * count + [(0.0, 1.0)],
        method="highs",
    )
    if found.status != 0:
        raise ArgumentError(f"the linear program could not be solved: {found.message}")
    return bool((constraints @ found.x[:-1] < 0.0).all())  # what the solver found is proof; its margin may be rounding
