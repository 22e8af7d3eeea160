"""Tables in memory and in files: what they share."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from elr.data.formats.catalog import FORMATS
from elr.data.formats.table import DataFrames, TableFile, from_frame
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import DataError

FRAME = pd.DataFrame({"x": [1, 2, 3, 4], "t": ["a b", "c d", "e f", "g h"], "y": ["cat", "dog"] * 2})
TABLES = {name: form for name, form in FORMATS.items() if isinstance(form, TableFile) and form.suffixes}


@pytest.fixture(params=TABLES)
def stored(request, tmp_path):
    form = TABLES[request.param]
    path = tmp_path / f"t{form.suffixes[0]}"
    if request.param == "json_lines":
        FRAME.to_json(path, orient="records", lines=True)
    elif request.param == "feather":
        FRAME.to_feather(path)
    elif request.param == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep=form.separator)
    return form, path


def test_every_table_gives_the_same_records(stored):
    form, path = stored
    for options in (ReadOptions(label="y", ignore=("t",)), ReadOptions(label="y", text="t")):
        found = form.read(path, options, training=True)
        expected = DataFrames().read(FRAME, options, training=True)
        assert (found.kind, found.labels) == (expected.kind, expected.labels)
        assert found.table.astype(str).equals(expected.table.astype(str))
    assert form.cells(path, ReadOptions(label="y"), [2])["t"].tolist() == ["e f"]
    with pytest.raises(DataError, match="has 4 rows, the run had more than 9"):
        form.cells(path, ReadOptions(label="y"), [9])


def test_every_table_writes_a_corrected_copy(stored):
    form, path = stored
    copy = path.with_name(f"copy{path.suffix}")
    before = path.read_bytes()
    form.write_corrected(path, copy, ReadOptions(label="y"), {0: 1, 3: 2})
    assert path.read_bytes() == before
    assert form.labels(path, ReadOptions(label="y")) == ["cat", "dog", "cat", "dog"]
    assert form.labels(copy, ReadOptions(label="y")) == ["dog", "dog", "cat", "cat"]
    assert form.frame(copy)["t"].tolist() == FRAME["t"].tolist()
    with pytest.raises(DataError, match="has no label column 'z'"):
        form.labels(path, ReadOptions(label="z"))


def test_new_data_need_no_labels():
    assert from_frame(FRAME[["x"]], ReadOptions(label="y"), name="it", training=False).labels is None


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars", "masked"])
def test_missing_values_of_every_frame_are_missing(kind):
    made = {
        "pandas": lambda: pd.DataFrame({"x": pd.array([1, None, 3, 4], dtype="Int64"), "y": list("abab")}),
        "arrow": lambda: pa.table({"x": [1, None, 3, 4], "y": list("abab")}),
        "polars": lambda: pytest.importorskip("polars").DataFrame({"x": [1, None, 3, 4], "y": list("abab")}),
        "masked": lambda: pd.DataFrame({"x": np.ma.masked_array([1.0, 2, 3, 4], [0, 1, 0, 0]), "y": list("abab")}),
    }
    records = read_data(made[kind](), ReadOptions(label="y"))
    assert records.table["x"].isna().tolist() == [False, True, False, False]
    assert records.labels == list("abab")


@pytest.mark.parametrize("role", ["label", "id"])
def test_half_characters_in_labels_and_names_are_refused(role):
    frame = pd.DataFrame({"x": [1, 2], "z": ["a", "a"], "t": pd.Series(["a", "b\ud800"], dtype=object)})
    options = ReadOptions(**({"label": "t"} if role == "label" else {"label": "z", "id": "t"}))
    with pytest.raises(DataError, match=r"column 't' of the data frame has half a character .* in row 1"):
        read_data(frame, options)


def test_columns_in_another_order_of_bytes():
    frame = pd.DataFrame({"x": np.array([1.5, 2.5, 3.5, 4.5], dtype=">f8"), "y": np.array([1, 0, 1, 0], dtype=">i4")})
    found = from_frame(frame, ReadOptions(label="y"), name="it", training=True)
    assert found.labels == [1, 0, 1, 0]
    assert found.table["x"].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert frame.dtypes["x"] == ">f8"
