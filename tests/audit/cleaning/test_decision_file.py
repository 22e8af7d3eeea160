"""Exported decisions say of which run they are, and are taken for no other; those that do not say are still read."""

import json

import numpy as np
import pandas as pd
import pytest

import elr
from elr import files
from elr.audit.cleaning.decision_file import read_decisions, run_name
from elr.audit.cleaning.decisions import clean
from elr.data.records import ReadOptions
from elr.errors import DataError

HEADER = "row,id,given_label,decision,label"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs on the same data that differ in nothing but the seed."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=24), "y": ["a", "b"] * 12}).to_csv(folder / "t.csv", index=False)
    for seed in (0, 1):
        config = elr.FitConfig(epochs=1, batch_size=8, seed=seed)
        elr.fit(folder / "t.csv", out=folder / f"run-{seed}", config=config, options=ReadOptions(label="y"))
    return folder


def test_decisions_of_another_run_are_refused_unless_they_do_not_say_so(two, tmp_path):
    one, other = (run_name(files.read_run(two / f"run-{seed}")) for seed in (0, 1))
    assert one != other
    path = tmp_path / "d.csv"
    path.write_text(f"{HEADER},run\n0,,a,relabel,b,{one}\n")
    assert clean(two / "run-0", path, tmp_path / "out.csv").num_changed == 1
    with pytest.raises(
        DataError, match=rf"line 2 of .*d\.csv was decided on another run \('{one}'\) than that in .*run"
    ):
        clean(two / "run-1", path, tmp_path / "out-2.csv")
    assert not (tmp_path / "out-2.csv").exists()
    path.write_text(f"{HEADER}\n0,,a,relabel,b\n")
    assert clean(two / "run-1", path, tmp_path / "out-2.csv").num_changed == 1


def test_the_page_has_the_name_of_its_run_and_so_has_one_built_again(two):
    from elr.runs.reporting import rewrite_report

    name = run_name(files.read_run(two / "run-0"))
    for page in ((two / "run-0" / "report.html").read_text(), rewrite_report(two / "run-0").read_text()):
        assert f'"run":"{name}"' in page or "review-data" not in page
    assert json.loads((two / "run-0" / "report.json").read_text())["run"] == name


def test_lines_of_both_kinds(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(f'{HEADER},run\n0,,a,keep,a,r\n1,"k, 1",b,accept,a,\n')
    found = read_decisions(path, run="r", folder=tmp_path)
    assert [(each.line, each.row, each.id, each.label) for each in found] == [(2, 0, "", "a"), (3, 1, "k, 1", "a")]
    path.write_text(f"{HEADER},run\n0,,a,keep,a\n")
    with pytest.raises(DataError, match=f"line 2 of .* has 5 cells: expected 6, {HEADER},run"):
        read_decisions(path, run="r", folder=tmp_path)
    path.write_text(f"{HEADER},other\n")
    with pytest.raises(DataError, match=f"has the columns {HEADER},other|expected {HEADER}"):
        read_decisions(path, run="r", folder=tmp_path)
