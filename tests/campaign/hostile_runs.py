"""Folders of runs that strangers made: a run.json that says anything, links in place of files."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.hostile import FIT, a_run, every_command, interrupted, nothing_ran
from campaign.made import table
from campaign.made_pictures import pictures
from campaign.outcomes import accepted, contents, inside, refused
from campaign.trials import EXECUTED, SILENT, need, trial

DEPTH = 100_000
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**40,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../outside/x",
    "/etc/passwd",
    "\x1b[2J",
    "os.system",
    "hf-hub:nobody/nothing",
    "<script>",
    [],
    {},
    [None],
    [[]],
    {"a": 1},
    ["x"] * 50,
    "x" * 100_000,
)


@contextmanager
def bounded(more: int) -> Iterator[None]:
    """At most so many bytes of address space beyond what is taken."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from leaves(inner, (*path, key))


def changed(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def _fuzzed(folder: Path, generator: random.Random, data: str, count: int = 25) -> None:
    outside = folder / "outside"
    outside.mkdir()
    (outside / "x").write_text("mine")
    path = folder / "run" / "run.json"
    good = path.read_text()
    content = json.loads(good)
    places = list(leaves(content))
    for _ in range(count):
        leaf, value = generator.choice(places), generator.choice(VALUES)
        path.write_text(json.dumps(changed(content, leaf, value)))
        with bounded(6 * 2**30):
            try:
                outcomes = every_command(folder, data=data)
            except AssertionError as fault:
                fault.words += f"\nrun.json: {'.'.join(map(str, leaf))} = {str(value)[:60]!r}"  # type: ignore[attr-defined]
                raise
        for each in outcomes:
            need("\x1b[2J" not in each.err + each.out, EXECUTED, f"the terminal was steered by {leaf}: {each.words!r}")
        need(contents(outside) == {"x": contents(outside)["x"]}, EXECUTED, f"{leaf} = {value!r} wrote outside")
        nothing_ran(folder, f"{leaf} = {value!r}")


@trial("hostile_runs", repeats=10)
def a_run_json_that_says_anything_of_a_table(folder: Path, generator: random.Random) -> None:
    a_run(folder)
    _fuzzed(folder, generator, "data.csv")


@trial("hostile_runs", repeats=10)
def a_run_json_that_says_anything_of_images(folder: Path, generator: random.Random) -> None:
    pictures(folder, wrong=2)
    accepted(inside("fit", "d", "--epochs", "2", "--out", "run", "--json", folder=folder))
    _fuzzed(folder, generator, "d")


@trial("hostile_runs", repeats=5)
def a_run_json_that_says_anything_of_texts(folder: Path, generator: random.Random) -> None:
    """Several networks of terms and of dense features, and a test set."""
    words = ["red", "blue", "green", "mug", "hat", "shoe", "big", "small"]
    lines = [(" ".join(generator.choices(words[number % 2 * 4 :], k=6)), number % 2) for number in range(60)]
    pd.DataFrame(lines, columns=["title", "label"]).to_csv(folder / "texts.csv", index=False)
    fit = ("fit", "texts.csv", "--text", "title", "--label", "label", "--test", "texts.csv")
    accepted(inside(*fit, "--epochs", "2", "--members", "2", "--out", "run", "--json", folder=folder))
    _fuzzed(folder, generator, "texts.csv")


@trial("hostile_runs", quick=True)
def a_run_json_that_is_odd_as_a_whole(folder: Path, _: random.Random) -> None:
    run = a_run(folder)
    deep = '{"status": "complete", "x": ' + "[" * DEPTH + "]" * DEPTH + "}"
    odd = ["", "[]", "null", "{}", '{"status": "complete"}', deep, '{"status": ' + "9" * 10_000 + "}", "\xff", "NaN"]
    for text in odd:
        (run / "run.json").write_bytes(text.encode("latin-1"))
        for outcome in every_command(folder):
            if outcome.command[0] != "report":  # it reads report.json alone
                refused(outcome, "run")
    (run / "run.json").unlink()
    (run / "run.json").mkdir()
    for outcome in every_command(folder):
        if outcome.command[0] != "report":
            refused(outcome, "run")


def _with_metadata(path: Path, **metadata: bytes) -> None:
    found = pq.read_table(path)
    about = {**(found.schema.metadata or {}), **{key.encode(): value for key, value in metadata.items()}}
    pq.write_table(found.replace_schema_metadata(about), path)


@trial("hostile_runs", quick=True)
def evidence_with_metadata_of_absurd_depth(folder: Path, _: random.Random) -> None:
    run = a_run(folder)
    deep = b"[" * DEPTH + b"]" * DEPTH
    evidence, explanations = run / "evidence.parquet", run / "explanations.parquet"
    good = explanations.read_bytes()
    _with_metadata(explanations, epochs=deep)
    refused(inside("explain", "run", "0", folder=folder), "explanations.parquet")
    explanations.write_bytes(good)
    lines = pq.read_table(explanations)
    for name in ("neighbors", "differences"):
        odd = lines.set_column(lines.schema.get_field_index(name), name, pa.array([deep.decode()] * len(lines)))
        pq.write_table(odd, explanations)
        refused(inside("explain", "run", "0", folder=folder), "explanations.parquet")
    keys = [key.decode() for key in pq.read_schema(evidence).metadata if key != b"ARROW:schema"]
    _with_metadata(evidence, **dict.fromkeys(keys, deep))
    for command in (("audit", "run"), ("explain", "run", "0")):
        refused(inside(*command, folder=folder), "evidence.parquet")


@trial("hostile_runs")
def metrics_that_are_odd(folder: Path, _: random.Random) -> None:
    """Lines of absurd depth, no objects, numbers of ten thousand digits, scripts."""
    run = a_run(folder)
    deep = "[" * DEPTH + "]" * DEPTH
    for text in (
        deep,
        "7",
        "null\n{}",
        '{"loss": ' + "9" * 10_000 + "}",
        '{"epoch": "<script>"}',
        "\x00",
        '{"epoch": NaN}',
    ):
        (run / "metrics.jsonl").write_text(text + "\n")
        every_command(folder)
        outcome = inside(*FIT, "--resume", folder=folder)
        if outcome.code:
            refused(outcome, "metrics.jsonl")


@trial("hostile_runs", quick=True)
def ids_that_lead_out_of_the_folder_of_images(folder: Path, _: random.Random) -> None:
    """What is handed on to other tools are images of the data, and no others that a stranger's evidence names."""
    pictures(folder, wrong=2)
    secret = folder / "secret.png"
    secret.write_bytes((folder / "d" / "cat" / "000.png").read_bytes() + b"secret")
    accepted(inside("fit", "d", "--epochs", "6", "--out", "run", "--json", folder=folder))
    path = folder / "run" / "evidence.parquet"
    found = pq.read_table(path)
    for name in ("../secret.png", str(secret), "cat/../../secret.png"):
        odd = found.set_column(found.schema.get_field_index("id"), "id", pa.array([name] * len(found)))
        pq.write_table(odd, path)
        for number, option in enumerate(("--export-cvat", "--export-label-studio", "--export-fiftyone")):
            out = folder / f"out{number}{('.zip', '.json', '')[number]}"
            outcome = inside("audit", "run", option, out, folder=folder)
            suspects = accepted(inside("audit", "run", "--json", folder=folder))["num_label_issues"]
            if suspects or outcome.code:
                refused(outcome, "secret.png", "leads out")
                need(not out.exists() or not any(out.iterdir()), EXECUTED, f"{out} was written")
            elif out.is_dir():
                need(False, SILENT, f"{option} took {name}")


NEW = (
    "run.json",
    "issues.csv",
    "report.html",
    "report.json",
    "metrics.jsonl",
    "evidence.parquet",
    "model.safetensors",
    "explanations.parquet",
    "README.md",
    "preprocessing.skops",
    "tuning.sqlite",
)


@trial("hostile_runs", quick=True)
def links_in_place_of_the_files_of_a_run(folder: Path, _: random.Random) -> None:
    """A report is written into the folder, never through a link into what lies elsewhere."""
    run = a_run(folder)
    outside = folder / "outside"
    outside.mkdir()
    for name in ("report.html", "report.json", "README.md", "issues.csv"):
        (outside / name).write_text("mine")
        for link in (run / name, run / f".{name}.partial"):
            if link.name != "report.json":
                link.unlink(missing_ok=True)
                link.symlink_to(outside / name)
    before = contents(outside)
    accepted(inside("report", "run", folder=folder))
    need(contents(outside) == before, EXECUTED, f"written through a link: {[*contents(outside)]}")
    need(not (run / "report.html").is_symlink() and "<html" in (run / "report.html").read_text(), SILENT, "no report")
    (folder / ".p.csv.partial").symlink_to(outside / "report.html")
    accepted(inside("predict", "run", "data.csv", "--out", "p.csv", folder=folder))
    need(contents(outside) == before, EXECUTED, "predictions were written through a link")


@trial("hostile_runs", quick=True)
def links_in_a_run_that_is_taken_up_again(folder: Path, _: random.Random) -> None:
    table(folder)
    checkpoint = interrupted(folder, *FIT)
    outside = folder / "outside"
    outside.mkdir()
    (outside / "inner").mkdir()
    (outside / "inner" / "mine.txt").write_text("mine")
    for name in NEW:
        (outside / name).write_text("mine")
        if name in ("run.json", "tuning.sqlite"):
            continue
        for link in (folder / "run" / name, folder / "run" / f".{name}.partial"):
            link.unlink(missing_ok=True)
            link.symlink_to(outside / name)
    (folder / "run" / "checkpoint.partial").symlink_to(outside / "inner", target_is_directory=True)
    (folder / "run" / "checkpoint-000007").symlink_to(outside / "inner", target_is_directory=True)
    (folder / "run" / "checkpoint-999999").symlink_to(outside / "inner", target_is_directory=True)
    before = contents(outside)
    refused(inside(*FIT, "--resume", folder=folder), "is a link", "remove it")
    need(contents(outside) == before, EXECUTED, "written through a link")
    need(checkpoint.exists(), SILENT, "the checkpoint is gone")
    for path in (folder / "run").iterdir():
        if path.is_symlink():
            path.unlink()
    accepted(inside(*FIT, "--resume", folder=folder))


@trial("hostile_runs")
def a_run_folder_that_is_a_link_itself(folder: Path, _: random.Random) -> None:
    """People keep runs on another disk: a link for the whole folder is followed."""
    table(folder)
    (folder / "disk").mkdir()
    (folder / "run").symlink_to("disk", target_is_directory=True)
    accepted(inside(*FIT, folder=folder))
    need((folder / "disk" / "run.json").is_file() and (folder / "run").is_symlink(), SILENT, "the link is gone")
    for outcome in every_command(folder):
        need(outcome.code == 0 or "images" in outcome.err, SILENT, outcome.words)
