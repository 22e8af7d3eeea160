"""Layers that draw for a batch, or measure it, see that of all ranks: dropout and batch norm as in one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from elr.devices import mixed_seed
from elr.errors import TrainingError
from elr.methods.ingredients.mixup import fill_with_pairs
from elr.methods.method import Batch, Method
from elr.targets.ranks import number_of_ranks
from elr.training.ranks.batch_norm import batch_norm_of_ranks
from elr.training.ranks.random_state import CommonRandomState

DROPS = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout | nn.FeatureAlphaDropout
_CHECKPOINT = os.path.join("torch", "utils", "checkpoint.py")  # noqa: PTH118 - as code has it
_STEP = 1  # the stream of random numbers of the training step, see `elr.training.sampling`
_DROP_FUNCTIONS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}
_DRAW_FUNCTIONS = {
    torch.rand_like,
    torch.randn_like,
    torch.bernoulli,
    Tensor.bernoulli_,
    Tensor.uniform_,
    Tensor.normal_,
}
"""What draws for each row (B, ...) of its first argument, whether or not the network is in train mode."""


class WholeBatch:
    """Has the layers of networks, in a training step on some rows of a batch, do what they would on all of them.

    Rank r of W has the rows r, r + W, ... of each batch. Within `forward`, under several ranks,

    - what draws random numbers for the rows of its input (dropout of all kinds, `_DRAW_FUNCTIONS` as stochastic depth
      calls them) gets an input of B rows with those of this rank at their places, draws as one process would, from a
      state that all ranks have in common, and gives back the rows of this rank: B / b times the memory, for a while;
    - `torch.nn.functional.batch_norm` in train mode is that of `elr.training.ranks.batch_norm`;
    - the pairs of mixup are drawn from the common state.

    Each is caught as torch's function is called, whatever module calls it: no module is changed, so that copies,
    checkpoints and saved networks are what they are without ranks. Drawn by the rank for itself, from a state of its
    own, is what these functions do to other numbers of rows, and what others draw (`scaled_dot_product_attention`
    with dropout, recurrent layers, `rrelu`, whose numbers hang on the values of other rows).

    Args:
        method: what is trained; alone, and while it says no to `whole_batches`, nothing is changed.
        device: where the networks are.
        caught: whether to do all this; False: each rank draws and measures for itself.

    Example:
        >>> from elr.methods.cross_entropy import LossMethod
        >>> method, batch = LossMethod(torch.nn.Linear(2, 3)), Batch(torch.arange(4), torch.ones(4, 2), torch.ones(4))
        >>> alone = WholeBatch(method, device=torch.device("cpu"))
        >>> with torch.random.fork_rng(devices=[]), alone.forward(batch, share=1.0):
        ...     alone.begin_epoch(0, 0)
        ...     F.dropout(batch.inputs).shape
        torch.Size([4, 2])

    Source: `torch.overrides.TorchFunctionMode`.
    """

    def __init__(self, method: Method, *, device: torch.device, caught: bool = True) -> None:
        self.method = method
        self.group, self.world = method.process_group, number_of_ranks(method.process_group)
        self.rank = dist.get_rank(self.group) if self.world > 1 else 0
        self.caught = caught and self.world > 1
        self.state = CommonRandomState(device)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Seed torch's random numbers for an epoch: those of all ranks, and of each for itself."""
        if not self.caught:
            torch.manual_seed(mixed_seed(seed, epoch, _STEP + self.rank))
            return
        torch.manual_seed(mixed_seed(seed, epoch, _STEP))
        self.state.begin()
        torch.manual_seed(mixed_seed(seed, epoch, _STEP, 1 + self.rank))

    @contextmanager
    def forward(self, batch: Batch, share: float) -> Iterator[None]:
        """Within it, layers see the batch of all ranks.

        Args:
            batch: b rows, those of this rank.
            share: b W / B.

        Raises:
            TrainingError: one of them is to be computed again in the backward pass (`torch.utils.checkpoint`).
        """
        if not (self.caught and self.method.whole_batches):
            yield
            return
        count = len(batch.index)
        places = _Places(round(count * self.world / share), count, self.rank, self.world, 1 + len(batch.views))
        with _Caught(lambda func, args, kwargs: self._of_layer(func, args, kwargs, places)):
            yield

    def _of_layer(self, func: Callable[..., Any], args: Any, kwargs: Any, places: _Places) -> Any:
        if func is F.batch_norm:
            _refuse_checkpoint(func)
            return batch_norm_of_ranks(*args, **kwargs, group=self.group)
        if func is fill_with_pairs:
            with self.state.drawing():
                return func(*args, **kwargs)
        return self._drawn(func, args, kwargs, places)

    def _drawn(self, func: Callable[..., Any], args: Any, kwargs: Any, places: _Places) -> Any:
        """What is drawn for the rows of this rank, as part of the batch."""
        if not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {name: value for name, value in kwargs.items() if name != "input"}
        inputs: Any = args[0] if args else None
        if not places.fit(inputs) or kwargs.get("generator") is not None or _tensors((*args[1:], *kwargs.values())):
            return func(*args, **kwargs)
        _refuse_checkpoint(func)
        fills = func.__name__.endswith("_")  # and does not ask what was there
        whole = places.among_all(inputs.detach() if fills else inputs)
        with self.state.drawing():
            outputs = places.own(
                func(whole, *args[1:], **kwargs | ({"inplace": False} if func in _DROP_FUNCTIONS else {}))
            )
        return inputs.copy_(outputs) if fills or kwargs.get("inplace") else outputs


