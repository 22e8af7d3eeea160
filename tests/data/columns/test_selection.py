"""What is learned from a table, and what is said."""

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.selection import select_columns
from elr.errors import DataError

N = 40


def frame(**columns):
    return pd.DataFrame({"x": [0.5, 0.25] * (N // 2), **columns})


def test_counters_and_copies_are_left_out_unless_the_user_insists():
    labels = ["u", "v"] * (N // 2)
    data = frame(Id=range(N), verdict=["good", "bad"] * (N // 2)).assign(x=np.arange(N) / 7)
    chosen = select_columns(data, labels)
    assert list(chosen.readings) == ["x"]
    assert [report.use.split(",")[0] for report in chosen.reports] == [
        "learned from",
        "it numbers the rows",
        "it says the label in other words",
    ]
    assert list(select_columns(data, labels, keep=["Id", "verdict"]).readings) == ["x", "Id", "verdict"]
    assert list(select_columns(data, labels, keep_all=True).roles) == ["Id", "verdict"]
    with pytest.raises(DataError, match="no column to keep 'id'"):
        select_columns(data, labels, keep=["id"])
    with pytest.raises(DataError, match="verdict learns from it"):
        select_columns(data[["verdict"]], labels)
    alone = select_columns(data[["Id"]], labels)
    assert list(alone.readings) == ["Id"]
    assert "since there is no other" in alone.remarks[0]


def test_numbers_that_may_mean_two_things():
    doubtful = {"a": [f"{row + 1},234" for row in range(N)]}
    with pytest.raises(DataError, match=r"column 'a' holds numbers such as '1,234'.*--decimal , or --decimal \."):
        select_columns(frame(**doubtful))
    assert select_columns(frame(**doubtful), decimal=",").plain["a"][0] == 1.234
    assert select_columns(frame(**doubtful), decimal=".").plain["a"][0] == 1234
    commas = [f"{row},5" for row in range(N)]
    chosen = select_columns(frame(**doubtful, b=commas))
    assert chosen.plain["a"][0] == 1.234
    assert any("',' marks decimals, as in other columns" in said for said in chosen.remarks)
    points = select_columns(frame(**doubtful, b=[f"{row}.5" for row in range(N)]))
    assert points.plain["a"][0] == 1234
    dots = {"a": [f"{row + 1}.234" for row in range(N)]}
    assert select_columns(frame(**dots)).plain["a"][0] == 1.234
    assert select_columns(frame(**dots, b=commas)).plain["a"][0] == 1234


def test_what_is_merged_or_taken_for_missing_is_said():
    chosen = select_columns(
        frame(sex=["Male", "male ", "Female", "female"] * 10, n=["?", "-", "3", "4"] * 10, c=["?", "a", None, "b"] * 10)
    )
    assert set(chosen.plain["sex"]) == {"Male", "Female"}
    assert chosen.plain["n"].isna().sum() == 20
    assert set(chosen.plain["c"]) == {"(missing)", "a", "b"}
    said = "; ".join(chosen.remarks)
    assert "column 'sex': 'Male', 'male ' are taken for one category" in said
    assert "column 'n': it holds numbers; 20 cells ('?', '-', first in row 0) are taken for missing" in said
    assert "column 'c': '?' is taken for missing, as empty cells" in said


def test_stand_ins_for_missing_values_are_said():
    said = select_columns(frame(age=[-999.0, 30, 40, 50] * 10)).remarks
    assert any("-999 stands in 10 rows, far from all other values" in each for each in said)
    assert not select_columns(frame(age=[20.0, 30, 40, 50] * 10)).remarks
