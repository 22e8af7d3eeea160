"""Which settings of the training loop suit which data: the defaults of `elr fit`, chosen on noisy held-out labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from elr.data.examples import Examples
from elr.networks.spec import NetworkSpec

FAST, IMAGES_LOOP, FINE_TUNED, VECTORS = "fast", "images", "fine-tuned", "vectors"
"""Kinds of loops: few epochs of the fast network, images otherwise, pretrained networks, and perceptrons."""

FAST_SETTINGS: dict[str, Any] = {
    "batch_size": 500,
    "learning_rate": 0.12,
    "weight_decay": 5e-4,
    "optimizer": "muon",
    "momentum": 0.6,
    "schedule": "triangle",
}
"""Of the fast loop and the fast recipes; the learning rate is that of such a batch."""

_LOOPS: dict[str, tuple[int, int, dict[str, Any]]] = {  # examples to see in all, epochs at most, settings
    VECTORS: (2_000_000, 100, {"batch_size": 64, "learning_rate": 0.02, "weight_decay": 5e-3}),
    FAST: (600_000, 60, FAST_SETTINGS),
    IMAGES_LOOP: (
        600_000,
        60,
        {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 2e-3, "nesterov": True, "schedule": "onecycle"},
    ),
    # Appendix G of the paper, Clothing1M, with a cosine in place of the step after five of ten epochs.
    FINE_TUNED: (0, 10, {"batch_size": 64, "learning_rate": 0.002, "weight_decay": 1e-3}),
}
_FAST_IMAGES = 40_000  # of 32 pixels, from which on the fast loop pays: 15 epochs or fewer
_FAST_STEPS = 40  # batches of an epoch below which those of the fast loop are smaller


def loop_kind(network: NetworkSpec, examples: Examples) -> str:
    """The kind of loop for a network on some data: on few images Muon memorizes what SGD does not.

    Source: docs/log/fit-defaults.md.
    """
    if network.backbone is not None:
        return FINE_TUNED
    if network.name == "fast" and len(examples) * _size(examples) >= _FAST_IMAGES:
        return FAST
    return IMAGES_LOOP if network.takes_images else VECTORS


def default_loop(kind: str, examples: Examples, *, batch_size: int | None = None) -> dict[str, Any]:
    """Settings of `elr.training.config.TrainingConfig` for some data.

    Args:
        kind: of loop.
        examples: the training set.
        batch_size: the one asked for, if any: the fast loop's learning rate goes with its root.
    """
    visits, most, settings = _LOOPS[kind]
    found = dict(settings)
    found["epochs"] = int(np.clip(visits // (len(examples) * _size(examples)), 10, most))
    if kind == FAST:
        found["batch_size"] = min(found["batch_size"], len(examples) // _FAST_STEPS)
    found["batch_size"] = batch_size or max(2, min(found["batch_size"], len(examples)))
    if kind == FAST:
        found["learning_rate"] *= (found["batch_size"] / settings["batch_size"]) ** 0.5
    return found


def _size(examples: Examples) -> float:
    """How many images of 32 pixels a side an example is worth in time; at least 1, as for all that are no images."""
    shape = tuple(examples.inputs.shape)
    return max(1.0, shape[2] * shape[3] / 1024) if len(shape) == 4 else 1.0
