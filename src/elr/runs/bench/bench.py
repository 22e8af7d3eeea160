"""A grid run: checked whole, worked on by one process or several, gone on with where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from elr.errors import ArgumentError, of_all_ranks
from elr.runs.bench.cell import DONE, FAILED, Cell
from elr.runs.bench.checks import check_data_of, check_settings_of
from elr.runs.bench.claims import EXPIRY, LEAST_EXPIRY
from elr.runs.bench.crew import run_crew
from elr.runs.bench.folder import DAMAGED, FEATURES_FOLDER, BenchFolder
from elr.runs.bench.grid import Grid, read_grid, said
from elr.runs.bench.work import Places, Shelf
from elr.runs.bench.workers import Event, Work
from elr.training.engine import number_of_processes


@dataclass(frozen=True, kw_only=True)
class BenchOutcome:
    """What there is of a bench when the command ends.

    Args:
        out: its folder.
        counts: cells by status: "done", "failed", "damaged", "open".
        problems: what went wrong, by the key of the cell.

    Example:
        >>> BenchOutcome(out=Path("b"), counts={"done": 3, "failed": 1}, problems={"x": "diverged"}).is_well
        False
    """

    out: Path
    counts: Mapping[str, int]
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether every cell of those chosen has a result."""
        return not self.problems and not self.counts.get("open")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"out": str(self.out), "cells": dict(self.counts), "problems": dict(self.problems)}


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How a grid is run.

    Args:
        jobs: worker processes.
        retry: run cells again that have failed, or whose file is damaged.
        places: where data lie, by name of the data or of a published set.
        root: the folder that relative paths of the grid start from; default: that of its file.
        only: PART=PATTERN each, of the cells to run; default: all.
        skip: the same, of cells not to run.
        threads: of all processes together; default: those of torch.
        expiry: seconds without a sign of life after which a claim of another machine is taken over.
        features: folder for frozen features; default: in the folder of the bench.

    Raises:
        ArgumentError: a number out of range.

    Example:
        >>> BenchOptions(jobs=0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: jobs is 0: expected at least 1
    """

    jobs: int = 1
    retry: bool = False
    places: Mapping[str, Path] = field(default_factory=dict)
    root: Path | None = None
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    threads: int | None = None
    expiry: float = EXPIRY
    features: Path | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("jobs", self.jobs, 1), ("threads", self.threads, 1)):
            if value is not None and value < least:
                raise ArgumentError(f"{name} is {value}: expected at least {least}")
        if not self.expiry >= LEAST_EXPIRY:
            raise ArgumentError(f"expiry is {self.expiry:g} seconds: expected at least {LEAST_EXPIRY:g}")


def run_bench(
    grid: str | Path | Grid,
    *,
    out: str | Path,
    options: BenchOptions | None = None,
    on_read: Callable[[str], None] | None = None,
    on_start: Callable[[int, int], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> BenchOutcome:
    """Run the cells of a grid that have no result yet; the same call goes on with what was stopped.

    Nothing runs where any of the cells is impossible. A cell that fails is written down and stops no other. Several
    processes and machines may do this on one folder at the same time: each cell is run by one of them.

    Args:
        grid: path of a TOML file, the name of a grid that ships, or a grid that is read.
        out: folder of the bench: new, empty, or that of the same grid, to which cells may have been added.
        options: how it is run.
        on_read: called with the name of data before they are read to be checked.
        on_start: called with how many of the chosen cells are settled, and how many there are.
        on_event: called with how cells go.

    Raises:
        ArgumentError: impossible cells, each named; several processes of torchrun.
        CheckpointError: the folder is of another grid.
        OutputError: the folder holds something else, or cannot be written.

    Example:
        >>> import tempfile
        >>> from elr.runs.bench.grid import grid_from
        >>> text = '''
        ... training = {epochs = 1, members = 1}
        ... [[cells]]
        ... data = "digits"
        ... noise = ["symmetric-0.2", "next-class-0.2"]
        ... method = "elr"
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_bench(grid_from(text, name="mine"), out=folder).counts
        {'done': 2}
    """
    if number_of_processes() > 1:  # one would wait for the cell that another has taken, and trains with it
        raise of_all_ranks(
            ArgumentError("a bench trains each cell in one process: leave torchrun out; --jobs runs several at a time")
        )
    options = options or BenchOptions()
    grid = grid if isinstance(grid, Grid) else read_grid(grid)
    cells, folder = grid.only(options.only, options.skip), BenchFolder(Path(out))
    places = _places(grid, options, folder.path)
    shelf = Shelf(places)
    check_settings_of(cells, shelf)
    _check_places(grid, options)
    folder.check(grid)
    found = {cell.key: folder.look(cell) for cell in cells}
    again = {key: each.stamp for key, each in found.items() if options.retry and each and each.status != DONE}
    todo = [cell for cell in cells if found[cell.key] is None or cell.key in again]
    if todo:
        check_data_of(todo, shelf, on_look=on_read)
    folder.open(grid)  # only now: a grid that is refused can be mended and given again with the same folder
    if on_start is not None:
        on_start(len(cells) - len(todo), len(cells))
    threads = max(1, (options.threads or torch.get_num_threads()) // options.jobs)
    work = Work(path=folder.path, cells=todo, places=places, retry=again, expiry=options.expiry, threads=threads)
    if todo:
        jobs = min(options.jobs, len(todo))
        run_crew(work, jobs=jobs, tell=on_event or _nothing, shelf=shelf if jobs == 1 else None)
    work.clear(cells)
    return outcome(folder, cells)


def outcome(folder: BenchFolder, cells: Sequence[Cell]) -> BenchOutcome:
    """What there is of some cells.

    Example:
        >>> cell = Cell(data="digits", noise="none", rate=None, method="elr", uses="elr")
        >>> outcome(BenchFolder(Path("no-such-folder")), [cell]).counts
        {'open': 1}
    """
    counts: dict[str, int] = {}
    problems: dict[str, str] = {}
    for cell in cells:
        found = folder.look(cell)
        status = "open" if found is None else found.status
        counts[status] = counts.get(status, 0) + 1
        if found is not None and found.status in (FAILED, DAMAGED):
            problems[cell.key] = found.why
    order = (DONE, FAILED, DAMAGED, "open")
    return BenchOutcome(
        out=folder.path, counts={name: counts[name] for name in order if name in counts}, problems=problems
    )


def listed(grid: Grid, options: BenchOptions) -> list[dict[str, str]]:
    """The chosen cells of a grid in its words, checked as far as their data need not be read.

    Raises:
        ArgumentError: impossible cells, each named.

    Example:
        >>> from elr.runs.bench.grid import grid_from
        >>> listed(grid_from('[[cells]]\\ndata = "digits"\\nmethod = "elr"', name="mine"), BenchOptions())
        [{'data': 'digits', 'noise': 'none', 'method': 'elr', 'seed': '0'}]
    """
    cells = grid.only(options.only, options.skip)
    check_settings_of(cells, Shelf(_places(grid, options, Path())))
    _check_places(grid, options)
    return [said(cell) for cell in cells]


def _places(grid: Grid, options: BenchOptions, out: Path) -> Places:
    root = options.root if options.root is not None else grid.folder
    return Places(root=root, named=options.places, cache=options.features or out / FEATURES_FOLDER)


def _check_places(grid: Grid, options: BenchOptions) -> None:
    """Refuse places of data that the grid does not have."""
    known = {name for cell in grid.cells for name in (cell.data, cell.source.get("set", cell.data))}
    for name in options.places:
        if name not in known:
            raise ArgumentError(f"a place is given for data {name!r}: the grid has {', '.join(sorted(known))}")


def _nothing(event: Event) -> None:
    del event
