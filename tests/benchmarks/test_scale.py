"""The page of sizes says what benchmarks/scale.py computes, and an epoch of it measures what it says."""

import torch

from elr.targets.config import TargetsConfig
from elr.targets.dense import DenseTargets
from scripts import ROOT, load_script

SCALE = load_script(ROOT / "benchmarks" / "scale.py")


def test_the_page_has_the_numbers_of_the_function():
    assert SCALE.table() in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_a_dense_table_has_the_bytes_that_are_computed():
    place = SCALE.Place(name="few", num_examples=50, num_classes=7)
    assert SCALE.sizes(place, "dense", itemsize=4)["memory"] == DenseTargets(50, 7).table.nbytes


def test_rows_are_made_by_their_number():
    index = torch.tensor([7, 3, 7])
    features, labels = SCALE.made(index, 10)
    assert torch.equal(features[0], features[2])
    assert labels[0] == labels[2]
    every = SCALE.made(torch.arange(5_000), 10)[1]
    assert 0.15 < (every != torch.arange(5_000) % 10).double().mean() < 0.25


def test_an_epoch_is_measured(tmp_path):
    found = SCALE.measure(TargetsConfig(placement="mapped", dtype="bfloat16"), 3_000, 10, tmp_path)
    assert found["ratio"] > 0
    assert found["checkpoint_seconds"] < 5
