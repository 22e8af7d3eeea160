"""Rows of label probabilities, and what is none."""

import pytest
import torch
from torch.nn import functional as F

from elr import ELRLoss
from elr.errors import ArgumentError
from elr.methods.loss.fused import elr_loss
from elr.methods.loss.label_rows import assert_label_rows, check_label_rows

GOOD = torch.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
BAD = {
    "multi-hot": [1.0, 1.0, 0.0],
    "negative": [-0.5, 1.0, 0.5],
    "not a number": [float("nan"), 0.5, 0.5],
    "infinite": [float("inf"), 0.0, 0.0],
    "both infinities": [float("inf"), float("-inf"), 0.0],
    "nothing": [0.0, 0.0, 0.0],
    "scores": [0.9, 0.2, 0.1],
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_probabilities_in_any_precision(dtype):
    torch.manual_seed(0)
    for classes in (2, 10, 1000):
        rows = (torch.randn(500, classes) * 3).softmax(dim=1).to(dtype)
        mixed = rows * 0.3 + rows.flip(0) * 0.7
        for labels in (rows, mixed, rows * 0.9 + 0.1 / classes, torch.full((2, classes), 1.0 / classes, dtype=dtype)):
            check_label_rows(labels)
            assert_label_rows(labels)
    check_label_rows(F.one_hot(torch.arange(3)))
    check_label_rows(torch.zeros(0, 3))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("training", [True, False])
def test_other_rows_are_refused_before_anything_changes(name, training):
    labels = torch.stack([GOOD[0], torch.tensor(BAD[name])])
    criterion, logits, index = ELRLoss(4, 3).train(training), torch.randn(2, 3, requires_grad=True), torch.arange(2)
    with pytest.raises(
        ArgumentError, match=r"labels of row 1 of the batch are \[.*expected finite numbers >= 0 that sum"
    ):
        criterion(logits, labels, index)
    with pytest.raises(ArgumentError, match="labels of row 1"):
        elr_loss(logits, labels, torch.zeros(2, 3), lam=3.0)
    with pytest.raises(RuntimeError, match="some rows of labels are no probabilities"):
        assert_label_rows(labels)  # what a GPU does without being waited for
    assert not criterion.targets.read(torch.arange(4)).any()


def test_truths_are_refused_by_name_before_anything_changes():
    criterion, logits = ELRLoss(4, 3), torch.randn(2, 3, requires_grad=True)
    rows = F.one_hot(torch.tensor([0, 2]), 3)
    with pytest.raises(ArgumentError, match=r"labels are torch\.bool: .* use labels\.float\(\)"):
        criterion(logits, rows.bool(), torch.arange(2))
    assert not criterion.targets.read(torch.arange(4)).any()
    assert criterion(logits, rows.bool().float(), torch.arange(2)).isfinite()
