"""Hooks of MkDocs: a page of the API for every public name, and copies of the files outside docs/ that pages link to.

Links in the pages are those that work on GitHub. Where one leaves docs/, the site has a copy of the file it leads to.
"""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "elr"
HOME = {"README.md": "index.md"}  # what the site has in another form
API = "API"  # the entry of the navigation that is filled here
GUIDES = "Guides"  # the one that every page of docs/guides/ is in, whether mkdocs.yml has a place for it or not
WITHOUT_API = {"cli", "__main__"}  # commands, which `--help` and the guide of the command line describe

_NAME = re.compile(r"(?<!\">)<code>(elr(?:\.\w+)+)</code>")  # not within a link, which has an attribute before it
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^()\s]+)(\))")
_CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


# What is public


@cache
def face() -> dict[str, str]:
    """The names of `elr.__all__`, with the module that each is from."""
    (names,) = (
        node.value
        for node in ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_NAMES"
    )
    return {name: f"elr.{module}" for module, of in ast.literal_eval(names).items() for name in of}


def defined_in(path: Path) -> list[str]:
    """The public classes, functions and constants that a module defines, in their order."""
    found: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return list(dict.fromkeys(name for name in found if not name.startswith("_")))


@cache
def modules() -> dict[str, list[str]]:
    """Each public module and package of elr, with the public names that it defines."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        package = parts[-1] == "__init__"
        parts = parts[:-1] if package else parts
        if parts and parts[0] not in WITHOUT_API and not any(part.startswith("_") for part in parts):
            found[".".join(("elr", *parts))] = [] if package else defined_in(path)
    return found


def summary(module: str, name: str | None = None) -> str:
    """The first sentence of the docstring of a module, or of a class or function in it."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    node: Any = ast.parse(path.read_text(encoding="utf-8"))
    if name is not None:
        node = next((inner for inner in node.body if getattr(inner, "name", None) == name), None)
    words = (ast.get_docstring(node) or "") if node else ""
    return " ".join(words.split("\n\n")[0].split()).replace("|", "\\|")


# The pages of the API


def block(identifier: str, options: dict[str, str]) -> str:
    """An instruction to mkdocstrings."""
    lines = "".join(f"      {name}: {value}\n" for name, value in options.items())
    return f"::: {identifier}\n" + (f"    options:\n{lines}" if options else "")


def name_page(name: str) -> str:
    """The page of a name of the face."""
    taken = f"elr.{name}" in modules()  # by a package, which the identifier would stand for
    identifier = f"{face()[name]}.{name}" if taken else f"elr.{name}"
    return f"# elr.{name}\n\n```python\nfrom elr import {name}\n```\n\n{block(identifier, {})}"


def page_of(name: str) -> str:
    """The file of the page of a name of the face; no two differ in case only, which some file systems do not see."""
    twin = name.islower() and any(other.lower() == name and other != name for other in face())
    return f"elr.{name}.function.md" if twin else f"elr.{name}.md"


def module_page(module: str) -> str:
    """The page of a module or a package: what it defines, what lies in it, and where its names of the face stand."""
    inside = [other for other in modules() if other.rpartition(".")[0] == module]
    names = modules()[module]
    apart = [name for name in names if face().get(name) == module]
    heading = f"{module}, the package" if module.removeprefix("elr.") in face() else module
    text = f"# {heading}\n\n{summary(module)}\n"
    if apart:
        text += "\nWith a page each: " + ", ".join(f"[`elr.{name}`]({page_of(name)})" for name in apart) + ".\n"
    if inside:
        lines = [f"| [`{other}`]({file_of(other)}) | {summary(other)} |" for other in inside]
        text += "\n| | |\n|---|---|\n" + "\n".join(lines) + "\n"
    for name in names:
        if name not in apart:
            text += "\n" + block(f"{module}.{name}", {})
    return text


def file_of(module: str) -> str:
    """The file of a module's page in api/; another where a name of the face has its path."""
    taken = {name.lower() for name in face()}  # of two paths that differ in case only some file systems keep one
    return f"{module}.module.md" if module.removeprefix("elr.").lower() in taken else f"{module}.md"


def index_page() -> str:
    """The first page of the API."""
    names = [
        f"| [`elr.{name}`]({page_of(name)}) | {summary(module, name)} |" for name, module in sorted(face().items())
    ]
    packages = [m for m in modules() if m.count(".") == 1]
    rows = [f"| [`{module}`]({file_of(module)}) | {summary(module)} |" for module in packages]
    head = "# API\n\nWhat `import elr` has, and below it every package with its modules.\n\n"
    words = (
        "\n\n## Packages\n\nImports point only downward; [architecture](../architecture.md) says what lives where.\n\n"
    )
    return head + table("name", "", names) + words + table("package", "", rows) + "\n"


def table(first: str, second: str, lines: list[str]) -> str:
    """A table of two columns."""
    return f"| {first} | {second} |\n|---|---|\n" + "\n".join(lines)


def api_pages() -> dict[str, str]:
    """Every page of the API by its place in docs/."""
    pages = {"api/index.md": index_page()}
    pages |= {f"api/{page_of(name)}": name_page(name) for name in face()}
    return pages | {f"api/{file_of(module)}": module_page(module) for module in modules()}


