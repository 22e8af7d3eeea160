"""Random numbers that all ranks of a training draw alike, beside those that each draws for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class CommonRandomState:
    """A second state of torch's generators of the processor and of a device: the same on all ranks.

    What draws within `drawing` gets the numbers that one process would have got, if all draws that it made before were
    made within, too. Other draws are those of the rank, from the usual state, and leave this one alone.

    Args:
        device: where the networks are.

    Example:
        >>> common = CommonRandomState(torch.device("cpu"))
        >>> with torch.random.fork_rng(devices=[]):
        ...     _ = torch.manual_seed(0)
        ...     common.begin()
        ...     with common.drawing():
        ...         first = torch.randint(10, (2,)).tolist()
        ...     own = torch.randint(10, (5,)).tolist()
        ...     with common.drawing():
        ...         first + torch.randint(10, (3,)).tolist() == own
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.states: list[Tensor] = []

    def begin(self) -> None:
        """Take over the present state of the generators."""
        self.states = self._present()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Within it, torch draws from this state."""
        own = self._present()
        self._set(self.states)
        try:
            yield
        finally:
            self.states = self._present()
            self._set(own)

    def _present(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        return [*states, torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else states

    def _set(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self.device)
