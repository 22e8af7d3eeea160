"""The command line: one plain function per command that parses, calls and prints.

Results go to --out, words for people to stderr, --json to stdout. Exit status: 0 done, 1 a failure of elr itself, 2 bad
input, 130 interrupted. Nothing heavy is imported before a command runs, so that --help answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from elr.cli import bench, data, export, review, theory, train

app = typer.Typer(
    name="elr",
    help="Learn from data whose labels are partly wrong, and find the wrong ones, in one training run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `elr` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"elr {version('elr')}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Learn from data whose labels are partly wrong, and find the wrong ones, in one training run."""


for command in (
    train.fit,
    train.inspect,
    train.run,
    review.audit,
    review.report,
    review.clean,
    review.predict,
    export.export,
    theory.theory,
    bench.bench,
):
    app.command()(command)
app.add_typer(data.app, name="data")
