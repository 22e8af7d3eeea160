"""Specs that are checked, and rebuild what they describe."""

import json
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from torch import nn

from elr.errors import ArgumentError
from elr.networks.architectures import Linear
from elr.networks.spec import NETWORKS, NetworkSpec
from tiny_networks import IMAGE, VECTOR, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_names_are_pinned():
    names = ["linear", "mlp", "resnet18", "resnet34", "preactresnet18", "preactresnet18_authors", "fast", "timm"]
    assert list(NETWORKS) == names


def test_build_is_a_function_of_the_seed(built):
    spec, network = built
    again = spec.build(generator_seed=0)
    assert again.training
    for (key, ours), theirs in zip(network.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs), key


@pytest.mark.parametrize("name", ["linear", "resnet18", "fast"])
def test_build_leaves_the_global_random_state_alone(name):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is asked about
    first = spec_of(name).build(generator_seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002
    torch.manual_seed(8)
    second = spec_of(name).build(generator_seed=3)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_build_restores_the_random_state_when_the_constructor_fails(monkeypatch):
    def fail(**_: object) -> nn.Module:
        torch.rand(3)
        raise RuntimeError("out of memory")

    monkeypatch.setitem(NETWORKS, "linear", replace(NETWORKS["linear"], build=fail))
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="out of memory"):
        spec_of("linear").build(generator_seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_build_ignores_the_default_device():
    torch.set_default_device("meta")
    try:
        network = spec_of("fast").build(generator_seed=0)
    finally:
        torch.set_default_device(None)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1, np.int64(5)])
def test_seeds_that_torch_takes(seed):
    assert isinstance(spec_of("linear").build(generator_seed=seed), Linear)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, None, True])
def test_seeds_that_are_refused(seed):
    with pytest.raises(ArgumentError, match=re.escape(f"generator_seed is {seed!r}, expected an integer")):
        spec_of("linear").build(generator_seed=seed)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("linear", 2, num_features=1),
        NetworkSpec("mlp", 10, num_features=784, hidden=(300, 100)),
        NetworkSpec("mlp", 10, num_features=784),
        NetworkSpec("mlp", 10, columns=(15_000, 15_300), dropout=0.5),
        NetworkSpec("resnet34", 100),
        NetworkSpec("fast", 10, in_channels=1),
    ],
)
def test_json_round_trip(spec):
    text = json.dumps(spec.to_json())
    assert json.loads(text) == spec.to_json()
    assert NetworkSpec.from_json(json.loads(text)) == spec


def test_json_is_fully_written_down():
    fast = {"name": "fast", "num_classes": 10, "in_channels": 3, "widths": [64, 128, 256]}
    assert NetworkSpec("fast", 10).to_json() == fast
    narrow = NetworkSpec.from_json(fast | {"widths": [8, 16, 16]})
    assert [block.conv1.out_channels for block in narrow.build(generator_seed=0).blocks] == [8, 16, 16]
    expected = {"name": "mlp", "num_classes": 2, "num_features": 5, "hidden": [256, 256], "dropout": 0.0}
    assert NetworkSpec("mlp", 2, num_features=5).to_json() == expected
    some = {"name": "linear", "num_classes": 2, "num_features": 5, "columns": [3, 8]}
    assert NetworkSpec("linear", 2, columns=(3, 8)).to_json() == some


def test_a_spec_holds_plain_integers():
    spec = NetworkSpec("mlp", np.int64(3), num_features=np.int32(5), hidden=[np.int64(4)])
    assert spec == NetworkSpec("mlp", 3, num_features=5, hidden=(4,))
    assert json.loads(json.dumps(spec.to_json()))["hidden"] == [4]
    assert hash(spec) == hash(NetworkSpec("mlp", 3, num_features=5, hidden=(4,)))


def test_a_spec_is_frozen_and_keyword_only_after_the_second():
    spec = spec_of("linear")
    with pytest.raises(FrozenInstanceError):
        spec.num_classes = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        NetworkSpec("linear", 3, 5)  # type: ignore[misc]


def test_takes_images():
    assert [spec_of(name).takes_images for name in VECTOR] == [False, False]
    assert all(spec_of(name).takes_images for name in IMAGE)


def test_the_built_network_has_the_settings_of_the_spec():
    mlp = NetworkSpec("mlp", 3, num_features=5, hidden=(7, 2)).build(generator_seed=0)
    assert [tuple(parameter.shape) for parameter in mlp.parameters() if parameter.ndim == 2] == [(7, 5), (2, 7), (3, 2)]
    assert NetworkSpec("resnet18", 3, in_channels=2).build(generator_seed=0).conv1.in_channels == 2


