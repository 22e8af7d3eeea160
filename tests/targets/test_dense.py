import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError, RowIndexError
from elr.targets.dense import DenseTargets
from elr.targets.sparse import SparseTargets
from elr.targets.updating import STORAGE_DTYPES
from elr_batches import outputs
from reference.losses_reference import running_average
from thread_ranks import check_as_one_process, check_rows_are_looked_at, check_unlike_are_refused


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_update_equals_the_reference_with_repeated_rows(rows, beta, seed):
    store = DenseTargets(10, 4)
    expected = np.zeros((10, 4))
    for step in range(3):
        probs = outputs(seed + step, len(rows), 4)
        returned = store.update(torch.tensor(rows), probs, beta=beta)
        expected = running_average(expected, np.array(rows), probs.double().numpy(), beta)
        np.testing.assert_allclose(returned.numpy(), expected[rows], atol=1e-6)
    np.testing.assert_allclose(store.read(torch.arange(10)).numpy(), expected, atol=1e-6)


def test_permuted_rows_give_the_same_table():
    rows, probs = torch.tensor([3, 1, 3, 0]), outputs(0, 4, 5)
    order = torch.tensor([2, 0, 3, 1])
    first, second = DenseTargets(6, 5), DenseTargets(6, 5)
    first.update(rows, probs, beta=0.7)
    second.update(rows[order], probs[order], beta=0.7)
    assert torch.equal(first.table, second.table)


def test_first_updates_are_not_corrected_for_bias():
    store = DenseTargets(1, 2)
    for epoch in range(1, 6):
        store.update(torch.tensor([0]), torch.tensor([[1.0, 0.0]]), beta=0.7)
        assert store.read(torch.tensor([0])).sum().item() == pytest.approx(1 - 0.7**epoch, abs=1e-6)


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_storage_in_every_precision_is_computed_in_float32_at_least(dtype):
    store, exact = DenseTargets(8, 3, dtype=dtype), DenseTargets(8, 3)
    for step in range(20):
        probs = outputs(step, 8, 3)
        returned = store.update(torch.arange(8), probs.to(dtype), beta=0.9)
        exact.update(torch.arange(8), probs, beta=0.9)
    assert returned.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert store.table.dtype == dtype
    assert (store.table.float() - exact.table).abs().max() < 0.02
    assert torch.equal(returned, store.read(torch.arange(8)))


def test_state_dict_holds_the_table_and_buffers_do_not():
    store = DenseTargets(4, 2, dtype=torch.bfloat16)
    store.update(torch.tensor([2]), torch.tensor([[0.25, 0.75]]), beta=0.5)
    assert not list(store.buffers())
    assert not list(store.parameters())
    file = io.BytesIO()
    torch.save(store.state_dict(), file)
    file.seek(0)
    other = DenseTargets(4, 2, dtype=torch.bfloat16)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.table, store.table)
    with pytest.raises(ArgumentError, match="another training set"):
        DenseTargets(5, 2).load_state_dict(store.state_dict())


def test_moving_a_model_moves_the_table_and_leaves_its_dtype():
    store = torch.nn.Sequential(DenseTargets(4, 2)).to(torch.bfloat16)[0]
    assert store.table.dtype == torch.float32
    assert DenseTargets(4, 2).to("meta").table.device.type == "meta"


def test_copies_are_independent():
    store = DenseTargets(2, 2)
    other = copy.deepcopy(store)
    other.update(torch.tensor([0]), torch.tensor([[1.0, 0.0]]), beta=0.0)
    assert store.table.abs().sum() == 0


def test_wrong_sizes_and_types_are_refused():
    with pytest.raises(ArgumentError, match="int64"):
        DenseTargets(3, 2, dtype=torch.int64)
    with pytest.raises(ArgumentError, match="0 examples"):
        DenseTargets(0, 2)


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_an_update_in_pieces_is_the_update(dtype):
    whole, parts = DenseTargets(12, 3, dtype=dtype), DenseTargets(12, 3, dtype=dtype)
    for step in range(3):
        index, probs = torch.randperm(12)[:7], outputs(step, 7, 3)
        expected = whole.update(index, probs, beta=0.7)
        piece = parts.piecewise(index, beta=0.7)
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
            assert torch.equal(piece(rows, probs[rows]), expected[rows])
    assert torch.equal(whole.table, parts.table)


