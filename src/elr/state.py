"""What a run in progress knows beside networks, targets, optimizer and schedule."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from elr.diagnostics import Monitor

Record = dict[str, float | int]
"""Measures of an epoch."""
_KEPT = ("epoch", "generation", "first", "probe_labels", "probe_epochs", "visited")


@dataclass
class State:
    """What a checkpoint holds of it.

    Args:
        monitor: measures of memorization.
        epoch: epochs finished.
        generation: the generation under way, from 0.
        first: what a generation begins with, where there are several.
        history: measures of each finished epoch.
        probe_labels: (M,) classes predicted for the probe, after each epoch in `probe_epochs`.
        probe_epochs: counted from 1.
        visited: (N,) bool, which rows had a step, where an epoch does not have all of them.
    """

    monitor: Monitor
    epoch: int = 0
    generation: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)
    probe_labels: list[Tensor] = field(default_factory=list)
    probe_epochs: list[int] = field(default_factory=list)
    visited: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        return kept | {"history": json.dumps(self.history), "monitor": self.monitor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.history = json.loads(state["history"])
        self.monitor.load_state_dict(state["monitor"])
