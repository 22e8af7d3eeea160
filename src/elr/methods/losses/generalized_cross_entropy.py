"""Generalized cross entropy: between cross entropy and the mean absolute error; truncated, it drops rows on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from elr.checking import check_types, checked
from elr.errors import ArgumentError, TrainingError
from elr.methods.losses.loss_config import LossConfig
from elr.methods.losses.per_class import log_probs_of, mean_over_labels
from elr.methods.method import Batch, Method, Step, View, gradient_of
from elr.targets.config import TargetsConfig

if TYPE_CHECKING:
    from typing_extensions import Self


def generalized_cross_entropy(logits: Tensor, labels: Tensor, *, q: float) -> Tensor:
    """(1 - p_y^q) / q of each example, p = softmax(logits), from log p_y: for a small q
    nothing cancels.

    q -> 0 is cross entropy, q = 1 half the mean absolute error. The gradient is that of cross entropy times p_y^q:
    labels that find little belief pull less.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1: the mean over labels, sum_c y_c (1 - p_c^q) / q.
        q: in (0, 1].

    Returns:
        (B,) losses in [0, 1 / q], float32 (float64 for float64 logits).

    Example:
        >>> logits, labels = torch.tensor([[4.0, 0.0]]), torch.tensor([1])
        >>> for q in (0.01, 0.7, 1.0):  # cross entropy is 4.0181
        ...     generalized_cross_entropy(logits, labels, q=q)
        tensor([3.9385])
        tensor([1.3428])
        tensor([0.9820])

    Source: equation 6 of Zhang and Sabuncu, NeurIPS 2018 (arXiv:1805.07836).
    """
    return mean_over_labels(-(q * log_probs_of(logits, labels)).expm1() / q, labels)


@dataclass(frozen=True, kw_only=True)
class GeneralizedCrossEntropyConfig(LossConfig):
    """Settings of generalized cross entropy.

    Args:
        q: in (0, 1]. Default 0.7 (the paper's).
        truncated: whether rows whose label is not believed by more than k are left out from some epoch on. Default
            False.
        k: probability in (0, 1). Default 0.5 (the paper's).
        warmup: epochs before rows are first left out, >= 1. Default 40, and at most a third of a run.
        period: epochs between choices of what is left out, >= 1. Default 10, and at most a twelfth of a run.

    Raises:
        ArgumentError: a setting out of range.

    Example:
        >>> config = GeneralizedCrossEntropyConfig(truncated=True)
        >>> type(config.build([nn.Linear(2, 3)], num_examples=8, num_classes=3)).__name__
        'Truncated'

    Source: the defaults of the truncated loss are those of the paper's experiments of 120 epochs, as a public PyTorch
    version has them (github.com/AlanChou/Truncated-Loss).
    """

    name: ClassVar[str] = "gce"
    q: float = 0.7
    truncated: bool = False
    k: float = 0.5
    warmup: int = 40
    period: int = 10

    def __post_init__(self) -> None:
        check_types(self)
        if not 0.0 < self.q <= 1.0:
            raise ArgumentError(f"q is {self.q}: expected a number in (0, 1]; the paper has 0.7")
        if not 0.0 < self.k < 1.0:
            raise ArgumentError(f"k is {self.k}: expected a probability in (0, 1); the paper has 0.5")
        for name in ("warmup", "period"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}: expected at least 1 epoch")

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """In short runs rows are left out earlier: after a third, as the paper's 40 of 120 epochs."""
        config = super().for_run(asked, steps=steps, epochs=epochs, fast=fast)
        if not config.truncated:
            return config
        if "warmup" not in asked:
            config = replace(config, warmup=max(1, min(config.warmup, epochs // 3)))
        if "period" not in asked:
            config = replace(config, period=max(1, min(config.period, epochs // 12)))
        if config.warmup >= epochs:
            raise ArgumentError(
                f"warmup is {config.warmup} of {epochs} epochs: nothing would be truncated; expected fewer, or leave "
                "truncated out"
            )
        return config

    def check_generations(self, generations: int) -> None:
        if self.truncated and generations > 1:
            raise ArgumentError(
                f"truncated is set, and generations is {generations}: new weights believe no label, and all rows would "
                "be left out; expected 1 generation"
            )

    @property
    def label(self) -> str:
        return "truncated generalized cross entropy" if self.truncated else "generalized cross entropy"

    def described(self) -> dict[str, Any]:
        shown = super().described()
        return shown if self.truncated else {"name": self.label, "q": self.q}

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return generalized_cross_entropy(logits, labels, q=self.q)

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Method:
        if not self.truncated:
            return super().build(networks, num_examples=num_examples, num_classes=num_classes, targets=targets)
        self.check_networks(networks)
        return Truncated(networks[0], self, num_examples=num_examples)


class Truncated(Method):
    """Generalized cross entropy of the rows whose label is believed, and a constant for the others.

        loss = mean_i( v_i (1 - p_i[y_i]^q) / q + (1 - v_i) (1 - k^q) / q ),    v_i in {0, 1}

    v_i is 1 for all rows at first. Before epoch `warmup` (from 0), and every `period` epochs from there on, v_i = [p_i
    [y_i] > k], by what the network says of the training rows in eval mode, without augmentation. So a row comes back
    when its label is believed again. A row of label probabilities goes by its mean loss, against that of k.

    Eval mode changes no state. Stores one byte for each example.

    Args:
        network: gives logits (B, C).
        config: q, k, warmup and period.
        num_examples: N.

    Raises:
        TrainingError: at a choice that would leave no row.

    Example:
        >>> config = GeneralizedCrossEntropyConfig(truncated=True)
        >>> method = config.build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> step = method(Batch(torch.tensor([5, 0]), torch.zeros(2, 2), torch.tensor([1, 2])))
        >>> sorted(step.terms), step.terms["kept"]
        (['kept', 'loss'], tensor(1.))

    Source: section 3.3 of Zhang and Sabuncu, NeurIPS 2018 (arXiv:1805.07836): the truncated loss by alternate convex
    search. Theirs chooses by the weights that did best on validation data so far; here there are none, and it is by the
    present ones.
    """

    @checked
    def __init__(self, network: nn.Module, config: GeneralizedCrossEntropyConfig, *, num_examples: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.constant = (1.0 - config.k**config.q) / config.q
        self.kept: Tensor
        self.register_buffer("kept", torch.ones(num_examples, dtype=torch.bool))

    def begin_epoch(self, epoch: int, view: View) -> None:
        since = epoch - self.config.warmup
        if since < 0 or since % self.config.period:
            return
        was_training, kept = self.training, torch.zeros_like(self.kept)
        self.eval()
        with torch.no_grad():
            for batch in view.batches():
                believed = self.config.losses(self.network(batch.inputs), batch.labels) < self.constant
                kept[batch.index.to(kept.device)] = believed.to(kept.device)
        self.train(was_training)
        kept = view.agreed(kept.to(torch.uint8)).bool()  # not every backend hands on truth values
        if not kept.any():
            raise TrainingError(
                f"no label is believed by more than k = {self.config.k} before epoch {epoch + 1}, so that no row would "
                "be left to learn from: expected some; choose a smaller k or a longer warmup, or leave truncated out"
            )
        self.kept.copy_(kept)

    def forward(self, batch: Batch) -> Step:
        logits = self.network(batch.inputs)
        kept = self.kept[batch.index.to(self.kept.device)].to(logits.device)
        loss = torch.where(kept, self.config.losses(logits, batch.labels), self.constant).mean()
        return Step(loss, logits, {"loss": loss.detach(), "kept": kept.float().mean()})

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        kept = self.kept[index.to(self.kept.device)].to(logits.device)
        return gradient_of(lambda outputs: self.config.losses(outputs[kept], labels[kept]).sum(), logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]
