"""The command that shows the paper's theory: `elr theory`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elr.cli.console import errors, print_json, say
from elr.cli.options import Json, new_folder


def theory(
    p: Annotated[int, typer.Option("--p", help="Features (dimensions).")] = 400,
    n: Annotated[int, typer.Option("--n", help="Examples.")] = 500,
    sigma: Annotated[float, typer.Option(help="Spread of the clusters, whose centers have length 1.")] = 0.1,
    noise_rate: Annotated[float, typer.Option(help="Share of wrong labels, below 1 - 1/classes.")] = 0.4,
    lam: Annotated[float, typer.Option(help="Weight of the regularizer; 0: cross entropy, as in the theorem.")] = 0.0,
    beta: Annotated[float, typer.Option(help="Momentum of the targets.")] = 0.7,
    clamp: Annotated[float, typer.Option(help="Bound of the probabilities in the regularizer; 0: none.")] = 1e-4,
    classes: Annotated[int, typer.Option(help="Clusters; the paper has two.")] = 2,
    learning_rate: Annotated[float, typer.Option(help="Step size of gradient descent.")] = 0.5,
    steps: Annotated[int, typer.Option(help="At most; cross entropy ends when all labels are fitted.")] = 20_000,
    radius: Annotated[float, typer.Option(help="Length of the first weights.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Of examples, labels and first weights.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: a new one, theory, theory-2, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show early learning and memorization in a linear model, and check the paper's theorem on it.

    Example:
        elr theory --lam 3 --noise-rate 0.4 --out theory
    """
    with errors(as_json), new_folder(Path("theory"), out) as (folder, command):
        from elr.theory.folder import exhibit, table

        say(f"Results go to {folder}")
        examination = exhibit(
            folder,
            p=p,
            n=n,
            sigma=sigma,
            noise_rate=noise_rate,
            lam=lam,
            beta=beta,
            clamp=clamp,
            num_classes=classes,
            learning_rate=learning_rate,
            steps=steps,
            radius=radius,
            seed=seed,
        )
        if as_json:
            print_json(examination.to_json())
        say(f"{table(examination)}\nFigure: {folder / 'theory.png'}\nAgain: {command}")
