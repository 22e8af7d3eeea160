"""Commands that train: `elr fit` on data that people bring, which `elr inspect` shows; `elr run` on a published set."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elr.cli.console import errors, print_json, say, show_reading, summarize, summarize_run
from elr.cli.options import (
    DATA,
    DEVICES,
    OUTPUT,
    SEARCH,
    TRAINING,
    HumanLabels,
    Json,
    TargetsDtype,
    Test,
    TestLabel,
    Weights,
    completing,
    destination,
    name_and_rate,
    named_after,
    new_folder,
    num_bytes,
)
from elr.cli.progress import progress_bar
from elr.cli.reading import MakeOptions, reads_data
from elr.errors import ArgumentError

if TYPE_CHECKING:
    from elr.data.records import ReadOptions
    from elr.runs.plan import Plan


@reads_data
def fit(
    options: MakeOptions,
    data: Annotated[
        str | None,
        typer.Argument(
            help="Table (.csv, .tsv, .parquet), folder of images by class, Parquet file or tars of images, or .npz of "
            "arrays. "
            "Without it: scikit-learn's digits with 40 % wrong labels, ELR beside cross entropy.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results. Default: a new one called as the data are: customers, customers-2, ...",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    test: Test = None,
    test_label: TestLabel = None,
    method: Annotated[
        str,
        typer.Option(
            autocompletion=completing("elr.methods.catalog", "METHODS"),
            help="elr, elr_plus, cross_entropy or another of docs/methods.md, such as dividemix.",
            rich_help_panel=TRAINING,
        ),
    ] = "elr",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, as docs/methods.md has them; may be repeated.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            help="Networks side by side, each blind to its share of the rows: they predict together, judge the labels "
            "that they never saw, and choose by them what is left open of --lam, --dropout, --network and --epochs. 1: "
            "a single network. Default: 5 for elr on tables, text, embeddings, arrays and frozen features of at least "
            "50 rows.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    lam: Annotated[
        float | None,
        typer.Option(
            help="Weight of the regularizer. Default: chosen of 0, 1, 3 and 7; of a single network 3.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Momentum of the targets. Default: 0.7.", rich_help_panel=TRAINING)
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align/--no-align", help="Hold the targets to the given shares of the classes.", rich_help_panel=TRAINING
        ),
    ] = True,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Of perceptrons. Default: chosen of 0 and 0.5; of a single network none.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="linear, mlp, fast, resnet18, resnet34 or preactresnet18. Default: by the data.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the data. Default: by the size of the data.", rich_help_panel=TRAINING),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Default: 64; 128 for convolutional networks.", rich_help_panel=TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. Default: by the network.", rich_help_panel=TRAINING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Default: by the network.", rich_help_panel=TRAINING)
    ] = None,
    augment: Annotated[
        str, typer.Option(help="For images: auto (crops and mirror images), crop or none.", rich_help_panel=TRAINING)
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=DEVICES)] = "auto",
    device: Annotated[str, typer.Option(help="auto or cpu.", rich_help_panel=DEVICES)] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory for the data on a machine, by all its processes together, such as 4GB: images and targets "
            "beyond it stay on disk, tables are refused. Default: what is free.",
            show_default=False,
            rich_help_panel=DEVICES,
        ),
    ] = None,
    targets: Annotated[
        str,
        typer.Option(
            help="Where the targets are kept: auto (by their size), dense, mapped, sharded, sparse or stateless.",
            rich_help_panel=DEVICES,
        ),
    ] = "auto",
    targets_dtype: TargetsDtype = None,
    seed: Annotated[
        int, typer.Option(help="Of weights, order of the rows and augmentation.", rich_help_panel=TRAINING)
    ] = 0,
    noise: Annotated[
        str | None,
        typer.Option(
            help="For experiments: corrupt the labels first, as NAME:RATE (symmetric:0.4).", rich_help_panel=DATA
        ),
    ] = None,
    compare: Annotated[
        bool | None,
        typer.Option(
            "--compare/--no-compare",
            help="Also train plain cross entropy.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="First search lam, beta, learning rate and epochs, those of them that are not given, in N trials on "
            "held-out given labels; of a single network, unless --members says more. Needs the extra tune.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a robust model, list the suspect labels and write a report.

    Example:
        elr fit flowers.csv --label species --out flowers-elr
    """
    with (
        errors(as_json),
        new_folder(named_after(data), out, resume=resume) as (folder, command),
        errors(as_json, resume_with=command),
    ):
        say(f"Results go to {folder}")
        from elr.runs.fit import fit as fit_data
        from elr.runs.fit_config import FitConfig
        from elr.training.engine import leave_process_group, on_all_ranks

        def asked() -> tuple[FitConfig, ReadOptions, tuple[str, float] | None]:
            config = FitConfig(
                method=method,
                settings=_settings(settings),
                lam=lam,
                beta=beta,
                align=align,
                members=members,
                dropout=dropout,
                network=network,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                augment=augment,
                precision=precision,
                device=device,
                targets=targets,
                targets_dtype=targets_dtype,
                seed=seed,
                max_memory=None if max_memory is None else num_bytes(max_memory),
            )
            return config, options(), None if noise is None else name_and_rate(noise)

        config, reading, corrupted = on_all_ranks(device, asked)
        with progress_bar() as show:
            outcome = fit_data(
                data,
                out=folder,
                options=reading,
                config=config,
                test=test,
                test_label=test_label,
                noise=corrupted,
                compare=compare,
                tune=tune,
                resume=resume,
                command=command,
                on_read=show_reading,
                on_plan=_say_ways,
                on_progress=show,
            )
        leave_process_group()
        if as_json:
            print_json(outcome.results)
        summarize(outcome)


