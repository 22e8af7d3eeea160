"""The operations that stores of targets are made of; outputs that are not finite never enter targets, on every path."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.config import DTYPES, PLACEMENTS, TargetsConfig
from elr.targets.updating import (
    STORAGE_DTYPES,
    blend,
    finite_parts,
    gather_rows,
    has_repeats,
    mean_over_repeats,
    note_nonfinite,
    warn_nonfinite,
)
from elr_batches import Elsewhere, outputs
from thread_ranks import ThreadRanks

pytestmark = pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
ROWS = st.lists(st.integers(0, 6), min_size=1, max_size=25)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_repeats_are_seen(rows):
    assert has_repeats(torch.tensor(rows)) == (len(set(rows)) < len(rows))


@given(ROWS, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_rows_that_repeat_get_the_mean_of_their_outputs(rows, seed):
    index, probs = torch.tensor(rows), outputs(seed, len(rows), 3)
    expected = torch.stack([probs[index == row].mean(dim=0) for row in rows])
    before = probs.clone()
    torch.testing.assert_close(mean_over_repeats(index, probs), expected)
    assert torch.equal(mean_over_repeats(index.as_subclass(Elsewhere), probs), mean_over_repeats(index, probs))
    assert torch.equal(probs, before), "outputs may be buffers of the caller"


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_a_blend_moves_its_rows_and_no_others(dtype):
    table, index, probs = outputs(0, 6, 3).to(dtype), torch.tensor([4, 1]), outputs(1, 2, 3)
    expected = table.clone()
    full = torch.float64 if dtype == torch.float64 else torch.float32
    expected[index] = (0.7 * table[index].to(full) + 0.3 * probs).to(dtype)
    out = torch.empty(2, 3, dtype=dtype)
    found = blend(table, index, probs, 0.7, out=out)
    assert found.dtype == full
    torch.testing.assert_close(table, expected)
    assert torch.equal(found, table[index].to(full)), "what it returns is what was stored"
    assert torch.equal(out, table[index])


BAD = [torch.nan, torch.inf, -torch.inf]
STORES = [(placement, dtype) for placement in PLACEMENTS for dtype in DTYPES]


def store(placement, dtype):
    """One with targets of every row but the last."""
    targets = TargetsConfig(placement=placement, dtype=dtype).build(6, 3)
    generator = torch.Generator().manual_seed(0)
    targets.update(torch.arange(5), torch.rand(5, 3, generator=generator).softmax(dim=1), beta=0.7)
    return targets


def all_rows(targets):
    return targets.read(torch.arange(targets.num_examples))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("placement", "dtype"), STORES)
def test_a_row_that_is_not_finite_keeps_its_target_and_the_others_move_as_ever(placement, dtype, bad):
    targets, clean = store(placement, dtype), store(placement, dtype)
    before = all_rows(targets)
    probs = torch.rand(4, 3).softmax(dim=1)
    expected = clean.update(torch.tensor([0, 2]), probs[[0, 2]], beta=0.7)
    probs[1, 2], probs[3, 0] = bad, bad
    given = targets.update(torch.tensor([0, 4, 2, 5]), probs, beta=0.7)
    assert torch.equal(given[[0, 2]], expected)
    assert torch.equal(given[[1, 3]], before[[4, 5]])
    assert torch.equal(all_rows(targets), all_rows(clean))
    assert not all_rows(targets)[5].any()
    assert targets.nonfinite.tolist() == [2, 1]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("placement", "dtype"), STORES)
def test_of_a_row_that_repeats_the_finite_copies_count(placement, dtype, bad):
    targets, clean = store(placement, dtype), store(placement, dtype)
    probs = torch.rand(5, 3).softmax(dim=1)
    clean.update(torch.tensor([1, 3, 1]), probs[:3], beta=0.7)
    probs[3:] = bad
    targets.update(torch.tensor([1, 3, 1, 1, 5]), probs, beta=0.7)
    assert torch.equal(all_rows(targets), all_rows(clean))


@pytest.mark.parametrize(("placement", "dtype"), STORES)
def test_a_part_of_a_row_is_finite_or_not_by_itself(placement, dtype):
    targets = TargetsConfig(placement=placement, dtype=dtype).build(4, 4)
    targets.parts = 2
    for index in ([1, 2], [1, 1]):
        given = targets.update(
            torch.tensor(index), torch.tensor([[0.5, 0.5, torch.nan, 0.1], [0.5, 0.5, 0.25, 0.75]]), beta=0.5
        )
        assert given.isfinite().all()
    assert targets.nonfinite.tolist() == [2, 2]


@pytest.mark.parametrize("path", ["in blocks", "whole", "compiled"])
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("shares", [None, torch.ones(3)])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_every_path_of_the_loss_agrees(path, repeats, shares, bad, monkeypatch):
    index = torch.tensor([4, 1, 4, 0]) if repeats else torch.tensor([4, 1, 3, 0])
    if path == "in blocks":
        monkeypatch.setattr("elr.methods.loss.fused.BLOCK", 6)  # two rows each
    losses = [ELRLoss(6, 3, class_shares=shares) for _ in range(2)]
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    step = torch.compile(losses[0], backend="aot_eager") if path == "compiled" else losses[0]
    for loss in (step, losses[1]):
        loss(logits, labels, index)
    former = all_rows(losses[1].targets)
    spoiled = logits.clone()
    spoiled[1, 2], spoiled[3] = bad, torch.nan
    spoiled.requires_grad_()
    value = step(spoiled, labels, index)
    value.backward()
    losses[1](logits[[0, 2]], labels[[0, 2]], index[[0, 2]])
    assert not value.isfinite()
    assert not spoiled.grad.isfinite().all()
    found = all_rows(losses[0].targets)
    torch.testing.assert_close(found, all_rows(losses[1].targets))
    assert torch.equal(found[[1, 0]], former[[1, 0]]) or path == "compiled"
    assert losses[0].targets.nonfinite.tolist() == [2, 1]


def test_half_precision_that_overflows():
    loss = ELRLoss(4, 3)
    logits = (torch.full((2, 3), 300.0, dtype=torch.float16) ** 2).requires_grad_()
    assert not loss(logits, torch.tensor([0, 1]), torch.tensor([0, 3])).isfinite()
    assert not all_rows(loss.targets).any()


def test_it_is_said_once_and_the_count_survives_a_checkpoint():
    loss, other = ELRLoss(4, 2), ELRLoss(4, 2)
    logits = torch.tensor([[torch.inf, 0.0]])
    step = (logits, torch.tensor([0]), torch.tensor([1]))
    with pytest.warns(RuntimeWarning, match=r"1 outputs of the network were not finite in 1 step"):
        loss(*step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(*step)
        loss.train()
    other.load_state_dict(loss.state_dict())
    assert other.targets.nonfinite.tolist() == [2, 2]
    assert not list(loss.targets.buffers())


def test_a_grad_scaler_skips_the_step_and_training_recovers():
    torch.manual_seed(0)
    network, loss, scaler = nn.Linear(2, 2), ELRLoss(8, 2), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, labels, index = torch.randn(8, 2), torch.arange(8) % 2, torch.arange(8)
    for number in range(3):
        before = network.weight.detach().clone()
        given = inputs.clone()
        if number == 1:
            given[3] = torch.inf
        optimizer.zero_grad()
        scaler.scale(loss(network(given), labels, index)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(before, network.weight) == (number == 1)
    assert network.weight.isfinite().all()
    assert all_rows(loss.targets).isfinite().all()


def test_what_is_not_finite_is_found_and_counted():
    count = torch.zeros(2, dtype=torch.int64)
    assert not note_nonfinite(torch.ones(2, 2), count)
    assert finite_parts(torch.tensor([[1.0, torch.inf, torch.inf, -torch.inf]]), 2).sum() == 0
    assert not warn_nonfinite(count)


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_where_it_is_not_known_that_all_is_finite_the_numbers_are_the_same(dtype, beta):
    """An accelerator is not asked, and takes this way always."""
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(50, 4, generator=generator).to(dtype)
    index = torch.randperm(50, generator=generator)[:20]
    probs = torch.randn(20, 4, generator=generator).softmax(dim=1)
    one, other = table.clone(), table.clone()
    assert torch.equal(blend(one, index, probs, beta), blend(other, index, probs, beta, parts=1))
    assert torch.equal(one, other)
    probs[7] = torch.nan
    blend(other, index, probs, beta, parts=2)
    assert torch.equal(one[index[7]], other[index[7]])


@pytest.mark.parametrize("lengths", [(2, 3, 1), (0, 4, 2), (3, 0, 0), (1, 1, 1)])
def test_rows_of_all_ranks_are_put_together_in_their_order(lengths, monkeypatch):
    ranks = ThreadRanks(len(lengths)).patch(monkeypatch)
    index = torch.arange(sum(lengths)) + 5
    probs = outputs(0, sum(lengths), 3)
    shares = list(zip(index.split(lengths), probs.split(lengths), strict=True))
    found = ranks.run(lambda rank: gather_rows(*shares[rank], ranks))
    for rank, (rows, gathered, start) in enumerate(found):
        assert torch.equal(rows, index)
        assert torch.equal(gathered, probs)
        assert start == sum(lengths[:rank])


def test_rows_that_are_kept_are_compared_in_the_precision_of_the_table():
    """An output in float64 of which a part is not finite, for a table in bfloat16."""
    table = outputs(0, 4, 4).bfloat16()
    before = table.clone()
    probs = outputs(1, 2, 4).double()
    probs[0, :2] = torch.nan
    found = blend(table, torch.tensor([2, 0]), probs, 0.5, parts=2)
    assert found.dtype == torch.float32
    assert torch.equal(table[2, :2], before[2, :2])
    expected = (0.5 * before[2, 2:].float() + 0.5 * probs[0, 2:].float()).bfloat16()
    torch.testing.assert_close(table[2, 2:], expected)
    assert torch.equal(table[[1, 3]], before[[1, 3]])
