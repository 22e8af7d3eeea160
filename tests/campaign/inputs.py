"""Files as people bring them, malformed or strange: the right result, or a refusal that helps."""

from __future__ import annotations

import random
from pathlib import Path

from campaign.made import clusters
from campaign.outcomes import accepted, inside, refused
from campaign.trials import SILENT, need, trial

FIT = ("fit", "--label", "label", "--epochs", "2", "--out", "run", "--json")


@trial("inputs", quick=True)
def csv_with_a_byte_order_mark(folder: Path, _: random.Random) -> None:
    clusters().to_csv(folder / "d.csv", index=False, encoding="utf-8-sig")
    found = accepted(
        inside("fit", "d.csv", "--label", "label", "--epochs", "2", "--out", "run", "--json", folder=folder)
    )
    need(found["num_examples"] == 120, SILENT, f"{found['num_examples']} rows of 120")


@trial("inputs", quick=True)
def csv_without_rows(folder: Path, _: random.Random) -> None:
    (folder / "d.csv").write_text("a,b,label\n")
    refused(inside(*FIT, "d.csv", folder=folder), "d.csv", out=folder / "run")
