"""The documentation holds together: links lead somewhere, every page can be reached, none is too long."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

import elr
from campaign.__main__ import areas
from elr.cli.main import app
from elr.data.pictures.decoding import MOST_PIXELS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKING = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")] + PAGES
MOST_WORDS = 2500
LONGER_FOR_A_REASON: dict[str, str] = {}  # page, relative to docs/: why it may have more

_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"\bdocs/[\w./-]*[\w-]\.(?:md|png)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def links_of(page: Path) -> list[str]:
    """Targets of the links and images of a page, those to the web left out."""
    text = _CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]


def anchors_of(page: Path) -> set[str]:
    """Anchors that GitHub gives to the headings of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        base = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        anchor, again = base, 0
        while anchor in found:
            again += 1
            anchor = f"{base}-{again}"
        found.add(anchor)
    return found


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """The file that a link of a page leads to, and the anchor in it."""
    path, _, anchor = target.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_link_and_anchor_leads_somewhere(page: Path):
    broken = []
    for target in links_of(page):
        path, anchor = resolve(page, target)
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(target)
    assert not broken


def test_every_page_is_reached_from_the_index():
    index = DOCS / "index.md"
    seen, waiting = {index}, [index]
    while waiting:
        page = waiting.pop()
        for target in links_of(page):
            path, _ = resolve(page, target)
            if path.suffix == ".md" and path.is_file() and path.is_relative_to(DOCS) and path not in seen:
                seen.add(path)
                waiting.append(path)
    assert [name_of(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("folder", ["src", "benchmarks", "examples", "tests", "scripts"])
def test_every_page_that_the_code_names_exists(folder: str):
    missing = []
    for path in sorted((ROOT / folder).rglob("*")):
        made = ".egg-info" in path.as_posix()  # by an installation, from the README of its day
        if path.is_file() and path.suffix in {"", ".py", ".j2", ".js", ".md", ".sh"} and not made:
            named = _PATH.findall(path.read_text(encoding="utf-8"))
            missing += [f"{name_of(path)}: {page}" for page in named if not (ROOT / page).is_file()]
    assert not missing


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_page_that_the_docs_name_exists(page: Path):
    named = _PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_is_too_long(page: Path):
    if page.relative_to(DOCS).as_posix() not in LONGER_FOR_A_REASON:
        assert len(page.read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_taken_for_a_tag_and_left_out(page: Path):
    """A product such as <p, t> is a tag to a browser: in text it has to be code."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("    "))
    assert re.findall(r"<\w[^>\n]*,[^>\n]*>", _CODE.sub("", text)) == []


def test_every_decision_and_every_entry_of_the_log_is_in_its_index():
    for folder in (DOCS / "decisions", DOCS / "log"):
        index = (folder / "index.md").read_text(encoding="utf-8")
        for page in sorted(folder.glob("*.md")):
            if page.name == "index.md":
                continue
            headings = re.findall(r"^## ", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert index.count(f"({page.name}#") == len(headings), name_of(page)


def found(name: str) -> bool:
    """Whether a dotted name is a module of elr, or something in one."""
    here, place = elr, "elr"
    for part in name.split(".")[1:]:
        place = f"{place}.{part}"
        if not hasattr(here, part) and hasattr(here, "__path__") and find_spec(place):
            import_module(place)
        if not hasattr(here, part):
            return False
        here = getattr(here, part)
    return True


def named_in(path: Path) -> set[str]:
    return set(re.findall(r"(?<![\w./-])elr\.[a-z_][\w.]*\w", path.read_text(encoding="utf-8")))


def test_names_of_the_package_are_looked_up():
    assert found("elr.targets.store.Targets.read")
    assert not any(map(found, ["elr.targets.store.Targets.nothing", "elr.targets.nothing", "elr.methods.elr.Nothing"]))


@pytest.mark.parametrize(
    "folder", ["docs", "src", "benchmarks", "examples", "README.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_every_name_of_the_package_that_is_mentioned_exists(folder: str):
    place = ROOT / folder
    pages = [*place.rglob("*.md"), *place.rglob("*.py")] if place.is_dir() else [place]
    missing = {name: name_of(page) for page in pages for name in named_in(page) if not found(name)}
    assert missing == {}


def test_the_readme_is_short_and_has_a_picture_that_loads_quickly():
    page = ROOT / "README.md"
    assert len(page.read_text(encoding="utf-8").split()) < 900
    (picture,) = (ROOT / target for target in links_of(page) if target.endswith(".png"))
    assert picture.stat().st_size < 250_000


def test_what_is_promised_of_hostile_files_is_tried_by_the_campaign():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"--only ([\w ]+)`", text)
    assert {name for name in areas() if name.startswith(("hostile", "picture"))} == set(named.split())
    assert f"{MOST_PIXELS:,}" in text
    assert "SECURITY.md" in links_of(ROOT / "README.md")


def calls_in(page: Path) -> list[str]:
    """Calls of elr that a page prints in code of its own, a line each; those that leave something out are not meant."""
    text = page.read_text(encoding="utf-8")
    code = "\n".join([*_FENCE.findall(text), *re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)])
    lines = [re.sub(r"\s#.*", "", line) for line in re.findall(r"^(?:\$ )?(elr [a-z].*)$", code, re.MULTILINE)]
    return [line for line in lines if not re.search(r"\.\.\.|\\$|[$<|]", line)]


@pytest.mark.parametrize("page", [page for page in LINKING if calls_in(page)], ids=name_of)
def test_every_command_that_is_printed_is_one_that_elr_takes(page: Path):
    for call in calls_in(page):
        command, words = get_command(app), shlex.split(call)[1:]
        while hasattr(command, "commands"):
            assert words[0] in command.commands, call
            command, words = command.commands[words[0]], words[1:]
        command.make_context("elr", words, resilient_parsing=False)  # reads options and arguments, and calls nothing


@pytest.mark.parametrize("page", [page for page in LINKING if calls_in(page)], ids=name_of)
def test_commands_of_a_page_can_be_run_one_after_another(page: Path):
    written = re.findall(r"--out (\S+)", "\n".join(calls_in(page)))
    assert len(written) == len(set(written)), f"two commands of one page write to one place: {written}"
