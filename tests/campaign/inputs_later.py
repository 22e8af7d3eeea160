"""What comes after training: new data to predict, and corrected copies, of files as people have them."""

from __future__ import annotations

import functools
import gzip
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaign.inputs import Make, csv, flags, lines, text
from campaign.made import clusters
from campaign.outcomes import accepted, contents, inside, kept, no_leftovers, refused
from campaign.trials import LOST, SILENT, TRIALS, Trial, need
from elr.data.reading import read_data
from elr.data.records import ReadOptions

PLAIN = clusters().assign(d=[f"k{row % 3}" for row in range(120)])
LINES = lines(PLAIN)
NEW = clusters(40, seed=1, wrong=0).assign(d=[f"k{row % 3}" for row in range(40)])
ROWS = NEW.drop(columns="label")
QUICK = ("--members", "1", "--epochs", "2", "--network", "linear", "--json")


@functools.cache
def trained() -> tuple[tempfile.TemporaryDirectory[str], Path, pd.DataFrame]:
    """A run on the plain table, and what it predicts for the plain new rows."""
    holder = tempfile.TemporaryDirectory(prefix="elr-campaign-run-")
    folder = Path(holder.name)
    csv(PLAIN)(folder)
    csv(ROWS, "new.csv")(folder)
    accepted(inside("fit", "d.csv", "--label", "label", "--out", "run", *QUICK, folder=folder))
    accepted(inside("predict", "run", "new.csv", "--out", "right.csv", folder=folder))
    return holder, folder / "run", pd.read_csv(folder / "right.csv")


def new(
    name: str,
    make: Make,
    *,
    file: str = "new.csv",
    rows: np.ndarray | None = None,
    other: tuple[int, ...] = (),
    says: tuple[str, ...] = (),
    refusal: tuple[str, ...] | None = None,
    quick: bool = False,
) -> None:
    """The same predictions as of the plain file for its rows, but for `other`; or a refusal that leaves no file."""

    def run(folder: Path, _: random.Random) -> None:
        _, model, right = trained()
        make(folder)
        outcome = inside("predict", model, file, "--out", "found.csv", folder=folder)
        if refusal is not None:
            refused(outcome, *refusal)
            need(not (folder / "found.csv").exists(), LOST, "a file was left")
            return
        accepted(outcome)
        for word in says:
            need(word.lower() in outcome.err.lower(), SILENT, f"expected to be told {word!r}: {outcome.words}")
        found = pd.read_csv(folder / "found.csv")
        wanted = right.iloc[np.arange(len(right)) if rows is None else rows].reset_index(drop=True)
        need(len(found) == len(wanted), SILENT, f"{len(found)} predictions for {len(wanted)} rows")
        same = [row for row in range(len(wanted)) if row not in other]
        names = ["predicted_label", "prob_neg", "prob_pos"]
        alike = not same or found[names].iloc[same].equals(wanted[names].iloc[same])
        need(alike, SILENT, f"other predictions: {found[names].head(3)} for {wanted[names].head(3)}")
        need(found["row"].tolist() == list(range(len(wanted))), SILENT, "rows are out of order")
        no_leftovers(folder)

    TRIALS.append(Trial(area="inputs_later", name=f"new data {name}", run=run, quick=quick))


def to(frame: pd.DataFrame, **settings: Any) -> Make:
    return csv(frame, "new.csv", **settings)


BODY = ROWS.to_csv(index=False)
TURNED = np.arange(40)[::-1]

new("plain", to(ROWS), quick=True)
new("with labels", to(NEW))
new("with labels that are strange", to(NEW.assign(label="?")))
new("with columns in another order", to(ROWS[["d", "c", "a", "b"]]), quick=True)
new("with rows in another order", to(ROWS.iloc[::-1]), rows=TURNED)
new("with names in another case", to(ROWS.rename(columns={"a": "A", "d": "D "})), says=("'A'",))
new("with more columns", to(ROWS.assign(z=1)), says=("'z'",))
new("with fewer columns", to(ROWS.drop(columns="b")), refusal=("'b'",), quick=True)
new("with a name twice", text(BODY.replace("a,b,c", "a,b,b"), "new.csv"), refusal=("'b'",))
new("with semicolons and decimal commas", to(ROWS, sep=";", decimal=","), says=("commas",), quick=True)
new("with tabs", to(ROWS, sep="\t"))
new("in UTF-16", to(ROWS, encoding="utf-16"))
new("with a byte order mark", to(ROWS, encoding="utf-8-sig"))
new("in gzip", text(gzip.compress(BODY.encode()), "new.csv.gz"), file="new.csv.gz")
new("with carriage returns", text(BODY.replace("\n", "\r"), "new.csv"))
new("with blank lines", text(BODY.replace("\n", "\n\n"), "new.csv"))
new("with a title", text("Report\n\n" + BODY, "new.csv"))
new("all in quotation marks", to(ROWS, quoting=1))
new("in JSON lines", lambda folder: ROWS.to_json(folder / "new.jsonl", orient="records", lines=True), file="new.jsonl")
new("in Parquet", lambda folder: ROWS.to_parquet(folder / "new.parquet"), file="new.parquet")
new("in Parquet, as categories", lambda folder: ROWS.assign(d=pd.Categorical(ROWS["d"])).to_parquet(folder /
    "new.parquet"), file="new.parquet")  # fmt: skip
