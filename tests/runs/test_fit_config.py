"""What `fit` is asked for, and what it comes to on some data: augmentation, kind of loop, epochs, batches and rates."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch

from elr.data.examples import Examples
from elr.data.preprocessing import Augmentation
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.methods.ensemble import grid
from elr.networks.side_by_side import OneByOne
from elr.runs import fit_config
from elr.runs.fit_config import FitConfig
from elr.runs.plan import Plan
from tiny_prepared import C, prepared_features, prepared_images


def examples_of(count):
    return Examples(torch.zeros(1, 1).expand(count, 1), None)


def many(prepared, count, side):
    """The prepared with so many images, which take no memory."""
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 3, side, side)
    return dataclasses.replace(prepared, examples=Examples(pixels, np.zeros(count, dtype=np.int64)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "vote"}, "method is 'vote': expected one of elr, .*cross_entropy"),
        ({"augment": "cutout"}, "augment is 'cutout': expected one of auto, crop, none"),
        ({"settings": {"gama": 0.9}}, "method 'elr' has no setting 'gama': did you mean gamma"),
        ({"method": "cross_entropy", "settings": {"q": 0.9}}, "method 'cross_entropy' has no setting 'q'"),
        ({"lam": 3.0, "settings": {"lam": 7.0}}, "lam is given twice, as 3.0 and in the settings as 7.0"),
        ({"settings": {"lam": "much"}}, "lam is 'much': expected a number"),
        ({"settings": "gamma=0.9"}, "settings is 'gamma=0.9': expected"),
    ],
)
def test_choices_that_there_are_not(settings, message):
    with pytest.raises(ArgumentError, match=message):
        FitConfig(**settings)


def test_settings_reach_the_method_whose_they_are():
    plan = FitConfig(settings={"gamma": 0.9, "lam": 5.0}).plan(prepared_features(count=120))
    assert plan.method == ELRConfig(gamma=0.9, lam=5.0, align=True), "a single network: several have no gamma"
    plus = FitConfig(method="elr_plus", settings={"gamma_ramp": 7}).plan(prepared_features())
    assert plus.method == ELRPlusConfig(gamma_ramp=7, align=True), "what is asked for stays"
    alone = FitConfig(settings={"lam": 5.0, "align": False, "beta": 0.6})
    assert alone == FitConfig(lam=5.0, align=False, beta=0.6)
    assert alone.plan(prepared_features(count=120)).method.settings, "networks side by side, as --lam 5"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "cross_entropy", "lam": 3.0}, "method 'cross_entropy' has no setting 'lam'"),
        ({"members": 3, "settings": {"gamma": 0.9}}, "members is 3, and networks side by side have no gamma"),
        ({"settings": {"gamma": 2.0}}, "gamma is 2.0: expected a decay"),
        ({"settings": {"gamma": "much"}}, "gamma is 'much': expected a number"),
    ],
)
def test_settings_that_no_method_takes(settings, message):
    with pytest.raises(ArgumentError, match=message):
        FitConfig(**settings).plan(prepared_features(count=120))


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
    assert plan.method == ELRConfig(lam=5.0, beta=0.6, align=True)
    assert (plan.whiten, plan.probe_period, plan.remarks) == (False, 1, ())
    paper = FitConfig(members=1, lam=3.0, align=False).plan(prepared_features(count=120))
    assert paper.method == ELRConfig(), "the paper's"
    assert FitConfig(method="cross_entropy").plan(prepared_features()).method.name == "cross_entropy"


@pytest.mark.parametrize(
    ("epochs", "trained", "remark"),
    [
        (16, 16, None),
        (15, 16, "16 epochs are trained in place of 15: 'joint_optimization' trains in 2 generations of equal length"),
    ],
)
def test_a_method_of_several_generations_is_trained_in_them(epochs, trained, remark):
    plan = FitConfig(method="joint_optimization", epochs=epochs).plan(prepared_features())
    assert (plan.training.epochs, plan.training.generations) == (trained, 2)
    assert plan.remarks == (() if remark is None else (remark,))
    assert Plan.from_json(plan.to_json()) == plan
    once = FitConfig(method="joint_optimization", settings={"retrain": False}, epochs=epochs).plan(prepared_features())
    assert (once.training.epochs, once.training.generations, once.remarks) == (epochs, 1, ())


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
    assert plan.method == ELRConfig(lam_ramp=steps, align=True)
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
    assert (plan.method, plan.whiten, plan.training.optimizer) == (ELRConfig(align=True), False, "sgd")
    assert plan.augmentation == Augmentation(crop=True, flip=True)


def test_few_examples_are_one_batch():
    few = prepared_features(count=30)
    assert FitConfig().plan(few).training.batch_size == 30
    assert FitConfig(batch_size=64).plan(few).training.batch_size == 64  # refused when it is built


# Networks side by side


def names_of(plan):
    return [setting.text() for setting in plan.method.settings]


@pytest.mark.parametrize(("count", "members"), [(49, 1), (50, 5)])
def test_from_fifty_rows_on_features_are_learned_by_networks_side_by_side(count, members):
    plan = FitConfig().plan(prepared_features(count=count))
    assert getattr(plan.method, "members", 1) == members
    assert plan.remarks == ()
    if members > 1:
        assert {setting.network.name for setting in plan.method.settings} == {"mlp", "linear"}
        assert {setting.lam for setting in plan.method.settings} == {0.0, 1.0, 3.0, 7.0}
        assert plan.method.align


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 0}, "members is 0 for 60 rows: expected at least 1, and at most one for each row; 1 is a single"),
        ({"members": -3}, "members is -3 for 60 rows"),
        ({"members": 61}, "members is 61 for 60 rows"),
        ({"members": 2.0}, "members is 2.0 for 60 rows"),
        ({"members": True}, "members is True for 60 rows"),
        ({"members": 5, "method": "cross_entropy"}, "members is 5 and the method 'cross_entropy': only 'elr' has memb"),
        ({"members": 2, "method": "elr_plus"}, "only 'elr' has members; leave one of them out"),
        (
            {"members": 5, "network": "linear", "dropout": 0.5},
            "dropout is 0.5, but 'linear' takes only .*: leave it out",
        ),
        ({"dropout": 1.0}, "dropout of network 'mlp'"),
        ({"lam": -1.0}, "lam is -1.0"),
    ],
)
def test_members_that_cannot_be(settings, message):
    with pytest.raises(ArgumentError, match=message):
        FitConfig(**settings).plan(prepared_features(count=60))


def test_as_many_members_as_rows_are_one_row_left_out_at_a_time():
    plan = FitConfig(members=60, lam=3.0, network="linear").plan(prepared_features(count=60))
    assert (plan.method.members, len(plan.networks())) == (60, 60)


def test_other_methods_and_images_are_single_networks_unless_asked():
    assert FitConfig(method="cross_entropy").plan(prepared_features(count=60)).method == CrossEntropyConfig()
    assert FitConfig(method="cross_entropy", members=1).plan(prepared_features(count=60)).method == CrossEntropyConfig()
    assert isinstance(FitConfig(method="elr_plus").plan(prepared_features(count=60)).method, ELRPlusConfig)
    assert isinstance(FitConfig().plan(many(prepared_images(), 60, 16)).method, ELRConfig)


def test_images_are_learned_by_networks_one_after_the_other_where_that_is_asked_for():
    prepared = prepared_images()
    plan = FitConfig(members=2, epochs=1, batch_size=12, device="cpu").plan(prepared)
    assert names_of(plan) == ["fast, lam 3"]
    assert plan.augmentation == Augmentation(crop=True, flip=True)
    training = plan.build(prepared, probe=None, folder=None)
    training.run()
    assert all(isinstance(stack, OneByOne) for stack in training.method.trained_networks)
    torch.testing.assert_close(training.predict(prepared.examples).sum(dim=1), torch.ones(len(prepared.examples)))
    assert training.method.choice()["members"] == 2


def test_settings_given_by_hand_are_not_searched():
    prepared = prepared_features(count=60)
    assert names_of(FitConfig(lam=2.0, dropout=0.3, network="mlp").plan(prepared)) == ["mlp, lam 2, dropout 0.3"]
    assert {setting.lam for setting in FitConfig(lam=2.0).plan(prepared).method.settings} == {2.0}
    assert {setting.network.dropout for setting in FitConfig(dropout=0.3).plan(prepared).method.settings} == {0.3, None}
    linear = FitConfig(network="linear").plan(prepared)
    assert {setting.network.name for setting in linear.method.settings} == {"linear"}
    free, fixed = FitConfig().plan(prepared), FitConfig(epochs=30).plan(prepared)
    assert (free.method.kept_epochs, fixed.method.kept_epochs) == ((10, 20, 30), (30,))
    loop = FitConfig(epochs=7, batch_size=9, learning_rate=0.5, weight_decay=0.1, beta=0.4, align=False, seed=3)
    plan = loop.plan(prepared)
    assert (plan.training.epochs, plan.training.batch_size, plan.training.learning_rate) == (7, 9, 0.5)
    assert (plan.training.weight_decay, plan.training.seed, plan.method.seed) == (0.1, 3, 3)
    assert (plan.method.beta, plan.method.align) == (0.4, False)


@pytest.mark.parametrize(
    ("room", "settings", "members", "words"),
    [
        (None, None, 5, None),
        (5 * 5 + 4, 5, 5, r"5 networks side by side of each of \d+ settings are not trained: .*; 5 are, of 5 settings"),
        (3, 1, 3, "; 3 are, of 1 setting$"),
        (1, 1, 1, "; a single network is trained .--members 1.$"),
        (0, 1, 1, "; a single network is trained .--members 1.$"),
    ],
)
def test_where_the_targets_have_no_room_fewer_are_trained_with_a_word(room, settings, members, words, monkeypatch):
    prepared = prepared_features(count=60)
    everything = len(FitConfig().plan(prepared).method.settings)
    room, settings = room if room is not None else 5 * everything, settings or everything
    monkeypatch.setattr(grid, "MOST_BYTES", 4 * 60 * C * room)
    for asked in (None, 5):
        plan = FitConfig(members=asked).plan(prepared)
        assert len(getattr(plan.method, "settings", [None])) == settings
        assert getattr(plan.method, "members", 1) == members
        assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
        if words is None:
            assert plan.remarks == ()
        else:
            [remark] = plan.remarks
            assert re.search(words, remark)
            assert "60 rows and 3 classes" in remark


def test_a_linear_network_by_hand_has_the_rate_of_linear_ones():
    """That of a perceptron would leave it where it began."""
    default = {
        setting.network.name: setting.learning_rate
        for setting in FitConfig().plan(prepared_features(count=60)).method.settings
    }
    by_hand = FitConfig(network="linear").plan(prepared_features(count=60)).method.settings
    assert {setting.learning_rate for setting in by_hand} == {default["linear"]} != {None}
    given = FitConfig(network="linear", learning_rate=0.5).plan(prepared_features(count=60))
    assert {setting.learning_rate for setting in given.method.settings} == {None}
    assert given.training.learning_rate == 0.5


def test_settings_may_be_arrays_and_are_kept_as_lists():
    config = FitConfig(method="forward_correction", settings={"transition": np.array([[0.9, 0.1], [0.2, 0.8]])})
    assert json.loads(json.dumps(config.to_json()))["settings"] == {"transition": [[0.9, 0.1], [0.2, 0.8]]}
