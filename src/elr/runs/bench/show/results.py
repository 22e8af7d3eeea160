"""The results in the folder of a bench, held to its cells: what is finished, failed, missing, damaged or not of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elr.errors import ArtifactError
from elr.runs.bench.cell import CELLS_FOLDER, DONE, FAILED, Cell, CellResult, read_result

Column = tuple[str, str, float | str | None]
"""What methods are compared on: data, noise, rate."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What lies in the folder of a bench.

    Args:
        cells: all that the bench asks for, in the order of its grid.
        results: of those that ended, finished or failed, in the same order.
        damaged: in words, each file that could not be read; nothing of them is in the numbers.
        foreign: in words, each file that is of no cell of this bench; nothing of them is in the numbers.

    Example:
        >>> cells = [Cell(data="d", noise="symmetric", rate=0.2, method=name, uses="elr") for name in ("b", "a")]
        >>> found = Results(cells=cells, results=[CellResult(cell=cells[1], status=DONE, seconds=2.0)])
        >>> found.methods, found.columns
        (['b', 'a'], [('d', 'symmetric', 0.2)])
        >>> [result.cell.method for result in found.done], found.seeds("b", ("d", "symmetric", 0.2))
        (['a'], [0])
    """

    cells: Sequence[Cell]
    results: Sequence[CellResult]
    damaged: Sequence[str] = ()
    foreign: Sequence[str] = ()

    @property
    def methods(self) -> list[str]:
        """Rows of the table, in the order of the grid."""
        return list(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def columns(self) -> list[Column]:
        """Columns of the table, in the order of the grid."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @property
    def done(self) -> list[CellResult]:
        """The finished ones."""
        return [result for result in self.results if result.status == DONE]

    def seeds(self, method: str, column: Column) -> list[int]:
        """Those that the bench asks for; none where the method does not run on this column."""
        return [cell.seed for cell in self.cells if cell.method == method and cell.column == column]


def read_results(folder: str | Path, cells: Sequence[Cell] | None = None) -> Results:
    """Read the folder of a bench.

    Args:
        folder: --out of `elr bench`.
        cells: of its grid, in order. Default: those whose files are there and, of each method on each column, every
            seed that another method has there; sorted by data, noise, rate and method.

    Returns:
        What is there; damaged files and those of other cells are named in it.

    Raises:
        ArtifactError: no folder of a bench, or none of its cells has finished.

    Example:
        >>> import tempfile
        >>> cell = Cell(data="digits", noise="symmetric", rate=0.2, method="elr", uses="elr", seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     CellResult(cell=cell, status=DONE, measures={"accuracy": 0.9}).write(Path(folder))
        ...     _ = (Path(folder) / "cells" / "broken.json").write_text("{")
        ...     found = read_results(folder)
        >>> found.methods, [line.split(" (")[0] for line in found.damaged]
        (['elr'], ['broken.json is damaged: it is not JSON'])
    """
    folder = Path(folder)
    read, damaged = _read(_files(folder))
    if cells is None:
        cells = _cells_of(read)
    expected = {cell.key: cell for cell in cells}
    results, foreign = {}, []
    for result in read:
        cell = expected.get(result.cell.key)
        if cell is None:
            foreign.append(f"{result.cell.key}.json is of no cell of this grid")
        elif changed := differing(cell, result.cell):
            foreign.append(f"{cell.key}.json was made with other {' and '.join(changed)} than the grid has")
        else:
            results[cell.key] = result
    found = Results(
        cells=list(cells),
        results=[results[key] for key in expected if key in results],
        damaged=damaged,
        foreign=foreign,
    )
    if not found.done:
        raise ArtifactError(f"{folder} has no finished cell{_why(found)}: run `elr bench GRID --out {folder}` first")
    return found


def differing(one: Cell, other: Cell) -> list[str]:
    """The fields of two cells that are not the same in JSON, where a tuple is a list.

    Example:
        >>> cells = [Cell(data="d", noise="none", rate=None, method="elr", uses="elr", training={"hidden": hidden})
        ...     for hidden in ((64,), [64], [32])]
        >>> differing(cells[0], cells[1]), differing(cells[0], cells[2])
        ([], ['training'])
    """
    values, others = (json.loads(json.dumps(cell.to_json())) for cell in (one, other))
    return [name for name in values if values[name] != others[name]]


def _files(folder: Path) -> list[Path]:
    """The files of cells, by name."""
    try:
        if not folder.is_dir():
            raise ArtifactError(f"{folder} is not a folder: expected the --out of `elr bench`")
        if not (folder / CELLS_FOLDER).is_dir():
            raise ArtifactError(
                f"{folder} has no folder {CELLS_FOLDER!r}: expected the --out of `elr bench`, with a cell "
                "that has ended"
            )
        return sorted(path for path in (folder / CELLS_FOLDER).iterdir() if path.suffix == ".json")
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read ({error.strerror}): expected the --out of `elr bench`") from error


def _read(paths: Sequence[Path]) -> tuple[list[CellResult], list[str]]:
    """What can be read, and in words what cannot."""
    read, damaged = [], []
    for path in paths:
        try:
            result = read_result(path)
            if result.cell.key != path.stem:
                raise ArtifactError(
                    f"{path} is damaged: it holds the cell {result.cell.key}: was it renamed or copied?"
                )
        except ArtifactError as error:
            damaged.append(str(error).replace(f"{path.parent}/", ""))
        else:
            read.append(result)
    return read, damaged


def _why(found: Results) -> str:
    """In words, what lies there instead of finished cells."""
    parts = []
    failed = [result for result in found.results if result.status == FAILED]
    if failed:
        parts.append(f"{len(failed)} failed, the first with: {_short(failed[0].error)}")
    parts += [*found.damaged[:3], *found.foreign[:3]]
    return f" ({'; '.join(parts)})" if parts else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:197]}..."


def _cells_of(results: Sequence[CellResult]) -> list[Cell]:
    """The cells of a bench whose grid is not known: each method there with all seeds of the column."""
    ordered = sorted((result.cell for result in results), key=_order)
    seeds: dict[Column, dict[int, None]] = {}
    for cell in sorted(ordered, key=lambda cell: cell.seed):
        seeds.setdefault(cell.column, {})[cell.seed] = None
    known = {cell.key: cell for cell in ordered}
    groups = {(cell.column, cell.method): cell for cell in ordered}
    made = [_with_seed(cell, seed) for cell in groups.values() for seed in seeds[cell.column]]
    return [known.get(cell.key, cell) for cell in made]


def _with_seed(cell: Cell, seed: int) -> Cell:
    return Cell.from_json(cell.to_json() | {"seed": seed})


def _order(cell: Cell) -> tuple[Any, ...]:
    rate = cell.rate
    number = isinstance(rate, int | float)
    return cell.data, cell.noise, not number, rate if number else 0.0, str(rate), cell.method, cell.seed
