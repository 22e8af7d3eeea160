"""ELR+ as published."""

import dataclasses

from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig


def test_elr_plus_is_elr_with_other_defaults():
    switched = {"networks": 2, "gamma": 0.997, "gamma_ramp": 40_000, "mixup": 1.0}
    assert dataclasses.asdict(ELRPlusConfig()) == dataclasses.asdict(ELRConfig(**switched))
    assert ELRConfig(**switched).label == ELRPlusConfig().label == "elr_plus"
    assert ELRPlusConfig().described() == {"name": "elr_plus", "lam": 3.0, "beta": 0.7} | switched


def test_what_a_run_means_for_elr():
    assert ELRConfig.for_run({}, steps=100, epochs=10, fast=True) == ELRConfig(lam_ramp=100)
    assert ELRConfig.for_run({}, steps=100, epochs=10, fast=False) == ELRConfig()
    for fast in (True, False):
        assert ELRPlusConfig.for_run({}, steps=100, epochs=10, fast=fast) == ELRPlusConfig(gamma_ramp=50)
        assert ELRPlusConfig.for_run({}, steps=10**6, epochs=10, fast=fast) == ELRPlusConfig()
