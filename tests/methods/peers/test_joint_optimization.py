import math

import numpy as np
import pytest
import torch
from torch import nn

from blobs import C, N, Rows, blobs, built, examples
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.method import Batch
from elr.methods.peers.joint_optimization import JointOptimization, JointOptimizationConfig
from elr.targets.dense import DenseTargets
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from planted import Planted


def batch_of(rows):
    rows = torch.as_tensor(rows)
    return Batch(rows, examples().fetch(rows), examples().labels[rows])


def training_of(settings=None, **changes):
    method = built(JointOptimizationConfig(**{"begin": 2, "window": 2} | (settings or {})))
    changes = {"epochs": 4, "batch_size": 20, "device": "cpu", "precision": "float32"} | changes
    folder = changes.pop("folder", None)
    return Training(method, examples(), config=TrainingConfig(**changes), folder=folder)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def restated(logits, labels, shares, *, alpha, beta):
    """The loss in NumPy, term by term."""
    probs = softmax(logits)
    mean = probs.mean(axis=0)
    entropy = -(labels * np.log(probs)).sum(axis=1).mean()
    prior = (shares * np.log(shares / mean)).sum()
    own = -(probs * np.log(probs)).sum(axis=1).mean()
    return entropy + alpha * prior + beta * own, entropy, prior, own


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(("begin", "window"), [(1, 1), (2, 3), (4, 3)])
def test_labels_are_the_mean_of_the_outputs_of_the_last_epochs_from_the_right_epoch_on(begin, window, hard):
    """Two batches an epoch over six rows, with weights that move; all is restated beside it."""
    method = built(JointOptimizationConfig(begin=begin, window=window, hard=hard)).train()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.05)
    rows = np.array([7, 3, 50, 9, 11, 80])
    given = np.eye(C)[examples().labels[rows].numpy()]
    shares = np.bincount(blobs()[1], minlength=C) / N
    said = []
    for epoch in range(8):
        method.begin_epoch(epoch, Rows())
        outputs = np.zeros((6, C))
        for part in (slice(0, 4), slice(4, 6)):
            labels = given[part]
            if epoch >= begin:
                labels = np.mean([each[part] for each in said[-window:]], axis=0)
                labels = np.eye(C)[labels.argmax(axis=1)] if hard else labels
            step = method(batch_of(rows[part]))
            logits = step.logits.detach().double().numpy()
            outputs[part] = softmax(logits)
            expected = restated(logits, labels, shares, alpha=1.2, beta=0.8)
            found = [step.loss.item(), *(step.terms[name].item() for name in ("cross_entropy", "prior", "entropy"))]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
        said.append(outputs)
        estimates = np.mean(said[-window:], axis=0)
        np.testing.assert_allclose(method.pred_probs(torch.from_numpy(rows)).numpy(), estimates, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_formula():
    method, batch = built(JointOptimizationConfig()).train(), batch_of(range(10))
    method.begin_epoch(0, Rows())
    method(batch).loss.backward()
    found = [weight.grad.clone() for weight in method.parameters()]
    method.zero_grad()
    probs = method.network(batch.inputs).softmax(dim=1)
    shares = torch.from_numpy(np.bincount(blobs()[1], minlength=C) / N).float()
    entropy = nn.functional.cross_entropy(method.network(batch.inputs), batch.labels)
    prior = (shares * (shares / probs.mean(dim=0)).log()).sum()
    (entropy + 1.2 * prior - 0.8 * (probs * probs.log()).sum(dim=1).mean()).backward()
    for expected, weight in zip(found, method.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected, atol=1e-6, rtol=1e-4)


def constant(logits, **settings):
    """A method whose network says these logits of rows 0, 1, 2, whatever they are."""
    network = nn.Linear(3, C, bias=False)
    network.weight.data = logits.T.contiguous()
    method = JointOptimizationConfig(**settings).build([network], num_examples=3, num_classes=C)
    return method(Batch(torch.arange(3), torch.eye(3), torch.tensor([0, 1, 2])))


def test_the_prior_term_is_zero_where_the_mean_is_the_prior_and_grows_beyond_all_bounds():
    even = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]])
    step = constant(even, prior="uniform")
    assert step.terms["prior"].item() == pytest.approx(0.0, abs=1e-6)
    probs = softmax(even.double().numpy())
    assert step.terms["entropy"].item() == pytest.approx(-(probs * np.log(probs)).sum() / 3, rel=1e-5)
    one = torch.tensor([[9.0, 0.0, 0.0]]).expand(3, 3)
    mean = softmax(one.double().numpy())[0]
    assert constant(one, prior="uniform").terms["prior"].item() == pytest.approx(-np.log(3 * mean).mean(), rel=1e-5)
    far = constant(torch.tensor([[1e4, 0.0, 0.0]]).expand(3, 3), prior="uniform")  # the mean of a class is 0 in float32
    assert far.terms["prior"].item() == pytest.approx(2e4 / 3, rel=1e-3)
    assert far.loss.isfinite()


