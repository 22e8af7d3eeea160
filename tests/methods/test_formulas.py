import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.methods import fused as losses
from elr.methods.formulas import cross_entropy, elr_term
from elr.methods.fused import elr_loss
from reference import losses_reference as reference


def random_case(seed, batch=64, classes=10, scale=2.0):
    """Logits and targets; targets are what a network said earlier, times what t(0) = 0 has left out."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=scale, size=(batch, classes))
    targets = rng.dirichlet(np.ones(classes), size=batch) * rng.uniform(0.3, 1.0, size=(batch, 1))
    return logits, targets


def test_cross_entropy_equals_the_reference():
    logits, _ = random_case(0)
    labels = np.random.default_rng(1).integers(10, size=64)
    expected = [reference.cross_entropy(row, label) for row, label in zip(logits, labels, strict=True)]
    losses = cross_entropy(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels))
    np.testing.assert_allclose(losses.numpy(), expected, atol=1e-5)


def test_cross_entropy_takes_label_probabilities():
    logits = torch.tensor([[1.0, -1.0, 0.5]])
    soft = torch.tensor([[0.2, 0.5, 0.3]])
    each = torch.stack([cross_entropy(logits, torch.tensor([c])) for c in range(3)], dim=1)
    torch.testing.assert_close(cross_entropy(logits, soft), (soft * each).sum(dim=1))


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_term_equals_the_authors_formula_away_from_the_clamp(clamp):
    logits, targets = random_case(2, scale=1.0)
    probs = np.stack([reference.softmax(row) for row in logits])
    assert probs.min() > 1e-4
    assert probs.max() < 1 - 1e-4
    expected = [reference.authors_elr_term(row, target) for row, target in zip(logits, targets, strict=True)]
    terms = elr_term(torch.tensor(logits, dtype=torch.float32), torch.tensor(targets), clamp=clamp)
    np.testing.assert_allclose(terms.numpy(), expected, atol=1e-6)


def test_clamped_term_equals_the_authors_formula_at_the_clamp():
    logits, targets = random_case(3, scale=12.0)
    probs = np.stack([reference.softmax(row) for row in logits])
    assert (probs.max(axis=1) > 1 - 1e-4).any()
    expected = [reference.authors_elr_term(row, target) for row, target in zip(logits, targets, strict=True)]
    terms = elr_term(torch.tensor(logits), torch.tensor(targets), clamp=1e-4)
    np.testing.assert_allclose(terms.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_clamp_stops_the_gradient_where_the_authors_code_stops_it():
    logits = torch.tensor([[20.0, 0.0, 0.0], [1.0, 0.0, 0.0]], requires_grad=True)
    elr_term(logits, torch.tensor([[0.9, 0.05, 0.05]] * 2), clamp=1e-4).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().max() < 1e-7
    assert logits.grad[1].abs().max() > 0.1


def test_gradient_is_the_papers_closed_form():
    logits, targets = random_case(4)
    tensor = torch.tensor(logits, requires_grad=True)
    elr_term(tensor, torch.tensor(targets)).sum().backward()
    expected = np.stack([reference.elr_gradient(row, target) for row, target in zip(logits, targets, strict=True)])
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-12)


def test_gradcheck():
    logits, targets = random_case(5, batch=4, classes=5)
    tensor = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: elr_term(z, torch.tensor(targets)), (tensor,))
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, torch.tensor([0, 1, 2, 3])), (tensor,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.0, 20.0, 1e4])
@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_finite_with_finite_gradients_where_the_authors_code_is_not(dtype, size, clamp):
    logits = torch.tensor(
        [[size, -size, 0.0], [-size, size, 0.0], [size, size, -size]], dtype=dtype, requires_grad=True
    )
    for targets in (torch.eye(3)[[0, 0, 0]], torch.full((3, 3), 1 / 3), torch.zeros(3, 3)):
        logits.grad = None
        terms = elr_term(logits, targets, clamp=clamp)
        terms.sum().backward()
        assert terms.isfinite().all()
        assert (terms <= 1e-6).all()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert logits.grad.abs().max() <= 1.0


def test_value_where_subtraction_cancels():
    # 1 - <p, t> = 1 - p_0 = 1 / (1 + e^40): far below what float32 can tell from 0 by subtraction
    term = elr_term(torch.tensor([[40.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    assert term.item() == pytest.approx(-40.0, abs=1e-4)


def test_low_precision_is_computed_in_float32():
    logits, targets = random_case(6)
    low = torch.tensor(logits, dtype=torch.bfloat16)
    terms = elr_term(low, torch.tensor(targets))
    assert terms.dtype == torch.float32
    torch.testing.assert_close(terms, elr_term(low.float(), torch.tensor(targets)))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(elr_term(low, torch.tensor(targets)), terms)
        assert cross_entropy(low, torch.zeros(64, dtype=torch.int64)).dtype == torch.float32


def test_targets_get_no_gradient():
    targets = torch.full((1, 3), 0.3, requires_grad=True)
    term = elr_term(torch.zeros(1, 3, requires_grad=True), targets)
    term.sum().backward()
    assert targets.grad is None


@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0.1, 30))
@settings(max_examples=50, deadline=None)
def test_term_is_never_positive_and_falls_with_agreement(seed, classes, scale):
    logits, targets = random_case(seed, batch=8, classes=classes, scale=scale)
    terms = elr_term(torch.tensor(logits), torch.tensor(targets))
    assert (terms <= 1e-12).all()
    more = elr_term(torch.tensor(logits), torch.tensor(targets * 0.5))
    assert (more >= terms - 1e-12).all()


@pytest.mark.parametrize(
    ("logits", "targets", "words"),
    [
        (torch.zeros(3), torch.zeros(3), "expected floating-point"),
        (torch.zeros(2, 1), torch.zeros(2, 1), "at least two classes"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3), "floating-point"),
        (torch.zeros(2, 3), torch.zeros(2, 4), "must be equal"),
    ],
)
def test_wrong_shapes_are_refused(logits, targets, words):
    with pytest.raises(ArgumentError, match=words):
        elr_term(logits, targets)


def test_other_arguments_are_checked():
    with pytest.raises(ArgumentError, match=r"clamp is 0\.5"):
        elr_term(torch.zeros(1, 2), torch.zeros(1, 2), clamp=0.5)
    with pytest.raises(ArgumentError, match=r"labels have shape \(3,\)"):
        cross_entropy(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))


@pytest.fixture(params=["blocks", "one sweep", "closed form"])
def way(request, monkeypatch):
    """The ways in which the fused loss is computed; the blocks are small, the last one is not full."""
    monkeypatch.setattr(losses, "BLOCK", 70)
    if request.param != "blocks":
        swept = request.param == "one sweep"
        monkeypatch.setattr(losses, "in_blocks", lambda _: False)
        monkeypatch.setattr(losses, "is_swept", lambda _, clamp: swept and clamp > 0.0)  # as on a GPU
    return request.param


def plain_loss(logits, labels, targets, lam, clamp):
    entropy, term = cross_entropy(logits, labels).mean(), elr_term(logits, targets, clamp=clamp).mean()
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


def soft_labels(seed, batch=64, classes=10):
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(classes), size=batch))


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
    (gradient,) = torch.autograd.grad(loss, tensor, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        gradient.sum().backward()


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
