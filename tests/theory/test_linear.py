import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from elr.errors import ArgumentError
from elr.methods.fused import elr_loss
from elr.theory.linear import Clusters, _Linear, _regularizer, descend, is_separable, make_clusters


def small(**settings):
    return make_clusters(**{"num_features": 30, "num_examples": 40, "sigma": 0.3, "delta": 0.4} | settings)


# The model


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
    flips = np.bincount((data.given_labels - data.clean_labels)[data.wrong] % 4, minlength=4) / data.wrong.sum()
    np.testing.assert_allclose(flips[1:], 1 / 3, atol=0.02)


def test_a_seed_gives_the_same_data_and_path():
    first, second, other = (small(seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    paths = [descend(first, steps=5, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(paths[0].loss, paths[1].loss)
    assert paths[0].loss[0] != paths[2].loss[0]


# The gradient


def loss_of(data, weights, targets, lam):
    """The loss as the paper writes it, with the targets held constant: mean CE + lam log(1 - <p, t>)."""
    logits = data.inputs @ weights.T
    if len(data.means) == 2:
        logits = np.hstack([np.zeros_like(logits), logits])
    log_probs = log_softmax(logits, axis=1)
    entropy = -log_probs[np.arange(len(logits)), data.given_labels]
    return float(np.mean(entropy + lam * np.log(1.0 - (np.exp(log_probs) * targets).sum(axis=1))))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("lam", [0.0, 3.0])
def test_gradient_by_finite_differences(num_classes, lam):
    data = small(num_classes=num_classes)
    model = _Linear(data)
    weights = model.start(1.0, seed=0)
    targets = np.random.default_rng(0).dirichlet(np.ones(num_classes), size=40) * 0.8
    probs = np.exp(model.log_probs(weights))
    pull = _regularizer(probs, targets, 0.2, 0.0)[1]
    gradient = model.gradient(probs - model.one_hot + lam * pull)
    step = 1e-6
    for row, column in [(0, 0), (0, 7), (weights.shape[0] - 1, 29)]:
        moved = [weights.copy() for _ in range(2)]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        slope = (loss_of(data, moved[0], targets, lam) - loss_of(data, moved[1], targets, lam)) / (2 * step)
        assert gradient[row, column] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_logistic_gradient_has_the_tanh_of_half_the_product():
    """The paper prints tanh(<theta, x>); its loss gives tanh(<theta, x> / 2)."""
    data = small()
    model = _Linear(data)
    theta = model.start(2.0, seed=0)
    signs = np.where(data.given_labels == 1, 1.0, -1.0)
    product = (data.inputs @ theta.T)[:, 0]
    expected, printed = (
        (data.inputs * (np.tanh(scale * product) - signs)[:, None]).mean(axis=0) / 2 for scale in (0.5, 1.0)
    )
    gradient = model.gradient(np.exp(model.log_probs(theta)) - model.one_hot)[0]
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    assert np.abs(gradient - printed).max() > 0.01


@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.05])
def test_regularizer_is_that_of_the_library(clamp):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(50, 3)) * 4
    targets = generator.dirichlet(np.ones(3), size=50) * 0.97
    probs = np.exp(log_softmax(logits, axis=1))
    term, pull = _regularizer(probs, targets, 0.03, clamp)
    outputs = torch.tensor(logits, requires_grad=True)
    labels = torch.zeros(50, dtype=torch.int64)
    loss, _, expected = elr_loss(outputs, labels, torch.tensor(targets), lam=1.0, clamp=clamp)
    (gradient,) = torch.autograd.grad(loss * 50, outputs)
    assert term.mean() == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(pull, gradient.numpy() - (probs - np.eye(3)[labels]), atol=1e-6)


def test_a_path_is_gradient_descent():
    data = small()
    path = descend(data, steps=3, learning_rate=0.3, lam=2.0, beta=0.5, clamp=0.0, seed=1)
    model = _Linear(data)
    weights, targets = model.start(2.0, seed=1), np.zeros((40, 2))
    for step in range(4):
        probs = np.exp(model.log_probs(weights))
        targets = 0.5 * targets + 0.5 * probs
        assert path.loss[step] == pytest.approx(loss_of(data, weights, targets, 2.0))
        pull = _regularizer(probs, targets, 0.5 ** (step + 1), 0.0)[1]
        if step < 3:
            weights = weights - 0.3 * model.gradient(probs - model.one_hot + 2.0 * pull)
    np.testing.assert_allclose(path.weights, weights)
    np.testing.assert_allclose(path.targets, targets)


# What is measured


def test_measures_of_a_case_counted_by_hand():
    data = Clusters(
        inputs=np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]),
        given_labels=np.array([1, 0, 0, 1]),
        clean_labels=np.array([1, 0, 1, 0]),  # the last two are wrong
        means=np.array([[-1.0, 0.0], [1.0, 0.0]]),
    )
    path = descend(data, steps=1, start=[[1.0, 0.5]], learning_rate=0.1)
    sigmoid = 1 / (1 + np.exp(-np.array([1.0, 1.0, 2.0, 3.0])))  # of the true class
    assert path.alignment[0] == pytest.approx(1.0)
    assert path.accuracy_clean[0] == path.accuracy_wrong[0] == 1.0
    assert path.memorized[0] == 0.0
    assert path.fitted[0] == 0.5
    assert path.coefficient_clean[0] == pytest.approx((1 - sigmoid[:2]).mean())
    assert path.coefficient_wrong[0] == pytest.approx(sigmoid[2:].mean())
    assert path.square_wrong[0] == pytest.approx((sigmoid[2:] ** 2).mean())
    assert path.true_clean[0] == pytest.approx((sigmoid[:2] - 1).mean())
    assert path.true_wrong[0] == pytest.approx(sigmoid[2:].mean())
    assert path.target_accuracy[0] == 1.0
    # -gradient = mean of (y - p) x over the first coordinate only, so it points along or against v
    pulls = [(1 - sigmoid[0]), (1 - sigmoid[1]), -2 * sigmoid[2], -3 * sigmoid[3]]
    assert path.correlation[0] == np.sign(sum(pulls))
    assert path.distance[1] == pytest.approx(0.1 * abs(sum(pulls)) / 4)