class _Places:
    """Where the rows of a rank lie among those of a batch, of which it has each `world`th."""

    def __init__(self, rows: int, count: int, rank: int, world: int, views: int) -> None:
        self.rows, self.count, self.rank, self.world, self.views = rows, count, rank, world, views

    def fit(self, inputs: Any) -> bool:
        """Whether these are the rows of the rank, in one view of them or in all, one after the other."""
        tensor = isinstance(inputs, Tensor) and inputs.ndim > 0
        return tensor and len(inputs) in (self.count, self.views * self.count)

    def among_all(self, inputs: Tensor) -> Tensor:
        """(V B, ...) zeros with the rows (V b, ...) of this rank at their places, in memory as the rows lie there."""
        views = len(inputs) // self.count
        sizes = [views * self.rows, *inputs.shape[1:]]
        order = [0, *sorted(range(1, inputs.ndim), key=lambda dim: -inputs.stride(dim))]
        if len(inputs) > 1 and inputs.ndim > 1:  # rows need not lie one after the other
            order = sorted(range(inputs.ndim), key=lambda dim: -inputs.stride(dim))
        back = sorted(range(inputs.ndim), key=order.__getitem__)
        whole = inputs.new_zeros([sizes[dim] for dim in order]).permute(back)
        self._mine(whole)[:] = inputs.unflatten(0, (views, self.count))
        return whole

    def own(self, whole: Tensor) -> Tensor:
        """(V b, ...) the rows of this rank among (V B, ...)."""
        return self._mine(whole).flatten(0, 1).clone()  # which does not keep the whole in memory

    def _mine(self, whole: Tensor) -> Tensor:
        return whole.unflatten(0, (-1, self.rows))[:, self.rank :: self.world]


class _Caught(TorchFunctionMode):
    """Hands the calls of torch's functions that concern the batch as a whole to another function."""

    def __init__(self, handle: Callable[..., Any]) -> None:
        super().__init__()
        self.handle = handle

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            concerns = kwargs.get("training")
        elif func in _DROP_FUNCTIONS:
            concerns = kwargs.get("training") and kwargs.get("p")
        else:
            concerns = func in _DRAW_FUNCTIONS or func is fill_with_pairs
        return self.handle(func, args, kwargs) if concerns else func(*args, **kwargs)


def _tensors(arguments: Sequence[Any]) -> bool:
    return any(isinstance(each, Tensor) for each in arguments)


def _refuse_checkpoint(func: Callable[..., Any]) -> None:
    """What is computed again in the backward pass would draw, or measure, by itself then, as no mode is there."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith(_CHECKPOINT):
            raise TrainingError(
                f"{func.__name__} is to be computed again in the backward pass (torch.utils.checkpoint), and the batch "
                "lies on several processes: it would draw, or measure, otherwise than before. Train without that, in "
                "one process, or with a method whose whole_batches is False: then each process draws for its own rows"
            )
        frame = frame.f_back
