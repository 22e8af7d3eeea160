import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from blobs import C, Rows, built, examples
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.method import Batch
from elr.methods.peers.co_teaching import CoTeachingConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from planted import Planted


def batch_of(count=20):
    rows = torch.arange(count)
    return Batch(rows, examples().fetch(rows), examples().labels[rows])


def at_epoch(epoch, **settings):
    method = built(CoTeachingConfig(**{"forget_rate": 0.4, "ramp_epochs": 4} | settings)).train()
    method.begin_epoch(epoch, Rows())
    return method


def losses_of(network, batch):
    """Cross entropies in NumPy, float64."""
    logits = network(batch.inputs).detach().double().numpy()
    logits -= logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), batch.labels.numpy()]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("ramp_epochs", [1, 5, 10])
@pytest.mark.parametrize("tau", [0.0, 0.2, 0.45])
def test_the_keep_rate_is_that_of_the_paper(tau, ramp_epochs, exponent):
    config = CoTeachingConfig(forget_rate=tau, ramp_epochs=ramp_epochs, exponent=exponent)
    for epoch in range(20):
        assert config.keep_rate(epoch) == pytest.approx(1 - tau * min(epoch**exponent / ramp_epochs, 1), abs=1e-15)
    assert config.keep_rate(0) == 1.0


def test_a_run_trains_on_the_share_that_the_keep_rate_says():
    config = TrainingConfig(epochs=6, batch_size=20, device="cpu")
    training = Training(built(CoTeachingConfig(forget_rate=0.4, ramp_epochs=4)), examples(), config=config)
    training.run()
    assert [record["kept"] for record in training.history] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.6])


def test_the_keep_rate_starts_again_with_the_networks():
    config = TrainingConfig(epochs=6, generations=2, batch_size=20, device="cpu")
    training = Training(built(CoTeachingConfig(forget_rate=0.4, ramp_epochs=2)), examples(), config=config)
    training.run()
    assert [record["kept"] for record in training.history] == pytest.approx([1.0, 0.8, 0.6] * 2)


