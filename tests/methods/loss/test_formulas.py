import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from elr.errors import ArgumentError
from elr.methods.loss.formulas import (
    as_tensor,
    check_clamp,
    check_classes,
    check_weights,
    confined,
    cross_entropy,
    elr_term,
    regularizer,
)
from elr.methods.loss.known_gradient import in_blocks
from elr_batches import autograd_term, random_case
from reference import losses_reference as reference


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


@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.1])
def test_gradcheck(clamp):
    logits, targets = random_case(5, batch=4, classes=5)
    tensor = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: elr_term(z, torch.tensor(targets), clamp=clamp), (tensor,))
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


@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("scale", [1.0, 12.0, 40.0, 500.0])
def test_value_and_gradient_are_those_of_automatic_differentiation(clamp, scale):
    logits, targets = map(torch.tensor, random_case(17, scale=scale))
    targets[::2] = F.one_hot(logits[::2].argmax(dim=1), 10).double()
    ours, plain = (logits.clone().requires_grad_() for _ in range(2))
    weights = torch.linspace(-1.0, 2.0, 64, dtype=torch.float64)
    found, expected = elr_term(ours, targets, clamp=clamp), autograd_term(plain, targets, clamp=clamp)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    (found @ weights).backward()
    (expected @ weights).backward()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.1])
def test_memory_that_is_given_holds_the_pulls(clamp, dtype):
    logits, targets = (torch.tensor(each, dtype=dtype) for each in random_case(18, scale=6.0))
    probs, room = logits.softmax(dim=1), torch.full((64, 10), torch.nan, dtype=dtype)
    before = probs.clone(), targets.clone()
    expected = regularizer(probs, targets, clamp=clamp, logits=logits)
    found = regularizer(probs, targets, clamp=clamp, logits=logits, out=room)
    assert found[2] is room
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.equal(probs, before[0])
    assert torch.equal(targets, before[1])


def test_probabilities_exactly_at_the_clamp_pass_their_gradient():
    probs = torch.tensor([[0.1, 0.9], [0.0999, 0.9001]])
    pulls = regularizer(probs, torch.full((2, 2), 0.5), clamp=0.1)[2]
    assert pulls.tolist() == [[pytest.approx(0.05), pytest.approx(0.45)], [0.0, 0.0]]


def test_nothing_is_passed_on_below_the_clamp():
    """Targets whose storage in low precision sums to more than 1: 1 - <p, t> is 0.05 and below."""
    term, factor, _ = regularizer(torch.full((2, 2), 0.5), torch.tensor([[0.95, 0.95], [1.2, 1.2]]), clamp=0.1)
    assert term.exp().tolist() == [[pytest.approx(0.1)], [pytest.approx(0.1)]]
    assert factor.tolist() == [[0.0], [0.0]]


def test_one_row_that_underflows_leaves_its_neighbors_alone():
    logits = torch.tensor([[400.0, 0.0], [1.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [0.6, 0.2]])
    both, alone = elr_term(logits, targets), elr_term(logits[1:], targets[1:])
    assert both[0].item() == pytest.approx(-400.0)
    torch.testing.assert_close(both[1:], alone)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clamp", [1e-4, 0.1])
def test_outputs_enter_targets_clamped_and_divided_by_their_sum(clamp, dtype):
    logits, _ = random_case(5, scale=9.0)
    probs = torch.tensor(logits).softmax(dim=1).to(dtype)
    memory = torch.empty_like(probs)
    found = confined(probs, clamp, out=memory)
    assert found.data_ptr() == memory.data_ptr()
    assert torch.equal(confined(probs, clamp), found)
    expected = np.stack([reference.confined(row, clamp) for row in probs.double().numpy()])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6 if dtype == torch.float32 else 1e-14)
    assert (found - probs).abs().max() > clamp / 2
    assert confined(probs, 0.0) is probs
    probs[0] = torch.nan
    assert confined(probs, clamp)[0].isnan().all(), "what is not finite is still seen to be so"


def test_names_in_place_of_class_numbers_are_refused_in_a_few_words():
    with pytest.raises(ArgumentError, match=r"labels is text, such as 'cat': .* LabelEncoder") as caught:
        as_tensor(np.array(["cat", "dog"] * 1000), "labels", device=None)
    assert len(str(caught.value)) < 120


