"""What means the same is read the same: each odd way of writing, in each format, at each place where data are read.

A plain table and an odd one of the same meaning go through training, test data, annotations, predictions, cleaning;
what comes out must not differ.
"""

import csv
import json
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elr.audit.cleaning.decisions import clean
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig
from elr.runs.predict import predict

FORMATS = ("csv", "tsv", "parquet", "feather", "jsonl")
QUICK = FitConfig(members=1, epochs=2)


def plain(classes, count=60):
    """Two numbers, a word and a flag, all told by the class; the label in `y`."""
    random = np.random.default_rng(0)
    place = np.arange(count) % len(classes)
    woman = (place == 0) ^ (random.random(count) < 0.2)
    return pd.DataFrame(
        {
            "part": (place + random.normal(0, 0.3, count)).round(3) + 2.25,
            "whole": place * 3 + random.integers(5, size=count) + 1,
            "word": np.array(["Male", "Female"], dtype=object)[woman.astype(int)],
            "flag": (place == 1) ^ (random.random(count) < 0.2),
            "y": np.array(classes, dtype=object)[place],
        }
    )


def every(step, change):
    """A column with some of its cells written in another way."""
    return lambda column: pd.Series(
        [change(value) if row % step == 1 else value for row, value in enumerate(column)], dtype=object
    )


def each(change):
    return lambda column: pd.Series([change(value) for value in column], dtype=object)


@dataclass(frozen=True)
class Odd:
    """A way of writing a column.

    Args:
        column: which.
        write: what makes the odd column of the plain one.
        classes: of the plain table.
        same_inputs: whether a table that is odd throughout, trained on, gives the same inputs as a plain one.
    """

    column: str
    write: Any
    classes: tuple = ("cat", "dog")
    same_inputs: bool = True


KINDS = {
    "1.0 for 1, beside words": Odd("y", every(3, lambda y: f"{y}.0" if y == "1" else y), ("1", "2", "other")),
    "1.0 for 1 throughout": Odd("y", each(lambda y: f"{y}.0"), ("1", "2")),
    "true and false": Odd("y", each(lambda y: str(y).lower()), (False, True)),
    "one and nought for true and false": Odd("y", each(int), (False, True)),
    "decomposed letters": Odd("y", every(4, lambda y: unicodedata.normalize("NFD", y)), ("caf\u00e9", "the")),
    "blanks about a class": Odd("y", every(4, lambda y: f" {y}\u00a0"), ("cat", "dog")),
    "a category in small letters": Odd("word", every(4, str.lower)),
    "categories in small letters throughout": Odd("word", each(str.lower)),
    "blanks about a category": Odd("word", every(4, lambda word: f"{word} ")),
    "a flag in words": Odd("flag", each(lambda flag: str(flag).lower())),
    "a flag in numbers": Odd("flag", each(int), same_inputs=False),
    "decimal commas": Odd("part", each(lambda part: str(part).replace(".", ","))),
    "thousands": Odd("whole", each(lambda whole: f"{whole * 1000:,}.00"), same_inputs=False),
    "numbers in text": Odd("part", each(str)),
    "whole numbers with a point": Odd("whole", each(float)),
    "a dash for a minus": Odd("part", each(lambda part: f"\u2212{9 - part:.3f}"), same_inputs=False),
}
LABELS = {name: odd for name, odd in KINDS.items() if odd.column == "y"}


def tables(kind):
    """The plain table, and the odd one of the same meaning."""
    odd = KINDS[kind]
    frame = plain(odd.classes)
    changed = frame.copy()
    changed[odd.column] = odd.write(frame[odd.column])
    if kind == "thousands":
        frame["whole"] = frame["whole"] * 1000
    if kind == "a dash for a minus":
        frame["part"] = (frame["part"] - 9).round(3)
    return frame, changed


def write(frame, path):
    if path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".jsonl":
        lines = (
            json.dumps({name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()})
            for row in frame.to_dict("records")
        )
        path.write_text("".join(f"{line}\n" for line in lines))
    else:
        mixed = {name for name in frame if frame[name].map(type).nunique() > 1}
        typed = frame.astype(dict.fromkeys(mixed, str)).infer_objects()
        (typed.to_parquet if path.suffix == ".parquet" else typed.to_feather)(path)
    return path


