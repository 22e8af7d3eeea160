"""The script of benchmarks/methods_time.py: that every method can be timed, and its ratios are those of the seconds."""

import json
import subprocess
import sys

import pytest

from elr.errors import TrainingError
from elr.methods.catalog import METHODS
from scripts import ROOT, load_script

SCRIPT = ROOT / "benchmarks" / "methods_time.py"
SIZE = {"rows": 40, "batch_size": 20, "epochs": 2}


@pytest.fixture
def script():
    return load_script(SCRIPT)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_timed(script, name):
    assert script.epoch_seconds(name, "mlp", **SIZE) > 0


def test_images_go_through_the_convolutional_network(script):
    assert script.epoch_seconds("elr", "fast", **SIZE) > 0


def test_ratios_are_of_the_same_round(script, monkeypatch):
    taken = {"cross_entropy": iter([9.0, 1.0, 2.0, 4.0]), "elr": iter([2.0, 3.0, 8.0])}
    monkeypatch.setattr(script, "epoch_seconds", lambda name, network, **size: next(taken[name]))
    reference, elr = script.measure(["elr"], "mlp", rounds=3, **SIZE)["methods"]
    assert (reference["ratio"], reference["seconds"]) == (1.0, 2.0)
    assert (elr["ratio"], elr["least"], elr["greatest"], elr["seconds"]) == (2.0, 1.5, 2.0, 3.0)


def test_a_method_that_fails_is_named_and_the_others_are_timed(script, monkeypatch):
    def seconds(name, network, **size):
        if name == "elr":
            raise TrainingError("the loss is nan")
        return 1.0

    monkeypatch.setattr(script, "epoch_seconds", seconds)
    found = script.measure(["elr", "elr_plus"], "mlp", rounds=2, **SIZE)
    assert [row["method"] for row in found["methods"]] == ["cross_entropy", "elr_plus"]
    assert found["failed"] == {"elr": "the loss is nan"}
    assert script.table(found).splitlines()[-1] == "NOT TIMED: elr: the loss is nan"


def test_it_prints_a_line_for_each_network():
    flags = ["--rows", "40", "--batch-size", "20", "--epochs", "2", "--rounds", "1", "--only", "elr", "--json"]
    printed = subprocess.run([sys.executable, SCRIPT, "--network", "mlp", *flags], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout)
    assert [row["method"] for row in found["methods"]] == ["cross_entropy", "elr"]
    refused = subprocess.run([sys.executable, SCRIPT, "--only", "erl"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no method erl: there are elr" in refused.stderr
