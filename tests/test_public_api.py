"""The face of the package, pinned."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import elr

NAMES = [
    "Audit",
    "Batch",
    "DenseTargets",
    "ELR",
    "ELRClassifier",
    "ELRConfig",
    "ELRError",
    "ELRLoss",
    "FitConfig",
    "LossMethod",
    "Method",
    "ReadOptions",
    "Step",
    "Targets",
    "audit",
    "audit_labels",
    "explain",
    "export_model",
    "fit",
    "inspect",
    "predict",
    "with_index",
]


def test_names():
    assert elr.__all__ == NAMES
    assert all(getattr(elr, name).__name__ == name for name in NAMES if name != "audit")
    assert elr.audit.__name__ == "elr.audit"  # a package, which can be called


def test_the_face_is_short_and_says_the_same_to_type_checkers():
    text = Path(elr.__file__).read_text()
    assert len(text.splitlines()) <= 45
    imported = re.findall(r"^    from elr\.([\w.]+) import (.+)$", text, flags=re.MULTILINE)
    assert {module: tuple(names.split(", ")) for module, names in imported} == elr._NAMES


@pytest.mark.parametrize("package", ["methods", "targets"])
def test_packages_hand_on_names_and_no_name_of_a_module(package):
    found = import_module(f"elr.{package}")
    text = Path(found.__file__).read_text()
    names = re.findall(r"^from elr\.[\w.]+ import (\w+) as \1$", text, flags=re.MULTILINE)
    assert len(names) == len(text.splitlines()) - 2  # a docstring, an empty line, and nothing else
    for name in names:
        assert not isinstance(getattr(found, name), ModuleType), name


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
