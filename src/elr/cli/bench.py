"""The command that compares methods: a grid of runs, and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elr.cli.console import errors, print_json, say, without_controls
from elr.cli.options import Json, destination
from elr.cli.progress import Pace, draws, timed_bar
from elr.errors import ArgumentError

if TYPE_CHECKING:
    from elr.runs.bench.bench import BenchOutcome
    from elr.runs.bench.workers import Event


def bench(
    grid: Annotated[
        str | None,
        typer.Argument(
            help="Grid: a .toml file (docs/bench.md), or the name of one that ships. Without it: the list of those.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, one file a cell. Default: ./bench-GRID. With --show a new file for it.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Worker processes, which divide the threads.")] = 1,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run cells again that failed, or whose file is damaged.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Where data of the grid lie; may be repeated.", show_default=False),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder that relative paths of the grid start from. Default: that of the grid."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART=PATTERN",
            help="Run some cells only, by data, noise, method or seed ('noise=symmetric-*'); may be repeated.",
            show_default=False,
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=PATTERN", help="Leave cells out; may be repeated.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells, and run none.")] = False,
    threads: Annotated[
        int | None, typer.Option(help="Of all processes together. Default: the cores.", show_default=False)
    ] = None,
    expiry: Annotated[
        float, typer.Option(help="Seconds of silence after which a cell of another machine is taken over.")
    ] = 300.0,
    features: Annotated[
        Path | None,
        typer.Option(help="Folder for frozen features of images. Default: in --out.", show_default=False),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Print the table of what is in a folder; run nothing.", show_default=False),
    ] = None,
    format: Annotated[str, typer.Option(help="Of the table: text, markdown, csv or latex.")] = "text",
    against: Annotated[
        str | None,
        typer.Option(help="For the table: paired differences to this method, with intervals.", show_default=False),
    ] = None,
    measure: Annotated[str, typer.Option(help="For the table: what methods are compared by.")] = "test_accuracy_last",
    pictures: Annotated[
        Path | None,
        typer.Option(help="With --show: folder for pictures of accuracy by noise and by seconds.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare methods on a grid of data, noise and seeds, or go on where it was stopped.

    Example:
        elr bench digits --out bench-digits --jobs 2
    """
    with errors(as_json):
        from elr.runs.bench.bench import BenchOptions, listed, run_bench
        from elr.runs.bench.grid import read_grid

        if show is not None:
            if grid is not None:
                raise ArgumentError(f"--show {show} and the grid {grid}: expected one of them")
            _show(show, as_json, format=format, against=against, measure=measure, out=out, pictures=pictures)
            return
        if pictures is not None or against is not None:
            raise ArgumentError("--pictures and --against are of the table of a finished bench: pass --show FOLDER")
        if grid is None:
            _list_grids(as_json)
            return
        found = read_grid(grid)
        options = BenchOptions(
            jobs=jobs,
            retry=retry,
            places=_places(data or []),
            root=root,
            only=only or (),
            skip=skip or (),
            threads=threads,
            expiry=expiry,
            features=features,
        )
        if dry_run:
            _list_cells(listed(found, options), as_json)
            return
    folder, command = destination(out, Path(f"bench-{found.name}"))
    with errors(as_json, resume_with=command, by_itself=True):
        say(f"Results go to {folder}")
        with cell_bar() as bar:
            outcome = run_bench(
                found, out=folder, options=options, on_read=bar.reading, on_start=bar.start, on_event=bar.tell
            )
        if as_json:
            print_json(outcome.to_json())
        _summarize(outcome, command)
    if not outcome.is_well:
        raise typer.Exit(1)


