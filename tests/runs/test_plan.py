"""Plans: plain values that say everything, and that build what they say."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from elr.data.preprocessing import Augmentation
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.cross_entropy import CrossEntropyConfig, LossMethod
from elr.methods.elr import ELR, ELRConfig
from elr.methods.peers.dividemix import DivideMixConfig
from elr.networks.architectures import FastConvNet
from elr.networks.spec import NetworkSpec
from elr.runs.plan import PEER_SEED, TRAINED_BY, Plan, network_for
from elr.targets.dense import DenseTargets
from elr.training.config import TrainingConfig
from tiny_prepared import LABELS, C, N, prepared_features, prepared_images, prepared_texts

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


def plan_of(network, method=None, **settings):
    generations = 1 + (method.snapshots if isinstance(method, ELRConfig) else 0)
    loop = TrainingConfig(epochs=3, generations=generations, batch_size=12, device="cpu", precision="float32", seed=4)
    settings = {"augmentation": Augmentation()} | settings
    return Plan(method=method or ELRConfig(), network=network, training=loop, **settings)


FAST = NetworkSpec("fast", C)
MLP = NetworkSpec("mlp", C, num_features=5, hidden=(8,))
DROPS, NORMS = NetworkSpec("mlp", C, num_features=5, dropout=0.5), NetworkSpec("resnet18", C)


# Methods of plans


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vote"}, "method is 'vote': expected one of elr, elr_plus, cross_entropy, kl_penalty"),
        ({"name": "elr", "networks": 3}, "networks is 3: expected 1 or 2"),
        ({"name": "elr", "networks": 0}, "networks is 0: expected 1 or 2"),
        ({"name": "cross_entropy", "networks": 2}, "'cross_entropy' has no setting 'networks'"),
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
    at_rest = {"ensembling", "align", "align_power"}
    assert EVERY_SWITCH.described().keys() == {"name"} | {
        switch.name for switch in dataclasses.fields(ELRConfig) if switch.name not in at_rest
    }
    assert ELRConfig(align=True).described()["align"] is True
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
        plan_of(MLP, remarks=["something was left out"]),
        dataclasses.replace(plan_of(MLP), training=TrainingConfig(schedule="multistep", milestones=(2, 5), decay=0.1)),
    ],
)
def test_a_plan_survives_json_among_other_things(plan):
    text = json.dumps(plan.to_json() | {"status": "complete", "config": {}})
    assert Plan.from_json(json.loads(text)) == plan


@pytest.mark.parametrize(
    "lost", ["method", "network", "training", "augmentation", "targets", "whiten", "probe_period", "remarks"]
)
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
    prepared = prepared_features()
    training = plan_of(MLP, probe_period=2).build(prepared, probe=prepared.probe, folder=None)
    assert training.config == plan_of(MLP).training
    assert training.probe_period == 2
    assert training.folder is None
    assert training.probe is None
    assert isinstance(training.method, ELR)
    assert training.state.monitor.clean_labels is None


def test_clean_labels_go_to_the_monitor_alone():
    prepared = prepared_images(noise=("symmetric", 0.25), seed=1)
    training = plan_of(FAST).build(prepared, probe=None, folder=None)
    assert training.state.monitor.clean_labels.tolist() == LABELS.tolist()
    assert training.labels.tolist() == prepared.examples.labels.tolist() != LABELS.tolist()


def test_whitening_freezes_the_stem_of_both_networks_by_the_images_as_the_network_sees_them():
    prepared = prepared_images()
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
    training = plan_of(FAST).build(prepared_images(), probe=None, folder=None)
    assert training.method.network.stem.weight.requires_grad


def test_only_the_fast_network_can_be_whitened():
    with pytest.raises(ArgumentError, match="whiten is set for a MLP: only the fast network has such a layer"):
        plan_of(MLP, whiten=True).build(prepared_features(), probe=None, folder=None)


def test_a_probe_period_of_nothing_is_refused():
    prepared = prepared_images()
    with pytest.raises(ArgumentError, match="probe_period is 0"):
        plan_of(FAST, probe_period=0).build(prepared, probe=prepared.examples, folder=None).run()


# Networks for data


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (prepared_images, None, NetworkSpec("fast", C)),
        (lambda: prepared_images(channels=1), None, NetworkSpec("fast", C, in_channels=1)),
        (lambda: prepared_images(side=15), None, NetworkSpec("mlp", C, num_features=3 * 15 * 15)),
        (prepared_images, "mlp", NetworkSpec("mlp", C, num_features=3 * 16 * 16)),
        (prepared_images, "resnet34", NetworkSpec("resnet34", C)),
        (prepared_features, None, NetworkSpec("mlp", C, num_features=5)),
        (prepared_features, "linear", NetworkSpec("linear", C, num_features=5)),
        (prepared_texts, None, NetworkSpec("mlp", C, columns=(7, 13))),
        (prepared_texts, "linear", NetworkSpec("linear", C, columns=(0, 7))),
    ],
)
def test_a_network_fits_its_data(make, name, expected):
    assert network_for(make(), name) == expected


def test_networks_that_do_not_fit():
    with pytest.raises(ArgumentError, match="network 'resnet34' takes images, the data are features: use mlp or lin"):
        network_for(prepared_features(), "resnet34")
    with pytest.raises(ArgumentError, match="Network 'vgg' is unknown: take one of linear, mlp"):
        network_for(prepared_images(), "vgg")


@pytest.mark.parametrize(
    ("network", "method", "engine", "words"),
    [
        (MLP, None, "FSDP", None),
        (DROPS, None, None, None),
        (DROPS, None, "FSDP", "dropout of its own (as of another seed): "),
        (NORMS, None, None, None),
        (NORMS, None, "DEEPSPEED", "batch norm over its share of a batch (as of smaller ones): "),
        (MLP, DivideMixConfig(), None, "mixup within its share of a batch: "),
        (
            DROPS,
            DivideMixConfig(),
            None,
            "mixup within its share of a batch, dropout of its own (as of another seed): ",
        ),
    ],
)
def test_several_processes_say_where_they_do_not_give_the_run_of_one(network, method, engine, words, monkeypatch):
    plan = plan_of(network, method)
    assert plan.on_ranks().remarks == ()
    monkeypatch.setenv("WORLD_SIZE", "3")
    if engine:
        monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    said = plan.on_ranks().remarks
    assert len(said) == (words is not None)
    if words is not None:
        assert said[0].startswith(f"{TRAINED_BY}3 processes, each with {words}the results differ from those of one pro")
