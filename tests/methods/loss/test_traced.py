"""The loss of ELR for compilers: the targets are updated with it."""

import pytest
import torch

from elr.errors import ArgumentError, RowIndexError
from elr.methods.loss.formulas import confined
from elr.methods.loss.fused import elr_loss
from elr.methods.loss.kernel import has_kernel
from elr.methods.loss.traced import traced_elr_loss
from elr.targets.dense import DenseTargets
from elr_batches import random_case, soft_labels

TRACED = {"lam": 3.0, "clamp": 1e-4}


def traced_batch(seed, soft=False):
    """Logits, labels and a table of targets; the loss itself is plain PyTorch, which need not be compiled."""
    logits, targets = (torch.tensor(each, dtype=torch.float32) for each in random_case(seed, scale=5.0))
    labels = soft_labels(seed).float() if soft else torch.arange(64) % 10
    return logits.requires_grad_(), labels, targets


@pytest.fixture(params=["kernel", "loop"], autouse=True)
def way(request, monkeypatch):
    """Class numbers as labels go through the kernel where a compiler is there, and through the loop."""
    if request.param == "loop":
        monkeypatch.setattr("elr.methods.loss.traced.kernel_takes", lambda *_: False)
    elif not has_kernel():
        pytest.skip("no compiler to build the kernel")


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
def test_the_traced_loss_is_the_update_and_then_the_fused_loss(soft, repeats):
    logits, labels, table = traced_batch(0, soft)
    index = torch.arange(64).flip(0) // (2 if repeats else 1)
    store = DenseTargets(64, 10)
    store.table.copy_(table)
    plain = logits.detach().clone().requires_grad_()
    targets = store.update(index, confined(plain.detach().softmax(dim=1), TRACED["clamp"]), beta=0.7)
    expected = elr_loss(plain, labels, targets, **TRACED)
    found = traced_elr_loss(logits, labels, index, table, beta=0.7, **TRACED)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(table, store.table)
    (gradient,) = torch.autograd.grad(found[0] * 2.0, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[0] * 2.0, plain)[0])


@pytest.mark.parametrize(("row", "label", "error"), [(64, 0, RowIndexError), (0, 10, ArgumentError)])
def test_what_is_out_of_range_of_the_traced_loss_changes_nothing(row, label, error):
    logits, labels, table = traced_batch(1)
    index, before = torch.arange(64), table.clone()
    index[0], labels[0] = row, label
    with pytest.raises(error):
        traced_elr_loss(logits, labels, index, table, beta=0.7, **TRACED)
    assert torch.equal(table, before)
