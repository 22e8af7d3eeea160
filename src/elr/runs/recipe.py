"""An experiment in plain values, and what a run may change in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from elr.data.pictures.decoding import Geometry
from elr.data.preprocessing import Augmentation
from elr.datasets.base import TEST
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.targets.choice import check_choice
from elr.targets.config import DENSE_PLACEMENT
from elr.training.config import TrainingConfig


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

    Example:
        >>> from elr.methods.elr import ELRConfig
        >>> recipe = Recipe(
        ...     name="mine", source="table 1 of mine", noise=("symmetric", 0.4), network="resnet18", method=ELRConfig(),
        ...     training=TrainingConfig(epochs=60), augmentation=Augmentation(crop=True))
        >>> recipe.data, recipe.test_part, recipe.method.lam
        ('cifar10', 'test', 3.0)
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
        targets: where the targets are kept, see `elr.runs.fit_config.FitConfig`; by default in memory as float32, which
            is what the published settings are.
        targets_dtype: see there.

    Raises:
        ArgumentError: fewer than two examples, or no such store of targets.

    Example:
        >>> from elr.runs.recipes import RECIPES
        >>> recipe = RECIPES["cifar10-sym40-elr"]
        >>> shorter = Changes(seed=1, epochs=60).apply(recipe)
        >>> recipe.training.milestones, shorter.training.milestones, shorter.training.seed
        ((40, 80), (40,), 1)
    """

    seed: int = 0
    epochs: int | None = None
    num_examples: int | None = None
    holdout: float | None = None
    precision: str | None = None
    device: str | None = None
    cuda_graphs: bool | None = None
    targets: str | None = None
    targets_dtype: str | None = None

    def __post_init__(self) -> None:
        check_choice(self.targets or DENSE_PLACEMENT, self.targets_dtype)
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