def api_navigation() -> list[Any]:
    """The pages of the API in the order of the navigation: the face, then package by package."""

    def below(module: str) -> list[Any]:
        page = f"api/{file_of(module)}"
        inner = [other for other in modules() if other.rpartition(".")[0] == module]
        if not inner:
            return [{module: page}]
        return [{module: [page, *(entry for other in inner for entry in below(other))]}]

    names = [{f"elr.{name}": f"api/{page_of(name)}"} for name in sorted(face())]
    tops = [module for module in modules() if module.count(".") == 1]
    return ["api/index.md", {"elr": names}, *(entry for module in tops for entry in below(module))]


@cache
def places() -> dict[str, str]:
    """Where the API has each public name, written from the root of the package: a page, and an anchor in it."""
    found = {module: file_of(module).replace(".md", ".html") for module in modules()}
    for module, names in modules().items():
        found |= {f"{module}.{name}": f"{found[module]}#{module}.{name}" for name in names}
    for name, module in face().items():
        found[f"elr.{name}"] = found[f"{module}.{name}"] = page_of(name).replace(".md", ".html")
    return found


# Files outside docs/


def outside(target: str, source: str) -> str | None:
    """The path from the root of a file outside docs/ to which a link leads, or None."""
    path = target.partition("#")[0]
    if not path or "://" in target or target.startswith("mailto:"):
        return None
    full = os.path.normpath(os.path.join(os.path.dirname(source), path))  # noqa: PTH118, PTH120
    return None if full.startswith("docs/") else full


def place_of(path: str) -> str:
    """Where the site has a file that lies outside docs/."""
    if path in HOME:
        return HOME[path]
    return f"project/{path}" if path.endswith(".md") else f"project/{path}.md"


def mended(text: str, source: str, page: str) -> str:
    """Markdown with links as they are from its page in the site.

    Args:
        text: Markdown.
        source: the file that it is from, relative to the root.
        page: its place in docs/.
    """

    def mend(match: re.Match[str]) -> str:
        target = match[2]
        path, sign, anchor = target.partition("#")
        left = outside(target, source)
        if left is not None:
            goal = place_of(left)
        elif not path or "://" in target or target.startswith("mailto:"):
            return match[0]
        else:
            full = os.path.normpath(os.path.join(os.path.dirname(source), path))  # noqa: PTH118, PTH120
            goal = full.removeprefix("docs/")
        relative = os.path.relpath(goal, PurePosixPath(page).parent)
        return f"{match[1]}{PurePosixPath(relative)}{sign}{anchor}{match[3]}"

    code = [found.span() for found in _CODE.finditer(text)]
    return _LINK.sub(lambda m: m[0] if any(a <= m.start() and m.end() <= b for a, b in code) else mend(m), text)


def copied(path: str) -> str:
    """The page that shows a file outside docs/."""
    file = ROOT / path
    if not file.is_file():
        raise FileNotFoundError(f"a page of docs/ links to {path}, which is no file of this project")
    text = file.read_text(encoding="utf-8")
    if path.endswith(".md"):
        return mended(text, path, place_of(path))
    kind = {".py": "python", ".toml": "toml", ".csv": "text", ".cff": "yaml"}.get(file.suffix, "text")
    return f"# {path}\n\n````{kind}\n{text}````\n"


def copies() -> dict[str, str]:
    """Pages of all files outside docs/ that are linked to, from docs/ or from another copy."""
    found: dict[str, str] = {}
    waiting = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    while waiting:
        source = waiting.pop()
        if not source.endswith(".md"):
            continue
        text = _CODE.sub("", (ROOT / source).read_text(encoding="utf-8"))
        for _, target, _ in _LINK.findall(text):
            path = outside(target, source)
            if path and path not in HOME and place_of(path) not in found:
                found[place_of(path)] = copied(path)
                waiting.append(path)
    return found


# What MkDocs calls


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API into the navigation, and guides that have no place in it yet at the end of theirs."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and API in entry:
            entry[API] = api_navigation()
        if isinstance(entry, dict) and GUIDES in entry:
            placed = str(entry[GUIDES])
            guides = sorted(f"guides/{path.name}" for path in (ROOT / "docs" / "guides").glob("*.md"))
            entry[GUIDES] += [guide for guide in guides if guide not in placed]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here to the pages of docs/."""
    for place, text in api_pages().items():
        files.append(File.generated(config, place, content=text))
    for place, text in copies().items():
        top = place.count("/") == 1 and place.count(".") == 1  # CHANGELOG.md and such, which the navigation names
        shown = InclusionLevel.INCLUDED if top else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, place, content=text, inclusion=shown))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the copies."""
    del config, files
    if page.file.generated_by:
        return markdown
    place = page.file.src_uri
    return mended(markdown, f"docs/{place}", place)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead every public name that a page mentions, such as `elr.fit`, to its place in the API."""
    del config, files

    def linked(match: re.Match[str]) -> str:
        goal = places().get(match[1])
        if goal is None:
            return match[0]
        relative = os.path.relpath(f"api/{goal}", PurePosixPath(page.url).parent)
        return f'<a href="{relative}">{match[0]}</a>'

    return _NAME.sub(linked, html)
