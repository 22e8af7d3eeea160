"""Grids: which methods are compared on which data, noises and seeds, in a small TOML file."""

from __future__ import annotations

import difflib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from elr.errors import ArgumentError, DataError
from elr.names import printable
from elr.runs.bench.cell import Cell

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports] - for Python 3.10 only

NONE, HUMAN = "none", "human"
PARTS = ("data", "noise", "method", "seed")
"""What a cell is told apart by: the lists of a table of cells, and what parts of a grid are chosen by."""
RECIPE = "recipe"
_TOP = ("title", "about", "training", "cells", "data", "methods")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid as read.

    Args:
        name: of the file, without its ending, or of the shipped grid.
        title: for people.
        about: what it shows, for people.
        cells: all of them, seed after seed, so that the first is through first.
        text: the file, as it was.
        folder: that relative paths in it start from; None for a grid that ships.

    Example:
        >>> text = '''
        ... [[cells]]
        ... data = "digits"
        ... noise = ["none", "symmetric-0.4"]
        ... method = ["elr", "elr-strong"]
        ... seed = [0, 1]
        ...
        ... [methods.elr-strong]
        ... method = "elr"
        ... lam = 7
        ... members = 1
        ... '''
        >>> cells = grid_from(text, name="mine").cells
        >>> len(cells), cells[3].key, cells[3].uses, cells[3].settings, cells[3].training
        (8, 'digits--symmetric-0.4--elr-strong--0', 'elr', {'lam': 7}, {'members': 1})
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    text: str
    about: str = ""
    folder: Path | None = None

    def only(self, chosen: Iterable[str] = (), left_out: Iterable[str] = ()) -> tuple[Cell, ...]:
        """Some of the cells.

        Args:
            chosen: PART=PATTERN each, such as "noise=symmetric-*": cells that fit one pattern of every part named.
            left_out: the same, of cells to leave out: those that fit any.

        Raises:
            ArgumentError: no such part, or a pattern that fits no cell.
        """
        wanted: dict[str, list[str]] = {}
        for part, pattern in map(_selection, chosen):
            wanted.setdefault(part, []).append(pattern)
        unwanted = [_selection(each) for each in left_out]
        for part, pattern in [*((part, each) for part, all_ in wanted.items() for each in all_), *unwanted]:
            if not any(fnmatchcase(said(cell)[part], pattern) for cell in self.cells):
                known = dict.fromkeys(said(cell)[part] for cell in self.cells)
                raise ArgumentError(f"no cell of the grid has {part} {pattern!r}: it has {', '.join(known)[:200]}")
        return tuple(
            cell
            for cell in self.cells
            if all(any(fnmatchcase(said(cell)[part], each) for each in wanted[part]) for part in wanted)
            and not any(fnmatchcase(said(cell)[part], each) for part, each in unwanted)
        )


def said(cell: Cell) -> dict[str, str]:
    """The parts of a cell in the words of a grid.

    Example:
        >>> said(Cell(data="digits", noise="symmetric", rate=0.4, method="elr", uses="elr", seed=1))
        {'data': 'digits', 'noise': 'symmetric-0.4', 'method': 'elr', 'seed': '1'}
    """
    noise = cell.noise if cell.rate is None else f"{cell.noise}-{cell.rate}"
    return {"data": cell.data, "noise": noise, "method": cell.method, "seed": str(cell.seed)}


def _selection(text: str) -> tuple[str, str]:
    part, equals, pattern = text.partition("=")
    if part not in PARTS or not equals:
        raise ArgumentError(f"{text!r}: expected PART=PATTERN with a part of {', '.join(PARTS)}, such as seed=0")
    return part, pattern


def shipped() -> dict[str, str]:
    """The grids that come with elr, and their titles.

    Example:
        >>> "digits" in shipped()
        True
    """
    files = sorted(_SHIPPED.iterdir(), key=lambda each: each.name)
    texts = {each.name.removesuffix(".toml"): each for each in files if each.name.endswith(".toml")}
    return {name: tomllib.loads(each.read_text(encoding="utf-8"))["title"] for name, each in texts.items()}


_SHIPPED = resources.files("elr.runs.bench") / "grids"


def read_grid(name: str | Path) -> Grid:
    """A grid, from a file or of those that ship.

    Args:
        name: path of a .toml file, or a key of `shipped()`.

    Raises:
        DataError: no such file or shipped grid.
        ArgumentError: no TOML, or no grid.

    Example:
        >>> read_grid("digits").cells[0].data
        'digits'
        >>> read_grid("digit")
        Traceback (most recent call last):
        elr.errors.DataError: no grid 'digit': did you mean digits? ...
    """
    path, names = Path(name), shipped()
    if str(name) in names and not path.is_file():
        return grid_from((_SHIPPED / f"{name}.toml").read_text(encoding="utf-8"), name=str(name))
    if not path.is_file():
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise DataError(
            f"no grid {printable(path)!r}: {hint}expected a .toml file, or one that ships: {', '.join(names)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)} cannot be read ({error}): expected a grid in TOML, as UTF-8") from error
    return grid_from(text, name=path.stem, folder=path.parent)


