"""The switches of ELR and ELR+: their names, and which of them belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from elr.errors import ArgumentError

SWITCHES = (
    "lam",
    "beta",
    "clamp",
    "target_from",
    "ensembling",
    "gamma",
    "gamma_ramp",
    "lam_ramp",
    "mixup",
    "hold",
    "posterior",
    "relabel",
    "snapshots",
    "refine_labels",
    "predict_with",
)


def check_switches(switches: Mapping[str, Any], *, peer: bool) -> None:
    """Refuse what `elr.methods.elr.ELR` promises to refuse, but for lam and beta.

    Args:
        switches: a value for each of `SWITCHES`.
        peer: whether there is a second network.

    Raises:
        ArgumentError: a setting out of range, or settings that do not belong together.

    Example:
        >>> from torch import nn
        >>> from elr.methods.elr import ELR
        >>> ELR(nn.Linear(2, 3), num_examples=8, num_classes=3, gamma=1.0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: gamma is 1.0: expected a decay in [0, 1); the paper has 0.997 and 0.9999, 0 is none
    """
    _check_ranges(switches)
    own, table = switches["target_from"] == "own", switches["ensembling"]
    refused = {
        'target_from is "peer", but there is one network only: pass peer=, or take "own"': not peer and not own,
        'predict_with is "averaged", but gamma is 0: set gamma, or take "networks"': (
            switches["predict_with"] == "averaged" and not switches["gamma"]
        ),
        "hold keeps targets for a while, and without ensembling there are none to keep: leave one of them out": (
            switches["hold"] and not table
        ),
        "posterior sets the targets anew, and without ensembling there are none: leave one of them out": (
            switches["posterior"] and not table
        ),
        "relabel learns held targets in place of labels, and hold is 0: set hold, or leave relabel out": (
            switches["relabel"] and not switches["hold"]
        ),
        "without ensembling and averaging, a network's own targets would be its present outputs: expected ensembling, "
        'gamma > 0, or target_from="peer"': not table and not switches["gamma"] and own,
    }
    for message, holds in refused.items():
        if holds:
            raise ArgumentError(message)


def _check_ranges(switches: Mapping[str, Any]) -> None:
    count = switches["snapshots"]
    expected = {
        "clamp": (0.0 <= switches["clamp"] < 0.5, "a probability in [0, 0.5); the authors have 1e-4, 0 is none"),
        "gamma": (0.0 <= switches["gamma"] < 1.0, "a decay in [0, 1); the paper has 0.997 and 0.9999, 0 is none"),
        "mixup": (0.0 <= switches["mixup"] < math.inf, "0 (none) or mixup's alpha > 0; the paper has 1"),
        "gamma_ramp": (switches["gamma_ramp"] >= 0, "a number of steps >= 0; the paper has 40,000"),
        "lam_ramp": (switches["lam_ramp"] >= 0, "a number of steps >= 0; the paper has 40,000"),
        "hold": (0.0 <= switches["hold"] <= 1.0, "a share of a generation in [0, 1]"),
        "snapshots": (type(count) is int and count >= 0, "a number of generations >= 0"),
        "target_from": (switches["target_from"] in ("own", "peer"), '"own" or "peer"'),
        "predict_with": (switches["predict_with"] in ("networks", "averaged"), '"networks" or "averaged"'),
    }
    for name, (holds, what) in expected.items():
        if not holds:
            raise ArgumentError(f"{name} is {switches[name]!r}: expected {what}")
