"""A network's passes recorded as CUDA graphs: a small network at a small batch waits for the host, not for the GPU."""

from __future__ import annotations

import copy
import functools
import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elr.devices import forked_random_state
from elr.errors import ArgumentError, TrainingError

MOST = 4  # shapes of batches that are recorded; an epoch has two


@contextmanager
def replayed(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Within it, training passes of these networks on CUDA tensors are recorded once for each shape, and replayed.

    The numbers are those of the same kernels launched one by one. Passes in eval mode or without gradient are left as
    they are, and so are copies of the networks that are made within, and a pass that comes before the gradient of the
    last one has been taken. Each shape of a batch keeps memory of its own for the activations.

    Args:
        networks: of parameters and buffers that stay where they are; what they do must not depend on values of their
            inputs.

    Raises:
        ArgumentError: a network whose `forward` is not that of its class (it is compiled, say).
        TrainingError: at a step whose passes cannot be recorded.

    Example:
        >>> network = nn.Linear(2, 2)
        >>> with replayed([network]):  # on the processor the passes stay what they are
        ...     network(torch.zeros(4, 2)).shape
        torch.Size([4, 2])

    Source: torch.cuda.make_graphed_callables.
    """
    for network in networks:
        if "forward" in vars(network):
            raise ArgumentError(
                f"a {type(network).__name__} has a forward of its own, which cannot be recorded as CUDA graphs: "
                "expected a network as its class defines it, not compiled or patched; or train it without cuda_graphs"
            )
    with warnings.catch_warnings(), ExitStack() as after:
        after.callback(gc.collect)  # recorded passes are held by cycles, and hold much memory
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
        self.open = False  # whether a replayed pass waits for its gradient, which another replay would spoil

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trains = self.network.training and torch.is_grad_enabled()
        if not trains or self.open or len(args) != 1 or kwargs or not is_recordable(args[0]):
            return self.plain(*args, **kwargs)
        inputs = args[0]
        kind = (inputs.shape, inputs.stride(), inputs.dtype, torch.is_autocast_enabled(inputs.device.type))
        if kind not in self.recorded:
            if len(self.recorded) == MOST:
                return self.plain(inputs)
            self.recorded[kind] = record(self.network, inputs)
        outputs = self.recorded[kind](inputs).clone()  # the next replay writes where these lie
        if outputs.requires_grad:
            self.open = True
            outputs.register_hook(self._close)
        return outputs

    def _close(self, _: Tensor) -> None:
        self.open = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[[Any], Tensor]:
        """A copy of the network has no part in the record."""
        network = copy.deepcopy(self.network, memo)
        return functools.partial(type(network).forward, network)


def is_recordable(inputs: Any) -> bool:
    """Whether a pass over such inputs can be recorded: a tensor on a GPU that needs no gradient.

    Example:
        >>> is_recordable(torch.zeros(2)), is_recordable([1, 2])
        (False, False)
    """
    return isinstance(inputs, Tensor) and inputs.is_cuda and not inputs.requires_grad


class _Plain(nn.Module):
    """A network as its class defines it, whatever stands in for its `forward`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return type(self.network).forward(self.network, inputs)


def record(network: nn.Module, inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """Record forward and backward pass for inputs like these; buffers and random state are left as they were.

    Args:
        network: whose outputs are one tensor.
        inputs: (B, ...), on a GPU.

    Raises:
        TrainingError: this network's passes cannot be recorded.

    Example:
        >>> if torch.cuda.is_available():
        ...     network, inputs = nn.Linear(2, 2).cuda(), torch.zeros(4, 2, device="cuda")
        ...     assert torch.equal(record(network, inputs)(inputs), network(inputs))
    """
    kept = [buffer.clone() for buffer in network.buffers()]
    device = inputs.device
    autocast = torch.autocast(device.type, enabled=torch.is_autocast_enabled(device.type), cache_enabled=False)
    with forked_random_state(device), autocast:
        try:
            passes = torch.cuda.make_graphed_callables(_Plain(network), (inputs.clone(),))
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(
                f"the passes of {type(network).__name__} cannot be recorded as CUDA graphs ({error}): train it without "
                "cuda_graphs (--cuda-graphs), in a new process"
            ) from error
        finally:
            with torch.no_grad():
                for buffer, before in zip(network.buffers(), kept, strict=True):
                    buffer.copy_(before)
    return passes  # pyright: ignore[reportReturnType]
