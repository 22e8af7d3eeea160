"""The default grid, and what of it large data leave."""

import pytest

from elr.methods.ensemble.grid import (
    FEW,
    MANY,
    MOST_BYTES,
    WIDE,
    Choosable,
    affordable,
    default_grid,
    kept_epochs,
    linear_rate,
    loop_settings,
)
from elr.networks.spec import NetworkSpec


def networks(num_features=5):
    return [Choosable(network=NetworkSpec(name, 3, num_features=num_features)) for name in ("mlp", "linear")]


def points(settings):
    return [(setting.network.name, setting.lam, setting.network.dropout) for setting in settings]


def test_small_data_have_every_lam_with_and_without_dropout_and_linear_networks():
    found = points(default_grid(networks(), num_examples=FEW))
    assert len(set(found)) == len(found) == 10
    assert found[0] == ("mlp", 3.0, 0.5)
    assert {lam for _, lam, _ in found} == {0.0, 1.0, 3.0, 7.0}
    assert sum(name == "linear" for name, _, _ in found) == 4
    assert sorted(lam for _, lam, dropout in found if dropout == 0.0) == [3.0, 7.0]


def test_what_is_given_by_hand_is_not_searched():
    found = points(default_grid(networks(), num_examples=1_000, lam=2.0, dropout=0.1))
    assert found == [("mlp", 2.0, 0.1), ("linear", 2.0, None)]


def test_large_data_have_fewer_settings():
    assert {dropout for _, _, dropout in points(default_grid(networks()[:1], num_examples=FEW + 1))} == {0.5}
    assert points(default_grid(networks(), num_examples=MANY + 1)) == [("mlp", 3.0, 0.5), ("mlp", 0.0, 0.5)]


def test_wide_data_have_linear_networks_only_where_there_are_some():
    wide = networks(WIDE + 1)
    assert {name for name, _, _ in points(default_grid(wide, num_examples=100))} == {"linear"}
    assert {name for name, _, _ in points(default_grid(wide[:1], num_examples=100))} == {"mlp"}


@pytest.mark.parametrize(
    ("num_examples", "num_classes", "expected"),
    [(1_000, 10, (10, 5)), (100_000, 1_000, (1, 5)), (200_000, 1_000, (1, 2)), (10_000_000, 1_000, (1, 1))],
)
def test_targets_have_to_fit(num_examples, num_classes, expected):
    grid = default_grid(networks(), num_examples=1_000)
    found = affordable(grid, members=5, num_examples=num_examples, num_classes=num_classes)
    assert found == expected
    settings, members = found
    if members > 1:
        assert 4 * num_examples * num_classes * settings * members <= MOST_BYTES


def test_the_loop_goes_with_the_data():
    assert loop_settings(500, alike=False)["epochs"] == 30
    assert loop_settings(500, alike=True)["learning_rate"] < loop_settings(500, alike=False)["learning_rate"]
    assert loop_settings(20, alike=False)["batch_size"] <= 20
    assert loop_settings(10_000_000, alike=False)["epochs"] == 10
    assert linear_rate(alike=True, sparse=True) >= linear_rate(alike=False) > linear_rate(alike=True)
    assert kept_epochs(1) == (1,)
