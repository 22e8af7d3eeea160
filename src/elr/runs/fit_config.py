"""What `elr fit` is asked for, and its defaults: which settings suit which data, chosen on noisy held-out labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elr.checking import check_types
from elr.data.examples import Examples
from elr.data.preprocessing import Augmentation
from elr.devices import memory_to_use
from elr.errors import ArgumentError
from elr.methods.catalog import check_settings, method_for_run, method_named
from elr.methods.config import MethodConfig
from elr.methods.elr import ELRConfig
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.ensemble.grid import (
    HIDDEN,
    LEAST_ROWS,
    MEMBERS,
    Choosable,
    affordable,
    default_grid,
    kept_epochs,
    linear_rate,
    loop_settings,
    room_remarks,
)
from elr.networks.spec import NetworkSpec
from elr.runs.plan import Plan, network_for
from elr.targets.choice import AUTO, check_choice
from elr.training.config import TrainingConfig
from elr.training.engine import on_all_ranks

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData

AUGMENTATIONS = ("auto", "crop", "none")
_OWN_FIELDS = {"lam", "beta", "align"}  # settings of a method that have a field of their own

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
        settings: of the method, by name, as its `MethodConfig` has them, such as {"q": 0.5}. lam, beta and align may
            stand here as well as below.
        lam: weight of the regularizer. Default: of an ensemble, chosen among 0, 1, 3 and 7 (`members`); of a single
            network 3, the paper's for CIFAR-10 and Clothing1M.
        beta: momentum of the targets. Default 0.7 (the paper's for CIFAR-10 and Clothing1M).
        align: whether the regularizer sees aligned targets, for "elr" and "elr_plus"; the paper does not.
        members: networks side by side, each blind to its share of the rows, which predict together and judge the labels
            that they never saw; settings that are left open are chosen by the given labels of such rows
            (`elr.methods.ensemble`). Default: 5 for "elr" on tables, text, embeddings, arrays and features of a frozen
            backbone, of at least 50 rows; else 1, a single network that sees all rows.
        dropout: of perceptrons. Default: of an ensemble, chosen between 0 and 0.5; of a single network none.
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
        targets: where the targets are kept: a placement of `elr.targets.config.TargetsConfig`, or "auto": in memory
            where they take at most half of it, else spread over the processes, or in a file of the run
            (`elr.targets.choice.chosen_targets`).
        targets_dtype: of what is kept: "float32", "bfloat16", "float16" or "float64". Default: by the placement.
        seed: of weights, order, augmentation.
        max_memory: bytes of a machine's memory that may be used, by all of its processes together: images beyond a
            third of it are streamed from disk, targets beyond a half are kept elsewhere, files of tables and arrays
            that need more are refused. Default: what is free.

    Raises:
        ArgumentError: an unknown method, augmentation or setting, or one that is given twice; other values are checked
            where they are used.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> prepared = prepare_data((np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3), ReadOptions())
        >>> plan = FitConfig(lam=5.0).plan(prepared)
        >>> plan.method.described(), plan.network.name, plan.training.epochs, plan.training.batch_size
        ({'name': 'elr', 'lam': 5.0, 'beta': 0.7, 'align': True}, 'mlp', 100, 30)

    Source: docs/benchmarks/defaults.md says how the defaults were chosen, on noisy validation labels.
    """

    method: str = "elr"
    settings: Mapping[str, Any] = field(default_factory=dict)
    lam: float | None = None
    beta: float | None = None
    align: bool = True
    members: int | None = None
    dropout: float | None = None
    network: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    augment: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    targets: str = AUTO
    targets_dtype: str | None = None
    seed: int = 0
    max_memory: int | None = None

    def __post_init__(self) -> None:
        check_types(self, *(each for each in vars(self) if each != "members"))  # whose number depends on the rows
        method_named(self.method)
        check_settings(self.method, self.settings)
        self._take_out()
        memory_to_use(self.max_memory)  # refuses what is no size
        check_choice(self.targets, self.targets_dtype)
        if self.augment not in AUGMENTATIONS:
            raise ArgumentError(f"augment is {self.augment!r}: expected one of {', '.join(AUGMENTATIONS)}")

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them: what was asked for."""
        return asdict(self)

    def _take_out(self) -> None:
        """Settings that have a field of their own go there."""
        for name in _OWN_FIELDS & self.settings.keys():
            value, there = self.settings[name], getattr(self, name)
            default = True if name == "align" else None
            if there not in (default, value):
                raise ArgumentError(
                    f"{name} is given twice, as {there!r} and in the settings as {value!r}: expected one"
                )
            object.__setattr__(self, name, value)
        check_types(self, *_OWN_FIELDS)
        rest = {name: value for name, value in self.settings.items() if name not in _OWN_FIELDS}
        for name, value in rest.items():
            if hasattr(value, "tolist"):  # an array, such as a transition matrix: run.json has lists
                rest[name] = value.tolist()
        object.__setattr__(self, "settings", rest)

    def _asked(self) -> dict[str, Any]:
        """The settings of the method that someone asked for."""
        own = {"lam": self.lam, "beta": self.beta}
        return {name: value for name, value in own.items() if value is not None} | dict(self.settings)

    def plan(self, prepared: PreparedData) -> Plan:
        """The same with every choice made for some data.

        Raises:
            ArgumentError: values out of range, or a network that does not take such data.
        """
        return on_all_ranks(self.device, lambda: self._plan(prepared)).with_targets(
            prepared, targets=self.targets, dtype=self.targets_dtype, device=self.device, max_memory=self.max_memory
        )

    def _plan(self, prepared: PreparedData) -> Plan:
        network = network_for(prepared, self.network)
        if self.dropout is not None:
            network = replace(network, dropout=self.dropout)
        members = self.members_for(prepared, network)
        if members > 1:
            return self._ensemble(prepared, network, members)
        augmented = network.takes_images and self.augment != "none"
        kind = loop_kind(network, prepared.examples)
        training = self.loop(prepared.examples, kind=kind)
        rate = prepared.preprocessing.feature_rate(int(prepared.examples.inputs.shape[1]))
        if network.name == "linear" and network.columns is not None:  # of terms, which need another loop
            settings = loop_settings(len(prepared.examples), alike=True)
            training = self._chosen(settings | {"learning_rate": linear_rate(alike=True, sparse=True)})
        elif self.learning_rate is None and rate and not network.takes_images:
            training = replace(training, learning_rate=rate)
        flip, fast = augmented and self.augment != "crop", kind == FAST
        method = self._method(training, len(prepared.examples), fast=fast)
        asked, training = training.epochs, training.in_generations(method.generations)
        parts = f"{self.method!r} trains in {method.generations} generations of equal length"
        remarks = [f"{training.epochs} epochs are trained in place of {asked}: {parts}"] * (training.epochs != asked)
        return Plan(
            method=method,
            network=network,
            training=training,
            augmentation=Augmentation(crop=augmented, flip=flip, mirror=flip and fast),
            whiten=fast,
            remarks=remarks,
        )

    def _method(self, training: TrainingConfig, num_examples: int, *, fast: bool) -> MethodConfig:
        """The settings of the method for such a run."""
        return method_for_run(
            self.method,
            self._asked(),
            steps=training.epochs * math.ceil(num_examples / training.batch_size),
            epochs=training.epochs,
            fast=fast,
            where_known={"align": self.align},
        )

    def members_for(self, prepared: PreparedData, network: NetworkSpec) -> int:
        """How many networks are trained side by side.

        Raises:
            ArgumentError: a number out of range, or a method that has no members.
        """
        count = len(prepared.examples)
        if self.members is None:
            vectors = self.method == ELRConfig.name and not self.settings and not network.takes_images
            return MEMBERS if vectors and count >= LEAST_ROWS else 1
        if type(self.members) is not int or not 1 <= self.members <= count:
            raise ArgumentError(
                f"members is {self.members!r} for {count} rows: expected at least 1, and at most one for each row; 1 "
                "is a single network, 5 the default for tables, text and features"
            )
        if self.members > 1 and self.method != ELRConfig.name:
            raise ArgumentError(
                f"members is {self.members} and the method {self.method!r}: only 'elr' has members; leave one of them "
                "out"
            )
        if self.members > 1 and self.settings:
            raise ArgumentError(
                f"members is {self.members}, and networks side by side have no {', '.join(self.settings)}: leave that "
                "out, or train a single network (members=1)"
            )
        return self.members

    def _ensemble(self, prepared: PreparedData, network: NetworkSpec, members: int) -> Plan:
        """The plan for networks side by side, which choose among the settings that are left open."""
        examples, preprocessing = prepared.examples, prepared.preprocessing
        alike = preprocessing.feature_rate(int(examples.inputs.shape[1])) is not None
        networks = _networks(network, prepared, alike=alike)
        if self.network is not None:
            networks = [each for each in networks if each.network.name == self.network][:1]
        if self.learning_rate is not None:
            networks = [replace(each, learning_rate=None) for each in networks]
        grid = default_grid(networks, num_examples=len(examples), lam=self.lam, dropout=self.dropout)
        if network.takes_images:  # each costs as much as a run
            grid = grid[:1]
        many = {"num_examples": len(examples), "num_classes": preprocessing.num_classes}
        count, fewer = affordable(grid, members=members, **many)
        remarks = room_remarks(members, grid, count=count, fewer=fewer, **many)
        if fewer < 2:
            return replace(replace(self, members=1)._plan(prepared), remarks=remarks)
        if network.takes_images:
            training = self.loop(examples, kind=loop_kind(network, examples))
        else:
            training = self._chosen(loop_settings(len(examples), alike=alike))
        method = EnsembleConfig(
            settings=grid[:count],
            members=fewer,
            epochs=training.epochs,
            kept_epochs=() if self.epochs is not None else kept_epochs(training.epochs),
            beta=ELRConfig.beta if self.beta is None else self.beta,
            align=self.align,
            seed=self.seed,
        )
        augmented = network.takes_images and self.augment != "none"
        flip = augmented and self.augment != "crop"
        return Plan(
            method=method,
            network=network,
            training=training,
            augmentation=Augmentation(crop=augmented, flip=flip),
            probe_period=training.epochs,  # which networks predict is chosen at the end
            remarks=remarks,
        )

    def loop(self, examples: Examples, *, kind: str) -> TrainingConfig:
        """The settings of the training loop, with every choice made; `kind` is one of those above."""
        return self._chosen(default_loop(kind, examples, batch_size=self.batch_size))

    def _chosen(self, defaults: dict[str, Any]) -> TrainingConfig:
        """The settings of the loop: the defaults, where nothing else was asked for."""
        chosen = {name: value for name in defaults if (value := getattr(self, name, None)) is not None}
        return TrainingConfig(precision=self.precision, device=self.device, seed=self.seed, **{**defaults, **chosen})


def _networks(network: NetworkSpec, prepared: PreparedData, *, alike: bool) -> list[Choosable]:
    """What there is to choose from: a perceptron and a linear network of the same columns, and of text a linear network
    of all terms; another network alone."""
    if network.name == "linear":
        rate = linear_rate(alike=alike, sparse=network.columns is not None)
        return [Choosable(network=network, learning_rate=rate)]
    if network.name != "mlp":
        return [Choosable(network=network)]
    linear = NetworkSpec("linear", network.num_classes, num_features=network.num_features, columns=network.columns)
    terms = "terms" in prepared.preprocessing.feature_blocks
    found = [
        Choosable(network=replace(network, hidden=HIDDEN)),
        Choosable(network=linear, learning_rate=linear_rate(alike=alike), reads="dimensions" if terms else ""),
    ]
    if terms:
        rate = linear_rate(alike=alike, sparse=True)
        found.append(Choosable(network=network_for(prepared, "linear"), learning_rate=rate, reads="terms"))
    return found


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