def test_label_probabilities_of_another_precision_are_taken():
    logits, soft = torch.tensor([[1.0, -1.0, 0.5]]), torch.tensor([[0.2, 0.5, 0.3]])
    expected = cross_entropy(logits, soft)
    for dtype in (torch.float64, torch.float16):
        torch.testing.assert_close(cross_entropy(logits, soft.to(dtype)), expected, rtol=1e-3, atol=1e-3)
        assert cross_entropy(logits, soft.to(dtype)).dtype == torch.float32


@pytest.mark.parametrize("values", [[2, 0], np.array([2, 0], dtype=np.int8), np.array([2, 0], dtype=">i4")])
def test_class_numbers_of_any_kind_become_int64(values):
    found = as_tensor(values, "labels", device=None)
    assert (found.dtype, found.tolist(), found.device.type) == (torch.int64, [2, 0], "cpu")


def test_tensors_of_small_integers_become_int64_and_others_stay():
    for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8):
        assert as_tensor(torch.tensor([3], dtype=dtype), "labels", device=None).dtype == torch.int64
    for dtype in (torch.float32, torch.float64, torch.bool):
        given = torch.ones(1, dtype=dtype)
        assert as_tensor(given, "labels", device=None) is given
    assert as_tensor([0.5, 0.25], "labels", device=None).tolist() == [0.5, 0.25]
    assert as_tensor(np.array([0.5]), "labels", device=None).dtype == torch.float64
    assert as_tensor([1], "labels", device=torch.device("meta")).device.type == "meta"


@pytest.mark.parametrize("values", [3, 0.5, [True], [None], [[1], [1, 2]], np.array(7), {"a": 1}, [2**70]])
def test_what_is_no_row_of_numbers_is_refused(values):
    with pytest.raises(ArgumentError, match=r"labels is .*: expected a tensor, or a list or array of numbers"):
        as_tensor(values, "labels", device=None)


def test_weights_and_clamps_at_the_edges_of_their_ranges():
    for lam in (0.0, 0.5, 1e6):
        check_weights(lam, 0.0)
    check_weights(3.0, 0.999)
    for lam in (-1e-9, float("inf"), float("nan")):
        with pytest.raises(ArgumentError, match=r"lam is .*: expected a weight >= 0"):
            check_weights(lam, 0.7)
    for beta in (-1e-9, 1.0, float("nan")):
        with pytest.raises(ArgumentError, match=r"beta is .*: expected a momentum"):
            check_weights(3.0, beta)
    for clamp in (0.0, 0.4999):
        check_clamp(clamp)
    for clamp in (-1e-9, 0.5, float("nan")):
        with pytest.raises(ArgumentError, match="clamp is"):
            check_clamp(clamp)


def test_class_numbers_at_the_edges_of_their_range():
    check_classes(torch.tensor([0, 2]), 3)
    check_classes(torch.tensor([], dtype=torch.int64), 1)
    for wrong, told in (([3, 0], 3), ([0, -1], -1), ([-2, 7], -2)):
        with pytest.raises(ArgumentError, match=rf"label {told} is out of range: expected class numbers in \[0, 3\)"):
            check_classes(torch.tensor(wrong), 3)


def test_blocks_are_for_processors_that_trace_nothing(monkeypatch):
    tensors = torch.zeros(1), torch.zeros(1, device="meta")
    assert [in_blocks(each) for each in tensors] == [True, False]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert [in_blocks(each) for each in tensors] == [False, False]


@pytest.mark.parametrize("clamp", [0.0, 0.1])
def test_what_is_traced_has_the_same_formula(clamp, monkeypatch):
    """The branches that a compiler takes, taken without one: out of blocks, in logarithms."""
    logits, targets = map(torch.tensor, random_case(19, scale=4.0))
    probs = logits.softmax(dim=1)
    expected = regularizer(probs, targets, clamp=clamp, logits=logits)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for found in (
        regularizer(probs, targets, clamp=clamp, logits=logits),
        regularizer(probs, targets, clamp=clamp),
        regularizer(probs, targets, clamp=clamp, logits=logits, complements=1.0 - targets),
    ):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_complements_that_are_known_stand_for_targets():
    logits, targets = map(torch.tensor, random_case(20))
    probs, room = logits.softmax(dim=1), torch.full((64, 10), torch.nan, dtype=torch.float64)
    expected = regularizer(probs, targets, logits=logits)
    found = regularizer(probs, torch.full_like(targets, torch.nan), complements=1.0 - targets, logits=logits, out=room)
    assert found[2] is room
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
