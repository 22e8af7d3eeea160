"""Predictions without augmentation, some rows at a time: for the loop, for the folder of a run, for the estimator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from elr.data.examples import Examples
from elr.data.transforms import Transform
from elr.devices import sent
from elr.methods.method import Batch, Method

Started = TypeVar("Started")
Predictor = Callable[[Tensor], Tensor]
"""From inputs (B, ...) to class probabilities (B, C)."""
NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
AHEAD = 2
"""Chunks or batches that are read while the network works."""
_SETTLED = 10.0  # momentum times batches from which on e^-10 of the first statistics is left; batches of new ones
_NUMBERS = 2**19  # of probabilities that are asked of a store at a time: 2 MiB, for which a step has left room


@dataclass(frozen=True, kw_only=True)
class PlainInputs:
    """From stored examples to the inputs of networks: all of them, in order, without augmentation.

    Args:
        transform: from stored rows to network inputs.
        device: where they go.
        channels_last: whether images lie there with the channels of a pixel together.

    Example:
        >>> examples = Examples(torch.arange(6.0).reshape(3, 2), [0, 1, 1])
        >>> inputs = PlainInputs(transform=Transform(), device=torch.device("cpu"))
        >>> [(rows.tolist(), len(views), views[0].shape) for rows, views in inputs.views(examples)]
        [([0, 1, 2], 1, torch.Size([3, 2]))]
    """

    transform: Transform
    device: torch.device
    channels_last: bool = False

    def laid_out(self, inputs: Tensor) -> Tensor:
        """The same inputs, in memory as the networks want them."""
        return inputs.contiguous(memory_format=torch.channels_last) if self.channels_last else inputs

    def inputs(self, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows (B,) and network inputs (B, ...) of every example."""
        for rows, stored in self._stored(examples):
            yield rows, self.laid_out(self.transform(stored))

    def views(self, examples: Examples) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Rows (B,) and all views (B, ...) over which a prediction is averaged, of every example."""
        for rows, stored in self._stored(examples):
            yield rows, [self.laid_out(view) for view in self.transform.views(stored)]

    def _stored(self, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        chunks = torch.arange(len(examples)).split(examples.at_once)
        for rows, fetched in ahead(((rows, examples.start(rows)) for rows in chunks), AHEAD):
            yield rows, sent(fetched(), self.device)


def _alone(batch: Batch, share: float) -> AbstractContextManager[Any]:
    del batch, share
    return nullcontext()


def settle_statistics(
    method: Method,
    batches: Callable[[int], Iterable[tuple[Batch, float]]],
    *,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    sharing: Callable[[Batch, float], AbstractContextManager[Any]] = _alone,
) -> None:
    """Take the statistics of batch normalization anew, where training was too short for its running averages.

    An average of momentum m has forgotten what it began with, and what the weights were long ago, after some 10 / m
    batches. Before that a network that has learned everything predicts at random in eval mode, and nothing else tells.

    Args:
        method: at the end of training; its networks, and the averages of them, that have seen too few are changed.
        batches: those of a further epoch, 0 for the first one, augmented as in training; no label is looked at.
        autocast: within which networks are called.
        sharing: the same, for a batch and its weight: of several ranks, it has them measure the batch of all.

    Example:
        >>> from elr.methods.cross_entropy import LossMethod
        >>> norm = nn.BatchNorm1d(1)
        >>> method = LossMethod(nn.Sequential(norm, nn.Linear(1, 2)))
        >>> batch = Batch(torch.tensor([0, 1]), torch.tensor([[7.0], [9.0]]), torch.tensor([0, 1]))
        >>> settle_statistics(method, lambda epoch: [(batch, 1.0)])
        >>> round(norm.running_mean.item(), 4)
        8.0
    """

    def inputs() -> Iterator[Any]:
        seen = 0
        for epoch in count():
            for batch in batches(epoch):
                seen += 1
                yield [batch]
            if seen >= _SETTLED:
                return

    for network in {id(each): each for each in (*method.trained_networks, *method.predictors)}.values():
        if any(isinstance(each, NORMS) and _lags(each) for each in network.modules()):
            with autocast():
                update_bn(inputs(), _OfBatch(network, sharing))


class _OfBatch(nn.Module):
    """A network as a function of a batch and its weight."""

    def __init__(self, network: nn.Module, sharing: Callable[[Batch, float], AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.network, self.sharing = network, sharing
        self.training = network.training

    def forward(self, weighted: tuple[Batch, float]) -> Any:
        batch, share = weighted
        with self.sharing(batch, share):
            return self.network(batch.inputs)


def _lags(norm: Any) -> bool:
    """Whether the running averages still hold what they began with."""
    if not norm.track_running_stats or norm.momentum is None:  # the latter is a mean over all batches
        return False
    return norm.momentum * int(norm.num_batches_tracked) < _SETTLED


def predicted_probs(
    network: nn.Module,
    chunks: Iterable[Sequence[Tensor]],
    *,
    predictors: Sequence[Predictor],
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Tensor]:
    """Class probabilities in eval mode, the mean over predictors and views; chunk by chunk, on the CPU.

    Args:
        network: holds what the predictors compute with; in eval mode while they do, and left as it was.
        chunks: of the inputs, each in all its views, (B, ...).
        predictors: what says probabilities; see `softmax_of`.
        autocast: makes the context of precision in which they do. Default: none.

    Returns:
        (B, C) probabilities for each chunk, computed when it is asked for.

    Example:
        >>> network = nn.Linear(2, 3)
        >>> chunks = [[torch.zeros(4, 2), torch.ones(4, 2)], [torch.zeros(1, 2)]]
        >>> parts = predicted_probs(network, chunks, predictors=[softmax_of(network)])
        >>> [tuple(part.shape) for part in parts]
        [(4, 3), (1, 3)]
    """
    for views in chunks:
        was_training = network.training
        network.eval()
        try:
            with torch.no_grad(), autocast():
                said = [predict(view) for predict in predictors for view in views]
                probs = torch.stack(said).mean(dim=0)
        finally:
            network.train(was_training)
        yield probs.cpu()


def softmax_of(network: nn.Module) -> Predictor:
    """What a network that gives logits says as probabilities.

    Example:
        >>> softmax_of(nn.Identity())(torch.tensor([[0.0, 0.0]]))
        tensor([[0.5000, 0.5000]])
    """
    return lambda inputs: network(inputs).softmax(dim=1)


@torch.no_grad()
def gathered_probs(
    method: Method, num_examples: int, *, unseen: Tensor | None = None, instead: Iterable[Tensor] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """What a method has gathered about the training rows, some of them at a time; nothing where it gathers nothing.

    Args:
        method: with per-example state, or without.
        num_examples: N.
        unseen: (M,) rows in ascending order, of which nothing was gathered. Default: none.
        instead: (M, C) probabilities to give for these, in chunks of any size.

    Returns:
        Rows (B,) and their probabilities (B, C), on the CPU, for all rows in order.

    Example:
        >>> from elr.methods.elr import ELRConfig
        >>> method = ELRConfig().build([nn.Linear(2, 3)], num_examples=4, num_classes=3)
        >>> _ = method.stores[0].update(torch.tensor([0, 1, 2]), torch.eye(3), beta=0.7)
        >>> parts = gathered_probs(method, 4, unseen=torch.tensor([3]), instead=[torch.tensor([[0.2, 0.2, 0.6]])])
        >>> torch.cat([probs for _, probs in parts])
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 1.0000, 0.0000],
                [0.0000, 0.0000, 1.0000],
                [0.2000, 0.2000, 0.6000]])
    """
    row = method.pred_probs(torch.zeros(1, dtype=torch.int64))
    if row is None:
        return
    step = max(1, _NUMBERS // row.shape[1])
    others, placed = _Rows(instead), 0
    for start in range(0, num_examples, step):
        rows = torch.arange(start, min(start + step, num_examples))
        gathered = method.pred_probs(rows)
        assert gathered is not None, "a method gathers about all rows or about none"
        probs = gathered.cpu()
        if unseen is not None:
            until = int(torch.searchsorted(unseen, rows[-1], right=True))
            if until > placed:
                probs[unseen[placed:until] - start] = others.take(until - placed)
            placed = until
        yield rows, probs


class _Rows:
    """Rows of chunks, taken one after the other in other portions."""

    def __init__(self, chunks: Iterable[Tensor]) -> None:
        self.chunks = iter(chunks)
        self.left: Tensor | None = None

    def take(self, count: int) -> Tensor:
        parts = []
        while count:
            chunk = next(self.chunks) if self.left is None else self.left
            parts.append(chunk[:count])
            count -= len(parts[-1])
            rest = chunk[len(parts[-1]) :]
            self.left = rest if len(rest) else None
        return torch.cat(parts)


def ahead(items: Iterable[Started], count: int) -> Iterator[Started]:
    """The items in order, of which `count` are made before they are asked for.

    Example:
        >>> made = (print("making", item) or item for item in range(3))
        >>> next(ahead(made, 1))
        making 0
        making 1
        0
    """
    iterator = iter(items)
    waiting = deque(islice(iterator, count))
    for item in iterator:
        waiting.append(item)
        yield waiting.popleft()
    yield from waiting
