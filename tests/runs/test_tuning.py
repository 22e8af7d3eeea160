"""The search for settings: on noisy labels alone, the same however often it is stopped."""

import json
import sys
from dataclasses import replace

import numpy as np
import optuna
import pytest
from typer.testing import CliRunner

from blobs import blobs
from elr import fit
from elr.cli.main import app
from elr.data.examples import Examples
from elr.data.prepared_data import hold_out, prepare_records
from elr.data.records import FEATURES, ReadOptions, Records
from elr.errors import ArgumentError, CheckpointError, OutputError
from elr.runs import tuning
from elr.runs.fit_config import FitConfig

SINGLE = FitConfig(members=1)  # as `fit` searches, unless told otherwise
SHORT = replace(SINGLE, epochs=2, device="cpu", precision="float32")


def prepared(noise_rate=0.2, test=False):
    features, given, clean = blobs(noise_rate=noise_rate)
    records = Records(kind=FEATURES, rows=np.arange(120), features=features, labels=given.tolist())
    trusted = replace(records, labels=clean.tolist()) if test else None
    records = replace(records, clean_labels=clean.tolist()) if test else records
    return prepare_records(records, trusted, options=ReadOptions(), source="blobs")


def trials(out):
    """Every trial in a folder, as Optuna itself reads them."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{out / 'tuning.sqlite'}")
    try:
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()


def values(out):
    return [(trial.params, trial.values) for trial in trials(out) if trial.state.name == "COMPLETE"]


@pytest.fixture
def made_up(monkeypatch):
    """Instead of training: `made_up(rule)` predicts the held-out labels that rule(settings) says; returns the calls."""

    def use(rule):
        calls = []

        def correct(config, settings, part, on_progress):
            calls.append(settings)
            return np.arange(len(part.validation)) < rule(settings) * len(part.validation)

        monkeypatch.setattr(tuning, "_correct", correct)
        return calls

    return use


def test_the_first_trial_has_the_defaults(tmp_path):
    config, found = tuning.tune(prepared(), SINGLE, trials=1, out=tmp_path / "run")
    ((settings, accuracy),) = values(tmp_path / "run")
    defaults = {"lam": 3.0, "beta": 0.7, "learning_rate": 0.02, "epochs": 100}
    assert settings == found.best == defaults
    assert config == replace(SINGLE, **defaults)
    assert found.kept_defaults
    assert accuracy == [found.validation_accuracy]
    assert found.validation_accuracy > 0.6
    assert found.num_held_out == 24


def test_a_seed_gives_one_search_and_another_seed_another(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tuning.tune(prepared(), replace(SHORT, seed=seed), trials=3, out=tmp_path / name)
    assert values(tmp_path / "a") == values(tmp_path / "b")
    assert values(tmp_path / "a")[1:] != values(tmp_path / "c")[1:]


def test_a_stopped_search_goes_on_and_finds_what_an_unbroken_one_finds(tmp_path):
    def stop(name, progress):
        if name == "trial 3/4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.tune(prepared(), SHORT, trials=4, out=tmp_path / "run", on_progress=stop)
    assert [trial.state.name for trial in trials(tmp_path / "run")] == ["COMPLETE", "COMPLETE", "RUNNING"]
    seen = []
    resumed = tuning.tune(
        prepared(), SHORT, trials=4, out=tmp_path / "run", resume=True, on_progress=lambda name, _: seen.append(name)
    )
    assert set(seen) == {"trial 3/4", "trial 4/4"}
    assert resumed == tuning.tune(prepared(), SHORT, trials=4, out=tmp_path / "whole")
    assert values(tmp_path / "run") == values(tmp_path / "whole")
    assert [trial.state.name for trial in trials(tmp_path / "run")].count("FAIL") == 1


def test_stopped_before_the_first_trial_was_done(tmp_path):
    def stop(name, progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.tune(prepared(), SHORT, trials=2, out=tmp_path / "run", on_progress=stop)
    tuning.tune(prepared(), SHORT, trials=2, out=tmp_path / "run", resume=True)
    assert values(tmp_path / "run")[0][0]["lam"] == 3.0


def test_a_search_of_something_else_is_not_gone_on_with(tmp_path):
    out = tmp_path / "run"
    tuning.tune(prepared(), SHORT, trials=1, out=out)
    with pytest.raises(OutputError, match="already holds a search"):
        tuning.tune(prepared(), SHORT, trials=1, out=out)
    for other, config, words in (
        (prepared(noise_rate=0.3), SHORT, "data was"),
        (prepared(), replace(SHORT, weight_decay=0.1), "weight_decay was None, now 0.1"),
        (prepared(), replace(SHORT, lam=3.0), "lam was None, now 3.0"),
    ):
        with pytest.raises(CheckpointError, match=words):
            tuning.tune(other, config, trials=1, out=out, resume=True)
    assert len(trials(out)) == 1


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"something else \(mine.txt\)"):
        tuning.tune(prepared(), SHORT, trials=1, out=tmp_path, resume=True)
    features, given, _ = blobs()
    fit((features, given), out=tmp_path / "run", config=SHORT)
    with pytest.raises(CheckpointError, match="run without a search"):
        tuning.tune(prepared(), SHORT, trials=1, out=tmp_path / "run", resume=True)
    with pytest.raises(OutputError, match="already holds a run"):
        tuning.tune(prepared(), SHORT, trials=1, out=tmp_path / "run")
    tuning.tune(prepared(), SHORT, trials=1, out=tmp_path / "search")
    with pytest.raises(OutputError, match=r"something else \(tuning.sqlite\)"):
        fit((features, given), out=tmp_path / "search", config=SHORT, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "run", "search"]
    assert [path.name for path in (tmp_path / "search").iterdir()] == ["tuning.sqlite"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tuning.sqlite").write_text("no database " * 100)
    with pytest.raises(CheckpointError, match=r"tuning.sqlite cannot be read \(file is not a database\)"):
        tuning.tune(prepared(), SHORT, trials=1, out=tmp_path, resume=True)


def test_folders_may_have_any_name(tmp_path):
    out = tmp_path / "a?b=c {d} 100%25 é #1"
    tuning.tune(prepared(), SHORT, trials=1, out=out)
    _, found = tuning.tune(prepared(), SHORT, trials=1, out=out, resume=True)
    assert found.trials == 1
    assert [path.name for path in out.iterdir()] == ["tuning.sqlite"]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_given_settings_are_not_searched(tmp_path, made_up):
    calls = made_up(lambda settings: settings["learning_rate"])
    config, _ = tuning.tune(prepared(), replace(SINGLE, lam=5.0, epochs=7), trials=8, out=tmp_path / "run")
    assert all(set(settings) == {"beta", "learning_rate"} for settings in calls)
    assert (config.lam, config.epochs) == (5.0, 7)
    tuning.tune(prepared(), FitConfig(method="cross_entropy"), trials=2, out=tmp_path / "plain")
    assert set(values(tmp_path / "plain")[1][0]) == {"learning_rate", "epochs"}


def test_settings_stay_in_their_space(tmp_path, made_up):
    calls = made_up(lambda settings: 0.5)
    tuning.tune(prepared(), SINGLE, trials=30, out=tmp_path / "run")
    assert all(0 <= settings["lam"] <= 10 and settings["lam"] % 0.5 == 0 for settings in calls)
    assert all(0 <= settings["beta"] <= 0.99 and settings["beta"] == round(settings["beta"], 2) for settings in calls)
    assert all(0.002 <= settings["learning_rate"] <= 0.2 for settings in calls)
    assert all(25 <= settings["epochs"] <= 200 for settings in calls)
    assert len({settings["lam"] for settings in calls}) > 5


def test_the_best_settings_are_taken_where_they_are_better_by_a_standard_error(tmp_path, made_up):
    made_up(lambda settings: 0.9 if settings["lam"] > 5 else 0.5)
    config, found = tuning.tune(prepared(), SINGLE, trials=10, out=tmp_path / "better")
    assert not found.kept_defaults
    assert config.lam == found.best["lam"] > 5
    assert (found.validation_accuracy, found.default_validation_accuracy) == pytest.approx((22 / 24, 0.5))
    assert found.standard_error == pytest.approx(10**0.5 / 24)  # ten rows won, none lost
    assert "predict 91.7% of them, the defaults 50.0%" in found.text


def test_the_defaults_are_kept_where_nothing_is_clearly_better(tmp_path, made_up):
    made_up(lambda settings: 0.5 if settings["lam"] == 3.0 else 0.54)  # one row more: a standard error of one row
    config, found = tuning.tune(prepared(), SINGLE, trials=5, out=tmp_path / "alike")
    assert found.highest_validation_accuracy == pytest.approx(13 / 24)
    assert found.standard_error == pytest.approx(1 / 24)
    assert (config.lam, found.kept_defaults) == (3.0, True)
    assert "no more than a standard error" in found.text
    made_up(lambda settings: 0.5 if settings["lam"] == 3.0 else 0.4)
    config, found = tuning.tune(prepared(), SINGLE, trials=5, out=tmp_path / "worse")
    assert (config.lam, found.kept_defaults) == (3.0, True)
    assert "no others more" in found.text


def test_a_search_may_be_made_longer_and_looks_at_no_more_than_asked(tmp_path, made_up):
    made_up(lambda settings: settings["lam"] / 10)
    tuning.tune(prepared(), SINGLE, trials=6, out=tmp_path / "run")
    _, shorter = tuning.tune(prepared(), SINGLE, trials=3, out=tmp_path / "run", resume=True)
    _, longer = tuning.tune(prepared(), SINGLE, trials=9, out=tmp_path / "run", resume=True)
    assert (shorter.trials, longer.trials, len(trials(tmp_path / "run"))) == (3, 9, 9)


def test_training_that_diverges_counts_as_nothing_predicted(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "RATE_FACTOR", 1e9)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="not finite"):
        _, found = tuning.tune(prepared(), replace(SINGLE, epochs=2), trials=4, out=tmp_path / "run")
    assert min(accuracy for _, (accuracy,) in values(tmp_path / "run")) == 0.0
    assert found.highest_validation_accuracy > 0.0


class Unread:
    """Fails whoever looks at it."""

    def __getattribute__(self, name):
        raise AssertionError(f"clean labels or test data were read ({name})")

    def __len__(self):
        raise AssertionError("clean labels or test data were read")

    __getitem__ = __iter__ = __array__ = __len__


def test_clean_labels_and_test_data_are_never_looked_at(tmp_path):
    known = prepared(test=True)
    hidden = replace(known, records=replace(known.records, clean_labels=Unread()), clean_labels=Unread(), test=Unread())
    found = tuning.tune(hidden, SHORT, trials=2, out=tmp_path / "hidden")
    assert found == tuning.tune(known, SHORT, trials=2, out=tmp_path / "known")
    with pytest.raises(AssertionError, match="were read"):
        hidden.probe  # noqa: B018


def test_every_class_keeps_a_row_to_train_on():
    labels = np.array([0] * 30 + [1] * 2 + [2] * 2 + [3] * 2)
    records = Records(kind=FEATURES, rows=np.arange(36), features=np.eye(36, dtype=np.float32), labels=labels.tolist())
    whole = prepare_records(records, None, options=ReadOptions(), source="few")
    for seed in range(20):
        part = hold_out(whole, 0.8, seed=seed)
        assert set(part.examples.labels.tolist()) == {0, 1, 2, 3}
        assert len(part.validation) == 29
        assert len(part.examples) == len(part.records) == 7
        both = np.concatenate([part.examples.inputs, part.validation.inputs])
        assert (np.sort(both.argmax(axis=1)) == np.arange(36)).all()
        assert isinstance(part.validation, Examples)


@pytest.mark.parametrize("count", [0, -3, 2.0, True])
def test_at_least_one_trial(count, tmp_path):
    with pytest.raises(ArgumentError, match=f"tune is {count}: expected (the number of settings to try|an integer)"):
        fit(out=tmp_path / "run", tune=count)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_searched_leaves_nothing_behind(tmp_path, monkeypatch):
    out = tmp_path / "run"
    whole = FitConfig(members=1, lam=1.0, beta=0.5, learning_rate=0.1, epochs=3)
    features, given, _ = blobs()
    for config, words in (
        (whole, "nothing to search"),
        (replace(SINGLE, lam=-1.0), "lam is -1.0"),
        (replace(SINGLE, batch_size=110), "96 examples are fewer than a batch of 110"),
    ):
        with pytest.raises(ArgumentError, match=words):
            fit((features, given), out=out, config=config, tune=2)
    few = np.concatenate([np.flatnonzero(given == label)[:10] for label in range(3)])
    with pytest.raises(ArgumentError, match="would hold 6 of 30 rows out"):
        fit((features[few], given[few]), out=out, tune=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="one process"):
        fit((features, given), out=out, tune=2)
    assert not out.exists()


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = CliRunner().invoke(app, ["fit", "--tune", "2", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "pip install 'elr[tune]'" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run whose settings were searched, beside cross entropy."""
    out = tmp_path_factory.mktemp("tuned") / "run"
    features, given, _ = blobs()
    return fit((features, given), out=out, config=FitConfig(epochs=3), tune=3, compare=True)


