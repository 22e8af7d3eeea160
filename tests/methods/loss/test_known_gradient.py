"""A gradient that came with the value of its loss."""

import pytest
import torch

from elr.methods.loss.known_gradient import KnownGradient


def test_a_known_gradient_is_scaled_and_has_no_derivative():
    logits = torch.zeros(2, 2, requires_grad=True)
    known = torch.tensor([[1.0, -1.0], [0.5, -0.5]])
    losses = KnownGradient.apply(logits, torch.zeros(2), known)
    (gradient,) = torch.autograd.grad(losses @ torch.tensor([2.0, -1.0]), logits, create_graph=True)
    assert gradient.tolist() == [[2.0, -2.0], [-0.5, 0.5]]
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        gradient.sum().backward()
