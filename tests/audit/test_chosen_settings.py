"""How the settings were chosen, on the page: which rows, which lines, and nothing that is no choice."""

import copy

import pytest

from elr.audit.chosen_settings import MOST_LISTED, check_choice, choice_shown
from elr.errors import ArgumentError


def candidate(setting, epoch, score, *, chosen=False):
    return {
        "setting": setting,
        "epoch": epoch,
        "agreement": score,
        "balanced_agreement": score,
        "score": score,
        "behind": round(0.6 - score, 3),
        "standard_error": 0.0 if score == 0.6 else 0.02,
        "chosen": chosen,
    }


def a_choice():
    """Of twelve settings at two epochs, one is kept at both and another at the last."""
    settings = [{"text": f"lam {place}", "curve": [[5, 0.3], [10, 0.4 + place / 100]]} for place in range(12)]
    candidates = [candidate(place, epoch, 0.4 + place / 100) for epoch in (5, 10) for place in range(12)]
    candidates[7] = candidate(7, 5, 0.59, chosen=True)
    candidates[12 + 7] = candidate(7, 10, 0.6, chosen=True)
    candidates[12 + 2] = candidate(2, 10, 0.595, chosen=True)
    return {"text": "Settings: lam 7", "settings": settings, "candidates": candidates}


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
    check_choice(choice)
    assert choice_shown(choice)["figure"] is None


def test_more_are_chosen_than_the_table_has_room_for_all_are_listed():
    choice = a_choice()
    choice["candidates"] = [each | {"chosen": True} for each in choice["candidates"][:10]]
    assert len(choice_shown(choice)["rows"]) == 10


def changed(path, value):
    choice = copy.deepcopy(a_choice())
    place = choice
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return choice


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("text",), 3, "a text is no text"),
        (("settings", 0, "text"), None, "a text is no text"),
        (("settings",), 3, "not as run.json has it"),
        (("settings", 0, "curve"), [[1]], "not as run.json has it"),
        (("settings", 0, "curve"), [["<b>", 0.5]], "epoch '<b>'; expected a number"),
        (("settings", 0, "curve"), [[1, 1.5]], "score of a curve is 1.5"),
        (("candidates", 0), {"setting": 0}, "choice has no 'epoch'"),
        (("candidates", 0, "setting"), 12, "the setting 12 of 12"),
        (("candidates", 0, "epoch"), 0, "the epoch 0"),
        (("candidates", 0, "score"), "0.5", "'0.5' where a number"),
        (("candidates", 0, "behind"), -0.1, "behind of a candidate is -0.1"),
        (("candidates", 0, "chosen"), 1, "chosen is 1"),
        (("candidates",), [candidate(0, 5, 0.4)], "no candidate is chosen"),
    ],
)
def test_what_is_no_choice_is_refused(path, value, message):
    with pytest.raises(ArgumentError, match=message):
        check_choice(changed(path, value))


def test_where_nothing_was_chosen_there_is_nothing_to_check():
    check_choice({})
