"""Small files of runs, checkpoints and benches that say anything, or are cut short: done as before, or refused."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from campaign.hostile import FIT, a_run, interrupted, nothing_ran
from campaign.hostile_runs import VALUES, bounded, changed, leaves
from campaign.kills import results
from campaign.made import table
from campaign.made_pictures import pictures
from campaign.outcomes import Outcome, accepted, contents, inside, refused
from campaign.trials import DIFFERS, EXECUTED, SILENT, UNCLEAR, need, trial


def told(call: Callable[[], Outcome], about: str) -> Outcome:
    """What a command says of a changed file: done or refused, within bounds of memory, and nothing is executed."""
    with bounded(6 * 2**30):
        try:
            outcome = call()
            if outcome.code:
                refused(outcome)
        except AssertionError as fault:
            fault.words += f"\n{about}"  # type: ignore[attr-defined]
            raise
    need("\x1b[2J" not in outcome.err + outcome.out, EXECUTED, f"the terminal was steered: {about}: {outcome.words!r}")
    return outcome


def one_change(path: Path, good: Any, generator: random.Random) -> str:
    """Write JSON with one value that is another; which."""
    leaf, value = generator.choice([*leaves(good)]), generator.choice(VALUES)
    path.write_text(json.dumps(changed(good, leaf, value)))
    return f"{path.name}: {'.'.join(map(str, leaf))} = {str(value)[:60]!r}"


@trial("hostile_files", repeats=10)
def a_report_json_that_says_anything(folder: Path, generator: random.Random) -> None:
    path = a_run(folder) / "report.json"
    good = json.loads(path.read_text())
    for _ in range(30):
        about = one_change(path, good, generator)
        (folder / "run" / "report.html").unlink(missing_ok=True)
        outcome = told(lambda: inside("report", "run", folder=folder), about)
        page = folder / "run" / "report.html"
        need(page.exists() == (outcome.code == 0), SILENT, f"{about}: {outcome.words}")
        need(outcome.code or "<script><" not in page.read_text(), EXECUTED, f"{about}: a script in the page")
    nothing_ran(folder, "report.json")


@trial("hostile_files", repeats=10)
def a_run_json_that_says_anything_and_goes_on(folder: Path, generator: random.Random) -> None:
    """Where it goes on in spite of a change, it ends as the run without one."""
    table(folder)
    several = ("--members", "2", "--test", "data.csv", "--epochs", "6")
    fit = generator.choice([FIT, ("fit", "data.csv", "--label", "label", *several, "--out", "run", "--json")])
    interrupted(folder, *fit)
    shutil.copytree(folder / "run", folder / "whole")
    go_on = fit[:-3]
    accepted(inside(*go_on, "--out", "whole", "--resume", folder=folder))
    for what in ("run", "whole"):
        good, expected = json.loads((folder / what / "run.json").read_text()), results(folder / "whole")
        for _ in range(12):
            shutil.rmtree(folder / "out", ignore_errors=True)
            shutil.copytree(folder / what, folder / "out")
            about = f"{what}: {one_change(folder / 'out' / 'run.json', good, generator)}"
            before = contents(folder / "out")
            outcome = told(lambda: inside(*go_on, "--out", "out", "--resume", folder=folder), about)
            if outcome.code == 0:
                need(results(folder / "out") == expected, DIFFERS, f"{about}: other results")
            else:
                need(what == "run" or before.items() <= contents(folder / "out").items(), DIFFERS, f"{about}: changed")
                said = (
                    "damaged",
                    "another configuration",
                    "data have changed",
                    "stream is asked for",
                    "do not belong together",
                )
                need(any(each in outcome.err for each in said), UNCLEAR, f"{outcome.words}\n{about}")


@trial("hostile_files", repeats=5)
def a_checkpoint_that_says_anything(folder: Path, generator: random.Random) -> None:
    """Its identity, and what it says of the run, value by value, in whichever type."""
    table(folder)
    _odd_checkpoints(folder, generator, FIT, after=0)


@trial("hostile_files", repeats=5)
def a_checkpoint_in_the_middle_that_says_anything(folder: Path, generator: random.Random) -> None:
    """With measures, a test set, and generations or several networks."""
    table(folder)
    more = (["--set", "hold=0.5"], ["--method", "joint_optimization"], ["--members", "2"], [])
    extra = ("--test", "data.csv", *generator.choice(more))
    members = () if "--members" in extra else ("--members", "1")
    fit = ("fit", "data.csv", "--label", "label", "--epochs", "6", *members, *extra, "--out", "run", "--json")
    _odd_checkpoints(folder, generator, fit, after=generator.randrange(1, 6))


def _odd_checkpoints(folder: Path, generator: random.Random, fit: tuple[str, ...], *, after: int) -> None:
    checkpoint = interrupted(folder, *fit, after=after).name
    shutil.copytree(folder / "run", folder / "whole")
    go_on = fit[:-3]
    accepted(inside(*go_on, "--out", "whole", "--resume", folder=folder))
    identity = json.loads((folder / "run" / checkpoint / "identity.json").read_text())
    parts = torch.load(folder / "run" / checkpoint / "parts.pt", weights_only=True)
    odd = [value for value in VALUES if value not in (10**30,)] + [torch.zeros(0), torch.zeros(3, 3), torch.ones(1) > 0]
    for number in range(24):
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "out")
        at = folder / "out" / checkpoint
        if number % 2:
            about = one_change(at / "identity.json", identity, generator)
        else:
            leaf, value = generator.choice([*leaves(parts)]), generator.choice(odd)
            copy = torch.load(folder / "run" / checkpoint / "parts.pt", weights_only=True)
            inner = copy
            for key in leaf[:-1]:
                inner = inner[key]
            inner[leaf[-1]] = value
            torch.save(copy, at / "parts.pt")
            about = f"{' '.join(fit)}, parts.pt after {after}: {leaf} = {str(value)[:60]!r}"
        outcome = told(lambda: inside(*go_on, "--out", "out", "--resume", folder=folder), about)
        if outcome.code == 0:
            need(results(folder / "out") == results(folder / "whole"), DIFFERS, f"{about}: other results")


@trial("hostile_files", repeats=10)
def files_that_are_cut_short(folder: Path, generator: random.Random) -> None:
    """Any file of a finished or interrupted run, at any length: as before, or refused with its name."""
    run = a_run(folder)
    commands = (
        ("audit", "run", "--json"),
        ("explain", "run", "0", "--json"),
        ("predict", "run", "data.csv", "--out", "o/p.csv"),
        ("report", "run", "--out", "o/r.html"),
        ("clean", "run", "--decisions", "none.csv", "--out", "o/data.csv"),
    )
    (folder / "none.csv").write_text("row,id,given_label,decision,label\n")

    def all_of() -> list[tuple[Outcome, dict[str, str]]]:
        found = []
        for command in commands:
            shutil.rmtree(folder / "o", ignore_errors=True)
            (folder / "o").mkdir()
            outcome = told(lambda command=command: inside(*command, folder=folder), about)
            found.append((outcome, contents(folder / "o")))
        return found

    about = "as it is"
    expected = all_of()
    for _ in range(6):
        path = generator.choice([each for each in sorted(run.iterdir()) if each.is_file()])
        good = path.read_bytes()
        length = generator.choice([0, 1, generator.randrange(len(good)), len(good) - 1])
        about = f"{path.name} cut to {length} of {len(good)} bytes"
        path.write_bytes(good[:length])
        for (outcome, files), (before, whole) in zip(all_of(), expected, strict=True):
            if outcome.code == 0:
                need((files, outcome.out) == (whole, before.out), SILENT, f"{about}: {outcome.words}")
            else:
                need(not files, SILENT, f"{about}: {files} of a command that was refused")
                need(path.name in outcome.err, DIFFERS, f"{about}: it is not named: {outcome.words}")
        path.write_bytes(good)


@trial("hostile_files", repeats=10)
def decisions_that_say_anything(folder: Path, generator: random.Random) -> None:
    """Only labels of rows that are named change, to classes of the run; else it is refused, with the line."""
    a_run(folder)
    rows = pd.read_csv(folder / "data.csv")
    issues = pd.read_csv(folder / "run" / "issues.csv", dtype=str, keep_default_na=False).head(6)
    head = ["row", "id", "given_label", "decision", "label"]
    good = [head] + [
        [each.row, "", each.given_label, "accept", each.predicted_label] for each in issues.itertuples(index=False)
    ]
    odd = ["", "-1", "0", "1e3", "99999", "9" * 30, "neg", "pos", "NEG", " pos", "accept", "relabel", "\x1b[2J", "=1+1"]
    odd += ["\x00", '"', "x" * 100_000, "nan", "٣", "<script>"]
    for _ in range(25):
        lines = [list(line) for line in good]
        place = generator.randrange(len(lines))
        lines[place][generator.randrange(5)] = generator.choice(odd)
        if generator.random() < 0.3:
            more = generator.choice([[], ["0"], head, lines[-1], [""] * 8])
            lines.insert(generator.randrange(len(lines) + 1), more)
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        (folder / "d.csv").write_text(text.getvalue(), newline="")
        (folder / "c.csv").unlink(missing_ok=True)
        about = f"decisions.csv: {[line for line in lines if line not in good]}"[:400]
        outcome = told(lambda: inside("clean", "run", "--decisions", "d.csv", "--out", "c.csv", folder=folder), about)
        if outcome.code:
            need(not (folder / "c.csv").exists(), SILENT, f"{about}: a copy in spite of a refusal")
            continue
        copy = pd.read_csv(folder / "c.csv")
        named = {int(line[0]) for line in lines[1:] if line and line[0].isdecimal()}
        apart = [row for row in range(len(rows)) if rows.label[row] != copy.label[row]]
        need(len(copy) == len(rows) and set(copy.label) <= {"neg", "pos"}, SILENT, f"{about}: {set(copy.label)}")
        need(set(apart) <= named, SILENT, f"{about}: rows {sorted(set(apart) - named)} have changed, too")
        need(copy.drop(columns="label").equals(rows.drop(columns="label")), SILENT, f"{about}: other cells changed")


@trial("hostile_files", repeats=4)
def an_index_of_images_that_says_anything(folder: Path, generator: random.Random) -> None:
    pictures(folder, wrong=2)
    fit = ("fit", "d", "--stream", "--epochs", "2", "--members", "1", "--out", "run")
    interrupted(folder, *fit)
    good = pq.read_table(folder / "run" / "index.parquet")
    about = json.loads(next(value for key, value in good.schema.metadata.items() if key != b"ARROW:schema"))
    name = next(key for key in good.schema.metadata if key != b"ARROW:schema")
    for number in range(16):
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "out")
        if number % 2:
            leaf, value = generator.choice([*leaves(about)]), generator.choice(VALUES)
            text = json.dumps(changed(about, leaf, value))
            odd, what = good.replace_schema_metadata({name: text.encode()}), f"{leaf} = {str(value)[:60]!r}"
        else:
            column = generator.choice(good.column_names)
            value = generator.choice(["../../x", 7, None, -1.5, True, b"\xff", [1], {"a": 1}])
            odd = good.set_column(good.column_names.index(column), column, pa.array([value] * len(good)))
            what = f"column {column} = {value!r}"
            if generator.random() < 0.3:
                odd, what = good.drop_columns([column]), f"no column {column}"
        pq.write_table(odd, folder / "out" / "index.parquet")
        told(lambda: inside(*fit[:-1], "out", "--resume", folder=folder), f"index.parquet: {what}")


@trial("hostile_files", repeats=4)
def a_bench_whose_files_say_anything(folder: Path, generator: random.Random) -> None:
    table(folder)
    (folder / "g.toml").write_text(
        'title = "few"\ntraining = { epochs = 1, members = 1 }\n[[cells]]\ndata = "few"\nnoise = ["none"]\n'
        'method = ["cross_entropy"]\nseed = [0]\n[data.few]\npath = "data.csv"\nlabel = "label"\n'
    )
    accepted(inside("bench", "g.toml", "--out", "out", folder=folder))
    shutil.copytree(folder / "out", folder / "whole")
    for number in range(16):
        shutil.rmtree(folder / "out")
        shutil.copytree(folder / "whole", folder / "out")
        path = generator.choice([folder / "out" / "bench.json", next((folder / "out" / "cells").glob("*.json"))])
        about = one_change(path, json.loads(path.read_text()), generator)
        if number % 2:
            told(lambda: inside("bench", "--show", "out", folder=folder), about)
            continue
        outcome = inside("bench", "g.toml", "--out", "out", folder=folder)
        need(outcome.code != 1 or "damaged" in outcome.err, UNCLEAR, f"{outcome.words}\n{about}")
        if outcome.code != 1:
            told(lambda outcome=outcome: outcome, about)