def test_a_network_of_some_columns_is_that_of_them_alone():
    inputs = torch.randn(4, 50)
    for name in VECTOR:
        some = NetworkSpec(name, 3, columns=(20, 26)).build(generator_seed=1)
        alone = NetworkSpec(name, 3, num_features=6).build(generator_seed=1)
        assert list(some.state_dict()) == list(alone.state_dict())
        alone.load_state_dict(some.state_dict())
        assert torch.equal(some(inputs), alone(inputs[:, 20:26].contiguous()))


def test_dropout_is_the_networks():
    network = NetworkSpec("mlp", 3, num_features=5, hidden=(8, 8), dropout=0.25).build(generator_seed=0)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.25, 0.25]


# ---- errors: what was found, what was expected, what to do


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet19"}, "Network 'resnet19' is unknown: take one of linear, mlp, resnet18"),
        ({"name": ["fast"]}, "is unknown: take one of linear"),
        ({"name": None}, "Network None is unknown"),
        ({"num_classes": 1}, "num_classes is 1, expected an integer of at least 2"),
        ({"num_classes": "10"}, "num_classes is '10', expected an integer"),
        ({"num_classes": 10.0}, "num_classes is 10.0, expected an integer"),
        ({"num_classes": True}, "num_classes is True, expected an integer"),
        ({"in_channels": 0}, "in_channels of network 'fast' is 0, expected an integer of at least 1"),
        ({"num_features": 5}, "num_features is 5, but 'fast' takes only in_channels and widths: leave it out"),
        ({"hidden": [5]}, "hidden is [5], but 'fast' takes only in_channels and widths"),
        ({"name": "linear"}, "num_features of network 'linear' is None, expected an integer of at least 1: pass one"),
        ({"name": "mlp"}, "num_features of network 'mlp' is None"),
        ({"name": "linear", "num_features": 0}, "num_features of network 'linear' is 0"),
        (
            {"name": "linear", "num_features": 5, "hidden": [5]},
            "hidden is [5], but 'linear' takes only num_features and columns:",
        ),
        ({"name": "linear", "num_features": 5, "dropout": 0.5}, "dropout is 0.5, but 'linear' takes only"),
        ({"name": "mlp", "num_features": 5, "dropout": 1.0}, "dropout of network 'mlp' is 1.0, expected a probability"),
        ({"name": "mlp", "num_features": 5, "dropout": "0.5"}, "is '0.5', expected a probability in [0, 1)"),
        ({"columns": [0, 5]}, "columns is [0, 5], but 'fast' takes only in_channels and widths"),
        ({"name": "mlp", "columns": [5, 5]}, "columns of network 'mlp' is [5, 5], expected 0 <= start < stop"),
        ({"name": "mlp", "columns": [-1, 5]}, "columns of network 'mlp'[0] is -1, expected an integer"),
        ({"name": "mlp", "columns": [0, 5, 9]}, "is [0, 5, 9], expected [start, stop), such as"),
        ({"name": "mlp", "columns": 5}, "is 5, expected [start, stop), such as"),
        ({"name": "mlp", "columns": [0, 5], "num_features": 6}, "5 features, and num_features is 6: make"),
        ({"name": "mlp", "num_features": 5, "in_channels": 3}, "'mlp' takes only num_features, hidden,"),
        ({"name": "mlp", "num_features": 5, "hidden": []}, "is [], expected one or more layer sizes"),
        ({"name": "mlp", "num_features": 5, "hidden": 64}, "is 64, expected one or more layer sizes"),
        ({"name": "mlp", "num_features": 5, "hidden": "64"}, "is '64', expected one or more layer sizes"),
        ({"name": "mlp", "num_features": 5, "hidden": [64, 0]}, "hidden of network 'mlp'[1] is 0"),
        ({"width": 5}, "has the keys name, num_classes, width; expected name, num_classes and at most num_features"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        NetworkSpec.from_json({"name": "fast", "num_classes": 10, **settings})


@pytest.mark.parametrize("settings", [{}, {"name": "fast"}, {"num_classes": 10}])
def test_json_without_a_required_key(settings):
    with pytest.raises(ArgumentError, match="expected name, num_classes and at most"):
        NetworkSpec.from_json(settings)


@pytest.mark.parametrize("settings", [["fast", 10], "fast", None])
def test_json_that_is_no_mapping(settings):
    with pytest.raises(ArgumentError, match="expected a mapping"):
        NetworkSpec.from_json(settings)
