"""A network's passes recorded as CUDA graphs: a small network at a small batch waits for the host, not for the GPU."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elr.devices import forked_random_state
from elr.errors import TrainingError

MOST = 4  # shapes of batches that are recorded; an epoch has two


@contextmanager
def replayed(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Within it, training passes of these networks on CUDA tensors are recorded once for each shape, and replayed.

    The numbers are those of the same kernels launched one by one. Passes in eval mode or without gradient are left as
    they are, and so are copies of the networks that are made within. Each shape of a batch keeps memory of its own for
    the activations.

    Args:
        networks: of parameters and buffers that stay where they are, without hooks of their own; what they do must not
            depend on values of their inputs.

    Raises:
        TrainingError: at a step whose passes cannot be recorded.

    Source: torch.cuda.make_graphed_callables.
    """
    with warnings.catch_warnings(), ExitStack() as after:
        # Recording leaves nodes that were made on a stream of its own; autograd waits for it, and says so once.
        warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream")
        for network in networks:
            network.forward = _Replay(network)  # type: ignore[method-assign]
            after.callback(delattr, network, "forward")  # what its class defines comes back
        yield


class _Replay:
    """Stands in for the `forward` of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.plain = functools.partial(type(network).forward, network)
        self.recorded: dict[Any, Callable[[Tensor], Tensor]] = {}

    def __call__(self, inputs: Any) -> Tensor:
        if not (self.network.training and torch.is_grad_enabled() and is_recordable(inputs)):
            return self.plain(inputs)
        kind = (inputs.shape, inputs.stride(), inputs.dtype)
        if kind not in self.recorded:
            if len(self.recorded) == MOST:
                return self.plain(inputs)
            self.recorded[kind] = record(self.network, inputs)
        return self.recorded[kind](inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[[Any], Tensor]:
        """A copy of the network has no part in the record."""
        return functools.partial(type(self.network).forward, memo[id(self.network)])


def is_recordable(inputs: Any) -> bool:
    return isinstance(inputs, Tensor) and inputs.is_cuda


class _Plain(nn.Module):
    """A network as its class defines it, whatever stands in for its `forward`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return type(self.network).forward(self.network, inputs)


def record(network: nn.Module, inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """Record forward and backward pass for inputs like these; buffers and random state are left as they were.

    Raises:
        TrainingError: this network's passes cannot be recorded.
    """
    kept = [buffer.clone() for buffer in network.buffers()]
    device = inputs.device
    autocast = torch.autocast(device.type, enabled=torch.is_autocast_enabled(device.type), cache_enabled=False)
    with forked_random_state(device), autocast:
        try:
            passes = torch.cuda.make_graphed_callables(_Plain(network), (inputs.clone(),))
        except RuntimeError as error:
            raise TrainingError(
                f"the passes of {type(network).__name__} cannot be recorded as CUDA graphs ({error}): train it without "
                "cuda_graphs"
            ) from error
    with torch.no_grad():
        for buffer, before in zip(network.buffers(), kept, strict=True):
            buffer.copy_(before)
    return passes  # pyright: ignore[reportReturnType]