new("in Parquet, as text", lambda folder: ROWS.astype(str).to_parquet(folder / "new.parquet"), file="new.parquet")
new("in Feather", lambda folder: ROWS.to_feather(folder / "new.feather"), file="new.feather")
new("with one row", to(ROWS.head(1)), rows=np.arange(1))
new("with no rows", to(ROWS.head(0)), rows=np.arange(0))
new("of nothing", text("", "new.csv"), refusal=("new.csv", "empty"))
new("that are not there", lambda _: None, refusal=("no such file", "new.csv"))
new("with an empty cell", to(ROWS.assign(a=[None, *ROWS["a"][1:]])), other=(0,), says=("'a'", "missing"))
new(
    "with a word in a cell", to(ROWS.assign(a=["high", *ROWS["a"][1:].map(str)])), other=(0,), says=("'high'", "line 2")
)
new("with words in a column", to(ROWS.assign(a="high")), refusal=("'a'", "'high'", "line 2"))
new("with a new category", to(ROWS.assign(d=["k9", *ROWS["d"][1:]])), other=(0,), says=("'k9'",))
new("with categories in another case", to(ROWS.assign(d=ROWS["d"].str.upper() + " ")))
new(
    "with an infinite number",
    to(ROWS.assign(a=["inf", *ROWS["a"][1:].map(str)])),
    refusal=("'a'", "infinite", "line 2"),
)
new("with a number too great", to(ROWS.assign(a=["1e300", *ROWS["a"][1:].map(str)])), refusal=("'a'", "line 2"))
new("in another unit", to(ROWS.assign(a=ROWS["a"] * 1000)), other=tuple(range(40)), says=("'a'", "unit"))
new("with a row that is cut off", text(BODY + "1.0,2.0\n", "new.csv"), rows=np.array([*range(40), 0]), other=(40,),
    says=("41",))  # fmt: skip
new("with a row that is too long", text(BODY + "1,2,3,k1,5\n", "new.csv"), refusal=("line 42",))
new("with the names again", text(BODY + BODY, "new.csv"), refusal=("line 42",))
new("as arrays", lambda folder: np.savez(folder / "new.npz", X=ROWS[["a", "b", "c"]]), file="new.npz",
    refusal=("new.npz",))  # fmt: skip
new("as an empty folder", lambda folder: (folder / "new.csv").mkdir(), rows=np.arange(0), says=("no rows",))

# Corrected copies

OTHER = {"neg": "pos", "pos": "neg", "né": "où", "où": "né"}
CHANGED = (0, 1, 2, 77, 119)


def copied(name: str, make: Make, *, file: str = "d.csv", read: Callable[[bytes], str] | None = None,
           quick: bool = False, **options: Any) -> None:  # fmt: skip
    """Five labels corrected: everything else in the copy is as it was, to the letter where it is text."""
    asked = {"label": "label"} | options

    def run(folder: Path, _: random.Random) -> None:
        make(folder)
        before = contents(folder)
        accepted(inside("fit", file, *flags(asked), "--out", "run", *QUICK, folder=folder))
        old = read_data(str(folder / file), ReadOptions(**asked))
        labels = list(map(str, old.labels or []))
        names = sorted(set(labels))
        wanted = {row: names[names[0] == labels[row]] for row in CHANGED}
        decided = pd.DataFrame({"row": CHANGED, "id": "", "given_label": [labels[row] for row in CHANGED],
                                "decision": "relabel", "label": list(wanted.values())})  # fmt: skip
        decided.to_csv(folder / "decisions.csv", index=False)
        target = "clean" + "".join(Path(file).suffixes)
        done = accepted(
            inside("clean", "run", "--decisions", "decisions.csv", "--out", target, "--json", folder=folder)
        )
        need(done["num_changed"] == len(CHANGED), SILENT, json.dumps(done))
        copy = read_data(str(folder / target), ReadOptions(**asked))
        expected = [wanted.get(row, label) for row, label in enumerate(labels)]
        need(list(map(str, copy.labels or [])) == expected, SILENT, "the labels of the copy are others")
        assert old.table is not None
        assert copy.table is not None
        need(copy.table.equals(old.table), LOST, "other cells than labels are others in the copy")
        if read is not None:
            pair = [read((folder / each).read_bytes()).split("\n") for each in (file, target)]
            differ = [number for number, (a, b) in enumerate(zip(*pair, strict=True)) if a != b]
            need(len(differ) == len(CHANGED), LOST, f"lines {differ} differ")
        kept(before, folder)
        no_leftovers(folder)

    TRIALS.append(Trial(area="inputs_later", name=f"corrected copy of {name}", run=run, quick=quick))


