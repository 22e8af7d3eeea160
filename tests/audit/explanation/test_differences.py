"""Columns in which a row differs from its class."""

import numpy as np
import pandas as pd

from elr.audit.explanation.differences import MOST_COLUMNS, column_differences


def table_of(count=100):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], count // 2)
    table = pd.DataFrame(
        {
            "apart": labels * 10.0 + rng.normal(size=count),
            "alike": rng.normal(size=count),
            "day": labels * 1000.0 + rng.integers(0, 900, size=count),
            "name": np.where(labels == 0, "a", "b"),
        }
    )
    return table, labels


def found_of(table, labels, row, **options):
    given = labels.copy()
    given[row] = 1 - given[row]
    return column_differences(table, given, labels, [row], trusted=given == labels, **options)[row]


def test_only_columns_in_which_it_differs_and_the_value_and_what_is_like_it():
    table, labels = table_of()
    found = {each.column: each for each in found_of(table, labels, 3, dates=["day"])}
    assert set(found) == {"apart", "day", "name"}
    assert found["name"] == ("name", "a", "a", 0.0, 1.0)
    low, high = map(float, found["apart"].alike.split(" to "))
    assert low <= round(table["apart"][3], 3) <= high
    assert found["apart"].share_given == 0.0
    assert found["day"].value == str(np.datetime64("1970-01-01") + int(table["day"][3]))


def test_a_row_whose_label_is_favored_has_none():
    table, labels = table_of()
    assert column_differences(table, labels, labels, [3], trusted=labels == labels) == {}


def test_missing_values_say_nothing_and_columns_of_nothing_do_no_harm():
    table, labels = table_of()
    table["apart"] = table["apart"].where(np.arange(100) != 3)
    table["empty"] = np.nan
    table["constant"] = 1.0
    assert {each.column for each in found_of(table, labels, 3)} == {"day", "name"}


def test_what_is_rare_in_both_classes_is_left_out():
    table, labels = table_of(1000)
    table["rare"] = "usual"
    table.loc[[3, 5, 7], "rare"] = "odd"
    assert "rare" not in {each.column for each in found_of(table, labels, 3)}


def test_suspects_do_not_describe_a_class():
    table = pd.DataFrame({"x": ["u"] * 4 + ["v"] * 4})
    given, favored = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert column_differences(table, given, favored, [3], trusted=given == favored)[3][0].share_given == 0.0


def test_there_are_few():
    labels = np.repeat([0, 1], 20)
    table = pd.DataFrame({f"c{number}": labels.astype(float) for number in range(9)})
    assert len(found_of(table, labels, 3)) == MOST_COLUMNS
