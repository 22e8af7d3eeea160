"""Settings of a recipe compared on held-out labels that are as noisy as those trained on; test labels are not shown.

    python benchmarks/search.py --data PATH --recipe fast-cifar10-sym40-elr --rows 11000 --holdout 0.1 \
        --try method.lam=1 --try method.lam=3 --try method.lam=3,training.learning_rate=0.03 [--widths 32,64,128]

Each --try changes fields of the recipe (`elr.runs.recipe.Recipe`): NAME=VALUE or PART.NAME=VALUE, several with
commas, such as training.epochs=14,training.generations=1,method.hold=0,method.snapshots=0.
Prints for each the held-out agreement at every probe and at the last epoch, and the seconds. The runs are kept in --out
and go on where they were stopped.
"""

import argparse
import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

from elr.runs.experiment import run_recipe
from elr.runs.recipe import Changes, Recipe
from elr.runs.recipes import RECIPES


def changed(recipe: Recipe, text: str) -> Recipe:
    """The recipe with the changes of one --try."""
    fields: dict[str, dict[str, Any]] = {}
    for assignment in filter(None, text.split(",")):
        place, _, value = assignment.partition("=")
        part, _, name = place.rpartition(".")
        fields.setdefault(part, {})[name] = parsed(value)
    own = fields.pop("", {})
    parts = {part: dataclasses.replace(getattr(recipe, part), **values) for part, values in fields.items()}
    return dataclasses.replace(recipe, **parts, **own)


def parsed(text: str) -> Any:
    """A number, True, None, ... or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def folder_name(text: str) -> str:
    return text.replace(".", "-").replace(",", "_").replace("=", "-") or "as-it-is"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", default="fast-cifar10-sym40-elr")
    parser.add_argument("--rows", type=int, help="first training rows only, the held-out ones among them")
    parser.add_argument("--holdout", type=float, default=0.1)
    parser.add_argument("--widths", help="of the fast network, such as 32,64,128")
    parser.add_argument("--try", action="append", dest="tries", default=[], help="PART.NAME=VALUE[,...]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="search")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    base = RECIPES[arguments.recipe]
    if arguments.widths:
        base = dataclasses.replace(base, widths=tuple(map(int, arguments.widths.split(","))))
    changes = Changes(seed=arguments.seed, num_examples=arguments.rows, holdout=arguments.holdout)
    rows = []
    for text in arguments.tries or [""]:
        fitted = run_recipe(
            changed(base, text), data=arguments.data, out=Path(arguments.out) / folder_name(text), changes=changes
        )
        curve = {
            line["epoch"]: line["validation_agreement"] for line in fitted.history if "validation_agreement" in line
        }
        rows.append({"try": text, "held_out": curve, "seconds": fitted.results["seconds"]})
        if not arguments.json:
            shown = " ".join(f"{epoch}:{value:.4f}" for epoch, value in curve.items())
            print(f"{text or 'as it is':<50} {shown}  {fitted.results['seconds']:.0f} s", flush=True)
    if arguments.json:
        print(json.dumps(rows))
