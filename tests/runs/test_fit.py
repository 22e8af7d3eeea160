"""The embedded default, and fit as a function."""

import json
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch

from elr import fit, predict
from elr.audit.evidence import read_evidence
from elr.cli.console import summarize
from elr.data.reading import ReadOptions
from elr.errors import ArgumentError, DataError
from elr.files import MODEL_FILE, read_run, read_tensors
from elr.methods.ensemble import grid
from elr.runs.fit_config import FitConfig


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return fit(out=tmp_path_factory.mktemp("digits") / "run")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return fit(out=tmp_path_factory.mktemp("single") / "run", config=FitConfig(members=1))


def test_digits_resist_memorization(digits):
    """One seed here; benchmarks/digits.py measures three."""
    methods = digits.results["methods"]
    elr, baseline = methods["elr"], methods["cross_entropy"]
    assert elr["test_accuracy_last"] >= 0.955
    assert elr["test_accuracy_last"] >= baseline["test_accuracy_last"] + 0.04
    assert elr["suspects_precision"] >= 0.94
    assert elr["suspects_recall"] >= 0.98
    assert elr["average_precision"] > 0.99
    assert elr["fraction_memorized"] < 0.05 < baseline["fraction_memorized"]
    low, high = elr["noise_rate_interval"]
    assert low < 0.42
    assert high > 0.4
    assert "chosen by the given labels of rows that its networks never saw" in elr["choice"]["text"]
    assert "choice" not in baseline


def test_digits_resist_memorization_in_a_single_network(single):
    methods = single.results["methods"]
    elr, baseline = methods["elr"], methods["cross_entropy"]
    assert elr["noise_rate_realized"] == pytest.approx(0.4, abs=0.001)
    assert elr["test_accuracy_last"] >= 0.955
    assert elr["test_accuracy_last"] >= baseline["test_accuracy_last"] + 0.04
    assert elr["suspects_precision"] >= 0.97
    assert elr["suspects_recall"] >= 0.97
    assert elr["average_precision"] > 0.99
    assert elr["fraction_memorized"] < 0.05 < baseline["fraction_memorized"]
    low, high = elr["noise_rate_interval"]
    assert low < 0.4 < high


def test_digits_report_shows_both_methods(digits, single):
    page = digits.report.read_text()
    assert "cross_entropy" in page
    assert "data:image/png;base64," in page
    assert "How the settings were chosen" in page
    assert "How the settings were chosen" not in single.report.read_text()
    first = single.fitted.history[0]
    assert {"fraction_memorized_on_wrong", "agreement_with_targets", "test_accuracy"} <= set(first)


def test_arrays_through_the_api(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=80)
    features = rng.normal(size=(80, 5)) + 3 * labels[:, None]
    outcome = fit((features, labels), out=tmp_path / "run", config=FitConfig(epochs=3))
    assert outcome.results["num_examples"] == 80
    assert outcome.fitted.audit.label_quality.shape == (80,)


def test_noise_for_experiments(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    features = rng.normal(size=(200, 5)) + 3 * labels[:, None]
    outcome = fit((features, labels), out=tmp_path / "run", noise=("pairflip", 0.3), config=FitConfig(epochs=20))
    assert outcome.results["noise_rate_realized"] == pytest.approx(0.3)
    assert outcome.results["suspects_recall"] > 0.8


# Networks side by side


def rows(count=80, classes=2):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    return rng.normal(size=(count, 4)) + 3 * np.eye(4)[labels], labels


def test_the_folder_predicts_the_mean_of_the_members(tmp_path):
    features, labels = rows()
    config = FitConfig(members=3, lam=3.0, network="linear", epochs=4, device="cpu")
    outcome = fit((features, labels), out=tmp_path / "run", config=config)
    run = outcome.fitted.run
    assert run["choice"]["members"] == 3
    predicted = predict(tmp_path / "run", (features, None))[["prob_0", "prob_1"]].to_numpy()
    weights = read_tensors(tmp_path / "run" / MODEL_FILE)
    encoded = torch.from_numpy(((features - features.mean(0)) / features.std(0)).astype(np.float32))
    each = [torch.softmax(encoded @ weights[f"{k}.head.weight"].T + weights[f"{k}.head.bias"], dim=1) for k in range(3)]
    assert not torch.allclose(each[0], each[1])
    np.testing.assert_allclose(predicted, torch.stack(each).mean(dim=0).numpy(), atol=1e-5)


def test_what_was_chosen_stands_in_run_json_and_the_results(tmp_path):
    outcome = fit(rows(), out=tmp_path / "run", config=FitConfig(lam=1.0, epochs=3, device="cpu"))
    choice = json.loads((tmp_path / "run" / "run.json").read_text())["choice"]
    assert set(choice) == {"text", "members", "settings", "candidates", "chosen"}
    assert [setting["lam"] for setting in choice["settings"]] == [1.0] * 3
    assert all(0 <= score <= 1 for setting in choice["settings"] for _, score in setting["curve"])
    assert {each["epoch"] for each in choice["candidates"]} == {3}
    assert outcome.results["choice"] == {name: choice[name] for name in ("text", "chosen")}
    assert choice["text"] in unescape((tmp_path / "run" / "report.html").read_text())


def test_what_was_left_out_for_want_of_memory_is_said_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grid, "MOST_BYTES", 4 * 80 * 2 * 3)
    outcome = fit(rows(), out=tmp_path / "run", config=FitConfig(epochs=2, device="cpu"))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    [remark] = run["remarks"]
    assert "3 are, of 1 setting" in remark
    assert remark in outcome.results["remarks"]
    assert remark in unescape((tmp_path / "run" / "report.html").read_text())
    summarize(outcome)
    assert f"note: {remark}" in capsys.readouterr().err


