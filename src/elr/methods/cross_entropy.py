"""Any loss as a method; cross entropy, to compare with, if no other is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import cross_entropy
from elr.methods.method import Batch, Method, Step, gradient_of

if TYPE_CHECKING:
    from elr.targets.config import TargetsConfig

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig(MethodConfig):
    """Cross entropy with the given labels, to compare with; there is nothing to set.

    Example:
        >>> CrossEntropyConfig().build([nn.Linear(2, 3)], num_examples=8, num_classes=3).network
        Linear(in_features=2, out_features=3, bias=True)
    """

    name: ClassVar[str] = "cross_entropy"

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> LossMethod:
        del num_examples, num_classes, targets
        self.check_networks(networks)
        return LossMethod(networks[0])


class LossMethod(Method):
    """Any loss as a method: one network, mean of a per-example loss.

    Args:
        network: gives logits (B, C).
        loss: `loss(logits, labels)` -> (B,) in nats; a function or a module (whose parameters are then trained too).
            Default: cross entropy.

    Raises:
        ArgumentError: at the first step, if the loss does not give one value per example.

    Example:
        >>> import torch
        >>> method = LossMethod(nn.Linear(2, 3))
        >>> method(Batch(torch.arange(4), torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]))).logits.shape
        torch.Size([4, 3])
    """

    @checked
    def __init__(self, network: nn.Module, loss: Loss = cross_entropy) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, batch: Batch) -> Step:
        logits = self.network(batch.inputs)
        losses = self.loss(logits, batch.labels)
        if losses.shape != (len(batch.index),):
            raise ArgumentError(
                f"the loss gave shape {tuple(losses.shape)} for {len(batch.index)} examples: expected one value per "
                'example; use reduction="none"'
            )
        mean = losses.mean()
        return Step(mean, logits, {"loss": mean.detach()})

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        del index
        return gradient_of(lambda outputs: self.loss(outputs, labels).sum(), logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]
