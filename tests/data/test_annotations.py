"""Labels of several annotators: read, counted, trained on."""

import numpy as np
import pandas as pd
import pytest
import torch

import elr
from elr.data.annotations import from_columns, from_table
from elr.data.examples import Examples
from elr.data.label_coding import LabelCoding
from elr.data.labels.columns import LabelRules
from elr.data.prepared_data import prepare_data
from elr.data.reading import read_data, read_table
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, DataError

WIDE = pd.DataFrame(
    {"a": ["cat", "dog", None, "cat"], "b": ["cat", "cat", "dog", ""], "c": [None, "cat", "dog", "dog"]}
)


def from_file(path, ids, id_column, num_rows):
    frame = read_table(path, as_text=[id_column or "row", "annotator", "label"])
    return from_table(frame, ids, id_column=id_column, num_rows=num_rows, name=str(path))


def test_columns_counted_by_hand():
    found = from_columns(WIDE, ["a", "b", "c"], name="the table")
    labels, ties = found.majority()
    assert labels == ["cat", "cat", "dog", "cat"]  # the last is a tie: five cats against four dogs in all
    assert ties == 1
    shares = found.shares(LabelCoding(class_names=("cat", "dog")))
    np.testing.assert_allclose(shares, [[1, 0], [2 / 3, 1 / 3], [0, 1], [0.5, 0.5]], atol=1e-6)
    judged = found.judged(["cat", "cat", "dog", "dog"])
    assert judged["annotator"].tolist() == ["a", "b", "c"]
    assert judged["num_labels"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(judged["error_rate"], [2 / 3, 0, 0], atol=1e-4)


def test_rows_taken_keep_their_labels():
    found = from_columns(WIDE, ["a", "b", "c"], name="the table").take(np.array([2, 0]))
    assert found.majority()[0] == ["dog", "cat"]
    np.testing.assert_allclose(found.shares(LabelCoding(class_names=("cat", "dog"))), [[0, 1], [1, 0]])


@pytest.mark.parametrize("by_name", [False, True])
def test_a_table_of_annotations_says_the_same_as_columns(tmp_path, by_name):
    names = ["p", "q", "r", "s"]
    lines = [
        {"photo" if by_name else "row": names[row] if by_name else row, "annotator": who, "label": WIDE[who][row]}
        for who in WIDE
        for row in range(4)
        if isinstance(WIDE[who][row], str) and WIDE[who][row]
    ]
    pd.DataFrame(lines).sample(frac=1, random_state=0).to_csv(tmp_path / "long.csv", index=False)
    column = "photo" if by_name else None
    long = from_file(tmp_path / "long.csv", names if by_name else None, column, 4)
    wide = from_columns(WIDE, ["a", "b", "c"], name="the table")
    coding = LabelCoding(class_names=("cat", "dog"))
    np.testing.assert_array_equal(long.shares(coding), wide.shares(coding))
    truth = ["cat", "cat", "dog", "dog"]
    pd.testing.assert_frame_equal(long.judged(truth), wide.judged(truth))


@pytest.mark.parametrize(
    ("columns", "ids", "id_column", "message"),
    [
        (
            {"row": [0, 9], "annotator": "x", "label": "cat"},
            None,
            None,
            "has labels for 1 rows that .*, such as row '9'",
        ),
        (
            {"row": [0, 0], "annotator": "x", "label": "cat"},
            None,
            None,
            "no label at all for 1 of 2 rows, such as row 1",
        ),
        (
            {"row": [0, 1], "who": "x", "label": "cat"},
            None,
            None,
            "has no column 'annotator': expected 'row', 'annotator'",
        ),
    ],
)
def test_tables_of_annotations_that_do_not_fit(tmp_path, columns, ids, id_column, message):
    pd.DataFrame(columns).to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(DataError, match=message):
        from_file(tmp_path / "long.csv", ids, id_column, 2)


def votes(count=300, seed=0):
    """Two clusters; three annotators of whom the third is wrong half of the time, and does half of the work."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(2, size=count)
    frame = pd.DataFrame({"x": clean * 2 - 1 + 0.5 * rng.normal(size=count), "y": rng.normal(size=count)})
    for name, errors, absent in (("ann", 0.1, 0.0), ("bob", 0.2, 0.3), ("eve", 0.5, 0.5)):
        said = np.where(rng.random(count) < errors, 1 - clean, clean)
        frame[name] = pd.array(said, dtype="Int64")
        frame.loc[rng.random(count) < absent, name] = pd.NA
    return frame.assign(clean=clean)


def test_a_run_judges_labels_and_annotators(tmp_path):
    votes().to_csv(tmp_path / "votes.csv", index=False)
    options = ReadOptions(annotators=("ann", "bob", "eve"), clean_label="clean")
    outcome = elr.fit(tmp_path / "votes.csv", out=tmp_path / "run", options=options)
    judged = pd.read_csv(tmp_path / "run" / "annotators.csv").set_index("annotator")["error_rate"]
    assert judged.index.tolist() == ["eve", "bob", "ann"]
    assert judged["eve"] == pytest.approx(0.5, abs=0.1)
    assert outcome.results["suspects_precision"] > 0.8
    assert "trained on their shares" in outcome.fitted.run["data"]["remarks"][0]
    predictions = elr.predict(tmp_path / "run", votes(seed=1).drop(columns=["ann", "bob", "eve"]))
    assert (predictions["predicted_label"] == votes(seed=1)["clean"]).mean() > 0.9
    with_votes = elr.predict(tmp_path / "run", votes(seed=1))  # not learned from, not in the way
    assert with_votes["predicted_label"].tolist() == predictions["predicted_label"].tolist()


def test_batches_carry_the_shares():
    options = ReadOptions(annotators=("ann", "bob", "eve"))
    prepared = prepare_data(votes(), options)
    assert prepared.examples.label_shares.shape == (300, 2)
    training = elr.FitConfig(epochs=1).plan(prepared).build(prepared, probe=None, folder=None)
    seen = []
    original = training.method.forward
    training.method.forward = lambda batch: seen.append(batch) or original(batch)
    training.run()
    assert torch.equal(seen[0].labels, prepared.examples.label_shares[seen[0].index])


def test_annotators_where_there_can_be_none(tmp_path):
    (tmp_path / "images" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="labels of several annotators are for tables"):
        prepare_data(tmp_path / "images", ReadOptions(annotators=("a",)))
    with pytest.raises(DataError, match="has no column of an annotator 'zoe': it has 'x', 'y'"):
        prepare_data(votes(), ReadOptions(annotators=("ann", "zoe")))
    with pytest.raises(ArgumentError, match="noise was asked for, and labels of annotators are named"):
        prepare_data(votes(), ReadOptions(annotators=("ann",)), noise=("symmetric", 0.2))
    with pytest.raises(ArgumentError, match=r"label_shares have shape \(2,\) for 2 examples"):
        Examples(np.eye(2), [0, 1], label_shares=[0.5, 0.5])


def test_annotators_whose_columns_have_other_types():
    frame = pd.DataFrame({"p": [True, False, True], "q": [1, 0, 0], "r": [1.0, np.nan, 1.0]})
    found = from_columns(frame, ["p", "q", "r"], name="it")
    assert set(found.labels) == {0, 1}
    assert found.majority()[0] == [1, 0, 1]
    assert found.spellings["1"] == {"True": 2, "1.0": 2, "1": 1}
    assert "taken as one" in found.remarks[-1]


@pytest.mark.parametrize(
    "column", [[-1, 0, 1, 2, -1], [-1.0, 0.0, 1.0, np.nan, -1.0], ["-1", "cat", "dog", "cat", "-1"]]
)
def test_minus_one_is_no_vote(column):
    frame = pd.DataFrame({"x": range(5), "a": column, "b": [column[1]] * 4 + [column[0]]})
    records = read_data(frame, ReadOptions(annotators=("a", "b")))
    assert records.rows.tolist() == [0, 1, 2, 3]
    assert not {"-1", -1} & set(records.annotations.labels)
    said = " ".join(records.remarks)
    assert "-1 (3 of" in said
    assert "taken for 'no vote': --class -1 if it is a class" in said
    assert "1 of 5 rows left out" in said
    kept = read_data(frame, ReadOptions(annotators=("a", "b"), classes=("-1",)))
    assert {str(label) for label in kept.annotations.labels} > {"-1"}


def test_minus_one_and_one_are_two_classes():
    found = from_columns(pd.DataFrame({"a": [-1, 1, 1], "b": [1, -1, 1]}), ["a", "b"], name="it")
    assert found.labels == [-1, 1, 1, 1, -1, 1]
    assert "was taken for a class beside 1: --no-label -1 if it means 'no vote'" in found.remarks[0]
    rules = LabelRules(no_label=("-1",))
    assert from_columns(pd.DataFrame({"a": [-1, 1], "b": [1, 1]}), ["a", "b"], name="it", rules=rules).labels == [1] * 3


def test_words_for_no_vote_are_said(tmp_path):
    lines = [(0, "ann", "cat"), (1, "ann", "NA"), (1, "bob", "dog"), (0, "bob", "?")]
    frame = pd.DataFrame(lines, columns=["row", "annotator", "label"])
    found = from_table(frame, None, id_column=None, num_rows=2, name="it")
    assert found.labels == ["cat", "dog"]
    assert "'NA' (1), '?' (1) taken for no vote" in found.remarks[0]


def test_labels_that_one_annotator_gives_twice_to_a_row_are_said():
    lines = [(0, "ann", "cat"), (1, "ann", "dog"), (0, "ann", "cat"), (0, "bob", "cat")]
    frame = pd.DataFrame(lines, columns=["row", "annotator", "label"])
    found = from_table(frame, None, id_column=None, num_rows=2, name="it")
    assert "1 labels are further ones that an annotator gave to the same row, first 'ann' to row 0" in found.remarks[0]


def test_rows_that_were_written_as_fractions():
    frame = pd.DataFrame({"row": ["0.0", "1.0"], "annotator": ["ann", "ann"], "label": ["cat", "dog"]})
    assert from_table(frame, None, id_column=None, num_rows=2, name="it").rows.tolist() == [0, 1]
    frame.loc[1, "row"] = "1.5"
    with pytest.raises(DataError, match=r"1 rows that the data do not have, such as row '1\.5'"):
        from_table(frame, None, id_column=None, num_rows=2, name="it")


def test_an_annotator_twice_is_refused():
    with pytest.raises(ArgumentError, match="annotators has 'a' twice"):
        ReadOptions(annotators=("a", "b", "a"))
