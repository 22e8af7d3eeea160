"""Any loss as a method; cross entropy, to compare with, if no other is given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from elr.errors import ArgumentError
from elr.methods.formulas import cross_entropy
from elr.methods.method import Batch, Inputs, Method, Step, gradient_of

Loss = Callable[[Tensor, Tensor], Tensor]


class LossMethod(Method):
    """Any loss as a method: one network, mean of a per-example loss.

    Args:
        network: gives logits (B, C).
        loss: `loss(logits, labels)` -> (B,) in nats; a function or a module (whose parameters are then trained too).
            Default: cross entropy.

    Raises:
        ArgumentError: at the first step, if the loss does not give one value per example.

    Example:
        >>> method = LossMethod(nn.Linear(2, 3))
        >>> method(Batch(torch.arange(4), torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]))).logits.shape
        torch.Size([4, 3])
    """

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

    def predict(self, inputs: Inputs) -> Tensor:
        return torch.softmax(self.network(inputs).float(), dim=1)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]
