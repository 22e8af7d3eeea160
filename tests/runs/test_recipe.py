"""A recipe, and what a run may change in it."""

from dataclasses import replace

import pytest

from elr.errors import ArgumentError
from elr.runs.recipe import Changes
from elr.runs.recipes import RECIPES

FAST = RECIPES["fast-cifar10-sym40-elr-plus"]


def test_changes_at_rest_change_nothing_but_the_seed():
    for recipe in RECIPES.values():
        assert Changes().apply(recipe) == recipe
    seeded = Changes(seed=7).apply(FAST)
    assert seeded == replace(FAST, training=replace(FAST.training, seed=7))


def test_each_change_is_made():
    changed = Changes(seed=2, epochs=50, holdout=0.0, precision="float32", device="cpu").apply(
        RECIPES["cifar10-sym40-elr"]
    )
    training = changed.training
    assert (training.seed, training.epochs, training.precision, training.device) == (2, 50, "float32", "cpu")
    assert training.milestones == (40,)
    assert changed.holdout == 0.0
    assert Changes(epochs=40).apply(RECIPES["cifar10-sym40-elr"]).training.milestones == ()
    assert Changes(epochs=500).apply(RECIPES["cifar10-sym40-elr"]).training.milestones == (40, 80)


def test_a_recipe_keeps_its_own_precision_and_device():
    own = replace(FAST, training=replace(FAST.training, precision="float32", device="cpu"))
    assert Changes().apply(own) == own


def test_fewer_examples_than_can_be_trained_on_are_refused():
    assert Changes(num_examples=2).num_examples == 2
    with pytest.raises(ArgumentError, match="num_examples is 1: expected at least 2"):
        Changes(num_examples=1)
