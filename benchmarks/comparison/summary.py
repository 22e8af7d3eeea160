"""The table of benchmarks/own_data.py, in Markdown, from the lines of its runs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import wilcoxon

from comparison.cases import TABLES
from comparison.measures import PERCENTS

Run = Mapping[str, Any]
MEASURES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "average_precision": "average precision"}
WITHIN = 0.1
WORST = 8


class Cell(NamedTuple):
    """Where methods are compared."""

    set: str
    noise: str
    seed: int


Runs = dict[Cell, dict[str, Run]]
"""By cell, then by method."""


def stamp(run: Run) -> tuple[str | None, str]:
    """Which elr a run is of: its commit and the fields that were set; (None, "null") for peers."""
    return run.get("commit"), json.dumps(run.get("config"), sort_keys=True)


def latest(lines: Iterable[Run], *, commit: str | None = None) -> tuple[Runs, dict[str, str]]:
    """The runs to show, the last of those repeated, and for each variant of elr what they are of, in words.

    A commit: runs of elr of that one only. Default: for each variant those of its last line.
    """
    found = [line for line in lines if commit is None or line.get("commit") in (None, commit)]
    last = {line["method"]: stamp(line) for line in found}
    runs: Runs = {}
    for line in found:
        if stamp(line) == last[line["method"]]:
            runs.setdefault(Cell(line["set"], line["noise"], line["seed"]), {})[line["method"]] = line
    return runs, {method: f"commit {of}, {config}" for method, (of, config) in last.items() if of}


def table(runs: Runs, *, ours: str = "elr", origins: Mapping[str, str] | None = None) -> str:
    """All of it.

    Args:
        runs: from `latest`, those to show.
        ours: the method whose wins and losses are counted.
        origins: what the variants of elr are of, from there.
    """
    methods = sorted({method for found in runs.values() for method in found}, key=_peers_first)
    seeds = sorted({cell.seed for cell in runs})
    lines = [f"{len(runs)} cells (set, noise, seed), seeds {', '.join(map(str, seeds))}."]
    lines += [f"{method}: {origin}." for method, origin in (origins or {}).items() if method in methods]
    failed = [(cell, method, run) for cell, found in runs.items() for method, run in found.items() if "error" in run]
    lines += [f"FAILED {method} on {' '.join(map(str, cell))}: {run['error']}" for cell, method, run in failed]
    lines += ["", *means(runs, methods)]
    for measure in MEASURES:
        lines += ["", *by_set(runs, methods, measure)]
    if ours in methods:
        peers = [method for method in methods if method != ours and not is_variant(method)]
        lines += ["", *wins(runs, ours, peers), "", *losses(runs, ours, peers)]
        lines += ["", *seconds(runs, ours, peers)]
    variants = [method for method in methods if is_variant(method)]
    lines += ["", *expectations(runs, variants)] if variants else []
    return "\n".join(lines)


def is_variant(method: str) -> bool:
    """Whether a method is elr in some form, and not a peer."""
    return method.split("-")[0] == "elr"


def _peers_first(method: str) -> tuple[bool, str]:
    return is_variant(method), method


def means(runs: Runs, methods: Sequence[str]) -> list[str]:
    """Means of each measure over the cells that all methods have, over the tables and over everything.

    ± is the standard deviation of the means of single seeds.
    """
    heads, columns = ["collapsed", "classes lost"], [[], []]
    for method in methods:
        own = [found[method] for found in runs.values() if "accuracy" in found.get(method, {})]
        columns[0].append(str(sum(run["classes_predicted"] == 1 for run in own)))
        columns[1].append(str(sum(run["classes_never_predicted"] for run in own)))
    for measure, title in reversed(MEASURES.items()):
        having = [method for method in methods if any(measure in found.get(method, {}) for found in runs.values())]
        for where, chosen in (("all", list(runs)), ("tables", [cell for cell in runs if cell.set in TABLES])):
            cells = [cell for cell in chosen if all(measure in runs[cell].get(method, {}) for method in having)]
            heads.insert(0, f"{title}, {where} ({len(cells)})")
            columns.insert(0, [_mean(runs, cells, method, measure) if method in having else "" for method in methods])
    rows = [[method, *(column[row] for column in columns)] for row, method in enumerate(methods)]
    remark = "Means over the cells (how many) that all methods of the column have, ± over seeds; runs that predict one "
    remark += "class only, and classes of test rows that are never predicted, over all runs of a method."
    return [remark, "", *_markdown(["method", *heads], rows)]


def _mean(runs: Runs, cells: Sequence[Cell], method: str, measure: str) -> str:
    by_seed: dict[int, list[float]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(runs[cell][method][measure])
    if not by_seed:
        return ""
    mean = statistics.mean(runs[cell][method][measure] for cell in cells)
    spread = f" ± {statistics.stdev(map(statistics.mean, by_seed.values())):.4f}" if len(by_seed) > 1 else ""
    return f"{mean:.4f}{spread}"


def averaged(
    runs: Runs, measure: str, key: Callable[[Cell], tuple[str, ...]]
) -> dict[tuple[str, ...], dict[str, float]]:
    """Means of a measure for each method, of the cells that have one key and that all methods seen there have."""
    groups: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for cell, found in runs.items():
        values = {method: run[measure] for method, run in found.items() if measure in run}
        if values:
            groups.setdefault(key(cell), []).append(values)
    means = {}
    for name, cells in groups.items():
        methods = list(dict.fromkeys(method for values in cells for method in values))
        whole = [values for values in cells if len(values) == len(methods)]
        if whole:
            means[name] = {method: statistics.mean(values[method] for values in whole) for method in methods}
    return means


def by_set(runs: Runs, methods: Sequence[str], measure: str) -> list[str]:
    """Means over noises and seeds of each set, and over the seeds of each noise over the tables, of whole cells."""
    groups = averaged(runs, measure, lambda cell: (cell.set,))
    groups |= averaged(
        {cell: found for cell, found in runs.items() if cell.set in TABLES},
        measure,
        lambda cell: ("tables", cell.noise),
    )
    having = [method for method in methods if any(method in found for found in groups.values())]
    rows = [
        [" ".join(name), *(f"{found[method]:.4f}" if method in found else "" for method in having)]
        for name, found in groups.items()
    ]
    return _markdown([MEASURES[measure], *having], rows)


def wins(runs: Runs, ours: str, peers: Sequence[str]) -> list[str]:
    """Wins, losses and ties in single cells, and Wilcoxon's signed-rank test of the differences."""
    rows = []
    for measure, title in MEASURES.items():
        for peer in peers:
            both = [found for found in runs.values() if all(measure in found.get(each, {}) for each in (ours, peer))]
            differences = np.array([found[ours][measure] - found[peer][measure] for found in both])
            if not len(differences):
                continue
            won, lost = int((differences > 0).sum()), int((differences < 0).sum())
            p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
            counts = map(str, (won, lost, len(differences) - won - lost))
            rows.append([title, peer, *counts, f"{differences.mean():+.4f}", f"{p:.2g}"])
    remark = (
        f"{ours} against each peer, cell by cell; p: Wilcoxon's signed-rank test over sets, noises and seeds. Seeds "
    )
    remark += "of one set and noise are not independent, so that p is too small."
    return [remark, "", *_markdown(["measure", "peer", "wins", "losses", "ties", "mean difference", "p"], rows)]


