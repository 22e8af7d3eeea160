from dataclasses import asdict

import pytest

from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.elr import ELRConfig
from elr.methods.elr_settings import ELRSettings


def test_settings_are_those_of_the_config_and_survive_json():
    config = ELRConfig(align=True, lam=7.0)
    assert isinstance(config, ELRSettings)
    assert method_from_json(config.to_json()) == config
    assert config.described() == {"name": "elr", "lam": 7.0, "beta": 0.7, "align": True}


def test_the_paper_has_no_alignment():
    assert asdict(ELRConfig())["align"] is False
    assert "align" not in ELRConfig().described()


@pytest.mark.parametrize("networks", [0, 3])
def test_another_number_of_networks_is_refused(networks):
    with pytest.raises(ArgumentError, match="expected 1 or 2"):
        ELRConfig(networks=networks)
