"""Optimizers and schedules over groups of parameters of their own rates and decays."""

import pytest
import torch
from torch import nn

from elr.errors import ArgumentError
from elr.methods.cross_entropy import LossMethod
from elr.methods.method import ParameterGroup
from elr.training.config import OPTIMIZERS, SCHEDULES, TrainingConfig
from elr.training.optimizers import SQUARES, ConvolutionalMuon, as_settings, groups_of, make_optimizer, make_scheduler


def parameter(*shape):
    weight = nn.Parameter(torch.ones(*shape))
    weight.grad = torch.full(shape, 2.0)
    return weight


def convolutional():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    return network


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, 1 - 0.1 * (2 + 0.5)),
        ({"learning_rate": 3.0}, 1 - 3.0 * (2 + 0.5)),
        ({"weight_decay": 0.0}, 1 - 0.1 * 2),
        ({"learning_rate": 3.0, "weight_decay": 0.25}, 1 - 3.0 * (2 + 0.25)),
        ({"learning_rate": 0.0}, 1.0),
    ],
)
def test_a_step_of_a_group_has_its_rate_and_decay(own, expected):
    usual, special = parameter(2), parameter(3)
    config = TrainingConfig(learning_rate=0.1, weight_decay=0.5)
    make_optimizer(config, [ParameterGroup([usual]), ParameterGroup([special], **own)]).step()
    torch.testing.assert_close(usual.detach(), torch.full((2,), 1 - 0.1 * 2.5))
    torch.testing.assert_close(special.detach(), torch.full((3,), expected))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_schedule_goes_from_the_rate_of_each_group(schedule, optimizer):
    config = TrainingConfig(
        epochs=6, learning_rate=0.1, schedule=schedule, optimizer=optimizer, milestones=(2, 4), period=3
    )
    network = convolutional()
    groups = [ParameterGroup(list(network.parameters())), ParameterGroup([parameter(9)], learning_rate=5.0)]
    made = make_optimizer(config, groups)
    scheduler = make_scheduler(config, made, 4)
    first, last, seen = made.param_groups[0], made.param_groups[-1], set()
    for _ in range(24):
        assert last["lr"] == pytest.approx(50 * first["lr"])
        seen.add(first["lr"])
        made.step()
        scheduler.step()
    assert (len(seen) > 1) == (schedule != "constant")


@pytest.mark.parametrize(
    ("own", "rate", "decay"),
    [({}, 0.1, 0.5), ({"learning_rate": 0.3}, 0.3, 0.5), ({"learning_rate": 0.3, "weight_decay": 0.0}, 0.3, 0.0)],
)
def test_two_steps_of_adamw_by_hand(own, rate, decay):
    """Decoupled decay, of vectors like biases too, and averages corrected for their start at zero."""
    weight = parameter(3)
    config = TrainingConfig(optimizer="adamw", learning_rate=0.1, momentum=0.8, weight_decay=0.5)
    made = make_optimizer(config, [ParameterGroup([weight], **own)])
    expected, mean, square = 1.0, 0.0, 0.0
    for step, gradient in enumerate((2.0, -3.0), start=1):
        weight.grad = torch.full((3,), gradient)
        made.step()
        mean = 0.8 * mean + 0.2 * gradient
        square = SQUARES * square + (1 - SQUARES) * gradient**2
        expected *= 1 - rate * decay
        expected -= rate * mean / (1 - 0.8**step) / ((square / (1 - SQUARES**step)) ** 0.5 + 1e-8)
        torch.testing.assert_close(weight.detach(), torch.full((3,), expected))