def test_a_class_that_nobody_was_given_takes_no_part_in_the_prior():
    method, given = built(JointOptimizationConfig()), torch.arange(N) % 2
    method.begin_epoch(0, Rows(given))
    step = method(batch_of(range(6)))
    mean = step.logits.detach().softmax(dim=1).mean(dim=0)[:2]
    assert step.terms["prior"].item() == pytest.approx(-(2 * mean).log().mean().item(), rel=1e-4)


def test_a_row_without_a_step_keeps_its_given_label():
    method = built(JointOptimizationConfig(begin=1, window=2)).train()
    method(batch_of([4, 9]))
    method.begin_epoch(1, Rows())
    index, given = torch.tensor([9, 30]), torch.tensor([1, 2])
    assert method.labels(index, given)[1].tolist() == [0.0, 0.0, 1.0]
    assert method.labels(index, given)[0].sum() == pytest.approx(1.0)
    shares = torch.tensor([[0.2, 0.3, 0.5]] * 2)
    torch.testing.assert_close(method.labels(index, shares)[1], shares[1])


def test_training_anew_starts_from_the_first_weights_and_keeps_the_labels():
    training = training_of({"begin": 1}, epochs=4, generations=2, learning_rate=0.1)
    method, rows = training.method, torch.arange(N)
    first = {name: value.clone() for name, value in method.network.state_dict().items()}
    seen = []

    def look(module, arguments):
        if module.training and not seen and method.fixed:
            seen.append({name: value.clone() for name, value in method.network.state_dict().items()})
            seen.append(method.pred_probs(rows))

    method.register_forward_pre_hook(look)
    training.run()
    weights, labels = seen
    assert all(torch.equal(value, weights[name]) for name, value in first.items())
    assert torch.equal(method.pred_probs(rows), labels)
    batch = batch_of(range(10))
    step = method(batch)
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(step.logits, labels[:10]))
    assert training.history[-1]["loss"] == training.history[-1]["cross_entropy"]
    assert training.history[1]["loss"] != training.history[1]["cross_entropy"]


def test_labels_that_the_first_generation_did_not_replace_stay_the_given_ones():
    training = training_of({"begin": 3}, epochs=4, generations=2)
    training.run()
    given = examples().labels
    assert torch.equal(training.method.labels(torch.arange(N), given), given)


@pytest.mark.parametrize("stop", [9, 13, 22])
def test_a_killed_run_with_training_anew_goes_on_bit_identical(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)
    (tmp_path / "run").mkdir()
    settings = {"settings": {"begin": 1}, "generations": 2, "learning_rate": 0.1}
    whole = training_of(**settings)
    whole.run()

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.step == stop:
            raise Killed

    with pytest.raises(Killed):
        training_of(**settings, folder=tmp_path / "run").run(on_progress=kill)
    resumed = training_of(**settings, folder=tmp_path / "run")
    resumed.run(resume=True)
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name


