"""Dates in the writing of other countries."""

import pandas as pd
import pytest

from elr.data.columns.choice import found_column
from elr.data.columns.dates import date_form, date_values
from elr.data.columns.new_data import plain_columns
from elr.data.columns.reading import DATE, ColumnReading


@pytest.mark.parametrize(
    ("texts", "form", "guessed"),
    [
        (["31.12.2024", "01.02.2024"], "%d.%m.%Y", False),
        (["01.02.2024", "3.4.2024"], "%d.%m.%Y", False),
        (["12/31/2024", "1/2/2024"], "%m/%d/%Y", False),
        (["31/12/2024"], "%d/%m/%Y", False),
        (["01/02/2024", "03/04/2024"], "%d/%m/%Y", True),
        (["01/01/2024", "02/02/2024"], "%d/%m/%Y", False),
        (["31-12-2024 10:30", "01-02-2024 9:00:05"], "%d-%m-%Y", False),
        (["2024/12/31"], "%Y/%m/%d", False),
        (["2024-12-31", "2024-02-01T10:00"], "", False),
        (["31.12.2024", "2024-12-31"], "%d.%m.%Y", False),
        (["31/12/2024", "12/31/2024"], None, False),
        (["31/12/2024", "31.12.2024"], None, False),
        (["30.02.2024"], None, False),
        (["soon"], None, False),
    ],
)
def test_the_order_is_that_which_the_values_tell(texts, form, guessed):
    assert date_form(texts) == (form, guessed)


def test_hours_count():
    (found,) = date_values(pd.Series(["31-12-2024 9:30"]), "%d-%m-%Y")
    assert found == pd.Timestamp("2024-12-31T09:30Z")


def test_the_form_is_said_kept_and_applied_to_new_data_beside_iso():
    days = [f"{day}.{month}.2023" for month in (1, 5, 3) for day in (31, 7, 12)]
    found = found_column(pd.Series(days))
    assert found.reading.kind == DATE
    assert found.remarks == ["its dates are written day.month.year: '31.1.2023' is read as 2023-01-31"]
    reading = ColumnReading.from_json(found.reading.to_json())
    assert reading == found.reading
    new = pd.DataFrame({"d": ["02.03.2023", "2023-03-02", None]})
    first, second, third = plain_columns(new, {"d": reading}, name="it")["d"]
    assert first == second == (pd.Timestamp("2023-03-02") - pd.Timestamp("1970-01-01")).days
    assert pd.isna(third)


def test_an_order_that_nothing_tells_is_said():
    (said,) = found_column(pd.Series(["01/02/2024", "03/02/2024", "01/05/2024"])).remarks
    assert "'01/02/2024' is read as 2024-02-01; no day above 12 tells it from the month" in said


def test_a_few_cells_that_are_no_dates_are_taken_for_missing_and_said():
    days = [f"{day:02d}.{month:02d}.2024" for month in (1, 2) for day in range(1, 31)]  # one of them is none
    found = found_column(pd.Series([*days, "soon", "01.01.2024"]))
    assert found.reading.kind == DATE
    assert int(found.cells.strange.sum()) == 2
    assert found.remarks[0].startswith("its dates are written day.month.year: '01.01.2024'")
    assert found.remarks[1] == (
        "it holds dates; 2 cells ('30.02.2024', 'soon', first in row 59) are no dates, and taken for missing"
    )
    many = found_column(pd.Series([*days[:12], "soon", "late"]))
    assert many.reading.kind != DATE
