"""Memorization measures: what the network says of the training rows, epoch by epoch.

Clean labels live here and nowhere else on the training side; looked up by row number and only measured against.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from elr.errors import ArgumentError

_NEVER = -1  # no prediction yet


def fractions(predicted: ArrayLike, given_labels: ArrayLike, clean_labels: ArrayLike) -> dict[str, float]:
    """How much was learned and how much memorized, on rightly and on wrongly labeled examples.

    On examples whose given label is wrong, three fractions that sum to 1: correct (the clean label is predicted),
    memorized (the given one is), incorrect (another). On the others: fraction_correct_on_clean.

    Args:
        predicted: (N,) predicted classes.
        given_labels: (N,) labels that were trained on.
        clean_labels: (N,) labels known to be right.

    Returns:
        fraction_correct_on_wrong, fraction_memorized_on_wrong, fraction_incorrect_on_wrong and
        fraction_correct_on_clean, each in [0, 1], NaN where there are no such examples.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> fractions([0, 1, 1, 2], [0, 1, 1, 1], [0, 1, 0, 2])["fraction_memorized_on_wrong"]
        0.5

    Source: Figure 1 of Liu et al., NeurIPS 2020.
    """
    predicted, given, clean = (np.asarray(values) for values in (predicted, given_labels, clean_labels))
    if not predicted.shape == given.shape == clean.shape:
        raise ArgumentError(
            f"predictions, given and clean labels have shapes {predicted.shape}, {given.shape}, {clean.shape}: "
            "expected one each per example"
        )
    wrong = given != clean
    correct = _share(predicted[wrong] == clean[wrong])
    memorized = _share(predicted[wrong] == given[wrong])
    return {
        "fraction_correct_on_wrong": correct,
        "fraction_memorized_on_wrong": memorized,
        "fraction_incorrect_on_wrong": _share((predicted[wrong] != clean[wrong]) & (predicted[wrong] != given[wrong])),
        "fraction_correct_on_clean": _share(predicted[~wrong] == clean[~wrong]),
    }


class Monitor:
    """Collects the predictions of a training run, as it runs, and measures each epoch.

    It keeps one class per row, from the outputs of the training steps themselves (train mode, augmented inputs), so it
    costs an argmax a step: 8 N bytes for the classes and as much for those of the epoch before.

    Args:
        given_labels: (N,) int64.
        clean_labels: (N,) labels known to be right, if any are; used for measuring only.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> monitor = Monitor([0, 1], clean_labels=[0, 0])
        >>> monitor.update(torch.tensor([0, 1]), torch.tensor([[2.0, 1.0], [1.0, 0.0]]))
        >>> monitor.end_epoch()["fraction_correct_on_wrong"]
        1.0
    """

    def __init__(self, given_labels: ArrayLike, *, clean_labels: ArrayLike | None = None) -> None:
        self.given_labels: NDArray[np.int64] = np.asarray(given_labels, dtype=np.int64)
        self.clean_labels = None if clean_labels is None else np.asarray(clean_labels, dtype=np.int64)
        if self.clean_labels is not None and self.clean_labels.shape != self.given_labels.shape:
            raise ArgumentError(
                f"{len(self.given_labels)} given and {len(self.clean_labels)} clean labels: expected one per example"
            )
        self.predicted = torch.full((len(self.given_labels),), _NEVER)
        self.previous = self.predicted.clone()

    def update(self, index: Tensor, logits: Tensor) -> None:
        """Take in one training step: rows (B,) and their logits (B, C)."""
        self.predicted = self.predicted.to(logits.device)
        self.predicted[index] = logits.detach().argmax(dim=1)

    def begin_pass(self) -> None:
        """Forget what an earlier pass over the data said in this epoch, so that every rank has the last pass only."""
        self.predicted.fill_(_NEVER)

    def end_epoch(self, target_labels: Tensor | None = None) -> dict[str, float]:
        """Measure the epoch that ends here and begin the next.

        Args:
            target_labels: (N,) classes that the targets favor, where the method has targets.

        Returns:
            agreement_with_given_labels: share of the rows seen whose prediction is the given label; change: share whose
            prediction is not that of the epoch before (NaN in the first); with targets also agreement_with_targets;
            with clean labels also `fractions`.
        """
        predicted = self.predicted.cpu()
        now, before = predicted.numpy(), self.previous.numpy()
        seen = now != _NEVER
        both = seen & (before != _NEVER)
        measures = {
            "agreement_with_given_labels": _share(now[seen] == self.given_labels[seen]),
            "change": _share(now[both] != before[both]),
        }
        if target_labels is not None:
            measures["agreement_with_targets"] = _share(now[seen] == target_labels.numpy()[seen])
        if self.clean_labels is not None:
            measures |= fractions(now[seen], self.given_labels[seen], self.clean_labels[seen])
        self.previous = predicted.clone()
        self.predicted.fill_(_NEVER)
        return measures

    def state_dict(self) -> dict[str, Tensor]:
        """The predictions of the last whole epoch, for a checkpoint between epochs."""
        return {"previous": self.previous}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.previous = state["previous"].clone()
        self.predicted.fill_(_NEVER)


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else float("nan")
