import numpy as np
import pytest

from elr.errors import ArgumentError
from elr.theory.clusters import is_separable, make_clusters


def test_clusters_lie_around_their_means():
    data = make_clusters(50, 20_000, sigma=0.5, delta=0.3, seed=1)
    np.testing.assert_allclose(np.linalg.norm(data.means, axis=1), 1.0)
    np.testing.assert_allclose(data.means[0], -data.means[1])
    for label in (0, 1):
        here = data.inputs[data.clean_labels == label]
        np.testing.assert_allclose(here.mean(axis=0), data.means[label], atol=0.03)
        np.testing.assert_allclose(here.std(axis=0), 0.5, atol=0.02)
    assert data.noise_rate == pytest.approx(0.15, abs=0.01)  # a fair coin replaces 30 %: half of them are wrong


def test_more_classes_have_orthogonal_means_and_uniform_noise():
    data = make_clusters(50, 30_000, sigma=0.1, delta=0.4, num_classes=4)
    np.testing.assert_allclose(data.means @ data.means.T, np.eye(4), atol=1e-12)
    assert data.noise_rate == pytest.approx(0.3, abs=0.01)
    flips = np.bincount((data.labels - data.clean_labels)[data.wrong] % 4, minlength=4) / data.wrong.sum()
    np.testing.assert_allclose(flips[1:], 1 / 3, atol=0.02)


def test_separable_by_a_certificate_and_not_by_a_contradiction():
    generator = np.random.default_rng(0)
    inputs, weights = generator.normal(size=(60, 8)), generator.normal(size=(3, 8))
    labels = (inputs @ weights.T).argmax(axis=1)
    assert is_separable(inputs, labels)
    twice = np.vstack([inputs, inputs[:1]])  # one point with two labels
    assert not is_separable(twice, np.append(labels, (labels[0] + 1) % 3))


def test_separability_follows_the_ratio_of_features_to_examples():
    """Theorem 6: above p/n = 1 - Delta/2 the labels are separable in the limit; far below not (Cover)."""
    found = {
        ratio: [
            is_separable(data.inputs, data.labels)
            for seed in range(3)
            for data in [make_clusters(int(200 * ratio), 200, sigma=0.3, delta=0.8, seed=seed)]
        ]
        for ratio in (0.2, 0.8)
    }
    assert found == {0.2: [False] * 3, 0.8: [True] * 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_features": 1}, r"num_features \(p\) is 1: expected at least 2; the theorem is about many dimensions"),
        ({"num_examples": 1}, r"num_examples \(n\) is 1: expected at least 2"),
        ({"num_classes": 1}, "num_classes is 1: expected at least 2"),
        ({"sigma": 0.0}, "sigma is 0.0: expected a spread > 0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"delta": 1.0}, r"delta is 1.0: expected a probability in \[0, 1\)"),
        ({"delta": -0.1}, "delta is -0.1"),
        ({"num_features": 3, "num_classes": 4}, "4 orthogonal means need as many features"),
    ],
)
def test_clusters_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        make_clusters(**{"num_features": 30, "num_examples": 40, "sigma": 0.3, "delta": 0.4} | settings)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ArgumentError, match="expected"):
        is_separable(np.zeros((3, 2)), [0, 1])
