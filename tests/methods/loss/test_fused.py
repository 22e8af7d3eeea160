import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.methods.loss import formulas, fused
from elr.methods.loss.formulas import cross_entropy
from elr.methods.loss.fused import elr_loss
from elr_batches import autograd_term, random_case, soft_labels
from reference import losses_reference as reference


@pytest.fixture(params=["blocks", "one sweep", "closed form"])
def way(request, monkeypatch):
    """The ways in which the fused loss is computed; the blocks are small, the last one is not full."""
    monkeypatch.setattr(fused, "BLOCK", 70)
    if request.param != "blocks":
        monkeypatch.setattr(formulas, "in_blocks", lambda _: False)
        monkeypatch.setattr(fused, "in_blocks", lambda _: False)
        monkeypatch.setattr(fused, "is_swept", lambda _: request.param == "one sweep")  # as on a GPU
    return request.param


def plain_loss(logits, labels, targets, lam, clamp):
    entropy, term = cross_entropy(logits, labels).mean(), autograd_term(logits, targets, clamp=clamp).mean()
    return entropy + lam * term, entropy, term


def assert_same_loss(logits, labels, targets, lam, clamp, **tolerance):
    ours, plain = (logits.detach().clone().requires_grad_() for _ in range(2))
    found = elr_loss(ours, labels, targets, lam=lam, clamp=clamp)
    expected = plain_loss(plain, labels, targets, lam, clamp)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    assert [value.requires_grad for value in found] == [True, False, False]
    (gradient,) = torch.autograd.grad(found[0], ours)
    assert gradient.dtype == logits.dtype
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[0], plain)[0], **tolerance)


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
@pytest.mark.parametrize("scale", [1.0, 12.0])
@pytest.mark.parametrize("soft", [False, True])
def test_fused_loss_is_the_sum_of_its_parts(way, clamp, scale, soft):
    logits, targets = map(torch.tensor, random_case(7, scale=scale))
    labels = soft_labels(8) if soft else torch.tensor(np.random.default_rng(8).integers(10, size=64))
    assert_same_loss(logits, labels, targets, 3.0, clamp)
    assert_same_loss(logits.float(), labels, targets.float(), 3.0, clamp, rtol=1e-4, atol=1e-5)


def test_fused_loss_equals_the_reference(way):
    logits, targets = random_case(9)
    labels = np.random.default_rng(9).integers(10, size=64)
    tensor = torch.tensor(logits, requires_grad=True)
    loss, entropy, term = elr_loss(tensor, torch.tensor(labels), torch.tensor(targets), lam=7.0)
    loss.backward()
    entropies = [reference.cross_entropy(row, label) for row, label in zip(logits, labels, strict=True)]
    terms = [reference.elr_term(row, target) for row, target in zip(logits, targets, strict=True)]
    probs = np.stack([reference.softmax(row) for row in logits])
    pulls = np.stack([reference.elr_gradient(row, target) for row, target in zip(logits, targets, strict=True)])
    assert entropy.item() == pytest.approx(np.mean(entropies), rel=1e-12)
    assert term.item() == pytest.approx(np.mean(terms), rel=1e-12)
    assert loss.item() == pytest.approx(np.mean(entropies) + 7.0 * np.mean(terms), rel=1e-12)
    np.testing.assert_allclose(tensor.grad.numpy(), (probs - np.eye(10)[labels] + 7.0 * pulls) / 64, atol=1e-12)


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_fused_gradcheck(way, clamp):
    logits, targets = random_case(10, batch=17, classes=5, scale=1.0)
    tensor, targets = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    for labels in (torch.arange(17) % 5, soft_labels(11, 17, 5)):
        assert torch.autograd.gradcheck(lambda z, y=labels: elr_loss(z, y, targets, lam=3.0, clamp=clamp)[0], (tensor,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.0, 20.0, 1e4])
@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_fused_loss_is_exact_at_the_extremes(way, dtype, size, clamp):
    logits = torch.tensor([[size, -size, 0.0], [-size, size, 0.0], [size, size, -size]], dtype=dtype)
    for targets in (torch.eye(3)[[0, 0, 0]], torch.full((3, 3), 1 / 3), torch.zeros(3, 3)):
        assert_same_loss(logits, torch.tensor([1, 0, 2]), targets, 3.0, clamp)