def test_nothing_wrong_is_not_a_number():
    path = descend(small(delta=0.0), steps=2)
    assert np.isnan(path.accuracy_wrong).all()
    assert np.isnan(path.coefficient_wrong).all()
    assert np.isfinite(path.accuracy_clean).all()


def test_stops_when_fitted():
    data = make_clusters(60, 20, sigma=0.1, delta=0.2)
    path = descend(data, steps=5000, stop_when_fitted=True)
    assert path.steps < 5000
    assert path.fitted[-1] == 1.0
    assert path.fitted[-2] < 1.0
    for field in dataclasses.fields(path):
        if field.name not in ("weights", "targets"):
            assert len(getattr(path, field.name)) == path.steps + 1


# What the paper says, and what was found


def mean_over_seeds(measure, *, seeds=4, p=400, n=500, start=2.0, **settings):
    paths = [
        descend(make_clusters(p, n, sigma=0.1, delta=0.8, seed=seed), seed=seed, start=start, **settings)
        for seed in range(seeds)
    ]
    return float(np.mean([measure(path) for path in paths]))


def test_cross_entropy_learns_early_then_memorizes():
    """PAPER.md: accuracy on mislabeled examples .94 at its peak, .03 after 6,000 steps (p 400, n 500)."""
    assert mean_over_seeds(lambda path: path.accuracy_wrong.max(), steps=200) > 0.85
    assert mean_over_seeds(lambda path: path.accuracy_wrong[-1], steps=6000) < 0.1


def test_elr_resists_where_lam_exceeds_two():
    assert mean_over_seeds(lambda path: path.accuracy_wrong[-1], lam=3.0, steps=6000) > 0.99
    assert mean_over_seeds(lambda path: path.memorized[-1], lam=1.0, steps=6000) > 0.5


def test_elr_locks_in_a_start_that_leans_the_wrong_way():
    data = make_clusters(100, 125, sigma=0.1, delta=0.8, seed=0)
    against = -4.0 * data.means[1:]
    assert descend(data, lam=3.0, start=against, steps=2000).accuracy_clean[-1] < 0.1
    assert descend(data, lam=3.0, start=1e-3, steps=2000).accuracy_clean[-1] > 0.95


def test_many_classes_show_the_same():
    data = make_clusters(400, 500, sigma=0.1, delta=0.5, num_classes=5, seed=0)
    plain, regularized = (descend(data, lam=lam, steps=6000, start=0.1) for lam in (0.0, 3.0))
    assert plain.accuracy_wrong.max() > 0.9
    assert plain.memorized[-1] > 0.8
    assert regularized.accuracy_wrong[-1] > 0.95
    assert plain.early_learning_step is not None


# Separability


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
            is_separable(data.inputs, data.given_labels)
            for seed in range(3)
            for data in [make_clusters(int(200 * ratio), 200, sigma=0.3, delta=0.8, seed=seed)]
        ]
        for ratio in (0.2, 0.8)
    }
    assert found == {0.2: [False] * 3, 0.8: [True] * 3}


# Bad input


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
        small(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lam": -1.0}, "lam is -1.0: expected a weight >= 0"),
        ({"beta": 1.0}, "beta is 1.0"),
        ({"clamp": 0.5}, "clamp is 0.5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"steps": 0}, "steps is 0"),
        ({"start": -1.0}, "start is -1.0: expected a radius"),
        ({"start": [1.0, 2.0]}, r"first weights have shape \(2,\): expected \(1, 30\)"),
    ],
)
def test_descent_out_of_range_is_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        descend(small(), **settings)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ArgumentError, match="expected"):
        is_separable(np.zeros((3, 2)), [0, 1])
