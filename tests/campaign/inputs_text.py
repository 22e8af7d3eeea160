"""Texts, labels of annotators, and test data that are other than those trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaign.inputs import WRONG, Make, adder, csv, flags
from campaign.inputs import text as file_of
from campaign.made import clusters
from campaign.outcomes import accepted, inside, refused
from campaign.trials import SILENT, TRIALS, Trial, need

case = adder("inputs_text")
PLAIN = clusters()
COUNT = len(PLAIN)
RIGHT = [*(("pos", "neg")[name == "pos"] for name in PLAIN["label"][:WRONG]), *PLAIN["label"][WRONG:]]
WORDS = {"neg": ["bad", "awful", "poor", "grim", "dull"], "pos": ["good", "great", "fine", "lovely", "bright"]}
GENERATOR = np.random.default_rng(0)
TEXTS = [" ".join(GENERATOR.choice(WORDS[name], 6)) for name in RIGHT]
COUNTS = {"neg": 52, "pos": 68}


def texts(change: Callable[[int, str], object] = lambda _, each: each, name: str = "d.csv") -> Make:
    """A table of texts, changed one by one."""
    frame = pd.DataFrame({"text": [change(row, each) for row, each in enumerate(TEXTS)], "label": PLAIN["label"]})
    return lambda folder: frame.to_parquet(folder / name) if name.endswith("parquet") else frame.to_csv(folder / name,
        index=False)  # fmt: skip


def of_text(name: str, make: Make, *, quick: bool = False, **settings: Any) -> None:
    usual: dict[str, Any] = {"options": {"label": "label", "text": "text"}}
    if "refusal" not in settings:
        usual |= {"rows": COUNT, "counts": COUNTS}
    case(f"texts {name}", make, quick=quick, **(usual | settings))


typed = {"data": "d.parquet"}
of_text("plain", texts(), fit=True, quick=True)
of_text("of which one is empty", texts(lambda row, each: "" if row == 9 else each), says=["empty in 1 of 120"])
of_text("all empty", texts(lambda *_: ""), refusal=["empty in every row"], quick=True)
of_text("all the same", texts(lambda *_: "one and the same"), refusal=["text"])
of_text("of one word each", texts(lambda row, each: each.split()[0]), fit=True)
of_text("of one letter each", texts(lambda row, each: each[0]))
of_text("of a megabyte", texts(lambda row, each: each * 30_000 if row == 20 else each), fit=True)
of_text("from right to left", texts(lambda _, each: each.translate(str.maketrans("abdefgilnoprtuvwyh",
        "אבדהוזחטיכלמנסעפצק"))), fit=True)  # fmt: skip
of_text("with what cannot be seen", texts(lambda _, each: "\u200b".join(each)))
of_text("of emoji", texts(lambda row, _: "\U0001f600 \U0001f44d" if RIGHT[row] == "pos" else "\U0001f621 \U0001f44e"),
        fit=True)  # fmt: skip
of_text("with control characters", texts(lambda _, each: f"\x01{each}\x1b[31m\x07"), fit=True)
of_text("with ends of lines", texts(lambda _, each: each.replace(" ", "\n")), fit=True)
of_text("with quotation marks", texts(lambda _, each: f'"{each}", she said'), fit=True)
of_text("with commas", texts(lambda _, each: each.replace(" ", ", ")), fit=True)
of_text("of languages without spaces", texts(lambda row, _: "很好的电影真好看" if RIGHT[row] == "pos" else
        "糟糕无聊的片子"), fit=True)  # fmt: skip
of_text("None, in Parquet", texts(lambda row, each: None if row in (9, 10) else each, "d.parquet"), says=["empty in 2"],
        **typed)  # fmt: skip
of_text("all None, in Parquet", texts(lambda *_: None, "d.parquet"), refusal=["text"], **typed)
of_text("of numbers, in Parquet", texts(lambda row, _: row, "d.parquet"), refusal=["expected text"], **typed)
of_text("of numbers, as text", texts(lambda row, _: str(row)))
of_text("of bytes", texts(lambda _, each: each.encode(), "d.parquet"), **typed, fit=True)
of_text("of bytes that are no text", texts(lambda _, each: b"\xff\xfe" + each.encode(), "d.parquet"), **typed)
of_text("of lists", texts(lambda _, each: each.split(), "d.parquet"), refusal=["text"], **typed)
of_text("NA in words", texts(lambda row, each: "NA" if row == 9 else each))
of_text("of punctuation alone", texts(lambda row, _: "!!!" if RIGHT[row] == "pos" else "..."))
of_text("of blanks", texts(lambda *_: "   "), refusal=["empty in every row"])
of_text("identical for both classes", texts(lambda row, _: ["a b c", "d e f"][row % 2]))
of_text("of a column that is not there", texts(), options={"label": "label", "text": "texts"}, refusal=["'texts'"])
of_text("of the label itself", texts(), options={"label": "label", "text": "label"}, refusal=["label"])

# Labels of annotators

VOTES = pd.DataFrame({"row": np.repeat(range(COUNT), 3), "annotator": ["ann", "bob", "eve"] * COUNT,
                      "label": np.repeat(PLAIN["label"].to_numpy(), 3)})  # fmt: skip
DATA = PLAIN.drop(columns="label")


def votes(change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame, data: pd.DataFrame = DATA) -> Make:
    def make(folder: Path) -> None:
        data.to_csv(folder / "d.csv", index=False)
        change(VOTES.astype(object)).to_csv(folder / "votes.csv", index=False)

    return make


def voted(name: str, make: Make, *, quick: bool = False, **settings: Any) -> None:
    usual: dict[str, Any] = {"options": {"annotations": "votes.csv"}}
    if "refusal" not in settings:
        usual |= {"rows": COUNT, "counts": COUNTS}
    case(f"annotations {name}", make, quick=quick, **(usual | settings))


def at(frame: pd.DataFrame, line: int, **cells: object) -> pd.DataFrame:
    for column, cell in cells.items():
        frame.loc[line, column] = cell
    return frame


NAMED = DATA.assign(key=[f"k{row}" for row in range(COUNT)])


def by_key(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(row=[f"k{row}" for row in frame["row"]]).rename(columns={"row": "key"})


voted("plain", votes(), quick=True, fit=True)
voted("of rows that there are not", votes(lambda frame: at(frame, 5, row=999)), refusal=["999", "1 rows"], quick=True)
voted("of rows below nought", votes(lambda frame: at(frame, 5, row=-1)), refusal=["-1"])
voted("of rows with fractions", votes(lambda frame: at(frame, 5, row="1.5")), refusal=["1.5"])
voted("of rows as floats", votes(lambda frame: frame.assign(row=frame["row"].astype(float))))
voted("without a row", votes(lambda frame: at(frame, 5, row="")), refusal=["votes.csv"])
voted(
    "of a class of one vote", votes(lambda frame: at(frame, 5, label="other")), refusal=["annotators said", "'other'"]
)
voted(
    "that are there twice", votes(lambda frame: pd.concat([frame, frame.head(9)])), says=["9 labels are further ones"]
)
voted("that an annotator gave twice, otherwise", votes(lambda frame: pd.concat([frame, frame.head(9).assign(
      label="pos")])), counts={"neg": 49, "pos": 71}, says=["further ones", "3 ties"])  # fmt: skip
voted("of an annotator with one label", votes(lambda frame: pd.concat([frame, pd.DataFrame([{"row": 3, "annotator":
      "guest", "label": "pos"}])])))  # fmt: skip
voted("of one annotator", votes(lambda frame: frame[frame["annotator"] == "ann"]))
voted("without a name", votes(lambda frame: at(frame, 5, annotator="")), says=[])
voted("of annotators called NA", votes(lambda frame: frame.assign(annotator=frame["annotator"].replace("eve", "NA"))))
voted("missing for two rows", votes(lambda frame: frame[frame["row"] > 1]), refusal=["2 of 120", "row 0"])
voted("empty for two rows", votes(lambda frame: at(frame, slice(0, 5), label="")), refusal=["2 of 120"])
voted("empty for one vote", votes(lambda frame: at(frame, 5, label="")))
voted("without rows", votes(lambda frame: frame.head(0)), refusal=["votes.csv"], quick=True)
voted("of nothing", lambda folder: (votes()(folder), (folder / "votes.csv").write_text("")), refusal=["votes.csv",
      "empty"])  # fmt: skip
voted("without a column of annotators", votes(lambda frame: frame.drop(columns="annotator")), refusal=["'annotator'"])
voted("without a column of labels", votes(lambda frame: frame.drop(columns="label")), refusal=["'label'"])
voted("without a column of rows", votes(lambda frame: frame.drop(columns="row")), refusal=["'row'"])
voted("with names in capitals", votes(lambda frame: frame.rename(columns=str.title)), refusal=["'row'"])
voted("in another order", votes(lambda frame: frame.sample(frac=1, random_state=0)[["label", "row", "annotator"]]),
      fit=True)  # fmt: skip
voted("by names", votes(by_key, NAMED), options={"annotations": "votes.csv", "id": "key"}, fit=True)
voted("by names that there are not", votes(lambda frame: at(by_key(frame), 5, key="zzz"), NAMED),
      options={"annotations": "votes.csv", "id": "key"}, refusal=["'zzz'"])  # fmt: skip
voted("by names with leading zeros",
      votes(lambda frame: frame.assign(row=[f"{row:04d}" for row in frame["row"]]).rename(
      columns={"row": "key"}), DATA.assign(key=[f"{row:04d}" for row in range(COUNT)])), options={"annotations":
      "votes.csv", "id": "key"}, fit=True)  # fmt: skip
voted("by names, some in other case", votes(lambda frame: at(by_key(frame), 5, key="K1"), NAMED),
      options={"annotations": "votes.csv", "id": "key"}, refusal=["'K1'"])  # fmt: skip
voted("in spellings", votes(lambda frame: frame.assign(label=[f" {name}" if number % 2 else name for number, name in
      enumerate(frame["label"])])), says=["several spellings"])  # fmt: skip
voted("and a label too", votes(), options={"annotations": "votes.csv", "label": "a"}, refusal=["one source"])
voted("in a file that is not there", votes(), options={"annotations": "gone.csv"}, refusal=["gone.csv"])
voted("in a file of another kind", votes(), options={"annotations": "votes.xlsx"}, refusal=["votes.xlsx"])
voted("as columns", csv(DATA.assign(ann=PLAIN["label"], bob=PLAIN["label"],
      eve=[None if row % 2 else name for row, name in
      enumerate(PLAIN["label"])])), options={"annotators": ["ann", "bob", "eve"]}, fit=True)  # fmt: skip
voted("as columns, one empty", csv(DATA.assign(ann=PLAIN["label"], bob="")), options={"annotators": ["ann", "bob"]})
voted("as columns, all empty", csv(DATA.assign(ann="", bob="")), options={"annotators": ["ann", "bob"]},
      refusal=["120 of 120"])  # fmt: skip
voted("as a column that is not there", csv(DATA.assign(ann=PLAIN["label"])), options={"annotators": ["ann", "bob"]},
      refusal=["'bob'"])  # fmt: skip
voted("as one column twice", csv(DATA.assign(ann=PLAIN["label"])), options={"annotators": ["ann", "ann"]},
      refusal=["ann"])  # fmt: skip

# Test data

TEST = clusters(60, seed=1, wrong=0)


def measured(name: str, test: Make, *words: str, refusal: bool = False, rows: int | None = 60, quick: bool = False,
           file: str = "test.csv", more: tuple[str, ...] = (), least: float = 0.8) -> None:  # fmt: skip
    """Train on the plain table and measure on another file: so many rows, and as well as there is reason to expect."""

    def run(folder: Path, _: Any) -> None:
        csv()(folder)
        test(folder)
        asked = ["d.csv", *flags({"label": "label"}), "--test", file, *more]
        if refusal:
            refused(inside("fit", *asked, "--out", "run", folder=folder), *words, out=folder / "run")
            return
        found = accepted(inside("inspect", *asked, "--json", folder=folder))
        told = " ".join([*found["remarks"], *found["warnings"]])
        need(found["test"]["num_examples"] == rows, SILENT, f"{found['test']['num_examples']} rows of {rows}")
        for word in words:
            need(word.lower() in told.lower(), SILENT, f"expected to be told {word!r}, was told: {told}")
        results = accepted(inside("fit", *asked, "--epochs", "4", "--out", "run", "--json", folder=folder))
        share = results["test_accuracy_last"]
        need(share >= least, SILENT, f"measured {share}: {told}")

    TRIALS.append(Trial(area="inputs_text", name=f"test data {name}", run=run, quick=quick))


def to(frame: pd.DataFrame, **settings: Any) -> Make:
    return csv(frame, "test.csv", **settings)


measured("plain", to(TEST), quick=True)
measured("with columns in another order", to(TEST[["label", "c", "b", "a"]]), quick=True)
measured("with names in another case", to(TEST.rename(columns={"a": "A", "b": " b"})), "'A'", "' b'")
measured("with more columns", to(TEST.assign(z=1)), "'z'")
measured("with fewer columns", to(TEST.drop(columns="b")), "'b'", refusal=True, quick=True)
measured("without labels", to(TEST.drop(columns="label")), "no labels", refusal=True)
measured("without some labels", to(TEST.assign(label=["", *TEST["label"][1:]])), "1 of 60", rows=59)
measured("with a class that training has not", to(TEST.assign(label=["new", *TEST["label"][1:]])), "'new'", "line 2",
       refusal=True, quick=True)  # fmt: skip
measured("with one class only", to(TEST[TEST["label"] == "pos"]), rows=int((TEST["label"] == "pos").sum()))
measured("with labels in another case", to(TEST.assign(label=TEST["label"].str.upper())), "'NEG'", refusal=True)
measured("with labels with blanks", to(TEST.assign(label=" " + TEST["label"])))
measured("with decimal commas", to(TEST, sep=";", decimal=","), "commas")
measured("with tabs", to(TEST, sep="\t"))
measured("in UTF-16", to(TEST, encoding="utf-16"))
measured("with the index of pandas", to(TEST, index=True), "Unnamed: 0")
measured("in Parquet", lambda folder: TEST.to_parquet(folder / "t.parquet"), file="t.parquet")
measured("in Parquet as text", lambda folder: TEST.astype(str).to_parquet(folder / "t.parquet"), file="t.parquet")
measured("in Parquet as float32", lambda folder: TEST.astype({"a": "float32"}).to_parquet(folder / "t.parquet"),
       file="t.parquet")  # fmt: skip
measured("in JSON lines", lambda folder: TEST.to_json(folder / "t.jsonl", orient="records", lines=True), file="t.jsonl")
measured("with words for numbers", to(TEST.assign(a="high")), "'a'", "'high'", refusal=True)
measured("with a word among numbers", to(TEST.assign(a=["high", *TEST["a"][1:].map(str)])), "'high'", "line 2")
measured("with an empty column", to(TEST.assign(c="")), "'c'", "missing")
measured("with an infinite number", to(TEST.assign(a=["inf", *TEST["a"][1:].map(str)])), "'a'", "line 2", refusal=True)
measured("in another unit", to(TEST.assign(a=TEST["a"] * 1000)), "'a'", "unit", least=0.0)
measured("that are those trained on", csv(PLAIN, "test.csv"), "training", rows=COUNT)
measured("that have no rows", to(TEST.head(0)), "no rows", refusal=True)
measured("of nothing", file_of("", "test.csv"), "test.csv", "empty", refusal=True)
measured("that are not there", lambda _: None, "no such file", "test.csv", refusal=True)
measured("that are arrays", lambda folder: np.savez(folder / "t.npz", X=TEST[["a", "b", "c"]].to_numpy(), label=(TEST[
       "label"] == "pos").to_numpy()), "test data", "features", refusal=True, file="t.npz")  # fmt: skip
measured("with labels under another name", to(TEST.rename(columns={"label": "truth"})), more=("--test-label", "truth"))
measured(
    "with labels under a name that there is not", to(TEST), "'truth'", refusal=True, more=("--test-label", "truth")
)
measured("with a row that is cut off", file_of(TEST.to_csv(index=False) + "1,2\n", "test.csv"), "1 of 61", rows=60)
