"""What is said under the table of a bench: what is left out, what is missing, what cannot be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from elr.runs.bench.cell import FAILED, CellResult
from elr.runs.bench.show.results import Column, Results, differing
from elr.runs.bench.show.summary import BEST, CLOSE, ENOUGH, Summary, better

_MOST = 5  # of a kind that are listed one by one
_SAME_NOISE = 1e-9
_NOISE_RATE = "noise_rate_realized"


def remarks(found: Results, summary: Summary, *, signs: dict[str, str]) -> list[str]:
    """What a reader of the table has to know, a sentence each, the gravest first.

    Args:
        found: what the bench has.
        summary: the numbers of the table.
        signs: in words, how `BEST` and `CLOSE` look in it.

    Example:
        >>> from elr.runs.bench.cell import DONE, Cell
        >>> cells = [Cell(data="d", noise="none", rate=None, method="elr", uses="elr", seed=seed) for seed in (0, 1)]
        >>> result = CellResult(cell=cells[0], status=DONE, measures={"accuracy": 0.5}, seconds=1.0)
        >>> found = Results(cells=cells, results=[result])
        >>> from elr.runs.bench.show.summary import summarize
        >>> remarks(found, summarize(found, measure="accuracy"), signs={})[0]
        'NOT FINISHED: 1 of 2 cells have not run yet: d--none--elr--1; run the same command again.'
    """
    return [
        *_left_out(found),
        *_unfinished(found),
        *_unlike(found),
        *_noise(found.done),
        *_told(found.done),
        *_machines(found.done),
        *_reading(summary, signs),
    ]


def not_comparable(results: Iterable[CellResult]) -> str:
    """In words, why seconds of these results cannot be compared; "" if they can.

    Args:
        results: of finished cells.

    Example:
        >>> from elr.runs.bench.cell import DONE, Cell
        >>> cell = Cell(data="d", noise="none", rate=None, method="elr", uses="elr")
        >>> not_comparable(CellResult(cell=cell, status=DONE, threads=count) for count in (1, 1, 2))
        'threads 1 (2 cells) and 2 (1 cell)'
    """
    results = list(results)
    versions = sorted({name for result in results for name in result.versions})
    kinds: dict[str, Callable[[CellResult], str]] = {
        "threads": lambda result: str(result.threads),
        "machine": lambda result: result.machine or "unknown",
        **{name: lambda result, name=name: result.versions.get(name, "unknown") for name in versions},
    }
    said = []
    for name, value_of in kinds.items():
        counts = Counter(map(value_of, results))
        if len(counts) > 1:
            shown = [f"{value} ({count} cell{'' if count == 1 else 's'})" for value, count in counts.items()]
            said.append(f"{name} {', '.join(shown[:-1])} and {shown[-1]}")
    return "; ".join(said)


def _left_out(found: Results) -> list[str]:
    said = []
    if found.damaged:
        files = _listed(found.damaged, "; ")
        said.append(f"LEFT OUT of all numbers, damaged: {files}. Run the bench with --retry to make them again.")
    if found.foreign:
        said.append(f"LEFT OUT of all numbers: {_listed(found.foreign, '; ')}.")
    return said


def _unfinished(found: Results) -> list[str]:
    there = {result.cell.key for result in found.results}
    failed = [result for result in found.results if result.status == FAILED]
    there |= {line.partition(".json ")[0] for line in found.damaged}  # these are told apart: --retry makes them again
    missing = [cell.key for cell in found.cells if cell.key not in there]
    said = []
    if failed:
        errors = [
            f"{result.cell.key} ({' '.join(result.error.split())[:150] or 'no reason is kept'})" for result in failed
        ]
        said.append(
            f"FAILED: {len(failed)} of {len(found.cells)} cells: {_listed(errors, '; ')}; repeat them with --retry."
        )
    if missing:
        said.append(
            f"NOT FINISHED: {len(missing)} of {len(found.cells)} cells have not run yet: {_listed(missing, ', ')}; "
            "run the same command again."
        )
    return said


def _unlike(found: Results) -> list[str]:
    """Means over cells that were not trained alike; only where no grid holds them together."""
    first: dict[tuple[str, Column], CellResult] = {}
    unlike: dict[str, list[str]] = {}
    for result in found.done:
        one = first.setdefault((result.cell.method, result.cell.column), result).cell
        changed = [name for name in differing(one, result.cell) if name != "seed"]
        if changed:
            unlike.setdefault(result.cell.method, []).extend(changed)
    return [
        f"NOT ONE METHOD: {' and '.join(dict.fromkeys(names))} differ between the seeds of {method}: "
        "its mean is of no use."
        for method, names in unlike.items()
    ]


def _noise(results: Sequence[CellResult]) -> list[str]:
    """Columns where methods did not learn from the same rows with the same wrong labels."""
    rates: dict[tuple[Column, int], list[float]] = {}
    contents: dict[tuple[Column, int], set[str]] = {}
    for result in results:
        place = result.cell.column, result.cell.seed
        if (rate := result.measures.get(_NOISE_RATE)) is not None:
            rates.setdefault(place, []).append(rate)
        if digest := result.data.get("sha256"):
            contents.setdefault(place, set()).add(str(digest))
    noise = [place for place, found in rates.items() if max(found) - min(found) > _SAME_NOISE]
    data = [place for place, found in contents.items() if len(found) > 1]
    said = {"NOISE: the share of wrong labels differs": noise, "DATA: what was trained on differs": data}
    return [
        f"NOT THE SAME {what} between methods: {_listed(list(map(_place_name, places)), '; ')}."
        for what, places in said.items()
        if places
    ]


def _place_name(place: tuple[Column, int]) -> str:
    column, seed = place
    return f"{column_name(column)} of {column[0]}, seed {seed}"


def _told(results: Sequence[CellResult]) -> list[str]:
    """Methods that were told what nobody knows of real data."""
    told: dict[str, dict[str, None]] = {}
    for result in results:
        for setting in result.filled:
            told.setdefault(result.cell.method, {})[setting] = None
    if not told:
        return []
    names = "; ".join(f"{method} ({', '.join(settings)})" for method, settings in told.items())
    return [f"TOLD what the noise really is, which the other methods are not: {names}."]


def _machines(results: Sequence[CellResult]) -> list[str]:
    mixed = not_comparable(results)
    return [f"Seconds are not comparable: the cells have {mixed}."] if mixed else []


def _reading(summary: Summary, signs: dict[str, str]) -> list[str]:
    """How to read the table."""
    marks = {entry.mark for entry in summary.entries.values()}
    partial = any(not entry.complete(summary.measure) for entry in summary.entries.values())
    said = []
    if partial:
        said.append(
            "n/m: mean over n of the m seeds of its column; it is not to be compared with means over other seeds, and "
            "is never marked as the best."
        )
    if BEST in marks and BEST in signs:
        said.append(f"{signs[BEST]}: best mean of its column among methods with all seeds.")
    if CLOSE in marks and CLOSE in signs:
        said.append(
            f"{signs[CLOSE]}: not significantly worse (the 95 % interval of the paired difference to the best holds 0, "
            f"{ENOUGH} seeds or more; not corrected for the number of comparisons)."
        )
    if not better(summary.measure):
        said.append(f"Whether more {summary.measure} is better is not known: no method is marked.")
    if summary.against is not None:
        said.append(
            f"Differences to {summary.against}: method minus {summary.against} over the n seeds that both have "
            "finished on the same data and noise, with the 95 % interval of Student's t; none from a single pair or "
            "from differences that are all the same. Over all columns, the mean difference of each column counts once; "
            "the interval takes columns for independent, which those of the same data are not."
        )
    return said


def column_name(column: Column) -> str:
    """The noise of a column, for people.

    Example:
        >>> column_name(("digits", "symmetric", 0.4)), column_name(("digits", "none", None))
        ('symmetric 0.4', 'no noise')
    """
    _, noise, rate = column
    if rate is None:
        return "no noise" if noise == "none" else noise
    return f"{noise} {rate:g}" if isinstance(rate, int | float) else f"{noise} {rate}"


def _listed(texts: Sequence[str], between: str) -> str:
    more = len(texts) - _MOST
    return between.join(texts[:_MOST]) + (f" and {more} more" if more > 0 else "")
