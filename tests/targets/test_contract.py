"""Every store of targets through one battery: what the loss, the loop and its checkpoints rely on.

A new store is a row in `elr.targets.config.PLACEMENTS`; one that rounds what it keeps has a row in ROUNDING as well.
"""

import copy
import math
import warnings
from dataclasses import replace

import pytest
import torch

from blobs import C as CLASSES
from blobs import N as ROWS
from blobs import blobs, built, examples, network
from elr.errors import ArgumentError, CheckpointError, RowIndexError
from elr.methods.elr import ELRConfig
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.method import Batch
from elr.targets import row_access
from elr.targets.config import PLACEMENTS, TargetsConfig
from elr.targets.dense import DenseTargets
from elr.targets.store import rows_apart, whole_probs
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr_batches import outputs

N, C = 9, 4
DTYPES = ("float32", "bfloat16")
STORES = {
    f"{placement} {dtype}": TargetsConfig(placement=placement, dtype=dtype)
    for placement in PLACEMENTS
    for dtype in DTYPES
}
BESIDE = {f"{name}, beside the training": STORES[name] for name in STORES if name.startswith("mapped")}
"""Mapped stores that another thread reads and writes."""
ROUNDING = {"float32": 1e-6, "bfloat16": 1e-2}
"""How far a stored number may be from the exact one, by dtype; of a sparse store that keeps all of C classes too."""


@pytest.fixture(params=[*STORES, *BESIDE])
def config(request, monkeypatch):
    if request.param in BESIDE:
        if row_access._mover() is None:
            pytest.skip("there is no compiler")
        monkeypatch.setattr(row_access, "BESIDE", 0)
    return (STORES | BESIDE)[request.param]


@pytest.fixture
def make(config, tmp_path):
    """Makes stores of the kind, each with a folder of its own."""
    made = []

    def store(num_examples=N, num_classes=C):
        made.append(tmp_path / f"store-{len(made)}")
        made[-1].mkdir()
        return config.build(num_examples, num_classes, folder=made[-1])

    return store


def rows_of(store):
    """(N, C) all of what a store says."""
    return store.read(torch.arange(store.num_examples))


def filled(store, steps=3):
    for step in range(steps):
        index = torch.randperm(store.num_examples, generator=torch.Generator().manual_seed(step))[:6]
        store.update(index, outputs(step, 6, store.num_classes), beta=0.7)
    return store


def saved(store, folder):
    """What a checkpoint has of a store: a file with its state, and a folder with the rows apart."""
    (folder / "rows").mkdir(parents=True)
    with rows_apart([store]):
        torch.save(store.state_dict(), folder / "state.pt")
    store.save_rows(folder / "rows")
    return folder


def loaded(store, folder):
    with rows_apart([store]):
        store.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    store.load_rows(folder / "rows")
    return store


# What is read and updated


def test_rows_never_updated_are_zero(make):
    store = make()
    assert not rows_of(store).any()
    store.update(torch.tensor([4, 2]), outputs(0, 2, C), beta=0.7)
    assert (rows_of(store).sum(dim=1) > 0).nonzero().flatten().tolist() == [2, 4]


def test_what_is_read_is_what_the_update_gave(make):
    store = make()
    for step in range(3):
        index = torch.tensor([7, 0, 3])
        given = store.update(index, outputs(step, 3, C), beta=0.7)
        assert given.dtype == torch.float32
        assert not given.requires_grad
        assert torch.equal(store.read(index), given)


def test_every_store_says_what_a_dense_one_says(config, make):
    store, exact = make(), DenseTargets(N, C)
    for step in range(5):
        index = torch.randint(N, (7,), generator=torch.Generator().manual_seed(step))
        probs = outputs(step, 7, C)
        torch.testing.assert_close(
            store.update(index, probs, beta=0.7),
            exact.update(index, probs, beta=0.7),
            atol=ROUNDING[config.dtype],
            rtol=ROUNDING[config.dtype],
        )
    torch.testing.assert_close(rows_of(store), exact.table, atol=ROUNDING[config.dtype], rtol=ROUNDING[config.dtype])
    torch.testing.assert_close(store.mean(), rows_of(store).double().mean(dim=0), atol=1e-6, rtol=1e-5)


