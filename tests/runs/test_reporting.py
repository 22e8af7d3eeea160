"""The report of a run is kept, and shown again without the data."""

import json
from dataclasses import replace

import numpy as np
import pytest

import elr
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, OutputError
from elr.methods.ensemble.grid import HIDDEN
from elr.runs.reporting import compared, comparison, rewrite_report, write_report


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    data = (np.tile(np.eye(2), (30, 1)), np.tile([0, 1], 30))
    return elr.fit(data, out=tmp_path_factory.mktemp("run") / "run", config=elr.FitConfig(epochs=2)).fitted


def test_the_page_is_built_again_byte_by_byte(fitted, tmp_path):
    path = rewrite_report(fitted.out, tmp_path / "again.html")
    assert path.read_bytes() == (fitted.out / "report.html").read_bytes()
    assert "How the settings were chosen" in path.read_text()
    with pytest.raises(OutputError, match="exists already"):
        rewrite_report(fitted.out, path)


def test_a_choice_that_is_damaged_is_refused(fitted, tmp_path):
    stored = fitted.out / "report.json"
    whole = stored.read_text()
    content = json.loads(whole)
    content["choice"]["candidates"][0]["score"] = "<script>"
    stored.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"report\.json is damaged .choice: '<script>' where a number is expected"):
        rewrite_report(fitted.out, tmp_path / "damaged.html")
    stored.write_text(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["num_examples"], 60.5),
        (["num_label_issues"], -1),
        (["confusions"], [{"given": "a", "clean": "b", "num_rows": 1.5}]),
        (["noise_rate"], "0.5"),
        (["noise_rate_interval", 0], True),
        (["reading", "classes"], {}),
    ],
)
def test_a_report_json_whose_values_are_others_is_refused(fitted, tmp_path, path, value):
    stored = fitted.out / "report.json"
    whole = stored.read_text()
    inner = content = json.loads(whole)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    stored.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"report\.json is damaged"):
        rewrite_report(fitted.out, tmp_path / "damaged.html")
    stored.write_text(whole)


def test_the_settings_name_every_network(fitted):
    settings = json.loads((fitted.out / "report.json").read_text())["settings"]
    assert settings["network"] == f"mlp {HIDDEN[0]}-{HIDDEN[1]}, linear"
    assert settings["members"] == 5
    assert settings["lam"] == "0, 1, 3, 7"


def test_a_run_without_a_report_says_how_to_get_one(fitted, tmp_path):
    stored = fitted.out / "report.json"
    stored.rename(tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="stopped before its report was written; repeat its command with --resume"):
        rewrite_report(fitted.out)
    (tmp_path / "report.json").rename(stored)


def test_the_row_of_a_comparison_has_what_was_measured(fitted):
    assert compared(fitted) == {"method": "elr", "seconds": fitted.results["seconds"]}


def test_a_run_json_that_lacks_what_a_report_tells_is_damaged_only_where_it_was_read_again(fitted):
    prepared = prepare_data((np.tile(np.eye(2), (30, 1)), np.tile([0, 1], 30)), ReadOptions())
    less = {name: value for name, value in fitted.results.items() if name != "num_classes"}
    with pytest.raises(ArtifactError, match=r"run\.json is damaged \('num_classes'\): repeat its command"):
        write_report(prepared, replace(fitted, results=less, before=True))
    with pytest.raises(KeyError):
        write_report(prepared, replace(fitted, results=less))


def test_the_last_is_compared_with_the_last(fitted):
    """Of networks that are chosen test data are asked once; the best of a hundred epochs is no number beside it."""
    once = replace(fitted, results=fitted.results | {"test_accuracy_last": 0.8})
    each = replace(fitted, results=fitted.results | {"test_accuracy_last": 0.7, "test_accuracy_best": 0.9})
    assert [row.get("test_accuracy_best") for row in comparison([each, once])] == [None, None]
    assert [row["test_accuracy_last"] for row in comparison([each, once])] == [0.7, 0.8]
    assert [row["test_accuracy_best"] for row in comparison([each, each])] == [0.9, 0.9]
