import copy

import pytest

from elr.run_values import odd_value, when_measured

GOOD = {
    "status": "complete",
    "preprocessing": {"class_names": ["cat", "dog"], "spellings": {"cat": {"Cat": 3}}, "columns": None},
    "data": {"num_examples": 9, "source": "pets.csv", "test": None},
    "versions": {"torch": "2.14.1", "threads": 2},
    "results": {
        "num_examples": 9,
        "num_classes": 2,
        "num_label_issues": 3,
        "noise_rate": 0.25,
        "noise_rate_interval": [0.125, 0.5],
        "test_accuracy_last": 0.75,
        "warnings": [{"text": "odd"}],
    },
}


def changed(*path, value):
    run = copy.deepcopy(GOOD)
    inner = run
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return run


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["results", "noise_rate"], 0),
        (["results", "test_accuracy_last"], None),  # NaN, as JSON has it
        (["results", "num_label_issues"], 9),
        (["preprocessing", "class_names"], [0, 1]),
    ],
)
def test_what_a_run_writes_is_not_odd(path, value):
    assert odd_value(GOOD) == ""
    assert odd_value(changed(*path, value=value)) == ""


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["status"], "half", "status is 'half', expected running or complete"),
        (["versions"], {"torch": [None]}, "versions is {'torch': [None]}, expected the version of each package"),
        (["preprocessing", "class_names"], ["cat", "cat"], "expected the names of at least two classes, each once"),
        (["preprocessing", "class_names"], [[], []], "expected the names of at least two classes, each once"),
        (["preprocessing", "class_names"], ["a", "b", "c"], "results.num_classes is 2, and preprocessing.class_names"),
        (["preprocessing", "spellings"], {"cat": {"Cat": []}}, "expected the spellings of classes"),
        (["preprocessing", "columns"], {"a": 7}, "expected the kind of each column or null"),
        (["data"], [], "data is [], expected an object"),
        (["data", "num_examples"], True, "data.num_examples is True, expected a count of at least 1"),
        (["data", "num_examples"], 8, "results.num_examples is 9, and data.num_examples 8"),
        (["results", "num_label_issues"], 10, "results.num_label_issues is 10 of 9 examples"),
        (["results", "num_label_issues"], -1, "expected a count"),
        (["results", "noise_rate"], 1.5, "results.noise_rate is 1.5, expected a share in [0, 1] or null"),
        (["results", "noise_rate"], float("nan"), "results.noise_rate is nan"),
        (["results", "noise_rate_interval"], [None, None], "results.noise_rate_interval has no ends"),
        (["results", "noise_rate_interval"], [0.5, 0.125], "the lower one first"),
        (["results", "noise_rate_interval"], [0.5, None], "the lower one first"),
        (["results", "noise_rate_interval"], [0.5], "the lower one first"),
        (["results", "test_accuracy_last"], "x" * 1000, "expected a number or null"),
        (["results", "warnings"], ["odd"], "expected a list of warnings"),
    ],
)
def test_what_no_run_writes_is_said(path, value, said):
    found = odd_value(changed(*path, value=value))
    assert said in found
    assert len(found) < 200


def test_whatever_is_missing_is_said_where_all_of_it_is_needed():
    assert odd_value({}) == ""
    assert odd_value({}, whole=True) == "it has no command"
    assert odd_value({"status": "complete"}, whole=True) == "it has no command"


def test_an_accuracy_is_of_the_networks_that_predict():
    assert when_measured(GOOD["results"]) == "after the last epoch"
    assert when_measured(GOOD["results"] | {"choice": {"text": "so"}}) == "by the chosen networks together"
