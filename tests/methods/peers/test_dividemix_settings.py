"""The settings of DivideMix: published values, ranges, and what short runs make of them."""

import math

import pytest

from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json, method_named
from elr.methods.peers.dividemix import DivideMixConfig


def for_run(epochs, **asked):
    return DivideMixConfig.for_run(asked, steps=10 * epochs, epochs=epochs, fast=False)


def test_the_published_settings_are_the_defaults():
    config = DivideMixConfig()
    assert (config.warm_up, config.ramp, config.lam_u, config.alpha) == (10, 16, 25.0, 4.0)
    assert (config.threshold, config.temperature, config.augmentations, config.loss_epochs) == (0.5, 0.5, 2, 1)
    assert not config.confidence_penalty
    assert for_run(300) == config


@pytest.mark.parametrize(("epochs", "warm_up", "ramp"), [(100, 10, 16), (60, 10, 12), (10, 2, 2), (2, 1, 1)])
def test_a_short_run_has_a_short_warm_up(epochs, warm_up, ramp):
    config = for_run(epochs)
    assert (config.warm_up, config.ramp) == (warm_up, ramp)


def test_what_is_asked_for_stays():
    config = for_run(10, warm_up=7, lam_u=50.0, ramp=0)
    assert (config.warm_up, config.lam_u, config.ramp) == (7, 50.0, 0)
    with pytest.raises(ArgumentError, match="warm_up is 10 and the run has 10 epochs: expected fewer"):
        for_run(10, warm_up=10)


def test_a_part_of_a_run_has_its_part_of_the_warm_up():
    config = DivideMixConfig().resized(0.25, generations=1)
    assert (config.warm_up, config.ramp) == (2, 4)
    assert DivideMixConfig(warm_up=1).resized(0.1, generations=2).warm_up == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("warm_up", 0),
        ("loss_epochs", 0),
        ("threshold", 1.0),
        ("threshold", math.nan),
        ("augmentations", 0),
        ("temperature", 0.0),
        ("temperature", 1.5),
        ("alpha", -1.0),
        ("lam_u", math.inf),
        ("ramp", -1),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}: expected"):
        DivideMixConfig(**{name: value})


def test_it_is_written_and_read():
    assert method_named("dividemix") is DivideMixConfig
    config = DivideMixConfig(loss_epochs=5, confidence_penalty=True)
    assert method_from_json(config.to_json()) == config
