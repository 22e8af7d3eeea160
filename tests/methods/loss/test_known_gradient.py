"""A gradient that came with the value of its loss."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import elr
from elr.errors import ArgumentError
from elr.methods.loss.formulas import elr_term
from elr.methods.loss.known_gradient import KnownGradient

LABELS, ROWS = torch.tensor([0, 2, 1, 0]), torch.arange(4)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def inputs():
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)


def test_a_known_gradient_is_scaled():
    logits = torch.zeros(2, 2, requires_grad=True)
    known = torch.tensor([[1.0, -1.0], [0.5, -0.5]])
    losses = KnownGradient.apply(logits, torch.zeros(2), known)
    (gradient,) = torch.autograd.grad(losses @ torch.tensor([2.0, -1.0]), logits)
    assert gradient.tolist() == [[2.0, -2.0], [-0.5, 0.5]]


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits: elr.ELRLoss(4, 3)(logits, LABELS, ROWS),
        lambda logits: elr.ELRLoss(4, 3, lam=0.0)(logits, F.one_hot(LABELS, 3).float(), ROWS),
        lambda logits: elr.ELRLoss(4, 3).eval()(logits, LABELS, ROWS),
        lambda logits: elr_term(logits, torch.full((4, 3), 0.3)).mean(),
    ],
    ids=["classes", "soft", "eval", "term"],
)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_second_derivative_is_refused_and_not_taken_for_zero(loss, checkpointed):
    net, x = network(), inputs()
    run = (lambda value: checkpoint(net, value, use_reentrant=False)) if checkpointed else net
    with pytest.raises(ArgumentError, match=r"create_graph=True .* no second derivative: leave it out, or write"):
        torch.autograd.grad(loss(run(x)), x, create_graph=True)
    with pytest.raises(ArgumentError, match="create_graph=True"):
        loss(run(x)).backward(create_graph=True)
    loss(run(x)).backward()  # once is no matter


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_loss_inside_a_checkpoint_has_the_same_gradient(reentrant):
    net, x, criterion = network(), inputs(), elr.ELRLoss(4, 3).eval()

    def loss(value):
        return criterion(net(value), LABELS, ROWS)

    (expected,) = torch.autograd.grad(loss(x), x)
    checkpoint(loss, x, use_reentrant=reentrant).backward()
    assert torch.equal(x.grad, expected)


def test_a_compiled_loss_is_differentiated_once_and_not_twice():
    net, x, criterion = network(), inputs(), elr.ELRLoss(4, 3)
    compiled = torch.compile(lambda value: criterion(net(value), LABELS, ROWS), backend="aot_eager")
    compiled(x).backward()
    assert x.grad.abs().sum() > 0

    def penalize():
        (gradient,) = torch.autograd.grad(compiled(x), x, create_graph=True)
        gradient.pow(2).sum().backward()

    with pytest.raises((ArgumentError, RuntimeError), match=r"create_graph|double backward"):
        penalize()


def test_what_the_error_advises_is_the_loss():
    net, x = network(), inputs()
    fused, written = elr.ELRLoss(4, 3, clamp=0.0), elr.ELRLoss(4, 3, clamp=0.0)
    logits = net(x)
    expected = fused(logits, LABELS, ROWS)
    probs = logits.softmax(1)
    targets = written.targets.update(ROWS, probs.detach(), beta=written.beta)
    loss = F.cross_entropy(logits, LABELS) + written.lam * torch.log1p(-(probs * targets).sum(1)).mean()
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, x, retain_graph=True)[0])
    gradient.pow(2).sum().backward()