def test_a_row_that_repeats_moves_once_toward_the_mean_of_its_outputs(make):
    several, once = make(), make()
    probs = outputs(0, 4, C)
    several.update(torch.tensor([5, 1, 5, 5]), probs, beta=0.7)
    mean = torch.stack([probs[[0, 2, 3]].mean(dim=0), probs[1]])
    once.update(torch.tensor([5, 1]), mean, beta=0.7)
    torch.testing.assert_close(rows_of(several), rows_of(once), atol=1e-3, rtol=1e-2)  # a last place of bfloat16


def test_permuted_rows_give_the_same_table(make):
    first, second = make(), make()
    rows, probs, order = torch.tensor([3, 1, 3, 0]), outputs(0, 4, C), torch.tensor([2, 0, 3, 1])
    for _ in range(2):
        first.update(rows, probs, beta=0.7)
        second.update(rows[order], probs[order], beta=0.7)
    assert torch.equal(rows_of(first), rows_of(second))


def test_in_pieces_it_is_the_same(make):
    whole, parts = make(), make()
    for step in range(3):
        index, probs = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:7], outputs(step, 7, C)
        expected, piece = whole.update(index, probs, beta=0.7), parts.piecewise(index, beta=0.7)
        if piece is None:
            return
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
            assert torch.equal(piece(rows, probs[rows]), expected[rows])
    assert torch.equal(rows_of(whole), rows_of(parts))
    assert parts.piecewise(torch.tensor([1, 3, 1]), beta=0.7) is None


def test_no_rows_are_a_batch_too(make):
    store = filled(make())
    before = rows_of(store)
    none = torch.empty(0, dtype=torch.int64)
    assert store.update(none, torch.empty(0, C), beta=0.7).shape == (0, C)
    assert store.read(none).shape == (0, C)
    assert torch.equal(rows_of(store), before)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_momentum_at_its_bounds(make, beta):
    store = filled(make())
    index, probs = torch.tensor([0, 8]), torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]])
    before = store.read(index)
    assert torch.equal(store.update(index, probs, beta=beta), before if beta else probs)


def test_outputs_are_left_as_they_are_and_not_kept(make):
    store, probs = make(), outputs(0, 3, C)
    before = probs.clone()
    store.update(torch.tensor([3, 1, 3]), probs, beta=0.5)
    assert torch.equal(probs, before)
    told = rows_of(store)
    probs.zero_()
    assert torch.equal(rows_of(store), told)


# What is refused


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan])
def test_a_momentum_out_of_range_is_refused_and_changes_nothing(make, beta):
    store = filled(make())
    before = rows_of(store)
    with pytest.raises(ArgumentError, match=r"expected a momentum in \[0, 1\]"):
        store.update(torch.tensor([0]), outputs(0, 1, C), beta=beta)
    assert torch.equal(rows_of(store), before)


@pytest.mark.parametrize("row", [-1, N, 2**40])
def test_a_row_out_of_range_is_named_and_changes_nothing(make, row):
    store = filled(make())
    before = rows_of(store)
    with pytest.raises(RowIndexError, match=f"index {row} is out of range for {N} examples"):
        store.update(torch.tensor([0, row]), outputs(0, 2, C), beta=0.5)
    with pytest.raises(RowIndexError, match=f"index {row} is out of range"):
        store.read(torch.tensor([row]))
    assert torch.equal(rows_of(store), before)


