"""Settings of an ensemble: checks, JSON, the networks they ask for."""

import json

import pytest

from blobs import C, D, N, ensemble_config
from elr.errors import ArgumentError
from elr.methods.catalog import METHODS, method_from_json
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.ensemble.settings import Setting
from elr.networks.spec import NetworkSpec


def test_survives_json():
    config = ensemble_config(dropout=0.5)
    assert method_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_nobody_asks_for_an_ensemble_by_name():
    assert EnsembleConfig.name not in METHODS


def test_networks_of_a_setting_come_one_after_the_other():
    config = ensemble_config()
    names = [spec.name for spec in config.network_specs(NetworkSpec("linear", C, num_features=D))]
    assert names == ["mlp"] * 3 + ["linear"] * 3 + ["mlp"] * 3
    chosen = {"candidates": [{"setting": 1, "chosen": True}, {"setting": 0, "chosen": False}]}
    assert [spec.name for spec in config.predictor_specs(config.settings[0].network, chosen)] == ["linear"] * 3


def test_the_last_epoch_is_always_kept():
    assert ensemble_config(epochs=9, kept_epochs=(3,)).kept_epochs == (3, 9)
    assert ensemble_config(epochs=9, kept_epochs=()).kept_epochs == (9,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 1}, "members is 1: expected at least 2"),
        ({"members": 2.0}, "members is 2.0"),
        ({"clamp": 0.5}, "clamp is 0.5"),
        ({"kept_epochs": (9,), "epochs": 4}, "kept_epochs is"),
        ({"most": 0}, "most is 0"),
        ({"beta": 1.0}, "beta is 1.0"),
        ({"lams": (-1.0,)}, "lam is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        ensemble_config(**settings)


def test_an_empty_grid_and_more_members_than_rows_are_refused():
    with pytest.raises(ArgumentError, match="no settings"):
        EnsembleConfig(settings=[], epochs=3)
    spec = NetworkSpec("linear", C, num_features=D)
    config = EnsembleConfig(settings=[Setting(lam=3.0, network=spec)], members=N + 1, epochs=3)
    networks = [spec.build(generator_seed=0) for _ in range(N + 1)]
    with pytest.raises(ArgumentError, match=f"members is {N + 1} for {N} rows"):
        config.build(networks, num_examples=N, num_classes=C)
