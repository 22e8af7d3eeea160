"""Options that several commands have, and where the results of a command go."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
HumanLabels = Annotated[Path | None, typer.Option(help="CIFAR-N's file, if not beside the images.")]
Weights = Annotated[Path | None, typer.Option(help="File with the weights of a pretrained network.")]
Test = Annotated[str | None, typer.Option(help="Data with trusted labels: measured at the end, never used.")]
TestLabel = Annotated[
    str | None, typer.Option(help="Column of their labels, if not called as --label.", show_default=False)
]
Run = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run of `elr fit`.")]
MovedData = Annotated[Path | None, typer.Option(help="Where the data of the run lie now, if they have moved.")]


def free_folder(wanted: str) -> Path:
    """A folder of that name that does not exist yet, with a number behind it where the name is taken.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     os.mkdir(f"{root}/elr-out")
        ...     free_folder(f"{root}/elr-out").name, free_folder(f"{root}/other").name
        ('elr-out-2', 'other')
    """
    folder, number = Path(wanted), 1
    while folder.exists():
        number += 1
        folder = Path(f"{wanted}-{number}")
    return folder


def destination(out: Path | None, otherwise: Path) -> tuple[Path, str]:
    """Where results go, and the command that repeats this one there.

    Args:
        out: the folder that was asked for.
        otherwise: the folder to take where none was; the command then names it.

    Example:
        >>> from unittest.mock import patch
        >>> with patch("sys.argv", ["elr", "fit", "my data.csv", "--resume"]):
        ...     destination(None, Path("elr-out"))[1]
        "elr fit 'my data.csv' --out elr-out"
    """
    given = [argument for argument in sys.argv[1:] if argument != "--resume"]
    folder = otherwise if out is None else out
    return folder, shlex.join(["elr", *given, *(["--out", str(folder)] if out is None else [])])
