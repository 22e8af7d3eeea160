import pytest
import torch

from elr.methods.losses.mean_absolute_error import MeanAbsoluteErrorConfig, mean_absolute_error
from loss_checks import B, C, check, drawn, same_as_configured


def test_value_and_gradient():
    check(mean_absolute_error, lambda probs, rows: (rows * 2.0 * (1.0 - probs)).sum(axis=1))


def test_it_is_the_distance_between_label_and_prediction():
    logits, labels, _ = drawn()
    distance = (torch.nn.functional.one_hot(labels, C) - logits.softmax(dim=1)).abs().sum(dim=1)
    torch.testing.assert_close(mean_absolute_error(logits, labels), distance)


def test_its_sum_over_all_labels_says_nothing_of_the_prediction():
    logits, _, _ = drawn()
    total = sum(mean_absolute_error(logits, torch.full((B,), c)) for c in range(C))
    torch.testing.assert_close(total, torch.full((B,), 2.0 * (C - 1), dtype=torch.float64))


@pytest.mark.parametrize("noise_rate", [0.2, 0.6])
def test_symmetric_noise_scales_its_gradient_and_no_more(noise_rate):
    """Exact mean over the noise; cross entropy's gradient is turned."""
    logits, clean, _ = drawn()
    given = torch.full((B, C), noise_rate / (C - 1), dtype=torch.float64)
    given.scatter_(1, clean[:, None], 1.0 - noise_rate)
    found = [gradient(labels, logits) for labels in (given, clean)]
    torch.testing.assert_close(found[0], found[1] * (1.0 - noise_rate * C / (C - 1)))


def gradient(labels, logits):
    outputs = logits.clone().requires_grad_()
    mean_absolute_error(outputs, labels).sum().backward()
    return outputs.grad


def test_there_is_nothing_to_set():
    assert MeanAbsoluteErrorConfig().to_json() == {"name": "mae"}
    assert MeanAbsoluteErrorConfig().described() == {"name": "mean absolute error"}
    same_as_configured(MeanAbsoluteErrorConfig(), mean_absolute_error)
