"""A loss corrected by the transition matrix, which is given, or estimated in the first part of the run."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elr.checking import check_types, checked
from elr.errors import ArgumentError, TrainingError
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.estimation import estimated_transitions
from elr.methods.method import Batch, Inputs, Method, Step, View, gradient_of
from elr.noise.transitions import checked_transitions
from elr.targets.config import TargetsConfig

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class CorrectionConfig(MethodConfig):
    """Settings of a loss that is corrected by the transition matrix T[i, j] = P(given j | true i).

    Args:
        transition: T, (C, C), rows sum to 1: nested lists or an array. Default: None, estimated.
        percentile: of the probabilities of a class over the training rows, in (0, 100]: the row just below it is taken
            to be of the class beyond doubt. 100: the surest row. Default 97, the authors' for CIFAR-10; theirs for
            CIFAR-100 is 100.
        warmup: epochs of cross entropy before the estimate, >= 1, in a run of one generation. Default: None, two
            generations of equal length (`TrainingConfig.generations`), the first of cross entropy, each with a schedule
            of its own, as in the authors' code.
        held_out: share of the rows in [0, 1) that the warm-up does not train on; the network that has the lowest cross
            entropy on them is the one that T is read from. 0: the network as the warm-up leaves it. Default 0.1, the
            authors'.

    Raises:
        ArgumentError: a setting out of range, or a matrix that cannot be used.

    Example:
        >>> from elr.methods.losses.forward_correction import ForwardCorrectionConfig
        >>> ForwardCorrectionConfig(transition=[[0.9, 0.1], [0.2, 0.8]]).transition
        ((0.9, 0.1), (0.2, 0.8))
    """

    transition: Any = None
    percentile: float = 97.0
    warmup: int | None = None
    held_out: float = 0.1

    def __post_init__(self) -> None:
        check_types(self, "percentile", "warmup", "held_out")
        if self.transition is not None:
            matrix = checked_transitions(self.transition, "transition")
            object.__setattr__(self, "transition", tuple(map(tuple, matrix.tolist())))
            if trouble := self.trouble_with(torch.from_numpy(matrix)):
                raise ArgumentError(f"transition {trouble}")
        if not 0.0 < self.percentile <= 100.0:
            raise ArgumentError(f"percentile is {self.percentile}: expected a number in (0, 100]; the authors have 97")
        if self.warmup is not None and self.warmup < 1:
            raise ArgumentError(f"warmup is {self.warmup}: expected at least 1 epoch; T is estimated at its end")
        if not 0.0 <= self.held_out < 1.0:
            raise ArgumentError(f"held_out is {self.held_out}: expected a share of the rows in [0, 1)")

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """A warm-up that is as long as the run is refused."""
        config = super().for_run(asked, steps=steps, epochs=epochs, fast=fast)
        if config.transition is None and config.warmup is not None and config.warmup >= epochs:
            raise ArgumentError(
                f"warmup is {config.warmup} of {epochs} epochs: the transition matrix would be estimated when the run "
                "is over; expected more epochs than that, or give the matrix"
            )
        return config

    def resized(self, share: float, *, generations: int) -> Self:
        """A warm-up of so many epochs is as much shorter; in a single generation there has to be one."""
        if self.warmup is None or self.transition is not None:
            return self
        return replace(self, warmup=None if generations == 2 else max(1, round(share * self.warmup)))

    def check_generations(self, generations: int) -> None:
        if self.transition is None and self.warmup is None and generations < 2:
            raise ArgumentError(
                f"generations is {generations}, and {self.name!r} estimates the transition matrix at the end of the "
                "first of two: set training's generations to 2, give warmup (epochs before the estimate), or the matrix"
            )

    @property
    def generations(self) -> int:
        return 2 if self.transition is None and self.warmup is None else 1

    @abstractmethod
    def factors(self, transitions: Tensor) -> Tensor:
        """(C, C) what `corrected` takes, made once of the transition matrix (C, C) in float64."""

    @abstractmethod
    def corrected(self, logits: Tensor, labels: Tensor, factors: Tensor) -> Tensor:
        """(B,) corrected losses in nats of logits (B, C) and labels (B,) or (B, C)."""

    @abstractmethod
    def trouble_with(self, transitions: Tensor) -> str | None:
        """Why such a matrix cannot be used and what to do, to come after its name; None if it can."""

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Correction:
        del targets
        self.check_networks(networks)
        if self.transition is not None and len(self.transition) != num_classes:
            raise ArgumentError(
                f"transition is for {len(self.transition)} classes, and there are {num_classes}: expected "
                f"({num_classes}, {num_classes}), a row for each true class"
            )
        return Correction(networks[0], self, num_examples=num_examples, num_classes=num_classes)


class Correction(Method):
    """Training with a corrected loss; where T is not given, first with cross entropy, to estimate it.

    The estimate: a generation, or `warmup` epochs, of cross entropy, on all rows but the share `held_out`. Between
    epochs the cross entropy of the rows held out is taken, with their given labels, and the network that has the lowest
    is kept. From what that one says of all training rows T is read (`estimated_transitions`). Then the network gets its
    first weights back, and learns anew, from all rows, by the corrected loss.

    In two generations (`TrainingConfig.generations`) the second starts with optimizer and schedule from their
    beginning. With a `warmup` in one, they go on: the second part starts with the momentum that the first one ends
    with, and at the learning rate that the schedule has by then.

    Eval mode changes no state. Stores T, and while T is estimated two further copies of the network.

    Args:
        network: gives logits (B, C).
        config: which correction, and how T is estimated.
        num_examples: N.
        num_classes: C.

    Raises:
        TrainingError: an estimate that cannot be used, or a run that ended before it.

    Example:
        >>> from elr.methods.losses.backward_correction import BackwardCorrectionConfig
        >>> config = BackwardCorrectionConfig(transition=[[0.9, 0.1], [0.2, 0.8]])
        >>> method = config.build([nn.Linear(5, 2)], num_examples=8, num_classes=2)
        >>> method.known, method.epoch_rows(0, 0)
        (True, None)
        >>> method = BackwardCorrectionConfig(held_out=0.25).build([nn.Linear(5, 2)], num_examples=8, num_classes=2)
        >>> method.known, len(method.epoch_rows(0, 0))
        (False, 6)

    Source: Patrini et al., CVPR 2017 (arXiv:1609.03683), Algorithm 1 ("robust two-stage training"; number and name from
    memory); settings as in experiment.py and models.py of the authors' code. Differs from that code
    (github.com/giorgiop/loss-correction), which holds out rows in the second part too, and predicts by the network that
    did best on them.
    """

    @checked
    def __init__(self, network: nn.Module, config: CorrectionConfig, *, num_examples: int, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.num_examples = num_examples
        self.transitions: Tensor
        self.factors: Tensor
        for name in ("transitions", "factors"):
            self.register_buffer(name, torch.zeros(num_classes, num_classes))
        self.known = config.transition is not None
        self.lowest = math.inf  # cross entropy of the rows held out
        if self.known:
            self._take(torch.tensor(config.transition, dtype=torch.float64))
        else:
            self.first = copy.deepcopy(network).requires_grad_(False)
            self.best = copy.deepcopy(network).requires_grad_(False)

    def begin_epoch(self, epoch: int, view: View) -> None:
        if self.known:
            return
        if epoch == 0:  # the weights may have been set since it was built
            self.first.load_state_dict(self.network.state_dict())
            return
        self._look(view)
        if self.config.warmup is not None and epoch >= self.config.warmup:
            self._estimate(view)
            self.network.load_state_dict(self.first.state_dict())

    def first_state(self) -> dict[str, Any]:
        return {name: value for name, value in self.state_dict().items() if name.startswith("network.")}

    def end_generation(self, view: View) -> None:
        if not self.known:
            self._look(view)
            self._estimate(view)

    def end_training(self, view: View) -> None:
        del view
        if not self.known:
            when = "a generation" if self.config.warmup is None else f"{self.config.warmup} epochs"
            raise TrainingError(
                f"the run is over, and the transition matrix would be estimated after {when}, so that nothing was "
                "corrected: expected more epochs; choose a shorter warmup, or give the matrix"
            )

    def epoch_rows(self, epoch: int, number: int) -> Tensor | None:
        del epoch, number
        held = self._held_out()
        if self.known or not len(held):
            return None
        trained = torch.ones(self.num_examples, dtype=torch.bool)
        trained[held] = False
        return trained.nonzero()[:, 0]

    def forward(self, batch: Batch) -> Step:
        logits = self.network(batch.inputs)
        loss = self._losses(logits, batch.labels).mean()
        return Step(loss, logits, {"loss": loss.detach()})

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        del index
        return gradient_of(lambda outputs: self._losses(outputs, labels).sum(), logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]

    def get_extra_state(self) -> Tensor:
        return torch.tensor([float(self.known), self.lowest], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        known, self.lowest = state.tolist()
        self.known = bool(known)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not self.known:
            return cross_entropy(logits, labels)
        return self.config.corrected(logits, labels, self.factors)

    def _take(self, transitions: Tensor) -> None:
        self.transitions.copy_(transitions)
        self.factors.copy_(self.config.factors(transitions))
        self.known = True

    def _held_out(self) -> Tensor:
        """Rows that the warm-up does not train on; always the same ones of as many, as in the authors' code."""
        count = math.ceil(self.config.held_out * self.num_examples)
        order = torch.randperm(self.num_examples, generator=torch.Generator().manual_seed(self.num_examples))
        return order[: min(count, self.num_examples - 1)]

    @torch.no_grad()
    def _look(self, view: View) -> None:
        """Keep the network if none before it was better on the rows held out."""
        held = torch.zeros(self.num_examples, dtype=torch.bool)
        held[self._held_out()] = True
        total, was_training = 0.0, self.training
        self.eval()
        for batch in view.batches():
            of_batch = held[batch.index.cpu()].to(batch.labels.device)
            if of_batch.any():
                logits = self.network(_rows_of(batch.inputs, of_batch))
                total += cross_entropy(logits, batch.labels[of_batch]).double().sum().item()
        self.train(was_training)
        total = float(view.agreed(torch.tensor([total], dtype=torch.float64)))
        if total < self.lowest or not held.any():
            self.lowest = total
            self.best.load_state_dict(self.network.state_dict())

    def _estimate(self, view: View) -> None:
        if not math.isfinite(self.lowest):
            raise TrainingError(
                "the rows held out never had a finite cross entropy, so that no network is left to estimate the "
                "transition matrix from: training diverged; lower the learning rate"
            )
        was_training = self.training
        self.eval()
        transitions = estimated_transitions(
            view, lambda inputs: self.best(inputs).float().softmax(dim=1), percentile=self.config.percentile
        )
        self.train(was_training)
        transitions = view.agreed(transitions)
        if trouble := self.config.trouble_with(transitions):
            raise TrainingError(f"the estimated transition matrix {trouble}")
        self._take(transitions)


def _rows_of(inputs: Inputs, rows: Tensor) -> Inputs:
    if isinstance(inputs, Tensor):
        return inputs[rows]
    return {name: values[rows] for name, values in inputs.items()}
