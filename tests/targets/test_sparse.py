"""Targets of which the largest of each row are kept, and the others as one number."""

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError, RowIndexError
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.formulas import confined, elr_term
from elr.targets.dense import DenseTargets
from elr.targets.sparse import SparseTargets
from elr.targets.updating import STORAGE_DTYPES
from elr_batches import outputs
from reference.losses_reference import running_average
from thread_ranks import check_as_one_process, check_rows_are_looked_at, check_unlike_are_refused


def cut(rows, top_k):
    """Rows (B, C) with all but the k largest replaced by their mean."""
    order = np.argsort(-rows, axis=1, kind="stable")
    found = rows.copy()
    for row, places in zip(found, order, strict=True):
        if len(places) > top_k:
            row[places[top_k:]] = row[places[top_k:]].mean()
    return found


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.floats(0, 1), st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_update_is_that_of_whole_rows_cut_to_the_largest(rows, beta, seed, top_k):
    store = SparseTargets(10, 8, top_k=top_k, dtype=torch.float64)
    expected = np.zeros((10, 8))
    for step in range(4):
        probs = outputs(seed + step, len(rows), 8).double()
        returned = store.update(torch.tensor(rows), probs, beta=beta)
        moved = running_average(expected, np.array(rows), probs.numpy(), beta)
        expected[rows] = cut(moved[rows], top_k)
        np.testing.assert_allclose(returned.numpy(), expected[rows], atol=1e-12)
    np.testing.assert_allclose(store.read(torch.arange(10)).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(store.mean().numpy(), expected.mean(axis=0), atol=1e-12)


@given(st.integers(0, 1000), st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_with_all_classes_stored_it_is_the_dense_store(seed, beta):
    sparse, dense = SparseTargets(6, 5, top_k=16, dtype=torch.float32), DenseTargets(6, 5)
    for step in range(3):
        index, probs = torch.tensor([4, 1, 4, 0]), outputs(seed + step, 4, 5)
        found, expected = sparse.update(index, probs, beta=beta), dense.update(index, probs, beta=beta)
        assert torch.equal(found, expected)
    assert torch.equal(sparse.read(torch.arange(6)), dense.table)


@given(st.integers(0, 1000), st.floats(0, 0.95), st.integers(1, 30), st.sampled_from([0.0, 1e-4, 0.01]))
@settings(max_examples=40, deadline=None)
def test_the_sum_of_a_row_is_what_it_would_be_in_full(seed, beta, top_k, clamp):
    store = SparseTargets(3, 30, top_k=top_k, dtype=torch.float64)
    for step in range(1, 6):
        store.update(torch.tensor([0, 2]), confined(outputs(seed + step, 2, 30).double(), clamp), beta=beta)
        sums = store.read(torch.arange(3)).sum(dim=1)
        np.testing.assert_allclose(
            sums.numpy(), [1 - beta**step, 0, 1 - beta**step], rtol=0, atol=1e-6
        )  # outputs come in float32


@given(
    st.integers(0, 1000),
    st.floats(0, 0.95),
    st.integers(1, 12),
    st.sampled_from([0.5, 2.0, 6.0]),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
@settings(max_examples=80, deadline=None)
def test_what_is_lost_stays_within_the_bound(seed, beta, top_k, scale, dtype):
    """The bound of docs/concepts/sparse-targets.md, for the targets, the term and its gradient."""
    generator = torch.Generator().manual_seed(seed)
    sparse, dense = SparseTargets(4, 12, top_k=top_k, dtype=dtype), DenseTargets(4, 12, dtype=torch.float64)
    rows, rounding = torch.arange(4), {torch.float64: 2.0**-52, torch.float32: 2.0**-22, torch.bfloat16: 2.0**-8}[dtype]
    bound = torch.zeros(4, dtype=torch.float64)
    for _ in range(8):
        logits = scale * torch.randn(4, 12, generator=generator, dtype=torch.float64)
        probs = torch.softmax(logits, dim=1)
        whole = torch.lerp(sparse.read(rows).double(), probs, 1.0 - beta)
        dropped = whole.topk(top_k, dim=1).indices
        others = whole.scatter(1, dropped, 0.0)
        share = others.sum(dim=1, keepdim=True) / max(12 - top_k, 1)
        lost = torch.maximum(others.amax(dim=1, keepdim=True) - share, share)[:, 0]
        lost = torch.minimum(lost, torch.tensor(1 / (top_k + 1)))
        bound = beta * bound + lost + rounding * whole.amax(dim=1) + 1e-7
        found = sparse.update(rows, probs.to(torch.float32 if dtype != torch.float64 else dtype), beta=beta).double()
        exact = dense.update(rows, probs, beta=beta)
    assert ((found - exact).abs().amax(dim=1) <= bound).all()
    others = torch.randn(4, 12, generator=generator, dtype=torch.float64)
    seen = torch.softmax(others, dim=1)
    off = ((found - exact) * seen).sum(dim=1).abs()
    assert (off <= bound).all()
    rest = [(1.0 - (seen * targets).sum(dim=1)) for targets in (found, exact)]
    if min(rest[0].min(), rest[1].min()) > 0.01:
        terms = [elr_term(others, targets) for targets in (found, exact)]
        assert ((terms[0] - terms[1]).abs() <= bound / torch.minimum(*rest) + 1e-9).all()
        gradients = [gradient(others, targets) for targets in (found, exact)]
        assert ((gradients[0] - gradients[1]).abs().sum(dim=1) <= 4 * bound / rest[0] + 1e-9).all()


def gradient(logits, targets):
    logits = logits.clone().requires_grad_()
    elr_term(logits, targets).sum().backward()
    return logits.grad


def test_of_equal_values_the_stored_stay_and_then_the_lowest_classes_come():
    store = SparseTargets(1, 8, top_k=3, dtype=torch.float32)
    row = torch.tensor([0])
    store.update(row, torch.tensor([[0.0, 0.0, 0.0, 0.25, 0.25, 0.0, 0.25, 0.25]]), beta=0.0)
    assert store.ids[0].tolist() == [3, 4, 6]
    store.update(row, torch.tensor([[0.2, 0.2, 0.0, 0.2, 0.2, 0.0, 0.0, 0.2]]), beta=0.0)
    assert store.ids[0].tolist() == [3, 4, 0]
    store.update(row, torch.full((1, 8), 0.125), beta=0.0)
    assert store.ids[0].tolist() == [3, 4, 0]
    assert torch.equal(store.read(row), torch.full((1, 8), 0.125))


@pytest.mark.parametrize(("classes", "kind"), [(32_768, torch.int16), (65_536, torch.int16), (65_537, torch.int32)])
def test_the_last_class_has_a_number(classes, kind):
    store = SparseTargets(2, classes, top_k=2, dtype=torch.float32)
    probs = torch.zeros(1, classes)
    probs[0, -1], probs[0, 1] = 0.75, 0.25
    read = store.update(torch.tensor([1]), probs, beta=0.5)
    assert store.ids.dtype == kind
    assert torch.equal(read, probs / 2)
    assert torch.equal(store.read(torch.tensor([0, 1])), torch.cat([torch.zeros(1, classes), read]))
    assert store.mean()[[1, -1]].tolist() == [0.0625, 0.1875]


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_an_update_in_pieces_is_the_update(dtype):
    whole, parts = (SparseTargets(12, 9, top_k=3, dtype=dtype) for _ in range(2))
    for step in range(3):
        index, probs = torch.randperm(12)[:7], outputs(step, 7, 9)
        expected = whole.update(index, probs, beta=0.7)
        piece = parts.piecewise(index, beta=0.7)
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
            assert torch.equal(piece(rows, probs[rows]), expected[rows])
        assert torch.equal(whole.read(index), expected)
    assert torch.equal(whole.ids, parts.ids)
    assert torch.equal(whole.values, parts.values)
    assert torch.equal(whole.rest, parts.rest)
    assert whole.piecewise(torch.tensor([1, 3, 1]), beta=0.7) is None
    with pytest.raises(RowIndexError, match="index 12 is out of range"):
        whole.piecewise(torch.tensor([12]), beta=0.7)


def test_permuted_and_repeated_rows_give_the_same_rows():
    rows, probs = torch.tensor([3, 1, 3, 0]), outputs(0, 4, 9)
    order = torch.tensor([2, 0, 3, 1])
    first, second = SparseTargets(6, 9, top_k=2), SparseTargets(6, 9, top_k=2)
    first.update(rows, probs, beta=0.7)
    second.update(rows[order], probs[order], beta=0.7)
    assert torch.equal(first.read(torch.arange(6)), second.read(torch.arange(6)))


@pytest.mark.parametrize("in_pieces", [False, True])
def test_outputs_that_are_not_finite_stay_out(in_pieces):
    store, index = SparseTargets(5, 8, top_k=2), torch.tensor([4, 2])
    store.parts = 2
    before = store.update(index, outputs(0, 2, 8), beta=0.5)
    state = copy.deepcopy(store.rows_state())
    probs = outputs(1, 2, 8)
    probs[0], probs[1, 5] = torch.nan, torch.inf
    piece = store.piecewise(index, beta=0.5)
    with pytest.warns(RuntimeWarning, match="3 outputs of the network were not finite in 1 step"):
        found = piece(slice(0, 2), probs) if in_pieces else store.update(index, probs, beta=0.5)
    assert torch.equal(found[0], before[0])
    assert torch.equal(store.ids[4], state["ids"][4])
    assert torch.isfinite(found).all()
    assert found[1, :4].sum() > before[1, :4].sum()
    assert store.nonfinite.tolist() == [3, 1]


def test_a_run_is_resumed_as_it_was():
    store = SparseTargets(6, 40, top_k=4)
    store.update(torch.tensor([2, 5]), outputs(0, 2, 40), beta=0.5)
    file = io.BytesIO()
    torch.save(store.state_dict(), file)
    file.seek(0)
    other = SparseTargets(6, 40, top_k=4)
    other.load_state_dict(torch.load(file, weights_only=True))
    for each in (store, other):
        each.update(torch.tensor([2, 3]), outputs(1, 2, 40), beta=0.5)
    assert torch.equal(store.read(torch.arange(6)), other.read(torch.arange(6)))
    assert torch.equal(store.ids, other.ids)
    assert not list(store.buffers())
    assert not list(store.parameters())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (SparseTargets(5, 40, top_k=4), r"shape \(6, 40\), these \(5, 40\): they belong to another training set"),
        (SparseTargets(6, 41, top_k=4), r"shape \(6, 40\), these \(6, 41\)"),
        (SparseTargets(6, 40, top_k=5), "have 4 classes of each row, these 5: set top_k to 4"),
    ],
)
def test_a_state_of_another_store_is_refused(other, words):
    with pytest.raises(ArgumentError, match=words):
        other.load_state_dict(SparseTargets(6, 40, top_k=4).state_dict())


def test_a_damaged_state_is_refused():
    store = SparseTargets(6, 40, top_k=4)
    with pytest.raises(ArgumentError, match="not of a sparse store"):
        store.load_state_dict(DenseTargets(6, 40).state_dict())
    state = store.rows_state()
    with pytest.raises(ArgumentError, match="ids of the saved targets"):
        store.set_rows_state(state | {"ids": state["ids"][:5]})
    with pytest.raises(ArgumentError, match="classes outside"):
        store.set_rows_state(state | {"ids": state["ids"] + 40})


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="int64"):
        SparseTargets(3, 2, dtype=torch.int64)
    with pytest.raises(ArgumentError, match="top_k is 0: expected at least 1"):
        SparseTargets(3, 2, top_k=0)
    with pytest.raises(ArgumentError, match="probs is None"):
        SparseTargets(3, 2).update(torch.tensor([0]), None, beta=0.5)


