"""SOP and SOP+ against their formulas, and that per-example parameters move as the paper has it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from blobs import C, D, N, built, examples, network
from elr.data.examples import Examples
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.method import Batch
from elr.methods.peers.sop import BATCH, FLOOR, SOPConfig, SOPPlusConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import OPTIMIZERS, SCHEDULES, TrainingConfig
from elr.training.loop import Training
from elr.training.optimizers import make_optimizer, make_scheduler


def batches(count, rows=20, views=1):
    """Batches of random inputs and labels for random rows, none twice in a batch, in float64."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        inputs, *others = torch.randn(views, rows, D, generator=generator, dtype=torch.float64)
        labels = torch.randint(C, (rows,), generator=generator)
        yield Batch(torch.randperm(N, generator=generator)[:rows], inputs, labels, tuple(others))


def restated(weights, u, v, batch, *, joint, consistency, balance):
    """The authors' loss, entry by entry."""
    w, b = weights
    rows = []
    for place, label in enumerate(batch.labels.tolist()):
        row, p = batch.index[place], (batch.inputs[place] @ w.T + b).softmax(dim=0)
        guess, own, held, squares, filled = int(p.argmax()), [], [], 0.0, []
        for c in range(C):
            y = float(c == label)
            up, down = (u[row, 0] ** 2 * y).clamp(0, 1), (v[row, c] ** 2 * (1 - y)).clamp(0, 1)
            filled.append((p[c] + up - down.detach()).clamp(min=1e-4))
            squares = squares + (float(c == guess) + (up if joint else up.detach()) - down - y) ** 2
            own.append(y)
            held.append(down)
        phi = (torch.stack(filled) / sum(filled)).clamp(min=1e-4)
        other = (batch.views[0][place] @ w.T + b).log_softmax(dim=0) if batch.views else None
        apart = (p.detach() * (p.detach().log() - other)).sum() if batch.views else 0.0
        rows.append((-phi[label].log() + squares + consistency * apart, phi))
    whole = sum(loss for loss, _ in rows) / len(rows)
    mean = sum(phi for _, phi in rows) / len(rows)
    return whole + balance * sum(-math.log(C) - mean[c].log() for c in range(C)) / C


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize(("consistency", "balance"), [(0.0, 0.0), (0.9, 0.1)])
def test_several_steps_are_those_of_the_algorithm(joint, consistency, balance):
    """Network by momentum and decay, u and v by neither, each at its rate, noise of all sizes up to the bounds."""
    torch.manual_seed(0)
    config = SOPConfig(u_rate=3.0, v_rate=7.0, consistency=consistency, balance=balance, joint=joint)
    method = built(config, nn.Linear(D, C)).double()
    with torch.no_grad():
        method.u.copy_(torch.randn(N, 1) * 0.6)
        method.v.copy_(torch.randn(N, C) * 0.6)
    weights = [each.detach().clone().requires_grad_() for each in method.network.parameters()]
    u, v = (each.detach().clone().requires_grad_() for each in (method.u, method.v))
    plain = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01)
    settings = TrainingConfig(batch_size=BATCH, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    optimizer = make_optimizer(settings, method.parameter_groups(0))
    for batch in batches(8, views=2 if consistency else 1):
        step = method(batch)
        expected = restated(weights, u, v, batch, joint=joint, consistency=consistency, balance=balance)
        torch.testing.assert_close(step.loss, expected)
        step.loss.backward()
        expected.backward()
        with torch.no_grad():
            u -= 3.0 * u.grad
            v -= 7.0 * v.grad
        plain.step()
        optimizer.step()
        for each in (*weights, u, v):
            each.grad = None
        optimizer.zero_grad()
        torch.testing.assert_close(method.u, u)
        torch.testing.assert_close(method.v, v)
        torch.testing.assert_close(list(method.network.parameters()), weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_of_u_and_v_is_rate_times_gradient_whatever_trains_the_network(optimizer, schedule):
    """No momentum, no decay, no schedule; at batches of 32 a quarter of the rate, as the mean is over a quarter."""
    convolution = nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.Flatten(), nn.Linear(4, C))
    method = built(SOPConfig(u_rate=8.0, v_rate=4.0, joint=True, std=0.5), convolution)
    config = TrainingConfig(
        epochs=4, batch_size=32, optimizer=optimizer, schedule=schedule, milestones=(1,), period=2, weight_decay=0.1
    )
    made = make_optimizer(config, method.parameter_groups(0))
    scheduler = make_scheduler(config, made, 2)
    network_rates = set()
    for batch in batches(8):
        method(batch._replace(inputs=batch.inputs.float())).loss.backward()
        before = [each.detach().clone() for each in (method.u, method.v)]
        steps = [rate * each.grad.to_dense() for rate, each in ((2.0, method.u), (1.0, method.v))]
        network_rates.add(made.param_groups[0]["lr"])
        made.step()
        scheduler.step()
        for each, start, step in zip((method.u, method.v), before, steps, strict=True):
            assert step.any()
            torch.testing.assert_close(each.detach(), start - step)
            assert each not in made.state or not any(torch.is_tensor(kept) for kept in made.state[each].values())
        made.zero_grad()
    assert (len(network_rates) > 1) == (schedule != "constant")


def test_rows_that_are_not_in_a_batch_do_not_move_and_cost_nothing():
    method = built(SOPConfig(std=0.5))
    optimizer = make_optimizer(TrainingConfig(momentum=0.9), method.parameter_groups(0))
    moved = torch.zeros(N, dtype=torch.bool)
    for batch in batches(2, rows=7):
        method(batch._replace(inputs=batch.inputs.float())).loss.backward()
        assert method.v.grad.is_sparse
        assert method.v.grad._nnz() == 7
        before = method.v.detach().clone()
        optimizer.step()
        optimizer.zero_grad()
        found = (method.v != before).any(dim=1)
        assert set(found.nonzero().flatten().tolist()) <= set(batch.index.tolist())
        moved |= found
    assert moved.sum() > 7


def planted(count=1000, num_classes=4, width=20):
    """Features, given labels of which 40 % are wrong, clean labels."""
    rng = np.random.default_rng(0)
    clean = rng.integers(num_classes, size=count)
    features = 2 * rng.normal(size=(num_classes, width))[clean] + rng.normal(size=(count, width))
    given, wrong = clean.copy(), rng.choice(count, int(0.4 * count), replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, num_classes, len(wrong))) % num_classes
    return features.astype(np.float32), given, clean


