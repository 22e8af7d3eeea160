import json
import math

import numpy as np
import pytest

from elr.errors import ArgumentError
from elr.files import without_nan
from elr.theory.clusters import make_clusters
from elr.theory.descent import descend
from elr.theory.theorem import check_theorem, examine

PARTS = {"i", "ii", "iii", "proposition_3", "theorem_4", "proposition_5", "theorem_6"}


def test_the_informal_theorem_holds_where_the_paper_says():
    """p/n = 0.8 lies in (1 - Delta/2, 1); of 6 draws those that do not start beyond T must show all three parts."""
    examinations = [examine(seed=seed) for seed in range(6)]
    inside = [examination for examination in examinations if examination.trajectory.early_learning_step]
    assert len(inside) >= 4
    for examination in inside:
        assert examination.theorem.keys() == PARTS
        assert all(examination.theorem[part] for part in ("i", "ii", "iii", "proposition_3", "theorem_6"))
        assert examination.separable
        assert examination.trajectory.memorized[-1] == 1.0
    beyond = [examination for examination in examinations if examination.trajectory.early_learning_step == 0]
    for examination in beyond:
        assert not examination.theorem["i"]
        assert "at the start" in examination.statements[0].says


def test_the_numbers_of_the_appendix_hold_for_narrow_clusters():
    """Theorem 4 and Proposition 5 want sigma <= sigma_Delta: narrow clusters that start on the wrong side meet them."""
    examinations = [examine(sigma=0.01, steps=60, seed=seed) for seed in range(8)]
    held = [
        examination
        for examination in examinations
        if examination.trajectory.early_learning_step and examination.trajectory.alignment[0] < 0
    ]
    assert len(held) >= 2
    for examination in held:
        assert examination.theorem["theorem_4"]
        assert examination.theorem["proposition_3"]
        assert examination.theorem["proposition_5"]


def test_margins_say_by_how_much():
    data = make_clusters(400, 500, sigma=0.1, delta=0.8, seed=0)
    trajectory = descend(data, steps=50)
    step = trajectory.early_learning_step
    statements = {each.name: each for each in check_theorem(data, trajectory, separable=True, delta=0.8)}
    lowest = trajectory.correlation[:step].min()
    assert statements["proposition_3"].margin == pytest.approx(
        min(lowest - 1 / 6, 1.0 - trajectory.distance[: step + 1].max())
    )
    assert statements["theorem_4"].margin == pytest.approx(trajectory.accuracy_wrong[step] - 0.9999)
    falls = trajectory.square_clean[0] - trajectory.square_clean[step]
    grows = trajectory.square_wrong[step] - trajectory.square_wrong[0]
    assert statements["proposition_5"].margin == pytest.approx(4 * min(falls, grows) - 0.05)
    assert statements["theorem_6"].margin == pytest.approx(400 / 500 - (1 - 0.8 / 2))
    assert statements["iii"].margin == pytest.approx(trajectory.memorized[-1] - 1.0)
    assert not statements["iii"].holds
    for each in statements.values():
        assert each.holds == (each.margin >= 0)


def test_elr_keeps_the_last_part_from_happening():
    examination = examine(lam=3.0, steps=3000)
    assert not examination.theorem["iii"]
    assert examination.separable
    assert examination.trajectory.accuracy_wrong[-1] > 0.99
    assert "cross entropy ends there" in examination.statements[-2].says


def test_too_few_features_cannot_be_memorized():
    examination = examine(p=40, n=400, sigma=0.3, steps=500)
    assert not examination.separable
    assert not examination.theorem["iii"]
    assert not examination.theorem["theorem_6"]
    assert "not linearly separable" in examination.statements[-1].says


def test_no_wrong_label_leaves_nothing_to_check():
    examination = examine(noise_rate=0.0, p=50, n=60, steps=200)
    assert examination.noise_rate == 0.0
    assert not examination.theorem["i"]
    assert math.isnan(next(each.margin for each in examination.statements if each.name == "i"))


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
    examination = examine(num_classes=4, noise_rate=0.3, p=200, n=250, steps=4000, radius=0.1)
    assert examination.noise_rate == pytest.approx(0.3, abs=0.06)
    assert examination.separable
    assert examination.theorem["i"]
    assert np.isnan(examination.statements[-1].margin)


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
