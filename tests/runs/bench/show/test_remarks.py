from dataclasses import replace

from elr.runs.bench.show.remarks import column_name, not_comparable, remarks
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.summary import BEST, CLOSE, summarize
from tiny_bench import bench, cell, failure, result

SIGNS = {BEST: "*", CLOSE: "~"}
WHOLE = {"elr": (0.9, 0.92), "mae": (0.5, 0.53)}


def said(found, **options):
    return remarks(found, summarize(found, **options), signs=SIGNS)


def test_a_whole_bench_needs_its_marks_explained_alone():
    assert said(bench(WHOLE)) == ["*: best mean of its column among methods with all seeds."]


def test_what_is_left_out_comes_first():
    found = replace(bench(WHOLE), damaged=["a.json is damaged: it is not JSON"], foreign=["b.json is of no cell"])
    first, second, _ = said(found)
    assert first.startswith("LEFT OUT of all numbers, damaged: a.json is damaged: it is not JSON.")
    assert "--retry" in first
    assert second == "LEFT OUT of all numbers: b.json is of no cell."


def test_failed_and_missing_cells_are_named():
    found = bench(WHOLE, missing=[("elr", 1)])
    found = Results(
        cells=[*found.cells, cell("mae", 2)], results=[*found.results, failure("mae", 2, error="boom\nbang")]
    )
    lines = said(found)
    assert lines[0].startswith("FAILED: 1 of 5 cells: digits--symmetric-0.4--mae--2 (boom bang)")
    assert lines[1].startswith("NOT FINISHED: 1 of 5 cells have not run yet: digits--symmetric-0.4--elr--1;")
    assert any(line.startswith("n/m: ") for line in lines)


def test_a_damaged_cell_is_not_said_to_be_waiting_as_well():
    found = replace(
        bench(WHOLE, missing=[("elr", 1)]), damaged=["digits--symmetric-0.4--elr--1.json is damaged: empty"]
    )
    lines = said(found)
    assert lines[0].startswith("LEFT OUT of all numbers, damaged: digits--symmetric-0.4--elr--1.json")
    assert not any(line.startswith("NOT FINISHED") for line in lines)


def test_long_lists_are_cut():
    cells = [cell(seed=seed) for seed in range(20)]
    lines = said(Results(cells=cells, results=[result(seed=0)]))
    assert "elr--5 and 14 more" in lines[0]


def test_mixed_machines_are_said():
    results = [
        result(seed=0, threads=1, machine="a", versions={"torch": "2.9", "elr": "0.1.0"}),
        result(seed=1, threads=2, machine="b", versions={"torch": "2.9", "elr": "0.2.0"}),
        result(seed=2, threads=2, machine="b", versions={"torch": "2.9", "elr": "0.2.0"}),
    ]
    lines = said(Results(cells=[each.cell for each in results], results=results))
    assert lines[0] == (
        "Seconds are not comparable: the cells have threads 1 (1 cell) and 2 (2 cells); machine a (1 cell) and b "
        "(2 cells); elr 0.1.0 (1 cell) and 0.2.0 (2 cells)."
    )
    assert not_comparable(results[1:]) == ""


def test_other_noise_for_the_same_seed_is_said():
    results = [
        result("elr", measures={"test_accuracy_last": 0.5, "noise_rate_realized": 0.4}),
        result("mae", measures={"test_accuracy_last": 0.5, "noise_rate_realized": 0.41}),
        result("mae", 1, measures={"test_accuracy_last": 0.5, "noise_rate_realized": 0.42}),
    ]
    lines = said(Results(cells=[each.cell for each in results], results=results))
    assert any(
        line.startswith("NOT THE SAME NOISE") and line.endswith("symmetric 0.4 of digits, seed 0.") for line in lines
    )


def test_other_data_for_the_same_seed_are_said():
    results = [result("elr", data={"sha256": "a"}), result("mae", data={"sha256": "b"}), result("mae", 1, data={})]
    lines = said(Results(cells=[each.cell for each in results], results=results))
    assert any(
        line.startswith("NOT THE SAME DATA") and line.endswith("symmetric 0.4 of digits, seed 0.") for line in lines
    )


def test_methods_that_know_the_noise_are_named():
    results = [result("forward", seed, filled={"transition": "transition"}) for seed in (0, 1)] + [result("mae")]
    lines = said(Results(cells=[each.cell for each in results], results=results))
    assert "TOLD what the noise really is, which the other methods are not: forward (transition)." in lines


def test_seeds_of_a_method_that_were_trained_differently_are_said():
    results = [result(seed=0, of={"settings": {"lam": 1}}), result(seed=1, of={"settings": {"lam": 2}})]
    lines = said(Results(cells=[each.cell for each in results], results=results))
    assert lines[0] == "NOT ONE METHOD: settings differ between the seeds of elr: its mean is of no use."


def test_differences_and_close_marks_are_explained():
    lines = said(bench({"elr": (0.9, 0.92, 0.94), "mae": (0.91, 0.90, 0.93)}), against="mae")
    assert any(line.startswith("~: not significantly worse") for line in lines)
    assert any(line.startswith("Differences to mae: method minus mae") for line in lines)


def test_a_measure_without_direction_is_said():
    found = Results(cells=[cell()], results=[result(measures={"noise_rate": 0.1})])
    assert "Whether more noise_rate is better is not known: no method is marked." in said(found, measure="noise_rate")


def test_columns_have_names():
    assert column_name(("d", "human", "worst")) == "human worst"
    assert column_name(("d", "own", None)) == "own"
    assert column_name(("d", "symmetric", 1)) == "symmetric 1"
