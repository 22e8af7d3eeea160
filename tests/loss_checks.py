"""What every loss of an example is held to: NumPy's softmax to compare with, and hard logits to survive."""

import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.method import Batch

B, C = 6, 4


def drawn(dtype=torch.float64, seed=0):
    """(B, C) logits, (B,) labels, (B, C) label rows."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(B, C, generator=generator, dtype=torch.float64)
    rows = torch.rand(B, C, generator=generator, dtype=torch.float64)
    labels = torch.randint(C, (B,), generator=generator)
    return logits.to(dtype), labels, (rows / rows.sum(dim=1, keepdim=True)).to(dtype)


def softmax(logits):
    """(B, C) probabilities by NumPy, in float64."""
    values = np.exp(logits.double().numpy() - logits.double().numpy().max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def one_hot(labels):
    return np.eye(C)[labels.numpy()]


def check(loss, expected, *, atol=1e-12):
    """A loss of logits and labels, against expected(probs, rows) -> (B,) in NumPy, both kinds of labels."""
    logits, labels, rows = drawn()
    np.testing.assert_allclose(loss(logits, labels).numpy(), expected(softmax(logits), one_hot(labels)), atol=atol)
    np.testing.assert_allclose(loss(logits, rows).numpy(), expected(softmax(logits), rows.numpy()), atol=atol)
    as_rows = torch.nn.functional.one_hot(labels, C).double()
    torch.testing.assert_close(loss(logits, as_rows), loss(logits, labels))
    mean = sum(rows[:, c] * loss(logits, torch.full((B,), c)) for c in range(C))
    torch.testing.assert_close(loss(logits, rows), mean)
    for given in (labels, rows):
        assert torch.autograd.gradcheck(lambda outputs, given=given: loss(outputs, given), logits.requires_grad_())
        logits = logits.detach()
    _check_precisions(loss)
    _check_hard_logits(loss)
    with pytest.raises(ArgumentError, match="labels have shape"):
        loss(logits, labels[:-1])
    with pytest.raises(ArgumentError, match=r"labels are torch\.int32"):
        loss(logits, labels.int())


def same_as_configured(config, loss):
    """What settings make of logits is what the loss makes of them, in a method of one network too."""
    logits, labels, rows = drawn()
    for given in (labels, rows):
        assert torch.equal(config.losses(logits, given), loss(logits, given))
    method = config.build([torch.nn.Identity()], num_examples=B, num_classes=C)
    step = method(Batch(torch.arange(B), logits, labels))
    torch.testing.assert_close(step.loss, loss(logits, labels).mean())


def _check_precisions(loss):
    """Low-precision logits, autocast and float32 give float32, with the digits of the logits that came."""
    logits, labels, rows = drawn(torch.float32)
    for given in (labels, rows):
        whole = loss(logits, given)
        assert whole.dtype == torch.float32
        np.testing.assert_allclose(whole, loss(logits.double(), given), rtol=2e-5, atol=2e-6)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(logits, given), whole)
        low = loss(logits.bfloat16(), given)
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, loss(logits.bfloat16().float(), given))


def _check_hard_logits(loss):
    """Values and gradients stay finite where probabilities are 0 and 1 to the last digit."""
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.tensor([[1e4, -1e4, 0.0, 0.0], [-500.0, 500.0, 499.0, 0.0]], dtype=dtype)
        for labels in (torch.tensor([0, 0]), torch.tensor([1, 3]), torch.full((2, C), 0.25)):
            outputs = logits.clone().requires_grad_()
            values = loss(outputs, labels)
            values.sum().backward()
            assert values.isfinite().all()
            assert outputs.grad.isfinite().all()
