import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.mean_absolute_error import mean_absolute_error
from elr.methods.losses.symmetric_cross_entropy import SymmetricCrossEntropyConfig, symmetric_cross_entropy
from loss_checks import B, C, check, drawn, same_as_configured


@pytest.mark.parametrize(("alpha", "beta", "log_zero"), [(0.1, 1.0, -4.0), (6.0, 0.1, -4.0), (0.5, 2.0, -6.0)])
def test_value_and_gradient(alpha, beta, log_zero):
    def expected(probs, rows):
        entropy, reverse = np.zeros(len(rows)), np.zeros(len(rows))
        for c in range(C):  # of each label that the example might have: log 1 = 0, log 0 = A
            logs = np.where(np.arange(C) == c, 0.0, log_zero)
            entropy -= rows[:, c] * np.log(probs[:, c])
            reverse -= rows[:, c] * (probs * logs).sum(axis=1)
        return alpha * entropy + beta * reverse

    check(lambda *given: symmetric_cross_entropy(*given, alpha=alpha, beta=beta, log_zero=log_zero), expected)


def test_its_parts_are_cross_entropy_and_a_multiple_of_the_mean_absolute_error():
    logits, labels, _ = drawn()
    torch.testing.assert_close(
        symmetric_cross_entropy(logits, labels, alpha=1.0, beta=0.0), cross_entropy(logits, labels)
    )
    reverse = symmetric_cross_entropy(logits, labels, alpha=0.0, beta=1.0, log_zero=-4.0)
    torch.testing.assert_close(reverse, 4.0 * (1.0 - logits.softmax(dim=1)[torch.arange(B), labels]))
    torch.testing.assert_close(reverse, 2.0 * mean_absolute_error(logits, labels))


def test_defaults_are_the_papers_for_cifar10():
    assert SymmetricCrossEntropyConfig().to_json() == {"name": "sce", "alpha": 0.1, "beta": 1.0, "log_zero": -4.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1.0}, "alpha is -1.0: expected a weight >= 0"),
        ({"beta": float("inf")}, "beta is inf: expected a weight >= 0"),
        ({"alpha": 0.0, "beta": 0.0}, "nothing would be learned"),
        ({"log_zero": 0.0}, "log_zero is 0.0: expected a number below 0"),
        ({"log_zero": float("-inf")}, "log_zero is -inf: expected a number below 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        SymmetricCrossEntropyConfig(**settings)


@pytest.mark.parametrize("settings", [{}, {"alpha": 0.0}, {"beta": 0.0}, {"alpha": 6.0, "beta": 0.1, "log_zero": -9.0}])
def test_settings_are_those_of_the_loss(settings):
    told = {"alpha": 0.1, "beta": 1.0, "log_zero": -4.0} | settings
    same_as_configured(SymmetricCrossEntropyConfig(**settings), lambda *given: symmetric_cross_entropy(*given, **told))
