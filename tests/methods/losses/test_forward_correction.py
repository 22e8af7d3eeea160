import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.forward_correction import ForwardCorrectionConfig, forward_correction
from loss_checks import C, check, drawn

TRANSITIONS = torch.tensor(
    [[0.7, 0.3, 0.0, 0.0], [0.0, 0.8, 0.2, 0.0], [0.0, 0.0, 0.6, 0.4], [0.1, 0.1, 0.1, 0.7]], dtype=torch.float64
)


def test_value_and_gradient():
    check(
        lambda logits, labels: forward_correction(logits, labels, TRANSITIONS.log()),
        lambda probs, rows: -(rows * np.log(probs @ TRANSITIONS.numpy())).sum(axis=1),
    )


def test_without_noise_it_is_cross_entropy():
    logits, labels, _ = drawn()
    torch.testing.assert_close(forward_correction(logits, labels, torch.eye(C).log()), cross_entropy(logits, labels))


def minimizer(loss, rows):
    """(K, C) softmax of free logits that minimize the loss, exactly over all labels."""
    logits = torch.zeros_like(rows, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=2000, tolerance_grad=1e-12, tolerance_change=0, history_size=50)

    def evaluate():
        optimizer.zero_grad()
        value = loss(logits, rows).sum()
        value.backward()
        return value

    optimizer.step(evaluate)
    return logits.detach().softmax(dim=1)


def test_its_minimizer_is_what_is_true_where_that_of_cross_entropy_is_what_is_given():
    clean = torch.distributions.Dirichlet(torch.ones(C, dtype=torch.float64)).sample((50,)) * 0.96 + 0.01
    given = clean @ TRANSITIONS
    found = minimizer(lambda logits, rows: forward_correction(logits, rows, TRANSITIONS.log()), given)
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(minimizer(cross_entropy, given), given, atol=1e-4, rtol=0)
    assert (given - clean).abs().max() > 0.2


def test_a_label_that_the_true_class_explains_pulls_nowhere():
    logits = torch.tensor([[30.0, -30.0, -30.0, -30.0]], requires_grad=True)
    forward_correction(logits, torch.tensor([1]), TRANSITIONS.log()).sum().backward()
    assert logits.grad.abs().max() < 1e-6


def test_a_matrix_that_explains_no_label_of_a_class_is_refused():
    with pytest.raises(ArgumentError, match="transition has only zeros in column 1: expected that each label can"):
        ForwardCorrectionConfig(transition=[[1.0, 0.0], [1.0, 0.0]])
    singular = [[0.5, 0.5], [0.5, 0.5]]
    assert ForwardCorrectionConfig(transition=singular).transition == ((0.5, 0.5), (0.5, 0.5))  # nothing is inverted
