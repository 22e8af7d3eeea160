"""A network in eval mode for a while, within a training step or between epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Within it the network and all its parts are in eval mode; afterwards each is in the mode that it was in.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
        >>> _ = network[0].eval()
        >>> with in_eval_mode(network):
        ...     inside = [part.training for part in network]
        >>> inside, [part.training for part in network]
        ([False, False], [False, True])
    """
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
