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
        (["12/31/99", "1/2/24"], "%m/%d/%y", False),
        (["31/12/99", "1/2/24"], "%d/%m/%y", False),
        (["1/2/24", "3/4/24"], "%d/%m/%y", True),
        (["31.12.24", "01.02.25"], "%d.%m.%y", False),
        (["24-01-15", "24-02-16", "24-02-17"], "%d-%m-%y", True),
        ([f"01.{month:02}.{year}" for year in (22, 23) for month in range(1, 13)], "%d.%m.%y", False),
        ([f"{month}/1/{year}" for year in range(10, 24) for month in (1, 4, 7)], "%d/%m/%y", True),
        (["99-01-15", "24-02-16"], "%y-%m-%d", False),
        (["99.01.15", "25.02.16", "25.02.17"], "%y.%m.%d", False),
        (["1.2.10", "1.3.11"], None, False),
        (["20-45-67", "20-11-12"], None, False),
        (["31/12/99", "31/12/1999"], None, False),
        (["1/2/2024 5:30 PM", "1/13/2024 11:05 a.m."], "%m/%d/%Y", False),
        (["2-Jan-24", "31 December 2024", "Feb 3, 2024 10:30", "2024-05-06"], "", False),
        (["2-Jan-24", "31.12.2024"], "%d.%m.%Y", False),
        (["31 Juni 2024"], None, False),
        (["31 June 2024"], None, False),
    ],
)
def test_the_order_is_that_which_the_values_tell(texts, form, guessed):
    assert date_form(texts) == (form, guessed)


@pytest.mark.parametrize(
    ("text", "form", "iso"),
    [
        ("31-12-2024 9:30", "%d-%m-%Y", "2024-12-31T09:30Z"),
        ("12/31/24 9:30:15 PM", "%m/%d/%y", "2024-12-31T21:30:15Z"),
        ("12/31/24 12:30 am", "%m/%d/%y", "2024-12-31T00:30Z"),
        ("12/31/24 12:30 P.M.", "%m/%d/%y", "2024-12-31T12:30Z"),
        ("Sept. 5, 1999, 1:00PM", "", "1999-09-05T13:00Z"),
        ("05-MAY-68", "", "2068-05-05"),
        ("05-May-69", "", "1969-05-05"),
        ("01.02.69", "%d.%m.%y", "1969-02-01"),
        ("01.02.68", "%d.%m.%y", "2068-02-01"),
    ],
)
def test_hours_and_the_century_are_what_is_written(text, form, iso):
    (found,) = date_values(pd.Series([text]), form)
    assert found == pd.to_datetime(iso, utc=True)


@pytest.mark.parametrize("text", ["31.12.2024 24:30", "31.12.2024 13:30 PM", "31.12.2024 0:30 am", "31.12.2024 9:75"])
def test_an_hour_that_there_is_not_is_no_date(text):
    assert date_values(pd.Series([text]), "%d.%m.%Y").isna().all()


def test_years_of_two_digits_are_said():
    (said,) = found_column(pd.Series(["12/31/99", "1/15/24", "1/16/24"])).remarks
    assert said.startswith(
        "its dates are written month/day/year: '12/31/99' is read as 1999-12-31; years from 69 on are "
    )
    (said,) = found_column(pd.Series(["1/2/24", "3/4/24", "5/6/24"])).remarks
    assert said.endswith("nothing tells their order for sure: write dates as 2024-12-31 if that is wrong")


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
    short = found_column(pd.Series([*(day for day in days if day != "30.02.2024"), "01.02.24"]))
    assert short.remarks[-1].startswith("it holds dates; 1 cells ('01.02.24', first in row 59) are no dates")
    many = found_column(pd.Series([*days[:12], "soon", "late"]))
    assert many.reading.kind != DATE
