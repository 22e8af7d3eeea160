"""One run on prepared data: its folder is that of this very run, and its evidence is all that is read back."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from pandas import read_csv

import elr
from elr.audit.evidence import read_evidence
from elr.cli.console import how_good
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, CheckpointError, OutputError
from elr.files import without_nan
from elr.runs import run as runs
from elr.runs import run_folder
from elr.runs.fit_config import FitConfig
from elr.runs.run import run_plan
from elr.runs.run_folder import alone_in
from elr.training import checkpoints
from elr.training.verdict import MEMORIZATION, EarlyLearning


@pytest.fixture(scope="module")
def prepared():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=80)
    inputs = labels[:, None] + 0.3 * rng.normal(size=(80, 3))
    return prepare_data((inputs, np.where(rng.random(80) < 0.2, 1 - labels, labels)), ReadOptions())


def run(prepared, out, *, resume=False, **settings):
    config = FitConfig(**{"epochs": 2} | settings)
    return run_plan(prepared, config.plan(prepared), config=config.to_json(), out=out, resume=resume)


def test_a_finished_run_is_given_back_from_its_evidence_alone(prepared, tmp_path):
    fitted = run(prepared, tmp_path / "run")
    (tmp_path / "run" / "issues.csv").unlink()
    again = run(prepared, tmp_path / "run", resume=True)
    for name in ("labels", "predicted_labels", "label_quality", "error_probs"):
        np.testing.assert_array_equal(getattr(again.audit, name), getattr(fitted.audit, name))
    assert json.loads(json.dumps(again.results)) == json.loads(json.dumps(fitted.results))
    assert read_evidence(tmp_path / "run").margins.dtype == np.float32


def verdict_of(monkeypatch, state):
    found = EarlyLearning(state=state, epoch=1, text="As told.", evidence={})
    monkeypatch.setattr(runs, "early_learning", lambda history, **settings: found)


def test_a_single_network_that_memorized_tells_no_noise_rate(prepared, tmp_path, monkeypatch):
    verdict_of(monkeypatch, MEMORIZATION)
    fitted = run(prepared, tmp_path / "run", members=1)
    again = run(prepared, tmp_path / "run", members=1, resume=True)
    for each in (fitted, again):
        told = json.loads(json.dumps(without_nan(each.results)))
        assert (told["noise_rate"], told["noise_rate_interval"]) == (None, [0.0, 1.0])
        assert "expected_precision" not in told
        assert told["warnings"][0]["kind"] == "labels memorized"
        assert math.isnan(each.audit.noise_rate)
    assert read_csv(tmp_path / "run" / "issues.csv")["expected_precision"].isna().all()


def test_networks_that_never_saw_the_labels_tell_it_whatever_they_learned(prepared, tmp_path, monkeypatch):
    verdict_of(monkeypatch, MEMORIZATION)
    results = run(prepared, tmp_path / "run").results
    assert 0 < results["noise_rate"] < 1
    assert "labels memorized" not in {each.get("kind") for each in results["warnings"]}


def test_the_agreement_of_what_was_chosen_is_one_number(prepared, tmp_path):
    fitted = run(prepared, tmp_path / "run")
    said = float((fitted.audit.favored_counts.trace()) / 80)
    assert fitted.results["out_of_fold_agreement"] == said
    assert f"agrees with {said:.1%} of the given labels that they never saw" in fitted.results["choice"]["text"]
    assert fitted.run["choice"]["text"] == fitted.results["choice"]["text"]
    assert f"{said:.1%} of the given labels are predicted" in how_good(fitted)
    assert "out_of_fold_agreement" not in run(prepared, tmp_path / "one", members=1).results


def test_of_one_measurement_there_is_no_best(prepared, tmp_path):
    rng = np.random.default_rng(1)
    tested = (rng.normal(size=(30, 3)), np.arange(30) % 2)
    data = (prepared.examples.inputs.numpy(), prepared.examples.labels.numpy())
    once = elr.fit(data, test=tested, out=tmp_path / "run", config=FitConfig(epochs=3)).fitted.results
    assert "test_accuracy_last" in once
    assert "test_accuracy_best" not in once
    each = elr.fit(data, test=tested, out=tmp_path / "one", config=FitConfig(epochs=3, members=1)).fitted.results
    assert each["test_accuracy_best"] >= each["test_accuracy_last"]


def test_a_run_that_was_quicker_keeps_its_folder(prepared, tmp_path, monkeypatch):
    """Two begin at once: the other has made its run.json after this one has looked."""
    (tmp_path / "run").mkdir()
    theirs = '{"status": "running"}'
    looked = run_folder.contents

    def look(out):
        names = looked(out)
        (out / "run.json").write_text(theirs)
        return names

    monkeypatch.setattr(run_folder, "contents", look)
    with pytest.raises(OutputError, match=r"another run was quicker to take .*: choose another --out, such as .*run-2"):
        run(prepared, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
    assert (tmp_path / "run" / "run.json").read_text() == theirs


class Stopped(Exception):
    pass


def begun(prepared, out):
    """The folder of a run that was stopped in its first epoch."""

    def stop(progress):
        raise Stopped

    config = FitConfig(epochs=2)
    with pytest.raises(Stopped):
        run_plan(prepared, config.plan(prepared), config=config.to_json(), out=out, on_progress=stop)


def test_a_run_that_goes_on_keeps_the_preprocessing_that_is_saved_with_it(prepared, tmp_path):
    """Not what its run.json had of it: that was neither compared with the present one nor used, and kept."""
    begun(prepared, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"preprocessing": told["preprocessing"] | {"columns": {"a": "odd"}}}))
    run(prepared, tmp_path / "run", resume=True)
    assert json.loads(path.read_text())["preprocessing"] == told["preprocessing"]


def test_a_finished_run_that_is_refused_is_left_as_it_was(prepared, tmp_path):
    run(prepared, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("[")
    (tmp_path / "run" / "checkpoint-000001").mkdir()
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl"):
        run(prepared, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "checkpoint-000001").is_dir()


def test_two_that_go_on_in_one_folder_do_not_mix_their_checkpoints(prepared, tmp_path):
    begun(prepared, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_text()
    with alone_in(tmp_path / "run"), pytest.raises(OutputError, match="another process is at work in"):
        run(prepared, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "run.json").read_text() == before
    assert run(prepared, tmp_path / "run", resume=True).run["status"] == "complete"


def test_a_run_that_another_process_finished_in_the_meantime_is_given_back(prepared, tmp_path, monkeypatch):
    begun(prepared, tmp_path / "run")
    begun(prepared, tmp_path / "theirs")
    theirs = run(prepared, tmp_path / "theirs", resume=True)

    def finished(*_):
        shutil.copytree(tmp_path / "theirs", tmp_path / "run", dirs_exist_ok=True)

    monkeypatch.setattr(runs, "_refuse_other_ranks", finished)  # between the look at the folder and its taking
    again = run(prepared, tmp_path / "run", resume=True)
    assert again.run["created"] == theirs.run["created"]
    np.testing.assert_array_equal(again.audit.label_quality, theirs.audit.label_quality)


def test_ranks_agree_on_the_state_of_the_folder_before_one_of_them_leaves(prepared, tmp_path, monkeypatch):
    """One that saw the run of an orphaned rank complete, and one that did not, waited for each other for ever."""
    run(prepared, tmp_path / "run")
    told = []
    monkeypatch.setattr(runs, "refuse_other_ranks", told.append)
    run(prepared, tmp_path / "run", resume=True)
    assert [each["the state of the folder"] for each in told] == ["complete"]


def test_another_run_is_refused_by_what_has_changed(prepared, tmp_path):
    run(prepared, tmp_path / "run")
    with pytest.raises(OutputError, match="already holds a run: choose another --out"):
        run(prepared, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"configuration: epochs was 2, now 3; repeat"):
        run(prepared, tmp_path / "run", resume=True, epochs=3)
    with pytest.raises(CheckpointError, match="configuration: method was elr, now cross_entropy; repeat"):
        run(prepared, tmp_path / "run", resume=True, method="cross_entropy")


def test_stopped_within_an_epoch_networks_side_by_side_end_bit_identical(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)  # one after each epoch
    config = FitConfig(members=2, batch_size=20, device="cpu", precision="float32")
    plan = replace(config.plan(prepared), training=replace(config.plan(prepared).training, epochs=6))
    plan = replace(plan, method=replace(plan.method, epochs=6, kept_epochs=(2, 4)))

    def stop(progress):
        if progress.step == 15:  # within the fourth epoch: one of the kept is behind it, one ahead
            raise Stopped

    def go(out, **settings):
        return run_plan(prepared, plan, config=config.to_json(), out=out, **settings)

    whole = go(tmp_path / "whole")
    with pytest.raises(Stopped):
        go(tmp_path / "stopped", on_progress=stop)
    assert len((tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()) == 3
    resumed = go(tmp_path / "stopped", resume=True)
    assert resumed.run["choice"] == whole.run["choice"]
    assert {each["epoch"] for each in whole.run["choice"]["candidates"]} == {2, 4, 6}
    for name in ("model.safetensors", "evidence.parquet", "issues.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
