"""Every method through one battery."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blobs import METHODS, C, N, blobs, examples
from elr.methods.elr import ELR
from elr.methods.method import Batch
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
        assert isinstance(method, ELR)
        assert not method.config.ensembling
        return
    assert gradients.shape == (4, C)
    torch.testing.assert_close(gradients.sum(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
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
    assert two["agreement"] == pytest.approx(one["agreement"])
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for single, double in zip(one["history"], two["history"], strict=True):
        assert double == pytest.approx(single, rel=1e-4, abs=1e-5)
    assert two["pair agreement"] == pytest.approx(one["pair agreement"])
    torch.testing.assert_close(two["pair"], one["pair"], atol=1e-5, rtol=1e-4)
    assert torch.equal(two["resumed"], two["targets"])
    torch.testing.assert_close(two["weighed"], one["weighed"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(two["weighed probs"], one["weighed probs"], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(one["weighed"], one["targets"], atol=1e-2)
