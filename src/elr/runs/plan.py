"""How a run trains, whole and in plain values: method, network, loop, augmentation; enough to build it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elr.data.examples import Examples
from elr.data.formats.images import SMALLEST
from elr.data.image_store import ImageStore
from elr.data.prepared import PreparedData
from elr.data.preprocessing import Preprocessing
from elr.data.transforms import Transform
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json, method_named
from elr.methods.elr import ELRConfig
from elr.methods.method import MethodConfig
from elr.networks.architectures import FastConvNet
from elr.networks.backbones import load_body
from elr.networks.spec import NetworkSpec
from elr.runs.defaults import FAST, default_loop, loop_kind
from elr.targets.config import DENSE, TargetsConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.monitor import Monitor

AUGMENTATIONS = ("auto", "crop", "none")
PEER_SEED = 2**31  # the first that no run has; of more than 32 bits, torch's generator on a processor takes the last 32
"""Added to the seed of the first network's weights for those of its peer."""
_WHITENED_IMAGES = 5000  # as the speed runs take


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to images, and prediction.

    Args:
        crop: whether to shift each image at random by up to an eighth of its side; images on disk are cropped at a
            random place instead.
        flip: whether to mirror half of the images.
        cutout: side in pixels of a square that is blanked in each image; 0: none.
        mirror: whether predictions are averaged over each image and its mirror image.

    Example:
        >>> Augmentation(crop=True, flip=True)
        Augmentation(crop=True, flip=True, cutout=0, mirror=False)
    """

    crop: bool = False
    flip: bool = False
    cutout: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.cutout < 0:
            raise ArgumentError(f"cutout is {self.cutout}: expected the side of a square in pixels, or 0 for none")

    def transform(self, preprocessing: Preprocessing, *, flatten: bool, on_disk: bool = False) -> Transform:
        """From stored rows to network inputs; images on disk are larger than a crop, and cropped as they are read."""
        return preprocessing.transform(
            crop=self.crop and not on_disk,
            window=self.crop and on_disk,
            flip=self.flip,
            cutout=self.cutout,
            mirror=self.mirror,
            flatten=flatten,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that, with the data, decides how a run goes.

    Args:
        method: what a training step is.
        network: of one network.
        training: the loop.
        augmentation: of images.
        targets: where the method's targets are kept, if it has any, and how precisely.
        whiten: whether the first layer of the fast network is set to whiten patches of the images, and frozen.
        probe_period: epochs between looks at the test data.

    Example:
        >>> network = NetworkSpec("mlp", 3, num_features=5)
        >>> training = TrainingConfig(epochs=10)
        >>> plan = Plan(method=ELRConfig(), network=network, training=training, augmentation=Augmentation())
        >>> plan.to_json()["targets"], Plan.from_json(plan.to_json()) == plan
        ({'placement': 'dense', 'dtype': 'float32'}, True)
    """

    method: MethodConfig
    network: NetworkSpec
    training: TrainingConfig
    augmentation: Augmentation
    targets: TargetsConfig = DENSE
    whiten: bool = False
    probe_period: int = 1

    def __post_init__(self) -> None:
        if self.probe_period < 1:
            raise ArgumentError(f"probe_period is {self.probe_period}: expected at least 1 epoch")
        self.method.check_generations(self.training.generations)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return asdict(self) | {"method": self.method.to_json(), "network": self.network.to_json()}

    @classmethod
    def from_json(cls, run: Mapping[str, Any]) -> Plan:
        """The plan in run.json, which may hold more than that."""
        return cls(
            method=method_from_json(run["method"]),
            network=NetworkSpec.from_json(run["network"]),
            training=TrainingConfig(**run["training"]),
            augmentation=Augmentation(**run["augmentation"]),
            targets=TargetsConfig(**run["targets"]),
            whiten=run["whiten"],
            probe_period=run["probe_period"],
        )

    def build(self, prepared: PreparedData, *, probe: Examples | None, folder: Path | None) -> Training:
        """The training that the plan stands for."""
        labels = prepared.examples.labels
        assert labels is not None, "prepared data always have labels"
        transform = self.augmentation.transform(
            prepared.preprocessing,
            flatten=not self.network.takes_images,
            on_disk=isinstance(prepared.examples.inputs, ImageStore),
        )
        networks = self.networks()
        if prepared.records.pretrained is not None and self.network.backbone is not None:
            for network in networks:
                load_body(network, prepared.records.pretrained)
        if self.whiten:
            _whiten(
                networks,
                transform(prepared.examples.fetch(torch.arange(min(len(prepared.examples), _WHITENED_IMAGES)))),
            )
        method = self.method.build(
            networks,
            num_examples=len(prepared.examples),
            num_classes=prepared.preprocessing.num_classes,
            targets=self.targets,
        )
        return Training(
            method,
            prepared.examples,
            config=self.training,
            transform=transform,
            monitor=Monitor(labels.numpy(), clean_labels=prepared.clean_labels),
            probe=probe,
            probe_period=self.probe_period,
            folder=folder,
        )

    def predictors(self) -> list[nn.Module]:
        """As many networks as predict at the end of the run, to load their weights into."""
        return [self.network.build(generator_seed=0) for _ in range(self.method.num_predictors)]

    def networks(self) -> list[nn.Module]:
        """The networks with their first weights."""
        seeds = (self.training.seed, self.training.seed + PEER_SEED)
        return [self.network.build(generator_seed=seed) for seed in seeds[: self.method.num_networks]]


def _whiten(networks: Sequence[nn.Module], images: Tensor) -> None:
    for network in networks:
        if not isinstance(network, FastConvNet):
            raise ArgumentError(f"whiten is set for a {type(network).__name__}: only the fast network has such a layer")
        FastConvNet.whiten(network, images)


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
        >>> from elr.data.prepared import prepare_data
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
        """The settings of the training loop, with every choice made; `kind` is one of those in `elr.runs.defaults`."""
        defaults = default_loop(kind, examples, batch_size=self.batch_size)
        chosen = {name: value for name in defaults if (value := getattr(self, name, None)) is not None}
        return TrainingConfig(precision=self.precision, device=self.device, seed=self.seed, **{**defaults, **chosen})


def network_for(
    prepared: PreparedData, name: str | None = None, *, widths: tuple[int, ...] | None = None
) -> NetworkSpec:
    """A network for prepared data.

    Args:
        prepared: the data.
        name: in `elr.networks.spec.NETWORKS`. Default: "fast" for images of at least 16 pixels, "mlp" otherwise.
        widths: of the fast network, if not its default.

    Raises:
        ArgumentError: no such network, or one for images and data of another kind.
    """
    images = prepared.preprocessing.takes_images
    if images and prepared.records.pretrained is not None:
        if name is not None:
            raise ArgumentError(f"network is {name!r} and a backbone is to be fine-tuned: leave one of them out")
        return NetworkSpec("timm", prepared.preprocessing.num_classes, backbone=prepared.records.pretrained.name)
    shape = tuple(prepared.examples.inputs.shape[1:])
    name = name or ("fast" if images and min(shape[1:]) >= SMALLEST else "mlp")
    takes_images = NetworkSpec(name, 2, num_features=None if name not in ("linear", "mlp") else 1).takes_images
    if takes_images and not images:
        found = prepared.preprocessing.learns_from
        raise ArgumentError(f"network {name!r} takes images, the data are {found}: use mlp or linear")
    return NetworkSpec(
        name,
        prepared.preprocessing.num_classes,
        in_channels=shape[0] if takes_images else None,
        num_features=None if takes_images else int(np.prod(shape)),
        widths=widths,
    )
