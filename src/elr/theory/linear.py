"""The linear model of the paper's first half: when early learning ends and memorization begins, with and without ELR.

Arrays in, dataclasses out; NumPy only, nothing of the trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.special import log_softmax

from elr.errors import ArgumentError

Floats = NDArray[np.float64]

SPHERE = 2.0  # radius of the sphere that the theorem's first weights are drawn from
EARLY = 0.1  # <theta, v> that ends the theorem's early-learning phase
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Examples of C Gaussian clusters, some with a false label.

    Args:
        inputs: (N, p) float64.
        given_labels: (N,) labels to train on.
        clean_labels: (N,) the cluster of each example.
        means: (C, p) centers of the clusters, of length 1.
    """

    inputs: Floats
    given_labels: NDArray[np.int64]
    clean_labels: NDArray[np.int64]
    means: Floats

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) whose given label is false."""
        return self.given_labels != self.clean_labels

    @property
    def noise_rate(self) -> float:
        """Share of false labels, in [0, 1]."""
        return float(self.wrong.mean())


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
    return Clusters(inputs=inputs, given_labels=given, clean_labels=clean, means=means)


@dataclass(frozen=True, kw_only=True)
class Path:
    """What gradient descent did: each array has one value per step, from the start (0) to the end, S + 1 in all.

    "Clean" examples have a right label, "wrong" ones a false one; means over none are NaN. p: the model's probability.

    Args:
        loss: of the method, mean over the examples, in nats.
        correlation: cosine of the negative gradient and the direction that tells the clusters apart, in [-1, 1].
        alignment: <theta, v> for two classes; for more, twice the coefficient of the weights on the centered means.
        distance: of the weights from their start.
        coefficient_clean, coefficient_wrong: mean of 1 - p(given label) = |p - y|: what drives cross entropy.
        square_clean, square_wrong: mean of its square.
        true_clean, true_wrong: mean of the loss's gradient with respect to the logit of the true class, p - y + lam g:
            negative where training raises the true class, positive where it lowers it.
        accuracy_clean, accuracy_wrong: share for which the true class is predicted.
        memorized: share of the wrong examples for which the given label is predicted.
        fitted: share of all examples for which the given label is predicted.
        target_accuracy: share of all examples for which the targets favor the true class.
        weights: (C - 1, p) for the logistic model, (C, p) for softmax, at the end.
        targets: (N, C) at the end.
    """

    loss: Floats
    correlation: Floats
    alignment: Floats
    distance: Floats
    coefficient_clean: Floats
    coefficient_wrong: Floats
    square_clean: Floats
    square_wrong: Floats
    true_clean: Floats
    true_wrong: Floats
    accuracy_clean: Floats
    accuracy_wrong: Floats
    memorized: Floats
    fitted: Floats
    target_accuracy: Floats
    weights: Floats
    targets: Floats

    @property
    def steps(self) -> int:
        """S, how many steps were taken."""
        return len(self.loss) - 1

    @property
    def early_learning_step(self) -> int | None:
        """T, the first step with an alignment of at least 1/10; None if there is none."""
        reached = np.flatnonzero(self.alignment >= EARLY)
        return int(reached[0]) if len(reached) else None


MEASURES = tuple(field.name for field in fields(Path) if field.name not in ("weights", "targets"))


def descend(
    data: Clusters,
    *,
    lam: float = 0.0,
    beta: float = 0.7,
    clamp: float = 1e-4,
    learning_rate: float = 0.5,
    steps: int = 10_000,
    start: float | ArrayLike = SPHERE,
    seed: int = 0,
    stop_when_fitted: bool = False,
) -> Path:
    """Train a linear model by gradient descent on all examples at once, and measure it at every step.

        loss = mean_i( CE(p_i, y_i) + lam * log(1 - <p_i, t_i>) ),  t_i <- beta t_i + (1 - beta) p_i before each step

    With two classes p = (1 - s, s), s = 1 / (1 + exp(-<theta, x>)) (logistic regression, the paper's); with more,
    p = softmax(W x). Targets begin at 0 and are held constant in the gradient. A step reads the inputs twice; beside
    them it stores O(N C + p C) numbers, and 8 bytes for each measure and step.

    Args:
        data: examples and labels.
        lam: weight of the regularizer, >= 0; 0 is cross entropy.
        beta: momentum of the targets in [0, 1).
        clamp: as in `elr.ELRLoss`: inside the regularizer p is held in [clamp, 1 - clamp]. 0: the bare formula, which
            pulls logits up for ever, until probabilities underflow (beyond 700).
        learning_rate: eta, > 0; the theorem wants eta < 1.
        steps: how many, at least 1.
        start: radius of the sphere that the first weights are drawn from (the theorem's is 2), or the weights, (1, p)
            for two classes or (C, p).
        seed: of the first weights.
        stop_when_fitted: whether to stop once every given label is predicted.

    Raises:
        ArgumentError: a value out of range, or weights of another shape.

    Example:
        >>> path = descend(make_clusters(40, 50, sigma=0.1, delta=0.4), steps=200)
        >>> bool(path.loss[-1] < path.loss[0])
        True

    Source: section 3 and appendices A and B of Liu et al., NeurIPS 2020. The paper prints tanh(<theta, x>) in the
    gradient of the logistic loss; its own loss gives tanh(<theta, x> / 2), which is what happens here.
    """
    _check_descent(lam, beta, clamp, learning_rate, steps)
    model = _Linear(data)
    weights = first = model.start(start, seed)
    targets = np.zeros((len(data.inputs), len(data.means)))
    record = {name: np.empty(steps + 1) for name in MEASURES}
    taken, missing = 0, 1.0
    for taken in range(steps + 1):
        log_probs = model.log_probs(weights)
        probs = np.exp(log_probs)
        targets *= beta
        targets += (1.0 - beta) * _clamped(probs, clamp)
        missing *= beta
        term, pull = _regularizer(probs, targets, missing, clamp) if lam else (0.0, 0.0)
        coefficients = probs - model.one_hot + lam * pull
        gradient = model.gradient(coefficients)
        measures = model.measures(log_probs, probs, targets, coefficients)
        measures["loss"] += float(np.mean(lam * term))
        measures |= {"correlation": model.correlation(-gradient), "alignment": model.alignment(weights)}
        measures["distance"] = float(np.linalg.norm(weights - first))
        for name, value in measures.items():
            record[name][taken] = value
        if taken == steps or (stop_when_fitted and measures["fitted"] == 1.0):
            break
        weights = weights - learning_rate * gradient
    return Path(weights=weights, targets=targets, **{name: values[: taken + 1] for name, values in record.items()})


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
    inputs, labels = np.asarray(inputs, dtype=np.float64), np.asarray(labels, dtype=np.int64)
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


class _Linear:
    """The model on its data: what stays the same from step to step."""

    def __init__(self, data: Clusters) -> None:
        self.inputs = data.inputs
        self.num_classes = len(data.means)
        self.one_hot = np.eye(self.num_classes)[data.given_labels]
        self.given, self.clean, self.wrong = data.given_labels, data.clean_labels, data.wrong
        self.rows = np.arange(len(self.given))
        centered = data.means - data.means.mean(axis=0)
        self.free = slice(1, None) if self.num_classes == 2 else slice(None)  # the logit of class 0 stays 0
        self.signal = centered[self.free]
        self.mean_over = (_mean_over(~self.wrong), _mean_over(self.wrong))

    def start(self, start: float | ArrayLike, seed: int) -> Floats:
        shape = self.signal.shape
        given = np.asarray(start, dtype=np.float64)
        if given.ndim:
            if given.shape != shape:
                raise ArgumentError(f"the first weights have shape {given.shape}: expected {shape}, or a radius")
            return given.copy()
        if not 0.0 <= given < math.inf:
            raise ArgumentError(f"start is {start}: expected a radius >= 0; the theorem's is {SPHERE}")
        drawn = np.random.default_rng([seed, 1]).standard_normal(shape)
        return drawn * (given / np.linalg.norm(drawn))

    def log_probs(self, weights: Floats) -> Floats:
        logits = np.zeros((len(self.inputs), self.num_classes))
        logits[:, self.free] = self.inputs @ weights.T
        return log_softmax(logits, axis=1)

    def gradient(self, coefficients: Floats) -> Floats:
        return coefficients[:, self.free].T @ self.inputs / len(self.inputs)

    def correlation(self, direction: Floats) -> float:
        length = np.linalg.norm(direction) * np.linalg.norm(self.signal)
        return float(np.vdot(direction, self.signal) / length) if length else math.nan

    def alignment(self, weights: Floats) -> float:
        scale = 1.0 if self.num_classes == 2 else 2.0
        return float(scale * np.vdot(weights, self.signal) / np.vdot(self.signal, self.signal))

    def measures(self, log_probs: Floats, probs: Floats, targets: Floats, coefficients: Floats) -> dict[str, float]:
        mean_clean, mean_wrong = self.mean_over
        missing = 1.0 - probs[self.rows, self.given]
        true = coefficients[self.rows, self.clean]
        predicted = probs.argmax(axis=1)
        correct, fitted = (predicted == labels for labels in (self.clean, self.given))
        return {
            "loss": float(-log_probs[self.rows, self.given].mean()),
            "coefficient_clean": mean_clean(missing),
            "coefficient_wrong": mean_wrong(missing),
            "square_clean": mean_clean(missing**2),
            "square_wrong": mean_wrong(missing**2),
            "true_clean": mean_clean(true),
            "true_wrong": mean_wrong(true),
            "accuracy_clean": mean_clean(correct),
            "accuracy_wrong": mean_wrong(correct),
            "memorized": mean_wrong(fitted),
            "fitted": float(fitted.mean()),
            "target_accuracy": float((targets.argmax(axis=1) == self.clean).mean()),
        }


def _regularizer(probs: Floats, targets: Floats, missing: float, clamp: float) -> tuple[Floats, Floats]:
    """log(1 - <p, t>) of each example (N,), and its gradient with respect to the logits (N, C) (the paper's Lemma 2).

    `missing` is 1 - sum(t), known exactly; 1 - p is summed from the other classes. Both keep their digits near 0.
    """
    shown = np.clip(probs, clamp, 1.0 - clamp)
    moves = shown == probs  # a clamped entry passes no gradient
    others = 1.0 - shown if clamp else probs @ (1.0 - np.eye(probs.shape[1]))
    left = (missing + (targets * others).sum(axis=1, keepdims=True)).clip(min=_TINY)
    pushed = targets * moves
    return np.log(left[:, 0]), probs * ((probs * pushed).sum(axis=1, keepdims=True) - pushed) / left


def _clamped(probs: Floats, clamp: float) -> Floats:
    """What targets average: probabilities, clamped and scaled to sum 1 again (the authors' code)."""
    if not clamp:
        return probs
    shown = np.clip(probs, clamp, 1.0 - clamp)
    return shown / shown.sum(axis=1, keepdims=True)


def _mean_over(chosen: NDArray[np.bool_]) -> Callable[[NDArray], float]:
    weights = chosen.astype(np.float64)
    total = weights.sum()
    return lambda values: float(values @ weights / total) if total else math.nan


def _check_descent(lam: float, beta: float, clamp: float, learning_rate: float, steps: int) -> None:
    if not 0.0 <= lam < math.inf:
        raise ArgumentError(f"lam is {lam}: expected a weight >= 0; 0 is cross entropy, the paper uses 1, 3 and 7")
    if not 0.0 <= beta < 1.0:
        raise ArgumentError(f"beta is {beta}: expected a momentum in [0, 1); the paper uses 0.7 and 0.9")
    if not 0.0 <= clamp < 0.5:
        raise ArgumentError(f"clamp is {clamp}: expected a probability in [0, 0.5); 0 switches it off")
    if not 0.0 < learning_rate < math.inf:
        raise ArgumentError(f"learning_rate is {learning_rate}: expected a rate > 0; the theorem wants one below 1")
    if steps < 1:
        raise ArgumentError(f"steps is {steps}: expected at least 1")
