"""The command that hands the model of a run to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elr.cli.console import errors, print_json, say
from elr.cli.options import Json, MovedData, Run


def export(
    run: Run,
    onnx: Annotated[Path | None, typer.Option(help="Write the model as ONNX: .onnx.")] = None,
    torch_export: Annotated[Path | None, typer.Option(help="Write it as a program of torch.export: .pt2.")] = None,
    data: MovedData = None,
    as_json: Json = False,
) -> None:
    """Write the model of a run for other tools, checked against `elr predict`.

    Example:
        elr export flowers-elr --onnx flowers.onnx
    """
    with errors(as_json):
        from elr.runs.export.model import export_model

        written = export_model(run, onnx=onnx, torch_export=torch_export, data=data)
        if as_json:
            print_json({"files": [{"path": str(each.path), **each.about} for each in written]})
        for each in written:
            say(f"{each.path}: {each.check_line}")
            say(f"What it takes, and its classes: {each.described}")
        say(written[0].about["preprocessing"])
