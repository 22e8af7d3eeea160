"""Training again from the first weights, with the targets kept."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_cifar
from blobs import C, N, built, examples, network
from elr import files
from elr.data.kinds.catalog import load_preprocessing
from elr.data.preprocessing import Augmentation
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.datasets.as_data import CIFAR10_CLASSES
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.cross_entropy import LossMethod
from elr.methods.elr import ELRConfig
from elr.methods.ingredients.mixup import Mixing
from elr.methods.loss.fused import elr_loss
from elr.methods.method import Batch
from elr.networks.spec import NetworkSpec
from elr.runs.experiment import run_recipe
from elr.runs.plan import Plan
from elr.runs.predict import predict
from elr.runs.recipe import Changes
from elr.runs.recipes import RECIPES
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training

SETTINGS = {
    "elr": {"hold": 0.5},
    "averaged": {"hold": 0.5, "gamma": 0.9, "gamma_ramp": 5},
    "elr_plus": {"hold": 0.5, "gamma": 0.9, "mixup": 1.0},
    "snapshots": {"hold": 0.5, "snapshots": 1},
    "posterior": {"hold": 0.5, "posterior": True},
    "relabel": {"hold": 0.5, "posterior": True, "relabel": True, "lam_ramp": 9},
    "all": {"hold": 0.5, "snapshots": 1, "gamma": 0.9, "mixup": 1.0, "predict_with": "averaged"},
}


def method_of(name="elr", **changes):
    torch.manual_seed(0)
    networks = [network() for _ in range(2 if name in ("elr_plus", "all") else 1)]
    return built(ELRConfig(**SETTINGS[name] | changes), *networks)


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
    kept = {key for key in first if key.startswith("losses.") and not key.endswith(".nonfinite")}
    assert len(kept) == len(training.method.stores)
    for key in kept:
        assert torch.equal(before[key], after[key]) != training.method.config.posterior
        assert before[key].abs().sum() > 0
    for key in first.keys() - kept - {"_extra_state"} - {key for key in first if key.startswith("earlier.")}:
        assert torch.equal(after[key], first[key]), key
        if "weight" in key:
            assert not torch.equal(before[key], first[key]), key
    *steps, held_until, ended = after["_extra_state"].tolist()
    assert ended == 1
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


def test_held_targets_need_no_other_network():
    """One pass instead of two, and the outputs seen are those of the network that is trained."""
    method = method_of("elr_plus", mixup=0.0, hold=0.5)
    method.begin_pass(0)
    passes = []
    for name, module in (("own", method.network), ("peer", method.peer), ("averaged", method.averaged[1])):
        module.register_forward_hook(lambda *_, name=name: passes.append(name))
    index = torch.arange(12)
    batch = Batch(index, examples().inputs[index], examples().labels[index])
    method(batch)
    assert passes == ["averaged", "own"]
    method.begin_generation(20)  # held for ten steps
    seen = method(batch).logits
    assert passes[2:] == ["own"]
    assert torch.equal(seen, method.network(batch.inputs))


@pytest.mark.parametrize("peer", [False, True])
@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_held_targets_stand_in_for_the_given_labels(peer, mixup):
    method = method_of("elr_plus" if peer else "elr", relabel=True, hold=0.5, mixup=mixup, gamma=0.0)
    data = examples()
    index = torch.arange(12)
    for store in method.stores:
        store.update(torch.arange(N), torch.rand(N, C).softmax(dim=1), beta=0.0)
    method.begin_pass(0)
    batch = Batch(index, data.inputs[index], data.labels[index])
    mixing = Mixing(0.7, torch.randperm(12)) if mixup else None
    targets = method.stores[0].read(index)

    def expected(labels):
        inputs, soft, mixed = batch.inputs, labels, targets
        if mixing is not None:
            inputs, soft, mixed = mixing.mix_inputs(inputs), mixing.mix(labels), mixing.mix(targets)
        return elr_loss(method.network(inputs), soft, mixed, lam=method.config.lam, clamp=method.config.clamp)[0]

    one_hot = torch.nn.functional.one_hot(batch.labels, C).float()
    torch.testing.assert_close(method.eval()(batch, mixing).loss, expected(one_hot))
    method.begin_generation(20)  # held for ten steps
    torch.testing.assert_close(method(batch, mixing).loss, expected(targets))
    logits = method.network(batch.inputs).detach().requires_grad_()
    loss = elr_loss(logits, targets, targets, lam=method.config.lam, clamp=method.config.clamp)[0] * 12
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(method.logit_gradients(index, logits, batch.labels), gradient)
    method.steps[0] = 10
    torch.testing.assert_close(method(batch, mixing).loss, expected(one_hot))


@pytest.mark.parametrize(("stateless", "expected"), [(False, 3.0), (True, 3.0 * math.exp(-5.0))])
def test_lam_rises_once_where_targets_outlive_a_generation(stateless, expected):
    settings = {"ensembling": False, "gamma": 0.9, "hold": 0.0} if stateless else {}
    method = method_of(lam_ramp=8, lam=3.0, **settings)
    data = examples()
    batch = Batch(torch.arange(N), data.inputs, data.labels)

    def lam():
        terms = method.eval()(batch).terms
        return float((terms["loss"] - terms["cross_entropy"]) / terms["elr"])

    method.train()(batch)
    assert lam() == pytest.approx(3.0 * math.exp(-5.0 * (7 / 8) ** 2), rel=1e-4)
    method.ended = 1
    method.begin_generation(20)
    assert lam() == pytest.approx(expected, rel=1e-4)


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
    other = method_of(name)  # of other first weights: those of the run are in its checkpoint
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1.0)
    resumed = training_of(other, tmp_path)
    resumed.run(resume=True)
    assert len(resumed.history) == 4
    assert_equal(state_of(resumed), state_of(whole))


@pytest.mark.parametrize("name", ["snapshots", "all"])
def test_snapshots_predict_as_their_generations_ended(name, around):
    method = method_of(name)
    assert len(method.predictors) == method.passes
    training = training_of(method)
    inputs = examples().inputs[:9]
    ends = []

    def look(progress):
        if progress.epoch in (2, 4) and len(ends) < progress.epoch // 2:
            method.eval()
            with torch.no_grad():
                ends.append(torch.stack([network(inputs).softmax(dim=1) for network in method._present()]))
            method.train()

    training.run(on_progress=look)
    assert len(method.predictors) == 2 * method.passes
    method.eval()
    with torch.no_grad():
        found = method.predict(inputs)
    torch.testing.assert_close(found, torch.cat(ends).mean(dim=0))
    assert not torch.allclose(ends[0], ends[1], atol=1e-3)
    assert not any(weight.requires_grad for weight in method.earlier.parameters())


def test_the_oldest_snapshot_gives_way():
    method = method_of(snapshots=1)
    training_of(method, epochs=6, generations=3).run()
    second = method_of(snapshots=1)
    training_of(second, epochs=4, generations=2).run()
    assert_equal(method.earlier[0][0].state_dict(), second.network.state_dict())


def test_a_folder_holds_every_network_that_predicts(tmp_path):
    """What elr predict says is the mean of the networks in the file, and what the run said at its end."""
    training = TrainingConfig(
        epochs=3, generations=3, batch_size=10, optimizer="muon", precision="float32", device="cpu"
    )
    recipe = replace(
        RECIPES["fast-cifar10-sym40-elr"],
        widths=(8, 8, 8),
        training=training,
        augmentation=Augmentation(),
        method=ELRConfig(hold=0.5, snapshots=2),
    )
    images = tiny_cifar.write_parquet(tmp_path / "cifar")
    fitted = run_recipe(recipe, data=images, out=tmp_path / "run")
    predicted = predict(tmp_path / "run", images / "test.parquet")
    weights = files.read_tensors(tmp_path / "run" / files.MODEL_FILE)
    preprocessing = load_preprocessing(tmp_path / "run", fitted.run["preprocessing"])
    inputs = preprocessing.transform()(read_data(images / "test.parquet", ReadOptions(label="label")).images)
    probs = []
    for number in range(3):
        one = NetworkSpec("fast", 10, in_channels=3, widths=(8, 8, 8)).build(generator_seed=1)
        one.load_state_dict(
            {name.split(".", 1)[1]: value for name, value in weights.items() if name.startswith(f"{number}.")}
        )
        one.eval()
        with torch.no_grad():
            probs.append(one(inputs).softmax(dim=1))
    assert not torch.allclose(probs[0], probs[1], atol=1e-3)
    assert not torch.allclose(probs[1], probs[2], atol=1e-3)
    columns = [f"prob_{name}" for name in CIFAR10_CLASSES]
    np.testing.assert_allclose(predicted[columns].to_numpy(), torch.stack(probs).mean(dim=0).numpy(), atol=1e-5)
    right = [CIFAR10_CLASSES[label] for label in tiny_cifar.labels_of(20)]
    assert fitted.results["test_accuracy_last"] == pytest.approx((predicted["predicted_label"] == right).mean())


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


@pytest.mark.parametrize("hold", [1.5, -0.1, float("nan")])
def test_hold_out_of_range_is_refused(hold):
    with pytest.raises(ArgumentError, match=rf"hold is {hold}: expected a share of a generation in \[0, 1\]"):
        method_of(hold=hold)


@pytest.mark.parametrize("snapshots", [-1, 1.0, True])
def test_snapshots_are_a_number_of_generations(snapshots):
    with pytest.raises(ArgumentError, match=f"snapshots is {snapshots}: expected (a number of generations|an integer)"):
        method_of(snapshots=snapshots)


def test_settings_that_would_do_nothing_are_refused():
    with pytest.raises(ArgumentError, match="relabel learns held targets in place of labels, and hold is 0"):
        method_of(hold=0.0, relabel=True)
    with pytest.raises(
        ArgumentError, match="'kl_penalty' has no settings 'hold', 'relabel': expected some of lam, beta"
    ):
        method_from_json({"name": "kl_penalty", "hold": 1.0, "relabel": True})
    with pytest.raises(ArgumentError, match="relabel is for later generations, and there is one generation"):
        Plan(
            method=ELRConfig(hold=1.0, relabel=True),
            network=NetworkSpec("linear", 3, num_features=2),
            training=TrainingConfig(epochs=2),
            augmentation=Augmentation(),
        )
    with pytest.raises(ArgumentError, match="hold keeps targets for a while"):
        method_of(hold=0.5, ensembling=False, gamma=0.9)
    with pytest.raises(ArgumentError, match="'cross_entropy' has no setting 'snapshots'"):
        method_from_json({"name": "cross_entropy", "snapshots": 1})
    with pytest.raises(ArgumentError, match="snapshots is 2, generations 2: expected fewer snapshots"):
        Plan(
            method=ELRConfig(snapshots=2),
            network=NetworkSpec("linear", 3, num_features=2),
            training=TrainingConfig(epochs=2, generations=2),
            augmentation=Augmentation(),
        )
    with pytest.raises(ArgumentError, match=r"milestones are \(2,\), and a generation has 2 epochs"):
        TrainingConfig(epochs=4, generations=2, schedule="multistep", milestones=(2,))


def test_a_state_of_another_number_of_counters_is_refused():
    method = method_of("elr_plus")
    state = method.state_dict() | {"_extra_state": torch.tensor([3, 4])}
    with pytest.raises(ArgumentError, match="has 2 counters, expected 4"):
        method.load_state_dict(state)


def test_a_broken_off_generation_is_not_begun_twice(around):
    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 14:
            raise Stopped

    training = training_of(method_of("snapshots"))
    with pytest.raises(Stopped):
        training.run(on_progress=stop)
    training.run()
    assert len(around) == 3
    assert training.method.ended == 1


def test_a_recipe_of_another_length_keeps_generations_that_divide_it():
    recipe = RECIPES["fast-cifar10-sym40-elr"]
    assert recipe.training.generations == 3
    assert Changes(epochs=6).apply(recipe).training.generations == 3
    one = Changes(epochs=1).apply(recipe)
    assert one.training.generations == 1
    assert (one.method.hold, one.method.snapshots, one.method.posterior) == (0.0, 0, False)
    assert not one.method.relabel
    ramps = {epochs: Changes(epochs=epochs).apply(recipe).method.lam_ramp for epochs in (36, 6, 14, 1)}
    assert ramps == {36: 1080, 6: 180, 14: 1260, 1: 90}
    assert Changes(epochs=2).apply(RECIPES["cifar100-sym40-elr-plus"]).method.lam_ramp == 40_000