def test_moving_a_model_moves_the_rows_and_leaves_their_dtype():
    store = torch.nn.Sequential(SparseTargets(4, 20)).to(torch.float32)[0]
    assert store.values.dtype == torch.bfloat16
    moved = SparseTargets(4, 20).to("meta")
    assert {part.device.type for part in moved.rows_state().values()} == {"cpu", "meta"}
    assert moved.ids.is_meta


@pytest.mark.parametrize("way", ["at once", "in pieces"])
def test_float32_goes_over_to_float64_with_what_comes(way):
    store, index, probs = SparseTargets(4, 6, top_k=3, dtype=torch.float32), torch.tensor([1]), outputs(0, 1, 6)
    store.update(index, probs, beta=0.0)
    if way == "at once":
        found = store.update(index, probs.double(), beta=0.7)
    else:
        found = store.piecewise(index, beta=0.7)(slice(0, 1), probs.double())
    assert found.dtype == store.values.dtype == torch.float64
    assert SparseTargets(4, 6).update(index, probs.double(), beta=0.7).dtype == torch.float32


def test_the_loss_compiled_is_the_loss():
    losses = [ELRLoss(9, 30, targets=SparseTargets(9, 30, top_k=4)) for _ in range(2)]
    compiled = torch.compile(losses[1], backend="aot_eager", fullgraph=True)
    for step in range(2):
        index, labels = torch.tensor([3, 5, 3]), torch.tensor([1, 29, 0])
        logits = [torch.log(outputs(step, 3, 30)).requires_grad_() for _ in range(2)]
        for loss, each in zip((losses[0], compiled), logits, strict=True):
            loss(each, labels, index).backward()
        assert torch.allclose(logits[0].grad, logits[1].grad, atol=1e-7)
    assert torch.equal(losses[0].targets.ids, losses[1].targets.ids)


