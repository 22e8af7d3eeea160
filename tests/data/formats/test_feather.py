"""Feather and Arrow files, whole and as streams."""

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc

from elr.data.formats.feather import Feather, read_arrow
from elr.data.records import ReadOptions
from elr.errors import DataError

TABLE = pa.table(
    {"x": pa.array([1, None, 3], pa.int8()), "y": pa.array(["cat", "dog", "cat"]).dictionary_encode()},
    metadata={"made": "by hand"},
)


def write(path, writer=ipc.new_file, table=TABLE):
    with writer(path, table.schema) as out:
        out.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize(("suffix", "writer"), [("feather", ipc.new_file), ("arrow", ipc.new_stream)])
def test_types_and_metadata_stay_in_a_corrected_copy(tmp_path, suffix, writer):
    old, new = write(tmp_path / f"t.{suffix}", writer), tmp_path / f"new.{suffix}"
    assert Feather().frame(old)["y"].tolist() == ["cat", "dog", "cat"]
    Feather().write_corrected(old, new, ReadOptions(label="y"), {0: 1})
    found = read_arrow(new)
    assert found.schema.equals(TABLE.schema, check_metadata=True)
    assert found.column("y").to_pylist() == ["dog", "dog", "cat"]
    assert found.column("x").equals(TABLE.column("x"))
    assert new.read_bytes()[:6] == old.read_bytes()[:6]


def test_an_index_with_a_name_is_a_column(tmp_path):
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
    path = write(tmp_path / "t.arrow", table=pa.Table.from_pandas(frame))
    assert list(Feather().frame(path).columns) == ["key", "x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"FEA1....", "Feather of version 1"),
        (b"x,y\n", "cannot be read as feather"),
        (b"", "cannot be read as feather"),
    ],
)
def test_what_is_no_such_file(tmp_path, content, message):
    (tmp_path / "t.feather").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Feather().frame(tmp_path / "t.feather")


def test_names_of_files_need_not_be_utf_8(tmp_path):
    path = tmp_path / b"caf\xe9.arrow".decode("utf-8", "surrogateescape")
    with path.open("wb") as file, ipc.new_file(file, pa.schema([("x", pa.int64())])) as out:
        out.write_table(pa.table({"x": [1, 2]}))
    assert read_arrow(path).num_rows == 2
