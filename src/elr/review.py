"""The commands of a review: the report again, and a corrected copy of the data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from elr.console import print_json, say

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Run = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run of `elr fit`.")]


def add_commands(app: typer.Typer, errors: Callable[[bool], AbstractContextManager[None]]) -> None:
    """Register the commands; `errors` says what went wrong, given whether to say it as JSON."""

    @app.command()
    def report(
        run: Run,
        out: Annotated[Path | None, typer.Option(help="Where to write the page. Default: in DIR.")] = None,
        as_json: Json = False,
    ) -> None:
        """Build the report of a run again, without its data."""
        with errors(as_json):
            from elr.page import rewrite_report

            path = rewrite_report(run, out)
            if as_json:
                print_json({"report": str(path)})
            say(f"Report: {path}")

    @app.command()
    def clean(
        run: Run,
        decisions: Annotated[Path, typer.Option(help="decisions.csv, as the report exports it.")],
        out: Annotated[Path, typer.Option(help="Where the corrected copy goes; in the format of the data.")],
        data: Annotated[Path | None, typer.Option(help="Where the data lie now, if they have moved.")] = None,
        as_json: Json = False,
    ) -> None:
        """Apply decisions to a copy of the data; the original stays as it is."""
        with errors(as_json):
            from elr.cleaning import clean as run_cleaning

            done = run_cleaning(run, decisions, out, data=data)
            if as_json:
                counts = {"num_decisions": done.num_decisions, "num_changed": done.num_changed}
                print_json({"out": str(done.out)} | counts)
            say(f"{done.num_changed} labels changed by {done.num_decisions} decisions: {done.out}")
