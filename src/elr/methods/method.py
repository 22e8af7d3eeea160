"""What a training step is: the batch that goes in, and the interface that the training loop calls."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist

from elr.checking import check_types
from elr.errors import ArgumentError
from elr.targets.store import Targets, stores_in

Inputs = Tensor | Mapping[str, Tensor]


class Batch(NamedTuple):
    """A batch of training examples, keyed by their rows in the training set.

    Clean labels never ride in a batch: only diagnostics hold them, keyed by `index`.

    Args:
        index: (B,) int64, row of each example in the training set: the key of all per-example state.
        inputs: tensor with leading axis B, or a mapping of such tensors.
        labels: (B,) int64 given labels in [0, C), or (B, C) float rows that sum to 1.
        views: further augmentations of the same rows, as `inputs` each, where a method asks for them (`Method.views`).
        done: share of its pass that lies behind it, in [0, 1), for what changes in the course of a pass.

    Example:
        >>> batch = Batch(torch.tensor([7, 3]), torch.zeros(2, 5), torch.tensor([0, 1]))
        >>> len(batch.inputs), batch.views, batch.done
        (2, (), 0.0)
    """

    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride] - the design's word, over tuple.index
    inputs: Inputs
    labels: Tensor
    views: tuple[Inputs, ...] = ()
    done: float = 0.0


class Step(NamedTuple):
    """What one training step gives back.

    Args:
        loss: scalar to differentiate, mean over the batch, in nats.
        logits: (B, C) what was said of these rows, un-mixed, detached or not.
        terms: named parts of the loss, detached scalars, for the history.

    Example:
        >>> logits = torch.zeros(2, 4, requires_grad=True)
        >>> loss = nn.functional.cross_entropy(logits, torch.tensor([3, 1]))
        >>> Step(loss, logits, {"loss": loss.detach()}).terms
        {'loss': tensor(1.3863)}
    """

    loss: Tensor
    logits: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class ParameterGroup:
    """Some of the parameters that a pass trains, and how.

    Args:
        weights: the parameters, or what gives them once, such as `module.parameters()`.
        learning_rate: their peak learning rate, >= 0, scheduled as the run's; None: the run's.
        weight_decay: >= 0; None: the run's.
        plain: moved by gradient descent without momentum at a constant rate, which must be given, whatever optimizer
            and schedule the run has; their gradients may be sparse.
        batch_size: of the batches that the learning rate is meant for, as parameters of a single example have it: in a
            run with others the rate is as many times larger, and a row's part in the mean loss moves it as far. None
            (default): of any.

    Raises:
        ArgumentError: a rate, decay or batch size out of range, no weights, or no rate where one must be given.

    Example:
        >>> shifts = nn.Parameter(torch.zeros(100, 3))
        >>> ParameterGroup([shifts], learning_rate=1.0, weight_decay=0.0).weight_decay
        0.0
    """

    weights: Sequence[nn.Parameter]
    learning_rate: float | None = None
    weight_decay: float | None = None
    plain: bool = False
    batch_size: int | None = None

    def __post_init__(self) -> None:
        weights = list(self.weights) if isinstance(self.weights, Iterable) else []  # an iterator gives them only once
        object.__setattr__(self, "weights", weights)
        check_types(self)
        if not weights or not all(isinstance(weight, Tensor) for weight in weights):
            raise ArgumentError("a group of parameters has no weights: leave it out, or pass module.parameters()")
        for name, value in (("learning_rate", self.learning_rate), ("weight_decay", self.weight_decay)):
            if value is not None and not 0.0 <= value < math.inf:
                found = f"{name} of a group of parameters is {value}"
                raise ArgumentError(f"{found}: expected 0 or more, or None for the run's")
        if self.batch_size is not None and self.batch_size < 1:
            raise ArgumentError(f"batch_size of a group of parameters is {self.batch_size}: expected at least 1")
        if self.learning_rate is None and (self.plain or self.batch_size is not None):
            raise ArgumentError(
                "a group of parameters is plain, or has a batch_size, and no learning_rate: give it one of its own"
            )


class View(ABC):
    """What a method may see of the training set between epochs: its examples, in order, without augmentation.

    Example:
        >>> class Two(View):
        ...     num_examples = 2
        ...
        ...     def batches(self):
        ...         yield Batch(torch.arange(2), torch.zeros(2, 5), torch.tensor([0, 1]))
        >>> [batch.index.tolist() for views in Two().views() for batch in views]
        [[0, 1]]
    """

    num_examples: int

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """Every training example once, in the order of the rows."""

    def views(self) -> Iterable[list[Batch]]:
        """The same, each batch in all views of it that a prediction is averaged over, such as mirror images."""
        for batch in self.batches():
            yield [batch]

    def labels_alone(self) -> Iterable[Tensor]:
        """The given labels of all examples in order, in parts; a view that has them at hand reads no inputs for it."""
        return (batch.labels for batch in self.batches())

    def agreed(self, values: Tensor) -> Tensor:
        """The same values; under several ranks those of the first one, on all.

        For what every rank computes from the view by itself, which may differ in the last digits.
        """
        return values


class Method(nn.Module, ABC):
    """A way to train: networks, per-example state and the training step. All that the training loop may call.

    Every piece of state is in `state_dict()`. `forward` is the training step, so that the hooks of
    DistributedDataParallel and FSDP see it; it changes state only in train mode.

    A method of several networks may ask for several passes over the data in an epoch, each of which trains some of the
    parameters with an optimizer of its own.

    Generations are made by the training loop, ours if `TrainingConfig.generations` > 1. Another loop keeps a copy of
    `first_state()`; to start again it calls `end_generation(view)`, loads that copy with strict=False, makes its
    optimizers anew and calls `begin_generation(steps)`; when all is done, `end_training(view)`.

    What else a method needs of the loop it says in `parameter_groups`, `views`, `epoch_rows` and `stores`, and in
    `whole_batches` what several ranks may do for it.

    Example:
        >>> class Hinge(Method):
        ...     def __init__(self, network):
        ...         super().__init__()
        ...         self.network = network
        ...
        ...     def forward(self, batch):
        ...         logits = self.network(batch.inputs)
        ...         loss = nn.functional.multi_margin_loss(logits, batch.labels)
        ...         return Step(loss, logits, {"loss": loss.detach()})
        ...
        ...     @property
        ...     def predictors(self):
        ...         return [self.network]
        >>> method = Hinge(nn.Linear(5, 3))
        >>> method.passes, method.views, len(method.parameter_groups(0)), method.epoch_rows(0, 0), method.stores
        (1, 1, 1, None, [])
    """

    @property
    def passes(self) -> int:
        """How many times an epoch goes over the data."""
        return 1

    @property
    def views(self) -> int:
        """How many independent augmentations of its rows a batch carries: `inputs`, and the others in `views`."""
        return 1

    @property
    def stores(self) -> list[Targets]:
        """Its stores of targets, from a `TargetsConfig`: the loop checks them and shares them between ranks."""
        return stores_in(self)

    @property
    def whole_batches(self) -> bool:
        """Whether each rank passes all its rows of a batch through the networks, as often as the other ranks.

        In one view or all, one after the other, mixed or not. Then, under several ranks, dropout and batch norm are
        those of the batch of all; else each rank has its own, as where a method passes a choice of the rows.
        """
        return True

    process_group: dist.ProcessGroup | None = None
    """The ranks that train it together; None: this process alone."""

    def distribute(self, process_group: dist.ProcessGroup | None) -> None:
        """Train it on several ranks, whose batches are parts of one; the loop calls this on all of them."""
        self.process_group = process_group
        for store in self.stores:
            store.distribute(process_group)

    def begin_pass(self, number: int) -> None:
        """Prepare a pass, `number` in [0, passes); called at the start of each."""

    def epoch_rows(self, epoch: int, number: int) -> Tensor | Sequence[Tensor] | None:
        """The rows that a pass trains on, asked for after `begin_pass`; their order is drawn by the loop.

        What decides on them must be in the state, so that a resumed run has the same. Under several ranks the rows
        that the first one gives hold for all.

        Args:
            epoch: from 0.
            number: of the pass.

        Returns:
            (M,) int64 rows of the training set, different from one another, M >= 1; then there are as many batches as M
            rows fill, and learning rates go on by the share of the pass that is done. Several such sets that have no
            row in common: every batch takes an equal share of each, one after the other; the first set decides how many
            batches there are, a longer one comes in part only, a shorter one starts over in another order. No batch has
            a row twice. None (default): the rows that `TrainingConfig.sampling` says.
        """
        del epoch, number
        return None

    def parameter_groups(self, number: int) -> list[ParameterGroup]:
        """What a pass trains, each parameter in one group only. The history has the learning rate of the first group.

        Default: every parameter that requires a gradient, as the run's settings have it.
        """
        del number
        return [ParameterGroup([weight for weight in self.parameters() if weight.requires_grad])]

    def first_state(self) -> dict[str, Any]:
        """The part of `state_dict()` that a new generation sets back: all but what outlives one."""
        return self.state_dict()

    def end_generation(self, view: View) -> None:
        """Called before training starts again; the networks are still as this generation leaves them.

        The caller sets autocast.
        """

    def begin_generation(self, steps: int) -> None:
        """Called when training starts again from `first_state`, for `steps` steps in each pass.

        They are counted as if each pass had its usual rows, whatever `epoch_rows` chooses.
        """

    def end_training(self, view: View) -> None:
        """Called when the last epoch has ended; again if a finished training is taken up again.

        The caller sets autocast.
        """

    def begin_epoch(self, epoch: int, view: View) -> None:
        """Prepare an epoch (a keep rate, a mixture fit). `epoch` counts from 0."""

    @abstractmethod
    def forward(self, batch: Batch) -> Step:
        """The training step on one batch, up to the loss."""

    def predict(self, inputs: Inputs) -> Tensor:
        """(B, C) float32 class probabilities for un-mixed inputs; the caller sets eval mode and no_grad."""
        return torch.stack([network(inputs).float().softmax(dim=1) for network in self.predictors]).mean(dim=0)

    @property
    @abstractmethod
    def predictors(self) -> list[nn.Module]:
        """The networks that predict, each giving logits: predictions are the mean of their probabilities."""

    @property
    def trained_networks(self) -> list[nn.Module]:
        """The networks that a training step calls with gradient."""
        return self.predictors

    def pred_probs(self, index: Tensor) -> Tensor | None:
        """(B, C) what training itself has gathered about these rows, rows that sum to 1; None if nothing.

        ELR has its targets; plain losses keep no memory of a row.
        """
        del index
        return None

    def blind_probs(self, index: Tensor) -> Tensor | None:
        """(S, B, C) what networks that never saw the labels of these rows say of them; None where all networks do."""
        del index
        return None

    def choice(self) -> dict[str, Any]:
        """What it chose among its settings and why, for run.json; after `end_training`."""
        return {}

    out_of_fold = False
    """Whether `pred_probs` of a row is from networks that never saw its label."""

    def extra_repr(self) -> str:
        """The settings, where `config` holds them: checkpoints compare what a method says of itself."""
        config = getattr(self, "config", None)
        return ", ".join(f"{each.name}={getattr(config, each.name)}" for each in fields(config)) if config else ""

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        """(B, C) gradient of the loss of each example, not mixed, with respect to its logits; changes no state.

        Diagnostics measure with it what training does to the true class. None: this method does not say.
        """
        del index, logits, labels
        return None


def check_pass(method: Method, number: int) -> None:
    """Refuse a pass that a method does not have.

    Raises:
        ArgumentError: as it says.

    Example:
        >>> from elr.methods.cross_entropy import LossMethod
        >>> check_pass(LossMethod(nn.Linear(2, 3)), 1)
        Traceback (most recent call last):
        elr.errors.ArgumentError: pass 1 of a method with 1: expected a number below 1
    """
    if not 0 <= number < method.passes:
        raise ArgumentError(f"pass {number} of a method with {method.passes}: expected a number below {method.passes}")


def check_begun(begun: bool) -> None:
    """Refuse a training step of two networks before any pass has begun.

    Raises:
        ArgumentError: not `begun`.

    Example:
        >>> check_begun(True)
        >>> check_begun(False)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: a method of two networks trains one in each pass over the data: call begin_pass(0)...
    """
    if not begun:
        raise ArgumentError(
            "a method of two networks trains one in each pass over the data: call begin_pass(0), later begin_pass(1), "
            "and give the parameter_groups of 0 and 1 an optimizer each"
        )


def gradient_of(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """(B, C) gradient of a sum of losses with respect to logits that belong to no graph.

    Args:
        loss: of logits (B, C), a scalar.
        logits: (B, C) where to take the gradient.

    Example:
        >>> gradient_of(lambda logits: (logits**2).sum(), torch.tensor([[1.0, -3.0]]))
        tensor([[ 2., -6.]])
    """
    with torch.enable_grad():
        full = torch.promote_types(logits.dtype, torch.float32)  # float64 stays
        outputs = logits.detach().to(full).requires_grad_()
        return torch.autograd.grad(loss(outputs), outputs)[0]
