import numpy as np
import pandas as pd
import pytest

from elr.errors import ArgumentError, DataError
from elr.runs.bench.sources.planting import Noise
from elr.runs.bench.sources.source import source_of
from tiny_cifar import labels_of, write_human, write_parquet

WRONG = {
    "labl": ({"path": "x.csv", "labl": "kind"}, "no setting 'labl': did you mean label"),
    "both": ({"path": "x.csv", "test": "y.csv", "test_share": 0.3}, "test and test_share"),
    "rows": ({"path": "x.csv", "num_examples": 1}, "num_examples of data 'mine' is 1"),
    "set": ({"set": "cifar11"}, "did you mean cifar10"),
    "none": ({}, "data 'mine' are unknown"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tables_are_refused(case):
    table, words = WRONG[case]
    with pytest.raises(ArgumentError, match=words):
        source_of("mine", table)


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame(
        {"x": np.arange(40.0), "code": [1, 0] * 20, "given": ["a", "b"] * 20, "truth": ["a", "b", "a", "a"] * 10}
    )
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[:10].drop(columns="given").to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


def test_a_table_with_clean_labels_keeps_its_own_noise(table):
    settings = {"path": "train.csv", "label": "given", "clean_label": "truth", "test": "test.csv"}
    source = source_of("mine", {**settings, "test_label": "truth"}, root=table)
    source.check()
    loaded = source.load(seed=0)
    prepared = loaded.prepared(Noise("none"), seed=0)
    assert len(prepared.examples) == 40
    assert (prepared.examples.labels.numpy() != prepared.clean_labels).mean() == 0.25
    assert prepared.test.labels.tolist() == [0, 1, 0, 0] * 2 + [0, 1]
    with pytest.raises(ArgumentError, match="no noise is planted in them; its noise is 'none'"):
        loaded.prepared(Noise("symmetric", 0.2), seed=0)


def test_rows_that_are_tested_on_have_their_clean_labels(table):
    source = source_of("mine", {"path": "train.csv", "label": "given", "clean_label": "truth"}, root=table)
    prepared = source.load(seed=0).prepared(Noise("none"), seed=0)
    assert (len(prepared.examples), len(prepared.test)) == (28, 12)
    assert prepared.test.labels.numpy().mean() == pytest.approx(0.25)


def test_numbers_have_an_order_and_names_only_the_one_that_is_given(table):
    def order(**more):
        return source_of("mine", {"path": "train.csv", **more}, root=table).load(seed=0).order

    assert order(label="code") == (0, 1)
    assert order(label="given") is None
    assert order(label="given", class_order="alphabetical") == ("a", "b")
    assert order(label="given", class_order=["b", "a"]) == ("b", "a")
    with pytest.raises(ArgumentError, match="class_order of data 'mine' is 'up'"):
        order(label="given", class_order="up")


@pytest.mark.parametrize("share", [0, 1.0, 1.5, "a"])
def test_shares_out_of_range_are_refused(table, share):
    source = source_of("mine", {"path": "train.csv", "label": "given", "test_share": share}, root=table)
    with pytest.raises(ArgumentError, match="test_share of data 'mine'"):
        source.load(seed=0)


def test_missing_files_are_told(table):
    with pytest.raises(DataError, match=r"no such file or folder: .*gone\.csv"):
        source_of("mine", {"path": "gone.csv"}, root=table).check()
    with pytest.raises(DataError, match="test data of 'mine'"):
        source_of("mine", {"path": "train.csv", "test": "gone.csv"}, root=table).check()
    with pytest.raises(ArgumentError, match="pass --data cifar10=PATH"):
        source_of("photos", {"set": "cifar10"}).check()


def test_a_place_may_be_given_by_the_name_of_the_data_or_of_the_set(tmp_path):
    settings = {"set": "cifar10", "path": "elsewhere"}
    assert source_of("photos", settings, root=tmp_path).place == tmp_path / "elsewhere"
    assert source_of("photos", settings, places={"cifar10": tmp_path}).place == tmp_path
    assert source_of("photos", settings, places={"cifar10": tmp_path / "a", "photos": tmp_path}).place == tmp_path


def test_a_published_set_with_labels_of_humans(tmp_path):
    folder = write_parquet(tmp_path / "cifar10")
    human = [(label + (row % 5 == 0)) % 10 for row, label in enumerate(labels_of(60))]
    write_human(folder / "CIFAR-10_human.pt", human)
    loaded = source_of("cifar10", {"num_examples": 30}, places={"cifar10": folder}).load(seed=0)
    prepared = loaded.prepared(Noise("human", "random_label1"), seed=0)
    assert prepared.examples.labels.tolist() == human[:30]
    assert prepared.clean_labels.tolist() == labels_of(60)[:30]
    assert loaded.prepared(Noise("none"), seed=0).clean_labels.tolist() == labels_of(60)[:30]
    with pytest.raises(DataError, match="has no label set 'worse_label'"):
        loaded.check(Noise("human", "worse_label"))
    with pytest.raises(ArgumentError, match="expected one of aggre_label"):
        loaded.check(Noise("human", "worst"))
    with pytest.raises(ArgumentError, match="classes of cifar100, and cifar10 is another set"):
        loaded.check(Noise("asymmetric-cifar100-authors", 0.2))
    loaded.check(Noise("asymmetric-cifar10", 0.4))
