"""Impossible cells, found before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from elr.errors import ArgumentError, ELRError
from elr.runs.bench.cell import Cell
from elr.runs.bench.grid import said
from elr.runs.bench.work import Shelf

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData

_NAMED = 200  # cells of one reason that a message names


@dataclass
class Problems:
    """What is wrong with which cells.

    Example:
        >>> from elr.runs.bench.work import Places
        >>> problems = Problems()
        >>> cell = Cell(data="pets", noise="none", rate=None, method="elr", uses="elr")
        >>> problems.look([cell], lambda cell: Shelf(Places()).loaded(cell))
        >>> problems.reasons[cell.key][:26]
        "data 'pets' are unknown: e"
    """

    reasons: dict[str, str] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)

    def look(self, cells: Sequence[Cell], check: Callable[[Cell], object]) -> None:
        """Check those cells of which nothing is known to be wrong yet."""
        for cell in cells:
            if cell.key not in self.reasons:
                try:
                    check(cell)
                except ELRError as error:
                    self.add([cell], str(error))

    def add(self, cells: Sequence[Cell], reason: str) -> None:
        """What is wrong with some cells."""
        for cell in cells:
            self.reasons[cell.key], self.cells[cell.key] = reason, cell

    def refuse(self, count: int) -> None:
        """Raise where anything was found.

        Raises:
            ArgumentError: impossible cells, each named, those of one reason together.
        """
        if not self.reasons:
            return
        together: dict[str, list[str]] = {}
        for key, reason in self.reasons.items():
            together.setdefault(reason, []).append(" ".join(said(self.cells[key]).values()))
        lines = []
        for reason, names in together.items():
            more = [f"and {len(names) - _NAMED} more"] * (len(names) > _NAMED)
            lines.append(f"  {reason}\n    in " + "\n       ".join(names[:_NAMED] + more))
        raise ArgumentError(
            f"{len(self.reasons)} of {count} cells are impossible, and none was run:\n" + "\n".join(lines)
        )


def check_settings_of(cells: Sequence[Cell], shelf: Shelf) -> None:
    """Refuse cells whose names and settings are wrong, or whose data are not there; no data are read.

    Args:
        cells: to be run.
        shelf: says where data are.

    Raises:
        ArgumentError: impossible cells, each named with its reason.

    Example:
        >>> from elr.runs.bench.work import Places
        >>> cell = Cell(data="digits", noise="next-class", rate=1.5, method="elr", uses="elr")
        >>> check_settings_of([cell], Shelf(Places()))
        Traceback (most recent call last):
        elr.errors.ArgumentError: 1 of 1 cells are impossible, and none was run:
          noise 'next-class' has the rate 1.5: expected one in [0, 1], such as next-class-0.4
            in digits next-class-1.5 elr 0
    """
    from elr.runs.bench.plans import check_cell
    from elr.runs.bench.sources.planting import Noise

    problems = Problems()
    problems.look(cells, lambda cell: Noise(cell.noise, cell.rate))
    problems.look(cells, check_cell)
    problems.look(cells, lambda cell: shelf.places.source(cell).check())
    problems.refuse(len(cells))


def check_data_of(cells: Sequence[Cell], shelf: Shelf, *, on_look: Callable[[str], None] | None = None) -> None:
    """Refuse cells whose noise, method or network does not go with their data, which are read for it.

    Each combination of data, noise, method and settings is looked at once, with the first of its seeds.

    Args:
        cells: to be run, which `check_settings_of` has let pass.
        shelf: of the data.
        on_look: called with the name of data before they are read.

    Raises:
        ArgumentError: impossible cells, each named with its reason.

    Example:
        >>> from elr.runs.bench.work import Places
        >>> cell = Cell(data="digits", noise="human", rate="worse_label", method="elr", uses="elr")
        >>> check_data_of([cell], Shelf(Places()))
        Traceback (most recent call last):
        elr.errors.ArgumentError: 1 of 1 cells are impossible, and none was run:
          there are no human labels of digits: there are of cifar10 and cifar100, by Wei et al.
            in digits human-worse_label elr 0
    """
    from elr.runs.bench.plans import holdout, plan_cell

    problems = Problems()
    found: dict[tuple[str, str], PreparedData] = {}  # of the last noise only
    for name in dict.fromkeys(cell.data for cell in cells):
        if on_look is not None:
            on_look(name)
        alike: dict[tuple[str, ...], list[Cell]] = {}
        for cell in (each for each in cells if each.data == name):
            alike.setdefault((said(cell)["noise"], str(holdout(cell)), cell.method), []).append(cell)
        found.clear()
        for (noise, held, _), group in alike.items():
            first = group[0]

            try:
                if (noise, held) not in found:
                    found.clear()
                    found[noise, held] = shelf.prepared(first)
                plan_cell(first, found[noise, held])
            except ELRError as error:
                problems.add(group, str(error))
    problems.refuse(len(cells))
