"""Every method through one battery."""

import copy
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blobs import METHODS, C, N, blobs, built, examples
from demanding import Demanding, DemandingConfig
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform
from elr.errors import ArgumentError, CheckpointError
from elr.methods.elr import ELR
from elr.methods.ensemble.ensemble import Ensemble
from elr.methods.method import Batch, ParameterGroup
from elr.methods.peers.mixup import Mixup
from elr.networks.spec import NetworkSpec
from elr.targets.config import TargetsConfig
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training

CONFIG = TrainingConfig(epochs=6, batch_size=20, device="cpu")


@pytest.fixture(params=METHODS)
def make(request):
    return METHODS[request.param]


def state(training):
    return {name: value for name, value in training.method.state_dict().items() if isinstance(value, torch.Tensor)}


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_learns_separable_blobs(make):
    training = Training(make(), examples(), config=CONFIG)
    training.run()
    assert (training.predict(examples()).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.95
    assert training.history[-1]["loss"] < training.history[0]["loss"]


def test_resumes_bit_identical(make, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)  # one after each epoch
    whole = Training(make(), examples(), config=CONFIG, folder=tmp_path / "whole", probe=examples())
    (tmp_path / "whole").mkdir()
    whole.run()

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.step == 20 * broken.method.passes:  # within the fourth epoch
            raise Killed

    broken = Training(make(), examples(), config=CONFIG, folder=tmp_path / "broken", probe=examples())
    (tmp_path / "broken").mkdir()
    with pytest.raises(Killed):
        broken.run(on_progress=kill)
    resumed = Training(make(), examples(), config=CONFIG, folder=tmp_path / "broken", probe=examples())
    resumed.run(resume=True)
    assert len(broken.history) == 3
    assert resumed.earlier_seconds == pytest.approx(sum(line["seconds"] for line in broken.history))
    assert_equal_states(state(whole), state(resumed))
    assert torch.equal(whole.probe_labels, resumed.probe_labels)
    timing = ("seconds", "examples_per_second")
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert str({k: v for k, v in one.items() if k not in timing}) == str(
            {k: v for k, v in other.items() if k not in timing}
        )


def test_the_same_seed_gives_the_same_run_and_another_does_not(make):
    def run(seed):
        training = Training(make(), examples(), config=TrainingConfig(epochs=2, batch_size=20, seed=seed, device="cpu"))
        training.run()
        return state(training)

    first = run(1)
    assert_equal_states(first, run(1))
    assert any(not torch.equal(value, run(2)[name]) for name, value in first.items())


def test_eval_changes_nothing(make):
    training = Training(make(), examples(), config=CONFIG)
    training.run()
    before = {name: value.clone() for name, value in state(training).items()}
    batch = Batch(torch.arange(10), examples().fetch(torch.arange(10)), examples().labels[:10])
    training.method.eval()
    training.method(batch)
    training.predict(examples())
    training.pred_probs()
    assert_equal_states(before, state(training))


def test_logit_gradients_are_those_of_the_step(make):
    """What diagnostics say training does is what it does; asking changes nothing."""
    method = make().train()
    method.begin_pass(0)
    index = torch.tensor([4, 9, 2, 30])
    labels = examples().labels[index]
    for _ in range(2):
        step = method(Batch(index, examples().fetch(index), labels))
    before = {name: value.clone() for name, value in method.state_dict().items() if isinstance(value, torch.Tensor)}
    gradients = method.logit_gradients(index, step.logits, labels)
    if gradients is None:
        assert isinstance(method, Ensemble) or not method.config.ensembling
        return
    assert gradients.shape == (4, C)
    torch.testing.assert_close(gradients.sum(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
    if isinstance(method, ELR) and method.config.align:
        return  # the step saw the targets from before it; these are of the next one
    if step.logits.requires_grad:  # those of the network that is trained, not mixed
        (expected,) = torch.autograd.grad(step.loss * len(index), step.logits)
        torch.testing.assert_close(gradients, expected, atol=2e-3, rtol=2e-3)  # targets may be kept in bfloat16
    after = {name: value for name, value in method.state_dict().items() if isinstance(value, torch.Tensor)}
    assert_equal_states(before, after)


def test_repeated_and_permuted_rows_are_one_step(make):
    """A batch in another order, and each row twice, gives the same loss and per-example state."""
    rows = torch.tensor([4, 9, 2, 30])
    results = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [0, 1, 2, 3, 0, 1, 2, 3]):
        method = make().train()
        method.begin_pass(0)
        for module in method.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(module, ELR):
                module.config = replace(module.config, mixup=0.0)
            elif isinstance(module, Mixup):
                module.config = replace(module.config, alpha=0.0)
        index = rows[order]
        step = method(Batch(index, examples().fetch(index), examples().labels[index]))
        results.append((step.loss, method.pred_probs(torch.arange(N))))
    for loss, probs in results[1:]:
        torch.testing.assert_close(loss, results[0][0])
        if probs is not None:
            torch.testing.assert_close(probs, results[0][1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_precisions_learn(make, precision):
    config = TrainingConfig(epochs=6, batch_size=20, precision=precision, device="cpu")
    training = Training(make(), examples(), config=config)
    training.run()
    assert (training.predict(examples()).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.95


def test_two_ranks_give_the_targets_of_one(tmp_path):
    """The same batches on one process and on two (gloo), with batches that two processes cannot share evenly."""
    script = Path(__file__).parents[1] / "two_ranks.py"
    single, double = tmp_path / "one.pt", tmp_path / "two.pt"
    subprocess.run([sys.executable, script, single], check=True, timeout=300)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    subprocess.run(
        [*launcher, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", script, double], check=True, timeout=300
    )
    one, two = torch.load(single, weights_only=True), torch.load(double, weights_only=True)
    assert two["ranks"] == 2
    assert one["ranks"] == 1
    assert one["targets"].sum() > 0.5 * N
    torch.testing.assert_close(two["targets"], one["targets"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two["probs"], one["probs"], atol=1e-5, rtol=1e-4)
    assert two["targets"].shape == (N, C)
    assert two["spoiled"].any(dim=1).nonzero().flatten().tolist() == [0, 2, 3, 5, 8]  # what any rank has finite
    assert two["spoiled"].isfinite().all()
    assert two["nonfinite"].tolist() == [3, 2]
    assert two["agreement"] == pytest.approx(one["agreement"])
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for single, double in zip(one["history"], two["history"], strict=True):
        assert double == pytest.approx(single, rel=1e-4, abs=1e-5)
    assert two["pair agreement"] == pytest.approx(one["pair agreement"])
    torch.testing.assert_close(two["pair"], one["pair"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two["aligned"], one["aligned"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two["weights"], one["weights"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(one["weights"], torch.ones(C), atol=1e-3)
    torch.testing.assert_close(two["stateless probs"], one["stateless probs"], atol=1e-5, rtol=1e-4)
    assert torch.equal(two["resumed"], two["targets"])
    torch.testing.assert_close(two["weighed"], one["weighed"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(two["weighed probs"], one["weighed probs"], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(one["weighed"], one["targets"], atol=1e-2)
    torch.testing.assert_close(two["joint"], one["joint"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(two["joint probs"], one["joint probs"], atol=1e-4, rtol=1e-3)
    assert two["joint prior"] == pytest.approx(one["joint prior"], rel=1e-3, abs=1e-5)
    torch.testing.assert_close(two["ensemble"], one["ensemble"], atol=1e-4, rtol=1e-3)
    assert two["hits"].equal(one["hits"])
    torch.testing.assert_close(two["demanding"], one["demanding"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two["shifts"], one["shifts"], atol=1e-5, rtol=1e-4)
    assert one["shifts"].abs().max() > 0.01
    torch.testing.assert_close(two["noise"], one["noise"], atol=1e-5, rtol=1e-4)
    assert one["noise"].abs().max() > 1.0
    torch.testing.assert_close(two["corrected probs"], one["corrected probs"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(two["truncated probs"], one["truncated probs"], atol=1e-4, rtol=1e-3)
    for name in ("estimates", "kept"):  # every rank has the same, and what one has
        assert all(torch.equal(each, two[name][0]) for each in two[name])
        torch.testing.assert_close(two[name][0], one[name][0], atol=1e-4, rtol=1e-3)
    assert 0 < one["kept"].sum() < N
    for found in (one, two):
        rows = found["rows"][found["rows"] >= 0]
        assert sorted(rows.tolist()) == sorted(row for epoch in range(3) for row in chosen_rows(epoch))
        assert torch.equal(found["visited"].nonzero().flatten(), rows.unique())
    for found in (one, two):
        assert all(torch.equal(each, found["divisions"][0]) for each in found["divisions"])  # every rank has the same
        assert found["agreed"].tolist() == [7.0] * found["ranks"]
        rows = found["divided rows"]
        torch.testing.assert_close(found["divided evidence"].sum(dim=1), torch.ones(N))
        assert len(rows[rows >= 0]) > 3 * N  # two warm-up passes, and two over the labeled rows and others
    ones, twos = (found["divided rows"][found["divided rows"] >= 0].sort().values for found in (one, two))
    assert torch.equal(ones, twos)  # the first division is of networks that no mixing has touched


# What a method asks of the loop


def chosen_rows(epoch):
    """Those of the method in demanding.py, by its rule: 80 %, from 31 rows further on in each epoch."""
    return [(row + 31 * (epoch + 1)) % N for row in range(96)]


def demanding_training(settings=None, **changes):
    config = TrainingConfig(**{"epochs": 3, "batch_size": 20, "device": "cpu", "precision": "float32"} | changes)
    return Training(built(DemandingConfig(**settings or {})), examples(), config=config)


def watched(training):
    """The batches of a run, as the method sees them."""
    seen = []
    training.method.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    training.run()
    return seen


def test_exactly_the_chosen_rows_are_trained_on():
    training = demanding_training()
    batches = watched(training)
    assert [len(batch.index) for batch in batches] == [20, 19, 19, 19, 19] * 3
    for epoch in range(3):
        rows = torch.cat([batch.index for batch in batches[5 * epoch : 5 * epoch + 5]]).tolist()
        assert sorted(rows) == sorted(chosen_rows(epoch))
        assert rows != sorted(rows)
    probs, whole = training.pred_probs(), training.predict(examples())
    missed = ~training.state.visited
    assert not missed.any()  # in three epochs all have had their turn
    assert not torch.allclose(probs, whole, atol=1e-3)


def test_several_sets_of_rows_have_an_equal_share_of_each_batch(monkeypatch):
    def sets(method, epoch, number):
        rows = torch.arange(N).roll(int(method.begun))
        return [rows[:50], rows[50:57]]

    monkeypatch.setattr(Demanding, "epoch_rows", sets)
    training = demanding_training(epochs=1)
    batches = watched(training)
    first, second = sets(training.method, 0, 0)
    assert [len(batch.index) for batch in batches] == [10 + 7] * 5
    assert [batch.done for batch in batches] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert sorted(torch.cat([batch.index[:10] for batch in batches]).tolist()) == sorted(first.tolist())
    for batch in batches:
        assert sorted(batch.index[10:].tolist()) == sorted(second.tolist())
    assert training.state.visited.nonzero().flatten().tolist() == sorted([*first.tolist(), *second.tolist()])


def test_rows_that_no_epoch_chose_are_judged_by_the_network():
    training = demanding_training(epochs=1)
    training.run()
    missed = ~training.state.visited
    assert missed.nonzero().flatten().tolist() == sorted(set(range(N)) - set(chosen_rows(0)))
    assert torch.equal(training.pred_probs()[missed], training.predict(examples())[missed])


def test_learning_rates_go_on_by_the_share_of_the_pass_that_is_done():
    steps, rates = [], []

    def note(progress):
        steps.append(progress.step)
        rates.append(training.optimizers[0].param_groups[0]["lr"])

    training = demanding_training(epochs=2)
    training.run(on_progress=note)
    assert training.steps_per_epoch == 6
    assert steps == [1, 2, 3, 4, 6, 6, 7, 8, 9, 10, 12, 12]  # five batches stand for six steps; once more at the end
    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * step / 12)) for step in steps])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_views_are_augmentations_of_the_same_rows(views, monkeypatch):
    images = torch.randint(256, (40, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    network = NetworkSpec("mlp", C, num_features=3 * 8 * 8, hidden=(8,)).build(generator_seed=0)
    method = DemandingConfig().build([network], num_examples=40, num_classes=C)
    monkeypatch.setattr(type(method), "views", views)
    config = TrainingConfig(epochs=1, batch_size=20, device="cpu", precision="float32")
    transform = ImageTransform([0.5] * 3, [0.2] * 3, flip=True, flatten=True)
    for batch in watched(Training(method, Examples(images, torch.arange(40) % C), config=config, transform=transform)):
        assert len(batch.views) == views - 1
        plain, mirrored = transform(images[batch.index]), transform(images[batch.index].flip(3))
        flips = []
        for inputs in (batch.inputs, *batch.views):
            flips.append((inputs == mirrored).all(dim=1))
            assert torch.equal((inputs == plain).all(dim=1), ~flips[-1])
        assert len({tuple(flip.tolist()) for flip in flips}) == views


def test_a_group_has_the_rate_and_the_decay_that_it_asks_for():
    """One step over all rows, by hand: the run decays its weights, the shifts go their own way."""
    changes = {"epochs": 1, "batch_size": N, "schedule": "constant", "learning_rate": 0.1, "weight_decay": 0.2}
    training = demanding_training({"rate": 7.0, "share": 1.0, "shown": 0.0}, **changes)
    with torch.no_grad():
        training.method.shifts += 1.0  # what a decay would be seen by
    method = copy.deepcopy(training.method)
    loss = torch.nn.functional.cross_entropy(method.network(examples().inputs) + method.shifts, examples().labels)
    loss.backward()
    training.run()
    torch.testing.assert_close(training.method.shifts, method.shifts - 7.0 * method.shifts.grad)
    for weight, before in zip(training.method.network.parameters(), method.network.parameters(), strict=True):
        torch.testing.assert_close(weight, before - 0.1 * (before.grad + 0.2 * before))
    assert training.history[0]["learning_rate"] == 0.1


@pytest.mark.parametrize(("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_store_is_the_one_of_the_config(dtype, expected):
    method = built(DemandingConfig(), targets=TargetsConfig(dtype=dtype))
    [store] = method.stores
    assert store.table.dtype == expected
    training = Training(method, examples(), config=CONFIG)
    training.run()
    assert method.stores[0] is store
    assert store.table.sum() > 0.5 * N


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.tensor([3, N]), f"chose row {N} of {N} examples: expected rows in"),
        (torch.tensor([-1, 3]), "chose row -1 of"),
        (torch.tensor([3, 5, 3]), "chose row 3 more than once"),
        (torch.tensor([], dtype=torch.int64), "chose no rows to train on"),
        (torch.tensor([True] * N), "of shape .* and type torch.bool: expected .M,. int64"),
        (
            [torch.tensor([3, 5]), torch.tensor([5])],
            "chose row 5 for two sets: expected sets that have no row in common",
        ),
        ([torch.tensor([3, 5]), torch.tensor([N])], f"chose row {N} of {N} examples"),
        ([torch.tensor([3]), torch.tensor([], dtype=torch.int64)], "chose no rows to train on"),
        ([], r"chose list \[\] to train on: expected a tensor of rows, or several"),
        ([3, 5], r"chose list \[3, 5\] to train on"),
        (
            [torch.tensor([row]) for row in range(21)],
            "chose 21 sets of rows, and a batch has 20: expected a batch size",
        ),
    ],
)
def test_rows_that_cannot_be_are_refused(rows, message, monkeypatch):
    monkeypatch.setattr(Demanding, "epoch_rows", lambda *_: rows)
    with pytest.raises(ArgumentError, match=message):
        demanding_training().run()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda method: [], "Demanding has no parameters for pass 0"),
        (
            lambda method: [ParameterGroup([torch.nn.Parameter(torch.zeros(5, 2))])],
            r"of shape \(5, 2\) that is",
        ),
        (lambda method: 2 * [ParameterGroup([method.shifts])], "shifts comes twice in the groups"),
        (lambda method: [ParameterGroup([])], "has no weights"),
        (lambda method: [ParameterGroup([method.shifts], learning_rate=-1.0)], "learning_rate of a group .* is -1.0"),
        (lambda method: [ParameterGroup([method.shifts], weight_decay=math.nan)], "weight_decay of a group .* is nan"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, message, monkeypatch):
    monkeypatch.setattr(Demanding, "parameter_groups", lambda method, number: groups(method))
    with pytest.raises(ArgumentError, match=message):
        demanding_training()


@pytest.mark.parametrize("views", [0, 1.5, True])
def test_views_that_cannot_be_are_refused(views, monkeypatch):
    monkeypatch.setattr(Demanding, "views", views)
    with pytest.raises(ArgumentError, match=f"views={views}: expected how many a batch has"):
        demanding_training()


def test_a_checkpoint_of_other_groups_is_refused(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    config = TrainingConfig(epochs=1, batch_size=20, device="cpu")
    Training(built(DemandingConfig()), examples(), config=config, folder=tmp_path / "run").run()
    monkeypatch.setattr(Demanding, "parameter_groups", lambda method, number: [ParameterGroup([method.shifts])])
    other = Training(built(DemandingConfig()), examples(), config=config, folder=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"groups was .*, now"):
        other.run(resume=True)


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_inputs_that_are_not_finite_spoil_the_step_but_not_what_is_kept(make, bad):
    method = make().train()
    training = Training(method, examples(), config=CONFIG)
    inputs, labels = examples().fetch(torch.arange(N)), torch.from_numpy(blobs()[1])
    for number in range(method.passes):
        method.begin_pass(number)
    for index in (torch.arange(40), torch.arange(20, 60)):
        given = inputs[index].clone()
        if index[0]:
            given[3] = bad
        step = method(Batch(index, given, labels[index], tuple(given for _ in range(method.views - 1))))
        training.state.monitor.update(index, step.logits)
    assert not step.loss.isfinite()
    rows = torch.arange(N)
    for store in method.stores:
        assert store.read(rows).isfinite().all()
    training.state.monitor.end_epoch()
    assert np.isfinite(training.state.monitor.margins[:60]).all()
