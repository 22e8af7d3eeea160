import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.bootstrapping import BootstrappingConfig, bootstrapping
from loss_checks import C, check, drawn, same_as_configured


@pytest.mark.parametrize(("kind", "beta"), [("soft", 0.95), ("hard", 0.8), ("soft", 0.3), ("hard", 0.3)])
def test_value_and_gradient(kind, beta):
    def expected(probs, rows):
        own = probs if kind == "soft" else np.eye(C)[probs.argmax(axis=1)]
        return -((beta * rows + (1.0 - beta) * own) * np.log(probs)).sum(axis=1)

    check(lambda logits, labels: bootstrapping(logits, labels, kind=kind, beta=beta), expected)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_whole_label_is_cross_entropy(kind):
    logits, labels, _ = drawn()
    torch.testing.assert_close(bootstrapping(logits, labels, kind=kind, beta=1.0), cross_entropy(logits, labels))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_label_against_a_sure_prediction_pulls_less_than_in_cross_entropy(kind):
    logits = torch.tensor([[4.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    labels, beta = torch.tensor([1]), BootstrappingConfig(kind=kind).beta
    losses = bootstrapping(logits, labels, kind=kind, beta=beta), cross_entropy(logits, labels)
    [pull], [plain] = (torch.autograd.grad(loss.sum(), logits) for loss in losses)
    assert -plain[0, 1] * beta * 0.9 < -pull[0, 1] < -plain[0, 1]


def test_the_share_of_the_label_goes_by_the_kind():
    assert BootstrappingConfig() == BootstrappingConfig(kind="hard", beta=0.8)
    assert BootstrappingConfig(kind="soft") == BootstrappingConfig(kind="soft", beta=0.95)
    assert BootstrappingConfig(beta=0.5).to_json() == {"name": "bootstrapping", "kind": "hard", "beta": 0.5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "firm"}, "kind is 'firm': expected one of hard, soft"),
        ({"beta": 0.0}, r"beta is 0.0: expected the share of the given label in \(0, 1\]"),
        ({"beta": 1.1}, "beta is 1.1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        BootstrappingConfig(**settings)


@pytest.mark.parametrize(("kind", "beta"), [("hard", 0.8), ("soft", 0.95), ("hard", 1.0), ("soft", 0.3)])
def test_settings_are_those_of_the_loss(kind, beta):
    config = BootstrappingConfig(kind=kind, beta=beta)
    same_as_configured(config, lambda *given: bootstrapping(*given, kind=kind, beta=beta))
