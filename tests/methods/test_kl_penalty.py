import numpy as np
import pytest
import torch
from torch import nn

from blobs import C, built
from elr.errors import ArgumentError
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.methods.method import Batch


def batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.tensor([3, 7, 1]), torch.randn(3, 8, generator=generator), torch.randint(C, (3,), generator=generator)
    )


def test_loss_is_that_of_the_appendix():
    method, examples = built(KLPenaltyConfig(lam=5.0, beta=0.7)), batch()
    targets = np.zeros((3, C))
    for _ in range(3):  # the same step on weights that stay: only the targets move
        logits = method.network(examples.inputs).detach().double().numpy()
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        targets = 0.7 * targets + 0.3 * probs
        whole = targets / targets.sum(axis=1, keepdims=True)
        entropy = -np.log(probs[np.arange(3), examples.labels]).mean()
        penalty = (whole * np.log(whole / probs)).sum(axis=1).mean()
        step = method(examples)
        assert step.terms["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
        assert step.terms["kl"].item() == pytest.approx(penalty, abs=1e-6)
        assert step.loss.item() == pytest.approx(entropy + 5.0 * penalty, rel=1e-5)
        np.testing.assert_allclose(method.targets.read(examples.index).numpy(), targets, rtol=1e-5)


def test_gradient_has_nothing_but_cross_entropy_where_outputs_and_targets_agree():
    """p - y + lam (p - t): why it fails."""
    method, examples = built(KLPenaltyConfig(lam=10.0)), batch()
    logits = method(examples).logits.detach()  # after one step t = 0.3 p, the same distribution
    probs = torch.softmax(logits, dim=1)
    one_hot = nn.functional.one_hot(examples.labels, C)
    gradients = method.logit_gradients(examples.index, logits, examples.labels)
    torch.testing.assert_close(gradients, probs - one_hot, atol=1e-6, rtol=0)
    moved = logits + torch.tensor([1.0, 0.0, -1.0])
    expected = torch.softmax(moved, dim=1) - one_hot + 10.0 * (torch.softmax(moved, dim=1) - probs)
    torch.testing.assert_close(
        method.logit_gradients(examples.index, moved, examples.labels), expected, atol=1e-5, rtol=0
    )


def test_eval_mode_changes_no_target():
    method, examples = built(KLPenaltyConfig()).eval(), batch()
    method(examples)
    assert not method.targets.read(examples.index).any()


@pytest.mark.parametrize(("settings", "message"), [({"lam": -1.0}, "lam is -1.0"), ({"beta": 1.0}, "beta is 1.0")])
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        KLPenaltyConfig(**settings)
