import math

import pytest

from elr.errors import ArgumentError
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.summary import BEST, CLOSE, better, summarize
from tiny_bench import COLUMN, bench, cell, failure, joined, result

OTHER = ("digits", "symmetric", 0.8)
THIRD = ("faces", "human", "worst")


def marks(found, **options):
    summary = summarize(found, **options)
    return {method: entry.mark for (method, _), entry in summary.entries.items()}


def test_means_are_over_the_finished_seeds_alone():
    cells = [cell(seed=seed) for seed in range(5)]
    results = [result(seed=0, accuracy=0.5), result(seed=1, accuracy=0.75), failure(seed=2)]
    entry = summarize(Results(cells=cells, results=results)).entries["elr", COLUMN]
    assert (entry.expected, entry.done, entry.failed) == (5, 2, 1)
    assert entry.spreads["test_accuracy_last"].mean == 0.625
    assert entry.spreads["test_accuracy_last"].count == 2
    assert not entry.complete("test_accuracy_last")
    assert entry.spreads["seconds"].mean == 2.0


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_values_that_are_no_numbers_are_missing(value):
    results = [result(seed=0, accuracy=0.5), result(seed=1, accuracy=value)]
    entry = summarize(Results(cells=[each.cell for each in results], results=results)).entries["elr", COLUMN]
    assert entry.done == 2
    assert entry.spreads["test_accuracy_last"].count == 1
    assert not entry.complete("test_accuracy_last")


def test_the_best_and_what_is_not_significantly_worse_are_marked():
    found = bench({"a": (0.90, 0.92, 0.94), "b": (0.91, 0.90, 0.93), "c": (0.50, 0.53, 0.54), "d": (0.90, 0.92, 0.94)})
    assert marks(found) == {"a": BEST, "b": CLOSE, "c": "", "d": BEST}


def test_less_is_better_of_some():
    results = [
        result(name, seed, measures={"fraction_memorized": value + seed / 100})
        for name, value in (("a", 0.1), ("b", 0.9))
        for seed in (0, 1)
    ]
    results[0] = result("a", 0, measures={"fraction_memorized": 0.05})
    found = Results(cells=[each.cell for each in results], results=results)
    assert marks(found, measure="fraction_memorized") == {"a": BEST, "b": ""}
    assert marks(found, measure="seconds") == {"a": BEST, "b": BEST}


def test_methods_with_missing_seeds_are_never_marked():
    found = bench({"a": (0.9, 0.9), "b": (0.8, 0.85), "c": (0.7, 0.751)}, missing=[("a", 1)])
    assert marks(found) == {"a": "", "b": BEST, "c": ""}
    alone = bench({"a": (0.9, 0.9), "b": (0.8, 0.8)}, missing=[("a", 1)])
    assert marks(alone) == {"a": "", "b": ""}


def test_a_method_that_the_grid_runs_on_fewer_seeds_is_not_comparable():
    found = bench({"a": (0.9,), "b": (0.8, 0.85), "c": (0.7, 0.751)})
    assert marks(found) == {"a": "", "b": BEST, "c": ""}
    entry = summarize(found).entries["a", COLUMN]
    assert (entry.done, entry.expected, entry.complete("test_accuracy_last")) == (1, 2, False)


def test_one_seed_has_a_best_and_nothing_close():
    assert marks(bench({"a": (0.9,), "b": (0.8,)})) == {"a": BEST, "b": ""}


def test_two_seeds_are_too_few_to_be_close():
    assert marks(bench({"a": (0.9, 0.9), "b": (0.89, 0.88)})) == {"a": BEST, "b": ""}


def test_nothing_is_marked_where_no_direction_is_known():
    results = [result(name, measures={"noise_rate_realized": value}) for name, value in (("a", 0.1), ("b", 0.2))]
    found = Results(cells=[each.cell for each in results], results=results)
    assert marks(found, measure="noise_rate_realized") == {"a": "", "b": ""}


def test_directions():
    assert [better(name) for name in ("test_balanced_accuracy", "average_precision", "suspects_recall")] == [1, 1, 1]
    assert [better(name) for name in ("test_loss", "peak_memory_bytes", "noise_rate")] == [-1, -1, 0]


def test_differences_are_over_common_seeds():
    found = bench({"elr": (0.5, 0.625, 0.75, 0.0), "ce": (0.25, 0.25, 0.25, 0.25)}, missing=[("elr", 3), ("ce", 2)])
    entries = summarize(found, against="ce").entries
    difference = entries["elr", COLUMN].difference
    assert (difference.mean, difference.count) == (0.3125, 2)
    assert entries["ce", COLUMN].difference is None


def test_no_common_seed_is_no_pair():
    found = bench({"elr": (0.5, 0.6), "ce": (0.2, 0.3)}, missing=[("elr", 0), ("ce", 1)])
    summary = summarize(found, against="ce")
    assert summary.entries["elr", COLUMN].difference.count == 0
    assert summary.overall["elr"].difference.count == 0


def test_over_all_columns_each_counts_once():
    found = joined(
        bench({"elr": (0.5,) * 5, "ce": (0.25,) * 5}),
        bench({"elr": (0.75,), "ce": (0.25,)}, column=OTHER),
        bench({"elr": (0.5, 0.5), "ce": (0.75, 0.75)}, column=THIRD),
    )
    overall = summarize(found, against="ce").overall
    assert list(overall) == ["elr"]
    assert (overall["elr"].better, overall["elr"].worse, overall["elr"].equal) == (2, 1, 0)
    assert overall["elr"].difference.count == 3
    assert overall["elr"].difference.mean == pytest.approx((0.25 + 0.5 - 0.25) / 3)


def test_methods_need_not_run_everywhere():
    found = joined(bench({"elr": (0.5,), "ce": (0.25,)}), bench({"mae": (0.75,)}, column=OTHER))
    summary = summarize(found, against="ce")
    assert ("mae", COLUMN) not in summary.entries
    assert summary.entries["mae", OTHER].difference.count == 0


def test_unknown_names_list_the_nearest():
    found = bench({"elr": (0.5,), "cross_entropy": (0.25,)})
    with pytest.raises(
        ArgumentError, match=r"no method 'cross-entropy' .*: did you mean cross_entropy\? there are elr"
    ):
        summarize(found, against="cross-entropy")
    with pytest.raises(ArgumentError, match=r"no finished cell has the measure 'test_acc': .*test_accuracy_last"):
        summarize(found, measure="test_acc")
