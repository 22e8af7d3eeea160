"""How cases of strange files are told: each is a file and what must come of it. The cases are in inputs_*.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaign.made import clusters
from campaign.outcomes import accepted, gone_to, inside, refused
from campaign.trials import SILENT, TRIALS, Trial, need
from elr.data.columns.selection import select_columns
from elr.data.reading import read_data
from elr.data.records import LEARNED, ReadOptions

WRONG = 8
"""Rows of `clusters` whose labels are wrong, the first."""
Make = Callable[[Path], object]
_FLAGS = {"classes": "class"}


def flags(options: Mapping[str, Any]) -> list[str]:
    """The flags of the command line that say what `ReadOptions` say."""
    found: list[str] = []
    for name, value in options.items():
        flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
        if isinstance(value, bool):
            found.append(flag if value else f"--no-{name}")
        else:
            found += [part for each in ([value] if isinstance(value, str) else value) for part in (flag, each)]
    return found


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file, or several, and what must come of it.

    Args:
        make: writes it below an empty folder.
        data: its name.
        want: the table that must be read, its labels in the column "label"; None: its rows and classes are not known.
        rows: how many must be read, if `want` does not say.
        counts: of the classes, likewise.
        numbers: whether columns must hold the numbers of `want`; else their names alone are compared.
        features: what must be read of arrays, as numbers.
        labels: of arrays, in their order, as text.
        says: words that remarks or warnings must have.
        refusal: words of the refusal that there must be instead.
        options: of reading.
        more: further flags.
        fit: also train, and look for the rows that are known to be wrong.
    """

    make: Make
    data: str = "d.csv"
    want: pd.DataFrame | None = None
    rows: int | None = None
    counts: Mapping[str, int] | None = None
    numbers: bool = True
    features: np.ndarray | None = None
    labels: Sequence[str] | None = None
    says: Sequence[str] = ()
    refusal: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: {"label": "label"})
    more: Sequence[str] = ()
    fit: bool = False

    def run(self, folder: Path, _: random.Random) -> None:
        self.make(folder)
        asked = [self.data, *flags(self.options), *self.more]
        if self.refusal is not None:
            refused(inside("inspect", *asked, folder=folder), *self.refusal)
            refused(inside("fit", *asked, "--out", "run", folder=folder), *self.refusal, out=folder / "run")
            return
        found = accepted(inside("inspect", *asked, "--json", folder=folder))
        self.look(found, folder)
        if self.fit:
            fitted(folder, asked, len(self.want) if self.want is not None else self.rows or 0)

    def look(self, found: Mapping[str, Any], folder: Path) -> None:
        """What was read must be what is in the file."""
        told = " ".join([*found["remarks"], *found["warnings"]])
        for word in self.says:
            need(word.lower() in told.lower(), SILENT, f"expected to be told {word!r}, was told: {told}")
        rows = len(self.want) if self.want is not None else self.rows
        need(rows is None or found["num_examples"] == rows, SILENT, f"{found['num_examples']} rows of {rows}")
        counts = self.counts
        if counts is None and self.want is not None:
            counts = {str(name): int(count) for name, count in self.want["label"].value_counts().items()}
        classes = {each["name"]: each["count"] for each in found["classes"]}
        need(counts is None or classes == counts, SILENT, f"classes {str(classes)[:300]}, expected {str(counts)[:300]}")
        if self.features is not None:
            with gone_to(folder):
                records = read_data(self.data, ReadOptions(**self.options))
            read = None if records.features is None else records.features.astype(np.float64)
            same = read is not None and read.shape == self.features.shape and np.allclose(read, self.features, 1e-3)
            need(same, SILENT, f"features {None if read is None else (read.shape, read[:1])} are others")
            if self.labels is not None:
                need(list(map(str, records.labels or [])) == list(self.labels), SILENT, "labels are others, or moved")
        if self.want is None or found["kind"] != "table":
            return
        columns = [name for name in self.want.columns if name != "label"]
        used = [each["name"] for each in found["columns"] if each["use"] == LEARNED]
        need(sorted(used) == sorted(columns), SILENT, f"learned from {used[:20]}, expected {columns[:20]}; {told}")
        if self.numbers:
            same_numbers(folder / self.data, self.options, self.want)


def same_numbers(data: Any, options: Mapping[str, Any], want: pd.DataFrame) -> None:
    """Every cell and every label must be read as what it is."""
    records = read_data(str(data) if isinstance(data, Path) else data, ReadOptions(**options))
    need(list(map(str, records.labels or [])) == list(map(str, want["label"])), SILENT, "labels are others, or moved")
    assert records.table is not None
    chosen = select_columns(
        records.table, records.labels, decimal=options.get("decimal"), keep=options.get("keep", ())
    ).plain
    for name in want.columns.drop("label"):
        expected = want[name].to_numpy()
        same = (
            np.allclose(chosen[name].to_numpy(np.float64), expected.astype(np.float64), rtol=1e-6, equal_nan=True)
            if want[name].dtype.kind in "iuf"
            else list(map(str, chosen[name])) == list(map(str, expected))
        )
        need(same, SILENT, f"column {name!r}: {chosen[name].tolist()[:5]}, expected {expected.tolist()[:5]}")


def fitted(folder: Path, asked: Sequence[str], rows: int, *, wrong: int = WRONG) -> pd.DataFrame:
    """Train on it: the rows that are known to be wrong must be among the most suspect."""
    found = accepted(inside("fit", *asked, "--epochs", "4", "--out", "run", "--json", folder=folder))
    need(found["num_examples"] == rows, SILENT, f"{found['num_examples']} rows of {rows}")
    evidence = pd.read_parquet(folder / "run" / "evidence.parquet")
    given = [probs[label] for probs, label in zip(evidence["pred_probs"], evidence["label"], strict=True)]
    worst = evidence["row"].iloc[np.argsort(given)[: 2 * wrong]].tolist()
    hits = sum(row in worst for row in range(wrong))
    need(hits >= wrong - 2, SILENT, f"{hits} of {wrong} wrong labels among the {2 * wrong} most suspect")
    return evidence


def add(area: str, name: str, case: Case, *, quick: bool = False) -> None:
    """A case as a trial of its own."""
    assert all((each.area, each.name) != (area, name) for each in TRIALS), f"{area}: {name} is there already"
    TRIALS.append(Trial(area=area, name=name, run=case.run, quick=quick))


def adder(area: str) -> Callable[..., None]:
    """A short way to add cases to an area: `case("name", make, want=...)`."""

    def case(name: str, make: Make, *, quick: bool = False, **settings: Any) -> None:
        add(area, name, Case(make=make, **settings), quick=quick)

    return case


def text(content: str | bytes, name: str = "d.csv", encoding: str = "utf-8") -> Make:
    """A file of this content."""
    raw = content if isinstance(content, bytes) else content.encode(encoding)
    return lambda folder: (folder / name).write_bytes(raw)


def csv(frame: pd.DataFrame | None = None, name: str = "d.csv", **settings: Any) -> Make:
    """A table as pandas writes it, without the index."""
    table = clusters() if frame is None else frame
    return lambda folder: table.to_csv(folder / name, **({"index": False} | settings))


def lines(frame: pd.DataFrame | None = None) -> list[str]:
    """The lines of a table as CSV, that of the names first."""
    table = clusters() if frame is None else frame
    return table.to_csv(index=False).splitlines()
