"""Aligned targets: rows against plain NumPy, what weights promise, and every way in which the loss is computed."""

import io
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.methods.ingredients.alignment import BOUND, Alignment, aligned, alignment_weights, class_shares
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.formulas import confined
from elr.methods.loss.fused import elr_loss
from elr.targets.config import TargetsConfig
from elr.theory.drift import aligned_balance
from reference import losses_reference as reference

N, C = 12, 4
SHARES = torch.tensor([6.0, 3.0, 2.0, 1.0])


@st.composite
def tables(draw):
    """Targets as they come: rows of little mass, rows of zeros, classes that vanish; and shares of the classes."""
    seed, rows, classes = draw(st.integers(0, 10_000)), draw(st.integers(1, 9)), draw(st.integers(2, 6))
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 1.0, 20.0]))), size=rows)
    table *= rng.uniform(0.2, 1.0, size=(rows, 1)) * rng.choice([0.0, 1.0], p=[0.2, 0.8], size=(rows, 1))
    table *= rng.choice([1.0, 1e-3, 1e-30, 0.0], p=[0.7, 0.1, 0.1, 0.1], size=classes)
    table[table < np.finfo(np.float32).tiny] = 0.0  # processors may take them for 0
    shares = rng.dirichlet(np.ones(classes)) * rng.choice([0.0, 1.0], p=[0.1, 0.9], size=classes)
    shares[0] += 0.01
    return torch.tensor(table, dtype=torch.float32), torch.tensor(shares / shares.sum())


@given(tables())
def test_rows_keep_their_mass_and_stay_probabilities(case):
    table, shares = case
    weights = alignment_weights(table.mean(dim=0), shares)
    assert ((weights >= 1 / BOUND) & (weights <= BOUND)).all()
    found = aligned(table, weights)
    assert found.isfinite().all()
    assert ((found >= 0.0) & (found <= 1.0)).all()
    torch.testing.assert_close(found.sum(dim=1), table.sum(dim=1), atol=1e-6, rtol=1e-5)
    assert (found[table.sum(dim=1) == 0] == 0).all()


@given(tables())
def test_before_rescaling_the_mean_has_the_given_shares(case):
    table, shares = case
    weights = alignment_weights(table.double().mean(dim=0), shares)
    within = (weights > 1 / BOUND) & (weights < BOUND)
    total = table.double().sum()
    mean = (table.double() * weights).sum(dim=0) / total.clamp(min=1e-300)
    torch.testing.assert_close(mean[within & (total > 0)], shares[within & (total > 0)])


@given(tables(), st.floats(0.1, 1.0))
def test_where_the_shares_are_right_already_nothing_changes(case, mass):
    table, shares = case
    assert torch.equal(alignment_weights(torch.zeros_like(shares), shares), torch.ones_like(shares))
    torch.testing.assert_close(alignment_weights(mass * shares, shares), torch.ones_like(shares))
    assert torch.equal(aligned(table, torch.ones(table.shape[1])), table)


@given(tables())
def test_rows_equal_those_of_the_reference(case):
    table, shares = case
    table = 0.9 * table + 0.1 * table.sum(dim=1, keepdim=True) / table.shape[1]  # no class beyond the bounds
    weights = reference.alignment_weights(table.double().numpy(), shares.numpy())
    kept = np.clip(weights, 1 / BOUND, BOUND)
    np.testing.assert_allclose(alignment_weights(table.double().mean(dim=0), shares).numpy(), kept, rtol=1e-6)
    expected = np.stack([reference.aligned(row, kept) for row in table.double().numpy()])
    np.testing.assert_allclose(aligned(table, torch.tensor(kept).float()).numpy(), expected, rtol=1e-4, atol=1e-7)


def test_several_networks_at_once_and_memory_of_the_caller():
    tables = torch.rand(3, N, C)
    weights = alignment_weights(tables.mean(dim=1), SHARES)
    assert weights.shape == (3, C)
    found = aligned(tables, weights[:, None])
    for one, table, own in zip(found, tables, weights, strict=True):
        assert torch.equal(one, aligned(table, own))
    assert aligned(tables, weights[:, None], out=tables) is tables
    assert torch.equal(tables, found)


def test_shares_of_classes_and_of_rows_of_probabilities():
    parts = [torch.tensor([0, 2]), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])]
    assert class_shares(parts, 3).tolist() == [0.375, 0.125, 0.5]


def two_epochs(loss, *, dtype=torch.float32, step=None):
    """Losses and gradients of batches that come in every epoch in another order, some rows twice."""
    rows, found = torch.Generator().manual_seed(0), []
    for _ in range(2):
        loss.realign()
        for index in [*torch.randperm(N, generator=rows).split(5), torch.tensor([3, 1, 3])]:
            logits = (3 * torch.randn(len(index), C, generator=rows) + SHARES / 2).to(dtype).requires_grad_()
            value = (loss if step is None else step)(logits, index % C, index)
            found.append((value.detach(), *torch.autograd.grad(value, logits)))
    return found