@pytest.mark.parametrize("settings", [{}, {"hard": True}, {"retrain": True}])
def test_wrong_labels_of_a_planted_problem_are_corrected(settings):
    planted = Planted(noise=0.4)
    config = JointOptimizationConfig(begin=10, window=5, **{"retrain": False} | settings)
    plain, robust = planted.trained(CrossEntropyConfig()), planted.trained(config, generations=config.generations)
    assert planted.accuracy(robust) > max(0.9, planted.accuracy(plain) + 0.2)
    assert planted.corrected(robust) > max(0.9, planted.corrected(plain) + 0.4)


def test_without_the_prior_term_labels_may_all_become_one_class():
    planted, settings = Planted(noise=0.4), {"beta": 3.0, "begin": 10, "window": 5, "retrain": False}
    collapsed, held = (planted.trained(JointOptimizationConfig(alpha=alpha, **settings)) for alpha in (0.0, 1.2))
    assert len(collapsed.pred_probs().argmax(dim=1).unique()) == 1
    assert planted.accuracy(held) > 0.9


@pytest.mark.parametrize(
    ("epochs", "asked", "begin", "window"),
    [
        (400, {}, 70, 10),
        (800, {}, 70, 10),
        (200, {"retrain": False}, 70, 10),
        (100, {}, 17, 10),
        (15, {}, 2, 2),
        (1, {}, 1, 1),
        (20, {"begin": 9}, 9, 9),
        (20, {"begin": 2, "window": 4}, 2, 4),
    ],
)
def test_shorter_runs_replace_labels_earlier_unless_asked(epochs, asked, begin, window):
    config = JointOptimizationConfig.for_run(asked, steps=10 * epochs, epochs=epochs, fast=False)
    assert (config.begin, config.window) == (begin, window)


def test_a_run_that_would_never_replace_a_label_is_refused():
    for asked, message in (({}, "the first half of the run has 10"), ({"retrain": False}, "the run has 20")):
        with pytest.raises(ArgumentError, match=f"begin is 70, and {message} epochs, so that no label would ever"):
            JointOptimizationConfig.for_run({"begin": 70, **asked}, steps=200, epochs=20, fast=False)


def test_generations_go_with_training_anew():
    config = JointOptimizationConfig()
    config.check_generations(2)
    with pytest.raises(ArgumentError, match="generations is 1, and 'joint_optimization' with retrain=True trains anew"):
        config.check_generations(1)
    single = config.resized(0.5, generations=1)
    assert (single.retrain, single.begin, single.generations) == (False, 35, 1)
    single.check_generations(1)
    with pytest.raises(ArgumentError, match="retrain=False does not train anew: set training's generations to 1"):
        single.check_generations(3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1.0}, "alpha is -1.0: expected a weight >= 0"),
        ({"beta": math.inf}, "beta is inf: expected a weight"),
        ({"begin": 0}, "begin is 0: expected at least 1 epoch"),
        ({"window": 0}, "window is 0: expected at least 1 epoch"),
        ({"prior": "flat"}, "prior is 'flat': expected 'given' or 'uniform'"),
        ({"hard": "yes"}, "hard is 'yes': expected True or False"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        JointOptimizationConfig(**settings)


def test_stores_of_another_number_than_the_window_are_refused():
    store = DenseTargets(N, C)
    with pytest.raises(ArgumentError, match="2 stores for a window of 3 epochs"):
        JointOptimization(nn.Linear(2, 3), JointOptimizationConfig(window=3), outputs=[store, DenseTargets(N, C)])
    with pytest.raises(ArgumentError, match="2 stores for a window of 2 epochs"):
        JointOptimization(nn.Linear(2, 3), JointOptimizationConfig(window=2), outputs=[store, store])
