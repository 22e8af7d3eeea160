"""Data ready to train on, with what measures a run on them."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from elr.data.prepared_data import prepare_data, prepare_records
from elr.data.reading import ReadOptions, data_name, read_data
from elr.errors import ArgumentError, DataError

N = 40
LABEL = ReadOptions(label="y")


def frame(seed=0, **columns):
    rng = np.random.default_rng(seed)
    labels = np.array(["cat", "dog"])[np.arange(N) % 2]
    return pd.DataFrame({"x": rng.normal(size=N), "c": rng.choice(list("abc"), N), "y": labels, **columns})


def folder(root, sides):
    """Images by class, each with the side of its place in `sides`."""
    for name, shade in (("cat", 50), ("dog", 200)):
        (root / name).mkdir(parents=True)
        for number, side in enumerate(sides):
            buffer = io.BytesIO()
            Image.new("RGB", (side, side), (shade, number, 0)).save(buffer, "PNG")
            (root / name / f"{number}.png").write_bytes(buffer.getvalue())
    return root


def test_a_task_knows_where_it_comes_from(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    prepared = prepare_data(tmp_path / "t.csv", LABEL)
    assert prepared.source == str(tmp_path / "t.csv")
    assert prepared.options == LABEL
    assert prepared.clean_labels is None
    assert prepared.test is None
    assert (prepared.test_source, prepared.noise) == (None, None)
    assert prepared.preprocessing.coding.class_names == ("cat", "dog")
    assert prepared.examples.labels.tolist() == [0, 1] * 20
    assert len(prepared.records) == len(prepared.examples) == N


def test_clean_labels_are_class_numbers_beside_the_given_ones():
    truth = np.array(["dog", "dog"] * 10 + ["cat", "cat"] * 10)
    prepared = prepare_data(frame(truth=truth), ReadOptions(label="y", clean_label="truth"))
    assert prepared.clean_labels.tolist() == [1] * 20 + [0] * 20
    assert prepared.examples.labels.tolist() == [0, 1] * 20
    assert "truth" not in prepared.preprocessing.columns
    with pytest.raises(
        DataError, match="clean-label column 'truth' has 1 values that the training labels do not have: 'cow'"
    ):
        prepare_data(frame(truth="cow"), ReadOptions(label="y", clean_label="truth"))


def test_clean_labels_of_digits_only_belong_to_text_classes(tmp_path):
    """Given labels 1, 2 and "?" read as text, clean labels 1 and 2 as numbers: the same classes."""
    rows = ["5,1,1", "6,2,2", "7,?,1", "8,?,2", "9,1,1", "4,2,1"]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,truth", *rows]))
    prepared = prepare_data(tmp_path / "t.csv", ReadOptions(label="y", clean_label="truth", classes=("?",)))
    assert prepared.preprocessing.coding.class_names == ("1", "2", "?")
    assert prepared.clean_labels.tolist() == [0, 1, 0, 1, 0, 0]


def test_test_data_are_encoded_as_training_data_are():
    prepared = prepare_data(frame(), LABEL, test=frame(seed=1))
    expected = prepared.preprocessing.encode(read_data(frame(seed=1), LABEL), name="it")
    assert torch.equal(prepared.test.inputs, expected.inputs)
    assert torch.equal(prepared.test.labels, expected.labels)
    assert prepared.test_source == "a data frame"
    alone = prepare_data(frame(seed=1), LABEL)
    assert not torch.equal(prepared.test.inputs, alone.examples.inputs)


def test_test_data_may_have_a_column_of_trusted_labels():
    options = ReadOptions(label="y", clean_label="truth")
    both = frame(truth="dog", y="cat")
    assert prepare_data(frame(truth="dog"), options, test=both).test.labels.tolist() == [1] * N
    assert prepare_data(frame(truth="dog"), options, test=frame()).test.labels.tolist() == [0, 1] * 20


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (frame().drop(columns="y"), "the test data have no labels: expected label column 'y'"),
        (frame(y="cow"), "label column 'y' of the test data has 1 values that the training labels do not have: 'cow'"),
        (frame().drop(columns="x"), "the test data lacks 1 columns that training had: 'x'"),
        (frame(y=None), "the test data have no labels"),
        (frame(y="?"), "the test data have no labels"),
        (frame(y=-1), "the test data have no labels: label column 'y' is missing or -1 in all 40 rows"),
        (frame().head(0), "the test data have no rows"),
        ((np.eye(N), [0, 1] * 20), "the test data holds features, the run was trained on table"),
        (frame(x="many"), "column 'x' of the test data has 'many' in row 0"),
        ("absent.csv", r"no such file: absent\.csv"),
    ],
)
def test_test_data_that_cannot_be_measured_on(test, message):
    with pytest.raises(DataError, match=message):
        prepare_data(frame(), LABEL, test=test)


def test_labels_of_the_test_data_may_have_another_name():
    gold = np.array(["cat", "dog"])[np.arange(N) % 2]
    test = frame(y="cow", gold=gold)  # given labels that the training never saw, and are not looked at
    prepared = prepare_data(frame(gold="cat"), ReadOptions(label="y", ignore=("gold",)), test=test, test_label="gold")
    plain = prepare_data(frame(), LABEL, test=frame(y=gold))
    assert prepared.test.labels.tolist() == plain.test.labels.tolist() == [0, 1] * 20
    torch.testing.assert_close(prepared.test.inputs, plain.test.inputs)
    torch.testing.assert_close(prepared.examples.inputs, plain.examples.inputs)
    voted = ReadOptions(annotators=("a", "b"))
    both = frame(a=gold, b=gold).drop(columns="y")
    assert prepare_data(both, voted, test=test, test_label="gold").test.labels.tolist() == [0, 1] * 20


@pytest.mark.parametrize(
    ("test", "error", "message"),
    [
        (None, ArgumentError, "test_label is 'gold' and there are no test data"),
        (frame(), DataError, "the test data have no labels: expected label column 'gold'"),
        (frame(gold="cow"), DataError, "label column 'gold' of the test data has 1 values that the training labels do"),
        ((np.eye(N), [0, 1] * 20), ArgumentError, "test_label is 'gold' and .* has no columns or arrays"),
        (".", ArgumentError, r"test_label is 'gold' and \. has no columns"),
    ],
)
def test_a_test_label_that_names_nothing_is_refused(test, error, message):
    with pytest.raises(error, match=message):
        prepare_data(frame(), LABEL, test=test, test_label="gold")


def test_test_images_are_brought_to_the_size_of_training(tmp_path):
    train, test = folder(tmp_path / "train", [20, 20, 20]), folder(tmp_path / "test", [48, 31])
    prepared = prepare_data(train, ReadOptions(), test=test)
    assert prepared.examples.inputs.shape == (6, 3, 20, 20)
    assert prepared.test.inputs.shape == (4, 3, 20, 20)
    assert prepared.test.labels.tolist() == [0, 0, 1, 1]
    loose = tmp_path / "loose"
    loose.mkdir()
    (train / "cat" / "0.png").rename(loose / "0.png")
    with pytest.raises(DataError, match="the test data have no labels: expected the label, a subfolder for each class"):
        prepare_data(train, ReadOptions(), test=loose)


def test_noise_keeps_what_was_read_as_clean_labels():
    prepared = prepare_data(frame(), LABEL, noise=("symmetric", 0.25), seed=3)
    assert prepared.clean_labels.tolist() == [0, 1] * 20
    assert (prepared.examples.labels.numpy() != prepared.clean_labels).mean() == 0.25
    names = prepared.preprocessing.coding.class_names
    assert prepared.noise == "symmetric:0.25"
    assert prepared.records.labels == [names[label] for label in prepared.examples.labels]
    assert prepared.records.clean_labels == frame()["y"].tolist()
    again = prepare_data(frame(), LABEL, noise=("symmetric", 0.25), seed=3)
    other = prepare_data(frame(), LABEL, noise=("symmetric", 0.25), seed=4)
    assert prepared.records.labels == again.records.labels != other.records.labels


def test_noise_that_leaves_a_class_empty_is_still_a_task():
    """Noise is an experiment: the classes are those that were read."""
    rows = frame().iloc[[0, 1, 2, 3]]
    for seed in range(20):
        prepared = prepare_data(rows, LABEL, noise=("symmetric", 0.5), seed=seed)
        assert prepared.preprocessing.coding.class_names == ("cat", "dog")


def test_noise_that_makes_no_sense():
    with pytest.raises(ArgumentError, match="clean labels are named: one of them must go"):
        prepare_data(frame(truth="cat"), ReadOptions(label="y", clean_label="truth"), noise=("symmetric", 0.2))
    with pytest.raises(ArgumentError, match="salt"):
        prepare_data(frame(), LABEL, noise=("salt", 0.2))
    with pytest.raises(ArgumentError, match="2"):
        prepare_data(frame(), LABEL, noise=("symmetric", 2.0))


def test_the_fingerprint_is_that_of_all_that_is_measured():
    first = prepare_data(frame(), LABEL).sha256
    assert first == prepare_data(frame(), LABEL).sha256 == prepare_data(frame(junk=1), LABEL).sha256
    changed = [
        frame(x=frame()["x"].where(frame().index != 7, 3.0)),
        frame(y=frame()["y"].iloc[::-1].to_numpy()),
        frame().iloc[::-1],
    ]
    assert len({first, *(prepare_data(each, LABEL).sha256 for each in changed)}) == 4
    options = ReadOptions(label="y", clean_label="truth")
    measured = [
        prepare_data(frame(truth=truth), options, test=test).sha256
        for truth in ("cat", "dog")
        for test in (None, frame())
    ]
    assert len({first, *measured}) == 5
    pixels = np.random.default_rng(0).integers(0, 256, (N, 1, 4, 4)).astype(np.uint8)
    found = {
        prepare_data((each, [0, 1] * 20), ReadOptions()).sha256 for each in (pixels, pixels + 1, pixels.swapaxes(2, 3))
    }
    assert len(found) == 3


def test_data_already_read():
    raw = read_data(frame(), LABEL)
    prepared = prepare_records(raw, raw, options=LABEL, source="somewhere")
    assert prepared.source == "somewhere"
    assert prepared.records is raw
    assert torch.equal(prepared.test.inputs, prepared.examples.inputs)


def test_names_of_data():
    assert data_name("a/b.csv") == "a/b.csv"
    assert data_name(frame()) == "a data frame"
    assert data_name((np.eye(2), None)) == "arrays"
    assert data_name("caf\udce9.csv") == "caf\\xe9.csv"


# Rows kept apart


def held(holdout, seed=3, **settings):
    raw = read_data(frame(key=[f"row {row}" for row in range(N)]), IDS)
    return prepare_records(raw, None, options=IDS, source="s", holdout=holdout, seed=seed, **settings)


IDS = ReadOptions(label="y", id="key")


@pytest.mark.parametrize(("holdout", "count"), [(0.1, 4), (0.25, 10), (0.5, 20), (0.49, 20), (0.01, 0)])
def test_a_share_is_held_out_and_no_row_is_on_both_sides(holdout, count):
    prepared, whole = held(holdout), held(0.0)
    assert len(prepared.examples) == N - count
    assert len(prepared.validation or []) == count
    kept = prepared.records.rows
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert torch.equal(prepared.examples.inputs, whole.examples.inputs[kept])
    assert torch.equal(prepared.examples.labels, whole.examples.labels[kept])
    assert prepared.records.ids == [f"row {row}" for row in kept]
    assert prepared.preprocessing.coding == whole.preprocessing.coding
    if count:
        others = np.setdiff1d(np.arange(N), kept)
        assert torch.equal(prepared.validation.inputs, whole.examples.inputs[others])
        assert torch.equal(prepared.validation.labels, whole.examples.labels[others])


def test_held_out_labels_are_as_noisy_and_the_noise_is_that_of_the_whole():
    whole = held(0.0, noise=("symmetric", 0.3))
    prepared = held(0.25, noise=("symmetric", 0.3))
    kept = prepared.records.rows
    others = np.setdiff1d(np.arange(N), kept)
    assert prepared.examples.labels.tolist() == whole.examples.labels[kept].tolist()
    assert prepared.validation.labels.tolist() == whole.examples.labels[others].tolist()
    assert prepared.clean_labels.tolist() == whole.clean_labels[kept].tolist()
    assert (prepared.validation.labels.numpy() != whole.clean_labels[others]).any()


def test_the_split_follows_the_seed_and_is_not_drawn_with_the_noise():
    rows = [held(0.25, seed=seed).records.rows.tolist() for seed in (3, 3, 4)]
    assert rows[0] == rows[1] != rows[2]
    assert held(0.25, noise=("symmetric", 0.3)).records.rows.tolist() == rows[0]
    noisy = held(0.0, noise=("symmetric", 0.25))
    wrong = (noisy.examples.labels.numpy() != noisy.clean_labels).nonzero()[0]
    assert sorted(set(range(N)) - set(rows[0])) != wrong.tolist()


@pytest.mark.parametrize("holdout", [-0.1, 1.0, 1.5, float("nan")])
def test_shares_that_there_are_not(holdout):
    with pytest.raises(ArgumentError, match=r"holdout is .*: expected a share in \[0, 1\) of the training rows"):
        held(holdout)


def test_another_split_is_another_task():
    assert len({held(share, seed).sha256 for share in (0.0, 0.1, 0.25) for seed in (3, 4)}) == 5  # 0.0 twice


def test_the_probe_is_the_test_data_and_then_what_was_held_out():
    raw = read_data(frame(), LABEL)
    test = raw.head(7)

    def probe(test, holdout):
        prepared = prepare_records(raw, test, options=LABEL, source="s", holdout=holdout)
        return prepared, prepared.probe

    assert probe(None, 0.0)[1] is None
    prepared, alone = probe(test, 0.0)
    assert torch.equal(alone.inputs, prepared.test.inputs)
    prepared, held_out = probe(None, 0.25)
    assert torch.equal(held_out.inputs, prepared.validation.inputs)
    prepared, both = probe(test, 0.25)
    assert torch.equal(both.inputs, torch.cat([prepared.test.inputs, prepared.validation.inputs]))
    assert all(each.labels is None for each in (alone, held_out, both)), "labels must not be where training goes on"


def test_the_probe_of_texts_is_sparse_as_they_are():
    texts = ["a red mug", "a blue mug", "a red hat", "a blue hat"] * 5
    data, options = pd.DataFrame({"title": texts, "y": ["cat", "dog"] * 10}), ReadOptions(label="y", text="title")
    raw = read_data(data, options)
    prepared = prepare_records(raw, raw.head(7), options=options, source="s", holdout=0.25)
    parts = [part.fetch(torch.arange(len(part))) for part in (prepared.test, prepared.validation, prepared.probe)]
    assert torch.equal(parts[2], torch.cat(parts[:2]))
    assert not isinstance(prepared.probe.inputs, torch.Tensor)
    assert len({prepared.sha256, prepare_records(raw, None, options=options, source="s").sha256}) == 2


def test_reading_holds_nothing_out():
    assert prepare_data(frame(), LABEL).validation is None


def test_a_share_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ArgumentError, match="holdout"):
        held(0.99)
