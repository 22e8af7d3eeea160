"""What the figures have in common: runs on scikit-learn's handwritten digits with wrong labels, in seconds each."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from elr.data.prepared_data import prepare_records
from elr.data.records import ReadOptions
from elr.datasets.as_data import load_digits
from elr.methods.config import MethodConfig
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.method import Method
from elr.runs.fit_config import FitConfig
from elr.training.loop import Training
from elr.training.progress import Progress

CROSS_ENTROPY = CrossEntropyConfig()


def arguments(description: str | None, *, epochs: int = 100, seeds: int = 1, **more: Any) -> argparse.Namespace:
    """--out, --epochs, --seeds of a script, and more options by name and default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="figure.png", help=".png, .svg or .pdf")
    for name, default in {"epochs": epochs, "seeds": seeds, **more}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: its history, the trained method, accuracy on the 360 test scans (right labels) and its data."""

    history: list[dict[str, Any]]
    method: Method
    test_accuracy: float
    labels: torch.Tensor
    clean_labels: torch.Tensor
    inputs: torch.Tensor

    def last(self, key: str) -> float:
        """A measure of the last epoch."""
        return float(self.history[-1][key])


def train(
    method: MethodConfig,
    *,
    noise_rate: float = 0.4,
    seed: int = 0,
    epochs: int = 100,
    classes: tuple[int, ...] | None = None,
    on_epoch: Callable[[Training], None] | None = None,
) -> Run:
    """Train the perceptron of `elr fit` on 1,437 scans with symmetric label noise; everything else is its default.

    Args:
        method: what to train, in plain values.
        noise_rate: share of labels that are replaced by another class.
        seed: of noise, weights and order.
        epochs: how many.
        classes: only these digits.
        on_epoch: called as on_epoch(training) after each epoch.
    """
    raw, trusted = load_digits(noise_rate=0.0, seed=seed)
    raw = replace(raw, clean_labels=None)  # all right as yet; prepare_records corrupts them
    if classes:
        raw, trusted = (each.take(np.flatnonzero(np.isin(each.labels, classes))) for each in (raw, trusted))
    noise = ("symmetric", noise_rate) if noise_rate else None
    prepared = prepare_records(raw, trusted, options=ReadOptions(), source="digits", noise=noise, seed=seed)
    plan = FitConfig(members=1, seed=seed, epochs=epochs).plan(prepared)
    training = replace(plan, method=method, probe_period=epochs).build(prepared, probe=prepared.test, folder=None)
    seen = 0

    def show(progress: Progress) -> None:
        nonlocal seen
        if on_epoch and progress.epoch > seen:
            seen = progress.epoch
            on_epoch(training)

    training.run(on_progress=show)
    clean = prepared.clean_labels if prepared.clean_labels is not None else prepared.examples.labels.numpy()
    return Run(
        history=training.history,
        method=training.method,
        test_accuracy=float((training.probe_labels[-1] == prepared.test.labels).double().mean()),
        labels=prepared.examples.labels,
        clean_labels=torch.as_tensor(clean),
        inputs=torch.cat([inputs for _, inputs in training.plain_inputs.inputs(prepared.examples)]),
    )
