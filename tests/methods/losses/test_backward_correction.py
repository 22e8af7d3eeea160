import math

import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.backward_correction import CLAMP, BackwardCorrectionConfig, backward_correction
from loss_checks import C, check, drawn

TRANSITIONS = torch.tensor(
    [[0.7, 0.3, 0.0, 0.0], [0.0, 0.8, 0.2, 0.0], [0.0, 0.0, 0.6, 0.4], [0.1, 0.1, 0.1, 0.7]], dtype=torch.float64
)
INVERSE = torch.linalg.inv(TRANSITIONS)


def test_value_and_gradient():
    inverse = np.linalg.inv(TRANSITIONS.numpy())
    check(
        lambda logits, labels: backward_correction(logits, labels, INVERSE),
        lambda probs, rows: (rows * (-np.log(probs) @ inverse.T)).sum(axis=1),
    )


def test_its_mean_over_the_noise_is_the_loss_of_the_true_label():
    logits, clean, _ = drawn()
    given = TRANSITIONS[clean]  # the chances of each label
    torch.testing.assert_close(backward_correction(logits, given, INVERSE), cross_entropy(logits, clean))
    outputs = logits.clone().requires_grad_()
    losses = backward_correction(outputs, given, INVERSE), cross_entropy(outputs, clean)
    [corrected], [plain] = (torch.autograd.grad(loss.sum(), outputs) for loss in losses)
    torch.testing.assert_close(corrected, plain)


def test_without_noise_it_is_cross_entropy():
    logits, labels, _ = drawn()
    torch.testing.assert_close(backward_correction(logits, labels, torch.eye(C)), cross_entropy(logits, labels))


def test_a_single_loss_is_bounded_below():
    """Or training would lower it without end."""
    for size in (20.0, 1e4):
        logits = size * torch.eye(C, dtype=torch.float64)
        for label in range(C):
            losses = backward_correction(logits, torch.full((C,), label), INVERSE)
            assert losses.min() >= INVERSE[label].clamp(max=0.0).sum() * -math.log(CLAMP) - 1e-9
    assert losses.min() < -1.0


def test_a_matrix_that_cannot_be_inverted_is_refused_and_one_that_nearly_cannot():
    with pytest.raises(ArgumentError, match=r"transition has condition number .*: expected below 10000"):
        BackwardCorrectionConfig(transition=[[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ArgumentError, match="take forward_correction"):
        BackwardCorrectionConfig(transition=[[0.50001, 0.49999], [0.49999, 0.50001]])
    assert BackwardCorrectionConfig(transition=np.eye(3)).transition[0] == (1.0, 0.0, 0.0)
