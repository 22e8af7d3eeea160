"""The folder of a bench: its grid, and what there is of each cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elr.errors import ArtifactError, CheckpointError, OutputError
from elr.files import differences, is_partial, read_json, write_first, write_json, write_text, writing
from elr.names import printable
from elr.runs.bench.cell import CELLS_FOLDER, Cell, CellResult, read_result
from elr.runs.bench.grid import Grid, said

BENCH_FILE, GRID_FILE = "bench.json", "grid.toml"
CLAIMS_FOLDER, RUNS_FOLDER, FEATURES_FOLDER = "claims", "runs", "features"
DAMAGED = "damaged"
_OURS = {BENCH_FILE, GRID_FILE, CELLS_FOLDER, CLAIMS_FOLDER, RUNS_FOLDER, FEATURES_FOLDER}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is of a cell.

    Args:
        status: `DONE`, `FAILED` or `DAMAGED`.
        why: of a failure or damage.
        stamp: of the file, in nanoseconds: another one when it was written anew.

    Example:
        >>> Found(status=DAMAGED, why="it is not JSON", stamp=0).status
        'damaged'
    """

    status: str
    why: str
    stamp: int


@dataclass(frozen=True)
class BenchFolder:
    """The folder of a bench.

    Args:
        path: of the folder.

    Example:
        >>> import tempfile
        >>> from elr.runs.bench.cell import DONE
        >>> from elr.runs.bench.grid import grid_from
        >>> grid = grid_from('[[cells]]\\ndata = "digits"\\nmethod = ["elr", "cross_entropy"]', name="mine")
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = BenchFolder(Path(root))
        ...     folder.open(grid)
        ...     CellResult(cell=grid.cells[0], status=DONE).write(folder.path)
        ...     [found and found.status for found in map(folder.look, grid.cells)]
        ['done', None]
    """

    path: Path

    def check(self, grid: Grid) -> None:
        """See that the folder is new, empty or of this grid, to which cells may have been added; nothing is kept there.

        Raises:
            OutputError: it holds something else, or cannot be written.
            CheckpointError: it holds cells that are not those of this grid.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self.path.iterdir() if not is_partial(path.name))
        if BENCH_FILE in names:
            self._check_cells(self._described(), {cell.key: cell.to_json() for cell in grid.cells})
        elif others := [name for name in names if name not in _OURS]:
            raise OutputError(
                f"{printable(self.path)} exists and holds something else ({', '.join(others[:3])}): choose another "
                "--out"
            )

    def open(self, grid: Grid) -> None:
        """Make the folder that of a grid, or see that it is; cells may have been added to the grid.

        Raises:
            OutputError: it holds something else, or cannot be written.
            CheckpointError: it holds cells that are not those of this grid.
        """
        self.check(grid)
        cells = {cell.key: cell.to_json() for cell in grid.cells}
        content = {"format": 1, "grid": grid.name, "title": grid.title, "about": grid.about, "cells": cells}
        if not (self.path / BENCH_FILE).exists() and write_first(self.path / BENCH_FILE, content):
            write_text(self.path / GRID_FILE, grid.text)
            return
        stored = self._described()
        self._check_cells(stored, cells)
        if stored["cells"].keys() != cells.keys():
            write_json(self.path / BENCH_FILE, content)
            write_text(self.path / GRID_FILE, grid.text)

    def _check_cells(self, stored: dict[str, Any], cells: dict[str, Any]) -> None:
        if changed := _changed(stored["cells"], cells):
            raise CheckpointError(
                f"{printable(self.path)} is of another grid: {'; '.join(changed[:4])}; take another --out, or the grid "
                f"that is kept there as {GRID_FILE}, to which cells may be added"
            )

    def cells(self) -> list[Cell]:
        """The cells of the grid that the folder is of, in their order.

        Raises:
            ArtifactError: it is no folder of a bench, or damaged.
        """
        return [Cell.from_json(values) for values in self._described()["cells"].values()]

    def file(self, cell: Cell) -> Path:
        """Where the result of a cell is, or will be."""
        return self.path / CELLS_FOLDER / f"{cell.key}.json"

    def look(self, cell: Cell) -> Found | None:
        """What there is of a cell; None where it is not run yet."""
        file = self.file(cell)
        try:
            stamp = file.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            result = read_result(file)
        except ArtifactError as error:
            return Found(status=DAMAGED, why=str(error), stamp=stamp)
        if result.cell != Cell.from_json(_as_read(cell.to_json())):
            other = " ".join(said(result.cell).values())
            return Found(status=DAMAGED, why=f"{file} is of another cell or other settings: {other}", stamp=stamp)
        return Found(status=result.status, why=result.error, stamp=stamp)

    def result(self, cell: Cell) -> CellResult:
        """The result of a cell that has one.

        Raises:
            ArtifactError: there is none, or it is damaged.
        """
        return read_result(self.file(cell))

    def run_folder(self, cell: Cell) -> Path:
        """Where its run is while it trains."""
        return self.path / RUNS_FOLDER / cell.key

    def _described(self) -> dict[str, Any]:
        content = read_json(self.path / BENCH_FILE)
        if not isinstance(content.get("cells"), dict):
            raise ArtifactError(f"{self.path / BENCH_FILE} is damaged: it has no cells; take another --out")
        try:
            for key, values in content["cells"].items():
                if (own := Cell.from_json(values).key) != key:
                    raise ValueError(f"{key} is the cell {own}")
        except (TypeError, ValueError) as error:
            raise ArtifactError(
                f"{self.path / BENCH_FILE} is damaged: a cell of it is none ({error}); take another --out"
            ) from error
        return content


def _changed(stored: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """In words, which of the stored cells are missing or others now."""
    present = {key: _as_read(values) for key, values in present.items()}
    missing = [key for key in stored if key not in present]
    words = [f"it has {len(missing)} cells that this grid has not, such as {missing[0]}"] if missing else []
    for key in stored:
        if key in present and stored[key] != present[key]:
            words += differences(_flat(stored[key]), _flat(present[key]), of=key)
    return words


def _as_read(values: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(values))


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a cell by their names alone."""
    parts: Iterable[Mapping[str, Any]] = (values.get(name, {}) for name in ("settings", "training", "source"))
    return {key: value for key, value in values.items() if not isinstance(value, dict)} | {
        key: value for part in parts for key, value in part.items()
    }
