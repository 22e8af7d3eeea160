import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.label_smoothing import LabelSmoothingConfig, label_smoothing
from loss_checks import C, check, drawn, same_as_configured


@pytest.mark.parametrize("alpha", [0.1, 0.6])
def test_value_and_gradient(alpha):
    check(
        lambda logits, labels: label_smoothing(logits, labels, alpha=alpha),
        lambda probs, rows: -(((1.0 - alpha) * rows + alpha / C) * np.log(probs)).sum(axis=1),
    )


def test_it_is_what_torch_calls_by_that_name_and_cross_entropy_without():
    logits, labels, _ = drawn()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(label_smoothing(logits, labels, alpha=0.1), expected)
    torch.testing.assert_close(label_smoothing(logits, labels, alpha=0.0), cross_entropy(logits, labels))


def test_no_prediction_is_best_that_is_sure():
    """The minimum is at p = the smoothed label, whose largest probability is 1 - alpha + alpha / C."""
    best = torch.full((1, C), 0.3 / C, dtype=torch.float64)
    best[0, 2] += 0.7
    logits = best.log().requires_grad_()
    label_smoothing(logits, torch.tensor([2]), alpha=0.3).sum().backward()
    assert logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("alpha", [-0.1, 1.0, float("nan")])
def test_shares_that_cannot_be_are_refused(alpha):
    with pytest.raises(ArgumentError, match=r"alpha is .*: expected a share of the label in \[0, 1\)"):
        LabelSmoothingConfig(alpha=alpha)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.999])
def test_settings_are_those_of_the_loss(alpha):
    config = LabelSmoothingConfig(alpha=alpha)
    same_as_configured(config, lambda *given: label_smoothing(*given, alpha=alpha))