def test_a_class_of_two_rows_is_learned_and_judged(tmp_path):
    """A network that is blind to one of them sees the other; a class of one row is refused as for every method."""
    features, labels = rows(count=60)
    labels[:2] = 2
    features[:2] = [0.0, 0.0, 9.0, 0.0]
    config = FitConfig(members=5, lam=1.0, network="linear", device="cpu")
    outcome = fit((features, labels), out=tmp_path / "run", config=config)
    assert outcome.results["num_classes"] == 3
    assert np.isfinite(outcome.fitted.audit.label_quality).all()
    assert predict(tmp_path / "run", (features, None))["predicted_label"][:2].tolist() == [2, 2]
    labels[0] = 0
    with pytest.raises(DataError, match=r"one example only .2.: .* merge or remove these rows"):
        fit((features, labels), out=tmp_path / "other", config=config)


def test_cross_entropy_beside_an_ensemble_is_a_single_network(tmp_path):
    config = FitConfig(members=2, dropout=0.25, epochs=3, device="cpu")
    outcome = fit(rows(), out=tmp_path / "run", config=config, compare=True)
    assert outcome.fitted.run["method"]["members"] == 2
    assert outcome.baseline.run["method"] == {"name": "cross_entropy"} | outcome.baseline.run["method"]
    assert outcome.baseline.run["config"]["members"] == 1
    assert outcome.baseline.run["network"]["dropout"] == 0.25
    assert outcome.baseline.run["choice"] == {}


def test_contradictions_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="compared with itself"):
        fit(out=tmp_path / "run", config=FitConfig(method="cross_entropy"))
    with pytest.raises(ArgumentError, match="embedded digits"):
        fit(out=tmp_path / "run", options=ReadOptions(label="y"))
    assert not (tmp_path / "run").exists()


# Data frames: whose row is whose, and labels as they were


def frame_of(labels):
    features, numbers = rows()
    frame = pd.DataFrame(features, columns=list("pqrs")).assign(y=pd.Series(labels).take(numbers).to_numpy())
    return frame.sample(frac=1, random_state=0)


def test_predictions_and_audit_have_the_index_of_the_frame(tmp_path):
    frame = frame_of(["cat", "dog"])
    outcome = fit(frame, label="y", out=tmp_path / "run", config=FitConfig(epochs=4, members=2), compare=True)
    for audit in (outcome.fitted.audit, outcome.baseline.audit):
        table = audit.to_frame()
        assert (frame.loc[table.index, "y"] == table["given_label"]).all()
        assert (frame["y"].iloc[table["row"]].to_numpy() == table["given_label"].to_numpy()).all()
    for part in (frame, frame[frame.index % 2 == 1], frame.iloc[:0]):
        predicted = predict(tmp_path / "run", part)
        assert predicted.index.equals(part.index)
        assert predicted["row"].tolist() == list(range(len(part)))
        assert not len(part) or (predicted["predicted_label"] == part["y"]).mean() > 0.8
    assert predict(tmp_path / "run", frame.reset_index(drop=True)).index.equals(pd.RangeIndex(len(frame)))
    lines = pd.read_csv(tmp_path / "run" / "issues.csv")
    assert lines["row"].tolist() == outcome.fitted.audit.ranking.tolist()


