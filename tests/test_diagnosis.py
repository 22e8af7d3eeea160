"""What is said of an installation, and of one that is broken."""

import subprocess
import sys

import pytest

from elr import diagnosis
from elr.diagnosis import Diagnosis, Package, SelfTest, diagnose, self_test


def test_this_installation_is_found_to_work():
    found = diagnose()
    assert found.versions.keys() >= {"elr", "Python", "system", "torch", "numpy"}
    assert [test.problem for test in found.tests] == [""] * len(found.tests)
    assert found.is_well
    assert {package.name: package.extras for package in found.packages}["optuna"] == ("tune",)
    assert "optuna" in "\n".join(found.lines())
    assert found.to_json()["ok"] is True


def test_a_broken_pytorch_is_told_and_not_raised(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libcudart.so: no such file')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['elr', 'doctor', '--json']\n"
        "from elr.cli.main import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert '"ok": false' in ended.stdout
    assert "libcudart.so: no such file" in ended.stdout
    assert ended.stderr == ""


def test_a_test_that_fails_says_why(monkeypatch):
    def fail(device):
        raise RuntimeError(f"CUDA error on {device}\nand a long trace")

    monkeypatch.setattr(diagnosis, "_train", fail)
    found = self_test("cpu")
    assert found.problem == "RuntimeError: CUDA error on cpu"
    assert "FAILED" in found.line()


def test_what_lacks_is_no_fault_and_what_is_broken_is():
    lacking, broken = Package(name="a", extras=("x",)), Package(name="b", extras=("x", "y"), version="1", problem="no")
    assert Diagnosis(versions={}, packages=[lacking], tests=[SelfTest(device="cpu")]).is_well
    assert not Diagnosis(versions={}, packages=[lacking, broken]).is_well
    assert not Diagnosis(versions={}, problems=["numpy is not installed"]).is_well
    assert broken.line() == "b  1  BROKEN: no"


@pytest.mark.parametrize(("code", "problem"), [("", ""), ("raise ImportError('gone')", "ImportError: gone")])
def test_optional_packages_are_imported_in_a_process_of_their_own(tmp_path, monkeypatch, code, problem):
    (tmp_path / "made_up_package.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(diagnosis.metadata, "packages_distributions", lambda: {"made_up_package": ["made-up"]})
    assert diagnosis._import_problem("made-up") == problem
