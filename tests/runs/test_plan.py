"""Plans: plain values that say everything, and that build what they say."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from elr.data.examples import Examples
from elr.data.prepared import prepare_data
from elr.data.preprocessing import Augmentation
from elr.data.records import ReadOptions
from elr.data.transforms import ImageTransform, Transform
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.cross_entropy import CrossEntropyConfig, LossMethod
from elr.methods.elr import ELR, ELRConfig
from elr.networks.architectures import FastConvNet
from elr.networks.spec import NetworkSpec
from elr.runs import fit_config as loops
from elr.runs.fit_config import FitConfig
from elr.runs.plan import PEER_SEED, Plan, network_for
from elr.targets.dense import DenseTargets
from elr.training.config import TrainingConfig

N, C = 24, 3
LABELS = np.arange(N) % C
EVERY_SWITCH = ELRConfig(
    networks=2,
    lam=7.0,
    beta=0.9,
    clamp=1e-3,
    hold=0.5,
    posterior=True,
    relabel=True,
    snapshots=2,
    target_from="own",
    ensembling=True,
    gamma=0.99,
    gamma_ramp=10,
    lam_ramp=20,
    mixup=0.5,
    refine_labels=True,
    predict_with="averaged",
)


def images(side=16, channels=3, count=N):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(count, channels, side, side)).astype(np.uint8)


def examples_of(count):
    return Examples(torch.zeros(1, 1).expand(count, 1), None)


def image_task(side=16, channels=3, **settings):
    return prepare_data((images(side, channels), LABELS), ReadOptions(), **settings)


def feature_task(count=N, width=5):
    features = np.random.default_rng(0).normal(size=(count, width))
    return prepare_data((features, np.arange(count) % C), ReadOptions())


def plan_of(network, method=None, **settings):
    generations = 1 + (method.snapshots if isinstance(method, ELRConfig) else 0)
    loop = TrainingConfig(epochs=3, generations=generations, batch_size=12, device="cpu", precision="float32", seed=4)
    settings = {"augmentation": Augmentation()} | settings
    return Plan(method=method or ELRConfig(), network=network, training=loop, **settings)


FAST = NetworkSpec("fast", C)
MLP = NetworkSpec("mlp", C, num_features=5, hidden=(8,))


# Methods


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "sop"}, "method is 'sop': expected one of elr, elr_plus, cross_entropy, kl_penalty"),
        ({"name": "elr", "networks": 3}, "networks is 3: expected 1 or 2"),
        ({"name": "elr", "networks": 0}, "networks is 0: expected 1 or 2"),
        ({"name": "cross_entropy", "networks": 2}, "'cross_entropy' has no settings networks"),
    ],
)
def test_methods_that_there_are_not(settings, message):
    with pytest.raises(ArgumentError, match=message):
        method_from_json(settings)


def test_every_switch_reaches_the_method():
    networks = [nn.Linear(5, C), nn.Linear(5, C)]
    built = EVERY_SWITCH.build(networks, num_examples=N, num_classes=C)
    assert isinstance(built, ELR)
    assert built.config == EVERY_SWITCH
    assert built.networks == tuple(networks)
    assert [tuple(store.table.shape) for store in built.stores] == [(N, C), (N, C)]


def test_every_switch_differs_from_rest_and_is_described():
    assert EVERY_SWITCH.described().keys() == {"name"} | {
        switch.name for switch in dataclasses.fields(ELRConfig) if switch.name != "ensembling"
    }
    assert ELRConfig(networks=2, gamma=0.9, ensembling=False).described()["ensembling"] is False
    assert ELRConfig().described() == {"name": "elr", "lam": 3.0, "beta": 0.7}
    assert CrossEntropyConfig().described() == {"name": "cross_entropy"}


def test_the_defaults_are_those_of_the_method():
    built, plain = (
        make(nn.Linear(5, C))
        for make in (
            lambda network: ELRConfig().build([network], num_examples=N, num_classes=C),
            lambda network: ELR([network], ELRConfig(), stores=[DenseTargets(N, C)]),
        )
    )
    assert repr(built) == repr(plain)
    assert built.peer is None


def test_cross_entropy_is_a_loss_over_one_network():
    network = nn.Linear(5, C)
    built = CrossEntropyConfig().build([network], num_examples=N, num_classes=C)
    assert isinstance(built, LossMethod)
    assert list(built.predictors) == [network]


# Augmentation


def test_augmentation_is_the_papers_for_images_of_32_pixels():
    prepared = image_task(side=32)
    transform = Augmentation(crop=True, flip=True).transform(prepared.preprocessing, flatten=False)
    assert isinstance(transform, ImageTransform)
    assert (transform.padding, transform.flip, transform.cutout, transform.mirror) == (4, True, 0, False)
    plain = Augmentation().transform(prepared.preprocessing, flatten=True)
    assert (plain.padding, plain.flip, plain.flatten) == (0, False, True)
    every = Augmentation(cutout=7, mirror=True).transform(prepared.preprocessing, flatten=False)
    assert (every.padding, every.flip, every.cutout, every.mirror) == (0, False, 7, True)


def test_features_are_not_augmented():
    transform = Augmentation(crop=True, flip=True, cutout=3, mirror=True).transform(
        feature_task().preprocessing, flatten=True
    )
    assert type(transform) is Transform


# Plans


@pytest.mark.parametrize(
    "plan",
    [
        plan_of(MLP),
        plan_of(MLP, CrossEntropyConfig()),
        plan_of(
            FAST, EVERY_SWITCH, augmentation=Augmentation(crop=True, flip=True, cutout=5, mirror=True), whiten=True
        ),
        plan_of(FAST, probe_period=7),
        dataclasses.replace(plan_of(MLP), training=TrainingConfig(schedule="multistep", milestones=(2, 5), decay=0.1)),
    ],
)
def test_a_plan_survives_json_among_other_things(plan):
    text = json.dumps(plan.to_json() | {"status": "complete", "config": {}})
    assert Plan.from_json(json.loads(text)) == plan


@pytest.mark.parametrize("lost", ["method", "network", "training", "augmentation", "targets", "whiten", "probe_period"])
def test_a_plan_needs_all_of_itself(lost):
    content = plan_of(MLP).to_json()
    del content[lost]
    with pytest.raises(KeyError, match=lost):
        Plan.from_json(content)


def test_networks_are_a_function_of_the_seed_and_the_peer_is_another():
    alone, [first, peer] = plan_of(MLP).networks(), plan_of(MLP, EVERY_SWITCH).networks()
    assert len(alone) == 1
    expected = MLP.build(generator_seed=4), MLP.build(generator_seed=4 + PEER_SEED)
    for network, other in ((alone[0], expected[0]), (first, expected[0]), (peer, expected[1])):
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    assert not torch.equal(first.head.weight, peer.head.weight)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_a_peer_never_begins_as_the_first_network(seed):
    """Of a seed torch's generator on a processor takes 32 bits: one that differs above them gives the same weights."""
    first, peer = dataclasses.replace(
        plan_of(MLP, ELRConfig(networks=2)), training=TrainingConfig(seed=seed)
    ).networks()
    assert not torch.equal(first.head.weight, peer.head.weight)
    assert (seed + PEER_SEED) % 2**32 not in range(2**31)  # nor as the first network of another run


