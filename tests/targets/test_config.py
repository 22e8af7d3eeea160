import json

import pytest
import torch

from elr.errors import ArgumentError
from elr.targets.config import DENSE, DTYPES, TargetsConfig
from elr.targets.dense import DenseTargets


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_store_is_built_as_the_config_says(dtype):
    config = TargetsConfig(dtype=dtype)
    store = config.build(5, 3)
    assert isinstance(store, DenseTargets)
    assert store.table.dtype == getattr(torch, dtype)
    assert store.table.shape == (5, 3)
    assert TargetsConfig(**json.loads(json.dumps(config.to_json()))) == config
    assert config.build(5, 3) is not store


def test_the_default_is_dense_and_in_float32():
    assert TargetsConfig() == DENSE
    assert DENSE.to_json() == {"placement": "dense", "dtype": "float32", "top_k": 16}


@pytest.mark.parametrize(("name", "value"), [("placement", "cloud"), ("dtype", "int8")])
def test_what_there_is_not_is_refused(name, value):
    with pytest.raises(ArgumentError, match=f"{name} of targets is '{value}': expected one of "):
        TargetsConfig(**{name: value})


def test_sizes_out_of_range_are_refused():
    with pytest.raises(ArgumentError, match="targets for 0 examples"):
        DENSE.build(0, 3)