def test_muon_moves_the_usual_groups_as_it_did_before_there_were_groups():
    network = convolutional()
    optimizer = ConvolutionalMuon([ParameterGroup(list(network.parameters()))], lr=0.2, weight_decay=0.1)
    found = [(len(group["params"]), group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [(1, 0.2, 0.0), (1, 0.6, 0.1), (4, 0.05, 0.1)]
    assert [group["orthogonal"] for group in optimizer.param_groups] == [True, False, False]


def test_muon_leaves_groups_of_their_own_rate_to_gradient_descent():
    network, filters, shifts = convolutional(), parameter(4, 3, 2, 2), parameter(5)
    groups = [
        ParameterGroup(list(network.parameters())),
        ParameterGroup([filters], learning_rate=3.0, weight_decay=0.0),
        ParameterGroup([shifts], weight_decay=0.25),
    ]
    optimizer = ConvolutionalMuon(groups, other_momentum=0.5, weight_decay=0.1)
    optimizer.step()
    # Nesterov's first step is (1 + momentum) times the gradient.
    torch.testing.assert_close(filters.detach(), torch.full((4, 3, 2, 2), 1 - 3.0 * 1.5 * 2))
    torch.testing.assert_close(shifts.detach(), torch.full((5,), 1 - 0.05 * 1.5 * (2 + 0.25)))


def test_muon_honors_a_decay_of_filters_and_needs_some_of_its_own():
    [group] = ConvolutionalMuon([ParameterGroup([parameter(4, 3, 2, 2)], weight_decay=0.3)]).param_groups
    assert (group["weight_decay"], group["orthogonal"]) == (0.3, True)
    for groups in ([ParameterGroup([parameter(5)])], [ParameterGroup([parameter(4, 3, 2, 2)], learning_rate=1.0)]):
        with pytest.raises(ArgumentError, match="muon is for convolutional networks"):
            ConvolutionalMuon(groups)


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"weight_decay": float("inf")}, {"momentum": 1.0}])
def test_settings_of_muon_out_of_range_are_refused(settings):
    with pytest.raises(ArgumentError, match=f"{next(iter(settings))} is"):
        ConvolutionalMuon([ParameterGroup([parameter(4, 3, 2, 2)])], **settings)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_plain_groups_go_down_the_gradient_at_a_constant_rate(optimizer, schedule):
    """Whatever the run has, with sparse gradients as with dense ones, and after a load as before."""
    network, dense, sparse = convolutional(), parameter(4), parameter(4, 2)
    settings = {"epochs": 6, "milestones": (2, 4), "period": 3, "momentum": 0.5, "weight_decay": 0.25}
    config = TrainingConfig(optimizer=optimizer, schedule=schedule, batch_size=10, **settings)
    groups = [
        ParameterGroup([dense], 3.0, plain=True),  # with the run's decay
        ParameterGroup(list(network.parameters())),
        ParameterGroup([sparse], 4.0, 0.0, plain=True, batch_size=20),
    ]

    def make():
        made = make_optimizer(config, groups)
        return made, make_scheduler(config, made, 4)

    made, scheduler = make()
    rates, expected = set(), torch.ones(4, 2)
    for step in range(24):
        if step == 12:
            states = [part.state_dict() for part in (made, scheduler)]
            made, scheduler = make()
            for part, state in zip((made, scheduler), states, strict=True):
                part.load_state_dict(state)
        rows = [[1, 3, 3]]  # one comes twice
        sparse.grad = torch.sparse_coo_tensor(rows, torch.ones(3, 2), (4, 2), check_invariants=True)
        before = dense.detach().clone()
        made.step()
        expected -= 2.0 * torch.tensor([0.0, 1.0, 0.0, 2.0])[:, None]
        torch.testing.assert_close(dense.detach(), before - 3.0 * (2.0 + 0.25 * before))
        torch.testing.assert_close(sparse.detach(), expected)
        rates.add(made.param_groups[1]["lr"])
        scheduler.step()
        assert [made.param_groups[place]["lr"] for place in (0, -1)] == [3.0, 2.0]
    assert (len(rates) > 1) == (schedule != "constant")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rate_for_batches_of_a_size_goes_with_those_of_the_run(optimizer):
    network, rows = convolutional(), parameter(4)
    groups = [ParameterGroup(list(network.parameters())), ParameterGroup([rows], 3.0, batch_size=64)]
    for batch_size, rate in ((64, 3.0), (16, 0.75), (128, 6.0)):
        made = make_optimizer(TrainingConfig(optimizer=optimizer, batch_size=batch_size), groups)
        assert made.param_groups[-1]["lr"] == rate


def test_a_group_says_to_torch_only_what_is_its_own():
    weight = parameter(1)
    assert as_settings(ParameterGroup([weight])) == {"params": [weight]}
    assert as_settings(ParameterGroup([weight], 0.3, 0.0)) == {"params": [weight], "lr": 0.3, "weight_decay": 0.0}
    found = as_settings(ParameterGroup([weight], 0.3, plain=True))
    assert found == {"params": [weight], "lr": 0.3, "momentum": 0.0, "plain": 0.3}


def test_by_default_a_pass_trains_all_that_requires_a_gradient():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    network[0].requires_grad_(False)
    [group] = groups_of(LossMethod(network), 0)
    assert [id(weight) for weight in group.weights] == [id(weight) for weight in network[1].parameters()]
