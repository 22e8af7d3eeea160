"""Test rows that stand in the training data, rows under two labels, and copies."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from elr.data.examples import Examples
from elr.data.matching.overlap import conflict, copies, overlap, text_overlap, written_labels
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions, Records

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(100, 5)).astype("float32")
IMAGES = RNG.integers(0, 256, (100, 3, 8, 8)).astype("uint8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (NUMBERS, NUMBERS + np.float32(1e-7)),
        (IMAGES, IMAGES.copy()),
        (sparse.csr_matrix(NUMBERS), sparse.csr_matrix(NUMBERS[:, :])),
    ],
)
def test_rows_that_stand_in_both_are_counted(old, new):
    train, test = Examples(old[:60], None), Examples(new[40:], None)
    found = overlap(train, test)
    assert found.text.startswith("20 of 60 rows of the test data (33.3%) stand in the training data too")
    assert found.loud
    assert overlap(Examples(old[:40], None), test) is None
    few = overlap(train, Examples(new[59:], None))
    assert few.text.startswith("1 of 41 rows")
    assert not few.loud


def test_rows_of_few_values_are_expected_to_come_again():
    few = RNG.integers(0, 2, (100, 3)).astype("float32")
    assert not overlap(Examples(few[:50], None), Examples(few[50:], None)).loud


def test_other_shapes_are_not_compared():
    assert overlap(Examples(NUMBERS, None), Examples(NUMBERS[:, :2], None)) is None
    assert overlap(Examples(NUMBERS, None), Examples(torch.empty(0, 5), None)) is None


def test_texts_are_compared_whatever_their_case_and_white_space():
    found = text_overlap(["A Mug", "", "a hat"], ["a  mug", " ", "mug a", "hats"])
    assert found.text.startswith("1 of 4 rows")
    assert text_overlap(["a mug"], [""]) is None


def _tables():
    labels = np.array(["cat", "dog"])[np.arange(200) % 2]
    words = [f"{label} number{row} word{row % 7}" for row, label in enumerate(labels)]
    numbers = RNG.normal(size=(200, 3))
    yield pd.DataFrame(numbers, columns=list("abc")).assign(y=labels), {}
    yield pd.DataFrame({"text": words, "y": labels}), {"text": "text"}


@pytest.mark.parametrize(("frame", "options"), list(_tables()))
def test_30_of_100_test_rows_that_stand_in_training_are_said(frame, options):
    test = frame.iloc[70:170].reset_index(drop=True)
    prepared = prepare_data(frame.iloc[:100], ReadOptions(label="y", **options), test=test)
    (found,) = [each for each in prepared.findings if "stand in the training data" in each.text]
    assert found.text.startswith("30 of 100 rows of the test data (30.0%)")
    assert found.loud


def test_images_and_arrays_that_stand_in_training_are_said():
    labels = np.arange(100) % 2
    for inputs in (IMAGES, NUMBERS):
        prepared = prepare_data((inputs[:70], labels[:70]), ReadOptions(), test=(inputs[40:], labels[40:]))
        assert prepared.findings[-1].text.startswith("30 of 60 rows")
        assert prepared.findings[-1].loud


def _records(inputs, ids: list[str] | None = None) -> Records:
    features = inputs if isinstance(inputs, np.ndarray) and inputs.ndim == 2 else None
    return Records(kind="features", rows=np.arange(inputs.shape[0]), features=features, ids=ids)


@pytest.mark.parametrize("inputs", [NUMBERS, IMAGES, sparse.csr_array(NUMBERS)])
def test_the_same_row_under_another_label_is_told(inputs):
    again = inputs[np.r_[np.arange(100), 7, 30, 30, 64]]
    labels = np.arange(100) % 2
    labels = np.r_[labels, 1 - labels[7], labels[30], 1 - labels[30], labels[64]]
    if not isinstance(inputs, np.ndarray):
        again = sparse.csr_array(again)
    found = conflict(Examples(again, labels), _records(again))
    assert found.text.startswith("5 rows have the inputs of others and another label, such as row 7 and row 100: one")
    assert not found.loud
    assert conflict(Examples(again, np.zeros(104, "int64")), _records(again)) is None
    assert conflict(Examples(again, np.where(labels == 1, -1, labels)), _records(again)) is None
    named = conflict(Examples(again, labels), _records(again, [f"{row}.jpg" for row in range(104)]))
    assert "such as 7.jpg and 100.jpg" in named.text


def test_black_images_in_two_classes_are_the_same():
    images = np.concatenate([IMAGES[:30], np.zeros((2, 3, 8, 8), "uint8")])
    found = conflict(Examples(images, np.arange(32) % 2), _records(images))
    assert "row 30 and row 31" in found.text


def test_a_folder_copied_into_another_class_is_told_however_many_images_it_has():
    images = np.concatenate([IMAGES[:30], IMAGES[:20]])
    records = replace(_records(images), kind="images")
    found = conflict(Examples(images, np.arange(50) // 30), records)
    assert found.text.startswith("40 rows have the inputs of others and another label")
    assert found.loud
    assert conflict(Examples(images, np.arange(50) // 30), _records(images)) is None  # of features it may be chance


@pytest.mark.parametrize("kind", ["table", "text", "features", "images"])
def test_copies_with_their_labels_are_told(kind):
    frame = pd.DataFrame(np.random.default_rng(6).normal(size=(200, 3)), columns=list("abc"))
    labels, once = np.arange(200) % 2, NUMBERS[:100].repeat(2, axis=0) + np.arange(200)[:, None]
    if kind == "images":
        once = np.random.default_rng(6).integers(0, 255, (200, 3, 4, 4)).astype(np.uint8)
    for more, loud in ((0, None), (5, None), (15, False), (60, True), (200, True)):
        rows = np.r_[np.arange(200), np.arange(more)]
        table = {"table": frame, "text": pd.DataFrame({"t": [f"text {row}" for row in range(200)]})}.get(kind)
        table = None if table is None else table.iloc[rows].reset_index(drop=True)
        records = Records(kind=kind, rows=np.arange(len(rows)), table=table, features=once[rows])
        found = copies(Examples(once[rows], labels[rows]), records)
        assert (found and found.loud) == loud
        if found:
            assert found.text.startswith(f"{more} of {200 + more} rows ({more / (200 + more):.1%}) are copies of other")
    assert copies(Examples(once[rows], np.r_[labels, 1 - labels]), records) is None


def test_rows_of_few_values_are_no_copies():
    frame = pd.DataFrame({"sex": ["m", "f"] * 100, "class": [1, 2, 3, 4] * 50, "age": np.arange(200) % 9})
    labels = ["cat", "dog"] * 100
    assert prepare_data(frame.assign(label=labels), ReadOptions(label="label")).findings == ()
    numbers = np.arange(200, dtype=float)[:, None] % [5, 3]
    assert prepare_data((numbers, labels), ReadOptions()).findings == ()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": RNG.normal(size=2000)}),
        pd.DataFrame(RNG.normal(size=(500, 3)), columns=list("abc")).pipe(
            lambda found: pd.concat([found, pd.DataFrame(3e4 * np.eye(3), columns=list("abc"))], ignore_index=True)
        ),
        pd.DataFrame({"a": RNG.choice([f"v{i}" for i in range(300)], 3000), "b": RNG.normal(size=3000)}),
        pd.DataFrame({"age": RNG.integers(18, 80, 500), "weight": RNG.integers(40, 120, 500)}),
        pd.DataFrame(RNG.integers(0, 2, (100, 3)), columns=list("abc")),
    ],
)
def test_rows_that_are_near_or_come_again_by_chance_are_not_told(frame):
    frame = frame.assign(label=RNG.choice(["cat", "dog"], len(frame)))
    assert prepare_data(frame, ReadOptions(label="label")).findings == ()


def test_texts_are_compared_whatever_their_case_and_empty_ones_not_at_all():
    texts = [
        f"a {adjective} {thing}" for adjective in ("red", "green", "blue") for thing in ["mug", "hat", "coat", "lamp"]
    ]
    frame = pd.DataFrame({"text": [*texts * 3, "", ""], "label": [*["cat", "dog"] * 18, "cat", "dog"]})
    frame["text"] = [f"{text} number{row}" if text else "" for row, text in enumerate(frame["text"])]
    options = ReadOptions(label="label", text="text", keep=("text",))
    assert prepare_data(frame, options).findings == ()
    frame.loc[37] = ["A RED  mug number0", "dog"]
    assert "row 0 and row 37" in prepare_data(frame, options).findings[0].text


def test_a_copy_in_another_class_is_told_of_what_is_read():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(300, 5)), columns=list("abcde")).assign(label=["cat", "dog"] * 150)
    again = pd.concat([frame, frame.iloc[[3]].assign(label="cat")], ignore_index=True)
    found = prepare_data(again, ReadOptions(label="label")).findings
    assert [each.text for each in found] == [
        "2 rows have the inputs of others and another label, such as row 3 and row 300: one of each is likely wrong"
    ]
    assert prepare_data(frame, ReadOptions(label="label")).findings == ()


# Texts in which the label stands


def texts_of(form, names=("sport", "money", "film"), count=120, seed=0):
    """Texts of some classes by a form that sees the class and the row, with some wrong labels."""
    rng = np.random.default_rng(seed)
    clean = np.arange(count) % len(names)
    given = np.where(rng.random(count) < 0.15, (clean + 1) % len(names), clean)
    words = [" ".join(rng.choice(["ball", "bank", "scene", "win", "rate", "plot"], 5)) for _ in range(count)]
    texts = [
        form(names[g], names[c], text, row) for row, (g, c, text) in enumerate(zip(given, clean, words, strict=True))
    ]
    return Records(
        kind="text",
        rows=np.arange(count),
        table=pd.DataFrame({"body": texts}),
        labels=[names[label] for label in given],
    )


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("sport", "money", "film"), lambda given, clean, text, row: f"category: {given} | {text}"),
        (("Sport News", "money_market", "Film!"), lambda given, clean, text, row: f"{text} #{given.upper()}."),
        ((0, 1, 2), lambda given, clean, text, row: f"label={given} {text}"),
        (("sport", "money", "film"), lambda given, clean, text, row: f"{given if row % 60 else ''} {text}"),
        (
            ("sport", "money", "film"),
            lambda given, clean, text, row: f"{given} {text} {'film' if row % 15 == 1 else ''}",
        ),
    ],
    ids=["category", "hashtag", "number", "nearly all", "named by some others"],
)
def test_texts_that_name_their_given_label_are_told_loudly(names, form):
    records = texts_of(form, names)
    found = written_labels(Examples(np.zeros((len(records), 1)), None), records)
    assert found.loud
    assert "text column 'body' has the name of the given class in nearly all rows of 3 of 3 classes" in found.text
    assert "take the label out of the texts" in found.text


@pytest.mark.parametrize(
    "form",
    [
        lambda given, clean, text, row: text,
        lambda given, clean, text, row: (
            f"{clean} {text}"
        ),  # what the text is about, under labels of which some are wrong
        lambda given, clean, text, row: f"{given if row % 5 else ''} {text}",
        lambda given, clean, text, row: f"sport, money or film? {text}",
        lambda given, clean, text, row: f"sport {text}",
        lambda given, clean, text, row: f"{given}s {text}",
        lambda given, clean, text, row: "" if row % 2 else text,
    ],
    ids=["none", "the subject", "often", "all names", "one name", "within a word", "empty"],
)
def test_texts_that_may_well_name_a_class_are_not_told(form):
    records = texts_of(form)
    assert written_labels(Examples(np.zeros((len(records), 1)), None), records) is None


def test_one_class_of_several_and_rare_ones():
    records = texts_of(lambda given, clean, text, row: f"{'film' if given == 'film' else ''} {text}")
    found = written_labels(Examples(np.zeros((len(records), 1)), None), records)
    assert "1 of 3 classes (such as 'film': in 100.0% of its rows, in 0.0% of the others)" in found.text
    few = texts_of(lambda given, clean, text, row: f"{given} {text}", count=20)
    assert written_labels(Examples(np.zeros((20, 1)), None), few) is None
    table = replace(records, kind="table")
    assert written_labels(Examples(np.zeros((len(records), 1)), None), table) is None


def test_a_fit_warns_of_texts_that_name_their_label():
    records = texts_of(lambda given, clean, text, row: f"category: {given} | {text}")
    frame = records.table.assign(y=records.labels)
    prepared = prepare_data(frame, ReadOptions(label="y", text="body"))
    assert any(found.loud and "has the name of the given class" in found.text for found in prepared.findings)
