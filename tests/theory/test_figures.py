import numpy as np
import pytest
from PIL import Image

from elr.errors import ArgumentError
from elr.theory.clusters import make_clusters
from elr.theory.descent import descend
from elr.theory.figures import (
    coefficients_figure,
    curves_figure,
    memorization_figure,
    save,
    simplex_figure,
    trajectory_figure,
)

HISTORY = [
    {
        "epoch": epoch,
        "fraction_correct_on_clean": 0.9,
        "fraction_correct_on_wrong": 0.8 - 0.1 * epoch,
        "fraction_memorized_on_wrong": 0.1 * epoch,
        "fraction_incorrect_on_wrong": 0.2,
        "gradient_on_clean": -0.5,
        "gradient_on_wrong": 0.25 * epoch,
        "gradient_cross_entropy_on_clean": -0.5,
        "gradient_cross_entropy_on_wrong": 0.5,
    }
    for epoch in (1, 2, 3)
]


def lines_of(axes):
    return {line.get_label(): line.get_ydata() for line in axes.lines if not line.get_label().startswith("_")}


def test_trajectory_figure_draws_what_was_measured():
    trajectory = descend(make_clusters(40, 50, sigma=0.1, delta=0.4), steps=30)
    figure = trajectory_figure({"cross entropy": trajectory, "again": trajectory})
    assert len(figure.axes) == 6
    np.testing.assert_allclose(lines_of(figure.axes[1])["false label"], trajectory.memorized)
    np.testing.assert_allclose(lines_of(figure.axes[5])["wrong labels"], trajectory.true_wrong)
    assert figure.axes[2].get_ylim() == figure.axes[5].get_ylim()


def test_long_trajectories_are_binned_without_losing_their_mean():
    trajectory = descend(make_clusters(20, 30, sigma=0.1, delta=0.4), steps=3000)
    drawn = lines_of(trajectory_figure({"": trajectory}).axes[0])["true label"]
    assert len(drawn) <= 250
    assert drawn[0] == trajectory.accuracy_clean[0]
    assert drawn[-1] == pytest.approx(trajectory.accuracy_clean[-20:].mean(), abs=0.05)


def test_memorization_figure():
    figure = memorization_figure({"a": HISTORY, "b": HISTORY})
    lines = lines_of(figure.axes[3])
    np.testing.assert_allclose(lines["memorized"], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(lines_of(figure.axes[0])["incorrect"], [0.1] * 3)


def test_coefficients_figure():
    figure = coefficients_figure({"a": HISTORY})
    np.testing.assert_allclose(lines_of(figure.axes[0])["wrong, whole"], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(lines_of(figure.axes[0])["wrong, p - y alone"], [0.5] * 3)


def test_repetitions_become_their_mean():
    figure = curves_figure({"panel": {"a": ([1, 2], [[0.0, 1.0], [1.0, 1.0]])}}, x="x", y="y")
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [0.5, 1.0])
    assert len(figure.axes[0].collections) == 1


def test_simplex_figure_puts_certainty_into_the_corners():
    ways = np.tile(np.eye(3)[:, None], (1, 4, 1))  # from corner to corner
    figure = simplex_figure({"a": ways}, corners="xyz", given=0, clean=1)
    way = figure.axes[0].lines[1]
    np.testing.assert_allclose(way.get_xydata(), [[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["x (given)", "y (true)", "z"]
    with pytest.raises(ArgumentError, match=r"\(3, 4, 2\): expected \(S, M, 3\)"):
        simplex_figure({"a": ways[..., :2]}, corners="xyz", given=0, clean=1)


def test_a_history_without_clean_labels_is_refused():
    with pytest.raises(ArgumentError, match="history of 'mine' has no fraction_correct_on_clean"):
        memorization_figure({"mine": [{"epoch": 1}]})


def test_saved_whole_in_known_formats(tmp_path):
    figure = coefficients_figure({"a": HISTORY})
    for name in ("a.png", "a.svg", "a.pdf"):
        assert save(figure, tmp_path / name).stat().st_size > 1000
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
    with pytest.raises(ArgumentError, match=r"cannot write a figure as 'a.gif'"):
        save(figure, tmp_path / "a.gif")
    assert {each.name for each in tmp_path.iterdir()} == {"a.png", "a.svg", "a.pdf"}
