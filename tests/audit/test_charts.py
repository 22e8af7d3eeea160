import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from choices import a_choice
from elr.audit import charts
from elr.audit.charts import MOST_LISTED, choice_shown, figures, percent, quantity, thinned

NBSP = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.3981, "39.8 %"), (0.0004, "< 0.1 %"), (0.99999, "> 99.9 %"), (0.05, "5.0 %")],
)
def test_percent(rate, shown):
    assert percent(rate).replace(NBSP, " ") == shown


@given(st.floats(0, 1))
def test_percent_never_rounds_to_a_certainty(rate):
    shown = percent(rate)
    assert (shown == f"0.0{NBSP}%") == (rate == 0)
    assert (shown == f"100.0{NBSP}%") == (rate == 1)


@pytest.mark.parametrize(
    ("value", "key", "shown"),
    [
        (None, "", DASH),
        (math.nan, "test_accuracy", DASH),
        (True, "", "yes"),
        (1437, "num_examples", "1,437"),
        (np.int64(1437), "", "1,437"),
        (np.float32(0.5), "fraction_memorized", f"50.0{NBSP}%"),
        (0.02, "learning_rate", "0.02"),
        (12345.6, "seconds", "12,346"),
        (12.3456, "seconds", "12.35"),
        ("plain", "method", "plain"),
    ],
)
def test_quantity(value, key, shown):
    assert quantity(value, key) == shown


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.83, 0.94, [0.8, 0.85, 0.9, 0.95]),
        (0, 2.3, [0, 0.5, 1, 1.5, 2, 2.5]),
        (1, 60, [0, 20, 40, 60]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert charts._ticks(low, high) == ticks


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e4))
def test_ticks_cover_the_data_and_are_few(low, extent):
    ticks = charts._ticks(low, low + extent)
    assert ticks[0] <= low + 1e-6 * extent
    assert ticks[-1] >= low + extent * (1 - 1e-6)
    assert 2 <= len(ticks) <= 8


def test_the_last_epoch_survives_thinning():
    assert thinned(range(1000), 120)[-1] == 999
    assert len(thinned(range(1000), 120)) <= 120
    assert thinned(range(5), 120) == list(range(5))


def test_what_cannot_be_drawn_is_left_out():
    history = [{"epoch": 1, "loss": None, "test_accuracy": 0.5}, {"epoch": 2, "loss": math.nan, "test_accuracy": 0.6}]
    assert [figure["name"] for figure in figures({"elr": history}, expected=0.6)] == ["test_accuracy"]
    assert figures({"elr": [], "cross_entropy": []}, expected=0.6) == []


def test_test_data_that_were_asked_once_give_no_course():
    once = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "test_accuracy": 0.6}]
    each = [{"epoch": 1, "test_accuracy": 0.5}, {"epoch": 2, "test_accuracy": 0.4}]
    assert [figure["name"] for figure in figures({"elr": once}, expected=None)] == ["loss"]
    drawn = {figure["name"]: figure for figure in figures({"elr": once, "cross_entropy": each}, expected=None)}
    assert len(drawn["test_accuracy"]["panels"][0]["lines"]) == 2, "beside a course it is a dot"


# How settings were chosen


def test_the_chosen_come_with_the_best_of_the_others():
    shown = choice_shown(a_choice())
    assert [(row["number"], row["epoch"], row["chosen"]) for row in shown["rows"][:3]] == [
        ("1", 10, True),
        ("2", 10, True),
        ("1", 5, True),
    ]
    assert [row["text"] for row in shown["rows"][3:]] == ["lam 11", "lam 11", "lam 10", "lam 10", "lam 9"]
    assert len(shown["rows"]) == MOST_LISTED
    assert shown["left_out"] == 24 - MOST_LISTED
    assert shown["strong"] == {"1": "lam 7", "2": "lam 2"}


def test_every_setting_has_a_line_and_the_chosen_ones_a_dot_for_each_epoch_kept():
    figure = choice_shown(a_choice())["figure"]
    assert [line["label"] for line in figure["panels"][0]["lines"]] == ["1", "2"]
    assert len(figure["faint"]) == 10
    assert sorted(slot for slot, _, _ in figure["kept"]) == [0, 0, 1]
    left, right = {x for slot, x, _ in figure["kept"] if slot == 0}
    assert {left, right} == {46.0, 284.0}, "epochs 5 and 10"


def test_without_a_point_there_is_no_figure():
    choice = a_choice()
    for setting in choice["settings"]:
        setting["curve"] = [[5, None]]
    assert choice_shown(choice)["figure"] is None


def test_more_are_chosen_than_the_table_has_room_for_all_are_listed():
    choice = a_choice()
    choice["candidates"] = [each | {"chosen": True} for each in choice["candidates"][:10]]
    assert len(choice_shown(choice)["rows"]) == 10
