"""The embedded default, and fit as a function."""

import numpy as np
import pytest

from elr import fit
from elr.data.reading import ReadOptions
from elr.errors import ArgumentError
from elr.runs.fit_config import FitConfig


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return fit(out=tmp_path_factory.mktemp("digits") / "run")


def test_digits_resist_memorization(digits):
    """One seed here; benchmarks/digits.py measures three."""
    methods = digits.results["methods"]
    elr, baseline = methods["elr"], methods["cross_entropy"]
    assert elr["noise_rate_realized"] == pytest.approx(0.4, abs=0.001)
    assert elr["test_accuracy_last"] >= 0.955
    assert elr["test_accuracy_last"] >= baseline["test_accuracy_last"] + 0.04
    assert elr["suspects_precision"] >= 0.97
    assert elr["suspects_recall"] >= 0.97
    assert elr["average_precision"] > 0.99
    assert elr["fraction_memorized"] < 0.05 < baseline["fraction_memorized"]
    low, high = elr["noise_rate_interval"]
    assert low < 0.4 < high


def test_digits_report_shows_both_methods(digits):
    page = digits.report.read_text()
    assert "cross_entropy" in page
    assert "data:image/png;base64," in page
    first = digits.fitted.history[0]
    assert {"fraction_memorized_on_wrong", "agreement_with_targets", "test_accuracy"} <= set(first)


def test_arrays_through_the_api(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=80)
    features = rng.normal(size=(80, 5)) + 3 * labels[:, None]
    outcome = fit((features, labels), out=tmp_path / "run", config=FitConfig(epochs=3))
    assert outcome.results["num_examples"] == 80
    assert outcome.fitted.audit.label_quality.shape == (80,)


def test_noise_for_experiments(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    features = rng.normal(size=(200, 5)) + 3 * labels[:, None]
    outcome = fit((features, labels), out=tmp_path / "run", noise=("pairflip", 0.3), config=FitConfig(epochs=20))
    assert outcome.results["noise_rate_realized"] == pytest.approx(0.3)
    assert outcome.results["suspects_recall"] > 0.8


def test_contradictions_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="compared with itself"):
        fit(out=tmp_path / "run", config=FitConfig(method="cross_entropy"))
    with pytest.raises(ArgumentError, match="embedded digits"):
        fit(out=tmp_path / "run", options=ReadOptions(label="y"))
    assert not (tmp_path / "run").exists()
