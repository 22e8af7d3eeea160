"""Commands on a finished run."""

import numpy as np
import pandas as pd

from command_line import done, elr, flowers


def test_predict_needs_no_label(run, table, tmp_path):
    out, _ = run
    fresh = flowers(seed=2)
    fresh.drop(columns=["kind", "truth", "key"]).to_csv(tmp_path / "fresh.csv", index=False)
    printed = done("predict", out, tmp_path / "fresh.csv", "--out", tmp_path / "predictions.csv")
    assert printed["num_examples"] == 240
    assert sum(printed["predicted_labels"].values()) == 240
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert (predictions["predicted_label"] == fresh["truth"]).mean() > 0.95
    probs = predictions[["prob_lily", "prob_rose", "prob_tulip"]]
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    assert (probs.idxmax(axis=1).str.removeprefix("prob_") == predictions["predicted_label"]).all()
    again = elr("predict", out, tmp_path / "fresh.csv", "--out", tmp_path / "predictions.csv")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_audit_lists_the_suspects_again(run):
    out, printed = run
    result = done("audit", out, "--top", "5")
    issues = pd.read_csv(out / "issues.csv")
    assert [suspect["row"] for suspect in result["suspects"]] == issues["row"].head(5).tolist()
    assert result["num_label_issues"] == printed["num_label_issues"]
    shown = elr("audit", out, "--top", "3")
    assert shown.returncode == 0
    assert issues["id"][0] in shown.stdout
    assert f"{printed['num_label_issues'] - 3} more in" in shown.stderr


def test_predict_refuses_labels_that_training_did_not_have(run, tmp_path):
    out, _ = run
    flowers(20).assign(kind=["rose"] * 19 + ["cactus"]).to_csv(tmp_path / "new.csv", index=False)
    result = elr("predict", out, tmp_path / "new.csv", "--out", tmp_path / "p.csv")
    assert result.returncode == 2
    assert "'cactus'" in result.stderr
    assert not (tmp_path / "p.csv").exists()


def test_a_report_is_written_again(run, tmp_path):
    out, _ = run
    assert done("report", out, "--out", tmp_path / "page.html") == {"report": str(tmp_path / "page.html")}
    assert "flowers.csv" in (tmp_path / "page.html").read_text()