def test_the_run_says_how_its_settings_were_chosen(tuned):
    out = tuned.fitted.out
    run = json.loads((out / "run.json").read_text())
    found = run["tuning"]
    assert run["results"]["tuning"] == found == tuned.fitted.results["tuning"]
    assert found["trials"] == 3
    assert {name: run["config"][name] for name in found["best"]} == found["best"]
    assert run["training"]["learning_rate"] == found["best"]["learning_rate"]
    assert run["method"]["lam"] == found["best"]["lam"]
    assert run["config"]["members"] == 1, "the long search is of a single network"
    assert run["data"]["num_examples"] == 120
    assert "Settings: 3 trials on 24 held-out given labels" in (out / "report.html").read_text()


def test_an_ensemble_is_searched_where_it_is_asked_for(tmp_path):
    """What it chooses by itself is not searched a second time."""
    features, given, _ = blobs()
    config = FitConfig(members=2, lam=3.0, network="linear", device="cpu")
    outcome = fit((features, given), out=tmp_path / "run", config=config, tune=2)
    results = outcome.fitted.results
    assert set(results["tuning"]["best"]) == {"beta", "learning_rate", "epochs"}
    assert outcome.fitted.run["method"]["members"] == 2
    assert results["choice"]["chosen"][0]["lam"] == 3.0


