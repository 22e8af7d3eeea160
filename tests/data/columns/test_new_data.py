"""Later data, in which the same things are written in another way, or other things stand."""

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.choice import found_column, named_columns
from elr.data.columns.new_data import column_findings, plain_columns
from elr.data.columns.number_forms import NumberForm
from elr.data.columns.reading import NUMERIC, ColumnReading
from elr.data.columns.selection import select_columns
from elr.errors import DataError

AGES = [20.0 + row // 2 * 2 for row in range(40)]

N = 40
# what training held and what new data hold: the same
SAME = {
    "truth in words": (["True", "False"] * 20, [1, 0] * 20),
    "truth as numbers": ([1, 0] * 20, ["t", "F"] * 20),
    "truth as type": ([True, False] * 20, ["TRUE", "false"] * 20),
    "yes and no": (["yes", "no"] * 20, [True, False] * 20),
    "case": (["Male", "Female"] * 20, [" male ", "FEMALE"] * 20),
    "blanks": (["New York", "Rome"] * 20, ["New\u00a0 York", "rome "] * 20),
    "forms of letters": (["Zu\u0308rich", "Bern"] * 20, ["z\u00fcrich", "bern"] * 20),
    "whole numbers": (pd.Categorical([1, 2] * 20), ["1.0", "2"] * 20),
    "numbers as text": ([f"{row / 8}" for row in range(N)], np.arange(N) / 8),
    "numbers, then text": (np.arange(N) / 8, [f"{row / 8}" for row in range(N)]),
    "decimal commas": ([f"{row / 8}".replace(".", ",") for row in range(N)], np.arange(N) / 8),
    "decimal commas later": (np.arange(N) / 8, [f"{row / 8}".replace(".", ",") for row in range(N)]),
    "thousands": ([f"{row * 777:,}.50" for row in range(N)], [row * 777 + 0.5 for row in range(N)]),
    "units": ([f"{row % 7} kg" for row in range(N)], [float(row % 7) for row in range(N)]),
    "dates": (["2024-01-01", "2024-01-05"] * 20, pd.to_datetime(["2024-01-01", "2024-01-05"] * 20)),
    "dates with times": (["2024-01-01", "2024-01-05"] * 20, ["2024-01-01T00:00:00Z", "2024-01-05 00:00"] * 20),
    "gaps": (["a", "b", "?"] * 20, ["a", "B", None] * 20),
    "nullable": (pd.array([1, 2, None, 4] * 10, dtype="Int64"), ["1", "2.0", "?", "4"] * 10),
    "arrow": (pd.Series([1, 2, None, 4] * 10, dtype="int64[pyarrow]"), [1.0, 2.0, np.nan, 4.0] * 10),
    "arrow text": (pd.Series(["a", "b"] * 20, dtype="string[pyarrow]"), ["A", "b"] * 20),
}


def compared(old, new, **options):
    """Columns of training and of new data as read, and what is said of the latter."""
    frames = [pd.DataFrame({"x": old, "z": [0.5, 1.5] * (len(old) // 2)}), pd.DataFrame({"x": new, "z": 0.5})]
    chosen = select_columns(frames[0], **options)
    readings = {name: ColumnReading.from_json(reading.to_json()) for name, reading in chosen.readings.items()}
    found = [each for each in column_findings(frames[1], readings, name="new.csv") if "'x'" in each.text]
    return chosen.plain["x"].tolist(), plain_columns(frames[1], readings, name="new.csv")["x"].tolist(), found


@pytest.mark.parametrize("what", SAME)
def test_equal_meanings_are_one_value(what):
    old, new, found = compared(*SAME[what])
    assert len(old) == len(new)
    assert [repr(value) for value in old] == [repr(value) for value in new]
    assert not any(each.loud for each in found)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (["Male", "Female"] * 20, ["m", "f"] * 20, "none of its values was known in training ('m', 'f'; there 'Male'"),
        (["a", "b"] * 20, ["a", "c"] * 20, "50% of its cells hold values that training did not know ('c'; there"),
        ([1.5, 2.5] * 20, [1.5, None] * 20, "50% of its cells are missing, in training 0%"),
        ([1.5, 2.5] * 20, ["1.5", "2.5", "many", "2.5"] * 10, "10 cells are no numbers ('many'; first in row 2)"),
        (np.arange(N) / 8, np.arange(N) * 1000, "98% of its numbers lie outside those of training"),
        (np.arange(N) * 1000, np.arange(N) / N, "is it another unit or scale?"),
        ([f"{row / 8} kg" for row in range(N)], [f"{row / 8} g" for row in range(5)] + [1.0] * 35, "5 cells are no"),
        ([f"{row % 9 + 20} %" for row in range(40)], [0.1, 0.2] * 20, "100% of its numbers lie outside"),
    ],
)
def test_what_training_did_not_know_is_said_loudly(old, new, words):
    _, _, (found,) = compared(old, new)
    assert words in found.text
    assert found.loud


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["1,5", "2,5"] * 20, ["1.234", "2.345"] * 20),
        ([1.5, 2.5] * 20, ["1,234", "2,345"] * 20),
        (["1 kg", "2 kg"] * 20, ["1 g", "2 g"] * 20),
    ],
)
def test_what_may_mean_another_number_is_refused(old, new):
    with pytest.raises(DataError, match=r"column 'x' of new\.csv has .* in row 0: expected a number, as in training"):
        compared(old, new)