class CellBar:
    """How a bench is going: cells done, and the share of those that run.

    Args:
        show: called with cells done (with fractions), how many there are, and a line where a cell has ended.

    Example:
        >>> bar = CellBar(lambda done, total, line: print(line or f"{done:g} of {total}"))
        >>> bar.start(3, 10)
        3 of 10 cells have a result
        >>> from elr.runs.bench.workers import Event
        >>> bar.tell(Event(key="digits--none--elr--0", share=0.5))
        3.5 of 10
    """

    def __init__(self, show: Callable[[float, int, str], None]) -> None:
        self.show = show
        self.first, self.done, self.total = 0, 0, 0
        self.running: dict[str, float] = {}
        self.pace = Pace()

    def reading(self, name: str) -> None:
        """Data are read, to be checked."""
        say(f"Looking at {name}")

    def start(self, done: int, total: int) -> None:
        """So many cells are done already, of so many."""
        self.first, self.done, self.total = done, done, total
        self.pace = Pace(done)
        self.show(done, total, f"{done} of {total} cells have a result")

    def tell(self, event: Event) -> None:
        """A cell goes on, or has ended."""
        line = ""
        if event.result is None:
            self.running[event.key] = event.share
        else:
            self.running.pop(event.key, None)
            self.done += 1
            measures, key = event.result.measures, event.key.replace("--", " ")
            accuracy = measures.get("test_accuracy_last")
            said = "" if accuracy is None else f"accuracy {accuracy:.4f}, "
            said = event.result.error or f"{said}{event.result.seconds:.1f} s"
            left = self.pace.left(self.done + sum(self.running.values()), self.total)
            line = without_controls(f"{self.done}/{self.total} {key}: {said}{left}")
        self.show(self.done + sum(self.running.values()), self.total, line)


@contextmanager
def cell_bar() -> Iterator[CellBar]:
    """A bar with the time left on a terminal, a line for each cell elsewhere; both on stderr.

    Example:
        >>> import sys
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout), cell_bar() as bar:
        ...     bar.start(3, 10)
        3 of 10 cells have a result
    """
    if not draws():
        yield CellBar(_line)
        return
    with timed_bar(speed_estimate_period=600.0) as bar:
        task = bar.add_task("cells", total=None)
        begun = False

        def show(done: float, total: int, line: str) -> None:
            nonlocal begun
            if not begun:  # what was done before this command says nothing of how long the rest takes
                bar.reset(task, total=total, completed=int(done))
                begun = True
            if line:
                bar.console.print(line, markup=False, highlight=False)
            bar.update(task, total=total, completed=done, description=f"{int(done)}/{total} cells")

        yield CellBar(show)


def _line(done: float, total: int, line: str) -> None:
    del done, total
    if line:
        say(line)


def _show(
    folder: Path,
    as_json: bool,
    *,
    format: str,
    against: str | None,
    measure: str,
    out: Path | None,
    pictures: Path | None,
) -> None:
    """The table on stdout, or in a file; of a folder that is still worked on, what there is."""
    from elr.runs.bench.folder import BENCH_FILE, BenchFolder
    from elr.runs.bench.show.results import read_results
    from elr.runs.bench.show.show import show_bench

    cells = BenchFolder(folder).cells() if (folder / BENCH_FILE).exists() else None
    shown = show_bench(
        read_results(folder, cells), format=format, against=against, measure=measure, out=out, pictures=pictures
    )
    files = [str(path) for path in ([] if out is None else [out]) + list(shown.pictures)]
    if as_json:
        print_json({"table": shown.text, "remarks": shown.remarks, "files": files})
        return
    if out is None:
        print(without_controls(shown.text))
    for remark in shown.remarks if format == "csv" else []:  # the others have them below the table
        say(without_controls(remark))
    for path in files:
        say(f"Written: {path}")


def _list_grids(as_json: bool) -> None:
    from elr.runs.bench.grid import shipped

    grids = shipped()
    if as_json:
        print_json({"grids": grids})
        return
    width = max(map(len, grids))
    for name, title in grids.items():
        print(f"{name:<{width}}  {title}")


def _list_cells(cells: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print_json({"count": len(cells), "cells": cells})
        return
    for cell in cells:
        print("  ".join(cell.values()))
    say(f"{len(cells)} cells")


def _places(given: list[str]) -> dict[str, Path]:
    places = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not name or not equals or not path:
            raise ArgumentError(f"--data is {text!r}: expected NAME=PATH, such as cifar10=data/cifar-10")
        places[name] = Path(path)
    return places


def _summarize(outcome: BenchOutcome, command: str) -> None:
    for key, why in outcome.problems.items():
        say(without_controls(f"{key.replace('--', ' ')}: {why}"))
    say(", ".join(f"{count} {status}" for status, count in outcome.counts.items()) + f" in {outcome.out}")
    if outcome.problems:
        say(f"Again, with those that failed or are damaged: {command} --retry")
