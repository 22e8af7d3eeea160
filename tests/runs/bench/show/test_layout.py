import pytest

from elr.runs.bench.show.layout import Item, Table, interval_of, lay_out
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.statistics import Difference
from elr.runs.bench.show.summary import BEST, summarize
from tiny_bench import bench, joined, result

OTHER = ("digits", "none", None)
FACES = ("faces", "symmetric", 0.2)


def full(method, seed, accuracy):
    measures = {"test_accuracy_last": accuracy, "test_accuracy_best": accuracy + 0.125, "average_precision": 0.75}
    return result(method, seed, measures=measures, peak_memory_bytes=100 * 2**20)


def test_what_is_shown_of_a_data_set():
    results = [full("elr", 0, 0.5), full("elr", 1, 0.75), full("mae", 0, 0.25), full("mae", 1, 0.25)]
    found = Results(cells=[each.cell for each in results], results=results)
    tables = lay_out(summarize(found, against="mae"))
    assert [table.title for table in tables] == [
        "digits: test accuracy, last epoch (best epoch)",
        "digits: difference to mae in test accuracy, last epoch [95 % interval]",
        "digits: average precision of the ranking of labels",
        "digits: seconds of training, peak memory",
        "over all columns: difference to mae in test accuracy, last epoch",
    ]
    shown = [table.body["elr"][0].text for table in tables]
    assert shown == [
        "0.6250 ± 0.1768 (0.7500)",
        "+0.3750 [−1.2133, +1.9633] n=2",  # noqa: RUF001 - a minus sign
        "0.7500 ± 0.0000",
        "2.0 ± 0.0 s, 100 MiB",
        "+0.3750",
    ]
    assert tables[0].body["elr"][0].mark == BEST
    assert [table.body["elr"][0].mark for table in tables[1:]] == [""] * 4
    assert tables[1].body["mae"][0].text == "reference"
    assert [item.text for item in tables[4].body["elr"]] == ["+0.3750", "(one column)", "1", "1 / 0 / 0"]


def test_missing_seeds_are_seen():
    found = bench(
        {"elr": (0.5, 0.75, 0.5), "mae": (0.5,) * 3}, missing=[("elr", 2), ("mae", 0), ("mae", 1), ("mae", 2)]
    )
    tables = lay_out(summarize(found, against="mae"))
    assert tables[0].body["elr"][0].text == "0.6250 ± 0.1768 2/3"
    assert tables[0].body["mae"][0].text == "0/3"
    assert tables[1].body["elr"][0].text == "no pairs"
    assert tables[2].body["mae"][0].text == "0/3"
    assert [item.text for item in tables[3].body["elr"]] == ["no pairs", "", "0", ""]


def test_each_data_set_has_tables_with_its_methods_and_columns():
    found = joined(
        bench({"elr": (0.5,), "mae": (0.25,)}),
        bench({"elr": (0.5,)}, column=OTHER),
        bench({"gce": (0.5,)}, column=FACES),
    )
    tables = lay_out(summarize(found))
    assert [(table.title, table.head, list(table.body)) for table in tables[::2]] == [
        ("digits: test accuracy, last epoch", ["symmetric 0.4", "no noise"], ["elr", "mae"]),
        ("faces: test accuracy, last epoch", ["symmetric 0.2"], ["gce"]),
    ]
    assert [item.text for item in tables[0].body["mae"]] == ["0.2500", ""]


def test_a_value_that_no_seed_has_is_a_dash():
    results = [full("elr", 0, 0.5), result("mae", 0, measures={"test_accuracy_last": 0.5})]
    tables = lay_out(summarize(Results(cells=[each.cell for each in results], results=results)))
    assert tables[1].body["mae"][0].text == "-"


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Difference(0.1, None, None, 1), "(one pair)"),
        (Difference(0.1, None, None, 4), "(all the same)"),
        (Difference(0.0, -0.00001, 0.1, 4), "[+0.0000, +0.1000]"),
    ],
)
def test_intervals(difference, text):
    assert interval_of(difference) == text


def test_wide_tables_come_in_parts():
    table = Table("t", ["aaaa", "bbbb", "c" * 50], {"elr": [Item("1"), Item("2"), Item("3")]})
    parts = table.parts(lambda widths: sum(widths) <= 11, width=len)
    assert [part.head for part in parts] == [["aaaa", "bbbb"], ["c" * 50]]
    assert [[item.text for item in part.body["elr"]] for part in parts] == [["1", "2"], ["3"]]
    assert [part.head for part in Table("t", [], {}).parts(lambda widths: False, width=len)] == [[]]
