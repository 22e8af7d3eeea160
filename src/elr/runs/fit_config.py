"""What `elr fit` is asked for, and its defaults: which settings suit which data, chosen on noisy held-out labels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elr.data.examples import Examples
from elr.data.preprocessing import Augmentation
from elr.errors import ArgumentError
from elr.methods.catalog import method_named
from elr.methods.elr import ELRConfig
from elr.networks.spec import NetworkSpec
from elr.runs.plan import Plan, network_for
from elr.training.config import TrainingConfig

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData

AUGMENTATIONS = ("auto", "crop", "none")

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


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How `fit` trains. Plain values only; None leaves a choice to the data, and run.json says what it came to.

    Args:
        method: one of `elr.methods.catalog.METHODS` (docs/methods.md): "elr"; "elr_plus": two networks, averaged
            weights and mixup, in three times the time or more; "cross_entropy" for comparison; and others.
        lam: weight of the regularizer. Default 3, the paper's for CIFAR-10 and Clothing1M.
        beta: momentum of the targets. Default 0.7 (as lam).
        network: a name in `elr.networks.spec.NETWORKS`; default "fast" for images of at least 16 pixels, "mlp"
            otherwise. From 40,000 images of 32 pixels on (10,000 of 64) "fast" is trained as in the fast CIFAR-10
            recipes: Muon, a whitened first layer, lam rising through the run, predictions over mirror images.
        epochs: default 100 for tables and features, 60 for images, fewer (at least 10) for many examples or large
            images; 10 for fine-tuning.
        batch_size: default 64 for tables and features, 128 for images, up to 500 for many of them (see network); all
            examples where there are fewer.
        learning_rate: default 0.02 for tables and features, 0.1 for images, 0.12 for many of them (times the root of a
            five hundredth of the batch); 0.005 for text, 0.003 for sentence embeddings and arrays of 256 features or
            more, 0.002 for features of a backbone and for its fine-tuning.
        weight_decay: default 5e-3 for tables and features, 2e-3 for images, 5e-4 for many of them, 1e-3 for
            fine-tuning.
        augment: for convolutional networks: "auto" (crops and mirror images), "crop" (where a mirror image may be of
            another class: letters, digits, road signs) or "none".
        precision: see `TrainingConfig`.
        device: see `TrainingConfig`.
        seed: of weights, order, augmentation.

    Raises:
        ArgumentError: an unknown method or augmentation; other values are checked where they are used.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> prepared = prepare_data((np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3), ReadOptions())
        >>> plan = FitConfig(lam=5.0).plan(prepared)
        >>> plan.method.described(), plan.network.name, plan.training.epochs, plan.training.batch_size
        ({'name': 'elr', 'lam': 5.0, 'beta': 0.7}, 'mlp', 100, 30)

    Source: docs/benchmarks/defaults.md says how the defaults were chosen, on noisy validation labels.
    """

    method: str = "elr"
    lam: float | None = None
    beta: float | None = None
    network: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    augment: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        method_named(self.method)
        if self.augment not in AUGMENTATIONS:
            raise ArgumentError(f"augment is {self.augment!r}: expected one of {', '.join(AUGMENTATIONS)}")

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them: what was asked for, and lam and beta, which no data decide on."""
        return asdict(self) | self._regularizer()

    def _regularizer(self) -> dict[str, Any]:
        return {
            "lam": ELRConfig.lam if self.lam is None else self.lam,
            "beta": ELRConfig.beta if self.beta is None else self.beta,
        }

    def plan(self, prepared: PreparedData) -> Plan:
        """The same with every choice made for some data.

        Raises:
            ArgumentError: values out of range, or a network that does not take such data.
        """
        network = network_for(prepared, self.network)
        augmented = network.takes_images and self.augment != "none"
        kind = loop_kind(network, prepared.examples)
        training = self.loop(prepared.examples, kind=kind)
        rate = prepared.preprocessing.feature_rate(int(prepared.examples.inputs.shape[1]))
        if self.learning_rate is None and rate and not network.takes_images:
            training = replace(training, learning_rate=rate)
        flip, fast = augmented and self.augment != "crop", kind == FAST
        steps = training.epochs * math.ceil(len(prepared.examples) / training.batch_size)
        return Plan(
            method=method_named(self.method).for_run(self._regularizer(), steps=steps, fast=fast),
            network=network,
            training=training,
            augmentation=Augmentation(crop=augmented, flip=flip, mirror=flip and fast),
            whiten=fast,
        )

    def loop(self, examples: Examples, *, kind: str) -> TrainingConfig:
        """The settings of the training loop, with every choice made; `kind` is one of those above."""
        defaults = default_loop(kind, examples, batch_size=self.batch_size)
        chosen = {name: value for name in defaults if (value := getattr(self, name, None)) is not None}
        return TrainingConfig(precision=self.precision, device=self.device, seed=self.seed, **{**defaults, **chosen})


def loop_kind(network: NetworkSpec, examples: Examples) -> str:
    """The kind of loop for a network on some data: on few images Muon memorizes what SGD does not.

    Example:
        >>> few, many = (Examples(np.zeros((count, 1), dtype="float32"), None) for count in (1_000, 40_000))
        >>> fast, mlp = NetworkSpec("fast", 10), NetworkSpec("mlp", 10, num_features=1)
        >>> loop_kind(fast, few), loop_kind(fast, many), loop_kind(mlp, many)
        ('images', 'fast', 'vectors')

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

    Example:
        >>> few, many = (Examples(np.zeros((count, 1), dtype="float32"), None) for count in (1_000, 100_000))
        >>> default_loop(VECTORS, few)
        {'batch_size': 64, 'learning_rate': 0.02, 'weight_decay': 0.005, 'epochs': 100}
        >>> default_loop(VECTORS, many)["epochs"]
        20
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