def test_rows_without_a_label_leave_the_index_of_the_others(tmp_path):
    frame = frame_of(["cat", "dog"]).reset_index(drop=True)
    frame.loc[::9, "y"] = "?"
    options = ReadOptions(label="y", no_label=("?",))
    table = fit(frame, options=options, out=tmp_path / "run", config=FitConfig(epochs=2)).fitted.audit.to_frame()
    assert (frame.loc[table.index, "y"] == table["given_label"]).all()


@pytest.mark.parametrize(
    "labels",
    [[False, True], [0.5, -1.5], pd.to_datetime(["2024-01-01", "2024-02-03"]), [3, 7], [0.0, 1.0], ["cat", "dog"]],
    ids=["truths", "fractions", "dates", "integers", "whole", "text"],
)
def test_labels_come_back_as_what_they_were(tmp_path, labels):
    frame = frame_of(labels)
    outcome = fit(frame, label="y", out=tmp_path / "run", config=FitConfig(epochs=4, members=2))
    table = outcome.fitted.audit.to_frame()
    predicted = predict(tmp_path / "run", frame.drop(columns="y"))
    for column in (predicted["predicted_label"], table["given_label"], table["predicted_label"]):
        assert column.dtype == frame["y"].dtype
        assert (column == frame["y"][column.index]).mean() > (1.0 if column is table["given_label"] else 0.8) - 1e-9
    names = read_run(tmp_path / "run")["preprocessing"]["class_names"]
    assert {type(name) for name in names} <= {int, str}  # in files they are what they were


def test_a_run_that_does_not_say_what_its_labels_were_predicts_text(tmp_path):
    """Runs of earlier versions, and those of CSV files."""
    frame = frame_of([False, True])
    fit(frame, label="y", out=tmp_path / "run", config=FitConfig(epochs=4, members=2))
    run = read_run(tmp_path / "run")
    assert run["data"].pop("label_type") == "bool"
    (tmp_path / "run" / "run.json").write_text(json.dumps(run))
    assert set(predict(tmp_path / "run", frame)["predicted_label"]) == {"False", "True"}
    frame.to_csv(tmp_path / "t.csv")
    resumed = fit(frame, label="y", out=tmp_path / "run", config=FitConfig(epochs=4, members=2), resume=True)
    assert resumed.fitted.before
    outcome = fit(tmp_path / "t.csv", label="y", out=tmp_path / "csv", config=FitConfig(epochs=4, members=2))
    assert set(outcome.fitted.audit.to_frame()["given_label"]) == {"False", "True"}


# Rows in which there is nothing


@pytest.mark.parametrize("members", [1, 3])
def test_labels_of_empty_texts_are_not_judged(tmp_path, members):
    rng = np.random.default_rng(0)
    words = {"cat": "purr whiskers tail meow", "dog": "bark bone leash growl", "eel": "river slippery long fish"}
    names = np.array(list(words))[np.arange(200) % 3]
    frame = pd.DataFrame({"text": [" ".join(rng.choice(words[name].split(), 4)) for name in names], "y": names})
    empty = np.arange(200) % 10 == 0
    frame.loc[empty, "text"] = np.resize(["", None, "  ", "!?"], empty.sum())
    wrong = np.arange(200) % 7 == 3
    frame.loc[wrong, "y"] = "dog"
    options, config = ReadOptions(label="y", text="text"), FitConfig(members=members, epochs=8)
    audit = fit(frame, options=options, out=tmp_path / "run", config=config).fitted.audit
    really = wrong & ~empty & (names != "dog")
    assert not audit.is_label_issue[empty].any()
    assert (audit.predicted_labels == audit.labels)[empty].all()
    assert members == 1 or audit.is_label_issue[really].mean() > 0.7
    lines = pd.read_csv(tmp_path / "run" / "issues.csv").set_index("row").loc[np.flatnonzero(empty)]
    assert (lines["given_label"] == lines["predicted_label"]).all()
    assert np.array_equal(read_evidence(tmp_path / "run").audit().label_quality, audit.label_quality)


def test_labels_of_empty_rows_of_a_table_are_not_judged(tmp_path):
    frame = frame_of(["cat", "dog"]).reset_index(drop=True)
    frame["kind"] = frame["y"]
    empty = np.arange(len(frame)) % 10 == 0
    frame.loc[empty, ["p", "q", "r", "s", "kind"]] = None
    options = ReadOptions(label="y", keep=("kind",))
    outcome = fit(frame, options=options, out=tmp_path / "run", config=FitConfig(members=2, epochs=4))
    assert not outcome.fitted.audit.is_label_issue[empty].any()
    said = "8 of 80 rows are empty in all columns learned from: their labels are not judged"
    assert said in outcome.results["remarks"]