def test_cross_entropy_is_compared_with_the_same_loop(tuned):
    assert tuned.baseline.run["training"] == tuned.fitted.run["training"]
    assert "tuning" not in tuned.baseline.results


def test_a_finished_run_is_given_back(tuned):
    out = tuned.fitted.out
    features, given, _ = blobs()
    config = FitConfig(epochs=3)
    again = fit((features, given), out=out, config=config, tune=3, compare=True, resume=True)
    assert again.results == tuned.results
    with pytest.raises(CheckpointError, match=r"tuning.trials was 3, now 2"):
        fit((features, given), out=out, config=config, tune=2, compare=True, resume=True)
    same = replace(config, members=1, **again.fitted.results["tuning"]["best"])
    with pytest.raises(CheckpointError, match="chosen by a search"):
        fit((features, given), out=out, config=same, compare=True, resume=True)


def test_the_command_says_where_it_stands_and_what_it_chose(tmp_path):
    features, given, _ = blobs()
    np.savez(tmp_path / "d.npz", x=features, y=given)
    arguments = ["fit", str(tmp_path / "d.npz"), "--label", "y", "--tune", "2", "--epochs", "2", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)["tuning"]
    assert printed["trials"] == 2
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("trial")] == ["trial 1/2", "trial 2/2"]
    assert printed["text"] in lines
    assert optuna.logging.get_verbosity() == optuna.logging.INFO  # as it was
