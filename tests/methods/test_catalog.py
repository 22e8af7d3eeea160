import dataclasses
import json
from pathlib import Path

import pytest
from torch import nn

from elr.errors import ArgumentError
from elr.methods.catalog import METHODS, check_settings, method_for_run, method_from_json, method_named
from elr.methods.config import NOISE_RATE, TRANSITION
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.targets.config import TargetsConfig

NEEDED = {NOISE_RATE: 0.2, TRANSITION: ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))}


def what_it_needs(name):
    return {setting: NEEDED[quantity] for setting, quantity in METHODS[name].needs.items()}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_frozen_dataclass_of_plain_values_that_survives_json(name):
    config = METHODS[name](**what_it_needs(name))
    assert config.name == name
    assert method_from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.described()["name"] == config.label
    if fields := dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, fields[0].name, 1)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_built_over_as_many_networks_as_it_wants(name):
    config = METHODS[name](**what_it_needs(name))
    networks = [nn.Linear(2, 3) for _ in range(config.num_networks)]
    method = config.build(networks, num_examples=8, num_classes=3, targets=TargetsConfig(dtype="bfloat16"))
    assert list(method.predictors) == networks
    assert len(method.predictors) == config.num_predictors
    assert all(str(store.table.dtype) == "torch.bfloat16" for store in method.stores)
    with pytest.raises(ArgumentError, match=f"has {config.num_networks} network.* and 0 were passed"):
        config.build([], num_examples=8, num_classes=3)


@pytest.mark.parametrize("name", METHODS)
def test_a_run_gives_every_method_the_settings_that_it_has(name):
    asked = {"lam": 5.0, "beta": 0.6, **what_it_needs(name)}
    config = method_named(name).for_run({**asked, "nothing": 1}, steps=100, epochs=10, fast=False)
    assert type(config) is METHODS[name]
    for setting, value in asked.items():
        assert config.to_json().get(setting, value) == value


def test_a_second_network_is_a_peer_and_one_is_too_few_for_two():
    pair = [nn.Linear(2, 3), nn.Linear(2, 3)]
    method = ELRConfig(gamma=0.9).build(pair, num_examples=8, num_classes=3)
    assert method.networks == tuple(pair)
    assert method.config == ELRConfig(gamma=0.9, networks=2)
    with pytest.raises(ArgumentError, match=r"has 2 network.* and 1 were passed"):
        ELRPlusConfig().build(pair[:1], num_examples=8, num_classes=3)
    with pytest.raises(ArgumentError, match="and 3 were passed"):
        ELRConfig().build([*pair, nn.Linear(2, 3)], num_examples=8, num_classes=3)


def test_unknown_names_and_settings_are_refused_with_the_nearest_and_all():
    with pytest.raises(
        ArgumentError, match=r"method is 'elr-plsu': did you mean elr_plus.* expected one of elr, elr_plus, c"
    ):
        method_from_json({"name": "elr-plsu"})
    with pytest.raises(ArgumentError, match="method is 'quite another': expected one of elr, elr_plus, cross_entropy"):
        method_named("quite another")
    with pytest.raises(ArgumentError, match="no settings 'gamma', 'mixup': expected some of lam, beta"):
        method_from_json({"name": "kl_penalty", "mixup": 1.0, "gamma": 0.9})
    with pytest.raises(ArgumentError, match=r"no setting 'lambda': did you mean lam\? expected some of networks"):
        check_settings("elr", {"lambda": 1.0})


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeedyConfig(CrossEntropyConfig):
    name = "needy"
    needs = {"share": NOISE_RATE}  # noqa: RUF012 - as a config says it
    share: float | None = None


def test_a_method_without_what_it_needs_is_refused_in_words(monkeypatch):
    monkeypatch.setitem(METHODS, "needy", NeedyConfig)
    message = "method 'needy' needs share, the share of wrong labels: expected a value, such as --set share=0.2"
    with pytest.raises(ArgumentError, match=message):
        method_for_run("needy", {}, steps=10, epochs=2)
    with pytest.raises(ArgumentError, match=message):
        NeedyConfig().build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
    assert method_for_run("needy", {"share": 0.3}, steps=10, epochs=2) == NeedyConfig(share=0.3)


def _number(value):
    return value if isinstance(value, str) else f"{value:g}"


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("elr")])
def test_the_page_of_methods_has_every_setting_and_its_default(name):
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}` | `{METHODS[name].__name__}`")]
    words = {None: "none", True: "yes", False: "no"}
    for each in dataclasses.fields(METHODS[name]):
        value = each.default
        said = (
            words[value]
            if value is None or isinstance(value, bool)
            else f"{value:g}"
            if value is not str(value)
            else value
        )
        assert f"`{each.name}` {said}" in row
