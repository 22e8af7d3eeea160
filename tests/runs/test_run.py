"""One run on prepared data: its folder is that of this very run, and its evidence is all that is read back."""

import json

import numpy as np
import pytest

from elr.audit.evidence import read_evidence
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.errors import CheckpointError, OutputError
from elr.runs.fit_config import FitConfig
from elr.runs.run import run_plan


@pytest.fixture(scope="module")
def prepared():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=80)
    inputs = labels[:, None] + 0.3 * rng.normal(size=(80, 3))
    return prepare_data((inputs, np.where(rng.random(80) < 0.2, 1 - labels, labels)), ReadOptions())


def run(prepared, out, *, resume=False, **settings):
    config = FitConfig(**{"epochs": 2} | settings)
    return run_plan(prepared, config.plan(prepared), config=config.to_json(), out=out, resume=resume)


def test_a_finished_run_is_given_back_from_its_evidence_alone(prepared, tmp_path):
    fitted = run(prepared, tmp_path / "run")
    (tmp_path / "run" / "issues.csv").unlink()
    again = run(prepared, tmp_path / "run", resume=True)
    for name in ("labels", "predicted_labels", "label_quality", "error_probs"):
        np.testing.assert_array_equal(getattr(again.audit, name), getattr(fitted.audit, name))
    assert json.loads(json.dumps(again.results)) == json.loads(json.dumps(fitted.results))
    assert read_evidence(tmp_path / "run").margins.dtype == np.float32


def test_another_run_is_refused_by_what_has_changed(prepared, tmp_path):
    run(prepared, tmp_path / "run")
    with pytest.raises(OutputError, match="already holds a run: choose another --out"):
        run(prepared, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"config\.epochs was 2, now 3; .*training\.epochs was 2, now 3"):
        run(prepared, tmp_path / "run", resume=True, epochs=3)
    with pytest.raises(CheckpointError, match=r"method\.name was 'elr_ensemble', now 'cross_entropy'"):
        run(prepared, tmp_path / "run", resume=True, method="cross_entropy")
