"""Why a label is suspect: a planted one, right ones, and what is not there."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from elr.audit.explanation.reading import explain
from elr.errors import ArgumentError, ArtifactError
from elr.files import EXPLANATIONS_FILE
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    labels = np.tile([0, 1], 40)
    inputs = labels[:, None] + 0.2 * np.random.default_rng(0).normal(size=(80, 4))
    labels[7] = 0  # which was right as 1
    folder = tmp_path_factory.mktemp("explained") / "run"
    fit((inputs, labels), out=folder, config=FitConfig(epochs=10))
    return folder


def test_a_planted_suspect(run):
    why = explain(run, 7)
    assert why.is_label_issue
    assert (why.given_label, why.predicted_label) == ("0", "1")
    assert {near["given_label"] for near in why.neighbors} == {"1"}
    assert len(why.neighbors) == 5
    assert why.votes
    assert {vote["says"] for vote in why.votes} == {"1"}
    assert why.epochs == list(range(1, 11))
    assert why.favored_course[-1] > 0.8 > why.given_course[-1]
    assert "networks that never saw this label say 0" in why.text()


def test_a_right_row(run):
    why = explain(run, 8)
    assert not why.is_label_issue
    assert "the evidence agrees" in why.text()
    assert {near["given_label"] for near in why.neighbors} == {"0"}
    assert why.differences == []


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(ArgumentError, match="the run has no row 80"):
        explain(run, 80)
    with pytest.raises(ArgumentError, match="no row with the id 'a'"):
        explain(run, "a")
    deep = {b"epochs": b"[" * 100_000, b"space": b"x"}
    pq.write_table(pq.read_table(run / EXPLANATIONS_FILE).replace_schema_metadata(deep), run / EXPLANATIONS_FILE)
    with pytest.raises(ArtifactError, match="is damaged"):
        explain(run, 7)
    (run / EXPLANATIONS_FILE).write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="is damaged"):
        explain(run, 7)
    (run / EXPLANATIONS_FILE).unlink()
    with pytest.raises(ArtifactError, match="trained without it"):
        explain(run, 7)


def test_of_a_table_the_columns_that_differ_and_what_neighbors_hold(tmp_path):
    rng = np.random.default_rng(1)
    clean = np.repeat(["cat", "dog"], 60)
    table = pd.DataFrame(
        {
            "weight": np.where(clean == "cat", 4.0, 20.0) + rng.normal(size=120).round(2),
            "sound": np.where(rng.random(120) < 0.3, "growl", np.where(clean == "cat", "meow", "woof")),
            "noise": rng.normal(size=120).round(2),
        }
    )
    table.loc[5, "sound"] = "meow"
    given = clean.copy()
    given[5] = "dog"
    fit(table.assign(kind=given), label="kind", out=tmp_path / "run", config=FitConfig(epochs=10))
    why = explain(tmp_path / "run", 5)
    assert why.is_label_issue
    found = {each["column"]: each for each in why.differences}
    assert (found["sound"]["value"], found["sound"]["share_given"]) == ("meow", 0)
    assert 0.5 < found["sound"]["share_predicted"] < 1
    assert found["weight"]["share_given"] == 0
    assert " to " in found["weight"]["alike"]
    assert "sound meow: 0 % and " in why.text()
    assert all("sound meow" in near["contents"] for near in why.neighbors)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert '"differences":[["' in page
    assert "meow" in page


def test_after_a_kill_the_explanation_is_the_same(tmp_path):
    labels = np.tile([0, 1], 40)
    inputs = labels[:, None] + 0.2 * np.random.default_rng(0).normal(size=(80, 4))
    labels[7] = 0
    data, config = (inputs, labels), FitConfig(epochs=6, members=1, lam=3.0)
    fit(data, out=tmp_path / "whole", config=config)

    class Killed(BaseException):
        pass

    def kill(name, progress):
        if progress.epoch == 4:
            raise Killed

    with pytest.raises(Killed):
        fit(data, out=tmp_path / "broken", config=config, on_progress=kill)
    fit(data, out=tmp_path / "broken", config=config, resume=True)
    assert explain(tmp_path / "broken", 7) == explain(tmp_path / "whole", 7)
