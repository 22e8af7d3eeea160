"""Published experiments as recipes: one run on a published data set, fully written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from elr.data import Label, LabelCoding
from elr.datasets import CIFAR10_CLASSES, HUMAN, human_labels, load_cifar10
from elr.devices import is_main_process
from elr.errors import ArgumentError
from elr.page import write_report
from elr.plan import Augmentation, MethodConfig, Plan, network_for
from elr.raw import RawData, ReadOptions
from elr.runs import Fitted, run_task
from elr.settings import TrainingConfig
from elr.tasks import Task, make_task
from elr.training import Progress

CROSS_ENTROPY = MethodConfig(name="cross_entropy")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment in plain values: data, noise, network, method, loop.

    Args:
        name: what `elr run` calls it.
        source: where its settings are from, and which published number it stands beside.
        noise: (name in `elr.noise.NOISES`, rate); ("human", label set) for CIFAR-10N; None for the labels as they are.
        network: a name in `elr.networks.NETWORKS`.
        method: what a training step is.
        training: the loop.
        augmentation: of the images.
        widths: of the fast network, if not its default.
        whiten: see `elr.plan.Plan`.
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

    def plan(self, task: Task) -> Plan:
        """The same for a network of the data's shape, and batches no larger than the data."""
        return Plan(
            method=self.method,
            network=network_for(task, self.network, widths=self.widths),
            training=replace(self.training, batch_size=min(self.training.batch_size, len(task.examples))),
            augmentation=self.augmentation,
            whiten=self.whiten,
            probe_period=self.probe_period,
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a run changes in its recipe; None leaves it as it is.

    Args:
        seed: of noise, split, weights, order and augmentation.
        epochs: passes over the data; milestones outside them fall away, and generations that do not divide them.
        num_examples: take the first so many training rows only, and as many test rows, to try a recipe.
        holdout: see `Recipe`.
        precision: see `TrainingConfig`.
        device: see `TrainingConfig`.

    Raises:
        ArgumentError: fewer than two examples.
    """

    seed: int = 0
    epochs: int | None = None
    num_examples: int | None = None
    holdout: float | None = None
    precision: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.num_examples is not None and self.num_examples < 2:
            raise ArgumentError(f"num_examples is {self.num_examples}: expected at least 2")

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with these changes."""
        asked = {"epochs": self.epochs, "precision": self.precision, "device": self.device}
        changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        epochs = changed.get("epochs", recipe.training.epochs)
        generations, method = recipe.training.generations, recipe.method
        if epochs % generations:
            generations, method = 1, replace(method, hold=0.0, snapshots=0, posterior=False)
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
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Run a recipe, or go on with it where `out` holds a part of it; a finished one is given back.

    Args:
        recipe: one of `elr.recipes.RECIPES`, or your own.
        data: where CIFAR-10 lies; see `elr.datasets.load_cifar10`.
        out: folder of the run.
        changes: seed, length and the like.
        labels: CIFAR-10N's file of human labels; default: CIFAR-10_human.pt beside the images.
        command: the command that repeats the run.
        on_progress: called after every batch.

    Raises:
        DataError: the data are not there, or not whole.
        CheckpointError: `out` holds a run of another recipe or with other changes.
        ELRError: see `run_task`.
    """
    changes = changes or Changes()
    recipe = changes.apply(recipe)
    task = _task(recipe, changes, Path(data), None if labels is None else Path(labels))
    config = {"recipe": recipe.name, **asdict(changes)}
    fitted = run_task(
        task,
        recipe.plan(task),
        config=config,
        out=Path(out),
        command=command,
        resume=True,
        on_progress=on_progress,
    )
    if is_main_process():
        write_report(task, fitted)
    return fitted


def _task(recipe: Recipe, changes: Changes, data: Path, labels: Path | None) -> Task:
    train, test = load_cifar10(data)
    noise = recipe.noise
    if noise is not None and noise[0] == HUMAN:
        train = replace(train, clean_labels=train.labels, labels=human_labels(labels or data, str(noise[1]), train))
    if changes.num_examples is not None:
        train, test = train.head(changes.num_examples), test.head(changes.num_examples)
    train, test = _named(train), _named(test)
    artificial = None if noise is None or noise[0] == HUMAN else (noise[0], float(noise[1]))
    return make_task(
        train,
        test,
        options=ReadOptions(),  # what is predicted later needs no labels
        source=str(data) if artificial or noise is None else f"{data}, {noise[1]}",
        test_source=str(data),
        noise=artificial,
        seed=changes.seed,
        holdout=recipe.holdout,
        coding=LabelCoding(class_names=CIFAR10_CLASSES),
    )


def _named(raw: RawData) -> RawData:
    """The same with the names of the classes for their numbers."""

    def names(labels: list[Label] | None) -> list[Label] | None:
        return None if labels is None else [CIFAR10_CLASSES[int(label)] for label in labels]

    return replace(raw, labels=names(raw.labels), clean_labels=names(raw.clean_labels))
