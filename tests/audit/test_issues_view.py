import numpy as np
import pandas as pd
import pytest

from elr.audit import issues_view
from elr.audit.evidence import Evidence
from elr.audit.issues_view import export_table, issues_table, write_issues
from elr.errors import OutputError


def test_tables(audited, tmp_path):
    export_table(audited.evidence, audited.audit, tmp_path / "all.parquet")
    export_table(audited.evidence, audited.audit, tmp_path / "all.csv")
    written = pd.read_parquet(tmp_path / "all.parquet")
    assert written["label_quality"].is_monotonic_increasing
    assert len(written) == 120
    pd.testing.assert_frame_equal(written, pd.read_csv(tmp_path / "all.csv"), check_dtype=False)
    with pytest.raises(OutputError, match="exists already"):
        export_table(audited.evidence, audited.audit, tmp_path / "all.csv")
    with pytest.raises(OutputError, match=r"ends in '.xlsx': expected .csv or .parquet"):
        export_table(audited.evidence, audited.audit, tmp_path / "all.xlsx")


def test_the_file_is_the_table_however_many_lines_are_written_at_a_time(audited, tmp_path, monkeypatch):
    issues_table(audited.evidence, audited.audit).to_csv(tmp_path / "whole.csv", index=False)
    for lines in (7, 120, 1000):
        monkeypatch.setattr(issues_view, "_LINES", lines)
        write_issues(audited.evidence, audited.audit, tmp_path / "issues.csv")
        assert (tmp_path / "issues.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert np.array_equal(pd.read_csv(tmp_path / "issues.csv")["row"], audited.evidence.rows[audited.audit.ranking])


def test_where_nothing_was_learned_the_ranking_has_no_precision(tmp_path):
    labels, rng = np.array([0] * 70 + [1] * 30), np.random.default_rng(0)
    probs = rng.dirichlet([1.0, 1.0], size=100).astype("float32")
    found = Evidence(
        rows=np.arange(100),
        ids=None,
        class_names=("x", "y"),
        labels=labels,
        margins=np.zeros(100, "float32"),
        chunks=lambda: [probs],
        out_of_fold=True,
    )
    audit = found.audit()
    assert audit.nothing_learned
    write_issues(found, audit, tmp_path / "issues.csv")
    lines = (tmp_path / "issues.csv").read_text().splitlines()
    assert len(lines) == 101
    assert all(line.endswith(",False,") for line in lines[1:])


def test_the_csv_has_no_formulas_and_the_parquet_every_name_as_it_is(tmp_path):
    names = ("=cmd", "-1")
    evidence = Evidence(
        rows=np.arange(2),
        ids=["@a", "+1"],
        class_names=names,
        labels=np.array([0, 1]),
        margins=np.zeros(2, dtype="float32"),
        chunks=lambda: [np.array([[0.9, 0.1], [0.2, 0.8]], dtype="float32")],
    )
    export_table(evidence, evidence.audit(), tmp_path / "a.csv")
    export_table(evidence, evidence.audit(), tmp_path / "a.parquet")
    told = pd.read_csv(tmp_path / "a.csv", dtype=str).set_index("row")
    assert told.loc[["0", "1"], ["id", "given_label"]].to_numpy().tolist() == [["'@a", "'=cmd"], ["+1", "-1"]]
    exact = pd.read_parquet(tmp_path / "a.parquet").set_index("row")
    assert exact.loc[[0, 1], ["id", "given_label"]].to_numpy().tolist() == [["@a", "=cmd"], ["+1", "-1"]]