def losses(runs: Runs, ours: str, peers: Sequence[str]) -> list[str]:
    """Where ours is furthest behind the best peer in accuracy: by set and noise, and by set."""
    lines = [f"{ours} behind the best peer in accuracy (less than 0: ahead), means over seeds, the worst first."]
    for title, key in (("set and noise", lambda cell: (cell.set, cell.noise)), ("set", lambda cell: (cell.set,))):
        rows = []
        for name, found in averaged(runs, "accuracy", key).items():
            others = {peer: found[peer] for peer in peers if peer in found}
            if ours in found and others:
                best = max(others, key=lambda peer: others[peer])
                rows.append((others[best] - found[ours], " ".join(name), best, others[best], found[ours]))
        rows.sort(reverse=True)
        cells = [[name, best, f"{his:.4f}", f"{own:.4f}", f"{loss:+.4f}"] for loss, name, best, his, own in rows]
        lines += ["", *_markdown([title, "best peer", "its accuracy", ours, "behind"], cells[:WORST])]
    return lines


def expectations(runs: Runs, variants: Sequence[str]) -> list[str]:
    """Precision that was announced against what was measured."""
    rows = []
    for method in variants:
        every = [found[method] for found in runs.values() if "accuracy" in found.get(method, {})]
        for percent in PERCENTS:
            key = f"precision_{percent}"
            own = [run for run in every if f"expected_{key}" in run]
            if own:
                differences = np.array([run[f"expected_{key}"] - run[key] for run in own])
                expected, measured = (statistics.mean(run[each] for run in own) for each in (f"expected_{key}", key))
                numbers = [f"{expected:.4f}", f"{measured:.4f}", f"{expected - measured:+.4f}"]
                numbers += [f"{np.abs(differences).mean():.4f}", f"{(np.abs(differences) <= WITHIN).mean():.2f}"]
                rows.append([method, f"{percent} %", str(len(own)), str(len(every) - len(own)), *numbers])
    heads = ["method", "of the issues", "runs", "without issues"]
    heads += ["expected", "measured", "difference", "absolute", f"within {WITHIN}"]
    return ["Precision among the most suspect labels, in runs that have issues.", "", *_markdown(heads, rows)]


def seconds(runs: Runs, ours: str, peers: Sequence[str]) -> list[str]:
    """Seconds of fitting as a ratio of sums, over the cells that both have."""
    rows, threads = [], set()
    for peer in peers:
        row = [peer]
        for where in ("tables", "all"):
            both = [
                (found[ours], found[peer])
                for cell, found in runs.items()
                if where == "all" or cell.set in TABLES
                if all("seconds" in found.get(each, {}) for each in (ours, peer))
            ]
            threads |= {run["threads"] for pair in both for run in pair}
            sums = [sum(run["seconds"] for run in side) for side in zip(*both, strict=True)]
            row += [f"{sums[1]:.0f}", f"{sums[0] / sums[1]:.2f}"] if sums else ["", ""]
        rows.append(row)
    remark = f"Seconds of {ours} as a ratio to those of each peer."
    if len(threads) > 1:
        remark += f" NOT COMPARABLE: runs of {' and '.join(map(str, sorted(threads)))} threads."
    heads = ["peer", "its seconds, tables", "ratio, tables", "its seconds, all", "ratio, all"]
    return [remark, "", *_markdown(heads, rows)]


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