def test_rows_that_repeat_are_not_updated_in_pieces():
    store = DenseTargets(4, 2)
    assert store.piecewise(torch.tensor([1, 3, 1]), beta=0.7) is None
    with pytest.raises(RowIndexError, match="index 4 is out of range"):
        store.piecewise(torch.tensor([4]), beta=0.7)


@pytest.mark.parametrize("way", ["at once", "in pieces"])
def test_a_float32_table_goes_over_to_float64_with_what_comes(way):
    store, index, probs = DenseTargets(4, 2), torch.tensor([1, 3]), outputs(0, 2, 2).double()
    store.update(index, probs.float(), beta=0.0)
    before = store.read(index)
    if way == "at once":
        found = store.update(index, probs, beta=0.7)
    else:
        found = store.piecewise(index, beta=0.7)(slice(0, 2), probs)
    assert found.dtype == store.table.dtype == torch.float64
    assert torch.equal(found, torch.lerp(before.double(), probs, 1.0 - 0.7))
    assert torch.equal(store.read(index), found)
    again = DenseTargets(4, 2)
    again.load_state_dict(store.state_dict())
    assert torch.equal(again.table, store.table)
    half = DenseTargets(4, 2, dtype=torch.bfloat16)  # asked for, to save memory
    assert half.update(index, probs, beta=0.7).dtype == torch.float32
    assert half.table.dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
@pytest.mark.parametrize("parts", [1, 5])
def test_ranks_have_the_table_of_one_process(monkeypatch, dtype, parts):
    def make(num_examples, num_classes, dtype=dtype):
        return DenseTargets(num_examples, num_classes, dtype=dtype)

    stores, ranks = check_as_one_process(make, monkeypatch, parts=parts)
    other = torch.float64 if dtype != torch.float64 else torch.float32
    unlike = [
        (lambda: make(12, 5), "num_examples (11 on rank 0 and 1, 12 on rank 2)"),
        (lambda: make(11, 6), "num_classes (5 on rank 0 and 1, 6 on rank 2)"),
        (lambda: make(11, 5, dtype=other), f"dtype ({dtype} on rank 0 and 1, {other} on rank 2)"),
        (lambda: SparseTargets(11, 5, dtype=dtype), "store (DenseTargets on rank 0 and 1, SparseTargets"),
    ]
    check_unlike_are_refused(make, unlike, ranks)
    monkeypatch.setattr("elr.targets.dense.refuse_unlike_tables", None)  # once is enough
    assert not any(store.piecewise(torch.tensor([1, 3]), beta=0.7) for store in stores)
    check_rows_are_looked_at(stores, ranks)


@pytest.mark.parametrize("trusts_rows", [False, True])
def test_whether_rows_repeat_is_looked_at_once(monkeypatch, trusts_rows):
    store, looked = DenseTargets(6, 9), []
    monkeypatch.setattr("elr.targets.dense.has_repeats", lambda index: bool(looked.append(index)))
    monkeypatch.setattr("elr.targets.dense.mean_over_repeats", None)
    store.trusts_rows = trusts_rows
    store.update(torch.tensor([3, 1]), outputs(0, 2, 9), beta=0.5)
    assert len(looked) == (not trusts_rows)


def test_pieces_are_written_into_the_same_memory():
    store, probs = DenseTargets(6, 9), outputs(0, 6, 9)
    piece = store.piecewise(torch.arange(6), beta=0.5)
    assert len({piece(slice(start, start + 2), probs[start : start + 2]).data_ptr() for start in (0, 2, 4)}) == 1


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
def test_pieces_that_are_not_finite_are_one_step():
    store, probs = DenseTargets(6, 4), outputs(0, 6, 4)
    store.parts = 2
    before = store.update(torch.arange(6), outputs(1, 6, 4), beta=0.5)
    probs[0, 1], probs[1, 2], probs[4, 3], probs[5] = torch.nan, torch.inf, torch.nan, torch.nan
    for step in (1, 2):
        piece = store.piecewise(torch.arange(6), beta=0.5)
        for start in (0, 2, 4):
            piece(slice(start, start + 2), probs[start : start + 2])
        assert store.nonfinite.tolist() == [5 * step, step]
    found = store.read(torch.arange(6))
    assert torch.equal(found[[0, 1, 4, 5, 5], [0, 3, 2, 0, 3]], before[[0, 1, 4, 5, 5], [0, 3, 2, 0, 3]])
    assert not torch.equal(found[0, 2:], before[0, 2:])
