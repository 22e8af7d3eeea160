"""The command that says whether elr works on this machine: `elr doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from elr.cli.console import errors, without_controls
from elr.cli.options import Json


def doctor(
    try_imports: Annotated[
        bool, typer.Option("--imports", help="Import every optional package too, to find broken ones; takes a minute.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether elr works here: versions, devices, optional packages, a self-test. Status 1: it does not.

    Example:
        elr doctor --json
    """
    with errors(as_json):
        from elr.diagnosis import diagnose

        found = diagnose(try_imports=try_imports)
        if as_json:
            print(json.dumps(found.to_json()))  # not by print_json, which needs torch
        else:
            print(without_controls("\n".join([*found.lines(), "ok" if found.is_well else "NOT OK: see above"])))
    if not found.is_well:
        raise typer.Exit(1)
