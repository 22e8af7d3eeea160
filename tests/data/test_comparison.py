"""What ranks have differently, in the words that are shown; over real ranks in tests/test_fits_on_ranks.py."""

import threading

import numpy as np
import pandas as pd
import pytest

from elr.data import comparison
from elr.data.comparison import in_words, told_differences
from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions

N = 12


class Exchange:
    """What threads give one another in place of ranks."""

    def __init__(self, size):
        self.own, self.barrier, self.given = threading.local(), threading.Barrier(size, timeout=20), [None] * size

    def __call__(self, value):
        self.given[self.own.rank] = value
        self.barrier.wait()
        found = list(self.given)
        self.barrier.wait()
        return found


def table(**columns):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=N), "b": draw.normal(size=N), "word": ["x", "y", "z"] * (N // 3)})
    return frame.assign(label=["cat", "dog"] * (N // 2), **columns)


def described(prepared, **more):
    run = {name: {} for name in ("method", "training", "network", "augmentation", "targets")} | {"elr_version": "1"}
    run |= {"config": {"lam": 3.0}, "preprocessing": prepared.preprocessing.to_json()}
    run |= {"versions": {"torch": "2", "numpy": "2", "accelerate": "1"}}
    return run | {"data": {"sha256": prepared.sha256, "options": {"label": "label"}}} | more


def told(*ranks):
    """What each rank of these says, called at once."""
    exchange, said = Exchange(len(ranks)), [None] * len(ranks)

    def of(rank):
        exchange.own.rank = rank
        prepared, more = ranks[rank]
        said[rank] = told_differences(described(prepared, **more), prepared, exchange)

    threads = [threading.Thread(target=of, args=(rank,)) for rank in range(len(ranks))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return said


def prepared(frame, test=None):
    return prepare_data(frame, ReadOptions(label="label"), test=test)


def changed(column, row, value):
    frame = table()
    frame.loc[row, column] = value
    return frame


def test_ranks_that_are_alike_differ_in_nothing():
    assert told((prepared(table()), {}), (prepared(table()), {})) == [[], []]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (changed("b", 7, 99.0), "the data: rank 1 has another column 'b' than rank 0, first in row 7"),
        (changed("word", 4, "z"), "the data: rank 1 has another column 'word' than rank 0, first in row 4"),
        (
            changed("label", 3, "cat"),
            "the data: rank 1 has other values of the given labels than rank 0, first in row 3",
        ),
        (table()[:-2], "the data: 12 rows on rank 0, 10 on rank 1"),
        (table(more=np.arange(N) % 5 * 1.5), "the data: only rank 1 has column 'more'"),
        (
            table().assign(a=1.5 * table()["a"], b=0.5 * table()["b"]),
            "column 'a', column 'b' than rank 0, first in row 0",
        ),
    ],
    ids=["number", "word", "label", "rows", "column", "columns"],
)
def test_a_table_is_told_by_its_columns_and_rows(other, words):
    said = told((prepared(table()), {}), (prepared(other), {}))
    assert said[0] == said[1]
    assert len(said[0]) == 1
    assert words in said[0][0]


def test_the_ranks_that_have_other_data_are_named():
    said = told((prepared(table()), {}), (prepared(table()), {}), (prepared(changed("b", 7, 99.0)), {}))
    assert said[2] == ["the data: rank 2 has another column 'b' than rank 0, first in row 7"]


def test_test_data_are_called_so():
    ranks = [(prepared(table(), test=test), {}) for test in (table(), changed("b", 7, 99.0), table()[:-2])]
    assert told(*ranks[:2])[0] == ["the test data: rank 1 has other values of the inputs than rank 0"]
    assert told(ranks[0], ranks[2])[0] == ["the test data: 12 rows on rank 0, 10 on rank 1"]


def test_settings_are_told_by_name_and_of_long_ones_the_beginning():
    rank = prepared(table())
    said = told((rank, {}), (rank, {"config": {"lam": 7.0}}))
    assert said[0] == ["config.lam (3.0 on rank 0, 7.0 on rank 1)"]
    many = {"config": {f"setting {number}": "long " * 99 for number in range(50)}}
    assert len("; ".join(told((rank, {}), (rank, many))[0])) <= 2 * comparison._MOST_SAID


def test_large_data_are_not_compared_row_by_row(monkeypatch):
    monkeypatch.setattr(comparison, "MOST_ROWS", N - 1)
    said = told((prepared(table()), {}), (prepared(changed("b", 7, 99.0)), {}))
    assert said[0] == ["the data: rank 1 has another column 'b' than rank 0"]


def test_arrays_have_inputs():
    labels, one = np.arange(N) % 2, np.arange(3.0 * N).reshape(N, 3) % 7
    other = one.copy()
    other[[3, 5], 1] = other[[5, 3], 1]  # what is learned of the column stays the same
    ranks = [(prepare_data((inputs, labels), ReadOptions()), {}) for inputs in (one, other)]
    assert told(*ranks)[0] == ["the data: rank 1 has other values of the inputs than rank 0, first in row 3"]


def test_a_part_that_only_one_rank_has_is_told():
    found = [{}, {"test data": {"the number of rows": "5"}}]
    assert in_words("test data", ["the number of rows"], found) == "the test data: 0 rows on rank 0, 5 on rank 1"
