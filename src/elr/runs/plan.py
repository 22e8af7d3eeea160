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
from elr.methods.cross_entropy import LossMethod
from elr.methods.elr import ELR
from elr.methods.kl_penalty import KLPenalty
from elr.methods.method import Method
from elr.networks.pretrained import load_body
from elr.networks.spec import FastConvNet, NetworkSpec
from elr.runs.defaults import FAST, default_loop, loop_kind
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.monitor import Monitor

METHODS = ("elr", "elr_plus", "cross_entropy", "kl_penalty")
_KINDS = ("elr", "cross_entropy", "kl_penalty")
AUGMENTATIONS = ("auto", "crop", "none")
PAPER_GAMMA, PAPER_RAMP = 0.997, 40_000  # appendix F and G
PEER_SEED = 2**31  # the first that no run has; of more than 32 bits, torch's generator on a processor takes the last 32
"""Added to the seed of the first network's weights for those of its peer."""
LAM, BETA = 3.0, 0.7  # the paper's for CIFAR-10 and Clothing1M
_WHITENED_IMAGES = 5000  # as the speed runs take


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """A method in plain values; see `elr.methods.elr.ELR` for each switch.

    Args:
        name: "elr"; "cross_entropy", which has no switches; or "kl_penalty" (`elr.methods.kl_penalty`), which has lam
            and beta.
        networks: 1, or 2 that supply each other's targets.
    """

    name: str = "elr"
    networks: int = 1
    lam: float = LAM
    beta: float = BETA
    clamp: float = 1e-4
    target_from: str | None = None
    ensembling: bool = True
    gamma: float = 0.0
    gamma_ramp: int = 0
    lam_ramp: int = 0
    mixup: float = 0.0
    hold: float = 0.0
    posterior: bool = False
    relabel: bool = False
    snapshots: int = 0
    refine_labels: bool = False
    predict_with: str = "networks"

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise ArgumentError(f"method is {self.name!r}: expected one of {', '.join(_KINDS)}")
        if self.networks not in (1, 2) or (self.networks == 2 and self.name != "elr"):
            raise ArgumentError(f"{self.name!r} has {self.networks!r} networks: expected 1, or 2 for elr")
        if type(self.snapshots) is not int or self.snapshots < 0 or (self.snapshots and self.name != "elr"):
            raise ArgumentError(
                f"{self.name!r} has snapshots={self.snapshots!r}: expected a number of generations, 0 or more, for elr"
            )
        for switch in ("posterior", "relabel"):
            if getattr(self, switch) and self.name != "elr":
                raise ArgumentError(f"{self.name!r} has {switch}=True: expected False, it is for elr")

    def build(self, networks: Sequence[nn.Module], *, num_examples: int, num_classes: int) -> Method:
        """The method over these networks."""
        if self.name == "cross_entropy":
            return LossMethod(networks[0])
        sizes = {"num_examples": num_examples, "num_classes": num_classes}
        if self.name == "kl_penalty":
            return KLPenalty(networks[0], lam=self.lam, beta=self.beta, **sizes)
        switches = {name: value for name, value in asdict(self).items() if name not in ("name", "networks")}
        peer = networks[1] if self.networks == 2 else None
        return ELR(networks[0], peer=peer, **sizes, **switches)

    @property
    def label(self) -> str:
        """What people call it: ELR+ is ELR with all of its ingredients."""
        plus = self.networks == 2 and self.gamma > 0 and self.mixup > 0
        return "elr_plus" if plus else self.name

    def described(self) -> dict[str, Any]:
        """What there is to say about it: the name, and the switches that are not at rest."""
        if self.name == "cross_entropy":
            return {"name": self.label}
        at_rest = asdict(MethodConfig())
        kept = ("name", "lam", "beta")
        switched = {name: value for name, value in asdict(self).items() if name in kept or value != at_rest[name]}
        return switched | {"name": self.label}


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to images, and prediction.

    Args:
        crop: whether to shift each image at random by up to an eighth of its side; images on disk are cropped at a
            random place instead.
        flip: whether to mirror half of the images.
        cutout: side in pixels of a square that is blanked in each image; 0: none.
        mirror: whether predictions are averaged over each image and its mirror image.
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
        whiten: whether the first layer of the fast network is set to whiten patches of the images, and frozen.
        probe_period: epochs between looks at the test data.
    """

    method: MethodConfig
    network: NetworkSpec
    training: TrainingConfig
    augmentation: Augmentation
    whiten: bool = False
    probe_period: int = 1

    def __post_init__(self) -> None:
        if self.probe_period < 1:
            raise ArgumentError(f"probe_period is {self.probe_period}: expected at least 1 epoch")
        if self.method.snapshots >= self.training.generations:
            raise ArgumentError(
                f"snapshots is {self.method.snapshots}, generations {self.training.generations}: expected fewer "
                "snapshots, which are of earlier generations"
            )
        if self.method.relabel and self.training.generations == 1:
            raise ArgumentError(
                "relabel is for later generations, and there is one generation: set training's generations to 2 or "
                "more, or leave relabel out"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return asdict(self) | {"network": self.network.to_json()}

    @classmethod
    def from_json(cls, run: Mapping[str, Any]) -> Plan:
        """The plan in run.json, which may hold more than that."""
        return cls(
            method=MethodConfig(**run["method"]),
            network=NetworkSpec.from_json(run["network"]),
            training=TrainingConfig(**run["training"]),
            augmentation=Augmentation(**run["augmentation"]),
            whiten=run["whiten"],
            probe_period=run["probe_period"],
        )

    def build(self, task: PreparedData, *, probe: Examples | None, folder: Path | None) -> Training:
        """The training that the plan stands for."""
        labels = task.examples.labels
        assert labels is not None, "a task always has labels"
        transform = self.augmentation.transform(
            task.preprocessing,
            flatten=not self.network.takes_images,
            on_disk=isinstance(task.examples.inputs, ImageStore),
        )
        networks = self.networks()
        if task.records.pretrained is not None and self.network.backbone is not None:
            for network in networks:
                load_body(network, task.records.pretrained)
        if self.whiten:
            _whiten(networks, transform(task.examples.fetch(torch.arange(min(len(task.examples), _WHITENED_IMAGES)))))
        return Training(
            self.method.build(networks, num_examples=len(task.examples), num_classes=task.preprocessing.num_classes),
            task.examples,
            config=self.training,
            transform=transform,
            monitor=Monitor(labels.numpy(), clean_labels=task.clean_labels),
            probe=probe,
            probe_period=self.probe_period,
            folder=folder,
        )

    def predictors(self) -> list[nn.Module]:
        """As many networks as predict at the end of the run, to load their weights into."""
        count = self.method.networks * (1 + self.method.snapshots)
        return [self.network.build(generator_seed=0) for _ in range(count)]

    def networks(self) -> list[nn.Module]:
        """The networks with their first weights."""
        seeds = (self.training.seed, self.training.seed + PEER_SEED)
        return [self.network.build(generator_seed=seed) for seed in seeds[: self.method.networks]]


def _whiten(networks: Sequence[nn.Module], images: Tensor) -> None:
    for network in networks:
        if not isinstance(network, FastConvNet):
            raise ArgumentError(f"whiten is set for a {type(network).__name__}: only the fast network has such a layer")
        FastConvNet.whiten(network, images)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How `fit` trains. Plain values only; None leaves a choice to the data, and run.json says what it came to.

    Args:
        method: "elr"; "elr_plus": two networks, averaged weights and mixup, in three times the time or more; or
            "cross_entropy" for comparison; or "kl_penalty", to see it fail (the paper's appendix C).
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

    Source: docs/benchmarks.md says how the defaults were chosen, on noisy validation labels.
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
        if self.method not in METHODS:
            raise ArgumentError(f"method is {self.method!r}: expected one of {', '.join(METHODS)}")
        if self.augment not in AUGMENTATIONS:
            raise ArgumentError(f"augment is {self.augment!r}: expected one of {', '.join(AUGMENTATIONS)}")

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them: what was asked for, and lam and beta, which no data decide on."""
        return asdict(self) | self._regularizer()

    def _regularizer(self) -> dict[str, Any]:
        return {"lam": LAM if self.lam is None else self.lam, "beta": BETA if self.beta is None else self.beta}

    def plan(self, task: PreparedData) -> Plan:
        """The same with every choice made for some data.

        Raises:
            ArgumentError: values out of range, or a network that does not take such data.
        """
        network = network_for(task, self.network)
        augmented = network.takes_images and self.augment != "none"
        kind = loop_kind(network, task.examples)
        training = self.loop(task.examples, kind=kind)
        rate = task.preprocessing.feature_rate(int(task.examples.inputs.shape[1]))
        if self.learning_rate is None and rate and not network.takes_images:
            training = replace(training, learning_rate=rate)
        flip, fast = augmented and self.augment != "crop", kind == FAST
        return Plan(
            method=self._method(training.epochs * math.ceil(len(task.examples) / training.batch_size), fast=fast),
            network=network,
            training=training,
            augmentation=Augmentation(crop=augmented, flip=flip, mirror=flip and fast),
            whiten=fast,
        )

    def _method(self, steps: int, *, fast: bool) -> MethodConfig:
        """The method for a run of so many steps; ELR+ as published, its ramp at most half of the run.

        In the fast loop lam rises through the run, as in the first generation of the CIFAR-10 recipe.
        """
        if self.method == "cross_entropy":
            return MethodConfig(name=self.method)
        if self.method == "kl_penalty":
            return MethodConfig(name=self.method, **self._regularizer())
        elr = MethodConfig(**self._regularizer())
        if self.method == "elr":
            return replace(elr, lam_ramp=steps) if fast else elr
        return replace(elr, networks=2, gamma=PAPER_GAMMA, gamma_ramp=min(PAPER_RAMP, steps // 2), mixup=1.0)

    def loop(self, examples: Examples, *, kind: str) -> TrainingConfig:
        """The settings of the training loop, with every choice made; `kind` is one of those in `elr.runs.defaults`."""
        defaults = default_loop(kind, examples, batch_size=self.batch_size)
        chosen = {name: value for name in defaults if (value := getattr(self, name, None)) is not None}
        return TrainingConfig(precision=self.precision, device=self.device, seed=self.seed, **{**defaults, **chosen})


def network_for(task: PreparedData, name: str | None = None, *, widths: tuple[int, ...] | None = None) -> NetworkSpec:
    """A network for the data of a task.

    Args:
        task: the data.
        name: in `elr.networks.spec.NETWORKS`. Default: "fast" for images of at least 16 pixels, "mlp" otherwise.
        widths: of the fast network, if not its default.

    Raises:
        ArgumentError: no such network, or one for images and data of another kind.
    """
    images = task.preprocessing.takes_images
    if images and task.records.pretrained is not None:
        if name is not None:
            raise ArgumentError(f"network is {name!r} and a backbone is to be fine-tuned: leave one of them out")
        return NetworkSpec("timm", task.preprocessing.num_classes, backbone=task.records.pretrained.name)
    shape = tuple(task.examples.inputs.shape[1:])
    name = name or ("fast" if images and min(shape[1:]) >= SMALLEST else "mlp")
    takes_images = NetworkSpec(name, 2, num_features=None if name not in ("linear", "mlp") else 1).takes_images
    if takes_images and not images:
        found = task.preprocessing.learns_from
        raise ArgumentError(f"network {name!r} takes images, the data are {found}: use mlp or linear")
    return NetworkSpec(
        name,
        task.preprocessing.num_classes,
        in_channels=shape[0] if takes_images else None,
        num_features=None if takes_images else int(np.prod(shape)),
        widths=widths,
    )
