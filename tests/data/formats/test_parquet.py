"""Parquet: tables, images in the layout of the hub, and damaged files."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from elr.data.reading import read_data, read_table
from elr.data.records import ReadOptions
from elr.errors import DataError


def test_parquet_with_two_columns_of_one_name_or_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match=r"t\.parquet has 2 columns named 'a': rename all but one"):
        read_table(path)
    pq.write_table(pa.table({"a": list(range(5000))}), path)
    content = bytearray(path.read_bytes())
    content[10:600] = bytes(590)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_table(path)


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    pq.write_table(pa.table({"x": [1], "y": ["cat"]}), tmp_path / "t.parquet")

    def refuse(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(MemoryError):
        read_table(tmp_path / "t.parquet")


def test_categories_of_numbers_stay_categories(tmp_path):
    """Parquet itself has only categories of text; what pandas wrote beside them says so."""
    frame = pd.DataFrame(
        {"group": pd.Categorical([3, 1, None, 3]), "x": [1, 2, 3, 4], "y": pd.Categorical([7, 8, 7, 8])}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert [str(kind) for kind in read.dtypes] == ["category", "int64", "category"]
    assert read["group"].tolist()[:2] == [3, 1]
    table = pq.read_table(tmp_path / "t.parquet")  # a column set anew: what pandas wrote of it is no longer so
    pq.write_table(table.set_column(0, "group", pa.array([0.5, 1.5, 2.5, 3.5])), tmp_path / "new.parquet")
    assert str(read_table(tmp_path / "new.parquet")["group"].dtype) == "float64"
    for data in (tmp_path / "t.parquet", frame):
        assert read_data(data, ReadOptions(label="y")).labels == [7, 8, 7, 8]


def test_names_of_files_need_not_be_utf_8(tmp_path):
    path = tmp_path / b"caf\xe9.parquet".decode("utf-8", "surrogateescape")
    with path.open("wb") as file:
        pq.write_table(pa.table({"x": [1], "y": ["cat"]}), file)
    assert read_table(path).to_dict("list") == {"x": [1], "y": ["cat"]}