@pytest.mark.parametrize(
    ("index", "probs", "words"),
    [
        (torch.tensor([0.0]), torch.ones(1, C), "int64"),
        (torch.tensor([[0]]), torch.ones(1, C), "index has shape"),
        (torch.tensor([0]), torch.ones(1, C + 1), "probs have shape"),
        (torch.tensor([0]), None, "probs is None"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(make, index, probs, words):
    with pytest.raises(ArgumentError, match=words):
        make().update(index, probs, beta=0.5)


@pytest.mark.parametrize(("rows", "classes"), [(0, C), (N, 1)])
def test_sizes_out_of_range_are_refused(make, rows, classes):
    with pytest.raises(ArgumentError, match="expected at least 1 example and 2 classes"):
        make(rows, classes)


def test_outputs_that_are_not_finite_are_kept_out_counted_and_told(make):
    store, clean = filled(make()), filled(make())
    before, probs = rows_of(store), outputs(0, 4, C)
    spoiled = probs.clone()
    spoiled[0, 1], spoiled[2, 0] = math.nan, math.inf
    with pytest.warns(RuntimeWarning, match="2 outputs of the network were not finite"):
        store.update(torch.tensor([5, 1, 8, 1]), spoiled, beta=0.5)
    clean.update(torch.tensor([1, 1]), probs[[1, 3]], beta=0.5)
    assert torch.equal(store.read(torch.tensor([5, 8])), before[[5, 8]])
    assert torch.equal(store.read(torch.tensor([1])), clean.read(torch.tensor([1])))
    assert store.nonfinite.tolist() == [2, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        store.update(torch.tensor([5]), spoiled[:1], beta=0.5)


# State


def test_state_dict_brings_all_back(make):
    store = filled(make())
    again = make()
    again.load_state_dict(copy.deepcopy(store.state_dict()))
    assert torch.equal(rows_of(again), rows_of(store))
    assert not list(store.buffers())  # those of rank 0 would be sent to all at every forward
    assert not list(store.parameters())


def test_a_checkpoint_brings_all_back_and_it_goes_on_bit_identical(make, tmp_path):
    store = filled(make(), steps=2)
    folder = saved(store, tmp_path / "checkpoint")
    then = rows_of(store)
    filled(store, steps=3)  # what is done later is not in it
    again = loaded(filled(make(), steps=1), folder)
    assert torch.equal(rows_of(again), then)
    assert torch.equal(rows_of(filled(again, steps=3)), rows_of(store))


def kept_by(store, folder, how):
    """A function that brings what the store says now back into another one."""
    if how == "state_dict":
        state = copy.deepcopy(store.state_dict())
        return lambda other: other.load_state_dict(state)
    folder = saved(store, folder)
    return lambda other: loaded(other, folder)


@pytest.mark.parametrize("how", ["state_dict", "save_rows"])
def test_it_goes_on_bit_identical_from_what_was_kept(make, tmp_path, how):
    store = filled(make(), steps=2)
    restore = kept_by(store, tmp_path / "checkpoint", how)
    then, whole = rows_of(store), rows_of(filled(store, steps=4))  # what is done later is not in what was kept
    again = filled(make(), steps=1)
    restore(again)
    assert torch.equal(rows_of(again), then)
    filled(again, steps=4)
    assert torch.equal(rows_of(again), whole)
    assert torch.equal(again.mean(), store.mean())


@pytest.mark.parametrize("other", PLACEMENTS)
def test_the_state_of_another_kind_of_store_is_the_same_table_or_refused_in_words(config, make, other, tmp_path):
    theirs = filled(TargetsConfig(placement=other, dtype=config.dtype).build(N, C, folder=tmp_path))
    ours = filled(make(), steps=1)
    before = rows_of(ours)
    if (config.placement == "sparse") == (other == "sparse"):
        ours.load_state_dict(theirs.state_dict())
        assert torch.equal(rows_of(ours), rows_of(theirs))
        return
    with pytest.raises(ArgumentError, match=r"sparse store|another kind of store"):
        ours.load_state_dict(theirs.state_dict())
    assert torch.equal(rows_of(ours), before)


def test_rows_of_a_table_of_another_size_are_refused(make, tmp_path):
    folder = saved(filled(make()), tmp_path / "checkpoint")
    with pytest.raises((ArgumentError, CheckpointError), match=r"another|shape|expected"):
        loaded(make(N + 1), folder)


@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_part_that_is_not_whole_is_named(make, tmp_path, harm):
    folder = saved(filled(make()), tmp_path / "checkpoint")
    for path in sorted((folder / "rows").iterdir()):
        content = path.read_bytes()
        if harm == "missing":
            path.unlink()
        else:
            path.write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match=f"{path.name}|{path.parent.name} has no rows of targets"):
            loaded(make(), folder)
        path.write_bytes(content)
    loaded(make(), folder)


def test_copies_are_independent_or_refused(make):
    store = filled(make())
    before = rows_of(store)
    try:
        other = copy.deepcopy(store)
    except ArgumentError as error:
        assert "copied" in str(error)  # noqa: PT017 - either is fine
        return
    other.update(torch.tensor([0]), outputs(9, 1, C), beta=0.0)
    assert torch.equal(rows_of(store), before)


# Under the loss and the loop


def test_the_loss_over_it_is_the_loss_over_a_dense_one(config, make):
    losses = [ELRLoss(N, C, targets=make()), ELRLoss(N, C, targets=DenseTargets(N, C))]
    bound = 10 * ROUNDING[config.dtype]
    for step in range(3):
        index = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:6]
        logits = [torch.randn(6, C, generator=torch.Generator().manual_seed(step)).requires_grad_() for _ in losses]
        found = [loss(each, index % C, index) for loss, each in zip(losses, logits, strict=True)]
        for value in found:
            value.backward()
        torch.testing.assert_close(*found, atol=bound, rtol=bound)
        torch.testing.assert_close(logits[0].grad, logits[1].grad, atol=bound, rtol=bound)


def test_the_loss_learns_blobs_over_it(make):
    features, given, clean = (torch.from_numpy(each) for each in blobs())
    torch.manual_seed(0)
    loss, model = ELRLoss(ROWS, CLASSES, targets=make(ROWS, CLASSES)), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(8):
        for index in torch.randperm(ROWS).split(20):
            optimizer.zero_grad()
            loss(model(features[index]), given[index], index).backward()
            optimizer.step()
    assert (model(features).argmax(dim=1) == clean).float().mean() > 0.95
    assert (rows_of(loss.targets).argmax(dim=1) == clean).float().mean() > 0.95


def test_eval_mode_changes_nothing(make):
    store = filled(make())
    loss, before = ELRLoss(N, C, targets=store).eval(), rows_of(store)
    loss(torch.randn(2, C), torch.tensor([1, 0]), torch.tensor([4, 4]))
    store.read(torch.tensor([3, 3]))
    assert torch.equal(rows_of(store), before)


LOOP = TrainingConfig(epochs=4, batch_size=20, device="cpu", precision="float32")


def training(config, folder):
    method = built(ELRConfig(), targets=replace(config, folder=folder))
    return Training(method, examples(), config=LOOP, folder=folder, probe=examples())


def test_targets_outlive_a_generation(config, tmp_path):
    method = built(ELRConfig(), targets=replace(config, folder=tmp_path))
    first = copy.deepcopy(method.first_state())
    before = rows_of(filled(method.stores[0]))
    method.load_state_dict(first, strict=False)
    assert torch.equal(rows_of(method.stores[0]), before)


def test_elr_learns_over_it_and_a_killed_run_ends_as_an_unbroken_one(config, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)  # one after each epoch
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = training(config, tmp_path / "whole")
    whole.run()
    assert (whole.predict(examples()).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.95
    store = whole.method.stores[0]
    assert (whole_probs(rows_of(store)).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.9
    assert rows_of(store).shape == (ROWS, CLASSES)

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.step == 15:  # between two checkpoints
            raise Killed

    killed = training(config, tmp_path / "killed")
    with pytest.raises(Killed):
        killed.run(on_progress=kill)
    del killed
    resumed = training(config, tmp_path / "killed")
    resumed.run(resume=True)
    assert torch.equal(rows_of(resumed.method.stores[0]), rows_of(store))
    assert torch.equal(resumed.predict(examples()), whole.predict(examples()))


# Without a store

STATELESS = TargetsConfig(placement="stateless")


def stateless_steps(order, steps=3):
    """The terms of each step, and the logits, with rows in such an order; weights move in between."""
    method = built(ELRConfig(), targets=STATELESS).train()
    features, given, _ = (torch.from_numpy(each) for each in blobs())
    optimizer, found = torch.optim.SGD(method.network.parameters(), lr=0.1), []
    for _ in range(steps):
        step = method(Batch(order, features[order], given[order]))
        step.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append((step.loss.detach(), step.logits.detach()))
    return found


def test_without_a_store_permuted_rows_give_the_same_steps():
    rows = torch.arange(20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    for (loss, logits), (permuted, theirs) in zip(stateless_steps(rows), stateless_steps(rows[order]), strict=True):
        torch.testing.assert_close(permuted, loss)
        torch.testing.assert_close(theirs, logits[order])


def test_without_a_store_a_batch_that_has_each_row_twice_is_the_batch():
    rows = torch.arange(20)
    for (loss, logits), (twice, both) in zip(stateless_steps(rows), stateless_steps(rows.repeat(2)), strict=True):
        torch.testing.assert_close(twice, loss)
        torch.testing.assert_close(both, logits.repeat(2, 1))


def test_without_a_store_a_killed_run_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = training(STATELESS, tmp_path / "whole")
    whole.run()
    assert whole.method.stores == []
    with pytest.raises(KeyboardInterrupt):
        training(STATELESS, tmp_path / "killed").run(on_progress=stopped_at(15))
    resumed = training(STATELESS, tmp_path / "killed")
    resumed.run(resume=True)
    assert torch.equal(resumed.predict(examples()), whole.predict(examples()))
    weights = zip(resumed.method.state_dict().values(), whole.method.state_dict().values(), strict=True)
    assert all(torch.equal(*each) for each in weights if isinstance(each[0], torch.Tensor))


def stopped_at(step):
    def stop(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return stop