def test_tables_without_rows_and_cells_of_other_types_are_read():
    assert compared(["a", "b"] * 20, [])[1:] == ([], [])
    assert compared([1.5, 2.5] * 20, [])[1:] == ([], [])
    _, new, (found,) = compared(["a", "b"] * 20, [["list"], "b"])
    assert new == ["['list']", "b"]
    assert found.loud


@pytest.mark.parametrize(
    ("new", "said", "loud"),
    [
        (
            [30.0] * 28 + [-999.0] * 12,
            "12 of its 40 numbers lie far outside those of training (-999; there from 20",
            True,
        ),
        (
            [30.0, 45.0] * 19 + [-999.0, 9999.0],
            "2 of its 40 numbers lie far outside those of training (-999, 9999; ",
            False,
        ),
        ([30.0, 25.0] * 17 + [65.0] * 6, "6 of its 40 numbers lie outside those of training (65; there from 20", False),
        ([30.0, 25.0, 35.0, 500.0], "1 of its 4 numbers lie far outside those of training (500; there from 20", True),
    ],
)
def test_numbers_outside_those_of_training_are_said_where_they_are_less_than_half(new, said, loud):
    _, _, (found,) = compared(AGES, new)
    assert said in found.text
    assert found.loud == loud
    assert compared(AGES, [22.0, 35.0] * 19 + [70.0, 30.0])[2] == []


def test_the_mark_of_decimals_can_be_said():
    reading = ColumnReading(kind=NUMERIC, low=1000, high=3000)
    for decimal, texts in ((",", ["1.863", "2.000,5"]), (".", ["1,863", "2,000.5"])):
        read = plain_columns(pd.DataFrame({"x": texts}), {"x": reading.written_with(decimal)}, name="new")["x"]
        assert read.tolist() == [1863.0, 2000.5]
    mixed = ColumnReading(kind=NUMERIC).written_with(",").read(pd.Series(["1.863", "2.914", "3.5", "7"]), place="it")
    assert np.array_equal(mixed.values, [1863.0, 2914.0, np.nan, 7.0], equal_nan=True)
    swiss = ColumnReading(kind=NUMERIC, form=NumberForm(decimal=",", group=" ")).written_with(",")
    assert swiss.read(pd.Series(["1 234,5", "2,5"]), place="it").values.tolist() == [1234.5, 2.5]
    assert ColumnReading.from_json(swiss.to_json()).decimal_said == ""
    with pytest.raises(DataError, match=r"'1,863' in row 0: expected a number, .*; where its commas .* --decimal says"):
        plain_columns(pd.DataFrame({"x": ["1,863", "2,914"]}), {"x": reading}, name="new")
    with pytest.raises(DataError, match=r"has 1705104000000 in row 0: expected a date"):
        plain_columns(pd.DataFrame({"x": [1705104000000]}), {"x": ColumnReading(kind="date")}, name="new")


