"""docs/paper/recipes.md says what every published recipe is, and marks what the paper or the authors' code has else."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from elr.runs.recipes import RECIPES

PAGE = Path(__file__).parents[2] / "docs" / "paper" / "recipes.md"
SILENT = "-"
FROM = ("elr", "paper", "code")


def number(value):
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def ramped(value, steps):
    return number(float(value)) + (f" over {number(steps)}" if steps else "")


def cells_of(recipe):
    """A recipe in the columns of the page."""
    training, method = recipe.training, recipe.method
    if training.schedule == "restarts":
        schedule = f"cosine to {training.learning_rate / 20:g} every {training.period}"
    else:
        schedule = f"/{1 / training.decay:g} at {', '.join(map(str, training.milestones))}"
    sampling = {"balanced": "anew", "balanced_once": "once"}
    crop = "32 of 40" if recipe.geometry is None else f"{recipe.geometry.crop} of {recipe.geometry.resize}"
    assert recipe.augmentation.crop
    assert recipe.augmentation.flip
    assert training.momentum == 0.9
    assert not training.nesterov
    return {
        "network": (recipe.backbone or recipe.network) + (", ImageNet" if recipe.pretrained else ""),
        "epochs": number(training.epochs),
        "batch": number(training.batch_size),
        "batches an epoch": f"{number(training.num_batches)}, {sampling[training.sampling]}"
        if training.num_batches
        else training.sampling,
        "rate": number(training.learning_rate),
        "schedule": schedule,
        "weight decay": number(training.weight_decay),
        "lam": ramped(method.lam, method.lam_ramp),
        "beta": number(method.beta),
        "gamma": ramped(method.gamma, method.gamma_ramp),
        "mixup": number(method.mixup),
        "refined": "yes" if method.refine_labels else "no",
        "crop": crop,
    }


def rows():
    """Of each line of the table: the recipes' pattern, where its values are from, the values by column."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header, found, pattern = split[0], [], ""
    assert header[:2] == ["recipes", "from"]
    for cells in split[2:]:
        pattern = cells[0].strip("`") or pattern
        found.append((pattern, cells[1], dict(zip(header[2:], cells[2:], strict=True))))
    return found


PATTERNS = list(dict.fromkeys(pattern for pattern, _, _ in rows()))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_page_says_what_the_recipes_are(pattern):
    (said,) = (cells for one, source, cells in rows() if (one, source) == (pattern, "elr"))
    matching = [recipe for name, recipe in RECIPES.items() if fnmatch(name, pattern)]
    assert matching
    for recipe in matching:
        assert cells_of(recipe) == said, recipe.name


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_differs_is_marked_and_nothing_else_is(pattern):
    lines = {source: cells for one, source, cells in rows() if one == pattern}
    assert tuple(lines) in {FROM, FROM[:2], (FROM[0], FROM[2])}
    for source, cells in lines.items():
        for column, cell in cells.items():
            differs = source != "elr" and cell != SILENT and cell.strip("*") != lines["elr"][column]
            assert bool(re.fullmatch(r"\*\*.+\*\*", cell)) == differs, (source, column, cell)


def test_every_recipe_of_the_paper_is_on_the_page():
    published = [name for name, recipe in RECIPES.items() if "Table" in recipe.source]
    assert published
    assert [name for name in published if not any(fnmatch(name, pattern) for pattern in PATTERNS)] == []