def trained(config, *, epochs):
    """The method, its accuracy on the clean labels, and how large its noise is on wrong and on clean rows."""
    features, given, clean = planted()
    net = NetworkSpec("mlp", 4, num_features=20, hidden=(128,)).build(generator_seed=0)
    settings = TrainingConfig(epochs=epochs, batch_size=50, learning_rate=0.02, weight_decay=2e-3, device="cpu")
    method = config.build([net], num_examples=len(given), num_classes=4)
    training = Training(method, Examples(features, given), config=settings)
    training.run()
    accuracy = (training.predict(Examples(features, None)).argmax(dim=1).numpy() == clean).mean()
    if not isinstance(config, SOPConfig):
        return accuracy
    noise = method.noise(torch.arange(len(given)), torch.from_numpy(given))
    sizes, wrong = noise.abs().sum(dim=1), torch.from_numpy(given != clean)
    own = noise[torch.arange(len(given)), given]
    assert (own >= 0).all()
    assert (noise.sum(dim=1) <= own).all()
    return accuracy, sizes[wrong], sizes[~wrong]


def area(high, low):
    """The area under the ROC curve of two samples."""
    return (high[:, None] > low).float().mean()


def test_noise_is_learned_where_labels_are_wrong_and_the_network_is_left_the_rest():
    accuracy, wrong, clean = trained(SOPConfig(), epochs=100)
    assert clean.median() < 1e-3
    assert wrong.median() > 1.9  # of 2: off the given class and onto another
    assert area(wrong, clean) > 0.98
    assert accuracy > trained(CrossEntropyConfig(), epochs=100) + 0.1


def test_noise_shows_in_short_runs_where_u_and_v_begin_larger():
    config = SOPPlusConfig.for_run({}, steps=600, epochs=30, fast=False)
    assert config.std == pytest.approx(0.01)
    assert replace(config, std=1e-8) == SOPPlusConfig()
    assert SOPConfig.for_run({}, steps=180, epochs=300, fast=False).std == 1e-8
    assert SOPPlusConfig.for_run({"std": 1e-5}, steps=180, epochs=30, fast=False) == SOPPlusConfig(std=1e-5)
    accuracy, wrong, clean = trained(config, epochs=30)
    assert area(wrong, clean) > 0.98
    assert accuracy > 0.95
    assert wrong.median() > 1.9
    _, late, _ = trained(SOPPlusConfig(), epochs=30)
    assert late.median() < 0.5


def test_consistency_draws_the_second_view_to_the_first():
    method = built(SOPPlusConfig(balance=0.0), nn.Linear(D, C)).double()
    assert method.views == 2
    assert built(SOPConfig()).views == 1
    [batch] = batches(1, views=2)
    step = method(batch)
    p, other = (method.network(inputs).softmax(dim=1) for inputs in (batch.inputs, batch.views[0]))
    expected = (p * (p / other).log()).sum(dim=1).mean()
    torch.testing.assert_close(step.terms["consistency"], expected.detach())
    gradient = torch.autograd.grad(step.loss - method(batch._replace(views=())).loss, method.network.bias)
    torch.testing.assert_close(gradient[0], 0.9 * (other - p).mean(dim=0))  # of the second view alone
    same = method(batch._replace(views=(batch.inputs,)))
    assert same.terms["consistency"] == pytest.approx(0.0, abs=1e-12)


