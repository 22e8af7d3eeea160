"""What every store of targets promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elr.errors import ArgumentError, RowIndexError
from elr.targets import dense
from elr.targets import store as store_module
from elr.targets.dense import DenseTargets
from elr.targets.store import Targets, check_rows, stores_in, trusted_rows, update_rows, whole_probs
from elr_batches import outputs


@pytest.mark.parametrize("row", [-1, 10, 2**40])
def test_a_row_out_of_range_is_named_and_changes_nothing(row):
    store = DenseTargets(10, 2)
    with pytest.raises(IndexError, match=f"index {row} is out of range for 10 examples") as caught:
        store.update(torch.tensor([0, row]), outputs(0, 2, 2), beta=0.5)
    assert isinstance(caught.value, RowIndexError)
    assert store.table.abs().sum() == 0
    with pytest.raises(IndexError, match=str(row)):
        store.read(torch.tensor([row]))


@pytest.mark.parametrize(
    ("index", "probs", "beta", "words"),
    [
        (torch.tensor([0.0]), torch.ones(1, 2), 0.5, "int64"),
        (torch.tensor([[0]]), torch.ones(1, 2), 0.5, "index has shape"),
        (torch.tensor([0]), torch.ones(1, 3), 0.5, "probs have shape"),
        (torch.tensor([0]), torch.ones(2, 2), 0.5, "probs have shape"),
        (torch.tensor([0]), torch.ones(1, 2), 1.5, "beta is 1.5"),
    ],
)
def test_wrong_arguments_are_refused(index, probs, beta, words):
    with pytest.raises(ArgumentError, match=words):
        DenseTargets(3, 2).update(index, probs, beta=beta)


def test_rows_that_are_trusted_are_not_looked_at(monkeypatch):
    looked = []
    monkeypatch.setattr(dense, "has_repeats", lambda index: bool(looked.append(index)))
    monkeypatch.setattr(store_module, "check_rows", lambda index, count: looked.append(index))
    method = nn.ModuleList([DenseTargets(5, 2), DenseTargets(5, 2)])
    index, probs = torch.tensor([3, 0]), outputs(0, 2, 2)
    with trusted_rows(stores_in(method)):
        trusted = [store.update(index, probs, beta=0.7) for store in method]
        method[0].piecewise(index, beta=0.7)
        method[0].read(index)
        assert not looked
    assert not any(store.trusts_rows for store in method)
    assert torch.equal(trusted[1], DenseTargets(5, 2).update(index, probs, beta=0.7))
    assert looked


def test_trust_in_rows_ends_with_an_error():
    store = DenseTargets(5, 2)
    with pytest.raises(ArgumentError, match="int64"), trusted_rows([store]):
        store.update(torch.tensor([0.0]), torch.ones(1, 2), beta=0.7)
    with pytest.raises(RowIndexError, match="index 5"):
        store.read(torch.tensor([5]))


def test_trust_in_rows_is_given_back_as_it_was():
    trusting, other = DenseTargets(5, 2), DenseTargets(5, 2)
    trusting.trusts_rows = True
    with trusted_rows([trusting, other]):
        assert other.trusts_rows
    assert (trusting.trusts_rows, other.trusts_rows) == (True, False)


def test_stores_are_found_wherever_they_are():
    inner, outer = DenseTargets(5, 2), DenseTargets(6, 3)
    module = nn.ModuleDict({"loss": nn.Sequential(nn.Linear(2, 2), inner), "store": outer, "again": inner})
    found = stores_in(module)
    assert len(found) == 2
    assert all(any(each is store for store in found) for each in (inner, outer))
    assert stores_in(nn.Linear(2, 2)) == []


# The contract


class Last(Targets):
    """Keeps what was said last: a store that offers no more than it must."""

    def __init__(self, num_examples, num_classes):
        super().__init__(num_examples, num_classes)
        self.table = torch.zeros(num_examples, num_classes)

    def read(self, index):
        self.check(index)
        return self.table[index]

    def update(self, index, probs, *, beta):
        self.check(index, probs, beta=beta)
        self.table[index] = probs
        return self.table[index]


def test_what_a_store_need_not_offer_is_none():
    store = Last(5, 2)
    assert store.piecewise(torch.tensor([0]), beta=0.7) is None
    assert store.table_of(torch.tensor([0]), beta=0.7) is None
    group = object()
    store.distribute(group)
    assert store.process_group is group
    with pytest.raises(TypeError, match="read"):
        Targets(5, 2)


@pytest.mark.parametrize(("num_examples", "num_classes"), [(0, 2), (-1, 2), (5, 1)])
def test_a_store_of_nothing_is_refused(num_examples, num_classes):
    with pytest.raises(ArgumentError, match=f"{num_examples} examples and {num_classes} classes: expected at least 1"):
        Last(num_examples, num_classes)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_a_store_is_not_changed_by_a_momentum_out_of_range(beta):
    store = Last(5, 2)
    with pytest.raises(ArgumentError, match=r"expected a momentum in \[0, 1\]"):
        store.update(torch.tensor([0]), outputs(0, 1, 2), beta=beta)
    assert store.table.abs().sum() == 0


@pytest.mark.parametrize(("rows", "named"), [([0, -3, 9], -3), ([2, 8, 0], 8), ([8, -1], -1)])
def test_the_row_out_of_range_is_named(rows, named):
    with pytest.raises(RowIndexError, match=rf"index {named} is out of range for 8 examples: expected .* \[0, 8\)"):
        check_rows(torch.tensor(rows), 8)


def test_rows_in_range_and_no_rows_pass():
    check_rows(torch.tensor([0, 7, 7]), 8)
    check_rows(torch.tensor([], dtype=torch.int64), 8)


def test_an_update_as_one_operation_is_the_update_of_the_store():
    store, index, probs = DenseTargets(6, 3), torch.tensor([3, 1, 3]), outputs(2, 3, 3)
    table = store.table.clone()
    expected = store.update(index, probs, beta=0.7)
    torch.testing.assert_close(update_rows(table, index, probs, 0.7), expected)
    torch.testing.assert_close(table, store.table)
    torch.library.opcheck(torch.ops.elr.update_rows, (table, index, probs, 0.7))
    with pytest.raises(RowIndexError, match="index 6"):
        update_rows(table, torch.tensor([0, 6, 1]), probs, 0.7)
    torch.testing.assert_close(table, store.table)


@given(st.integers(0, 1000), st.floats(1e-6, 1.0))
@settings(max_examples=40, deadline=None)
def test_targets_that_have_just_begun_are_made_whole(seed, begun):
    probs = outputs(seed, 4, 5)
    shares = torch.tensor([[begun], [1.0], [0.5], [0.0]])
    whole = whole_probs(probs * shares)
    torch.testing.assert_close(whole[:3], probs[:3])
    assert torch.equal(whole[3], torch.full((5,), 0.2))


def test_the_mean_is_over_all_rows_whatever_the_chunks(monkeypatch):
    store = Last(7, 3)
    store.update(torch.tensor([6, 1, 2]), outputs(0, 3, 3), beta=0.5)
    for chunk in (2, 6, 7, 100):
        monkeypatch.setattr(store_module, "CHUNK", chunk)
        assert store.mean().dtype == torch.float64
        torch.testing.assert_close(store.mean(), store.table.double().mean(dim=0), rtol=0, atol=1e-15)


def test_a_store_within_a_model_is_saved_and_moved_with_it():
    model, other = (nn.Sequential(nn.Linear(2, 2), DenseTargets(4, 3)) for _ in range(2))
    model[1].update(torch.tensor([2]), outputs(0, 1, 3), beta=0.5)
    model[1].nonfinite += 2
    other.load_state_dict(model.state_dict())
    assert torch.equal(other[1].table, model[1].table)
    assert other[1].nonfinite.tolist() == [2, 2]
    assert other.to("meta")[1].nonfinite.is_meta
    assert len(model.state_dict()) == 4
    state = {name: part for name, part in model.state_dict().items() if "extra" not in name} | {"1.ids": torch.zeros(1)}
    with pytest.raises(ArgumentError, match="the saved targets have ids: they belong to another kind of store"):
        model.load_state_dict(state)


def test_one_of_several_processes_is_refused_until_it_is_told(monkeypatch):
    class Several:
        is_available = is_initialized = staticmethod(lambda: True)
        get_world_size = staticmethod(lambda: 2)

    monkeypatch.setattr(store_module, "dist", Several)
    store, step = Last(5, 2), (torch.tensor([0]), outputs(0, 1, 2))
    with pytest.raises(ArgumentError, match="2 processes train together"):
        store.update(*step, beta=0.5)
    assert not store.table.any()
    store.read(step[0])  # which changes nothing
    store.distribute(None)
    store.update(*step, beta=0.5)
    store.compared = True
    store.distribute(None)
    assert not store.compared, "other ranks are to be compared anew"
    monkeypatch.setattr(Several, "get_world_size", lambda: 1)
    Last(5, 2).update(*step, beta=0.5)