@reads_data
def inspect(
    data: Annotated[str, typer.Argument(help="What `elr fit` would be given.", show_default=False)],
    options: MakeOptions,
    test: Test = None,
    test_label: TestLabel = None,
    as_json: Json = False,
) -> None:
    """Say what is read of some data, without training: lines, classes, each column and how it would be used.

    Example:
        elr inspect flowers.csv --label species
    """
    with errors(as_json):
        from elr.data.prepared_data import inspect as look

        found = look(data, options(), test=test, test_label=test_label)
        if as_json:
            print_json(found.to_json())
        show_reading(found, in_full=True)


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completing("elr.runs.recipes", "RECIPES"),
            help="Name of a recipe: [fast-]DATA-NOISE-METHOD, or DATA-METHOD. Without it: the list of them.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of its data set; `elr data check` looks at it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./RECIPE-SEED.")] = None,
    seed: Annotated[int, typer.Option(help="Of noise, split, weights, order and augmentation.")] = 0,
    labels: HumanLabels = None,
    weights: Weights = None,
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
    targets: Annotated[
        str | None, typer.Option(help="Where the targets are kept, as in `elr fit`. Default: in memory, as published.")
    ] = None,
    targets_dtype: Annotated[str | None, typer.Option(help="Of the targets: float32, bfloat16 and so on.")] = None,
    as_json: Json = False,
) -> None:
    """Run a published experiment, or go on with one where --out holds a part of it.

    Example:
        elr run cifar10-sym40-elr --data cifar-10 --seed 1
    """
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
    folder, command = destination(out, Path(f"{recipe}-{seed}"))
    with errors(as_json, resume_with=command, by_itself=True):
        from elr.runs.experiment import run_recipe
        from elr.runs.recipe import Changes
        from elr.training.engine import leave_process_group

        changes = Changes(
            seed=seed,
            epochs=epochs,
            num_examples=num_examples,
            holdout=holdout,
            precision=precision,
            device=device,
            cuda_graphs=cuda_graphs or None,
            targets=targets,
            targets_dtype=targets_dtype,
        )
        say(f"Results go to {folder}")
        with progress_bar() as show:
            fitted = run_recipe(
                RECIPES[recipe],
                data=data,
                out=folder,
                changes=changes,
                labels=labels,
                weights=weights,
                ilsvrc12=ilsvrc12,
                command=command,
                on_plan=_say_ways,
                on_progress=lambda progress: show(recipe, progress),
            )
        leave_process_group()
        if as_json:
            print_json(fitted.results)
        summarize_run(fitted)


def _list_recipes(as_json: bool) -> None:
    from elr.runs.recipes import RECIPES

    if as_json:
        print_json({"recipes": {name: recipe.source for name, recipe in RECIPES.items()}})
        return
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:<{width}}  {recipe.source}")


def _settings(texts: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE each; values as JSON where they are, or else as text."""
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not name or not equals:
            raise ArgumentError(f"--set is {text!r}: expected NAME=VALUE, such as q=0.5")
        if name in found:
            raise ArgumentError(f"--set has {name} twice: expected each setting once")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _say_ways(plan: Plan) -> None:
    """Where the targets are kept and who trains, if there is something to say about it: before anything is trained."""
    from elr.runs.plan import TRAINED_BY
    from elr.targets.choice import TARGETS_ARE

    for remark in plan.remarks:
        if remark.startswith((TARGETS_ARE, TRAINED_BY)):
            say(f"{remark[0].upper()}{remark[1:]}")
