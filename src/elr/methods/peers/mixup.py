"""Mixup: cross entropy of inputs and labels that are mixed with those of another example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elr.checking import check_types, checked
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.ingredients.eval_mode import in_eval_mode
from elr.methods.ingredients.mixup import Mixing, draw_mixing
from elr.methods.loss.formulas import cross_entropy
from elr.methods.method import Batch, Method, Step, gradient_of
from elr.targets.config import TargetsConfig


@dataclass(frozen=True, kw_only=True)
class MixupConfig(MethodConfig):
    """Settings of `Mixup`.

    Args:
        alpha: of the Beta distribution that the share of an example is drawn from, >= 0: 1 (default) is the authors'
            for CIFAR-10, for which that share is uniform; their experiments with wrong labels have 8 and 32 (from
            memory), which mix nearly half and half. 0: nothing is mixed.

    Raises:
        ArgumentError: alpha out of range.

    Example:
        >>> MixupConfig(alpha=8.0).described()
        {'name': 'mixup', 'alpha': 8.0}
    """

    name: ClassVar[str] = "mixup"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        if not 0.0 <= self.alpha < math.inf:
            raise ArgumentError(f"alpha is {self.alpha}: expected 0 (nothing is mixed) or more; the paper has 1 and 8")

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Mixup:
        del num_examples, targets  # it keeps nothing of an example
        self.check_networks(networks)
        return Mixup(networks[0], self, num_classes=num_classes)


class Mixup(Method):
    """Cross entropy of examples that are mixed by pairs.

        x'_i = l x_i + (1 - l) x_j,    y'_i = l y_i + (1 - l) y_j,    loss = mean_i CE(p(x'_i), y'_i)

    with one l ~ Beta(alpha, alpha) for the batch, and j the partner of i in a random permutation of it. The mixup of
    ELR+ and DivideMix has max(l, 1 - l) in place of l, so that an example stays nearer to itself than to its partner.
    Here l is what was drawn, as published; batches mixed either way have the same distribution, for l with a
    permutation gives the pairs that 1 - l gives with its inverse.

    The loss comes from one pass over mixed inputs in train mode, as published. What the network says of the rows as
    they are, for diagnostics, takes another pass without gradient in eval mode, which leaves batch-norm statistics
    alone; it is a third more time. In eval mode nothing is mixed, and no state changes. Stores nothing of an example.

    Args:
        network: gives logits (B, C).
        config: alpha.
        num_classes: C >= 2.

    Example:
        >>> method = MixupConfig().build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> batch = Batch(torch.tensor([5, 0]), torch.zeros(2, 2), torch.tensor([1, 2]))
        >>> sorted(method(batch, Mixing(0.3, torch.tensor([1, 0]))).terms)
        ['loss']

    Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv:1710.09412),
    section 2, and the authors' code (facebookresearch/mixup-cifar10), which weighs two cross entropies instead of
    mixing
    labels: the same number. Its weight decay 1e-4 and steps of the learning rate are settings of a run.
    """

    @checked
    def __init__(self, network: nn.Module, config: MixupConfig, *, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.num_classes = num_classes

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Step:
        """One step up to the loss; a `mixing` stands for what would be drawn."""
        if self.training and self.config.alpha and mixing is None:
            count, device, group = len(batch.index), batch.labels.device, self.process_group
            mixing = draw_mixing(count, alpha=self.config.alpha, device=device, nearer=False, group=group)
        if mixing is None:
            logits = self.network(batch.inputs)
            loss = cross_entropy(logits, batch.labels).mean()
            return Step(loss, logits, {"loss": loss.detach()})
        with torch.no_grad(), in_eval_mode(self.network):
            logits = self.network(batch.inputs)
        torch.clear_autocast_cache()  # torch before 2.10 would reuse these casts, which carry no gradient
        labels = batch.labels if batch.labels.ndim == 2 else F.one_hot(batch.labels, self.num_classes).float()
        loss = cross_entropy(self.network(mixing.mix_inputs(batch.inputs)), mixing.mix(labels)).mean()
        return Step(loss, logits, {"loss": loss.detach()})

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        del index
        return gradient_of(lambda outputs: cross_entropy(outputs, labels).sum(), logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]