def test_a_plan_builds_the_training_it_says():
    prepared = feature_task()
    training = plan_of(MLP, probe_period=2).build(prepared, probe=prepared.probe, folder=None)
    assert training.config == plan_of(MLP).training
    assert training.probe_period == 2
    assert training.folder is None
    assert training.probe is None
    assert isinstance(training.method, ELR)
    assert training.state.monitor.clean_labels is None


def test_clean_labels_go_to_the_monitor_alone():
    prepared = image_task(noise=("symmetric", 0.25), seed=1)
    training = plan_of(FAST).build(prepared, probe=None, folder=None)
    assert training.state.monitor.clean_labels.tolist() == LABELS.tolist()
    assert training.labels.tolist() == prepared.examples.labels.tolist() != LABELS.tolist()


def test_whitening_freezes_the_stem_of_both_networks_by_the_images_as_the_network_sees_them():
    prepared = image_task()
    two = ELRConfig(networks=2, gamma=0.9)
    training = plan_of(FAST, two, augmentation=Augmentation(crop=True, flip=True), whiten=True).build(
        prepared, probe=None, folder=None
    )
    expected = FAST.build(generator_seed=0)
    expected.whiten(training.transform(prepared.examples.inputs))
    for network in training.method.networks:
        assert isinstance(network, FastConvNet)
        torch.testing.assert_close(network.stem.weight, expected.stem.weight)
        assert not network.stem.weight.requires_grad
        assert not network.stem.bias.requires_grad
    before = training.method.networks[0].stem.weight.clone()
    trained = training.method.parameter_groups(0)[0].weights
    assert all(weight is not training.method.networks[0].stem.weight for weight in trained)
    training.run()
    for network in training.method.networks:
        assert torch.equal(network.stem.weight, before)
        assert not network.stem.bias.any()


