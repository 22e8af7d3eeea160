"""Tables as people have them: text, numbers, dates, gaps, codes, and files that are not what their name says."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from elr.data.reading import read_table
from elr.data.tables import CATEGORICAL, DATE, MISSING, NUMERIC, column_kinds, plain_columns, table_preprocessing
from elr.errors import DataError

N = 20


def kinds_of(column, **options):
    """Kind and remarks of one column beside a numeric one."""
    frame = pd.DataFrame({"x": column, "other": np.arange(len(column))})
    kinds, remarks = column_kinds(frame, **options)
    return kinds.get("x"), remarks


def plain(column, kind):
    return plain_columns(pd.DataFrame({"x": column}), {"x": kind}, name="new.csv")["x"].tolist()


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