@pytest.fixture(params=FORMATS)
def write_as(request, tmp_path):
    return lambda frame, name: write(frame, tmp_path / f"{name}.{request.param}")


@pytest.mark.parametrize("kind", KINDS)
def test_training(kind, write_as):
    frame, odd = tables(kind)
    first, second = (
        prepare_data(write_as(each, name), ReadOptions(label="y")) for each, name in ((frame, "plain"), (odd, "odd"))
    )
    assert first.preprocessing.num_classes == second.preprocessing.num_classes
    np.testing.assert_array_equal(first.examples.labels, second.examples.labels)
    if KINDS[kind].same_inputs:
        np.testing.assert_allclose(first.examples.inputs, second.examples.inputs, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_test_data(kind, write_as):
    frame, odd = tables(kind)
    data = write_as(frame, "plain")
    prepared = prepare_data(data, ReadOptions(label="y"), test=write_as(odd, "odd"))
    np.testing.assert_array_equal(prepared.examples.labels, prepared.test.labels)
    np.testing.assert_allclose(prepared.examples.inputs, prepared.test.inputs, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_new_data(kind, write_as, tmp_path):
    frame, odd = tables(kind)
    data, new = write_as(frame, "plain"), write_as(odd, "odd")
    fit(data, label="y", out=tmp_path / "run", config=QUICK)
    first, second = predict(tmp_path / "run", data), predict(tmp_path / "run", new)
    pd.testing.assert_frame_equal(first, second, check_exact=False, atol=1e-6)


@pytest.mark.parametrize("kind", LABELS)
def test_annotations(kind, write_as):
    frame, odd = tables(kind)
    data = write_as(frame.drop(columns="y"), "data")
    read = []
    for table, name in ((frame, "plain"), (odd, "odd")):
        lines = [(row, who, label) for who in ("ann", "bob") for row, label in enumerate(table["y"])]
        votes = write_as(pd.DataFrame(lines, columns=["row", "annotator", "label"]), f"votes-{name}")
        read.append(prepare_data(data, ReadOptions(annotations=str(votes))))
    np.testing.assert_array_equal(read[0].examples.labels, read[1].examples.labels)
    np.testing.assert_allclose(read[0].examples.label_shares, read[1].examples.label_shares)


@pytest.mark.parametrize("kind", LABELS)
def test_annotators_who_write_in_different_ways(kind, write_as):
    frame, odd = tables(kind)
    both = frame.drop(columns="y").assign(ann=frame["y"], bob=odd["y"])
    prepared = prepare_data(write_as(both, "both"), ReadOptions(annotators=("ann", "bob")))
    assert set(np.unique(prepared.examples.label_shares)) == {0.0, 1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_cleaning(kind, write_as, tmp_path):
    """One label is changed in a copy of the odd file, and no other cell is read otherwise."""
    _, odd = tables(kind)
    data = write_as(odd, "odd")
    outcome = fit(data, label="y", out=tmp_path / "run", config=QUICK)
    names = [str(name) for name in outcome.fitted.run["preprocessing"]["class_names"]]
    labels = [names[label] for label in outcome.fitted.audit.labels]
    new = names[1] if labels[5] == names[0] else names[0]
    with (tmp_path / "decisions.csv").open("w", newline="") as lines:
        out = csv.writer(lines)
        out.writerow(["row", "id", "given_label", "decision", "label"])
        favored = names[outcome.fitted.audit.predicted_labels[5]]
        out.writerow([5, "", labels[5], "relabel" if new != favored else "accept", new])
    done = clean(tmp_path / "run", tmp_path / "decisions.csv", data.with_name(f"clean{data.suffix}"))
    assert done.num_changed == 1
    before, after = (prepare_data(each, ReadOptions(label="y")) for each in (data, done.out))
    different = np.flatnonzero(before.examples.labels != after.examples.labels)
    assert different.tolist() == [5]
    np.testing.assert_array_equal(before.examples.inputs, after.examples.inputs)
