"""Options that several commands have, and where the results of a command go."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from elr.errors import ArgumentError, ELRError

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_LOOKED_AT = 1000  # runs beside one another
_LONGEST = 100  # bytes of a name that is made of another; 255 is the most that file systems take

DATA, TRAINING, SEARCH, OUTPUT, DEVICES = "Data", "Training", "Search", "Output", "Devices"  # how --help groups options

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
HumanLabels = Annotated[Path | None, typer.Option(help="CIFAR-N's file, if not beside the images.")]
Weights = Annotated[Path | None, typer.Option(help="File with the weights of a pretrained network.")]
Test = Annotated[
    str | None, typer.Option(help="Data with trusted labels: measured at the end, never used.", rich_help_panel=DATA)
]
TestLabel = Annotated[
    str | None,
    typer.Option(help="Column of their labels, if not called as --label.", show_default=False, rich_help_panel=DATA),
]
TargetsDtype = Annotated[
    str | None,
    typer.Option(
        help="Of the targets: float32, bfloat16, float16 or float64. Default: by --targets.",
        show_default=False,
        rich_help_panel=DEVICES,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run of `elr fit`.")]
MovedData = Annotated[Path | None, typer.Option(help="Where the data of the run lie now, if they have moved.")]


def num_bytes(size: str) -> int:
    """A size in memory as people write it.

    Args:
        size: a number and a unit: 500MB, 4 GB and 1.5T of powers of 1000, 4GiB of powers of 1024.

    Raises:
        ArgumentError: no such size.

    Example:
        >>> num_bytes("4GB"), num_bytes("1.5 GiB")
        (4000000000, 1610612736)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", size.strip(), re.IGNORECASE)
    if found is None or (found[3] and not found[2]):
        raise ArgumentError(f"the size is {size!r}: expected a number and a unit, such as 4GB, 500MB or 2GiB")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " "))


def name_and_rate(text: str) -> tuple[str, float]:
    """The noise of --noise.

    Args:
        text: NAME:RATE.

    Raises:
        ArgumentError: something else.

    Example:
        >>> name_and_rate("symmetric:0.4")
        ('symmetric', 0.4)
    """
    name, _, rate = text.partition(":")
    try:
        return name, float(rate)
    except ValueError:
        raise ArgumentError(f"--noise is {text!r}: expected NAME:RATE, such as symmetric:0.4") from None


def completing(module: str, name: str) -> Callable[[str], list[str]]:
    """What a shell completes a word to: the keys of a dict, which is loaded when it is asked for.

    Args:
        module: where the dict is.
        name: its name there.

    Example:
        >>> completing("elr.methods.catalog", "METHODS")("elr")
        ['elr', 'elr_plus']
    """

    def complete(incomplete: str) -> list[str]:
        return [key for key in getattr(import_module(module), name) if key.startswith(incomplete)]

    return complete


def named_after(data: str | None) -> Path:
    """What the folder of a run is called where nobody says: as its data, beside nothing that it could be taken for.

    Args:
        data: file or folder that is learned from; None: the digits.

    Returns:
        In the working directory: the name of a file without its suffix, what has no place in a command line replaced;
        a folder of data (and a file without a suffix) gets "-run" behind it. Beside the data where the working
        directory is in their folder, or they would hold the run.

    Example:
        >>> [str(named_after(data)) for data in ("data/customers.csv", "new votes (2).tsv.gz", None)]
        ['customers', 'new-votes-2', 'digits']
    """
    if data is None:
        return Path("digits")
    path = Path(os.path.abspath(data))  # noqa: PTH100
    is_folder = os.path.isdir(path)  # noqa: PTH112
    stem = path.name if is_folder else path.stem
    stem = Path(stem).stem if path.suffix in _PACKED else stem
    name = re.sub(r"[^\w.+]+", "-", stem).strip("-.").encode("utf-8")[:_LONGEST].decode("utf-8", errors="ignore")
    name = f"{name or 'data'}{'-run' if stem == path.name else ''}"
    if is_folder and Path.cwd().is_relative_to(path.resolve()):
        return Path(os.path.relpath(path.resolve().parent / name))
    return Path(name)


@contextmanager
def new_folder(wanted: Path, out: Path | None = None, *, resume: bool = False) -> Iterator[tuple[Path, str]]:
    """Where a command that begins anew puts its results, and the command that repeats it there.

    Args:
        wanted: name for the folder where none was asked for. The first that is free of it, wanted-2, ... is made, so
            that no two commands share one; it is removed where the command ends before anything is in it.
        out: the folder that was asked for, left to the command.
        resume: go on with what is in `out`.

    Raises:
        ArgumentError: `resume` without `out`.
        OutputError: no folder can be made here.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with new_folder(Path(root) / "pets") as (first, _), new_folder(Path(root) / "pets") as (second, _):
        ...         print(first.name, second.name)
        ...     print(os.listdir(root))
        pets pets-2
        []
    """
    from elr.files import free_folder, take_folder

    if out is not None:
        yield destination(out, wanted)
        return
    if resume:
        raise ArgumentError(f"--resume needs the --out of the run to go on with{_unfinished(wanted)}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all processes of a group have to find the same one
        yield destination(None, free_folder(wanted))
        return
    folder = take_folder(wanted)
    try:
        yield destination(None, folder)
    finally:
        with suppress(OSError):
            folder.rmdir()  # which fails, as it should, where anything is in it


def _unfinished(wanted: Path) -> str:
    """The last run of such data that was stopped, as part of a sentence, whatever its folder is called; else ""."""
    from elr.files import RUN_FILE, read_json

    stopped: dict[float, Path] = {}
    for path in islice(wanted.parent.glob(f"*/{RUN_FILE}"), _LOOKED_AT):
        with suppress(ELRError, OSError, AttributeError, KeyError, TypeError, ValueError):
            run, name = read_json(path), path.parent.name
            named = name == wanted.name or name.startswith(f"{wanted.name}-")
            if run["status"] == "running" and (named or named_after(run["data"]["source"]).name == wanted.name):
                stopped[path.stat().st_mtime] = path.parent
    return f": --out {shlex.quote(str(stopped[max(stopped)]))} was not finished" if stopped else ""


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
