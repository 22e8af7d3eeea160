"""The plan of the house, as DESIGN and CONTRIBUTING have it: sizes, names, imports, tests and examples."""

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from scripts import ROOT

SOURCE = ROOT / "src" / "elr"
FILES = sorted(SOURCE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})

MOST_FILES = 14  # of a folder
MOST_LINES = 400  # of a file
MOST_MODULES = 10  # in a chain of imports
FACE = SOURCE / "__init__.py"
FACE_LINES = 45
FORBIDDEN = {"utils", "common", "core", "helpers", "raw", "tasks", "state", "loops", "rows", "switches", "lists"}

# Modules without a test file of their own, and why.
UNTESTED = {
    "elr.__main__": "`python -m elr` is how tests/command_line.py calls every command",
}

# Public functions and classes without a doctest, and why.
COMMANDS = "a command: its example is a line for the shell, which tests/cli/test_main.py has the parser read"
WEIGHTS = "needs a model of a hundred megabytes and ten seconds; see tests/networks/test_sentence_encoders.py"
UNEXAMPLED = {
    **{f"elr.cli.train.{name}": COMMANDS for name in ("fit", "inspect", "run")},
    **{f"elr.cli.review.{name}": COMMANDS for name in ("audit", "explain", "report", "clean", "predict")},
    **{f"elr.cli.data.{name}": COMMANDS for name in ("list_sets", "about_set", "check", "download")},
    "elr.cli.export.export": COMMANDS,
    "elr.cli.theory.theory": COMMANDS,
    "elr.cli.bench.bench": COMMANDS,
    "elr.cli.doctor.doctor": COMMANDS,
    "elr.cli.main.main": "the entry point: it ends the process",
    "elr.networks.sentence_encoders.embed_texts": WEIGHTS,
    "elr.networks.sentence_encoders.encoder_probe": WEIGHTS,
}


def module_name(path):
    parts = ("elr", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(path):
    return str(path.relative_to(ROOT))


MODULES = {module_name(path): path for path in FILES}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def only_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_by(node, *, on_loading=False):
    """The modules of elr that are imported below a node, but not where only types are asked for.

    All of them, or only those outside functions, which loading the module brings along.
    """
    for child in ast.iter_child_nodes(node):
        if only_for_types(child) or (on_loading and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.ImportFrom) and child.module and child.module.partition(".")[0] == "elr":
            for name in child.names:
                inner = f"{child.module}.{name.name}"
                yield inner if inner in MODULES else child.module
        elif isinstance(child, ast.Import):
            yield from (name.name for name in child.names if name.name in MODULES)
        yield from imported_by(child, on_loading=on_loading)


IMPORTS = {name: set(imported_by(parsed(path))) - {name} for name, path in MODULES.items()}
LOADED = {name: set(imported_by(parsed(path), on_loading=True)) - {name} for name, path in MODULES.items()}


@cache
def longest_chain(module):
    return (module, *max(map(longest_chain, LOADED[module]), key=len, default=()))


# Sizes and names


@pytest.mark.parametrize("folder", FOLDERS, ids=place)
def test_folders_are_seen_at_a_glance(folder):
    names = sorted(path.name for path in folder.glob("*.py"))
    assert len(names) <= MOST_FILES, names


@pytest.mark.parametrize("path", FILES, ids=place)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_names_say_what_is_inside():
    assert [place(path) for path in FILES if path.stem in FORBIDDEN] == []


# Faces


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py" and path != FACE], ids=lambda path: place(path.parent)
)
def test_packages_hand_on_names_and_define_nothing(path):
    docstring, *body = parsed(path).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    others = [ast.unparse(node) for node in body if not (isinstance(node, ast.ImportFrom) or defines_all(node))]
    assert others == []


def defines_all(node):
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=place)
def test_what_is_handed_on_has_not_the_name_of_a_module(path):
    names = {name.asname or name.name for node in parsed(path).body for name in getattr(node, "names", ())}
    modules = {each.stem for each in path.parent.glob("*.py")} | {
        each.name for each in path.parent.iterdir() if each.is_dir()
    }
    assert names & modules == set()


def test_the_face_is_small():
    assert len(FACE.read_text(encoding="utf-8").splitlines()) <= FACE_LINES


# Imports


def test_chains_of_imports_are_short():
    """Chains of imports at module level, which loading a module brings along.

    Not counted: what functions import when they are called, as commands do so that `elr --help` is quick, and types.
    """
    longest = max(map(longest_chain, MODULES), key=len)
    assert len(longest) <= MOST_MODULES, " -> ".join(longest)


def test_chains_follow_imports_at_module_level():
    """The test above rests on this."""
    chain = longest_chain("elr.__main__")
    assert chain[1] == "elr.cli.main"
    assert all(below in LOADED[above] for above, below in pairwise(chain))
    assert "elr.runs.fit" in IMPORTS["elr.cli.train"]
    assert "elr.runs.fit" not in LOADED["elr.cli.train"]


def test_names_are_imported_from_where_they_are_defined():
    """Not from the face of a package, which is for its users."""
    found = [
        f"{name} imports from {package}"
        for name, modules in IMPORTS.items()
        for package in modules
        if MODULES[package].name == "__init__.py"
    ]
    assert found == []


# Tests


def test_file_of(module):
    *packages, name = module.split(".")[1:]
    return ROOT.joinpath("tests", *packages, f"test_{name}.py")


test_file_of.__test__ = False  # pytest: its name begins like that of a test


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name != "__init__.py"])
def test_each_module_has_its_tests(module):
    has_one = test_file_of(module).exists()
    assert has_one != (module in UNTESTED), place(test_file_of(module))


def test_each_test_file_has_its_module():
    """Below tests/, in the folders that mirror packages; what spans several modules is listed."""
    of_modules = {test_file_of(module) for module, path in MODULES.items() if path.name != "__init__.py"}
    packages = [ROOT.joinpath("tests", *folder.relative_to(SOURCE).parts) for folder in FOLDERS if folder != SOURCE]
    found = {path for folder in packages for path in folder.glob("test_*.py")}
    assert sorted(map(place, found - of_modules - {ROOT / "tests" / name for name in SPANNING})) == []


SPANNING = {  # test files that are about no single module
    "audit/test_browser.py",  # the report in a real browser
    "methods/test_as_published.py",  # whole runs against the published algorithms
    "methods/test_contract.py",  # every method through one battery
    "targets/test_contract.py",  # every store through one battery
    "methods/test_extending.py",  # the method that the documentation adds as an exercise
    "runs/test_targets_of_a_run.py",  # the store that a run chooses, from the command line to the checkpoint
    "runs/test_recipes_page.py",  # a page of the documentation
    "training/test_generations.py",  # a method's targets, kept by the loop and the checkpoints from run to run
}


# Examples


def public(path):
    """The functions and classes of a module that have no underscore before them."""
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    return [node for node in parsed(path).body if isinstance(node, kinds) and not node.name.startswith("_")]


PUBLIC = {f"{name}.{node.name}": node for name, path in MODULES.items() for node in public(path)}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_and_classes_show_an_example(name):
    shows_one = ">>> " in (ast.get_docstring(PUBLIC[name]) or "")
    assert shows_one != (name in UNEXAMPLED)


def test_exceptions_are_of_what_there_is():
    assert set(UNTESTED) <= set(MODULES)
    assert set(UNEXAMPLED) <= set(PUBLIC)
    assert all(Path(ROOT / "tests" / name).exists() for name in SPANNING)
