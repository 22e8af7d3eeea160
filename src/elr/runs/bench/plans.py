"""How a cell trains: the plan of `elr fit` or of a recipe, with the cell's method and what it needs of the noise."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from elr.errors import ArgumentError
from elr.methods.catalog import check_settings, method_for_run, method_named
from elr.methods.config import NOISE_RATE, QUANTITIES, TRANSITION
from elr.noise.transitions import count_transitions, transition_matrix
from elr.runs.bench.cell import Cell
from elr.runs.bench.sources.loaded import noise_rate
from elr.targets.choice import check_choice
from elr.targets.config import DENSE_PLACEMENT
from elr.training.config import TrainingConfig

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData
    from elr.runs.fit_config import FitConfig
    from elr.runs.plan import Plan
    from elr.runs.recipe import Recipe

_STORE = ("targets", "targets_dtype")
_LOOP = {each.name for each in fields(TrainingConfig)} - {"seed"}


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """How a cell trains.

    Args:
        plan: all of it.
        config: what was asked for, for run.json.
        filled: settings that the method was given from the noise, by name.

    Example:
        >>> from elr.runs.bench.sources.loaded import Loaded
        >>> from elr.runs.bench.sources.planting import Noise
        >>> from elr.runs.bench.sources.source import source_of
        >>> prepared = source_of("digits", {}).load(seed=0).prepared(Noise("none"), seed=0)
        >>> cell = Cell(data="digits", noise="none", rate=None, method="elr", uses="elr", training={"members": 1})
        >>> plan_cell(cell, prepared).plan.method.described()
        {'name': 'elr', 'lam': 3.0, 'beta': 0.7, 'align': True}
    """

    plan: Plan
    config: Mapping[str, Any]
    filled: Mapping[str, Any] = field(default_factory=dict)


def check_cell(cell: Cell) -> None:
    """What can be said of a cell's settings without its data.

    Raises:
        ArgumentError: an unknown method, recipe or setting, or values out of range.

    Example:
        >>> training = {"epochs": "many"}
        >>> check_cell(Cell(data="digits", noise="none", rate=None, method="x", uses="elr", training=training))
        Traceback (most recent call last):
        elr.errors.ArgumentError: epochs is 'many': expected ...
    """
    check_settings(cell.uses, cell.settings)
    needed(cell)
    if recipe_of(cell) is None:
        _fit_config(cell, dict.fromkeys(needed(cell)))
        return
    check_choice(cell.training.get("targets", DENSE_PLACEMENT), cell.training.get("targets_dtype"))
    unused = cell.training.keys() - _LOOP - {"recipe", "holdout", *_STORE}
    if unused:
        raise ArgumentError(
            f"{', '.join(sorted(unused))} belongs to training without a recipe, and {cell.training['recipe']!r} is "
            "named: leave one of them out"
        )


def needed(cell: Cell) -> dict[str, str]:
    """The settings that the method is to be given from the noise, and which quantity of it each is.

    Those that it cannot train without, where the cell does not give them, and those of which the cell says
    {"known": QUANTITY}.

    Raises:
        ArgumentError: no such quantity.

    Example:
        >>> settings = {"lam": {"known": "noise_rate"}}
        >>> needed(Cell(data="digits", noise="none", rate=None, method="elr", uses="elr", settings=settings))
        {'lam': 'noise_rate'}
    """
    found = {name: what for name, what in method_named(cell.uses).needs.items() if name not in cell.settings}
    for name, value in cell.settings.items():
        if isinstance(value, Mapping):
            if value.keys() != {"known"} or value["known"] not in QUANTITIES:
                quantities = " or ".join(f'{{known = "{each}"}}' for each in QUANTITIES)
                raise ArgumentError(f"{name} of method {cell.method!r} is {value!r}: expected a value, or {quantities}")
            found[name] = value["known"]
    return found


def fill(cell: Cell, prepared: PreparedData) -> dict[str, Any]:
    """What the method needs to know, from the noise of the cell: the realized rate, or the counted transitions.

    Raises:
        ArgumentError: clean labels are not known, and so the noise is not.

    Example:
        >>> fill(Cell(data="digits", noise="none", rate=None, method="elr", uses="elr"), None)
        {}
    """
    asked = needed(cell)
    if not asked:
        return {}
    rate, labels = noise_rate(prepared), prepared.examples.labels
    if rate is None or prepared.clean_labels is None or labels is None:
        names = ", ".join(f"{name} ({QUANTITIES[what]})" for name, what in asked.items())
        raise ArgumentError(
            f"method {cell.uses!r} needs {names}, and the noise of {cell.data} is not known: give it as a setting of "
            "the method, plant noise, or name a column of clean labels (clean_label)"
        )
    classes = prepared.preprocessing.num_classes
    counts = count_transitions(labels.numpy(), prepared.clean_labels, num_classes=classes)
    known = {NOISE_RATE: rate, TRANSITION: transition_matrix(counts).tolist()}
    return {name: known[what] for name, what in asked.items()}


def plan_cell(cell: Cell, prepared: PreparedData) -> CellPlan:
    """The plan of a cell for its data.

    Raises:
        ArgumentError: settings that do not go together, or with such data.

    Example:
        >>> from elr.runs.bench.sources.planting import Noise
        >>> from elr.runs.bench.sources.source import source_of
        >>> prepared = source_of("digits", {}).load(seed=0).prepared(Noise("symmetric", 0.2), seed=0)
        >>> settings, training = {"lam": {"known": "noise_rate"}}, {"epochs": 2, "members": 1}
        >>> cell = Cell(
        ...     data="digits", noise="symmetric", rate=0.2, method="odd", uses="elr", settings=settings,
        ...     training=training)
        >>> planned = plan_cell(cell, prepared)
        >>> planned.plan.training.epochs, round(planned.plan.method.lam, 2)
        (2, 0.2)
    """
    filled, recipe = fill(cell, prepared), recipe_of(cell)
    if recipe is None:
        config = _fit_config(cell, filled)
        return CellPlan(plan=config.plan(prepared), config=config.to_json(), filled=filled)
    plan = _plan_of_recipe(cell, recipe, prepared, filled)
    return CellPlan(plan=plan, config={**cell.to_json(), "recipe": recipe.name}, filled=filled)


def holdout(cell: Cell) -> float:
    """The share of the training rows that the cell holds out: that of its recipe, or none.

    Example:
        >>> training = {"recipe": "fast-cifar10-clean-elr"}
        >>> holdout(Cell(data="cifar10", noise="none", rate=None, method="elr", uses="elr", training=training))
        0.1
    """
    recipe = recipe_of(cell)
    return cell.training.get("holdout", 0.0 if recipe is None else recipe.holdout)


def _fit_config(cell: Cell, filled: Mapping[str, Any]) -> FitConfig:
    from elr.runs.fit_config import FitConfig  # here, as all that is deep: chains of imports are to be short

    known = {each.name for each in fields(FitConfig)}
    unknown = cell.training.keys() - known
    for name in sorted(unknown - _LOOP - {"holdout"}):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ArgumentError(f"training has no setting {name!r}: {hint}expected fields of FitConfig, as epochs")
    if unknown:
        raise ArgumentError(
            f"{', '.join(sorted(unknown))} is a setting of training with a recipe only: name one as recipe, or leave "
            "it out"
        )
    return FitConfig(method=cell.uses, settings={**cell.settings, **filled}, seed=cell.seed, **cell.training)


def recipe_of(cell: Cell) -> Recipe | None:
    """The recipe that a cell names; a pattern is the recipe of that pattern whose noise is the cell's.

    Raises:
        ArgumentError: none of that name, or not one of that pattern.

    Example:
        >>> training = {"recipe": "cifar10-*-elr"}
        >>> cell = Cell(
        ...     data="cifar10", noise="symmetric-authors", rate=0.4, method="elr", uses="elr", training=training
        ... )
        >>> recipe_of(cell).name
        'cifar10-sym40-elr'
    """
    from elr.runs.recipes import RECIPES  # long to load, and most cells have none

    name = cell.training.get("recipe")
    if name is None:
        return None
    if not isinstance(name, str):
        raise ArgumentError(f"recipe is {name!r}: expected the name of one; `elr run` lists them")
    if "*" in name:
        noise = None if cell.rate is None else (cell.noise, cell.rate)
        before, _, after = name.partition("*")
        fitting = [
            each
            for each, recipe in RECIPES.items()
            if fnmatchcase(each, name) and recipe.noise == noise and "-" not in each[len(before) : -len(after) or None]
        ]
        if len(fitting) != 1:
            found = f"{len(fitting)} recipes are" if fitting else "no recipe is"
            raise ArgumentError(f"{found} of the pattern {name!r} with the noise of this cell: name one")
        name = fitting[0]
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ArgumentError(f"recipe {name!r} is unknown: {hint}`elr run` lists all of them")
    recipe = RECIPES[name]
    if recipe.pretrained or recipe.geometry is not None:
        raise ArgumentError(f"recipe {name!r} is of images on disk or a pretrained network: run it by `elr run`")
    return recipe


def _plan_of_recipe(cell: Cell, recipe: Recipe, prepared: PreparedData, filled: Mapping[str, Any]) -> Plan:
    """The recipe with what the cell changes: its loop, and its method, whose published settings stay where it is the
    recipe's own."""
    from elr.runs.experiment import plan_of
    from elr.runs.recipe import Changes

    asked: dict[str, Any] = {name: value for name, value in cell.training.items() if name in _LOOP}
    if "milestones" in asked:
        asked["milestones"] = tuple(asked["milestones"])
    recipe = Changes(seed=cell.seed, epochs=asked.pop("epochs", None)).apply(recipe)
    recipe = replace(recipe, training=replace(recipe.training, **asked))
    settings = {**cell.settings, **filled}
    if cell.uses in (recipe.method.name, recipe.method.label):
        check_settings(recipe.method.name, settings)
        method = replace(recipe.method, **settings)
    else:
        training = recipe.training
        size = min(training.batch_size, len(prepared.examples))
        steps = training.epochs * math.ceil(len(prepared.examples) / size)
        fast = recipe.network == "fast"
        method = method_for_run(cell.uses, settings, steps=steps, epochs=training.epochs, fast=fast)
        if training.generations == 1 < method.generations and "generations" not in asked:
            milestones = tuple(epoch // method.generations for epoch in training.milestones)
            training = replace(training, milestones=milestones).in_generations(method.generations)
            recipe = replace(recipe, training=training)
    method.check_generations(recipe.training.generations)
    plan = plan_of(replace(recipe, method=method), prepared)
    targets, dtype = (cell.training.get(name) for name in _STORE)
    if targets is None and dtype is None:
        return plan
    device = recipe.training.device
    return plan.with_targets(prepared, targets=targets or DENSE_PLACEMENT, dtype=dtype, device=device)