def grid_from(text: str, *, name: str, folder: Path | None = None) -> Grid:
    """A grid from its text.

    Args:
        text: TOML; see docs/bench.md.
        name: for people.
        folder: that relative paths start from.

    Raises:
        ArgumentError: no TOML, or no grid; what is wrong with single cells is found by `elr.runs.bench.checks`.

    Example:
        >>> grid_from("[[cell]]", name="mine")
        Traceback (most recent call last):
        elr.errors.ArgumentError: grid mine has 'cell', which is no part of a grid: did you mean cells?
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of too many digits are no TOMLDecodeError
        raise ArgumentError(f"grid {name} is no TOML ({error}): see docs/bench.md for how a grid is written") from error
    reader = _Reader(name=name, content=content)
    return Grid(
        name=name,
        title=reader.words("title") or name,
        about=reader.words("about"),
        cells=reader.cells(),
        text=text,
        folder=folder,
    )


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """What is in the TOML of a grid, held to what a grid is."""

    name: str
    content: Mapping[str, Any]
    seen: dict[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known(self.content, _TOP, f"grid {self.name} has", "a part of a grid")
        for part in ("training", "data", "methods"):
            if not isinstance(self.content.get(part, {}), dict):
                raise ArgumentError(f"{part} of grid {self.name} is {self.content[part]!r}: expected a table [{part}]")
        for part in ("data", "methods"):
            for each, table in self.content.get(part, {}).items():
                if not isinstance(table, dict):
                    raise ArgumentError(f"{each} of {part} is {table!r}: expected a table [{part}.{each}]")

    def known(self, table: Mapping[str, Any], names: Iterable[str], place: str, what: str) -> None:
        for key in table:
            if key not in names:
                near = difflib.get_close_matches(key, list(names), n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(names)}"
                raise ArgumentError(f"{place} {key!r}, which is no{what.removeprefix('a')}: {hint}")

    def words(self, key: str) -> str:
        value = self.content.get(key, "")
        if not isinstance(value, str):
            raise ArgumentError(f"{key} of grid {self.name} is {value!r}: expected text")
        return value.strip()

    def cells(self) -> tuple[Cell, ...]:
        tables = self.content.get("cells", [])
        if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
            raise ArgumentError(f"grid {self.name} has no cells: expected a table [[cells]] or several")
        for number, table in enumerate(tables, 1):
            for cell in self._product(table, f"[[cells]] {number}"):
                twin = self.seen.setdefault(cell.key, cell)
                if twin != cell:
                    raise ArgumentError(
                        f"grid {self.name} has two cells {' '.join(said(cell).values())} with other settings: give one "
                        "of the methods or data a name of its own, [methods.NAME] or [data.NAME]"
                    )
        return tuple(sorted(self.seen.values(), key=lambda cell: cell.seed))

    def _product(self, table: Mapping[str, Any], place: str) -> Iterator[Cell]:
        self.known(table, (*PARTS, "training"), f"{place} of grid {self.name} has", "a part of one")
        training = {**self.content.get("training", {}), **table.get("training", {})}
        lists = [self._list(table, part, place) for part in PARTS]
        for data, noise, method, seed in itertools.product(*lists):
            name, rate = _noise(noise)
            uses, settings, own = self._method(method)
            yield Cell(
                data=data,
                noise=name,
                rate=rate,
                method=method,
                uses=uses,
                settings=settings,
                training={**training, **own},
                seed=seed,
                source=self.content.get("data", {}).get(data, {}),
            )

    def _list(self, table: Mapping[str, Any], part: str, place: str) -> list[Any]:
        """The values of a part: one, or a list of them."""
        kind, default = (int, 0) if part == "seed" else (str, "none" if part == "noise" else None)
        values = table.get(part, default)
        values = values if isinstance(values, list) else [values]
        if not values or not all(type(value) is kind for value in values):
            what = "whole numbers" if kind is int else "names"
            raise ArgumentError(f"{part} of {place} is {table.get(part)!r}: expected one of {what}, or a list of them")
        if kind is int and min(values) < 0:
            raise ArgumentError(f"{part} of {place} is {table[part]!r}: expected numbers from 0 on")
        return list(dict.fromkeys(values))

    def _method(self, name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Which method it is, its settings, and what it changes in the training."""
        table = dict(self.content.get("methods", {}).get(name, {}))
        uses = table.pop("method", name)
        if not isinstance(uses, str):
            raise ArgumentError(f"method of [methods.{name}] is {uses!r}: expected its name")
        own = {key: table.pop(key) for key in list(table) if key in training_names()}
        return uses, table, own


def training_names() -> set[str]:
    """Settings of how something is trained; all others in the table of a method are the method's.

    Example:
        >>> {"epochs", "members", "recipe"} <= training_names(), "lam" in training_names()
        (True, False)
    """
    from dataclasses import fields

    from elr.runs.fit_config import FitConfig  # here, so that a list of grids is quick
    from elr.training.config import TrainingConfig

    names = {each.name for each in (*fields(FitConfig), *fields(TrainingConfig))}
    return (names | {RECIPE, "holdout"}) - {"method", "settings", "seed", "lam", "beta", "align"}


def _noise(text: str) -> tuple[str, float | str | None]:
    """Name and rate; what is no noise at all is kept whole, and refused with the cell."""
    if text.startswith(f"{HUMAN}-"):
        return HUMAN, text.removeprefix(f"{HUMAN}-")
    name, _, rate = text.rpartition("-")
    try:
        return name or text, float(rate)
    except ValueError:
        return text, None


def identity(cell: Cell) -> str:
    """All that decides about a cell, as text: what two grids in one folder must agree in.

    Example:
        >>> cell = Cell(data="digits", noise="none", rate=None, method="elr", uses="elr", settings={"lam": 7})
        >>> '"lam": 7' in identity(cell)
        True
    """
    return json.dumps(cell.to_json(), sort_keys=True)
