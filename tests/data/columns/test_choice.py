"""Tables as people have them: text, numbers, dates, gaps, codes, and files that are not what their name says."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.choice import found_column, found_columns
from elr.data.columns.new_data import plain_columns
from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC
from elr.data.columns.selection import select_columns
from elr.data.reading import read_table
from elr.errors import DataError

N = 20


def kinds_of(column, **options):
    """Kind of a column, or why it is left out, and what is said about it."""
    found = found_columns(pd.DataFrame({"x": column}), **options)["x"]
    return found.reading.kind if found.reading else found.reason, found.remarks


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
        (["1", "2"] * 10, NUMERIC),  # as in a CSV file
        (["01", "02"] * 10, CATEGORICAL),
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
        (["007", "12", "13", None], CATEGORICAL),
        (["0", "0.5", "1", None], NUMERIC),
        (["A1", "12", "13", None], CATEGORICAL),
        (["True", "False", None, "True"], CATEGORICAL),
        (["2024-01-01", "2024-01-02", None, "2024-01-03"], DATE),
        (["1_000", "2_000", "3", None], CATEGORICAL),
    ],
)
def test_kinds_of_cells_as_written(cells, kind):
    assert kinds_of(cells * 5) == (kind, [])


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
    assert kinds_of(pd.Series(column))[0].startswith(reason)


def test_free_text_is_left_out_and_few_words_are_not():
    reason = "text with 51 different values in 51 rows (--text learns from free text)"
    assert kinds_of([f"question {row}" for row in range(51)]) == (reason, [])
    assert kinds_of([f"town {row % 60}" for row in range(120)])[0] == CATEGORICAL


def test_numbers_with_a_stray_word_stay_numbers():
    cells = [str(row) for row in range(40)]
    cells[7] = "n.a."
    kind, remarks = kinds_of(cells)
    assert kind == NUMERIC
    assert remarks == ["it holds numbers; 1 cells ('n.a.', first in row 7) are taken for missing"]
    cells[9] = "many"
    assert "1 cells ('many', first in row 9) are no numbers, and taken for missing" in kinds_of(cells)[1][1]
    assert kinds_of(["1", "2", "many", "few"] * 5)[0] == CATEGORICAL


def test_row_numbers_without_a_name_are_left_out(tmp_path):
    frame = pd.DataFrame({"x": [3, 1, 2]}, index=range(1, 4))
    frame.to_csv(tmp_path / "t.csv")
    chosen = select_columns(read_table(tmp_path / "t.csv", as_written=True))
    assert list(chosen.readings) == ["x"]
    assert chosen.remarks == ("column 'Unnamed: 0' left out: it numbers the rows (--keep 'Unnamed: 0' learns from it)",)


def test_nothing_left_to_learn_from():
    frame = pd.DataFrame({"text": [f"question {row}" for row in range(60)], "same": 1})
    with pytest.raises(DataError, match=r"no column is left .*'text' left out.*'same' left out.*embeddings"):
        select_columns(frame)
    with pytest.raises(DataError, match="the table has no other column"):
        select_columns(frame[[]])


def test_names_need_not_be_text_but_must_differ():
    frame = pd.DataFrame({0: [1, 2], None: [3, 4], ("a", 1): [5, 6], "row": [7, 8], "id": [9, 1]})
    readings = select_columns(frame).readings
    assert list(readings) == [str(name) for name in frame.columns]
    assert list(plain_columns(frame, readings, name="it").columns) == list(readings)
    frame["0"] = 1
    with pytest.raises(DataError, match="2 columns named '0': rename all but one"):
        select_columns(frame)
    with pytest.raises(DataError, match="new has 2 columns named '0'"):
        plain_columns(frame, readings, name="new")


def test_infinite_numbers_are_refused():
    with pytest.raises(DataError, match="column 'x' of the training data is infinite in row 1"):
        kinds_of(["1", "inf", "2", "3"])


def test_points_that_may_group_thousands_are_said_where_no_other_column_tells():
    thousands = ["1.234", "2.500", "801"] * 10
    (said,) = found_columns(pd.DataFrame({"a": thousands}))["a"].remarks
    assert said == (
        "its numbers have three digits behind every point: '1.234' is read as 1.234; where points group thousands, "
        "--decimal , says so"
    )
    assert not found_columns(pd.DataFrame({"a": thousands, "b": ["1.5", "2", "3.25"] * 10}))["a"].remarks
    assert not found_columns(pd.DataFrame({"a": [*thousands, "0.5"]}))["a"].remarks
    found = found_columns(pd.DataFrame({"a": thousands}), decimal=",")["a"]
    assert sorted(set(found.cells.values)) == [801, 1234, 2500]


def test_written_numbers_beside_numbers_are_read():
    """As JSON lines have them."""
    for written, number in (("1,5", 1.5), ("$3", 3.0), ("3 kg", 3.0), ("1,100", None)):
        cells = pd.Series([0, 2, 4, 6, written] * 8, dtype=object)
        if number is None:
            with pytest.raises(DataError, match="numbers such as '1,100', which are thousands in one country"):
                found_columns(pd.DataFrame({"x": cells}))
        else:
            assert found_column(cells).cells.values.tolist() == [0.0, 2.0, 4.0, 6.0, number] * 8


@pytest.mark.parametrize("first", ["10", "1,100"])
def test_numbers_that_may_mean_two_things_are_refused_whichever_comes_first(first):
    texts = sorted([f"{row % 9 + 1},{100 + 7 * row}" for row in range(59)] + ["10"], key=lambda text: text != first)
    with pytest.raises(DataError, match=r"numbers such as '\d,\d\d\d', which are thousands in one country"):
        found_columns(pd.DataFrame({"x": texts}))


NUMBERS = [str(number) for number in range(10, 90)]


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (
            [*NUMBERS * 3, *(f"<0.{digit}" for digit in range(1, 10)), *(f"n{n}" for n in range(20))],
            CATEGORICAL,
            "73% of its",
        ),
        (
            [*NUMBERS * 3, *(f"{number}*" for number in NUMBERS[:40])],
            CATEGORICAL,
            "different units or signs ('10', '10*')",
        ),
        ([*NUMBERS * 3, "07"], CATEGORICAL, "its numbers are taken for codes, since some begin with 0 ('07'): it is"),
        (
            [f"{n} {unit}" for n in range(80) for unit in ("kg", "g")],
            None,
            "units or signs ('0 kg', '0 g')",
        ),
        (
            [f"${n}" for n in range(80)] + [f"€{n}" for n in range(80)],
            None,
            "units or signs ('$0', '€0')",
        ),
        (["0", "1", "2", "3+"] * 50, CATEGORICAL, ""),
        (["red", "green"] * 50, CATEGORICAL, ""),
        (
            [f"{n} {'abcdefghij'[n % 10] * 4} Road" for n in range(200)],
            None,
            "text with 200 different values in 200 rows (--text learns",
        ),
    ],
)
def test_what_keeps_numbers_from_being_read_as_such_is_said(values, kind, said):
    found = found_column(pd.Series(values))
    assert (found.reading and found.reading.kind) == kind
    if kind is None:
        assert said in found.reason
    else:
        assert said in "".join(found.remarks)
        assert bool(said) == bool(found.remarks)


@pytest.mark.parametrize("kind", [int, str, "Int64", object])
def test_ids_that_would_become_one_number_are_left_out(kind):
    ids = [1_234_567_890_123_456_700 + row for row in range(60)]
    cells = pd.Series(ids).astype(kind)
    assert "more digits than numbers are computed with" in found_column(cells).reason
    assert found_column(pd.Series([row * 2**54 for row in range(1, 60)]).astype(kind)).reading.kind == NUMERIC
    assert found_column(pd.Series([*range(198), 2**60, 2**60 + 1] * 2).astype(kind)).reading.kind == NUMERIC
    assert found_column(cells, keep=True).reading is not None


def test_one_large_number_written_in_several_ways_is_no_id():
    assert found_column(pd.Series(["1e20", "1.0e20", *map(str, range(40))])).reading.kind == NUMERIC
    assert found_column(pd.Series(["12345678901234567.25", "12345678901234567.50", *map(str, range(40))])).reading


def test_a_remark_with_a_comma_makes_no_number_doubtful():
    points = [f"{row % 9 + 1}.{100 + 7 * row}" for row in range(60)]
    for odd in ("not known, see file", "soon."):
        found = found_columns(pd.DataFrame({"x": [odd, *points]}))["x"]
        assert found.reading.kind == NUMERIC
        assert "'1.100' is read as 1.1" in " ".join(found.remarks)


def test_seats_are_no_numbers_with_units():
    found = found_column(pd.Series([f"{row}{seat}" for row in range(1, 80) for seat in "ABCD"]))
    assert found.reason == "text with 316 different values in 316 rows (--text learns from free text)"
