"""Published experiments as recipes: one run on a published data set, fully written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from elr.data.decoding import Geometry
from elr.data.labels import LabelCoding
from elr.data.prepared import PreparedData, prepare_records
from elr.data.records import ReadOptions, Records
from elr.datasets.as_data import HUMAN, training_data
from elr.datasets.base import TEST, TRAIN, VALIDATION
from elr.datasets.catalog import loader_for
from elr.datasets.sets.cifar import CIFAR
from elr.datasets.sets.ilsvrc12 import ILSVRC12
from elr.errors import ArgumentError, DataError
from elr.files import RUN_FILE, printable, write_json
from elr.methods.method import MethodConfig
from elr.networks.backbones import Backbone, load_backbone
from elr.networks.spec import NetworkSpec
from elr.runs.plan import Augmentation, Plan, network_for
from elr.runs.predict import predict_probs
from elr.runs.reporting import write_report
from elr.runs.run import Fitted, run_plan
from elr.training.config import TrainingConfig
from elr.training.engine import is_main_process
from elr.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment in plain values: data, noise, network, method, loop.

    Args:
        name: what `elr run` calls it.
        source: where its settings are from, and which published number it stands beside.
        data: a name in `elr.datasets.catalog.LOADERS`.
        noise: (name in `elr.noise.named.NOISES`, rate); ("human", label set) for CIFAR-10N and CIFAR-100N; None for the
            labels as they are.
        network: a name in `elr.networks.spec.NETWORKS`.
        backbone: name of the model of timm, for network "timm".
        pretrained: whether it begins with weights trained on other data.
        geometry: what images on disk are brought to.
        test_part: the part of the data to test on; None where it has no split.
        method: what a training step is.
        training: the loop.
        augmentation: of the images.
        widths: of the fast network, if not its default.
        whiten: see `elr.runs.plan.Plan`.
        holdout: share of the training rows kept apart, with their noisy labels.
        probe_period: epochs between looks at the test images.
    """

    name: str
    source: str
    noise: tuple[str, float | str] | None
    network: str
    method: MethodConfig
    training: TrainingConfig
    augmentation: Augmentation
    widths: tuple[int, ...] | None = None
    whiten: bool = False
    holdout: float = 0.0
    probe_period: int = 1
    data: str = "cifar10"
    backbone: str | None = None
    pretrained: bool = False
    geometry: Geometry | None = None
    test_part: str | None = TEST

    def plan(self, prepared: PreparedData) -> Plan:
        """The same for a network of the data's shape, and batches no larger than the data."""
        return Plan(
            method=self.method,
            network=self._network(prepared),
            training=replace(self.training, batch_size=min(self.training.batch_size, len(prepared.examples))),
            augmentation=self.augmentation,
            whiten=self.whiten,
            probe_period=self.probe_period,
        )

    def _network(self, prepared: PreparedData) -> NetworkSpec:
        if self.backbone is None:
            return network_for(prepared, self.network, widths=self.widths)
        return NetworkSpec(self.network, prepared.preprocessing.num_classes, backbone=self.backbone)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a run changes in its recipe; None leaves it as it is.

    Args:
        seed: of noise, split, weights, order and augmentation.
        epochs: passes over the data; milestones outside them fall away, and generations that do not divide them. In
            generations lam's ramp changes with the length of the first one.
        num_examples: take the first so many training rows only, and as many test rows, to try a recipe.
        holdout: see `Recipe`.
        precision: see `TrainingConfig`.
        device: see `TrainingConfig`.
        cuda_graphs: see `TrainingConfig`.

    Raises:
        ArgumentError: fewer than two examples.
    """

    seed: int = 0
    epochs: int | None = None
    num_examples: int | None = None
    holdout: float | None = None
    precision: str | None = None
    device: str | None = None
    cuda_graphs: bool | None = None

    def __post_init__(self) -> None:
        if self.num_examples is not None and self.num_examples < 2:
            raise ArgumentError(f"num_examples is {self.num_examples}: expected at least 2")

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with these changes."""
        asked = {name: getattr(self, name) for name in ("epochs", "precision", "device", "cuda_graphs")}
        changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        epochs = changed.get("epochs", recipe.training.epochs)
        generations, method = recipe.training.generations, recipe.method
        if epochs % generations:
            generations = 1
        if recipe.training.generations > 1:
            share = epochs // generations / recipe.training.generation_epochs
            method = method.resized(share, generations=generations)
        milestones = tuple(epoch for epoch in recipe.training.milestones if epoch < epochs // generations)
        training = replace(recipe.training, seed=self.seed, milestones=milestones, generations=generations, **changed)
        holdout = recipe.holdout if self.holdout is None else self.holdout
        return replace(recipe, method=method, training=training, holdout=holdout)


def run_recipe(
    recipe: Recipe,
    *,
    data: str | Path,
    out: str | Path,
    changes: Changes | None = None,
    labels: str | Path | None = None,
    weights: str | Path | None = None,
    ilsvrc12: str | Path | None = None,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Run a recipe, or go on with it where `out` holds a part of it; a finished one is given back.

    Args:
        recipe: one of `elr.runs.recipes.RECIPES`, or your own.
        data: the folder of its data set; see `elr.datasets.catalog`.
        out: folder of the run.
        changes: seed, length and the like.
        labels: file of human labels; default: beside the images.
        weights: file with the weights of a pretrained backbone; default: see `elr.networks.backbones.load_backbone`.
        ilsvrc12: folder of the ImageNet validation images, to test mini-WebVision's networks on as well.
        command: the command that repeats the run.
        on_progress: called after every batch.

    Raises:
        ArgumentError: weights or ILSVRC12 for a recipe that has no use for them.
        DataError: the data are not there, or not whole.
        CheckpointError: `out` holds a run of another recipe or with other changes.
        ELRError: see `run_plan`.
    """
    changes = changes or Changes()
    recipe = changes.apply(recipe)
    backbone = _backbone(recipe, weights)
    prepared = _task(recipe, changes, Path(data), None if labels is None else Path(labels), backbone)
    others = None if ilsvrc12 is None else _ilsvrc12(prepared, recipe, changes, Path(ilsvrc12))
    config = {"recipe": recipe.name, **asdict(changes)}
    fitted = run_plan(
        prepared,
        recipe.plan(prepared),
        config=config,
        out=Path(out),
        command=command,
        resume=True,
        on_progress=on_progress,
    )
    if is_main_process():
        if others is not None:
            fitted = _measured_on(fitted, others, name="ilsvrc12")
        write_report(prepared, fitted)
    return fitted


def _backbone(recipe: Recipe, weights: str | Path | None) -> Backbone | None:
    if recipe.pretrained and recipe.backbone is not None:
        return load_backbone(recipe.backbone, weights=weights)
    if weights is not None:
        raise ArgumentError(f"weights are named, and recipe {recipe.name} begins with random ones: leave them out")
    return None


def _task(recipe: Recipe, changes: Changes, data: Path, labels: Path | None, backbone: Backbone | None) -> PreparedData:
    noise = recipe.noise
    human = str(noise[1]) if noise is not None and noise[0] == HUMAN else None
    loader = loader_for(recipe.data, data)
    if human is not None and isinstance(loader, CIFAR):
        loader = CIFAR(loader.num_classes, human=human, labels=labels)
    elif labels is not None:
        raise ArgumentError(f"labels are named, and recipe {recipe.name} has no use for human labels: leave them out")
    opened = loader.open(data)
    if recipe.test_part is not None and recipe.test_part not in opened.parts:
        raise DataError(
            f"{printable(data)} has no {recipe.test_part} images to test on: it has {', '.join(opened.parts)}; "
            f"`elr data check {recipe.data}` says what is missing"
        )

    def read(part: str) -> Records:
        records = training_data(opened.parts[part], opened.class_names, geometry=recipe.geometry)
        records = replace(records, pretrained=backbone)
        return records if changes.num_examples is None else records.head(changes.num_examples)

    train, test = read(TRAIN), None if recipe.test_part is None else read(recipe.test_part)
    artificial = None if noise is None or human is not None else (noise[0], float(noise[1]))
    return prepare_records(
        replace(train, remarks=opened.remarks),
        test,
        options=ReadOptions(),  # what is predicted later needs no labels
        source=str(data) if human is None else f"{data}, {human}",
        test_source=None if test is None else str(data),
        noise=artificial,
        seed=changes.seed,
        holdout=recipe.holdout,
        coding=LabelCoding(class_names=opened.class_names),
    )


def _ilsvrc12(prepared: PreparedData, recipe: Recipe, changes: Changes, folder: Path) -> Records:
    """The ImageNet validation images of mini-WebVision's classes, by its names."""
    if recipe.data != "mini-webvision":
        raise ArgumentError(f"ILSVRC12 is named, and recipe {recipe.name} does not have its classes: leave it out")
    opened = ILSVRC12(num_classes=prepared.preprocessing.num_classes).open(folder)
    records = training_data(
        opened.parts[VALIDATION], prepared.preprocessing.coding.class_names, geometry=recipe.geometry
    )
    return records if changes.num_examples is None else records.head(changes.num_examples)


def _measured_on(fitted: Fitted, records: Records, *, name: str) -> Fitted:
    """The same with top-1 and top-5 accuracy on further data among its results, and in its folder."""
    probs, labels = predict_probs(fitted.out, records, name=name)
    found = np.argsort(-probs, axis=1, kind="stable")[:, :5] == labels[:, None]
    results = fitted.results | {
        f"{name}_accuracy_last": float(found[:, 0].mean()),
        f"{name}_top5_accuracy_last": float(found.any(axis=1).mean()),
    }
    run = fitted.run | {"results": results}
    write_json(fitted.out / RUN_FILE, run)
    return replace(fitted, results=results, run=run)
