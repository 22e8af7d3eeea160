"""Cells of a bench and what they gave, made up for tests."""

from elr.runs.bench.cell import DONE, FAILED, Cell, CellResult
from elr.runs.bench.show.results import Results

COLUMN = ("digits", "symmetric", 0.4)


def cell(method="elr", seed=0, *, column=COLUMN, **changes):
    data, noise, rate = column
    return Cell(
        **{"data": data, "noise": noise, "rate": rate, "method": method, "uses": method, "seed": seed} | changes
    )


def result(method="elr", seed=0, accuracy=0.5, *, column=COLUMN, of=None, **changes):
    """A finished cell; `of` are changes of the cell."""
    known = {"status": DONE, "measures": {"test_accuracy_last": accuracy}, "seconds": 2.0, "machine": "m"}
    return CellResult(cell=cell(method, seed, column=column, **(of or {})), **known | changes)


def failure(method="elr", seed=0, *, column=COLUMN, error="TrainingError: the loss is not a number"):
    return CellResult(cell=cell(method, seed, column=column), status=FAILED, error=error)


def bench(accuracies, *, missing=(), column=COLUMN):
    """Results from the accuracy of each method and seed; `missing` are pairs of both that have not run."""
    results = [
        result(method, seed, accuracy, column=column)
        for method, by_seed in accuracies.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    cells = [each.cell for each in results]
    return Results(
        cells=cells, results=[each for each in results if (each.cell.method, each.cell.seed) not in set(missing)]
    )


def joined(*benches):
    """Several columns in one."""
    return Results(
        cells=[each for one in benches for each in one.cells], results=[each for one in benches for each in one.results]
    )