def test_a_unit_is_told_where_less_than_half_lies_outside():
    _, _, (found,) = compared(np.linspace(5, 1000, 400), np.linspace(300, 1000, 400) / 100)
    assert "apart in training: is it another unit or scale?" in found.text
    assert found.loud


def test_little_is_said_quietly():
    _, _, (found,) = compared(["a", "b"] * 20, ["a", "b"] * 19 + ["c", "a"])
    assert not found.loud
    assert "2% of its cells" in found.text
    _, _, (found,) = compared([1.5, 2.5] * 20, ["1.5"] * 39 + ["many"])
    assert not found.loud
    _, _, (found,) = compared(["a", "b"] * 20, ["a"] * 40)
    assert (found.text, found.loud) == ("column 'x' of new.csv: it says 'a' in every row", False)


def test_columns_are_found_by_name_whatever_its_case_and_the_others_are_named():
    readings = {"Age": ColumnReading(kind=NUMERIC, low=1, high=90)}
    new = pd.DataFrame({"age ": [5.0, 6.0], "more": 1})
    assert plain_columns(new, readings, name="new")["Age"].tolist() == [5, 6]
    said = [found.text for found in column_findings(new, readings, name="new")]
    assert said == [
        "column 'age ' of new is taken for 'Age' of training",
        "columns of new that training did not have are ignored: 'more'",
    ]
    with pytest.raises(DataError, match="lacks 1 columns that training had: 'Age'"):
        plain_columns(new.assign(AGE=1), readings, name="new")


def test_lacking_columns_are_named_and_others_ignored():
    frame = pd.DataFrame({"b": [1], "c": [2]})
    with pytest.raises(DataError, match=r"new\.csv lacks 2 columns that training had: 'a', 'd'; add them"):
        plain_columns(frame, dict.fromkeys("abd", ColumnReading(kind=NUMERIC)), name="new.csv")
    assert plain_columns(frame, {"b": ColumnReading(kind=NUMERIC)}, name="new.csv").columns.tolist() == ["b"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (["yes", "no"], [1, 0], "'1' is taken for 'yes', '0' is taken for 'no'"),
        ([1, 0], ["yes", "no"], "'yes' is taken for '1', 'no' is taken for '0'"),
        ([True, False], ["y", "n"], "'y' is taken for 'True', 'n' is taken for 'False'"),
        (["on", "off"], [True, False], "'True' is taken for 'on', 'False' is taken for 'off'"),
        (["1", "0"], ["t", "0"], "'t' is taken for '1'"),
        ([True, False], [1, 0], None),
        ([1, 0], ["TRUE", "false"], None),
        (["yes", "no"], ["Yes", "NO"], None),
    ],
)
def test_answers_in_other_words_are_one_and_said(old, new, said):
    reading = found_column(pd.Series(old * 20)).reading
    cells = pd.Series(new * 20)
    first = reading.read(pd.Series(old * 20), place="it")
    read = reading.read(cells, place="it")
    assert read.values.tolist() == first.values.tolist()
    found = column_findings(pd.DataFrame({"x": cells}), {"x": reading}, name="new.csv")
    assert [each.text for each in found] == ([] if said is None else [f"column 'x' of new.csv: {said}"])
    assert not any(each.loud for each in found)


def test_columns_are_looked_up_once_however_many_there_are(monkeypatch):
    """Once for each column made the time quadratic: 2,000 columns took minutes."""
    frame = pd.DataFrame(np.arange(60.0).reshape(3, 20)).rename(columns=str)
    readings = {name: ColumnReading(kind="numeric") for name in frame.columns}
    looked = []

    def named(frame, name):
        looked.append(name)
        return named_columns(frame, name)

    monkeypatch.setattr("elr.data.columns.new_data.named_columns", named)
    column_findings(frame, readings, name="it")
    assert len(looked) == 2
