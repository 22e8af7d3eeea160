"""The linear model of the paper's first half: when early learning ends and memorization begins, with and without ELR.

Arrays in, dataclasses out; of the trainer only the regularizer, `elr.methods.loss.formulas.regularizer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from elr.checking import checked, checked_array
from elr.errors import ArgumentError
from elr.methods.loss.formulas import regularizer
from elr.theory.clusters import Clusters, Floats

SPHERE = 2.0  # radius of the sphere that the theorem's first weights are drawn from
EARLY = 0.1  # <theta, v> that ends the theorem's early-learning phase


@dataclass(frozen=True, kw_only=True)
class Trajectory:
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

    Example:
        >>> from elr.theory.clusters import make_clusters
        >>> found = descend(make_clusters(40, 50, sigma=0.1, delta=0.4), steps=100)
        >>> found.steps, found.early_learning_step, round(float(found.loss[0]), 2)
        (100, 2, 0.72)
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


MEASURES = tuple(field.name for field in fields(Trajectory) if field.name not in ("weights", "targets"))


@checked
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
) -> Trajectory:
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
        >>> from elr.theory.clusters import make_clusters
        >>> found = descend(make_clusters(100, 125, sigma=0.1, delta=0.8), lam=3.0, steps=200)
        >>> round(float(found.accuracy_wrong[0]), 2), round(float(found.accuracy_wrong[-1]), 2)
        (0.84, 1.0)

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
        term, pull = _regularizer(log_probs, targets, missing, clamp) if lam else (0.0, 0.0)
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
    return Trajectory(
        weights=weights, targets=targets, **{name: values[: taken + 1] for name, values in record.items()}
    )


class _Linear:
    """The model on its data: what stays the same from step to step."""

    def __init__(self, data: Clusters) -> None:
        self.inputs = data.inputs
        self.num_classes = len(data.means)
        self.one_hot = np.eye(self.num_classes)[data.labels]
        self.labels, self.clean_labels, self.wrong = data.labels, data.clean_labels, data.wrong
        self.rows = np.arange(len(self.labels))
        centered = data.means - data.means.mean(axis=0)
        self.free = slice(1, None) if self.num_classes == 2 else slice(None)  # the logit of class 0 stays 0
        self.signal = centered[self.free]
        self.mean_over = (_mean_over(~self.wrong), _mean_over(self.wrong))

    def start(self, start: float | ArrayLike, seed: int) -> Floats:
        shape = self.signal.shape
        given = checked_array(start, "start", "iuf").astype(np.float64)
        if given.ndim:
            if given.shape != shape:
                raise ArgumentError(f"the first weights have shape {given.shape}: expected {shape}, or a radius")
            return given.copy()
        if seed < 0:
            raise ArgumentError(f"seed is {seed}: expected an integer >= 0")
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
        missing = 1.0 - probs[self.rows, self.labels]
        true = coefficients[self.rows, self.clean_labels]
        predicted = probs.argmax(axis=1)
        correct, fitted = (predicted == labels for labels in (self.clean_labels, self.labels))
        return {
            "loss": float(-log_probs[self.rows, self.labels].mean()),
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
            "target_accuracy": float((targets.argmax(axis=1) == self.clean_labels).mean()),
        }


def _regularizer(log_probs: Floats, targets: Floats, missing: float, clamp: float) -> tuple[Floats, Floats]:
    """log(1 - <p, t>) of each example (N,), and its gradient with respect to the logits (N, C).

    `missing` is 1 - sum(t), known exactly, so that 1 - t, summed from the other classes, keeps its digits near 0.
    """
    probs = np.exp(log_probs)
    others = missing + targets @ (1.0 - np.eye(targets.shape[1]))
    logits, p, t, complements = map(torch.from_numpy, (log_probs, probs, targets, others))
    term, factor, pulls = regularizer(p, t, clamp=clamp, logits=logits, complements=complements)
    return term[:, 0].numpy(), (factor * (pulls - p * pulls.sum(dim=1, keepdim=True))).numpy()


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