def test_the_audit_reads_a_sparse_store():
    loss = ELRLoss(4, 50, targets=SparseTargets(4, 50, top_k=2))
    logits = 9.0 * torch.eye(50)[:4]
    loss(logits, torch.arange(4), torch.arange(4))
    assert loss.audit([0, 1, 7, 3]).is_label_issue.tolist() == [False, False, True, False]


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
@pytest.mark.parametrize("parts", [1, 5])
def test_ranks_have_the_rows_of_one_process(monkeypatch, parts):
    def make(num_examples, num_classes, top_k=2, dtype=torch.float32):
        return SparseTargets(num_examples, num_classes, top_k=top_k, dtype=dtype)

    stores, ranks = check_as_one_process(make, monkeypatch, parts=parts)
    unlike = [
        (lambda: make(11, 5, top_k=3), "SparseTargets of 2 classes a row on rank 0 and 1"),
        (lambda: make(12, 5), "num_examples (11 on rank 0 and 1, 12 on rank 2)"),
        (lambda: make(11, 5, dtype=torch.float64), "dtype (torch.float32 on rank 0 and 1, torch.float64 on rank 2)"),
    ]
    check_unlike_are_refused(make, unlike, ranks)
    compared = []
    monkeypatch.setattr("elr.targets.sparse.refuse_unlike_tables", lambda *_: compared.append(1))
    assert not any(store.piecewise(torch.tensor([1, 3]), beta=0.7) for store in stores)
    check_rows_are_looked_at(stores, ranks)
    assert not compared, "once is enough"


