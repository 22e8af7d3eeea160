"""Targets spread over ranks: alone here, and on two and four gloo ranks as tests/sharded_ranks.py found them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elr.errors import ArgumentError
from elr.targets.config import PLACEMENTS
from elr.targets.dense import DenseTargets
from elr.targets.sharded import ShardedTargets
from elr_batches import outputs

RANKS = [(world, rank) for world in (2, 4) for rank in range(world)]
SCRIPT = Path(__file__).parents[1] / "sharded_ranks.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    ran = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


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
