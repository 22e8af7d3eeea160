"""scripts/ in a copy of their folder, with stubs in place of Python and elr: nothing is installed."""

import os
import platform
import shutil
import subprocess

import pytest

from scripts import ROOT

STUB = """#!/usr/bin/env bash
if [ "$1" = -c ]; then exit "${{INDEX_IS_AWAY:-0}}"; fi
echo "{name} in $PWD:" "$@" >> "{log}"
"""
CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"


@pytest.fixture
def checkout(tmp_path):
    """A folder with the scripts, and what they call written down in its `log`."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "pyproject.toml").touch()
    for folder, names in {".venv/bin": ("python", "elr"), "path": ("chromium",)}.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            stub = root / folder / name
            stub.write_text(STUB.format(name=name, log=root / "log"))
            stub.chmod(0o755)
    return root


def called(root, script, *arguments, cwd, torch="default", **settings):
    """What a script calls, a line each, without the look for pip."""
    environment = os.environ | {"PATH": f"{root / 'path'}:{os.environ['PATH']}", "ELR_TORCH": torch, **settings}
    subprocess.run([root / "scripts" / script, *arguments], check=True, cwd=cwd, env=environment)
    lines = (root / "log").read_text().splitlines()
    (root / "log").unlink()
    return [line for line in lines if not line.endswith(": -m pip --version")]


def installs(root, what, *options):
    return " ".join(
        [f"python in {root}: -m pip install --quiet --constraint scripts/constraints.txt", *options, "--editable", what]
    )


def test_the_demo_hands_its_arguments_to_fit_and_installs_no_extra_of_that_name(checkout):
    assert called(checkout, "demo", "--out", "X Y", cwd=checkout) == [
        installs(checkout, "."),
        f"elr in {checkout}: fit --out X Y",
    ]
    assert called(checkout, "demo", cwd=checkout) == [f"elr in {checkout}: fit"]


def test_paths_of_the_demo_are_relative_to_where_it_is_called(checkout, tmp_path):
    assert called(checkout, "demo", "--out", "X", cwd=tmp_path)[-1] == f"elr in {tmp_path}: fit --out X"


def test_the_tests_take_arguments_and_have_the_development_extras(checkout, tmp_path):
    assert called(checkout, "test", "-k", "audit", cwd=tmp_path) == [
        installs(checkout, ".[dev]"),
        f"python in {checkout}: -m pytest -k audit",
    ]
    assert called(checkout, "test", cwd=tmp_path) == [f"python in {checkout}: -m pytest"]


def test_branches_are_counted_over_the_whole_suite(checkout, tmp_path):
    assert called(checkout, "coverage", "-k", "audit", cwd=tmp_path) == [
        installs(checkout, ".[dev]"),
        f"python in {checkout}: -m coverage erase",
        f"python in {checkout}: -m coverage run -m pytest -k audit",
        f"python in {checkout}: -m coverage combine --quiet",
        f"python in {checkout}: -m coverage report",
    ]


def test_mutants_are_made_by_mutmut_of_the_modules_that_are_named(checkout, tmp_path):
    assert called(checkout, "mutants", "noise/models", "--sample", "9", cwd=tmp_path)[1:] == [
        f"python in {checkout}: scripts/mutation.py noise/models --sample 9",
    ]


def test_it_is_installed_again_where_the_metadata_have_changed(checkout):
    called(checkout, "demo", cwd=checkout)
    stamp = checkout / ".venv" / ".elr-installed-plain"
    os.utime(checkout / "pyproject.toml", (stamp.stat().st_mtime + 5,) * 2)
    assert called(checkout, "demo", cwd=checkout)[0] == installs(checkout, ".")


def test_the_site_is_built_strictly_and_its_links_are_looked_up(checkout, tmp_path):
    assert called(checkout, "site", "--quiet", cwd=tmp_path) == [
        installs(checkout, ".[docs]"),
        f"python in {checkout}: -m mkdocs build --strict --clean --quiet",
        f"python in {checkout}: scripts/site_links.py site",
    ]


def test_torch_for_processors_is_offered_where_it_is_asked_for(checkout):
    assert called(checkout, "demo", cwd=checkout, torch="cpu")[0] == installs(checkout, ".", CPU)


def test_by_itself_only_where_there_is_no_gpu_and_its_index_answers(checkout):
    devices = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    without_gpu = (platform.system(), platform.machine()) == ("Linux", "x86_64") and not any(
        map(os.path.exists, devices)
    )
    expected = [CPU] if without_gpu else []
    assert called(checkout, "demo", cwd=checkout, torch="auto")[0] == installs(checkout, ".", *expected)
    (checkout / ".venv" / ".elr-installed-plain").unlink()
    assert called(checkout, "demo", cwd=checkout, torch="auto", INDEX_IS_AWAY="1")[0] == installs(checkout, ".")


def test_an_unknown_choice_of_torch_is_refused_before_anything_is_installed(checkout):
    environment = os.environ | {"ELR_TORCH": "gpu"}
    result = subprocess.run([checkout / "scripts" / "demo"], env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert "ELR_TORCH is gpu: expected cpu, default or auto" in result.stderr
    assert not (checkout / ".venv" / ".elr-installed-plain").exists()
