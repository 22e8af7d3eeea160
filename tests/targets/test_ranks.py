"""What the ranks of a group are to agree in; over real ranks in tests/sharded_ranks.py."""

import pytest
import torch

from elr.errors import DataError, OutputError
from elr.targets.ranks import number_of_ranks, raise_together, refuse_unlike_tables, said_together, told_differences


def test_differences_name_values_and_ranks():
    found = [{"rows": 5, "labels": "a"}, {"rows": 5, "labels": "b"}, {"rows": 6, "labels": "b"}]
    assert told_differences(found) == [
        "rows (5 on rank 0 and 1, 6 on rank 2)",
        "labels (a on rank 0, b on rank 1 and 2)",
    ]
    assert told_differences(found[:1] * 3) == []


def test_what_a_rank_lacks_is_a_difference():
    assert told_differences([{"rows": 5}, {}]) == ["rows (5 on rank 0, nothing on rank 1)"]


def test_errors_name_their_ranks_unless_all_that_fail_say_what_the_first_says():
    gone, full = ("DataError", "x.csv is gone"), ("OutputError", "disk full")
    assert said_together([None, None]) is None
    assert said_together([gone, None, gone]) == (DataError, "x.csv is gone")
    assert said_together([None, gone, gone]) == (DataError, "rank 1 and 2: x.csv is gone")
    assert said_together([full, gone]) == (OutputError, "rank 0: disk full; rank 1: x.csv is gone")
    assert said_together([None, ("MemoryError", "9 GiB")]) == (MemoryError, "rank 1: 9 GiB")
    assert said_together([None, ("", "a bug")]) == (None, "rank 1: a bug")


def test_alone_an_error_is_raised_as_it_is():
    raise_together(None, None)
    with pytest.raises(DataError, match=r"^gone$"):
        raise_together(DataError("gone"), None)


def test_alone_everything_agrees():
    refuse_unlike_tables("DenseTargets", (5, 2), torch.float32, None)
    assert number_of_ranks(None) == 1
