import dataclasses
import json

import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.method import ParameterGroup
from elr.training.config import SCHEDULES, TrainingConfig
from elr.training.optimizers import make_optimizer, make_scheduler


def rates(config, steps_per_epoch=4):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    scheduler = make_scheduler(config, optimizer, steps_per_epoch)
    found = []
    for _ in range(config.epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_falls_from_the_peak_to_nothing():
    found = rates(TrainingConfig(epochs=10))
    assert found[0] == 0.02
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1e-4


def test_multistep_is_the_papers():
    found = rates(TrainingConfig(epochs=12, schedule="multistep", milestones=(4, 8)))
    assert found[15] == pytest.approx(0.02)
    assert found[16] == pytest.approx(0.0002)
    assert found[32] == pytest.approx(0.000002)


def test_restarts_are_the_papers():
    found = rates(TrainingConfig(epochs=30, schedule="restarts"))
    assert found[0] == found[40] == found[80] == pytest.approx(0.02)
    assert found[39] == pytest.approx(0.001, rel=0.05)


def test_onecycle_rises_and_falls_and_constant_stays():
    found = rates(TrainingConfig(epochs=10, schedule="onecycle"))
    assert max(found) == pytest.approx(0.02, rel=1e-3)
    assert found.index(max(found)) not in (0, len(found) - 1)
    assert set(rates(TrainingConfig(epochs=3, schedule="constant"))) == {0.02}


def test_every_schedule_is_known():
    assert all(rates(TrainingConfig(epochs=2, schedule=name)) for name in SCHEDULES)


def test_settings_are_plain_values():
    config = TrainingConfig(epochs=3, milestones=(1, 2))
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert TrainingConfig(**{**values, "milestones": tuple(values["milestones"])}) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
        ("schedule", "linear"),
        ("optimizer", "adam"),
        ("period", 0),
        ("precision", "float16"),
        ("device", "tpu"),
        ("seed", -1),
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}: expected"):
        TrainingConfig(**{name: value})


def test_triangle_is_two_straight_lines():
    found = rates(TrainingConfig(epochs=10, learning_rate=0.8, schedule="triangle"), steps_per_epoch=5)
    expected = [0.8 * (step / 5 if step < 5 else (50 - step) / 45) for step in range(50)]
    assert found == pytest.approx(expected)
    assert (found[0], found[5], max(found)) == (0.0, pytest.approx(0.8), found[5])


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1), (1, 7), (3, 3)])
def test_triangle_of_few_steps_stays_between_nothing_and_the_peak(epochs, steps):
    found = rates(TrainingConfig(epochs=epochs, schedule="triangle"), steps_per_epoch=steps)
    assert len(found) == epochs * steps
    assert all(0.0 <= rate <= 0.02 for rate in found)


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_optimizer_has_the_settings(nesterov):
    config = TrainingConfig(learning_rate=0.3, momentum=0.8, weight_decay=5e-4, nesterov=nesterov)
    weights = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))]
    optimizer = make_optimizer(config, [ParameterGroup(weights)])
    assert isinstance(optimizer, torch.optim.SGD)
    [group] = optimizer.param_groups
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in weights]
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.3, 0.8, 5e-4, nesterov)


def test_two_steps_of_the_optimizer_by_hand():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = make_optimizer(
        TrainingConfig(learning_rate=0.1, momentum=0.5, weight_decay=0.01), [ParameterGroup([weight])]
    )
    expected, speed = 2.0, 0.0
    for gradient in (1.0, -3.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        speed = 0.5 * speed + gradient + 0.01 * expected
        expected -= 0.1 * speed
        assert weight.item() == pytest.approx(expected)


def test_nesterov_is_not_for_adamw():
    with pytest.raises(ArgumentError, match="nesterov is True: expected False where momentum is 0, and for adamw"):
        TrainingConfig(nesterov=True, optimizer="adamw")


def test_nesterov_needs_momentum():
    with pytest.raises(ArgumentError, match="nesterov"):
        make_optimizer(
            TrainingConfig(nesterov=True, momentum=0.0), [ParameterGroup([torch.nn.Parameter(torch.zeros(1))])]
        )


@pytest.mark.parametrize(("epochs", "count", "expected"), [(10, 1, 10), (10, 2, 10), (9, 2, 10), (1, 2, 2), (7, 3, 9)])
def test_epochs_are_rounded_up_to_whole_generations(epochs, count, expected):
    config = TrainingConfig(epochs=epochs, learning_rate=0.3).in_generations(count)
    assert config == TrainingConfig(epochs=expected, generations=count, learning_rate=0.3)
