"""Tables as people have them: text, numbers, dates, gaps, codes, and files that are not what their name says."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from elr.data.labels import label_values
from elr.data.reading import read_table
from elr.data.tables import CATEGORICAL, DATE, MISSING, NUMERIC, column_kinds, plain_columns, table_preprocessing
from elr.errors import DataError

N = 20


def written(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


def kinds_of(column, **options):
    """Kind and remarks of one column beside a numeric one."""
    frame = pd.DataFrame({"x": column, "other": np.arange(len(column))})
    kinds, remarks = column_kinds(frame, **options)
    return kinds.get("x"), remarks


def plain(column, kind):
    return plain_columns(pd.DataFrame({"x": column}), {"x": kind}, name="new.csv")["x"].tolist()


# Files


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


def test_parquet_with_two_columns_of_one_name_or_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match=r"cannot be read as parquet: .*mend or replace the file"):
        read_table(path)
    pq.write_table(pa.table({"a": list(range(5000))}), path)
    content = bytearray(path.read_bytes())
    content[10:600] = bytes(590)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_table(path)


# Labels


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([0, 1], [0, 1]),
        (["3", "-2"], [3, -2]),
        (["1.0", "2"], [1, 2]),
        ([1.0, 2.0], [1, 2]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        (["01", "1"], ["01", "1"]),
        (["1.5", "2"], ["1.5", "2"]),
        (["None", "NA"], ["None", "NA"]),
        (["nan", "inf"], ["nan", "inf"]),
        ([True, False], ["True", "False"]),
        (["True", "1"], ["True", "1"]),
        ([" a", "a "], [" a", "a "]),
        (["\u0661", "\u0662"], ["\u0661", "\u0662"]),
        (["1e3", "2"], ["1e3", "2"]),
        ([b"cat", b"\xff"], ["cat", "\\xff"]),
        ([9007199254740993, 1], [9007199254740993, 1]),
        (["9007199254740993.0", "1"], [9007199254740993, 1]),
        (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
        (pd.Categorical(["b", "a"], categories=["a", "b", "c"]), ["b", "a"]),
        (pd.array([1, 2], dtype="Int64"), [1, 2]),
        (pd.array([True, False], dtype="boolean"), ["True", "False"]),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], ["2024-01-01", "2024-01-02"]),
    ],
)
def test_labels_are_whole_numbers_or_text(column, expected):
    found = label_values(pd.Series(column), name="y")
    assert found == expected
    assert [type(label) for label in found] == [type(label) for label in expected]


@pytest.mark.parametrize(
    "column",
    [
        ["a", "b", None, "c", None],
        ["a", "b", "  ", "c", ""],
        [1, 2, np.nan, 3, np.nan],
        pd.array([1, 2, None, 3, None], dtype="Int64"),
        [pd.Timestamp(0), pd.Timestamp(1), pd.NaT, pd.Timestamp(2), pd.NaT],
    ],
)
def test_missing_labels_are_said_where(column):
    with pytest.raises(DataError, match="label 'y' is missing in 2 of 5 rows, first in row 2: remove these rows, or"):
        label_values(pd.Series(column), name="label 'y'")


def test_labels_must_be_single_values():
    for cell in ([1, 2], {"a": 1}, (1, 2), np.arange(2)):
        with pytest.raises(DataError, match="y holds lists or records: expected one class in each row"):
            label_values(pd.Series([cell, cell]), name="y")


# What to learn from


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (np.arange(N) / 3, NUMERIC),
        (pd.array([1, 2, None, 4] * 5, dtype="Int64"), NUMERIC),
        (pd.Series([1, 2, None, 4] * 5, dtype=object), NUMERIC),
        (pd.Series([decimal.Decimal("1.5"), None] * 10, dtype=object), NUMERIC),
        (pd.arrays.SparseArray(np.arange(N)), NUMERIC),
        (pd.to_timedelta(np.arange(N), unit="h"), NUMERIC),
        (pd.Series(range(N), dtype="int64[pyarrow]"), NUMERIC),
        (pd.date_range("2024-01-01", periods=N), DATE),
        (pd.date_range("2024-01-01", periods=N, tz="Asia/Tokyo"), DATE),
        ([datetime.date(2024, 1, day + 1) for day in range(N)], DATE),
        (["2024-01-01", "2024-01-02T10:00:00Z", None, "2024-02-29 10:00"] * 5, DATE),
        (["2024-01-01", "2024-02-30"] * 10, CATEGORICAL),
        ([True, False] * 10, CATEGORICAL),
        (pd.array([True, False, None, True] * 5, dtype="boolean"), CATEGORICAL),
        ([True, None] * 10, CATEGORICAL),
        (["a", "b"] * 10, CATEGORICAL),
        (["a", None] * 10, CATEGORICAL),
        (["1", "2"] * 10, CATEGORICAL),
        (pd.Categorical([1, 2] * 10), CATEGORICAL),
        (pd.cut(np.arange(N), 3), CATEGORICAL),
        ([1, "a"] * 10, CATEGORICAL),
    ],
)
def test_kinds(column, kind):
    assert kinds_of(column) == (kind, [])


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e4", None], NUMERIC),
        (["1", "inf", "2", "3"], NUMERIC),
        (["007", "12", "13", None], CATEGORICAL),
        (["0", "0.5", "1", None], NUMERIC),
        (["A1", "12", "13", None], CATEGORICAL),
        (["True", "False", None, "True"], CATEGORICAL),
        (["2024-01-01", "2024-01-02", None, "2024-01-03"], DATE),
        (["1_000", "2_000", "3", None], CATEGORICAL),
    ],
)
def test_kinds_of_cells_as_written(cells, kind):
    assert kinds_of(cells * 5, as_written=True) == (kind, [])


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([None] * N, "it is empty"),
        ([5] * N, "it says the same in every row"),
        ([[1, 2]] * N, "it holds lists, records or bytes"),
        ([{"a": 1}, None] * 10, "it holds lists, records or bytes"),
        ([1, [1]] * 10, "it holds lists, records or bytes"),
        ([b"a", b"b"] * 10, "it holds lists, records or bytes"),
        (np.arange(N) * 1j, "it holds complex numbers"),
    ],
)
def test_columns_that_say_nothing_are_left_out(column, reason):
    kind, remarks = kinds_of(pd.Series(column))
    assert kind is None
    assert len(remarks) == 1
    assert remarks[0].startswith(f"column 'x' left out: {reason}")


def test_free_text_is_left_out_and_few_words_are_not():
    assert kinds_of([f"question {row}" for row in range(51)]) == (
        None,
        ["column 'x' left out: text with 51 different values in 51 rows (--text learns from free text)"],
    )
    assert kinds_of([f"town {row % 60}" for row in range(120)])[0] == CATEGORICAL


def test_numbers_with_a_stray_word_are_remarked_on():
    cells = [str(row) for row in range(40)]
    cells[7] = "n.a."
    kind, remarks = kinds_of(cells, as_written=True)
    assert kind == CATEGORICAL
    assert remarks == ["column 'x' taken as text: it holds numbers, but 'n.a.' in row 7; leave such cells empty"]
    cells += [str(row) for row in range(100, 200)]
    kind, remarks = kinds_of(cells, as_written=True)
    assert kind is None
    assert "left out: text with 140 different values in 140 rows; it holds numbers, but 'n.a.' in row 7" in remarks[0]


def test_row_numbers_without_a_name_are_left_out(tmp_path):
    frame = pd.DataFrame({"x": [3, 1, 2]}, index=range(1, 4))
    frame.to_csv(tmp_path / "t.csv")
    kinds, remarks = column_kinds(read_table(tmp_path / "t.csv", as_written=True), as_written=True)
    assert kinds == {"x": NUMERIC}
    assert remarks == ["column 'Unnamed: 0' left out: it numbers the rows"]


def test_nothing_left_to_learn_from():
    frame = pd.DataFrame({"text": [f"question {row}" for row in range(60)], "same": 1})
    with pytest.raises(DataError, match=r"no column is left .*'text' left out.*'same' left out.*embeddings"):
        column_kinds(frame)
    with pytest.raises(DataError, match="the table has no other column"):
        column_kinds(frame[[]])


def test_names_need_not_be_text_but_must_differ():
    frame = pd.DataFrame({0: [1, 2], None: [3, 4], ("a", 1): [5, 6], "row": [7, 8], "id": [9, 1]})
    kinds, _ = column_kinds(frame)
    assert list(kinds) == [str(name) for name in frame.columns]
    assert list(plain_columns(frame, kinds, name="it").columns) == list(kinds)
    frame["0"] = 1
    with pytest.raises(DataError, match="2 columns named '0': rename all but one"):
        column_kinds(frame)
    with pytest.raises(DataError, match="new has 2 columns named '0'"):
        plain_columns(frame, kinds, name="new")


# Plain columns


def test_numbers_from_all_their_spellings():
    expected = [1.0, 2.5, pytest.approx(np.nan, nan_ok=True)]
    for column in (
        [1, 2.5, None],
        ["1", " 2.5", None],
        pd.array([1, 2.5, None], dtype="Float64"),
        pd.Series([decimal.Decimal(1), decimal.Decimal("2.5"), None], dtype=object),
        pd.Categorical([1, 2.5, None]),
        pd.to_timedelta([1, 2.5, None], unit="s"),
        pd.Series([1, 2.5, None], dtype="double[pyarrow]"),
    ):
        assert plain(column, NUMERIC) == expected
    assert plain([True, False], NUMERIC) == [1, 0]
    assert np.isnan(plain([None, None], NUMERIC)).all()


def test_dates_from_all_their_spellings():
    moment = [pd.Timestamp("2024-03-01 12:00"), pd.NaT]
    expected = [19783.5, pytest.approx(np.nan, nan_ok=True)]
    for column in (
        moment,
        pd.Series(moment).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        ["2024-03-01T12:00:00", None],
        ["2024-03-01 14:00+02:00", None],
        pd.Categorical(["2024-03-01T12:00Z", None]),
        pd.Series(moment, dtype="timestamp[us][pyarrow]"),
        [datetime.datetime(2024, 3, 1, 12), None],
    ):
        assert plain(column, DATE) == expected
    assert plain([datetime.date(1970, 1, 2)], DATE) == [1]
    assert plain(pd.Series([datetime.date(1970, 1, 2)], dtype="date32[pyarrow]"), DATE) == [1]
    assert plain(["0001-01-01", "9999-12-31"], DATE) == [-719162, 2932896]


def test_categories_from_all_their_spellings():
    assert plain(["a", None, "", " ", "b"], CATEGORICAL) == ["a", MISSING, MISSING, MISSING, "b"]
    for column in ([12, 7, None], [12.0, 7.0, None], ["12", "7.0", None], pd.Categorical([12, 7, None])):
        assert plain(column, CATEGORICAL) == ["12", "7", MISSING]
    for column in ([True, False], ["true", "FALSE"], pd.array([True, False], dtype="boolean"), np.array([True, False])):
        assert plain(column, CATEGORICAL) == ["True", "False"]
    assert plain(["007", "1.50", "-3.0"], CATEGORICAL) == ["007", "1.50", "-3"]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ([1, 2, "three"], NUMERIC, r"column 'x' of new\.csv has 'three' in row 2: expected a number, as in training"),
        (["1", "True", "2"], NUMERIC, "has 'True' in row 1: expected a number"),
        ([1.0, np.inf, 2], NUMERIC, "is infinite in row 1: replace it by a number or leave the cell empty"),
        (["1", "2", "-inf"], NUMERIC, "is infinite in row 2"),
        (["1", "1e400", "2"], NUMERIC, "is infinite in row 1"),
        ([1, 1e300, 2], NUMERIC, r"is 1e\+300, beyond float32, in row 1"),
        (pd.date_range("2024-01-01", periods=3), NUMERIC, r"holds datetime64.*: expected numbers, as in training"),
        ([1j, 2, 3], NUMERIC, "holds complex128: expected numbers"),
        ([[1], [2], [3]], NUMERIC, "holds lists, records or bytes: expected numbers"),
        (["2024-01-01", "yesterday", None], DATE, "has 'yesterday' in row 1: expected a date such as 2024-12-31"),
        (["2024-01-01", "2024-02-30", None], DATE, "has '2024-02-30' in row 1: expected a date"),
        ([None, 20240101], DATE, r"in row 1: expected a date"),
    ],
)
def test_cells_that_do_not_fit_are_said_where(column, kind, message):
    with pytest.raises(DataError, match=message):
        plain(column, kind)


def test_rows_are_counted_from_the_top_whatever_the_index():
    column = pd.Series([1, 2, "x"], index=[7, 7, 7])
    with pytest.raises(DataError, match="'x' in row 2"):
        plain(column, NUMERIC)
    dated = pd.Series(["2024-01-01", "x"], index=[3, 3])
    with pytest.raises(DataError, match="'x' in row 1"):
        plain(dated, DATE)
    assert plain(pd.Series(["2024-01-02", "2024-01-01"], index=[3, 3]), DATE) == [19724, 19723]


def test_lacking_columns_are_named_and_others_ignored():
    frame = pd.DataFrame({"b": [1], "c": [2]})
    with pytest.raises(DataError, match=r"new\.csv lacks 2 columns that training had: 'a', 'd'; add them"):
        plain_columns(frame, {"a": NUMERIC, "b": NUMERIC, "d": CATEGORICAL}, name="new.csv")
    assert plain_columns(frame, {"b": NUMERIC}, name="new.csv").columns.tolist() == ["b"]


# Preprocessing


def test_numbers_are_imputed_by_the_median_and_standardized():
    frame = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan]})
    kinds = {"x": NUMERIC}
    rows = table_preprocessing(kinds).fit_transform(plain_columns(frame, kinds, name="it"))
    filled = np.array([1, 2, 9, 2.0])
    np.testing.assert_allclose(rows[:, 0], (filled - filled.mean()) / filled.std())
    assert rows[:3, 1].std() < 1e-12 < rows[3, 1] - rows[0, 1]


def test_what_is_missing_or_unseen_only_at_prediction_still_gives_numbers():
    kinds = {"x": NUMERIC, "d": DATE, "c": CATEGORICAL}
    train = pd.DataFrame({"x": [1, 2, 3], "d": ["2024-01-01", "2024-01-02", "2024-01-09"], "c": ["a", "b", "a"]})
    new = pd.DataFrame({"x": [None, 2], "d": ["2024-01-01", None], "c": ["never seen", "b"]})
    fitted = table_preprocessing(kinds).fit(plain_columns(train, kinds, name="it"))
    rows = fitted.transform(plain_columns(new, kinds, name="it"))
    assert rows.shape == (2, 4)
    assert np.isfinite(rows).all()
    assert rows[:, 2:].tolist() == [[0, 0], [0, 1]]


def test_at_most_a_hundred_categories_a_column():
    column = [f"c{row % 150}" for row in range(450)] + ["c0"] * 10
    kinds = {"c": CATEGORICAL}
    fitted = table_preprocessing(kinds).fit(plain_columns(pd.DataFrame({"c": column}), kinds, name="it"))
    rows = fitted.transform(plain_columns(pd.DataFrame({"c": ["c0", "unseen"]}), kinds, name="it"))
    assert rows.shape == (2, 100)
    assert rows.sum(axis=1).tolist() == [1, 1]
    assert rows[1, -1] == 1
