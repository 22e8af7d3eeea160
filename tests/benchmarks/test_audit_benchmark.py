"""The script of benchmarks/audit.py, on little data: that it measures what it says."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from elr.data.records import Records
from scripts import ROOT, load_script

pytest.importorskip("cleanlab")

SCRIPT = ROOT / "benchmarks" / "audit.py"


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


def test_the_script_prints_every_method():
    flags = ["digits-40", "--seeds", "1", "--rows", "300", "--epochs", "2", "--threads", "1", "--json"]
    printed = subprocess.run([sys.executable, SCRIPT, *flags], check=True, capture_output=True, text=True)
    (found,) = json.loads(printed.stdout)["seeds"]
    assert found.pop("seed") == 0
    assert set(found) == {"elr", "elr_aum", "cleanlab", "aum", "loss"}
    assert found["elr"]["removed"] == found["elr_aum"]["removed"]
    for scores in found.values():
        seconds = scores.pop("seconds")
        assert seconds > 0
        assert all(0 <= value <= 1 for value in scores.values())
    assert found["aum"]["removed"] == found["loss"]["removed"] == pytest.approx(0.4, abs=0.1)


def test_a_table_has_mean_and_standard_deviation(script):
    seeds = [
        {method: dict.fromkeys((*script.COLUMNS, "own_accuracy"), value) for method in ("elr", "cleanlab", "loss")}
        for value in (0.25, 0.75)
    ]
    lines = script.table(seeds).splitlines()
    assert lines[2].startswith("| elr | 0.5000 ± 0.3536 |")
    assert lines[-1] == "ELR's run takes 1.00 of the time of cleanlab's 5 folds"


class Means:
    """Stands in for a backbone: the mean of each channel."""

    calls = 0

    def embed(self, images):
        Means.calls += 1
        assert images.shape[1:] == (3, 128, 128)
        return images.float().mean(dim=(2, 3)).numpy()


def test_features_are_made_once_and_read_afterwards(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "load_backbone", lambda name: Means())
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 32, 32).contiguous()
    parts = tuple(
        Records(kind="images", rows=np.arange(len(part)), images=part, labels=[0] * len(part))
        for part in (pixels[:3], pixels[3:])
    )
    file = tmp_path / "features.npz"
    for _ in range(2):
        train, test = script.embedded(parts, file)
        assert train.features.tolist() == [[0] * 3, [1] * 3, [2] * 3]
        assert test.features.tolist() == [[3] * 3, [4] * 3]
    assert Means.calls == 2
    with pytest.raises(AssertionError, match="features of other images"):
        script.embedded(parts[::-1], file)