@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0.1, 30), st.sampled_from([0.0, 1e-4, 0.1]))
@settings(max_examples=50, deadline=None)
def test_fused_loss_in_float32_is_near_the_parts_in_float64(seed, classes, scale, clamp):
    logits, targets = map(torch.tensor, random_case(seed, batch=8, classes=classes, scale=scale))
    labels = torch.tensor(np.random.default_rng(seed).integers(classes, size=8))
    if clamp == 0.0 or not any(((logits.softmax(1) - edge).abs() < 1e-6).any() for edge in (clamp, 1 - clamp)):
        assert_same_loss(logits.float().double(), labels, targets.float().double(), 3.0, clamp)
    low = logits.float().requires_grad_()
    found = elr_loss(low, labels, targets.float(), lam=3.0, clamp=clamp)
    expected = plain_loss(logits, labels, targets, 3.0, clamp)
    for one, other in zip(found, expected, strict=True):
        assert one.item() == pytest.approx(other.item(), rel=2e-3, abs=1e-3)
    (gradient,) = torch.autograd.grad(found[0], low)
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_fused_loss_under_autocast_is_the_same(way, clamp):
    logits, targets = random_case(12)
    low, labels = torch.tensor(logits, dtype=torch.bfloat16), torch.arange(64) % 10
    targets = torch.tensor(targets, dtype=torch.float32)
    outside = elr_loss(low, labels, targets, lam=3.0, clamp=clamp)
    with torch.autocast("cpu", torch.bfloat16):
        inside = elr_loss(low, labels, targets, lam=3.0, clamp=clamp)
    assert all(value.dtype == torch.float32 for value in inside)
    assert all(torch.equal(one, other) for one, other in zip(inside, outside, strict=True))


def test_fused_gradient_follows_what_comes_after_the_loss(way):
    logits, targets = map(torch.tensor, random_case(13))
    labels = torch.arange(64) % 10
    tensor = logits.clone().requires_grad_()
    loss = elr_loss(tensor, labels, targets, lam=3.0)[0]
    loss.backward(retain_graph=True)
    once = tensor.grad.clone()
    loss.backward(retain_graph=True)
    torch.testing.assert_close(tensor.grad, 2.0 * once)
    tensor.grad.zero_()
    (loss * -0.25).backward()
    torch.testing.assert_close(tensor.grad, -0.25 * once)


def test_a_scaled_loss_does_not_underflow_in_float16(way):
    logits, targets = map(torch.tensor, random_case(16, scale=9.0))
    half, full = logits.half().requires_grad_(), logits.half().double().requires_grad_()
    for tensor in (half, full):
        (elr_loss(tensor, torch.arange(64) % 10, targets, lam=3.0)[0] * 2.0**14).backward()
    torch.testing.assert_close(half.grad, full.grad.half(), rtol=5e-3, atol=1e-4)


def test_a_second_derivative_is_refused(way):
    logits, targets = map(torch.tensor, random_case(14))
    tensor = logits.clone().requires_grad_()
    loss = elr_loss(tensor, torch.arange(64) % 10, targets, lam=3.0)[0]
    with pytest.raises(ArgumentError, match="create_graph=True"):
        torch.autograd.grad(loss, tensor, create_graph=True)


def test_fused_loss_without_a_gradient(way):
    logits, targets = map(torch.tensor, random_case(15))
    assert not elr_loss(logits, torch.arange(64) % 10, targets, lam=3.0)[0].requires_grad
    with torch.no_grad():
        assert not elr_loss(logits.requires_grad_(), torch.arange(64) % 10, targets, lam=3.0)[0].requires_grad
    assert math.isnan(elr_loss(logits[:0], torch.arange(0), targets[:0], lam=3.0)[0].item())


@pytest.mark.parametrize(
    ("labels", "targets", "words"),
    [
        (torch.tensor([0, 4]), torch.zeros(2, 4), r"label 4 is out of range: expected class numbers in \[0, 4\)"),
        (torch.tensor([-1, 1]), torch.zeros(2, 4), "label -1 is out of range"),
        (torch.tensor([0]), torch.zeros(2, 4), r"labels have shape \(1,\)"),
        (torch.tensor([0, 1]), torch.zeros(2, 3), "must be equal"),
        (torch.zeros(2, 4, requires_grad=True), torch.zeros(2, 4), "detach"),
    ],
)
def test_wrong_batches_are_refused(labels, targets, words):
    with pytest.raises(ArgumentError, match=words):
        elr_loss(torch.zeros(2, 4), labels, targets, lam=3.0)
