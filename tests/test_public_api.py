"""The face of the package, pinned."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import elr

NAMES = [
    "Audit",
    "Batch",
    "DenseTargets",
    "ELR",
    "ELRClassifier",
    "ELRError",
    "ELRLoss",
    "FitConfig",
    "LossMethod",
    "Method",
    "Step",
    "Targets",
    "audit_labels",
    "fit",
    "predict",
]


def test_names():
    assert elr.__all__ == NAMES
    assert all(getattr(elr, name).__name__ == name for name in NAMES)


def test_version():
    assert elr.__version__ == version("elr")


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        elr.nothing  # noqa: B018


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert not {"torch", "numpy", "sklearn", "pandas"} & modules_after("import elr, elr.cli.main")


def test_the_loss_needs_no_more_than_torch():
    loaded = modules_after("from elr import ELR, ELRLoss")
    assert "torch" in loaded
    assert not {"sklearn", "pandas", "accelerate", "torchvision", "pyarrow"} & loaded
