"""Training again from the first weights, with the targets kept."""

import copy
import itertools

import pytest
import torch

from blobs import C, N, examples, network
from elr import checkpoints
from elr.elr import ELR
from elr.errors import ArgumentError
from elr.experiment import Changes
from elr.method import LossMethod
from elr.recipes import RECIPES
from elr.settings import TrainingConfig
from elr.training import Training

SETTINGS = {
    "elr": {"hold": 0.5},
    "averaged": {"hold": 0.5, "gamma": 0.9, "gamma_ramp": 5},
    "elr_plus": {"hold": 0.5, "gamma": 0.9, "mixup": 1.0},
}


def method_of(name="elr", **changes):
    torch.manual_seed(0)
    peer = network() if name == "elr_plus" else None
    return ELR(network(), peer=peer, num_examples=N, num_classes=C, **SETTINGS[name] | changes)


def training_of(method, folder=None, **settings):
    config = TrainingConfig(
        **{"epochs": 4, "generations": 2, "batch_size": 20, "device": "cpu", "momentum": 0.9} | settings
    )
    return Training(method, examples(), config=config, folder=folder)


def state_of(training):
    return copy.deepcopy(training.method.state_dict())


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture
def around(monkeypatch):
    """The states before and after each new start."""
    seen = []
    begin = Training._begin_generation

    def watched(training):
        seen.append(state_of(training))
        begin(training)
        seen.append(state_of(training))
        seen.append([copy.deepcopy(optimizer.state_dict()) for optimizer in training.optimizers])

    monkeypatch.setattr(Training, "_begin_generation", watched)
    return seen


@pytest.mark.parametrize("name", SETTINGS)
def test_all_but_the_targets_begins_anew(name, around):
    training = training_of(method_of(name))
    first = state_of(training)
    first_optimizers = [copy.deepcopy(optimizer.state_dict()) for optimizer in training.optimizers]
    training.run()
    before, after, optimizers = around  # one new start in two generations
    kept = {key for key in first if key.startswith("losses.")}
    assert len(kept) == len(training.method.stores)
    for key in kept:
        assert torch.equal(before[key], after[key])
        assert before[key].abs().sum() > 0
    for key in first.keys() - kept - {"_extra_state"}:
        assert torch.equal(after[key], first[key]), key
        if "weight" in key:
            assert not torch.equal(before[key], first[key]), key
    *steps, held_until = after["_extra_state"].tolist()
    assert steps == [0] * training.method.passes
    assert held_until == 6  # half of two epochs of six steps
    assert optimizers == first_optimizers
    assert not any(optimizer["state"] for optimizer in optimizers)


def test_each_generation_has_the_whole_schedule():
    training = training_of(method_of(), epochs=6, schedule="cosine")
    training.run()
    rates = [record["learning_rate"] for record in training.history]
    assert rates[:3] == rates[3:]
    assert rates[0] > rates[1] > rates[2]


def test_held_targets_stay_as_the_first_generation_left_them():
    held, free = method_of(hold=1.0), method_of(hold=0.0)
    alone = method_of()
    training_of(alone, epochs=2, generations=1).run()
    for method in (held, free):
        training_of(method).run()
    assert torch.equal(held.stores[0].table, alone.stores[0].table)
    assert not torch.equal(free.stores[0].table, alone.stores[0].table)


def test_targets_move_again_when_they_have_been_held_long_enough():
    method = method_of(hold=0.5)
    training = training_of(method)
    tables = []
    training.run(on_progress=lambda progress: tables.append(method.stores[0].table.clone()))
    moved = [not torch.equal(one, other) for one, other in itertools.pairwise(tables)]
    # Twelve steps and two epoch ends; the six steps of the third epoch are held.
    assert moved[:5] == [True] * 5
    assert moved[13:20] == [False] * 7
    assert moved[20:25] == [True] * 5


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_resumed_run_ends_as_an_unbroken_one(name, at, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", float("inf"))
    whole = training_of(method_of(name))
    whole.run()

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.epoch == at and progress.step > at * training.steps_per_epoch * training.method.passes:
            raise Stopped

    training = training_of(method_of(name), tmp_path)
    with pytest.raises(Stopped):
        training.run(on_progress=stop)
    resumed = training_of(method_of(name), tmp_path)
    resumed.run(resume=True)
    assert len(resumed.history) == 4
    assert_equal(state_of(resumed), state_of(whole))


def test_a_method_without_memory_begins_anew_altogether(around):
    torch.manual_seed(0)
    training = training_of(LossMethod(network()))
    first = state_of(training)
    training.run()
    assert_equal(around[1], first)


def test_generations_that_do_not_divide_the_epochs_are_refused():
    with pytest.raises(ArgumentError, match="generations is 2: expected at least 1, and a divisor of the 5 epochs"):
        TrainingConfig(epochs=5, generations=2)
    with pytest.raises(ArgumentError, match="generations is 0"):
        TrainingConfig(generations=0)


def test_hold_out_of_range_is_refused():
    with pytest.raises(ArgumentError, match=r"hold is 1.5: expected a share of a generation in \[0, 1\]"):
        method_of(hold=1.5)


def test_a_recipe_of_another_length_keeps_generations_that_divide_it():
    recipe = RECIPES["fast-cifar10-sym40-elr"]
    assert recipe.training.generations == 2
    assert Changes(epochs=4).apply(recipe).training.generations == 2
    assert Changes(epochs=1).apply(recipe).training.generations == 1
