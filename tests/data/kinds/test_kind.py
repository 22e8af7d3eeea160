"""What every kind of rows does unless it says otherwise, and what kinds of tables share."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from elr.data.formats.catalog import FORMATS
from elr.data.kinds.kind import Kind, column_cells, numbers, table_rows
from elr.data.label_coding import LabelCoding
from elr.data.records import ReadOptions, Records
from elr.errors import DataError

CODING = LabelCoding(class_names=("cat", "dog"))


def way(name, *, suits):
    """A stand-in for a class of preprocessing; it says what it was called with."""
    return SimpleNamespace(
        suits=lambda records, options: suits in (records, options),
        fit=lambda records, options, *, coding: (name, "fitted", records, coding),
        wrote=lambda settings: settings == name,
        load=lambda folder, settings, *, coding: (name, "loaded", folder, coding),
    )


class Sounds(Kind):
    preprocessings = (way("waves", suits="loud"), way("notes", suits="sheet"), way("words", suits="sheet"))

    def contents(self, form, source, options, rows, ids):
        return numbers(rows)


def test_the_first_way_that_suits_is_fitted_and_the_one_that_wrote_is_loaded():
    kind = Sounds()
    assert kind.fit("loud", None, coding=CODING) == ("waves", "fitted", "loud", CODING)
    assert kind.fit("soft", "sheet", coding=CODING) == ("notes", "fitted", "soft", CODING)
    assert kind.load("run", "words", coding=CODING) == ("words", "loaded", "run", CODING)


def test_a_kind_has_no_pictures_and_no_cells_unless_it_says_so():
    records = Records(kind="sounds", rows=np.arange(2), table=pd.DataFrame({"x": [1, 2]}))
    assert Sounds().picture(records, 1) is None
    assert Sounds().cells(records, np.array([1]), ["x"]) == {}
    assert (Sounds.named_classes, Sounds.shows_rows, Sounds.label_hint) == (False, True, "")


def test_a_kind_must_say_how_people_are_shown_its_rows():
    with pytest.raises(TypeError, match="contents"):
        type("Silent", (Kind,), {"preprocessings": ()})()


def test_rows_that_cannot_be_shown_are_numbered_as_in_the_source():
    assert numbers([7, 0]) == ("Text", [{"text": "row 7"}, {"text": "row 0"}])
    assert numbers([]) == ("Text", [])


@pytest.mark.parametrize(("name", "form"), [("t.csv", "csv"), ("t.tsv", "tsv"), ("t.parquet", "parquet")])
def test_rows_of_a_table_come_in_the_order_asked_for(tmp_path, name, form):
    frame, path = pd.DataFrame({"x": [10, 20, 30, 40], "y": list("abab")}), tmp_path / name
    write = {"csv": frame.to_csv, "tsv": lambda path, **how: frame.to_csv(path, sep="\t", **how)}
    write.get(form, frame.to_parquet)(path, index=False)
    rows = table_rows(FORMATS[form], path, ReadOptions(label="y"), [3, 1])
    assert [int(x) for x in rows["x"]] == [40, 20]
    assert rows["y"].tolist() == ["b", "b"]
    with pytest.raises(DataError, match="has 4 rows, the run had more than 4: it is not the data of this run"):
        table_rows(FORMATS[form], path, ReadOptions(label="y"), [0, 4])


def test_arrays_are_no_table(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.eye(2))
    with pytest.raises(DataError, match=r"t\.npz is no table: name the data of the run with --data"):
        table_rows(FORMATS["npz"], tmp_path / "t.npz", ReadOptions(label="y"), [0])


def test_cells_that_are_missing_are_none():
    table = pd.DataFrame({"x": [1.5, np.nan, 3.0], "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]), "z": 0})
    records = Records(kind="table", rows=np.array([5, 6, 9]), table=table)
    found = column_cells(records, np.array([2, 1]), ["when", "x"])
    assert list(found) == ["when", "x"]
    assert found == {"when": [pd.Timestamp("2024-01-03"), None], "x": [3.0, None]}
    assert column_cells(Records(kind="features", rows=np.arange(3)), np.array([0]), []) == {}
