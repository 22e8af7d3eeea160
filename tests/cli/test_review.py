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


def test_predict_measures_on_the_labels_that_it_knows(run, tmp_path):
    out, _ = run
    flowers(20).assign(kind=["rose"] * 17 + ["?", "", "cactus"]).to_csv(tmp_path / "new.csv", index=False)
    printed = done("predict", out, tmp_path / "new.csv", "--out", tmp_path / "p.csv")
    assert (printed["num_examples"], printed["num_measured"]) == (20, 17)
    assert 0 <= printed["agreement"] <= 1
    assert printed["warnings"] == []
    shown = elr("predict", out, tmp_path / "new.csv", "--out", tmp_path / "again.csv")
    assert "agreement on the 17 of 20 rows that have a class of the run; 2 have none; 1 have other" in shown.stderr


def test_a_header_and_no_rows_predict_nothing(run, tmp_path):
    out, _ = run
    flowers(20).head(0).to_csv(tmp_path / "none.csv", index=False)
    printed = done("predict", out, tmp_path / "none.csv", "--out", tmp_path / "p.csv")
    assert printed["num_examples"] == 0
    assert "has no rows: there is nothing to predict" in printed["remarks"][0]
    assert (tmp_path / "p.csv").read_text().split(",")[-1] == "prob_tulip\n"


def test_a_report_is_written_again(run, tmp_path):
    out, _ = run
    assert done("report", out, "--out", tmp_path / "page.html") == {"report": str(tmp_path / "page.html")}
    assert "flowers.csv" in (tmp_path / "page.html").read_text()
