"""Algorithm 2 of the paper (ELR+) in plain NumPy, float64, written from the formulas; every ingredient is a switch.

A network is a list of arrays in the order of torch's parameters: weight (C, D) and bias (C,) of a softmax regression,
or weight (H, D), bias (H,), weight (C, H), bias (C,) of a perceptron with tanh in between. Gradients are by hand.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from reference.losses_reference import aligned, alignment_weights, confined


class Example(NamedTuple):
    """One batch: rows of the training set, their inputs and given labels, and how it is to be mixed."""

    index: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    weight: float
    partner: np.ndarray


def hidden(network, inputs):
    return inputs if len(network) == 2 else np.tanh(inputs @ network[0].T + network[1])


def logits(network, inputs):
    return hidden(network, inputs) @ network[-2].T + network[-1]


def log_softmax(rows):
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(rows):
    return np.exp(log_softmax(rows))


def backward(network, inputs, slope):
    """Gradient of a scalar in each array of the network, from its slope (B, C) in the logits."""
    last = hidden(network, inputs)
    gradients = [slope.T @ last, slope.sum(axis=0)]
    if len(network) == 4:
        inner = (slope @ network[2]) * (1.0 - last**2)
        gradients = [inner.T @ inputs, inner.sum(axis=0), *gradients]
    return gradients


def ramp(step, length):
    """exp(-5 (1 - i / length)^2) until step `length`, then 1."""
    return 1.0 if length == 0 else float(np.exp(-5.0 * (1.0 - min(step / length, 1.0)) ** 2))


def mix(values, weight, partner):
    return weight * values + (1.0 - weight) * values[partner]


def refined(labels, targets):
    """y_c t_c / sum_c y_c t_c."""
    product = labels * targets
    return product / product.sum(axis=1, keepdims=True)


def loss_and_slope(outputs, labels, targets, lam, clamp):
    """Mean over the batch of -sum_c y_c log p_c + lam log(1 - <clamped p, t>), and its gradient in the logits."""
    probs = softmax(outputs)
    entropy = -(labels * log_softmax(outputs)).sum(axis=1)
    clamped = np.clip(probs, clamp, 1.0 - clamp)
    remainder = 1.0 - (clamped * targets).sum(axis=1)
    inside = (probs >= clamp) & (probs <= 1.0 - clamp)  # a clamped entry no longer depends on the logits
    by_probs = -targets * inside / remainder[:, None]
    by_logits = probs * (by_probs - (by_probs * probs).sum(axis=1, keepdims=True))
    slope = probs - labels + lam * by_logits
    return float((entropy + lam * np.log(remainder)).mean()), slope / len(outputs)


@dataclass
class ELRPlus:
    """One or two networks trained side by side; `networks` and everything below are changed in place.

    Args:
        target_from: "own" or "peer", whose probabilities make the targets.
        ensembling: False: the targets are those probabilities themselves, and no table is kept.
        gamma: weight averaging; 0: the source's present weights.
        mixup: False: weights and partners of the batches are ignored.
    """

    networks: list[list[np.ndarray]]
    num_examples: int
    num_classes: int
    lam: float = 3.0
    beta: float = 0.7
    clamp: float = 0.0
    target_from: str = "own"
    ensembling: bool = True
    gamma: float = 0.0
    gamma_ramp: int = 0
    lam_ramp: int = 0
    mixup: bool = False
    refine_labels: bool = False
    align: bool = False
    align_power: float = 1.0
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    averaged: list[list[np.ndarray]] = field(init=False)
    tables: list[np.ndarray] = field(init=False)
    steps: list[int] = field(init=False)
    velocities: list[list[np.ndarray] | None] = field(init=False)

    def __post_init__(self):
        self.averaged = [[array.copy() for array in network] for network in self.networks]
        self.tables = [np.zeros((self.num_examples, self.num_classes)) for _ in self.networks]
        self.steps = [0 for _ in self.networks]
        self.velocities = [None for _ in self.networks]
        self.weights = [np.ones(self.num_classes) for _ in self.networks]

    def begin_epoch(self, labels):
        """Align the targets with the shares of the given labels (N,)."""
        if self.align:
            shares = np.bincount(labels, minlength=self.num_classes) / len(labels)
            shares = shares**self.align_power / (shares**self.align_power).sum()
            self.weights = [alignment_weights(table, shares) for table in self.tables]

    def run(self, epochs):
        """Train on `epochs[e][k]`, the batches of network k in epoch e. Returns the loss of each step, in order."""
        return [self.step(k, batch) for epoch in epochs for k, batches in enumerate(epoch) for batch in batches]

    def step(self, k, batch):
        """One step of network k: averaging, targets, mixup, loss, SGD."""
        step, self.steps[k] = self.steps[k], self.steps[k] + 1
        self._average(k, step)
        targets = self._targets(k, batch)
        inputs, labels = batch.inputs, np.eye(self.num_classes)[batch.labels]
        if self.mixup:
            inputs, labels, targets = (mix(values, batch.weight, batch.partner) for values in (inputs, labels, targets))
        if self.refine_labels:
            labels = refined(labels, targets)
        lam = self.lam * ramp(step, self.lam_ramp)
        loss, slope = loss_and_slope(logits(self.networks[k], inputs), labels, targets, lam, self.clamp)
        self._descend(k, backward(self.networks[k], inputs, slope))
        return loss

    def _average(self, k, step):
        gamma = self.gamma * ramp(step, self.gamma_ramp) if step > 0 else 0.0
        pairs = zip(self.averaged[k], self.networks[k], strict=True)
        self.averaged[k] = [gamma * average + (1.0 - gamma) * weight for average, weight in pairs]

    def _targets(self, k, batch):
        source = k if self.target_from == "own" else 1 - k
        network = self.networks[source] if self.gamma == 0 else self.averaged[source]
        probs = softmax(logits(network, batch.inputs))
        if network is self.networks[k] and not self.mixup:  # these are the outputs that the term sees clamped
            probs = np.stack([confined(row, self.clamp) for row in probs])
        if not self.ensembling:
            return probs
        table = self.tables[k]
        former = table[batch.index]
        table[batch.index] = self.beta * table[batch.index] + (1.0 - self.beta) * probs
        if not self.align:
            return table[batch.index]
        seen = [old if old.sum() > 0 else new for old, new in zip(former, table[batch.index], strict=True)]
        return np.stack([aligned(row, self.weights[k]) for row in seen])

    def _descend(self, k, gradients):
        """torch.optim.SGD: v <- momentum v + (g + weight_decay w), at first v = that gradient; w <- w - rate v."""
        decayed = [g + self.weight_decay * w for g, w in zip(gradients, self.networks[k], strict=True)]
        before = self.velocities[k]
        after = decayed if before is None else [self.momentum * v + g for v, g in zip(before, decayed, strict=True)]
        self.velocities[k] = after
        self.networks[k] = [w - self.learning_rate * v for w, v in zip(self.networks[k], after, strict=True)]
