"""Mutation testing by mutmut, a module of elr at a time, each held by its own tests (docs/campaign.md).

mutmut leaves decorated functions alone; most of what is public here is `@checked`. So it is told which decorators are
harmless. Strings, messages and what only type checkers see are not mutated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import libcst as cst
from mutmut import __main__ as mutmut
from mutmut import configuration
from mutmut.mutation import file_mutation, mutators

ROOT = Path(__file__).resolve().parent.parent
_HARMLESS = {"checked", "property", "cached_property", "contextmanager", "abstractmethod", "override"}
_HARMLESS |= {"torch.no_grad", "torch.inference_mode"}
_MEMORY = 12 * 2**30  # a mutant may ask for all there is
_KEPT = {"staticmethod", "classmethod"}  # mutmut knows how
_STORES = ("dense", "mapped", "sharded", "sparse")
_OF_STORE = {"largest": "sparse", "table_file": "mapped", "row_files": "sharded"}
_SLOW = ("learns", "killed", "let_go_of", "may_not_be_so_large")  # they train, or start a process, which sees no mutant


def named(decorator: cst.Decorator) -> str:
    """The name of a decorator, without its arguments."""
    node = decorator.decorator
    return cst.Module([]).code_for_node(node.func if isinstance(node, cst.Call) else node)


def teach() -> None:
    """Have mutmut mutate functions with harmless decorators, and nothing in messages."""
    skips, arranges = (
        file_mutation.MutationVisitor._skip_node_and_children,
        file_mutation.function_trampoline_arrangement,
    )

    def skip(self, node):
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return not {named(each) for each in node.decorators} <= _HARMLESS | _KEPT
        unread = isinstance(node, cst.Raise) or (
            isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString)
        )
        return unread or skips(self, node)

    def arrange(function, *arguments, **named_ones):
        declared, methods, assigned, names = arranges(function, *arguments, **named_ones)
        if not {named(each) for each in function.decorators} <= _KEPT:
            methods = [methods[0], *(each.with_changes(decorators=[]) for each in methods[1:])]
        return declared, methods, assigned, names

    file_mutation.MutationVisitor._skip_node_and_children = skip
    file_mutation.function_trampoline_arrangement = arrange
    mutators.mutation_operators[:] = [each for each in mutators.mutation_operators if each[0] is not cst.BaseString]


def tests_of(module: str) -> list[str]:
    """The tests that hold a module: the file that mirrors it or what is made of it, and the contract of its package."""
    path = Path(module)
    names = [path.name, *([_OF_STORE[path.name]] if path.name in _OF_STORE else []), "contract"]
    found = [f"tests/{path.parent}/test_{name}.py" for name in names]
    return [each for each in found if (ROOT / each).exists()]


def left_out(module: str) -> str:
    """For `pytest -k`: of tests of stores, none that trains or forks, and of the contract only what this store does."""
    if not module.startswith("targets/"):
        return ""
    name = Path(module).name
    store = _OF_STORE.get(name, name if name in _STORES else "dense")
    others = " or ".join(f"[{each}" for each in _STORES if each != store)
    return f"not {' and not '.join(_SLOW)} and not (test_sharded and rank) and not (test_contract and ({others}))"


def run(module: str, *, names: list[str], count: int, seed: int, children: int, tests: list[str]) -> dict:
    """Mutate one module in a copy of the tree, in the current folder.

    Returns: the module, how many mutants there are, how many were tried, how each ended, and the survivors.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # which cannot trace the choice of a mutant
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", "pyproject.toml")
    config = configuration._load_config()
    config.only_mutate, config.pytest_add_cli_args_test_selection = [f"src/elr/{module}.py"], tests
    config.pytest_add_cli_args = ["-p", "no:cacheprovider", "-W", "ignore", "-k", left_out(module)]
    config.use_git_change_detection = config.track_dependencies = False
    configuration._config = config
    mutmut.makedirs("mutants", exist_ok=True)
    with warnings.catch_warnings(), mutmut.CatchOutput():
        mutmut.copy_src_dir()
        mutmut.copy_also_copy_files()
        mutmut.setup_source_paths()
        mutmut.create_mutants(1)
    every = [name for _, name, _ in mutmut.collect_source_file_mutation_data(mutant_names=[])[0]]
    asked = [name for name in names if name in every] or every
    drawn = asked if len(asked) <= count else sorted(random.Random(seed).sample(asked, count))
    mutmut._run(tuple(drawn), children)
    found = mutmut.collect_source_file_mutation_data(mutant_names=drawn)[0]
    ends = {name: mutmut.status_by_exit_code[code] for _, name, code in found}
    left = [name for name, end in ends.items() if end not in {"killed", "timeout"}]
    path = Path(f"src/elr/{module}.py")
    return {
        "module": module,
        "mutants": len(every),
        "tried": len(drawn),
        "ends": dict(Counter(ends.values())),
        "survivors": {name: ends[name] + "\n" + mutmut.get_diff_for_mutant(name, path=path) for name in left},
    }


def main() -> int:
    """Exit status 1 where a mutant survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="such as audit/label_quality")
    parser.add_argument("--sample", type=int, default=100, help="at most so many mutants a module (100)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--tests", nargs="+", default=None, help="these instead of the file that mirrors the module")
    parser.add_argument("--log", type=Path, help="a line of JSON for each module")
    parser.add_argument("--again", type=Path, help="only mutants that survived by such a log")
    options = parser.parse_args()
    again = {}
    for line in options.again.read_text(encoding="utf-8").splitlines() if options.again else ():
        found = json.loads(line)
        again[found["module"]] = list(found["survivors"])
    log = options.log.resolve() if options.log else None
    teach()
    # mutmut keeps what it knows for the life of a process; so each module has one of its own
    survived = False
    for module in options.modules:
        child = os.fork()
        if child:
            survived |= os.waitpid(child, 0)[1] != 0
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            tests = options.tests or tests_of(module)
            found = run(
                module,
                names=again.get(module, []),
                count=options.sample,
                seed=options.seed,
                children=options.children,
                tests=tests,
            )
            os.chdir(ROOT)
        if log:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
        for name, diff in found["survivors"].items():
            print(f"\n{name}: {diff}")
        print(f"\n{module}: {found['tried']} of {found['mutants']} mutants, {found['ends']}", flush=True)
        sys.stdout.flush()
        os._exit(bool(found["survivors"]))
    return int(survived)


if __name__ == "__main__":
    sys.exit(main())
