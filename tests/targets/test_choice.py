"""The store by size, and what is said of it."""

import pytest

from elr.errors import ArgumentError
from elr.targets.choice import AUTO, chosen_targets
from elr.targets.config import DENSE, TargetsConfig
from elr.targets.sparse import SparseTargets

GB = 10**9


def test_what_fits_is_dense_and_nothing_is_said():
    assert chosen_targets(50_000, [10], memory=GB) == (DENSE, "")
    assert chosen_targets(10**9, [], memory=GB) == (DENSE, "")  # a method that keeps none


@pytest.mark.parametrize(
    ("memory", "ranks", "placement", "dtype", "words"),
    [
        (8 * GB, 1, "dense", "float32", "4,000,000,000 bytes of memory"),
        (5 * GB, 1, "dense", "bfloat16", "2,000,000,000 bytes of memory: in memory they would take 4,000,000,000"),
        (3 * GB, 1, "mapped", "bfloat16", "2,000,000,000 bytes of disk: in memory they would take 4,000,000,000"),
    ],
)
def test_what_does_not_fit_goes_down_the_list(memory, ranks, placement, dtype, words):
    config, sentence = chosen_targets(1_000_000, [1000], memory=memory, ranks=ranks)
    assert config == TargetsConfig(placement=placement, dtype=dtype)
    assert sentence.startswith("the targets are kept as ")
    assert words in sentence


@pytest.mark.parametrize(
    ("memory", "ranks", "here", "placement", "dtype", "words"),
    [
        (100 * GB, 8, 8, "dense", "float32", "4,960,000,000 bytes of memory in each of 8 processes"),
        (50 * GB, 8, 8, "dense", "bfloat16", "2,480,000,000 bytes of memory in each of 8 processes: in memory they"),
        (10 * GB, 8, None, "sharded", "bfloat16", "310,000,000 bytes of memory in each of 8 processes: in memory they"),
        (10 * GB, 8, 8, "sharded", "bfloat16", "in each of 8 processes and 10,000,000,000 may be used on the machine"),
        (10 * GB, 8, 1, "dense", "float32", "4,960,000,000 bytes of memory in each of 8 processes"),  # on 8 machines
    ],
)
def test_the_processes_of_a_machine_share_its_memory(memory, ranks, here, placement, dtype, words):
    config, sentence = chosen_targets(1_240_000, [1000], memory=memory, ranks=ranks, ranks_here=here)
    assert config == TargetsConfig(placement=placement, dtype=dtype)
    assert words in sentence


def test_what_all_processes_take_is_said_from_a_gigabyte_on():
    many = {"memory": 100 * GB, "targets": "dense"}
    assert chosen_targets(100_000, [1000], **many) == (DENSE, "")
    assert "400,000,000 bytes of memory in each of 4 processes" in chosen_targets(100_000, [1000], ranks=4, **many)[1]
    assert chosen_targets(10, [3], memory=GB, targets="mapped", ranks=2)[1].endswith(
        "60 bytes of disk in each of 2 processes"
    )


def test_a_method_without_targets_has_none_and_it_is_said():
    for targets, dtype, asked in (
        ("sparse", None, "sparse"),
        ("auto", "bfloat16", "bfloat16"),
        ("stateless", None, "sta"),
    ):
        config, sentence = chosen_targets(10, [], memory=GB, targets=targets, dtype=dtype)
        assert config == DENSE
        assert sentence.startswith(f"the targets are not stored: {asked}")


def test_what_is_given_is_taken():
    assert chosen_targets(10, [3], memory=GB, targets="dense") == (DENSE, "")
    assert chosen_targets(10**9, [1000], memory=GB, targets="dense", dtype="float16")[0] == TargetsConfig(
        dtype="float16"
    )
    config, sentence = chosen_targets(10, [3], memory=GB, targets="mapped")
    assert config == TargetsConfig(placement="mapped", dtype="bfloat16")
    assert sentence == "the targets are kept as mapped ones in bfloat16, 60 bytes of disk"
    config, sentence = chosen_targets(10, [3], memory=GB, targets="stateless")
    assert config.placement == "stateless"
    assert "averaged weights" in sentence
    assert chosen_targets(10, [3], memory=1, dtype="float32")[0] == TargetsConfig(placement="mapped")


def test_sparse_rows_are_counted_as_they_are_stored():
    assert SparseTargets(10, 100_000).bytes_per_row == 98
    sizes = {(1000,): 66, (100_000,): 98, (1000, 1000): 132, (5000, 1000): 5 * 64 + 2 + 66, (3,): 3 * 4 + 2}
    for widths, row in sizes.items():
        _, sentence = chosen_targets(10, widths, memory=GB, targets="sparse")
        assert sentence.endswith(f"in bfloat16, {min(16, *widths)} classes a row, {10 * row:,} bytes of memory")


def test_what_there_is_not_is_refused():
    with pytest.raises(ArgumentError, match="targets is 'cloud': expected one of auto, dense, mapped"):
        chosen_targets(10, [3], memory=GB, targets="cloud")
    with pytest.raises(ArgumentError, match="targets_dtype is 'int8'"):
        chosen_targets(10, [3], memory=GB, targets=AUTO, dtype="int8")
    with pytest.raises(ArgumentError, match="which keeps none"):
        chosen_targets(10, [3], memory=GB, targets="stateless", dtype="float32")
