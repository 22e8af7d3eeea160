import json
import math

import numpy as np
import pytest

from elr.errors import ArgumentError
from elr.files import without_nan
from elr.theory.linear import descend, make_clusters
from elr.theory.theorem import check_theorem, examine

PARTS = {"i", "ii", "iii", "proposition_3", "theorem_4", "proposition_5", "theorem_6"}


def test_the_informal_theorem_holds_where_the_paper_says():
    """p/n = 0.8 lies in (1 - Delta/2, 1); of 6 draws those that do not start beyond T must show all three parts."""
    findings = [examine(seed=seed) for seed in range(6)]
    inside = [finding for finding in findings if finding.path.early_learning_step]
    assert len(inside) >= 4
    for finding in inside:
        assert finding.theorem.keys() == PARTS
        assert all(finding.theorem[part] for part in ("i", "ii", "iii", "proposition_3", "theorem_6"))
        assert finding.separable
        assert finding.path.memorized[-1] == 1.0
    beyond = [finding for finding in findings if finding.path.early_learning_step == 0]
    for finding in beyond:
        assert not finding.theorem["i"]
        assert "at the start" in finding.checks[0].says


def test_the_numbers_of_the_appendix_hold_for_narrow_clusters():
    """Theorem 4 and Proposition 5 want sigma <= sigma_Delta: narrow clusters that start on the wrong side meet them."""
    findings = [examine(sigma=0.01, steps=60, seed=seed) for seed in range(8)]
    held = [finding for finding in findings if finding.path.early_learning_step and finding.path.alignment[0] < 0]
    assert len(held) >= 2
    for finding in held:
        assert finding.theorem["theorem_4"]
        assert finding.theorem["proposition_3"]
        assert finding.theorem["proposition_5"]


def test_margins_say_by_how_much():
    data = make_clusters(400, 500, sigma=0.1, delta=0.8, seed=0)
    path = descend(data, steps=50)
    step = path.early_learning_step
    checks = {check.name: check for check in check_theorem(data, path, separable=True, delta=0.8)}
    lowest = path.correlation[:step].min()
    assert checks["proposition_3"].margin == pytest.approx(min(lowest - 1 / 6, 1.0 - path.distance[: step + 1].max()))
    assert checks["theorem_4"].margin == pytest.approx(path.accuracy_wrong[step] - 0.9999)
    assert checks["proposition_5"].margin == pytest.approx(
        4 * min(path.square_clean[0] - path.square_clean[step], path.square_wrong[step] - path.square_wrong[0]) - 0.05
    )
    assert checks["theorem_6"].margin == pytest.approx(400 / 500 - (1 - 0.8 / 2))
    assert checks["iii"].margin == pytest.approx(path.memorized[-1] - 1.0)
    assert not checks["iii"].holds
    for check in checks.values():
        assert check.holds == (check.margin >= 0)


def test_elr_keeps_the_last_part_from_happening():
    finding = examine(lam=3.0, steps=3000)
    assert not finding.theorem["iii"]
    assert finding.separable
    assert finding.path.accuracy_wrong[-1] > 0.99
    assert "cross entropy ends there" in finding.checks[-2].says


def test_too_few_features_cannot_be_memorized():
    finding = examine(p=40, n=400, sigma=0.3, steps=500)
    assert not finding.separable
    assert not finding.theorem["iii"]
    assert not finding.theorem["theorem_6"]
    assert "not linearly separable" in finding.checks[-1].says


def test_no_wrong_label_leaves_nothing_to_check():
    finding = examine(noise_rate=0.0, p=50, n=60, steps=200)
    assert finding.noise_rate == 0.0
    assert not finding.theorem["i"]
    assert math.isnan(next(check.margin for check in finding.checks if check.name == "i"))


def test_plain_values_are_json():
    found = examine(p=50, n=60, steps=100).to_json()
    for key in (
        "gradient_correlation",
        "early_learning_step",
        "peak_accuracy_on_wrong",
        "final_accuracy_on_wrong",
        "fraction_memorized",
        "separable",
        "theorem",
    ):
        assert key in found
    assert found["theorem"].keys() == PARTS
    assert all(type(value) is bool for value in found["theorem"].values())
    plain = without_nan(found)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_many_classes():
    finding = examine(num_classes=4, noise_rate=0.3, p=200, n=250, steps=4000, radius=0.1)
    assert finding.noise_rate == pytest.approx(0.3, abs=0.06)
    assert finding.separable
    assert finding.theorem["i"]
    assert np.isnan(finding.checks[-1].margin)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 1}, r"\(p\) is 1"),
        ({"n": 0}, r"\(n\) is 0"),
        ({"noise_rate": 0.5}, r"noise_rate is 0.5: expected a share in \[0, 0.5\)"),
        ({"noise_rate": -0.1}, "noise_rate is -0.1"),
        ({"noise_rate": 0.8, "num_classes": 4}, r"noise_rate is 0.8: expected a share in \[0, 0.75\)"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"lam": -0.5}, "lam is -0.5"),
        ({"sigma": -1.0}, "sigma is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        examine(**settings)
