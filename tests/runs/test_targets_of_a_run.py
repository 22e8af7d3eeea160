"""`elr fit` with other stores than the plain one: the folder, the words, and the same results."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.devices import memory_for_tables
from elr.errors import ArgumentError, OutputError
from elr.runs import plan
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig
from elr.targets import table_file

LABELS = np.tile([0, 1, 2], 20)
DATA = (np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(4)[LABELS], LABELS)


def fitted(folder, **settings):
    return fit(DATA, out=folder, config=FitConfig(epochs=2, device="cpu", **settings)).fitted


def test_a_mapped_run_is_the_dense_run_and_leaves_no_table(tmp_path):
    dense = fitted(tmp_path / "dense", members=1)
    mapped = fitted(tmp_path / "mapped", members=1, targets="mapped", targets_dtype="float32")
    assert np.array_equal(dense.audit.label_quality, mapped.audit.label_quality)
    names = [{path.name for path in each.out.iterdir()} for each in (dense, mapped)]
    assert names[0] == names[1]
    assert mapped.run["targets"] == {"placement": "mapped", "dtype": "float32", "top_k": 16}
    assert "the targets are kept as mapped ones in float32, 720 bytes of disk" in mapped.results["remarks"]
    assert not any("targets are" in remark for remark in dense.results["remarks"])


def test_a_disk_that_is_too_small_for_the_checkpoints_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    size = 4096 + 60 * 3 * 4
    monkeypatch.setattr(table_file.shutil, "disk_usage", lambda place: SimpleNamespace(free=3 * size - 1))
    message = f"need {3 * size:,} bytes of disk .*{3 * size - 1:,} are free there: make room"
    with pytest.raises(OutputError, match=message):
        fitted(tmp_path / "run", members=1, targets="mapped", targets_dtype="float32")
    assert not (tmp_path / "run").exists()


def test_memory_that_is_short_chooses_and_a_resumed_run_keeps_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "memory_for_tables", lambda device, limit: 100)
    first = fitted(tmp_path / "run", members=1)
    assert first.run["targets"]["placement"] == "mapped"
    monkeypatch.setattr(plan, "memory_for_tables", memory_for_tables)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(run | {"status": "running"}))
    again = fit(DATA, out=tmp_path / "run", config=FitConfig(epochs=2, device="cpu", members=1), resume=True).fitted
    assert again.run["targets"] == first.run["targets"]
    assert np.array_equal(first.audit.label_quality, again.audit.label_quality)


def test_the_first_process_says_how_much_memory_is_free(monkeypatch):
    """Each sees something else free; what they choose is the same."""
    prepared = prepare_data(DATA, ReadOptions())
    monkeypatch.setattr(plan, "memory_for_tables", lambda *_: 10**9)
    plain = FitConfig(epochs=2, members=1, device="cpu").plan(prepared)
    monkeypatch.setattr(plan, "from_main_process", lambda _, found: {10**9: 100}.get(found(), 1))
    told = FitConfig(epochs=2, members=1, device="cpu").plan(prepared)
    assert (plain.targets.placement, told.targets.placement) == ("dense", "mapped")


def test_targets_of_a_method_that_has_none_are_not_stored_and_it_is_said(tmp_path):
    run = fitted(tmp_path / "run", members=1, method="gce", targets="sparse").run
    said = "the targets are not stored: sparse ones were asked for, and the method has none as it is set"
    assert said in run["results"]["remarks"]
    assert run["targets"]["placement"] == "dense"


def test_what_is_compared_with_is_not_asked_for_targets(tmp_path):
    config = FitConfig(epochs=2, device="cpu", members=1, targets="sparse")
    outcome = fit(DATA, out=tmp_path / "run", config=config, compare=True)
    assert any("kept as sparse ones" in remark for remark in outcome.fitted.results["remarks"])
    assert not any("the targets are" in remark for remark in outcome.baseline.results["remarks"])


def test_stateless_elr_averages_weights_and_others_refuse(tmp_path):
    run = fitted(tmp_path / "run", members=1, targets="stateless").run
    assert run["targets"]["placement"] == "stateless"
    done = {"ensembling": False, "align": False, "gamma": 0.997, "lam_ramp": 1}  # half of the two steps
    assert {name: run["method"][name] for name in done} == done
    plus = fitted(tmp_path / "plus", method="elr_plus", targets="stateless").run["method"]
    assert (plus["name"], plus["networks"], plus["ensembling"], plus["lam_ramp"]) == ("elr_plus", 2, False, 1)
    for settings in ({"method": "kl_penalty"}, {"members": 2}):
        with pytest.raises(ArgumentError, match=r"stateless, and networks side by side, .*keep some: .*--members 1"):
            fitted(tmp_path / "other", targets="stateless", **settings)
    assert not (tmp_path / "other").exists()