def test_without_whiten_the_stem_is_trained():
    training = plan_of(FAST).build(image_task(), probe=None, folder=None)
    assert training.method.network.stem.weight.requires_grad


def test_only_the_fast_network_can_be_whitened():
    with pytest.raises(ArgumentError, match="whiten is set for a MLP: only the fast network has such a layer"):
        plan_of(MLP, whiten=True).build(feature_task(), probe=None, folder=None)


# Networks for data


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (image_task, None, NetworkSpec("fast", C)),
        (lambda: image_task(channels=1), None, NetworkSpec("fast", C, in_channels=1)),
        (lambda: image_task(side=15), None, NetworkSpec("mlp", C, num_features=3 * 15 * 15)),
        (image_task, "mlp", NetworkSpec("mlp", C, num_features=3 * 16 * 16)),
        (image_task, "resnet34", NetworkSpec("resnet34", C)),
        (feature_task, None, NetworkSpec("mlp", C, num_features=5)),
        (feature_task, "linear", NetworkSpec("linear", C, num_features=5)),
    ],
)
def test_a_network_fits_its_data(make, name, expected):
    assert network_for(make(), name) == expected


def test_networks_that_do_not_fit():
    with pytest.raises(ArgumentError, match="network 'resnet34' takes images, the data are features: use mlp or lin"):
        network_for(feature_task(), "resnet34")
    with pytest.raises(ArgumentError, match="Network 'vgg' is unknown: take one of linear, mlp"):
        network_for(image_task(), "vgg")


# What `fit` asks for


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
    assert FitConfig(augment=augment, network=network).plan(image_task()).augmentation == expected


def test_a_plan_of_fit_takes_its_method():
    plan = FitConfig(method="elr", lam=5.0, beta=0.6).plan(feature_task())
    assert plan.method == ELRConfig(lam=5.0, beta=0.6)
    assert (plan.whiten, plan.probe_period) == (False, 1)
    assert FitConfig(method="cross_entropy").plan(feature_task()).method.name == "cross_entropy"


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
        FitConfig(epochs=0).plan(feature_task())


@pytest.mark.parametrize(("count", "batch"), [(8000, 200), (30_000, 500)])
def test_the_fast_loop_has_smaller_batches_and_rates_for_fewer_images(count, batch):
    loop = FitConfig().loop(examples_of(count), kind="fast")
    assert loop.batch_size == batch
    assert loop.learning_rate == pytest.approx(0.12 * math.sqrt(batch / 500))
    asked = FitConfig(batch_size=125).loop(examples_of(count), kind="fast")
    assert (asked.batch_size, asked.learning_rate) == (125, pytest.approx(0.06))


def many(prepared, count, side):
    """The prepared with so many images, which take no memory."""
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 3, side, side)
    return dataclasses.replace(prepared, examples=Examples(pixels, np.zeros(count, dtype=np.int64)))


@pytest.mark.parametrize(("count", "side"), [(40_000, 32), (10_000, 64), (60_000, 28)])
def test_many_images_are_learned_as_in_the_first_generation_of_the_recipe(count, side):
    prepared = many(image_task(), count, side)
    plan = FitConfig().plan(prepared)
    steps = plan.training.epochs * math.ceil(count / plan.training.batch_size)
    assert (plan.training.optimizer, plan.whiten) == ("muon", True)
    assert plan.method == ELRConfig(lam_ramp=steps)
    assert plan.augmentation == Augmentation(crop=True, flip=True, mirror=True)
    assert FitConfig(augment="crop").plan(prepared).augmentation == Augmentation(crop=True)
    assert FitConfig(method="cross_entropy").plan(prepared).method == CrossEntropyConfig()


def test_the_fast_loop_of_fit_trains_and_predicts(monkeypatch):
    monkeypatch.setattr(loops, "_FAST_IMAGES", 10)
    prepared = image_task()
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
    plan = FitConfig(network=network).plan(many(image_task(), count, side))
    assert (plan.method, plan.whiten, plan.training.optimizer) == (ELRConfig(), False, "sgd")
    assert plan.augmentation == Augmentation(crop=True, flip=True)


def test_a_probe_period_of_nothing_is_refused():
    prepared = image_task()
    with pytest.raises(ArgumentError, match="probe_period is 0"):
        plan_of(FAST, probe_period=0).build(prepared, probe=prepared.examples, folder=None).run()


def test_few_examples_are_one_batch():
    assert FitConfig().plan(feature_task(count=30)).training.batch_size == 30
    assert FitConfig(batch_size=64).plan(feature_task(count=30)).training.batch_size == 64  # refused when it is built
