"""What a prediction and a given label say together of the true class, by Bayes' rule. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from elr.errors import ArgumentError
from elr.methods.method import Inputs, View
from elr.noise.transitions import transition_matrix
from elr.targets.store import Targets

_ROUNDING = 1e-6  # equal confidences reach their own mean


class TransitionCounts:
    """Counts, batch by batch, which labels were given to examples that are surely of each class.

    Surely: predicted with at least the mean confidence of all examples that are predicted to be of the class. So it
    takes two passes: `look` at all predictions, then `add` them with their labels. Examples that the network hesitates
    over are those that it gets wrong most often; counted, its own errors would pass for noise.

    Args:
        num_classes: C >= 2. Memory 8 C (C + 2) bytes.

    Example:
        >>> counts = TransitionCounts(2)
        >>> probs, labels = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]), torch.tensor([0, 1, 1, 1])
        >>> counts.look(probs)
        >>> counts.add(probs, labels)
        >>> counts.transitions
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]])

    Source: the thresholds of confident learning (Northcutt, Jiang, Chuang, JAIR 2021), of the predicted classes here
    instead of the given ones: what ELR says is of the true classes already.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.float64)
        self.confidence = torch.zeros(num_classes, dtype=torch.float64)
        self.predicted = torch.zeros(num_classes, dtype=torch.float64)

    def look(self, probs: Tensor) -> None:
        """Take note of how sure a batch of predictions is: probabilities (B, C)."""
        surest, classes = probs.cpu().double().max(dim=1)
        self.confidence.index_add_(0, classes, surest)
        self.predicted.index_add_(0, classes, torch.ones_like(surest))

    def add(self, probs: Tensor, labels: Tensor) -> None:
        """Count a batch: probabilities (B, C) that were looked at, given labels (B,) or (B, C)."""
        surest, classes = probs.cpu().double().max(dim=1)
        mean = self.confidence / self.predicted.clamp(min=1.0)
        sure = surest >= mean[classes] * (1.0 - _ROUNDING)
        classes, labels = classes[sure], labels.cpu()[sure]
        if labels.ndim == 1:
            ones = self.counts.new_ones(len(labels))
            self.counts.index_put_((classes, labels), ones, accumulate=True)
        else:
            self.counts.index_add_(0, classes, labels.to(self.counts.dtype))

    @property
    def transitions(self) -> Tensor:
        """(C, C) float32 estimate of T[i, j] = P(given j | true i), rows sum to 1; the identity's where empty."""
        return torch.from_numpy(transition_matrix(self.counts.numpy())).float()


def label_posterior(probs: Tensor, labels: Tensor, transitions: Tensor) -> Tensor:
    """P(true class | example, given label), in proportion to p[c] * T[c, label].

    A given label that the prediction finds plausible outweighs a moderately more probable other class; one that it
    finds impossible does not. With 36 % of the labels wrong and spread over ten classes, T has 0.64 on its diagonal
    and 0.04 elsewhere: another class must be sixteen times as probable as the given one to prevail.

    Args:
        probs: (B, C) probabilities of the true class, from a model that has not memorized these labels.
        labels: (B,) given labels, or (B, C) rows that sum to 1, of which the likelihood is averaged.
        transitions: (C, C), T[i, j] = P(given j | true i).

    Returns:
        (B, C) rows that sum to 1, of the type and device of `probs`; the row of `probs` where T allows no class.

    Raises:
        ArgumentError: shapes that do not belong together.

    Example:
        >>> noisy = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
        >>> label_posterior(torch.tensor([[0.6, 0.4]]), torch.tensor([1]), noisy)
        tensor([[0.1429, 0.8571]])
    """
    size = probs.shape[-1]
    if probs.ndim != 2 or transitions.shape != (size, size) or labels.shape not in (probs.shape, probs.shape[:1]):
        raise ArgumentError(
            f"shapes {tuple(probs.shape)}, {tuple(labels.shape)} and {tuple(transitions.shape)}: expected "
            "probabilities (B, C), labels (B,) or (B, C), and transitions (C, C)"
        )
    transitions = transitions.to(probs.device, probs.dtype)
    labels = labels.to(probs.device)
    likelihood = transitions.T[labels] if labels.ndim == 1 else labels.to(probs.dtype) @ transitions.T
    joint = probs * likelihood
    total = joint.sum(dim=1, keepdim=True)
    return (joint / total.clamp(min=1e-30)).where(total > 1e-30, probs)


@torch.no_grad()
def weigh_targets(stores: Sequence[Targets], view: View, predict: Callable[[Inputs], Tensor]) -> None:
    """Set the targets to the posterior of the true class, given what the networks and the labels say.

    Goes over the training set once; the rest is read from the stores. Predictions are averaged over the views of each
    example.

    Args:
        stores: of targets, all of which become the same; at least one.
        view: the training set.
        predict: (B, C) probabilities of the networks for inputs.

    Example:
        >>> from elr.methods.method import Batch
        >>> from elr.targets.dense import DenseTargets
        >>> class Three(View):
        ...     num_examples = 3
        ...
        ...     def batches(self):
        ...         yield Batch(torch.arange(3), torch.tensor([[2.0], [2.0], [-0.1]]), torch.tensor([0, 0, 1]))
        >>> targets = DenseTargets(3, 2)
        >>> weigh_targets([targets], Three(), lambda inputs: torch.cat([inputs, -inputs], dim=1).softmax(dim=1))
        >>> targets.read(torch.arange(3)).round(decimals=2)
        tensor([[1., 0.],
                [1., 0.],
                [0., 1.]])
    """
    counts = TransitionCounts(stores[0].num_classes)
    seen: list[tuple[Tensor, Tensor]] = []
    for views in view.views():
        probs = torch.stack([predict(batch.inputs) for batch in views]).mean(dim=0)
        batch = views[0]
        seen.append((batch.index, batch.labels))
        for store in stores:
            store.update(batch.index, probs, beta=0.0)
    for index, _ in seen:
        counts.look(stores[0].read(index))
    for index, labels in seen:
        counts.add(stores[0].read(index), labels)
    transitions = counts.transitions
    for index, labels in seen:
        for store in stores:
            store.update(index, label_posterior(store.read(index), labels, transitions), beta=0.0)
