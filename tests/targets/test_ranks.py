"""What the ranks of a group are to agree in; over real ranks in tests/sharded_ranks.py."""

import torch

from elr.targets.ranks import number_of_ranks, refuse_unlike_tables, told_differences


def test_differences_name_values_and_ranks():
    found = [{"rows": 5, "labels": "a"}, {"rows": 5, "labels": "b"}, {"rows": 6, "labels": "b"}]
    assert told_differences(found) == [
        "rows (5 on rank 0 and 1, 6 on rank 2)",
        "labels (a on rank 0, b on rank 1 and 2)",
    ]
    assert told_differences(found[:1] * 3) == []


def test_what_a_rank_lacks_is_a_difference():
    assert told_differences([{"rows": 5}, {}]) == ["rows (5 on rank 0, nothing on rank 1)"]


def test_alone_everything_agrees():
    refuse_unlike_tables("DenseTargets", (5, 2), torch.float32, None)
    assert number_of_ranks(None) == 1