@pytest.mark.parametrize("rows", [1, 3, 10, 64, 125])
def test_rows_are_rounded_down_and_floating_point_costs_none(rows):
    for tenths in range(10):
        config = CoTeachingConfig(forget_rate=tenths / 10, ramp_epochs=1)
        assert config.num_kept(1, rows) == max(1, (10 - tenths) * rows // 10)


@pytest.mark.parametrize("epoch", [0, 1, 4, 9])
def test_each_network_trains_on_the_rows_that_the_other_picked(epoch):
    method, batch = at_epoch(epoch), batch_of()
    plain = copy.deepcopy(method)
    step = method(batch)
    step.loss.backward()
    count = math.floor(20 * (1 - 0.4 * min(epoch / 4, 1)) + 1e-9)
    picked = [np.argsort(losses_of(network, batch), kind="stable")[:count] for network in plain.predictors]
    assert epoch == 0 or set(picked[0]) != set(picked[1]), "or else the test could not tell"
    for network, trained, rows in zip(plain.predictors, method.predictors, reversed(picked), strict=True):
        loss = nn.functional.cross_entropy(network(batch.inputs[rows]), batch.labels[rows])
        loss.backward()
        for expected, found in zip(network.parameters(), trained.parameters(), strict=True):
            torch.testing.assert_close(found.grad, expected.grad)
    if epoch:  # and not on its own
        plain.zero_grad()
        own = picked[0]
        nn.functional.cross_entropy(plain.network(batch.inputs[own]), batch.labels[own]).backward()
        found, other = (next(each.network.parameters()).grad for each in (method, plain))
        assert not torch.allclose(found, other, atol=1e-4)
    means = [
        losses_of(network, batch)[rows].mean() for network, rows in zip(plain.predictors, picked[::-1], strict=True)
    ]
    assert step.terms["loss"].item() == pytest.approx(np.mean(means), rel=1e-5)
    assert step.terms["kept"].item() == pytest.approx(count / 20)


def test_of_equal_rows_the_earlier_ones_are_kept():
    method = at_epoch(4)
    losses = torch.tensor([2.0, 1.0, 1.0, 0.5, 1.0])
    assert method.choose(losses).tolist() == [3, 1, 2]
    assert method.choose(torch.zeros(5)).tolist() == [0, 1, 2]


def test_a_row_that_is_not_finite_is_not_picked_before_others():
    assert at_epoch(4).choose(torch.tensor([torch.nan, 3.0, torch.inf, 1.0, 2.0])).tolist() == [3, 4, 1]


def test_at_least_one_row_is_kept():
    method = at_epoch(9, forget_rate=0.99)
    for count in (1, 2, 50):
        step = method(batch_of(count))
        assert step.loss.isfinite()
        assert step.terms["kept"].item() == pytest.approx(1 / count)


def test_rows_that_are_left_out_have_no_gradient():
    method, labels = at_epoch(4), torch.tensor([0, 1, 2, 0, 1])
    logits = 3.0 * nn.functional.one_hot(torch.tensor([0, 1, 2, 1, 2]), C).float()  # the last two disagree
    gradients = method.logit_gradients(torch.arange(5), logits, labels)
    expected = (logits.softmax(dim=1) - nn.functional.one_hot(labels, C)) * 5 / 3
    torch.testing.assert_close(gradients[:3], expected[:3])
    assert not gradients[3:].any()


def test_labels_may_be_shares():
    method, batch = at_epoch(4), batch_of()
    loss = method(batch).loss
    shares = nn.functional.one_hot(batch.labels, C).float()
    torch.testing.assert_close(method(batch._replace(labels=shares)).loss, loss)


@pytest.mark.parametrize("noise", [0.3, 0.4])
def test_planted_noise_is_memorized_less_than_by_cross_entropy(noise):
    planted, configs = Planted(noise=noise), (CrossEntropyConfig(), CoTeachingConfig(forget_rate=noise))
    plain, robust = (planted.trained(config) for config in configs)
    assert planted.accuracy(robust) > planted.accuracy(plain) + 0.1
    assert planted.corrected(robust) > planted.corrected(plain) + 0.2


def test_without_a_forget_rate_it_is_refused_in_words():
    with pytest.raises(ArgumentError, match=r"'co_teaching' needs forget_rate, the share of wrong labels: .* --set"):
        built(CoTeachingConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forget_rate": 1.0}, r"forget_rate is 1.0: expected a share of the rows in \[0, 1\)"),
        ({"forget_rate": -0.1}, "forget_rate is -0.1: expected a share"),
        ({"forget_rate": math.nan}, "forget_rate is nan"),
        ({"ramp_epochs": 0}, "ramp_epochs is 0: expected at least 1 epoch"),
        ({"exponent": 0.0}, "exponent is 0.0: expected above 0"),
        ({"exponent": math.inf}, "exponent is inf"),
        ({"forget_rate": "much"}, "forget_rate is 'much': expected a number"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        CoTeachingConfig(**settings)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (10, 1), (36, 1), (60, 3), (100, 5), (200, 10), (400, 10)])
def test_the_ramp_of_a_shorter_run_is_shorter_unless_it_is_asked_for(epochs, expected):
    run = {"steps": 10 * epochs, "epochs": epochs, "fast": False}
    assert CoTeachingConfig.for_run({"forget_rate": 0.2}, **run).ramp_epochs == expected
    assert CoTeachingConfig.for_run({"forget_rate": 0.2, "ramp_epochs": 7}, **run).ramp_epochs == 7


def test_one_network_is_too_few_and_the_same_twice_is_none():
    config, network = CoTeachingConfig(forget_rate=0.2), nn.Linear(8, C)
    with pytest.raises(ArgumentError, match=r"'co_teaching' with these settings has 2 network\(s\), and 1 were passed"):
        config.build([network], num_examples=8, num_classes=C)
    with pytest.raises(ArgumentError, match="the peer is the network itself"):
        config.build([network, network], num_examples=8, num_classes=C)
