"""The command line: one plain function per command that parses, calls and prints.

Results go to --out, words for people to stderr, --json to stdout. Exit status: 0 done, 1 a failure of elr itself, 2 bad
input, 130 interrupted, 143 terminated. Nothing heavy is imported before a command runs, so that --help answers at once.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer

from elr.cli import bench, data, doctor, export, review, theory, train

EXIT_CODES = (
    "Exit codes: 0 done; 1 something failed that is not the input's fault, or `elr doctor` found a fault; 2 bad input "
    "or a wrong command line; 130 interrupted; 143 terminated. More: docs/guides/command-line.md"
)
OWN_DATA, REVIEW, RESEARCH, TOOLS = "Your own data", "Review", "Research", "Tools"

app = typer.Typer(
    name="elr",
    help="Learn from data whose labels are partly wrong, and find the wrong ones, in one training run.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `elr` command."""
    try:
        _run()
    except BaseException as end:
        if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
            raise
        _leave(end)


def _leave(end: BaseException) -> None:
    """End one of several processes that train together, without taking the interpreter down.

    That may wait for ever for threads of torch's, and torchrun with it: seen under load, after all was done.

    Source: https://github.com/pytorch/pytorch/issues/190489
    """
    code = end.code if isinstance(end, SystemExit) else 1
    if not isinstance(end, SystemExit):
        sys.excepthook(type(end), end, end.__traceback__)
    elif isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()  # pyright: ignore[reportAttributeAccessIssue]
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run() -> None:
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun, or after it
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:
        if end.code in (130, 143):  # what was half made when the signal came may not know how to go (ZipFile does not)
            sys.unraisablehook = lambda _: None
        raise
    finally:
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last to come goes first: all is done then


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


COMMANDS = {  # by the group that --help shows them in
    OWN_DATA: (train.fit, train.inspect, review.predict),
    REVIEW: (review.audit, review.explain, review.report, review.clean),
    RESEARCH: (train.run, bench.bench, theory.theory),
    TOOLS: (export.export, doctor.doctor),
}
for group, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)
app.add_typer(data.app, name="data", rich_help_panel=RESEARCH)
