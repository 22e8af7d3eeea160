import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

import elr
from elr import files
from elr.audit.audited_run import AuditedRun
from elr.audit.label_quality import audit_labels
from elr.errors import ArgumentError
from elr.training.verdict import MEMORIZATION


def test_json_of_an_audit(audited):
    content = audited.to_json(3)
    assert len(content["suspects"]) == 3
    np.testing.assert_allclose(np.sum(content["transition_matrix"], axis=1), 1.0)
    issues = audited.audit.num_label_issues
    assert content["expected_precision"][str(issues)] == pytest.approx(audited.audit.expected_precision[issues - 1])
    assert content["warnings"] == [alarm.to_json() for alarm in audited.warnings]
    assert content["out_of_fold"] is audited.evidence.out_of_fold
    assert content["confusions"][0]["num_rows"] <= issues
    assert {pair["given"] for pair in content["confusions"]} <= {"n", 'y"<b>'}
    with pytest.raises(ArgumentError, match="score is 'x'"):
        AuditedRun.read(audited.folder, score="x")


def test_no_share_of_wrong_labels_is_told_where_what_was_learned_may_be_chance(audited):
    labels = np.arange(100) % 2
    probs = np.eye(2)[np.where(np.arange(100) < 58, labels, 1 - labels)] * 0.6 + 0.2
    by_chance = replace(audited, audit=audit_labels(labels, probs, out_of_fold=True))
    assert by_chance.audit.num_label_issues == 42
    assert by_chance.expected_precision() == {}


def test_a_run_that_memorized_its_labels_tells_no_number_of_wrong_ones(noisy_table, tmp_path):
    """Whatever run of several it is that did; and a network that was stopped early tells them."""
    noisy_table.to_csv(tmp_path / "data.csv", index=False)
    elr.fit(tmp_path / "data.csv", out=tmp_path / "run", label="label", config=elr.FitConfig(epochs=8, members=1))
    run = files.read_run(tmp_path / "run")
    assert run["results"]["early_learning"]["state"] != MEMORIZATION
    assert not math.isnan(AuditedRun.read(tmp_path / "run").audit.noise_rate)
    memorized = shutil.copytree(tmp_path / "run", tmp_path / "memorized")
    run["results"]["early_learning"]["state"] = MEMORIZATION
    files.write_json(memorized / files.RUN_FILE, run)
    for found in (AuditedRun.read(memorized), AuditedRun.read(tmp_path / "run", also=[memorized])):
        content = found.to_json(0)
        assert math.isnan(content["noise_rate"])
        assert content["noise_rate_interval"] == [0.0, 1.0]
        assert (content["expected_precision"], content["transition_matrix"]) == ({}, None)
        assert "labels memorized" in {alarm["kind"] for alarm in content["warnings"]}
        assert content["num_label_issues"] > 0
