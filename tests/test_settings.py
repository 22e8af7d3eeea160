import dataclasses
import json

import pytest
import torch

from elr.errors import ArgumentError
from elr.settings import SCHEDULES, TrainingConfig


def rates(config, steps_per_epoch=4):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    scheduler = config.scheduler(optimizer, steps_per_epoch)
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
        ("period", 0),
        ("precision", "float16"),
        ("device", "tpu"),
        ("seed", -1),
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}: expected"):
        TrainingConfig(**{name: value})
