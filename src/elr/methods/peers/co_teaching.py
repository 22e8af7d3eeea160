"""Co-teaching: two networks, each of which trains on the rows that the other finds easiest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from elr.checking import check_ranges, check_types, checked
from elr.methods.config import NOISE_RATE, MethodConfig
from elr.methods.ingredients.dealt_rows import whole_batch
from elr.methods.loss.formulas import cross_entropy
from elr.methods.method import Batch, Method, Step, View, gradient_of
from elr.targets.config import TargetsConfig

if TYPE_CHECKING:
    from typing_extensions import Self

PUBLISHED_RAMP, PUBLISHED_EPOCHS = 10, 200
"""T_k and the epochs of the runs that it belongs to."""
_ROUNDING = 1e-9  # of a number of rows: 0.1 of 10 rows is one row, whatever 1 - 0.9 comes to in floating point


@dataclass(frozen=True, kw_only=True)
class CoTeachingConfig(MethodConfig):
    """Settings of `CoTeaching`.

    Args:
        forget_rate: tau, the share of the rows that is left out in the end, in [0, 1); the published one is the share
            of wrong labels. Needed.
        ramp_epochs: T_k, epochs until it is reached, >= 1. 10 as published, of 200 epochs; in shorter runs the same
            share of the epochs (`for_run`).
        exponent: c, how it gets there, above 0. 1 as published.

    Raises:
        ArgumentError: a setting out of range; when it is built, no forget_rate.

    Example:
        >>> config = CoTeachingConfig(forget_rate=0.5)
        >>> [round(config.keep_rate(epoch), 2) for epoch in (0, 1, 5, 10, 199)]
        [1.0, 0.95, 0.75, 0.5, 0.5]
        >>> CoTeachingConfig.for_run({"forget_rate": 0.5}, steps=900, epochs=100, fast=False).ramp_epochs
        5

    Source: Algorithm 1 and sections 4 and 4.2 of Han et al., NeurIPS 2018 (arXiv:1804.06872); main.py of the authors'
    code (bhanML/Co-teaching).
    """

    name: ClassVar[str] = "co_teaching"
    needs: ClassVar[Mapping[str, str]] = {"forget_rate": NOISE_RATE}
    forget_rate: float | None = None
    ramp_epochs: int = PUBLISHED_RAMP
    exponent: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        ranges = {
            "forget_rate": (
                self.forget_rate is None or 0.0 <= self.forget_rate < 1.0,
                "a share of the rows in [0, 1); the published one is the share of wrong labels",
            ),
            "ramp_epochs": (self.ramp_epochs >= 1, "at least 1 epoch; the published one is 10 of 200"),
            "exponent": (0.0 < self.exponent < math.inf, "above 0; the published one is 1"),
        }
        check_ranges(self, ranges)

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """As published, but that the ramp of a shorter run is shorter by as much."""
        config = super().for_run(asked, steps=steps, epochs=epochs, fast=fast)
        if "ramp_epochs" in asked:
            return config
        return replace(config, ramp_epochs=max(1, min(PUBLISHED_RAMP, epochs * PUBLISHED_RAMP // PUBLISHED_EPOCHS)))

    @property
    def num_networks(self) -> int:
        return 2

    def keep_rate(self, epoch: int) -> float:
        """R(t) = 1 - tau min(t^c / T_k, 1): the share of each batch that is kept when t epochs are done."""
        return 1.0 - (self.forget_rate or 0.0) * min(epoch**self.exponent / self.ramp_epochs, 1.0)

    def num_kept(self, epoch: int, num_rows: int) -> int:
        """How many rows of a batch that is: rounded down, and at least one.

        Example:
            >>> CoTeachingConfig(forget_rate=0.9, ramp_epochs=1).num_kept(1, 10)
            1
        """
        return max(1, math.floor(self.keep_rate(epoch) * num_rows + _ROUNDING))

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> CoTeaching:
        del num_examples, num_classes, targets
        return CoTeaching(networks, self)


class CoTeaching(Method):
    """Two networks that see the same batches; each picks the rows of least loss, and its peer trains on them.

        loss_1 = 1/K sum_{i in S_2} CE(p_1i, y_i),    loss_2 = 1/K sum_{i in S_1} CE(p_2i, y_i)

    S_k are the K = R(t) B rows of the batch with the least cross entropy of network k; of rows that are equal the
    earlier ones in the batch, whose order is drawn at random. Networks memorize wrong labels late, so that R(t) starts
    at 1 and falls to 1 - tau, the share of right labels. What one network errs in is not what the other does.

    One step trains both, by the sum of their losses, which have no parameters in common; the history has their mean.
    Keeps nothing about a row, so that labels are judged by what the networks say at the end. Twice the time of cross
    entropy. Eval mode changes no state.

    Under several ranks the batch is that of all: losses are exchanged, and each rank trains on its part of the choice.

    Args:
        networks: two, of weights of their own; each gives logits (B, C).
        config: tau, T_k and c.

    Raises:
        ArgumentError: another number of networks, or no forget_rate.

    Example:
        >>> config = CoTeachingConfig(forget_rate=0.5, ramp_epochs=1)
        >>> method = config.build([nn.Linear(2, 3), nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> method.epoch = 1
        >>> step = method(Batch(torch.arange(4), torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])))
        >>> step.terms["kept"]
        tensor(0.5000)

    Source: Algorithm 1 of Han et al., NeurIPS 2018 (arXiv:1804.06872). Differs from the authors' code (loss.py, main.py
    of bhanML/Co-teaching): R(t) is the paper's, with the exponent on the epoch (theirs raises tau to it), from R(0) = 1
    in the first epoch to 1 - tau after T_k (theirs from 1 - tau / 9, in nine epochs); the loss is the mean over the K
    rows (theirs divides that mean by K again, which changes little with Adam); K is at least one; one optimizer and one
    schedule, the run's (theirs: Adam of 0.001, batches of 128, 200 epochs, from epoch 80 on a linear decay and a first
    momentum of 0.1); predictions are the mean of both networks.
    """

    @checked
    def __init__(self, networks: Sequence[nn.Module], config: CoTeachingConfig) -> None:
        super().__init__()
        config.check_networks(networks)
        self.config = config
        self.network, self.peer = networks
        self.epoch, self.first_epoch = 0, 0  # the present one, and that in which the networks began

    def begin_epoch(self, epoch: int, view: View) -> None:
        del view
        self.epoch = epoch

    def first_state(self) -> dict[str, Any]:
        return {name: value for name, value in self.state_dict().items() if name != "_extra_state"}

    def begin_generation(self, steps: int) -> None:
        """R(t) starts again with the networks."""
        del steps
        self.first_epoch = self.epoch + 1

    def forward(self, batch: Batch) -> Step:
        both = [network(batch.inputs) for network in self.predictors]
        losses = [cross_entropy(logits, batch.labels) for logits in both]
        (loss, kept), (peer_loss, _) = (self._kept(losses[k], by=losses[1 - k]) for k in (0, 1))
        mean = (loss.detach() + peer_loss.detach()) / 2.0
        return Step(loss + peer_loss, both[0], {"loss": mean, "kept": torch.full_like(mean, kept)})

    def _kept(self, losses: Tensor, *, by: Tensor) -> tuple[Tensor, float]:
        """The mean over the rows that are kept `by` the losses (b,) of the peer, and which share of them that is.

        Under several ranks it is this rank's part, b / B of which the loop adds up.
        """
        group, rank, world = (self.process_group if self.training else None), 0, 1
        if group is not None:
            by, rank, world = whole_batch(by.detach(), group), dist.get_rank(group), dist.get_world_size(group)
        chosen = self.choose(by)
        mine = chosen[chosen % world == rank] // world
        return losses[mine].sum() / (len(chosen) * len(losses) / len(by)), len(chosen) / len(by)

    def choose(self, losses: Tensor) -> Tensor:
        """The rows of least loss that are kept in this epoch.

        Args:
            losses: (B,) of one network.

        Returns:
            (K,) int64 places in the batch, by rising loss; those that are not finite come last.
        """
        count = self.config.num_kept(max(self.epoch - self.first_epoch, 0), len(losses))
        return torch.argsort(losses.detach(), stable=True)[:count]

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """As if these rows were a batch, and both networks said the same of them: none for rows that are left out."""
        del index
        with torch.no_grad():
            chosen = self.choose(cross_entropy(logits, labels))
        share = len(labels) / len(chosen)
        return gradient_of(lambda outputs: cross_entropy(outputs, labels)[chosen].sum() * share, logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network, self.peer]

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.epoch, self.first_epoch])

    def set_extra_state(self, state: Tensor) -> None:
        self.epoch, self.first_epoch = state.tolist()