def by_hand(loss):
    """The same step for step from the parts that are tested by themselves: update, align, elr_loss."""

    def step(logits, labels, index):
        former = loss.targets.read(index)
        probs = confined(torch.softmax(logits.detach().float(), dim=1), loss.clamp)
        targets = loss.targets.update(index, probs, beta=loss.beta)
        seen = torch.stack([old if old.sum() > 0 else new for old, new in zip(former, targets, strict=True)])
        seen = aligned(seen, loss.alignment.weights)
        return elr_loss(logits, labels, seen, lam=loss.lam, clamp=loss.clamp)[0]

    return step


def aligned_loss(clamp=1e-4, storage="float32"):
    targets = TargetsConfig(dtype=storage).build(N, C)
    return ELRLoss(N, C, clamp=clamp, targets=targets, class_shares=SHARES)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        for value, right in zip(one, other, strict=True):
            torch.testing.assert_close(value, right, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("way", ["in blocks", "as on a GPU", "at once"])
def test_every_way_gives_the_same_steps(way, clamp, storage, monkeypatch):
    loss, other = aligned_loss(clamp, storage), aligned_loss(clamp, storage)
    expected = two_epochs(other, step=by_hand(other))
    plain = ELRLoss(N, C, clamp=clamp, targets=TargetsConfig(dtype=storage).build(N, C))
    monkeypatch.setattr(plain, "realign", lambda: None)
    assert not torch.allclose(two_epochs(plain)[-1][1], expected[-1][1], atol=1e-3)
    monkeypatch.setattr("elr.methods.loss.fused.BLOCK", 8)
    if way == "as on a GPU":
        for module in ("formulas", "fused", "elr_loss"):
            monkeypatch.setattr(f"elr.methods.loss.{module}.in_blocks", lambda _: False)
        monkeypatch.setattr("elr.methods.loss.elr_loss.is_swept", lambda _: True)
    elif way == "at once":
        monkeypatch.setattr(loss.targets, "piecewise", lambda *_, **__: None)
    assert_same(two_epochs(loss), expected)
    assert not torch.equal(loss.alignment.weights, torch.ones(C))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++, on a CPU")
@pytest.mark.skipif(sys.platform == "win32", reason="torch.compile needs more than g++ on Windows")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("clamp", [0.0, 1e-4])
def test_compiled_without_a_break_it_is_the_same(clamp, request):
    torch.compiler.reset()  # compiled forms are counted over all tests
    request.addfinalizer(torch.compiler.reset)
    loss, other = aligned_loss(clamp), aligned_loss(clamp)
    step = torch.compile(loss, fullgraph=True)
    assert_same(two_epochs(loss, step=step), two_epochs(other))
    batch = torch.zeros(N, C), torch.zeros(N, dtype=torch.int64), torch.arange(N)
    loss.realign()
    step(*batch)
    step(*batch)
    with pytest.raises(ArgumentError, match="call realign"):
        step(*batch)


def test_a_forgotten_realign_is_not_silent():
    loss = aligned_loss()
    arguments = torch.zeros(N, C), torch.zeros(N, dtype=torch.int64), torch.arange(N)
    for _ in range(2):
        loss(*arguments)
    with pytest.raises(ArgumentError, match=r"36 rows of targets.*call realign"):
        loss(*arguments)
    loss.realign()
    loss(*arguments)
    loss.eval()
    for _ in range(5):
        loss(*arguments)


def test_targets_in_the_store_stay_plain():
    loss, plain = aligned_loss(), ELRLoss(N, C)
    plain.realign = lambda: None
    two_epochs(loss), two_epochs(plain)
    assert torch.equal(loss.targets.table, plain.targets.table)
    assert "alignment.weights" not in plain.state_dict()


def test_a_state_dict_has_the_weights():
    loss, again = aligned_loss(), aligned_loss()
    two_epochs(loss)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    arguments = torch.randn(5, C), torch.arange(5) % C, torch.arange(5)
    assert torch.equal(loss(*arguments), again(*arguments))


@pytest.mark.parametrize("shares", [[1.0, 1.0], [1.0, -1.0, 1.0, 1.0], [0.0] * 4, [1.0, float("nan"), 1.0, 1.0]])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(ArgumentError, match="expected 4 numbers >= 0"):
        ELRLoss(N, C, class_shares=torch.tensor(shares))


def test_alignment_without_shares_and_a_loss_without_alignment_say_so():
    with pytest.raises(ArgumentError, match="no shares of the classes"):
        Alignment(N, C).realign(TargetsConfig().build(N, C))
    with pytest.raises(ArgumentError, match="make it with class_shares"):
        ELRLoss(N, C).realign()


def test_without_features_shares_settle_where_the_theory_says():
    """In epochs of 25 steps at lam 7; seen from after the step, they would swing from class to class."""
    shares = torch.tensor([0.55, 0.45])
    bias = shares.log().requires_grad_()
    loss = ELRLoss(100, 2, lam=7.0, class_shares=shares)
    rows, found = torch.Generator().manual_seed(0), []
    for _ in range(80):
        loss.realign()
        for index in torch.randperm(100, generator=rows).split(4):
            (gradient,) = torch.autograd.grad(loss(bias.expand(4, 2), shares.expand(4, 2), index), bias)
            bias = (bias - 0.5 * gradient).detach().requires_grad_()
        found.append(bias.softmax(dim=0)[0].item())
    assert max(found) < 0.85
    assert found[-1] == pytest.approx(aligned_balance(0.55, 7.0), abs=2e-3)
