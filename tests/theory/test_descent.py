import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from elr.errors import ArgumentError
from elr.methods.loss.fused import elr_loss
from elr.theory.clusters import Clusters, make_clusters
from elr.theory.descent import _Linear, _regularizer, descend


def small(**settings):
    return make_clusters(**{"num_features": 30, "num_examples": 40, "sigma": 0.3, "delta": 0.4} | settings)


def test_a_seed_gives_the_same_data_and_trajectory():
    first, second, other = (small(seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    trajectories = [descend(first, steps=5, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(trajectories[0].loss, trajectories[1].loss)
    assert trajectories[0].loss[0] != trajectories[2].loss[0]


# The gradient


def loss_of(data, weights, targets, lam):
    """The loss as the paper writes it, with the targets held constant: mean CE + lam log(1 - <p, t>)."""
    logits = data.inputs @ weights.T
    if len(data.means) == 2:
        logits = np.hstack([np.zeros_like(logits), logits])
    log_probs = log_softmax(logits, axis=1)
    entropy = -log_probs[np.arange(len(logits)), data.labels]
    return float(np.mean(entropy + lam * np.log(1.0 - (np.exp(log_probs) * targets).sum(axis=1))))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("lam", [0.0, 3.0])
def test_gradient_by_finite_differences(num_classes, lam):
    data = small(num_classes=num_classes)
    model = _Linear(data)
    weights = model.start(1.0, seed=0)
    targets = np.random.default_rng(0).dirichlet(np.ones(num_classes), size=40) * 0.8
    log_probs = model.log_probs(weights)
    probs = np.exp(log_probs)
    pull = _regularizer(log_probs, targets, 0.2, 0.0)[1]
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
    signs = np.where(data.labels == 1, 1.0, -1.0)
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
    log_probs = log_softmax(logits, axis=1)
    probs = np.exp(log_probs)
    term, pull = _regularizer(log_probs, targets, 0.03, clamp)
    outputs = torch.tensor(logits, requires_grad=True)
    labels = torch.zeros(50, dtype=torch.int64)
    loss, _, expected = elr_loss(outputs, labels, torch.tensor(targets), lam=1.0, clamp=clamp)
    (gradient,) = torch.autograd.grad(loss * 50, outputs)
    assert term.mean() == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(pull, gradient.numpy() - (probs - np.eye(3)[labels]), atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("gap", [1.0, 20.0, 36.0, 100.0, 700.0])
def test_gradient_without_a_clamp_is_right_where_doubles_round_to_one(gap, num_classes):
    """Against fractions, which round nowhere: p and t one-hot up to exp(-gap), far below what 1 - t can show."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(10, num_classes))
    logits[:, 0] += gap
    log_probs = log_softmax(logits, axis=1)
    targets = 0.3 * np.exp(-gap * generator.uniform(0.5, 1.1, size=(10, num_classes)))
    missing = 1e-30 if gap > 1.0 else 0.1
    targets[:, 0] = 1.0 - missing - targets[:, 1:].sum(axis=1)
    expected = []
    for probs, others in zip(np.exp(log_probs), targets, strict=True):
        p, t = ([Fraction(value) for value in values] for values in (probs.tolist(), others.tolist()))
        left = [Fraction(missing) + sum(t[:c] + t[c + 1 :]) for c in range(num_classes)]
        whole = sum(one * other for one, other in zip(p, left, strict=True))
        expected.append([float(one * other / whole - one) for one, other in zip(p, left, strict=True)])
    np.testing.assert_allclose(_regularizer(log_probs, targets, missing, 0.0)[1], expected, atol=1e-13)


def test_a_trajectory_is_gradient_descent():
    data = small()
    trajectory = descend(data, steps=3, learning_rate=0.3, lam=2.0, beta=0.5, clamp=0.0, seed=1)
    model = _Linear(data)
    weights, targets = model.start(2.0, seed=1), np.zeros((40, 2))
    for step in range(4):
        log_probs = model.log_probs(weights)
        probs = np.exp(log_probs)
        targets = 0.5 * targets + 0.5 * probs
        assert trajectory.loss[step] == pytest.approx(loss_of(data, weights, targets, 2.0))
        pull = _regularizer(log_probs, targets, 0.5 ** (step + 1), 0.0)[1]
        if step < 3:
            weights = weights - 0.3 * model.gradient(probs - model.one_hot + 2.0 * pull)
    np.testing.assert_allclose(trajectory.weights, weights)
    np.testing.assert_allclose(trajectory.targets, targets)


# What is measured


def test_measures_of_a_case_counted_by_hand():
    data = Clusters(
        inputs=np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]),
        labels=np.array([1, 0, 0, 1]),
        clean_labels=np.array([1, 0, 1, 0]),  # the last two are wrong
        means=np.array([[-1.0, 0.0], [1.0, 0.0]]),
    )
    trajectory = descend(data, steps=1, start=[[1.0, 0.5]], learning_rate=0.1)
    sigmoid = 1 / (1 + np.exp(-np.array([1.0, 1.0, 2.0, 3.0])))  # of the true class
    assert trajectory.alignment[0] == pytest.approx(1.0)
    assert trajectory.accuracy_clean[0] == trajectory.accuracy_wrong[0] == 1.0
    assert trajectory.memorized[0] == 0.0
    assert trajectory.fitted[0] == 0.5
    assert trajectory.coefficient_clean[0] == pytest.approx((1 - sigmoid[:2]).mean())
    assert trajectory.coefficient_wrong[0] == pytest.approx(sigmoid[2:].mean())
    assert trajectory.square_wrong[0] == pytest.approx((sigmoid[2:] ** 2).mean())
    assert trajectory.true_clean[0] == pytest.approx((sigmoid[:2] - 1).mean())
    assert trajectory.true_wrong[0] == pytest.approx(sigmoid[2:].mean())
    assert trajectory.target_accuracy[0] == 1.0
    # -gradient = mean of (y - p) x over the first coordinate only, so it points along or against v
    pulls = [(1 - sigmoid[0]), (1 - sigmoid[1]), -2 * sigmoid[2], -3 * sigmoid[3]]
    assert trajectory.correlation[0] == np.sign(sum(pulls))
    assert trajectory.distance[1] == pytest.approx(0.1 * abs(sum(pulls)) / 4)


def test_nothing_wrong_is_not_a_number():
    trajectory = descend(small(delta=0.0), steps=2)
    assert np.isnan(trajectory.accuracy_wrong).all()
    assert np.isnan(trajectory.coefficient_wrong).all()
    assert np.isfinite(trajectory.accuracy_clean).all()


def test_stops_when_fitted():
    data = make_clusters(60, 20, sigma=0.1, delta=0.2)
    trajectory = descend(data, steps=5000, stop_when_fitted=True)
    assert trajectory.steps < 5000
    assert trajectory.fitted[-1] == 1.0
    assert trajectory.fitted[-2] < 1.0
    for field in dataclasses.fields(trajectory):
        if field.name not in ("weights", "targets"):
            assert len(getattr(trajectory, field.name)) == trajectory.steps + 1


# What the paper says, and what was found


def mean_over_seeds(measure, *, seeds=4, p=400, n=500, start=2.0, **settings):
    trajectories = [
        descend(make_clusters(p, n, sigma=0.1, delta=0.8, seed=seed), seed=seed, start=start, **settings)
        for seed in range(seeds)
    ]
    return float(np.mean([measure(trajectory) for trajectory in trajectories]))


def test_cross_entropy_learns_early_then_memorizes():
    """PAPER.md: accuracy on mislabeled examples .94 at its peak, .03 after 6,000 steps (p 400, n 500)."""
    assert mean_over_seeds(lambda trajectory: trajectory.accuracy_wrong.max(), steps=200) > 0.85
    assert mean_over_seeds(lambda trajectory: trajectory.accuracy_wrong[-1], steps=6000) < 0.1


def test_elr_resists_where_lam_exceeds_two():
    assert mean_over_seeds(lambda trajectory: trajectory.accuracy_wrong[-1], lam=3.0, steps=6000) > 0.99
    assert mean_over_seeds(lambda trajectory: trajectory.memorized[-1], lam=1.0, steps=6000) > 0.5


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


# Bad input


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
