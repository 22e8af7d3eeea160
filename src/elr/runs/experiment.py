"""Published experiments as recipes: one run on a published data set, fully written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from elr.data.label_coding import LabelCoding
from elr.data.prepared_data import PreparedData, prepare_records
from elr.data.records import ReadOptions, Records
from elr.datasets.as_data import HUMAN, training_data
from elr.datasets.base import TRAIN, VALIDATION
from elr.datasets.catalog import loader_for
from elr.datasets.sets.cifar import CIFAR
from elr.datasets.sets.ilsvrc12 import ILSVRC12
from elr.errors import ArgumentError, DataError
from elr.files import RUN_FILE, write_json
from elr.names import printable
from elr.networks.backbones import Backbone, load_backbone
from elr.networks.spec import NetworkSpec
from elr.runs.plan import Plan, network_for
from elr.runs.predict import predict_probs
from elr.runs.recipe import Changes, Recipe
from elr.runs.reporting import write_report
from elr.runs.run import Fitted, run_plan
from elr.runs.run_folder import alone_in
from elr.targets.config import DENSE_PLACEMENT
from elr.training.engine import is_main_process, on_all_ranks
from elr.training.progress import Progress


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
    on_plan: Callable[[Plan], None] | None = None,
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
        on_plan: called with what is decided, before anything is trained.
        on_progress: called after every batch.

    Raises:
        ArgumentError: weights or ILSVRC12 for a recipe that has no use for them.
        DataError: the data are not there, or not whole.
        CheckpointError: `out` holds a run of another recipe or with other changes.
        ELRError: see `run_plan`.

    Example:
        >>> from elr.runs.recipes import RECIPES
        >>> recipe = RECIPES["cifar10-sym40-elr"]
        >>> run_recipe(recipe, data="no-such-folder", out="run")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.DataError: no such folder: no-such-folder; expected the folder of CIFAR-10...
        >>> run_recipe(recipe, data="cifar-10", out="run", weights="resnet.safetensors")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: weights are named, and recipe cifar10-sym40-elr begins with random ones...
    """
    changes = changes or Changes()
    recipe = changes.apply(recipe)
    config = {"recipe": recipe.name, **asdict(changes)}

    def ready() -> tuple[PreparedData, Records | None, Plan]:
        backbone = _backbone(recipe, weights)
        prepared = _prepared(recipe, changes, Path(data), None if labels is None else Path(labels), backbone)
        others = None if ilsvrc12 is None else _ilsvrc12(prepared, recipe, changes, Path(ilsvrc12))
        return prepared, others, plan_of(recipe, prepared)

    prepared, others, plan = on_all_ranks(recipe.training.device, ready)
    plan = _with_store(plan, prepared, changes).on_ranks()
    if on_plan is not None:
        on_plan(plan)
    fitted = run_plan(
        prepared,
        plan,
        config=config,
        out=Path(out),
        command=command,
        resume=True,
        on_progress=on_progress,
    )
    if is_main_process():
        with alone_in(fitted.out, wait=True):
            if others is not None:
                fitted = _measured_on(fitted, others, name="ilsvrc12")
            write_report(prepared, fitted)
    return fitted


def plan_of(recipe: Recipe, prepared: PreparedData) -> Plan:
    """The plan of a recipe, for a network of the data's shape, and batches no larger than the data.

    Example:
        >>> from elr.datasets.as_data import load_digits
        >>> from elr.methods.elr import ELRConfig
        >>> from elr.data.preprocessing import Augmentation
        >>> from elr.training.config import TrainingConfig
        >>> settings = {"method": ELRConfig(), "training": TrainingConfig(batch_size=2000), "noise": None}
        >>> recipe = Recipe(name="mine", source="mine", network="linear", augmentation=Augmentation(), **settings)
        >>> train, test = load_digits()
        >>> plan = plan_of(recipe, prepare_records(train, test, options=ReadOptions(), source="digits"))
        >>> plan.training.batch_size, plan.network.num_features, plan.network.num_classes
        (1437, 64, 10)
    """
    if recipe.backbone is not None:
        network = NetworkSpec(recipe.network, prepared.preprocessing.num_classes, backbone=recipe.backbone)
    else:
        network = network_for(prepared, recipe.network, widths=recipe.widths)
    return Plan(
        method=recipe.method,
        network=network,
        training=replace(recipe.training, batch_size=min(recipe.training.batch_size, len(prepared.examples))),
        augmentation=recipe.augmentation,
        whiten=recipe.whiten,
        probe_period=recipe.probe_period,
    )


def _with_store(plan: Plan, prepared: PreparedData, changes: Changes) -> Plan:
    """The same with the store of targets that was asked for."""
    if not (changes.targets or changes.targets_dtype):
        return plan
    store, device = changes.targets or DENSE_PLACEMENT, plan.training.device
    return plan.with_targets(prepared, targets=store, dtype=changes.targets_dtype, device=device)


def _backbone(recipe: Recipe, weights: str | Path | None) -> Backbone | None:
    if recipe.pretrained and recipe.backbone is not None:
        return load_backbone(recipe.backbone, weights=weights)
    if weights is not None:
        raise ArgumentError(f"weights are named, and recipe {recipe.name} begins with random ones: leave them out")
    return None


def _prepared(
    recipe: Recipe, changes: Changes, data: Path, labels: Path | None, backbone: Backbone | None
) -> PreparedData:
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