def utf8(raw: bytes) -> str:
    return raw.decode()


ACCENTED = "\n".join(lines(PLAIN.assign(label=PLAIN["label"].map({"neg": "né", "pos": "où"})))) + "\n"
TEXT = "\n".join(LINES) + "\n"

copied("CSV", csv(PLAIN), read=utf8, quick=True)
copied("CSV with carriage returns and line feeds", text(TEXT.replace("\n", "\r\n")), read=utf8)
copied("CSV with carriage returns", text(TEXT.replace("\n", "\r")), read=lambda raw: raw.decode().replace("\r", "\n"))
copied("CSV in UTF-16", text(ACCENTED, encoding="utf-16"), read=lambda raw: raw.decode("utf-16"), quick=True)
copied("CSV in UTF-32", text(ACCENTED, encoding="utf-32"), read=lambda raw: raw.decode("utf-32"))
copied("CSV in Latin 1", text(ACCENTED, encoding="latin-1"), read=lambda raw: raw.decode("latin-1"))
copied("CSV with a byte order mark", text(TEXT, encoding="utf-8-sig"), read=utf8)
copied("CSV with two byte order marks", text("\ufeff" + TEXT, encoding="utf-8-sig"), read=utf8)
copied("CSV in UTF-16 with two byte order marks", text("\ufeff" + TEXT, encoding="utf-16"),
       read=lambda raw: raw.decode("utf-16"))  # fmt: skip
copied("CSV with a line that says sep", text("sep=;\n" + TEXT.replace(",", ";")), read=utf8)
copied("CSV with a title", text("Report\n\n" + TEXT), read=utf8)
copied("CSV with commas at the ends", text(TEXT.replace("\n", ",,\n")), read=utf8)
copied("CSV with blank lines", text(TEXT.replace("\n", "\n\n")), read=utf8)
copied("CSV without the end of the last line", text(TEXT[:-1]), read=utf8)
copied("CSV all in quotation marks", csv(PLAIN, quoting=1), read=utf8)
copied("CSV with ends of lines in cells", csv(PLAIN.assign(d=PLAIN["d"] + "\nmore")), read=utf8)
copied("CSV with spaces around labels", text(TEXT.replace(",neg", ", neg ")), read=utf8)
copied("CSV with lone quotation marks", text(TEXT.replace("neg", 'ne"g')), read=utf8)
copied("CSV with leading zeros", csv(PLAIN.assign(d=[f"00{row % 4}" for row in range(120)])), read=utf8)
copied("CSV in gzip", text(gzip.compress(TEXT.encode()), "d.csv.gz"), file="d.csv.gz",
       read=lambda raw: gzip.decompress(raw).decode())  # fmt: skip
copied("TSV", csv(PLAIN, "d.tsv", sep="\t"), file="d.tsv", read=utf8)
copied("CSV with rows cut short", text(TEXT.replace(",k1\n", "\n")), read=utf8)
copied("JSON lines", lambda folder: PLAIN.to_json(folder / "d.jsonl", orient="records", lines=True), file="d.jsonl",
       read=utf8, quick=True)  # fmt: skip
copied("JSON with spaces", text(json.dumps(PLAIN.to_dict("records"), indent=1), "d.json"), file="d.json", read=utf8)
copied("JSON lines in UTF-16", text("".join(json.dumps(each) + "\n" for each in PLAIN.to_dict("records")), "d.jsonl",
       "utf-16"), file="d.jsonl", read=lambda raw: raw.decode("utf-16"))  # fmt: skip
copied("Parquet", lambda folder: PLAIN.to_parquet(folder / "d.parquet"), file="d.parquet", quick=True)
copied("Parquet of categories", lambda folder: PLAIN.assign(label=pd.Categorical(PLAIN["label"])).to_parquet(folder /
       "d.parquet"), file="d.parquet")  # fmt: skip
copied("Feather", lambda folder: PLAIN.to_feather(folder / "d.feather"), file="d.feather")
