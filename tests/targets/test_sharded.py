"""Targets spread over ranks: alone here, and on two and four gloo ranks as tests/sharded_ranks.py found them."""

import pytest
import torch

from elr.errors import ArgumentError, CheckpointError, RowIndexError
from elr.targets.config import PLACEMENTS
from elr.targets.dense import DenseTargets
from elr.targets.sharded import ShardedTargets
from elr.targets.store import rows_apart
from elr_batches import outputs
from scripts import filled_by_ranks
from thread_ranks import ThreadRanks, batches, check_as_one_process, check_unlike_are_refused

RANKS = [(world, rank) for world in (2, 4) for rank in range(world)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled_by_ranks(tmp_path_factory.mktemp("sharded"), "sharded_ranks.py")


@pytest.fixture(params=RANKS, ids=[f"rank {rank} of {world}" for world, rank in RANKS])
def found(folder, request):
    world, rank = request.param
    return torch.load(folder / f"found-{world}-{rank}.pt") | {"world": world, "rank": rank}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_ranks_have_the_targets_of_one_process_bit_for_bit(found, dtype):
    assert all(found[f"equal {dtype}"])
    assert found[f"mean {dtype}"] < 1e-15


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_outputs_that_are_not_finite_are_counted_over_all_ranks(found, dtype):
    ours, of_one_process = found[f"nonfinite {dtype}"]
    assert ours == of_one_process
    assert ours[0] > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_store_is_the_same_on_ranks_as_in_one_process(found, placement, dtype):
    """And goes on from a checkpoint: tests/targets/test_contract.py is the battery for one process."""
    assert all(found[f"{placement} {dtype}"])
    assert found[f"files of {placement} {dtype}"] == (3 * found["world"] if placement == "mapped" else 0)


def test_each_rank_has_its_part_alone(found):
    first, last, count = found["rows"]
    assert last - first == count == len(range(11)[first:last])
    assert count <= -(-11 // found["world"])


def test_bytes_of_a_step_are_those_that_are_sent(found):
    sent, said = found["sent"]
    assert sent == said > 0


def test_parts_are_read_again(found):
    assert all(found[f"again {dtype}"] for dtype in ("float32", "bfloat16", "float64"))


def test_two_ranks_are_read_by_four(found):
    if found["world"] == 4:
        assert found["float32-2 read by 4"]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_ranks_are_read_by_one(folder, world, dtype):
    place = folder / f"{dtype}-{world}"
    store = ShardedTargets(11, 3, dtype=getattr(torch, dtype))
    store.load_rows(place)
    assert torch.equal(store.table, torch.load(place / "dense.pt"))


def test_a_row_out_of_range_on_one_rank_is_an_error_on_all(found):
    expected = "index 11 is out of range" if found["rank"] == 1 else "rank 1 asked for rows that cannot be"
    assert expected in found["out of range"]


def test_calls_that_differ_between_ranks_are_refused_on_all(found):
    assert "read on rank 0, update on rank 1" in found["at odds"]


@pytest.mark.parametrize("kind", ["ShardedTargets", "DenseTargets"])
def test_tables_that_differ_between_ranks_are_refused_on_all(found, kind):
    ranks = " and ".join(map(str, range(found["world"] - 1)))
    assert f"num_examples (11 on rank {ranks}, 12 on rank {found['world'] - 1})" in found[f"unlike {kind}"]


@pytest.mark.parametrize("name", ["untold", "untold loss"])
def test_targets_of_one_of_several_processes_are_refused_until_they_are_told(found, name):
    assert f"ArgumentError: {found['world']} processes train together" in found[name]
    assert "distribute(None)" in found[name]
    assert found["each for itself"] == "nothing"


def test_another_split_is_refused(found):
    assert "save_rows" in found["another split"]
    assert f"part of rank {found['rank']} of {found['world']}" in found["state elsewhere"]


def test_a_state_goes_back_to_its_rank_and_that_of_a_dense_store_to_all(found):
    assert found["state here"]
    assert found["state of dense"]


def test_prefetched_rows_are_those_of_the_update(found):
    assert "other rows than update" in found["other rows"]


def test_a_missing_part_is_named_on_every_rank_and_changes_nothing(found):
    last = found["world"] - 1
    assert f"rank-{last}-of-{found['world']}-rows-" in found["missing"]
    assert "is missing" in found["missing"]
    assert found["unchanged"]


def test_alone_it_is_the_dense_store_and_takes_its_state():
    sharded, dense = ShardedTargets(9, 4), DenseTargets(9, 4)
    for step in range(4):
        index, probs = torch.randint(0, 9, (6,)), outputs(step, 6, 4)
        assert torch.equal(sharded.update(index, probs, beta=0.7), dense.update(index, probs, beta=0.7))
    assert torch.equal(sharded.mean(), dense.mean())
    again, other = DenseTargets(9, 4), ShardedTargets(9, 4)
    again.load_state_dict(sharded.state_dict())
    other.load_state_dict(dense.state_dict())
    assert torch.equal(again.table, other.table)


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ArgumentError, match="another training set"):
        ShardedTargets(9, 4).load_state_dict(DenseTargets(8, 4).state_dict())


def test_no_room_is_taken_before_the_first_row():
    store = ShardedTargets(10**12, 10**6)
    assert store.part is None
    assert store.to("cpu").part is None


# On ranks that are threads


@pytest.fixture
def spread(monkeypatch):
    """Makes stores of 11 rows of 5 classes on as many ranks, each with its part of one table, and that."""

    def made(world, dtype=torch.float32):
        ranks, dense = ThreadRanks(world).patch(monkeypatch), DenseTargets(11, 5, dtype=dtype)
        dense.update(torch.arange(11), outputs(0, 11, 5), beta=0.5)
        stores = [ShardedTargets(11, 5, dtype=dtype) for _ in range(world)]

        def of(rank):
            stores[rank].load_state_dict(dense.state_dict())
            stores[rank].distribute(ranks)  # which keeps its part of the whole

        ranks.run(of)
        return ranks, stores, dense

    return made


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("parts", [1, 5])
def test_threads_have_the_table_of_one_process_in_parts(monkeypatch, dtype, world, parts):
    def make(num_examples, num_classes, dtype=dtype):
        return ShardedTargets(num_examples, num_classes, dtype=dtype)

    stores, ranks = check_as_one_process(make, monkeypatch, world, parts)
    each = -(-11 // world)
    assert [(store.first, store.last) for store in stores] == [
        (each * rank, min(each * (rank + 1), 11)) for rank in range(world)
    ]
    assert all(store.table.shape == (store.last - store.first, 5) for store in stores)
    assert {store.table.dtype for store in stores} == {dtype}
    check_unlike_are_refused(make, [(lambda: make(12, 5), "num_examples (11 on")], ranks)
    monkeypatch.setattr("elr.targets.sharded.refuse_unlike_tables", None)  # once is enough
    ranks.run(lambda rank: stores[rank].read(torch.tensor([rank])))


def test_a_whole_table_is_kept_in_parts(spread):
    ranks, stores, dense = spread(3)
    assert torch.equal(torch.cat([store.table for store in stores]), dense.table)
    assert {store.table.untyped_storage().nbytes() for store in stores} == {4 * 5 * 4, 3 * 5 * 4}
    with pytest.raises(ArgumentError, match=r"spread over 3 ranks, and are now to be spread over 1: .* load_rows"):
        stores[0].distribute(None)
    ranks.run(lambda rank: stores[rank].distribute(ranks))  # once more is no harm
    assert torch.equal(torch.cat([store.table for store in stores]), dense.table)


def test_float32_parts_go_over_to_float64_with_what_comes(spread):
    ranks, stores, dense = spread(2)
    index, probs = torch.tensor([10, 2]), outputs(1, 2, 5).double()
    expected = dense.update(index.repeat(2), probs.repeat(2, 1), beta=0.5)
    found = ranks.run(lambda rank: stores[rank].update(index, probs, beta=0.5))
    assert torch.equal(torch.cat(found), expected)
    assert {store.table.dtype for store in stores} == {torch.float64}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_bytes_are_counted_as_they_are_sent(spread, dtype, world):
    ranks, stores, _ = spread(world, dtype)
    rows = torch.arange(3 * world) % world * stores[0].last + torch.arange(3 * world) // world  # three of each part

    def of(rank):
        stores[rank].update(rows, outputs(0, len(rows), 5), beta=0.5)
        update, stores[rank].sent = stores[rank].sent, 0
        stores[rank].read(rows)
        return update, stores[rank].sent

    full = 8 if dtype == torch.float64 else 4
    others = 3 * (world - 1)
    said = stores[0].bytes_per_step(len(rows))
    assert said == 16 * (world - 1) + others * (8 + 5 * (full + dtype.itemsize))
    assert ranks.run(of) == [(said, said - others * 5 * full)] * world


def test_rows_that_were_announced_are_those_of_the_next_update(spread):
    ranks, stores, dense = spread(3)
    parts = list(batches(3, 1))
    index, probs = (torch.cat(each) for each in zip(*parts, strict=True))
    dense.update(index, probs, beta=0.5)

    def of(rank):
        rows, given = parts[rank]
        stores[rank].prefetch(rows)
        before = stores[rank].sent
        stores[rank].update(rows.clone(), given, beta=0.5)
        sent, stores[rank].sent = stores[rank].sent - before, 0
        stores[rank].update(rows[:0], given[:0], beta=0.5)  # the former ones are done with
        assert stores[rank].sent == 32  # the numbers of rows alone
        stores[rank].prefetch(torch.tensor([rank]))
        with pytest.raises(ArgumentError, match="other rows than update"):
            stores[rank].update(torch.tensor([rank + 1]), given[:1].new_full((1, 5), 0.2), beta=0.5)
        stores[rank].update(rows[:0], given[:0], beta=0.5)
        return sent

    ranks.run(of)
    assert torch.equal(torch.cat([store.table for store in stores]), dense.table)
    alone = ShardedTargets(11, 5)
    alone.prefetch(torch.tensor([40]))  # there is nothing to send
    assert alone.route is None


@pytest.mark.parametrize("call", ["read", "update", "prefetch"])
def test_a_row_that_cannot_be_on_one_thread_is_told_to_all(spread, call):
    ranks, stores, dense = spread(3)

    def ask(rank, row):
        index = torch.tensor([row])
        if call == "update":
            return stores[rank].update(index, torch.full((1, 5), 0.2), beta=1.0)
        return getattr(stores[rank], call)(index)

    def of(rank):
        words = r"index 11 is out of range" if rank == 1 else r"^rank 1 asked for rows that cannot be .* all ranks"
        with pytest.raises(RowIndexError, match=words):
            ask(rank, 11 if rank == 1 else 0)
        ask(rank, rank)  # and it goes on

    ranks.run(of)
    assert torch.equal(torch.cat([store.table for store in stores]), dense.table)


def test_threads_that_ask_different_things_are_told(spread):
    ranks, stores, _ = spread(2)

    def of(rank):
        index, probs = torch.tensor([0]), torch.full((1, 5), 0.2)
        with pytest.raises(ArgumentError, match=r"\(read on rank 0, update on rank 1\): expected the same calls"):
            _ = stores[rank].update(index, probs, beta=0.5) if rank else stores[rank].read(index)

    ranks.run(of)


def test_parts_go_into_files_and_back(spread, tmp_path):
    ranks, stores, dense = spread(3)
    ranks.run(lambda rank: stores[rank].save_rows(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3
    two, others, _ = spread(2, torch.bfloat16)
    others = [ShardedTargets(11, 5) for _ in range(2)]

    def of(rank):
        others[rank].distribute(two)
        others[rank].load_rows(tmp_path)

    two.run(of)
    assert torch.equal(torch.cat([store.table for store in others]), dense.table)
    (tmp_path / "rank-2-of-3-rows-8-to-11.safetensors").unlink()
    before = [store.table.clone() for store in others]

    def refused(rank):
        others[rank].table.add_(1.0)
        with pytest.raises(CheckpointError, match=r"rank-2-of-3-rows-8-to-11.safetensors is missing"):
            others[rank].load_rows(tmp_path)

    two.run(refused)
    assert all(torch.equal(store.table, then + 1.0) for store, then in zip(others, before, strict=True))


def test_one_part_that_is_damaged_is_an_error_on_all(spread, tmp_path):
    ranks, stores, dense = spread(2)
    ranks.run(lambda rank: stores[rank].save_rows(tmp_path))
    path = tmp_path / "rank-1-of-2-rows-6-to-11.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    def of(rank):
        words = "rank 1: .*checksum" if rank == 0 else "^[^:]*rank-1-of-2-rows-6-to-11.safetensors is truncated"
        with pytest.raises(CheckpointError, match=words):
            stores[rank].load_rows(tmp_path)

    ranks.run(of)
    assert torch.equal(torch.cat([store.table for store in stores]), dense.table)


def test_a_state_has_the_place_of_its_part(spread):
    ranks, stores, dense = spread(2)
    states = [store.state_dict() for store in stores]
    others = [ShardedTargets(11, 5) for _ in range(2)]

    def of(rank):
        others[rank].distribute(ranks)
        with pytest.raises(ArgumentError, match=rf"part of rank {1 - rank} of 2, and this is rank {rank} of 2"):
            others[rank].load_state_dict(states[1 - rank])
        others[rank].load_state_dict(states[rank])

    ranks.run(of)
    assert torch.equal(torch.cat([store.table for store in others]), dense.table)
    dense.update(torch.arange(11), outputs(5, 11, 5), beta=0.5)
    ranks.run(lambda rank: others[rank].load_state_dict(dense.state_dict()))  # each takes its part of the whole
    assert torch.equal(torch.cat([store.table for store in others]), dense.table)
    with pytest.raises(ArgumentError, match="part of rank 1 of 2, and this is rank 0 of 1"):
        ShardedTargets(11, 5).load_state_dict(states[1])
    with pytest.raises(ArgumentError, match=r"shape \(11, 5\), these \(12, 5\)"):
        ShardedTargets(12, 5).load_state_dict(ShardedTargets(11, 5).state_dict())


def test_where_rows_are_apart_a_state_has_the_shape_alone(spread):
    _, stores, _ = spread(2)
    store = stores[0]
    before = store.table.clone()
    with rows_apart([store]):
        state = store.state_dict()
        assert sum(part.numel() for part in state.values()) == 4
        store.load_state_dict(state)
        with pytest.raises(ArgumentError, match=r"shape \(11, 6\), these \(11, 5\)"):
            store.set_extra_state(torch.tensor([11, 6]))
    assert torch.equal(store.table, before)


def test_moving_a_model_moves_the_part_and_leaves_its_dtype():
    store = torch.nn.Sequential(ShardedTargets(4, 2)).to(torch.bfloat16)[0]
    store.update(torch.tensor([3]), torch.tensor([[0.5, 0.5]]), beta=0.0)
    assert store.to(torch.bfloat16).table.dtype == torch.float32
    assert store.table[3].tolist() == [0.5, 0.5]
    assert store.to("meta").to(torch.float32).table.is_meta
    assert ShardedTargets(4, 2).to("meta").table.is_meta
    assert "4, 2, dtype=torch.float32" in repr(store)


@pytest.mark.parametrize("how", ["state_dict", "load_rows"])
def test_float32_goes_over_to_float64_with_the_rows_that_are_loaded(tmp_path, how):
    store, other = ShardedTargets(6, 3, dtype=torch.float64), ShardedTargets(6, 3)
    store.update(torch.arange(6), outputs(0, 6, 3).double(), beta=0.7)
    if how == "state_dict":
        other.load_state_dict(store.state_dict())
    else:
        store.save_rows(tmp_path)
        other.load_rows(tmp_path)
    assert other.table.dtype == torch.float64
    assert torch.equal(other.table, store.table)


def test_a_group_of_one_sends_nothing(monkeypatch):
    ranks, store = ThreadRanks(1).patch(monkeypatch), ShardedTargets(6, 3)
    ranks.run(lambda rank: store.distribute(ranks))
    assert store.process_group is None
    ranks.run(lambda rank: store.update(torch.tensor([5]), outputs(0, 1, 3), beta=0.5))
    assert (store.first, store.last, store.sent) == (0, 6, 0)
