import shutil

import numpy as np
import pandas as pd
import pytest

import elr
from elr import files
from elr.audit.evidence import Evidence, read_evidence
from elr.audit.labels import audit_labels
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, ArtifactError

PROBS = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], dtype="float32")


def evidence(**changes):
    parts = {"rows": np.array([0, 1, 3, 4]), "ids": ["a", "b", "d", "e"], "class_names": ("x", "y", "z")}
    return Evidence(**parts | {"given_labels": np.array([0, 0, 2, 0]), "pred_probs": PROBS} | changes)


def test_a_table_counted_by_hand():
    found = evidence()
    table = found.table(found.audit())
    assert table["row"].tolist() == [4, 1, 3, 0]
    assert table["id"].tolist() == ["e", "b", "d", "a"]
    assert table["predicted_label"].tolist() == ["y", "y", "z", "x"]
    np.testing.assert_allclose(table["expected_precision"], [0.9, 0.85, (0.9 + 0.8 + 0.6) / 3, 0.6], atol=1e-4)
    assert "id" not in evidence(ids=None).table(found.audit())


def test_expected_precision_is_the_precision_of_probabilities_that_are_right():
    """Labels drawn from the probabilities themselves: at each cut-off, the expected share of wrong ones comes true."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1.0, 1.0, 1.0], size=20_000)
    clean = (rng.random((20_000, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    audit = audit_labels(rng.integers(3, size=20_000), probs, score="self_confidence")
    wrong = (audit.given_labels != clean)[audit.ranking]
    for cut in (500, 5000, 20_000):
        assert wrong[:cut].mean() == pytest.approx(audit.expected_precision[cut - 1], abs=0.02)


def test_confusions_and_noise_of_each_class():
    audit = evidence().audit()
    assert [tuple(pair) for pair in audit.confusions()] == [(0, 1, 2, 1.0)]  # both rows taken for class 1 were given 0
    np.testing.assert_allclose(audit.class_noise_rates, [2 / 3, 0.0, 0.0])
    assert audit.confusions(limit=0) == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one table that differ by their seeds, and one on other labels."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    clean = rng.integers(2, size=120)
    frame = pd.DataFrame({"key": [f"k{row}" for row in range(120)], "x": clean + 0.3 * rng.normal(size=120)})
    frame["label"] = np.where(rng.random(120) < 0.2, 1 - clean, clean)
    options = ReadOptions(label="label", id="key")
    for name, seed, labels in (("a", 0, frame["label"]), ("b", 1, frame["label"]), ("other", 0, clean)):
        config = elr.FitConfig(seed=seed, epochs=5)
        elr.fit(frame.assign(label=labels), out=folder / name, options=options, config=config)
    return folder


def test_a_folder_says_what_the_run_said(runs):
    found = read_evidence(runs / "a")
    issues = pd.read_csv(runs / "a" / "issues.csv")
    pd.testing.assert_frame_equal(found.table(found.audit()), issues, check_dtype=False, atol=1e-4)
    assert list(found.ids[:2]) == ["k0", "k1"]


def test_several_runs_are_averaged(runs):
    one, two, both = read_evidence(runs / "a"), read_evidence(runs / "b"), read_evidence(runs / "a", runs / "b")
    np.testing.assert_allclose(both.pred_probs, (one.pred_probs + two.pred_probs) / 2, atol=1e-6)
    assert not np.allclose(one.pred_probs, two.pred_probs)
    with pytest.raises(ArgumentError, match="have different given labels: expected runs on the same data"):
        read_evidence(runs / "a", runs / "other")


def test_margins_are_read_averaged_and_ranked_by(runs):
    one, two, both = read_evidence(runs / "a"), read_evidence(runs / "b"), read_evidence(runs / "a", runs / "b")
    assert one.margins.shape == (120,)
    np.testing.assert_allclose(both.margins, (one.margins + two.margins) / 2, atol=1e-6)
    audit = both.audit(score="aum")
    np.testing.assert_array_equal(audit.ranking, np.argsort(both.margins, kind="stable"))


def test_a_run_without_margins_is_read_and_says_so(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "run")
    tensors = files.read_tensors(tmp_path / "run" / files.TARGETS_FILE)
    del tensors["margins"]
    files.write_tensors(tmp_path / "run" / files.TARGETS_FILE, tensors)
    found = read_evidence(tmp_path / "run", runs / "b")
    assert found.audit().num_label_issues >= 0
    with pytest.raises(ArgumentError, match="has no margins, for it was trained by an earlier version"):
        found.audit(score="aum")


def test_a_mixed_up_folder_is_refused(runs, tmp_path):
    (tmp_path / "run").mkdir()
    for path in (runs / "a").iterdir():
        (tmp_path / "run" / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "run" / "issues.csv").read_text().splitlines()
    (tmp_path / "run" / "issues.csv").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(ArtifactError, match="do not belong together"):
        read_evidence(tmp_path / "run")
    with pytest.raises(ArtifactError, match="is not a folder"):
        read_evidence(tmp_path / "nothing")
