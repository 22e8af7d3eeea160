"""The alternative that fails: targets as in ELR, with a Kullback-Leibler penalty in place of the regularizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elr.checking import check_types, checked
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import check_weights, cross_entropy, full_precision
from elr.methods.method import Batch, Method, Step, gradient_of
from elr.targets.config import DENSE, TargetsConfig
from elr.targets.store import Targets, whole_probs


@dataclass(frozen=True, kw_only=True)
class KLPenaltyConfig(MethodConfig):
    """Settings of `KLPenalty`.

    Args:
        lam: weight of the penalty, >= 0; the paper tries 1, 5 and 10.
        beta: momentum of the targets in [0, 1); the paper's is 0.7.

    Raises:
        ArgumentError: lam or beta out of range.

    Example:
        >>> KLPenaltyConfig(lam=5.0).described()
        {'name': 'kl_penalty', 'lam': 5.0, 'beta': 0.7}
    """

    name: ClassVar[str] = "kl_penalty"
    lam: float = 1.0
    beta: float = 0.7

    def __post_init__(self) -> None:
        check_types(self)
        check_weights(self.lam, self.beta)

    def target_widths(self, num_classes: int) -> tuple[int, ...]:
        return (num_classes,)

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> KLPenalty:
        self.check_networks(networks)
        return KLPenalty(networks[0], self, targets=(targets or DENSE).build(num_examples, num_classes))


class KLPenalty(Method):
    """Cross entropy and a penalty that draws the outputs p toward their running average t.

        loss = mean_i( CE(p_i, y_i) + lam * KL(t_i || p_i) )
        t_i <- beta t_i + (1 - beta) p_i, before the loss of each step; held constant in the gradient

    It fails, and is here to show that: its gradient with respect to the logits, p - y + lam (p - t), has nothing left
    but cross entropy's part where p = t, however sure the targets are, so that wrong labels are memorized, only later.
    ELR's pulls on where p = t.

    Nothing is clamped: the paper's formula has no clamp, and the authors published no code for it. Targets sum to less
    than 1 at first, as ELR's do; they are scaled to sum 1 in the penalty. Eval mode changes no
    state. Stores N C targets beside the network.

    Args:
        network: gives logits (B, C).
        config: lam and beta.
        targets: the store of t.

    Example:
        >>> method = KLPenaltyConfig(lam=5.0).build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> sorted(method(Batch(torch.tensor([5, 0]), torch.zeros(2, 2), torch.tensor([1, 2]))).terms)
        ['cross_entropy', 'kl', 'loss']

    Source: appendix C and Figure C.1 of Liu et al., NeurIPS 2020.
    """

    @checked
    def __init__(self, network: nn.Module, config: KLPenaltyConfig, *, targets: Targets) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.targets = targets

    def forward(self, batch: Batch) -> Step:
        logits = self.network(batch.inputs)
        probs = torch.softmax(full_precision(logits.detach()), dim=1)
        if self.training:
            targets = self.targets.update(batch.index, probs, beta=self.config.beta).to(logits.device)
        else:
            targets = self.targets.read(batch.index).to(logits.device)
        entropy, penalty = cross_entropy(logits, batch.labels).mean(), _divergence(logits, targets).mean()
        loss = entropy + self.config.lam * penalty
        terms = {"loss": loss, "cross_entropy": entropy, "kl": penalty}
        return Step(loss, logits, {name: value.detach() for name, value in terms.items()})

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        targets = self.targets.read(index).to(logits.device)
        return gradient_of(
            lambda outputs: (cross_entropy(outputs, labels) + self.config.lam * _divergence(outputs, targets)).sum(),
            logits,
        )

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]

    def pred_probs(self, index: Tensor) -> Tensor:
        return whole_probs(self.targets.read(index))


def _divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """(B,) KL(t || p) in nats of targets (B, C), scaled to sum 1, and p = softmax(logits); 0 where targets are 0."""
    log_probs = F.log_softmax(full_precision(logits), dim=1)
    return F.kl_div(log_probs, whole_probs(targets).to(log_probs.dtype), reduction="none").sum(dim=1)
