"""CSV and TSV files as people have them, and files that are not what their name says."""

import pandas as pd
import pytest

from elr.data.reading import read_table
from elr.errors import DataError


def written(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


@pytest.mark.parametrize(
    "text", ["x,y\n1,a\n2,b\n", "\ufeffx,y\n1,a\n2,b\n", "x,y\r\n1,a\r\n2,b\r\n", "x,y\n\n1,a\n\n2,b"]
)
def test_csv_with_mark_of_order_returns_and_blank_lines(tmp_path, text):
    frame = written(tmp_path / "t.CSV", text)
    assert list(frame.columns) == ["x", "y"]
    assert frame["x"].tolist() == [1, 2]
    assert frame["y"].tolist() == ["a", "b"]


def test_tsv_and_parquet(tmp_path):
    frame = pd.DataFrame({"a b": [1, 2], "y": ["u", "v"]})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), frame)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)


def test_as_text_columns_keep_every_word_but_the_empty_one(tmp_path):
    text = "y,x\nNone,None\nNA,NA\n01,01\n1.0,1.0\nTrue,True\n,\n"
    frame = written(tmp_path / "t.csv", text, as_text=["y", "absent"])
    assert frame["y"].tolist()[:5] == ["None", "NA", "01", "1.0", "True"]
    assert frame["y"].isna().tolist() == [False] * 5 + [True]
    assert frame["x"].isna().tolist() == [True, True, False, False, False, True]


def test_as_written_leaves_cells_as_they_stand(tmp_path):
    text = "y,code,n\na,007,1.50\nb,12,NA\nc,,2\n"
    frame = written(tmp_path / "t.csv", text, as_text=["y"], as_written=True)
    assert frame["code"].tolist()[:2] == ["007", "12"]
    assert frame["n"].tolist()[::2] == ["1.50", "2"]
    assert frame.isna().sum().tolist() == [0, 1, 1]


def test_columns_of_one_name_are_told_apart_unless_they_are_special(tmp_path):
    assert list(written(tmp_path / "t.csv", "x,x,y\n1,2,a\n").columns) == ["x", "x.1", "y"]
    with pytest.raises(DataError, match="2 columns named 'y': rename all but one"):
        written(tmp_path / "t.csv", "y,x,y\na,1,b\n", as_text=["y"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", b"", r"t\.csv is empty: expected a line of column names"),
        ("t.csv", b"\xef\xbb\xbf", "is empty"),
        ("t.csv", "\n\n", "is empty"),
        ("t.csv", "x;y\n1;a\n", r"one column only, 'x;y': they are separated by ';', expected ','.*sep=';'"),
        ("t.csv", "x\ty\n1\ta\n", r"separated by '\\t', expected ','"),
        ("t.tsv", "x,y\n1,a\n", r"separated by ',', expected '\\t'"),
        ("t.csv", "x,y\n9,1,a\n8,2,b\n", r"more cells than its first line has column names \(2\): name every column"),
        ("t.csv", "x,y\n1,a\n1,a,b\n", r"cannot be read as csv: .*line 3, saw 3; mend or replace"),
        ("t.csv", 'x,y\n1,"a\n', "cannot be read as csv: .*EOF inside string"),
        ("t.csv", "x,y\n1,é\n".encode("latin-1"), r"is not UTF-8 text .*: save it as UTF-8, or .*encoding="),
        ("t.csv", "x,y\n1,é\n".encode("utf-16"), "is not UTF-8 text"),
        ("t.parquet", b"x,y\n1,a\n", r"t\.parquet cannot be read as parquet"),
        ("t.parquet", b"", "cannot be read as parquet"),
        ("t.xlsx", b"PK", r"ends in '\.xlsx': expected a table in \.csv, \.tsv, \.parquet"),
        ("table", b"x,y", "ends in ''"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        written(tmp_path / name, text)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*absent\.csv"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "folder.csv")