def test_both_views_go_through_the_network_at_once_and_mappings_too():
    seen = []

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, inputs):
            seen.append(len(inputs["x"]))
            return self.body(inputs["x"])

    method = built(SOPPlusConfig(), Named())
    [batch] = batches(1, rows=6, views=2)
    step = method(batch._replace(inputs={"x": batch.inputs.float()}, views=({"x": batch.views[0].float()},)))
    assert seen == [12]
    assert len(step.logits) == 6


def test_balance_is_the_divergence_of_even_classes_from_the_mean():
    method = built(SOPConfig(balance=0.1, std=1e-8), nn.Linear(D, C)).double()
    [batch] = batches(1)
    step = method(batch)
    mean = method.network(batch.inputs).softmax(dim=1).mean(dim=0).detach().numpy()
    assert step.terms["balance"].item() == pytest.approx(np.log(1 / C / mean).mean())
    parts = step.terms["cross_entropy"] + step.terms["squared_error"] + 0.1 * step.terms["balance"]
    torch.testing.assert_close(step.terms["loss"], parts)
    with torch.no_grad():
        for weight in method.network.parameters():
            weight.zero_()
    assert method(batch).terms["balance"].item() == pytest.approx(0.0, abs=1e-12)


def test_a_row_whose_label_is_out_of_question_moves_nothing_but_v():
    """As in the authors' code: below the floor there is no gradient."""
    method = built(SOPConfig(), nn.Linear(D, C)).double()
    with torch.no_grad():
        method.network.weight.zero_()
        method.network.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))
    batch = Batch(torch.tensor([3]), torch.ones(1, D, dtype=torch.float64), torch.tensor([1]))
    step = method(batch)
    assert step.terms["cross_entropy"].item() == pytest.approx(-math.log(FLOOR))
    step.loss.backward()
    assert not method.network.bias.grad.any()
    assert not method.u.grad.to_dense().any()
    assert method.v.grad.to_dense()[3].nonzero().flatten().tolist() == [0, 2]


def test_shares_of_classes_are_labels_as_well():
    method = built(SOPConfig(std=0.4), nn.Linear(D, C)).double()
    [batch] = batches(1)
    whole, shares = method(batch), method(batch._replace(labels=F.one_hot(batch.labels, C).double()))
    torch.testing.assert_close(whole.loss, shares.loss)
    half = torch.full((len(batch.index), C), 1 / C, dtype=torch.float64)
    assert torch.isfinite(method(batch._replace(labels=half)).loss)
    torch.testing.assert_close(
        method.noise(batch.index, half), (method.u[batch.index] ** 2 / C - method.v[batch.index] ** 2 * (1 - 1 / C))
    )


def test_nothing_is_said_of_a_row_but_what_the_network_says():
    assert built(SOPConfig()).pred_probs(torch.arange(3)) is None


def test_first_noise_is_small_and_alike_in_all_runs():
    first, second = built(SOPConfig(std=1e-3)), built(SOPConfig(std=1e-3))
    assert torch.equal(first.v, second.v)
    assert float(first.v.detach().std()) == pytest.approx(1e-3, rel=0.1)
    assert (first.u.shape, first.v.shape) == ((N, 1), (N, C))
    assert {"u", "v"} <= first.state_dict().keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"u_rate": 0.0}, "u_rate is 0.0: expected a number above 0"),
        ({"v_rate": math.inf}, "v_rate is inf"),
        ({"std": 0.0}, "std is 0.0: expected a number above 0; u = v = 0 would never move"),
        ({"consistency": -0.1}, "consistency is -0.1: expected a weight of 0 or more"),
        ({"balance": math.nan}, "balance is nan"),
        ({"joint": 3}, "joint"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        SOPConfig(**settings)


def test_networks_and_sizes_that_cannot_be_are_refused():
    with pytest.raises(ArgumentError, match="has 1 network"):
        SOPConfig().build([network(), network(1)], num_examples=N, num_classes=C)
    with pytest.raises(ArgumentError, match="0 examples of 3 classes"):
        SOPConfig().build([network()], num_examples=0, num_classes=C)
    method = built(SOPConfig())
    with pytest.raises(ArgumentError, match="label"):
        method(Batch(torch.tensor([1, 2]), examples().fetch(torch.tensor([1, 2])), torch.tensor([0])))
