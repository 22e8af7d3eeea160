"""The report of a run is kept, and shown again without the data."""

import numpy as np
import pytest

import elr
from elr.errors import ArtifactError, OutputError
from elr.runs.reporting import compared, rewrite_report


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    data = (np.tile(np.eye(2), (30, 1)), np.tile([0, 1], 30))
    return elr.fit(data, out=tmp_path_factory.mktemp("run") / "run", config=elr.FitConfig(epochs=2)).fitted


def test_the_page_is_built_again_byte_by_byte(fitted, tmp_path):
    path = rewrite_report(fitted.out, tmp_path / "again.html")
    assert path.read_bytes() == (fitted.out / "report.html").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        rewrite_report(fitted.out, path)


def test_a_run_without_a_report_says_how_to_get_one(fitted, tmp_path):
    stored = fitted.out / "report.json"
    stored.rename(tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="stopped before its report was written; repeat its command with --resume"):
        rewrite_report(fitted.out)
    (tmp_path / "report.json").rename(stored)


def test_the_row_of_a_comparison_has_what_was_measured(fitted):
    assert compared(fitted) == {"method": "elr", "seconds": fitted.results["seconds"]}
