"""A loss of each example, with its settings, as a method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from elr.checking import checked
from elr.methods.config import MethodConfig
from elr.methods.cross_entropy import LossMethod
from elr.methods.method import Method

if TYPE_CHECKING:
    from elr.targets.config import TargetsConfig


@dataclass(frozen=True, kw_only=True)
class LossConfig(MethodConfig):
    """Settings of a method that is cross entropy with another loss in its place.

    A subclass has fields, checks them, and says its `losses`.

    Example:
        >>> import torch
        >>> from elr.methods.losses.mean_absolute_error import MeanAbsoluteErrorConfig
        >>> MeanAbsoluteErrorConfig().losses(torch.zeros(1, 4), torch.tensor([2]))
        tensor([1.5000])
    """

    @abstractmethod
    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,) losses in nats of logits (B, C) and labels (B,) or (B, C), in float32 (float64 for float64 logits)."""

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Method:
        del num_examples, num_classes, targets  # nothing is kept of an example
        self.check_networks(networks)
        return LossMethod(networks[0], ConfiguredLoss(self))


class ConfiguredLoss(nn.Module):
    """The loss that settings stand for, as a module that shows them: checkpoints compare what a method says of itself.

    Args:
        config: whose `losses` are taken.

    Example:
        >>> from elr.methods.losses.label_smoothing import LabelSmoothingConfig
        >>> ConfiguredLoss(LabelSmoothingConfig(alpha=0.2))
        ConfiguredLoss(LabelSmoothingConfig(alpha=0.2))
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.config.losses(logits, labels)

    def extra_repr(self) -> str:
        return repr(self.config)
