"""The formulas of what DivideMix teaches, in NumPy."""

import numpy as np
import pytest
import torch

from elr.methods.peers.guessing import (
    co_refined,
    confidence_penalty,
    prior_penalty,
    semi_supervised_parts,
    sharpened,
)

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.ones(5), size=7)
LOGITS = RNG.normal(size=(7, 5)) * 2
LABELS = RNG.dirichlet(np.ones(5), size=7)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.25, 0.5, 1.0])
def test_sharpening_is_a_power_scaled_to_sum_one(temperature):
    powers = PROBS ** (1 / temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharpened(torch.from_numpy(PROBS), temperature).numpy(), expected)


def test_sharpening_does_not_underflow():
    nearly_equal = torch.tensor([[0.34, 0.33, 0.33]])
    assert sharpened(nearly_equal, 0.001).tolist() == [[1.0, pytest.approx(0, abs=1e-10), pytest.approx(0, abs=1e-10)]]
    assert sharpened(torch.tensor([[1.0, 0.0]]), 0.5).tolist() == [[1.0, 0.0]]


def test_refinement_weighs_the_label_by_its_probability():
    weights = RNG.random(7)
    found = co_refined(torch.from_numpy(LABELS), torch.from_numpy(PROBS), torch.from_numpy(weights))
    np.testing.assert_allclose(found.numpy(), weights[:, None] * LABELS + (1 - weights[:, None]) * PROBS)


def test_the_terms_of_the_loss():
    labeled, others, prior = semi_supervised_parts(torch.from_numpy(LOGITS), torch.from_numpy(LABELS), labeled=4)
    probs = softmax(LOGITS)
    assert float(labeled) == pytest.approx(-(LABELS[:4] * np.log(probs[:4])).sum(axis=1).mean(), rel=1e-5)
    assert float(others) == pytest.approx(((probs[4:] - LABELS[4:]) ** 2).mean(), rel=1e-5)
    assert float(prior) == pytest.approx((0.2 * np.log(0.2 / probs.mean(axis=0))).sum(), rel=1e-5)


@pytest.mark.parametrize("labeled", [0, 7])
def test_a_term_without_rows_is_zero_and_has_a_gradient(labeled):
    logits = torch.from_numpy(LOGITS).requires_grad_()
    parts = semi_supervised_parts(logits, torch.from_numpy(LABELS), labeled=labeled)
    assert float(parts[0 if labeled == 0 else 1].detach()) == 0.0
    sum(parts).backward()
    assert logits.grad.isfinite().all()


def test_the_prior_penalty_is_least_where_classes_are_equally_frequent():
    assert float(prior_penalty(torch.eye(4).log())) == pytest.approx(0.0, abs=1e-6)
    assert float(prior_penalty(torch.from_numpy(PROBS).log())) > 0.0
    never = torch.tensor([[1e3, 0.0]]).log_softmax(dim=1)  # a class whose probability is 0 in float32
    assert float(prior_penalty(never)) == pytest.approx(500.0 - np.log(2))


def test_the_confidence_penalty_is_the_negative_entropy():
    probs = softmax(LOGITS)
    expected = (probs * np.log(probs)).sum(axis=1).mean()
    assert float(confidence_penalty(torch.from_numpy(LOGITS))) == pytest.approx(expected, rel=1e-5)
    assert confidence_penalty(torch.tensor([[1e4, -1e4]])).isfinite()
