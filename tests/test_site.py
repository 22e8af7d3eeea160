"""The documentation as a site: built without a warning, no link leads nowhere, every public name has its place."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

import elr
from scripts import ROOT, load_script

pytestmark = pytest.mark.skipif(
    not (find_spec("mkdocs") and find_spec("mkdocstrings")), reason="without the extra docs"
)
ANCHOR = re.compile(r'\bid="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a word about another tool, on stderr
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture(scope="module")
def anchors(site):
    return {anchor for page in (site / "api").glob("*.html") for anchor in ANCHOR.findall(page.read_text("utf-8"))}


def test_every_link_leads_somewhere(site):
    assert load_script(ROOT / "scripts" / "site_links.py").faults(site) == []


@pytest.mark.parametrize("name", elr.__all__)
def test_every_name_of_the_face_has_a_page(site, name):
    texts = [page.read_text("utf-8") for page in (site / "api").glob(f"elr.{name}.*")]
    (text,) = (text for text in texts if re.search(rf"<h1[^>]*>elr\.{name}<", text))
    known = {f"elr.{name}", f"elr.{elr._HOME[name]}.{name}"}  # the latter where a package has the name
    assert known & set(ANCHOR.findall(text))


def test_no_two_pages_differ_in_case_only(site):
    pages = [path.relative_to(site).as_posix().lower() for path in site.rglob("*.html")]
    assert sorted(pages) == sorted(set(pages))


def public_modules():
    for found in pkgutil.walk_packages(elr.__path__, "elr."):
        if not found.name.startswith("elr.cli") and not any(part.startswith("_") for part in found.name.split(".")):
            yield import_module(found.name)


def test_every_public_name_has_its_place(anchors):
    missing = []
    for module in public_modules():
        for name, value in vars(module).items():
            public = not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
            on_its_own = name in elr.__all__ and getattr(elr, name) is value  # and tested above
            if public and callable(value) and not on_its_own and f"{module.__name__}.{name}" not in anchors:
                missing.append(f"{module.__name__}.{name}")
    assert missing == []


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("other.html", None),
        ("other.html#here", None),
        ("#there", None),
        ("https://example.org/a", None),
        ("mailto:a@example.org", None),
        ("missing.html", "no such file"),
        ("other.html#missing", "no such anchor"),
        ("#missing", "no such anchor"),
        ("https://nowhere", "no address"),
        ("/other.html", "begins at the root, which a folder of files does not have"),
    ],
)
def test_what_is_wrong_with_a_link_is_said(tmp_path, link, wrong):
    (tmp_path / "page.html").write_text(f'<a id="there" href="{link}">a</a>')
    (tmp_path / "other.html").write_text('<p id="here">b</p>')
    found = load_script(ROOT / "scripts" / "site_links.py").faults(tmp_path)
    assert found == ([f"page.html: {link}: {wrong}"] if wrong else [])


def test_pages_load_nothing_from_the_network(tmp_path):
    (tmp_path / "page.html").write_text('<script src="https://example.org/a.js"></script>')
    (said,) = load_script(ROOT / "scripts" / "site_links.py").faults(tmp_path)
    assert said.endswith("fetched from the network")


def test_nothing_to_look_through_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["site_links.py", str(tmp_path)])
    assert load_script(ROOT / "scripts" / "site_links.py").main() == 1
    assert "holds no page" in capsys.readouterr().err
