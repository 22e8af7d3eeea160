"""Why a label is suspect: a planted one, right ones, and what is not there."""

import numpy as np
import pytest

from elr.audit.explanation import explain
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
    assert why.neighbors == []
    assert "nearest rows are not known" in why.text()


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(ArgumentError, match="the run has no row 80"):
        explain(run, 80)
    with pytest.raises(ArgumentError, match="no row with the id 'a'"):
        explain(run, "a")
    (run / EXPLANATIONS_FILE).write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="is damaged"):
        explain(run, 7)
    (run / EXPLANATIONS_FILE).unlink()
    with pytest.raises(ArtifactError, match="trained without it"):
        explain(run, 7)
