"""The command line: one plain function per command that parses, calls and prints.

Results go to --out, words for people to stderr, --json to stdout. Exit status: 0 done, 1 a failure of elr itself, 2 bad
input, 130 interrupted. Nothing heavy is imported before a command runs, so that --help answers at once.
"""

from __future__ import annotations

import difflib
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from elr.cli import data_commands as sets
from elr.cli import review_commands as review
from elr.cli.console import Json, errors, print_json, progress_bar, say, summarize, summarize_run
from elr.errors import ArgumentError

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


@app.command()
def fit(
    data: Annotated[
        str | None,
        typer.Argument(
            help="Table (.csv, .tsv, .parquet, .jsonl), folder of images by class, Parquet file of images, or .npz of "
            "arrays. Without it: scikit-learn's digits with 40 % wrong labels, ELR beside cross entropy.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column (or array) of the given labels.")] = None,
    annotators: Annotated[
        list[str] | None, typer.Option(help="Column of the labels of one annotator (repeat it), in place of --label.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Table with the columns row (or that of --id), annotator, label; same.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: a new ./elr-out.")] = None,
    test: Annotated[str | None, typer.Option(help="Data with trusted labels: measured at the end, never used.")] = None,
    test_label: Annotated[
        str | None, typer.Option(help="Column of their labels, if not called as --label.", show_default=False)
    ] = None,
    clean_label: Annotated[
        str | None, typer.Option(help="Column of labels known to be right: measured against, never used.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column that names each row.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column not to learn from (may be repeated).")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts to learn from, and from nothing else.")] = None,
    embedding: Annotated[str | None, typer.Option(help="Column of lists of numbers to learn from.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="For --text: model of sentence-transformers, by name or folder. Default: TF-IDF of the words."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="For images: pretrained model of timm, or none. Default: tf_efficientnet_lite0 above 64 pixels, where "
            "elr[images] is installed."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="File with the weights of the backbone.")] = None,
    fine_tune: Annotated[
        bool | None,
        typer.Option(
            "--fine-tune/--frozen",
            help="Train the whole backbone, or a perceptron on its features. Default: the former on an accelerator.",
            show_default=False,
        ),
    ] = None,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave unreadable images out.")] = False,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the images in pixels. Default: theirs, up to 64.")
    ] = None,
    method: Annotated[str, typer.Option(help="elr, elr_plus, cross_entropy or kl_penalty.")] = "elr",
    lam: Annotated[float | None, typer.Option(help="Weight of the regularizer. Default: 3.")] = None,
    beta: Annotated[float | None, typer.Option(help="Momentum of the targets. Default: 0.7.")] = None,
    network: Annotated[
        str | None, typer.Option(help="linear, mlp, fast, resnet18, resnet34 or preactresnet18. Default: by the data.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data. Default: by the size of the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Default: 64; 128 for convolutional networks.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate. Default: by the network.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Default: by the network.")] = None,
    augment: Annotated[str, typer.Option(help="For images: auto (crops and mirror images), crop or none.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of weights, order of the rows and augmentation.")] = 0,
    noise: Annotated[
        str | None, typer.Option(help="For experiments: corrupt the labels first, as NAME:RATE (symmetric:0.4).")
    ] = None,
    compare: Annotated[
        bool | None, typer.Option("--compare/--no-compare", help="Also train plain cross entropy.", show_default=False)
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="First search lam, beta, learning rate and epochs, those of them that are not given, in N trials on "
            "held-out given labels. Needs elr[tune].",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a robust model, list the suspect labels and write a report."""
    folder = out or _free_folder(Path("elr-out"))
    command = _command(folder, added=out is None)
    with errors(as_json, resume_with=command):
        from elr.data.records import ReadOptions
        from elr.runs.fit import fit as run
        from elr.runs.plan import FitConfig
        from elr.training.engine import leave_process_group

        if out is None and resume:
            raise ArgumentError("--resume needs the --out of the run to go on with")
        options = ReadOptions(
            label=label,
            annotators=tuple(annotators or ()),
            annotations=None if annotations is None else str(annotations),
            clean_label=clean_label,
            id=id_column,
            ignore=tuple(ignore or ()),
            text=text,
            embedding=embedding,
            encoder=encoder,
            backbone=backbone,
            weights=None if weights is None else str(weights),
            fine_tune=fine_tune,
            image_size=image_size,
            skip_unreadable=skip_unreadable,
        )
        config = FitConfig(
            method=method,
            lam=lam,
            beta=beta,
            network=network,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            augment=augment,
            precision=precision,
            device=device,
            seed=seed,
        )
        say(f"Results go to {folder}")
        with progress_bar() as show:
            outcome = run(
                data,
                out=folder,
                options=options,
                config=config,
                test=test,
                test_label=test_label,
                noise=_noise(noise),
                compare=compare,
                tune=tune,
                resume=resume,
                command=command,
                on_progress=show,
            )
        leave_process_group()
        if as_json:
            print_json(outcome.results)
        summarize(outcome, command)


@app.command("run")
def run_recipe(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Name of a recipe: [fast-]DATA-NOISE-METHOD, or DATA-METHOD. Without it: the list of them.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of its data set; `elr data check` looks at it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./RECIPE-SEED.")] = None,
    seed: Annotated[int, typer.Option(help="Of noise, split, weights, order and augmentation.")] = 0,
    labels: Annotated[Path | None, typer.Option(help="CIFAR-N's file, if not beside the data.")] = None,
    weights: Annotated[Path | None, typer.Option(help="File with the weights of a pretrained network.")] = None,
    ilsvrc12: Annotated[
        Path | None, typer.Option(help="Folder of ImageNet's validation images, to test mini-WebVision on as well.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    num_examples: Annotated[int | None, typer.Option(help="Only the first rows, to try a recipe.")] = None,
    holdout: Annotated[float | None, typer.Option(help="Share of rows kept apart with their noisy labels.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16. Default: the recipe's.")] = None,
    device: Annotated[str | None, typer.Option(help="auto or cpu. Default: the recipe's.")] = None,
    cuda_graphs: Annotated[
        bool, typer.Option("--cuda-graphs", help="Replay the network's passes on a GPU; pays for small batches.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a published experiment, or go on with one where --out holds a part of it."""
    with errors(as_json):
        from elr.runs.recipes import RECIPES

        if recipe is None:
            _list_recipes(as_json)
            return
        if recipe not in RECIPES:
            near = difflib.get_close_matches(recipe, RECIPES, n=3, cutoff=0.3)
            guess = f"did you mean {', '.join(near)}? " if near else ""
            raise ArgumentError(f"no recipe {recipe!r}: {guess}`elr run` lists all of them")
        if data is None:
            raise ArgumentError(
                f"recipe {recipe} needs --data: the folder of {RECIPES[recipe].data}; `elr data about "
                f"{RECIPES[recipe].data}` says its layout"
            )
    folder = out or Path(f"{recipe}-{seed}")
    command = _command(folder, added=out is None)
    with errors(as_json, resume_with=command, by_itself=True):
        from elr.runs.experiment import Changes
        from elr.runs.experiment import run_recipe as run
        from elr.training.engine import leave_process_group

        changes = Changes(
            seed=seed,
            epochs=epochs,
            num_examples=num_examples,
            holdout=holdout,
            precision=precision,
            device=device,
            cuda_graphs=cuda_graphs or None,
        )
        say(f"Results go to {folder}")
        with progress_bar() as show:
            fitted = run(
                RECIPES[recipe],
                data=data,
                out=folder,
                changes=changes,
                labels=labels,
                weights=weights,
                ilsvrc12=ilsvrc12,
                command=command,
                on_progress=lambda progress: show(recipe, progress),
            )
        leave_process_group()
        if as_json:
            print_json(fitted.results)
        summarize_run(fitted, command)


def _list_recipes(as_json: bool) -> None:
    from elr.runs.recipes import RECIPES

    if as_json:
        print_json({"recipes": {name: recipe.source for name, recipe in RECIPES.items()}})
        return
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:<{width}}  {recipe.source}")


app.add_typer(sets.app, name="data")
for command in (review.audit, review.report, review.clean, review.predict):
    app.command()(command)


@app.command()
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
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: a new ./elr-theory.")] = None,
    as_json: Json = False,
) -> None:
    """Show early learning and memorization in a linear model, and check the paper's theorem on it."""
    folder = out or _free_folder(Path("elr-theory"))
    command = _command(folder, added=out is None)
    with errors(as_json):
        from elr.theory.folder import exhibit, table

        say(f"Results go to {folder}")
        finding = exhibit(
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
            print_json(finding.to_json())
        say(f"{table(finding)}\nFigure: {folder / 'theory.png'}\nAgain: {command}")


def _noise(text: str | None) -> tuple[str, float] | None:
    if text is None:
        return None
    name, _, rate = text.partition(":")
    try:
        return name, float(rate)
    except ValueError:
        raise ArgumentError(f"--noise is {text!r}: expected NAME:RATE, such as symmetric:0.4") from None


def _free_folder(wanted: Path) -> Path:
    number = 1
    folder = wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _command(folder: Path, *, added: bool) -> str:
    given = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["elr", *given, *(["--out", str(folder)] if added else [])])
