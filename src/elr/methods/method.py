"""What a training step is: the batch that goes in, the interface that the training loop calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Inputs = Tensor | Mapping[str, Tensor]


class Batch(NamedTuple):
    """A batch of training examples, keyed by their rows in the training set.

    Clean labels never ride in a batch: only diagnostics hold them, keyed by `index`.

    Args:
        index: (B,) int64, row of each example in the training set: the key of all per-example state.
        inputs: tensor with leading axis B, or a mapping of such tensors.
        labels: (B,) int64 given labels in [0, C), or (B, C) float rows that sum to 1.
    """

    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride] - the design's word, over tuple.index
    inputs: Inputs
    labels: Tensor


class Step(NamedTuple):
    """What one training step gives back.

    Args:
        loss: scalar to differentiate, mean over the batch, in nats.
        logits: (B, C) what was said of these rows, un-mixed, detached or not.
        terms: named parts of the loss, detached scalars, for the history.
    """

    loss: Tensor
    logits: Tensor
    terms: Mapping[str, Tensor]


class View(ABC):
    """What a method may see of the training set between epochs: its examples, in order, without augmentation."""

    num_examples: int

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """Every training example once, in the order of the rows."""

    def views(self) -> Iterable[list[Batch]]:
        """The same, each batch in all views of it that a prediction is averaged over, such as mirror images."""
        for batch in self.batches():
            yield [batch]


class Method(nn.Module, ABC):
    """A way to train: networks, per-example state and the training step. All that the training loop may call.

    Every piece of state is in `state_dict()`. `forward` is the training step, so that the hooks of
    DistributedDataParallel and FSDP see it; it changes state only in train mode.

    A method of several networks may ask for several passes over the data in an epoch, each of which trains some of the
    parameters with an optimizer of its own.
    """

    @property
    def passes(self) -> int:
        """How many times an epoch goes over the data."""
        return 1

    def begin_pass(self, number: int) -> None:
        """Prepare a pass, `number` in [0, passes); called at the start of each."""

    def trained(self, number: int) -> list[nn.Parameter]:
        """The parameters that a pass trains."""
        del number
        return [weight for weight in self.parameters() if weight.requires_grad]

    def first_state(self) -> dict[str, Any]:
        """The part of `state_dict()` that a new generation sets back: all but what outlives one."""
        return self.state_dict()

    def end_generation(self, view: View) -> None:
        """Called before training starts again; the networks are still as this generation leaves them.

        The caller sets autocast.
        """

    def begin_generation(self, steps: int) -> None:
        """Called when training starts again from `first_state`, for `steps` steps in each pass."""

    def end_training(self, view: View) -> None:
        """Called when the last epoch has ended; again if a finished training is taken up again.

        The caller sets autocast.
        """

    def begin_epoch(self, epoch: int, view: View) -> None:
        """Prepare an epoch (a keep rate, a mixture fit). `epoch` counts from 0."""

    @abstractmethod
    def forward(self, batch: Batch) -> Step:
        """The training step on one batch, up to the loss."""

    @abstractmethod
    def predict(self, inputs: Inputs) -> Tensor:
        """(B, C) float32 class probabilities for un-mixed inputs; the caller sets eval mode and no_grad."""

    @property
    @abstractmethod
    def predictors(self) -> list[nn.Module]:
        """The networks that `predict` uses, each giving logits; it averages their probabilities."""

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

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        """(B, C) gradient of the loss of each example, not mixed, with respect to its logits; changes no state.

        Diagnostics measure with it what training does to the true class. None: this method does not say.
        """
        del index, logits, labels
        return None


def gradient_of(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """(B, C) gradient of a sum of losses with respect to logits that belong to no graph."""
    with torch.enable_grad():
        outputs = logits.detach().float().requires_grad_()
        return torch.autograd.grad(loss(outputs), outputs)[0]