def test_bytes_of_a_row_are_those_of_its_parts():
    for classes, top_k, dtype in ((7, 3, torch.float32), (70_000, 4, torch.bfloat16), (3, 9, torch.float64)):
        store = SparseTargets(2, classes, top_k=top_k, dtype=dtype)
        parts = (store.ids, store.values, store.rest)
        assert store.bytes_per_row == sum(part.nbytes for part in parts) / 2
        assert "70000, top_k=4, dtype=torch.bfloat16" in repr(store) or classes != 70_000


def test_pieces_are_written_into_the_same_memory():
    store, probs = SparseTargets(6, 9, top_k=2), outputs(0, 6, 9)
    piece = store.piecewise(torch.arange(6), beta=0.5)
    places = {piece(slice(start, start + 2), probs[start : start + 2]).data_ptr() for start in (0, 2, 4)}
    assert len(places) == 1


def test_rows_that_are_trusted_are_not_compared(monkeypatch):
    store = SparseTargets(6, 9, top_k=2)
    monkeypatch.setattr("elr.targets.sparse.mean_over_repeats", None)
    store.trusts_rows = True
    store.update(torch.tensor([3, 1]), outputs(0, 2, 9), beta=0.5)
    assert store.piecewise(torch.tensor([3, 1]), beta=0.5) is not None


@pytest.mark.parametrize("beta", [0.7, 0.97])
def test_a_row_of_rounded_values_does_not_depend_on_its_batch(beta):
    """Stored in bfloat16, equal targets of a row may stand below the share of the others."""
    classes, generator = 300, torch.Generator().manual_seed(0)
    together, alone = (SparseTargets(64, classes, top_k=2) for _ in range(2))
    index = torch.arange(64)
    for step in range(6):
        probs = (1.0 + 0.02 * torch.rand(64, classes, generator=generator)) / classes
        probs[step % 2 :: 2] = outputs(step, 32, classes)
        probs /= probs.sum(dim=1, keepdim=True)
        together.update(index, probs, beta=beta)
        for row in range(64):
            alone.update(index[row : row + 1], probs[row : row + 1], beta=beta)
        assert torch.equal(together.ids, alone.ids)
        assert torch.equal(together.values, alone.values)
