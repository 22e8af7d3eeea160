"""What `fit` is asked for, and what it comes to on some data: augmentation, kind of loop, epochs, batches and rates."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from elr.data.examples import Examples
from elr.data.preprocessing import Augmentation
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.runs import fit_config
from elr.runs.fit_config import FitConfig
from elr.runs.plan import Plan
from tiny_prepared import prepared_features, prepared_images


def examples_of(count):
    return Examples(torch.zeros(1, 1).expand(count, 1), None)


def many(prepared, count, side):
    """The prepared with so many images, which take no memory."""
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 3, side, side)
    return dataclasses.replace(prepared, examples=Examples(pixels, np.zeros(count, dtype=np.int64)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "sop"}, "method is 'sop': expected one of elr, .*cross_entropy"),
        ({"augment": "cutout"}, "augment is 'cutout': expected one of auto, crop, none"),
    ],
)
def test_choices_that_there_are_not(settings, message):
    with pytest.raises(ArgumentError, match=message):
        FitConfig(**settings)


@pytest.mark.parametrize(
    ("augment", "network", "expected"),
    [
        ("auto", None, Augmentation(crop=True, flip=True)),
        ("crop", None, Augmentation(crop=True)),
        ("none", None, Augmentation()),
        ("auto", "mlp", Augmentation()),
    ],
)
def test_augmentation_by_the_network(augment, network, expected):
    assert FitConfig(augment=augment, network=network).plan(prepared_images()).augmentation == expected


def test_a_plan_of_fit_takes_its_method():
    plan = FitConfig(method="elr", lam=5.0, beta=0.6).plan(prepared_features())
    assert plan.method == ELRConfig(lam=5.0, beta=0.6)
    assert (plan.whiten, plan.probe_period) == (False, 1)
    assert FitConfig(method="cross_entropy").plan(prepared_features()).method.name == "cross_entropy"


@pytest.mark.parametrize(
    ("count", "kind", "epochs"),
    [
        (1000, "vectors", 100),
        (40_000, "vectors", 50),
        (10**6, "vectors", 10),
        (1000, "images", 60),
        (20_000, "images", 30),
        (1000, "fast", 60),
        (20_000, "fast", 30),
        (1000, "fine-tuned", 10),
    ],
)
def test_epochs_by_the_number_of_examples(count, kind, epochs):
    loop = FitConfig().loop(examples_of(count), kind=kind)
    assert loop.epochs == epochs
    assert FitConfig(epochs=7).loop(examples_of(count), kind=kind).epochs == 7


def test_images_of_four_times_the_pixels_are_seen_a_fourth_as_often():
    pictures = Examples(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(5000, 3, 64, 64), None)
    assert FitConfig().loop(pictures, kind="images").epochs == 30


def test_the_documented_defaults_of_the_loop_and_whoever_overrides_them():
    table, pictures = (FitConfig(seed=3).loop(examples_of(1000), kind=each) for each in ("vectors", "images"))
    assert (table.batch_size, table.learning_rate, table.weight_decay, table.seed) == (64, 0.02, 5e-3, 3)
    assert (pictures.batch_size, pictures.learning_rate, pictures.weight_decay) == (128, 0.1, 2e-3)
    assert (pictures.schedule, pictures.nesterov) == ("onecycle", True)
    fast = FitConfig().loop(examples_of(50_000), kind="fast")
    assert (fast.batch_size, fast.learning_rate, fast.weight_decay) == (500, 0.12, 5e-4)
    assert (fast.optimizer, fast.schedule) == ("muon", "triangle")
    chosen = FitConfig(batch_size=9, learning_rate=0.5, weight_decay=0.0, device="cpu", precision="float32")
    for each in ("vectors", "images", "fine-tuned", "fast"):
        loop = chosen.loop(examples_of(1000), kind=each)
        assert (loop.batch_size, loop.learning_rate, loop.weight_decay) == (9, 0.5, 0.0)
        assert (loop.device, loop.precision) == ("cpu", "float32")
    with pytest.raises(ArgumentError, match="epochs is 0"):
        FitConfig(epochs=0).plan(prepared_features())


@pytest.mark.parametrize(("count", "batch"), [(8000, 200), (30_000, 500)])
def test_the_fast_loop_has_smaller_batches_and_rates_for_fewer_images(count, batch):
    loop = FitConfig().loop(examples_of(count), kind="fast")
    assert loop.batch_size == batch
    assert loop.learning_rate == pytest.approx(0.12 * math.sqrt(batch / 500))
    asked = FitConfig(batch_size=125).loop(examples_of(count), kind="fast")
    assert (asked.batch_size, asked.learning_rate) == (125, pytest.approx(0.06))


@pytest.mark.parametrize(("count", "side"), [(40_000, 32), (10_000, 64), (60_000, 28)])
def test_many_images_are_learned_as_in_the_first_generation_of_the_recipe(count, side):
    prepared = many(prepared_images(), count, side)
    plan = FitConfig().plan(prepared)
    steps = plan.training.epochs * math.ceil(count / plan.training.batch_size)
    assert (plan.training.optimizer, plan.whiten) == ("muon", True)
    assert plan.method == ELRConfig(lam_ramp=steps)
    assert plan.augmentation == Augmentation(crop=True, flip=True, mirror=True)
    assert FitConfig(augment="crop").plan(prepared).augmentation == Augmentation(crop=True)
    assert FitConfig(method="cross_entropy").plan(prepared).method == CrossEntropyConfig()


def test_the_fast_loop_of_fit_trains_and_predicts(monkeypatch):
    monkeypatch.setattr(fit_config, "_FAST_IMAGES", 10)
    prepared = prepared_images()
    plan = FitConfig(epochs=2, batch_size=4, device="cpu").plan(prepared)
    assert plan.training.optimizer == "muon"
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    training = plan.build(prepared, probe=None, folder=None)
    training.run()
    assert len(training.history) == 2
    for probs in (training.predict(prepared.examples), training.pred_probs()):
        torch.testing.assert_close(probs.sum(dim=1), torch.ones(len(prepared.examples)))


@pytest.mark.parametrize(
    ("count", "side", "network"), [(39_999, 32, None), (9_000, 64, None), (50_000, 32, "resnet18")]
)
def test_fewer_images_and_other_networks_are_learned_by_sgd(count, side, network):
    plan = FitConfig(network=network).plan(many(prepared_images(), count, side))
    assert (plan.method, plan.whiten, plan.training.optimizer) == (ELRConfig(), False, "sgd")
    assert plan.augmentation == Augmentation(crop=True, flip=True)


def test_few_examples_are_one_batch():
    few = prepared_features(count=30)
    assert FitConfig().plan(few).training.batch_size == 30
    assert FitConfig(batch_size=64).plan(few).training.batch_size == 64  # refused when it is built
