import csv
import io

from elr.runs.bench.show.long_form import as_csv
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.summary import summarize
from tiny_bench import bench, cell, failure, result


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_number_is_there_in_full():
    found = bench({"elr": (0.1, 0.2), "ce": (0.3, 0.7)})
    summary = summarize(found, against="ce")
    first, second = read(as_csv(summary))
    assert (first["data"], first["noise"], first["rate"], first["method"]) == ("digits", "symmetric", "0.4", "elr")
    entry = summary.entries["elr", cell().column]
    assert float(first["test_accuracy_last_mean"]) == entry.spreads["test_accuracy_last"].mean
    assert float(first["test_accuracy_last_std"]) == entry.spreads["test_accuracy_last"].std
    assert float(first["difference_low"]) == entry.difference.low
    assert (first["against"], first["difference_count"], first["seconds_mean"]) == ("ce", "2", "2.0")
    assert (second["mark"], second["difference_mean"]) == ("best", "")


def test_what_there_is_not_is_empty():
    cells = [cell(), cell(seed=1), cell("a,b"), cell("c", column=("digits", "none", None))]
    results = [result(peak_memory_bytes=10), failure("a,b"), result("c", column=("digits", "none", None))]
    lines = read(as_csv(summarize(Results(cells=cells, results=results), against="c")))
    assert [line["method"] for line in lines] == ["elr", "a,b", "c"]
    assert [line["seeds_done"] for line in lines] == ["1", "0", "1"]
    assert [line["seeds_failed"] for line in lines] == ["0", "1", "0"]
    assert [line["test_accuracy_last_mean"] for line in lines] == ["0.5", "", "0.5"]
    assert [line["test_accuracy_last_count"] for line in lines] == ["1", "0", "1"]
    assert [line["peak_memory_bytes_mean"] for line in lines] == ["10.0", "", ""]
    assert [line["difference_count"] for line in lines] == ["0", "0", ""]
    assert [line["difference_mean"] for line in lines] == ["", "", ""]
    assert lines[2]["rate"] == ""
