"""The wheel and the source distribution: what is in them, and what they say of themselves."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser

import pytest
import yaml

from scripts import ROOT, load_script

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("build", reason="elr[dev] is not installed")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "shared", "elr-out*")


def left_out(folder, names):
    """What is no part of the project, the site as it was built at the root among it."""
    return LEFT_OUT(folder, names) | ({"site"} if folder == str(ROOT) else set())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("distribution")
    shutil.copytree(ROOT, folder / "tree", ignore=left_out)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "tree"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def source(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        yield {name.partition("/")[2] for name in archive.getnames()}


def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def sources(folder):
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path for path in files if not {"__pycache__", "elr.egg-info"} & set(path.parts)}


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {path.relative_to(ROOT / "src").as_posix() for path in sources("src")}
    assert "elr/py.typed" in packed
    assert any(name.endswith(".html.j2") for name in packed)
    assert any(name.startswith("elr/runs/bench/grids/") for name in packed)


def test_the_source_distribution_has_what_a_run_of_the_tests_needs(source):
    folders = ("src", "tests", "docs", "examples", "benchmarks", "scripts")
    wanted = {path.relative_to(ROOT).as_posix() for folder in folders for path in sources(folder)}
    wanted |= {
        "pyproject.toml",
        "mkdocs.yml",
        "setup.py",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CITATION.cff",
        "LICENSE",
    }
    assert {name for name in wanted - source if not name.endswith(".log")} == set()


def test_the_index_would_take_them(built):
    pytest.importorskip("twine", reason="elr[dev] is not installed")
    command = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_says_license_pythons_extras_and_command(wheel):
    told = metadata(wheel)
    assert told["License-Expression"] == "MIT"
    assert told["License-File"] == "LICENSE"
    assert told["Requires-Python"] == ">=3.10"
    assert told["Project-URL"]
    classifiers = told.get_all("Classifier", [])
    minors = [
        each.rpartition(".")[2] for each in classifiers if each.startswith("Programming Language :: Python :: 3.")
    ]
    assert minors == ["10", "11", "12", "13"]
    assert "Typing :: Typed" in classifiers
    assert set(told.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "elr = elr.cli.main:main" in wheel.read(name).decode()


def test_the_long_description_is_the_readme_without_links_into_nowhere(wheel):
    told = metadata(wheel)
    assert told["Description-Content-Type"] == "text/markdown"
    text = str(told.get_payload())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.split()[:2] == readme.split()[:2]
    assert re.findall(r"\]\((?!\w+:|#)[^)\s]+\)", text) == []


def test_links_of_the_readme_go_to_the_repository_where_its_address_is_known():
    outside = load_script(ROOT / "setup.py").outside
    text = "a [b](pages/x.md#y), [c](https://x.org), [d](#e), [![f](g.png)](h.md)"
    assert outside(text) == "a b, [c](https://x.org), [d](#e), f"
    assert outside(text, "https://x.org/r/") == (
        "a [b](https://x.org/r/blob/main/pages/x.md#y), [c](https://x.org), [d](#e), "
        "[![f](https://x.org/r/raw/main/g.png)](https://x.org/r/blob/main/h.md)"
    )


def test_the_citation_has_its_fields_and_the_version_of_the_package():
    """Those that the Citation File Format 1.2.0 asks for, of the software and of the paper."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert all({"family-names", "given-names"} <= author.keys() for author in paper["authors"])


def test_the_changelog_is_in_the_form_that_it_names():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in versions[1:])
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
