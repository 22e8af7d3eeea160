"""Commands on published data sets: which there are, what lies in a folder, fetching those that may be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elr.cli.console import errors, print_json, say
from elr.cli.options import HumanLabels, Json, completing

app = typer.Typer(help="Published data sets: list, about, check, download.", no_args_is_help=True)
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=completing("elr.datasets.catalog", "LOADERS"),
        help="Of a data set; `elr data list` has all of them.",
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="PATH", help="Its folder.")]
_SIGNS = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}


@app.command("list")
def list_sets(as_json: Json = False) -> None:
    """List the published data sets that elr knows.

    Example:
        elr data list --json
    """
    with errors(as_json):
        from elr.datasets.catalog import LOADERS

        abouts = {name: make().about for name, make in LOADERS.items()}
        if as_json:
            print_json(
                {
                    name: {
                        "title": about.title,
                        "num_classes": about.num_classes,
                        "noise": about.noise,
                        "license": about.license,
                    }
                    for name, about in abouts.items()
                }
            )
            return
        width = max(map(len, abouts))
        for name, about in abouts.items():
            print(f"{name:<{width}}  {about.title}, {about.num_classes} classes; noise: {about.noise}")


@app.command("about")
def about_set(name: Name, as_json: Json = False) -> None:
    """Say what is known of a data set: layout, sizes, noise, license, citation, oddities, where to get it.

    Example:
        elr data about clothing1m
    """
    with errors(as_json):
        from dataclasses import asdict

        from elr.datasets.catalog import make_loader

        about = make_loader(name).about
        if as_json:
            print_json(asdict(about) | {"examples": dict(about.examples)})
            return
        sizes = ", ".join(f"{part} {count:,}" for part, count in about.examples.items())
        print(f"{about.title}: {about.num_classes} classes; {sizes}\nNoise: {about.noise}\nLicense: {about.license}")
        print(f"Citation: {about.citation}\nFrom: {about.source}\nFiles, the first of several places counts:")
        for file in about.files:
            print(f"  {' | '.join(file.places)}\n      {file.what}{'' if file.needed else ' (optional)'}")
        for oddity in about.oddities:
            print(f"Known: {oddity}")


@app.command()
def check(
    name: Name,
    path: Folder,
    labels: HumanLabels = None,
    sample: Annotated[int, typer.Option(help="Images of each part to open.", min=1)] = 16,
    as_json: Json = False,
) -> None:
    """Say what is there of a data set: files found and missing, numbers, a sample opened. Status 2: not usable.

    Example:
        elr data check cifar10n-worse cifar-10 --sample 100
    """
    with errors(as_json):
        from elr.datasets.catalog import loader_for
        from elr.datasets.checking import check as look

        found = look(loader_for(name, path, labels=labels), path, sample=sample)
        if as_json:
            print_json(found.to_json())
        else:
            for finding in found.findings:
                print(f"{_SIGNS[finding.level]}{finding.text}")
            say(f"{path} is {'ready: elr run takes it with --data' if found.usable else 'not usable as it is'}")
    if not found.usable:
        raise typer.Exit(2)


@app.command()
def download(
    name: Name,
    path: Folder,
    as_json: Json = False,
) -> None:
    """Fetch CIFAR-10 or CIFAR-100 through torchvision; say where to ask for the others.

    Example:
        elr data download cifar10 cifar-10
    """
    with errors(as_json):
        from elr.datasets.catalog import make_loader

        say(f"{name} goes to {path}")
        folder = make_loader(name).download(path)
        if as_json:
            print_json({"path": str(folder)})
        say(f"There: {folder}")
