import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.losses.per_class import log_probs_of, mean_over_labels
from loss_checks import B, C, drawn


def test_log_probabilities_keep_full_precision():
    logits, labels, _ = drawn(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_probs_of(logits, labels), logits.log_softmax(dim=1))
    assert log_probs_of(logits.double(), labels).dtype == torch.float64
    with pytest.raises(ArgumentError, match="logits have shape"):
        log_probs_of(logits[0], labels)


def test_a_label_is_a_row_with_one_entry():
    values, labels, rows = drawn()
    one_hot = torch.nn.functional.one_hot(labels, C).float()
    assert torch.equal(mean_over_labels(values, labels), mean_over_labels(values, one_hot))
    torch.testing.assert_close(mean_over_labels(values, rows)[0], sum(rows[0, c] * values[0, c] for c in range(C)))
    assert mean_over_labels(values, labels).shape == (B,)


def test_label_probabilities_are_taken_in_the_precision_of_the_values():
    values, _, rows = drawn()
    assert mean_over_labels(values.float(), rows.double()).dtype == torch.float32
    assert mean_over_labels(values, rows.float()).dtype == torch.float64
