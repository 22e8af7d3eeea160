import pytest
import torch

from elr.errors import ArgumentError, RowIndexError
from elr.methods.loss.fused import elr_loss, traced_elr_loss
from elr.targets.dense import DenseTargets
from elr_batches import random_case, soft_labels

SETTINGS = {"lam": 3.0, "clamp": 1e-4}


def batch_of(seed, soft=False):
    """Logits, labels and a table of targets; the loss itself is plain PyTorch, which need not be compiled."""
    logits, targets = (torch.tensor(each, dtype=torch.float32) for each in random_case(seed, scale=5.0))
    labels = soft_labels(seed).float() if soft else torch.arange(64) % 10
    return logits.requires_grad_(), labels, targets


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
def test_it_is_the_update_and_then_the_fused_loss(soft, repeats):
    logits, labels, table = batch_of(0, soft)
    index = torch.arange(64).flip(0) // (2 if repeats else 1)
    store = DenseTargets(64, 10)
    store.table.copy_(table)
    plain = logits.detach().clone().requires_grad_()
    targets = store.update(index, plain.detach().softmax(dim=1), beta=0.7)
    expected = elr_loss(plain, labels, targets, **SETTINGS)
    found = traced_elr_loss(logits, labels, index, table, beta=0.7, **SETTINGS)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(table, store.table)
    (gradient,) = torch.autograd.grad(found[0] * 2.0, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[0] * 2.0, plain)[0])


@pytest.mark.parametrize(("row", "label", "error"), [(64, 0, RowIndexError), (0, 10, ArgumentError)])
def test_what_is_out_of_range_changes_nothing(row, label, error):
    logits, labels, table = batch_of(1)
    index, before = torch.arange(64), table.clone()
    index[0], labels[0] = row, label
    with pytest.raises(error):
        traced_elr_loss(logits, labels, index, table, beta=0.7, **SETTINGS)
    assert torch.equal(table, before)
