import math
from dataclasses import replace

import pytest

from elr.training.verdict import beside_clean_labels, early_learning


def history(standing, *, dropped=0.0, agreement=0.6, **more):
    records = [
        {
            "epoch": epoch + 1,
            "agreement_with_given_labels": agreement,
            "agreement_by_chance": 0.1,
            "change": 0.01,
            "standing_disagreement": value,
            "objections_dropped": 0.0,
            **{name: values[epoch] for name, values in more.items()},
        }
        for epoch, value in enumerate(standing)
    ]
    records[-1]["objections_dropped"] = dropped
    return records


RISE = [math.nan, math.nan, 0.1, 0.3, 0.38]


def test_memorization_is_dated_at_the_peak():
    found = early_learning(history([*RISE, 0.3, 0.1], dropped=0.7))
    assert (found.state, found.epoch) == ("memorization", 5)
    assert "until about epoch 5" in found.text
    assert "38.0% of the given labels" in found.text
    assert "70% of these" in found.text


def test_objections_that_stand_are_early_learning():
    found = early_learning(history([*RISE, 0.38, 0.37], dropped=0.05))
    assert (found.state, found.epoch) == ("early learning", 7)
    assert "no memorization in sight" in found.text


def test_hardly_any_objection_is_said():
    found = early_learning(history([math.nan, math.nan, 0.02, 0.01, 0.01], dropped=0.9, agreement=0.99))
    assert found.state == "early learning"
    assert "nearly all labels are right" in found.text


def test_predictions_that_still_move_are_said():
    found = early_learning(history([*RISE, 0.38], change=[0.5, 0.4, 0.4, 0.3, 0.3, 0.3]))
    assert "It is not done: 30% of the predictions changed" in found.text


def test_chance_is_nothing_learned():
    found = early_learning(history([math.nan, math.nan, 0.8, 0.8, 0.8], agreement=0.12))
    assert (found.state, found.epoch) == ("nothing learned", None)
    assert "12.0%" in found.text


@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_few_epochs_say_nothing(epochs):
    records = history([*RISE][:epochs]) if epochs else []
    assert early_learning(records).state == "unknown"


def test_held_out_labels_are_a_second_witness():
    agreement = [math.nan, 0.3, 0.5, 0.58, 0.55, 0.54]
    found = early_learning(history([*RISE, 0.38], validation_agreement=agreement))
    assert (found.state, found.epoch) == ("memorization", 4)
    assert "held-out labels fell by 4.0%" in found.text
    both = early_learning(history([*RISE, 0.2], dropped=0.5, validation_agreement=agreement))
    assert "4.0% below its peak" in both.text
    rising = early_learning(history([*RISE, 0.2], dropped=0.5, validation_agreement=[*agreement[:5], 0.6]))
    assert rising.state == "memorization"
    assert "has not fallen" in rising.text


def test_the_last_generation_is_judged():
    first, last = [*RISE, 0.1], [*RISE, 0.38]
    records = history([*first, *last])
    assert early_learning(records, generations=2).state == "early learning"
    assert early_learning(records, generations=2).evidence["standing_disagreement_peak"] == 0.38


def test_records_of_earlier_versions_say_nothing():
    records = [{"epoch": epoch, "agreement_with_given_labels": 0.5} for epoch in range(1, 30)]
    assert early_learning(records).state == "unknown"


def blind(agreement, **more):
    return [{"epoch": epoch + 1, "out_of_fold_agreement": value, **more} for epoch, value in enumerate(agreement)]


def test_agreement_with_labels_never_seen_is_judged_in_place_of_objections():
    found = early_learning(blind([0.3, 0.6, 0.55, 0.5], standing_disagreement=0.4, objections_dropped=0.0))
    assert (found.state, found.epoch) == ("memorization", 2)
    assert "60.0% of the given labels that they never saw after epoch 2, and with 50.0% at the end" in found.text


def test_agreement_that_stays_is_early_learning_and_what_it_cannot_see_is_said():
    found = early_learning(blind([0.3, 0.6, 0.61, 0.6]))
    assert (found.state, found.epoch) == ("early learning", 4)
    assert "run one way" in found.text
    moving = early_learning(blind([0.3, 0.6], change=0.3))
    assert "It is not done: 30%" in moving.text


def test_agreement_by_chance_on_blind_rows_is_nothing_learned():
    found = early_learning(blind([0.5, 0.51, 0.52], agreement_by_chance=0.5))
    assert (found.state, found.epoch) == ("nothing learned", None)
    assert "chance alone gives 50.0%" in found.text


def test_clean_labels_are_not_contradicted():
    """And they change nothing but the words."""
    records = blind([0.3, 0.9, 0.91], fraction_memorized_on_wrong=0.902, fraction_correct_on_wrong=0.034)
    found = early_learning(records)
    assert "no memorization in sight:" in found.text
    said = beside_clean_labels(found, records)
    assert replace(said, text=found.text) == found
    assert "no memorization in sight of the given labels:" in said.text
    assert "90.2% of the wrong ones were predicted as given, by networks that never saw them, in the last" in said.text
    assert said.text.endswith("3.4% rightly: most were learned.")
    few = [record | {"fraction_memorized_on_wrong": 0.05} for record in records]
    assert not beside_clean_labels(found, few).text.endswith("learned.")
    assert beside_clean_labels(found, blind([0.3, 0.9])) == found


def test_the_agreement_of_all_settings_is_not_that_of_the_chosen_ones():
    assert "the networks of all settings together, chosen or not, agreed with" in early_learning(blind([0.3, 0.6])).text


def test_no_memorization_never_stands_alone():
    few = early_learning(history([math.nan, math.nan, 0.02, 0.01, 0.01], agreement=0.99))
    assert "cannot tell which" in few.text
    assert "learned unseen" in early_learning(history([*RISE, 0.38])).text
