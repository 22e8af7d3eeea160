"""The page of sizes says what benchmarks/scale.py computes, and an epoch of it measures what it says."""

import sys

import pytest
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


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("placement", ["mapped", "sparse"])
def test_an_epoch_is_measured(tmp_path, placement):
    found = SCALE.measure(TargetsConfig(placement=placement, dtype="bfloat16"), 5_000, 10, tmp_path, turn=1)
    assert min(found["last_epoch"].values()) > 0
    assert found["checkpoint_seconds"] < 5
    assert found["evidence_written"]
    assert len((tmp_path / "issues.csv").read_text().splitlines()) == 5_001
    assert {path.name for path in tmp_path.iterdir()} <= {"evidence.parquet", "issues.csv", "metrics.jsonl"} | {
        path.name for path in tmp_path.glob(".targets-*")
    }
    assert SCALE.line({"placement": placement, "dtype": "bfloat16"} | found).count("|") == SCALE.HEAD.count("|") / 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_failure_beside_ends_both(tmp_path, monkeypatch):
    made = SCALE.training_of

    def failing(examples, num_classes, config, **options):
        training = made(examples, num_classes, config, **options)
        if options["epochs"] == 10**6:
            monkeypatch.setattr(training, "run", lambda **_: 1 / 0)
        return training

    monkeypatch.setattr(SCALE, "training_of", failing)
    with pytest.raises(RuntimeError, match="the training beside failed"):
        SCALE.measure(TargetsConfig(placement="sparse"), 1_000, 10, tmp_path, turn=1)
