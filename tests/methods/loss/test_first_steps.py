"""What ranks are told of their batches: ranks that are threads, and gloo ranks as tests/loss_ranks.py found."""

import pytest
import torch

from elr.errors import ArgumentError
from elr.methods.loss import first_steps
from elr.methods.loss.first_steps import ENOUGH, MOST_STEPS, FirstSteps
from elr.targets.config import PLACEMENTS
from scripts import filled_by_ranks
from thread_ranks import ThreadRanks

N = 1000
LABELS = torch.arange(N) % 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled_by_ranks(tmp_path_factory.mktemp("loss"), "loss_ranks.py")


@pytest.fixture(params=[0, 1])
def found(folder, request):
    return torch.load(folder / f"found-2-{request.param}.pt")


@pytest.fixture
def ranks(monkeypatch):
    ranks = ThreadRanks(2).patch(monkeypatch)
    monkeypatch.setattr(first_steps, "dist", ranks)
    return ranks


def looked(ranks, batches_of, *, num_examples=N):
    """`FirstSteps` of each rank after its batches, (rows, labels) each."""

    def of(rank):
        first = FirstSteps(num_examples)
        for index, labels in batches_of(rank):
            first.look(index, labels, ranks)
        return first

    return ranks.run(of)


def part(rank, step, labels=LABELS):
    """Rows of a rank in steps of 50 rows; what was the other's before is this one's from the tenth step on."""
    start = 500 * ((rank + step // 10) % 2) + 50 * (step % 10)
    index = torch.arange(start, start + 50)
    return index, labels[index]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_compiled_loss_on_two_ranks_is_the_plain_one(found, placement):
    assert found[f"compiled {placement}"]
    assert all(found[f"compiled {placement}"])


@pytest.mark.parametrize("name", ["the same batch", "the same soft batch", "compiled"])
def test_the_same_batch_on_all_ranks_is_refused_at_once(found, name):
    assert "all 2 processes have the same batch in step 1 (rows 44, 57, 157, 64, 19, ... in the same" in found[name]
    assert "sampler=torch.utils.data.DistributedSampler(data)" in found[name]


def test_batches_as_they_should_be_or_that_are_allowed_train(found):
    assert {found[name] for name in ("as it should be", "allowed", "one row by chance", "over epochs")} == {"nothing"}
    assert (found["exchanges"], found["done"]) == (1, True)


def test_one_row_again_and_again_is_no_chance(found):
    assert "have the same batch in step 3 (row 4), so" in found["one row again and again"]


def test_a_row_with_other_labels_on_another_rank_is_named(found):
    assert "row 57 has label 0 on rank 0 and 1 on rank 1: row numbers count through the data" in found["other labels"]


def test_few_rows_may_be_the_same_by_chance_and_all_rows_always(ranks):
    rows = torch.tensor([1, 0, 2])
    for count, index, steps in ((4, rows, 4), (3, rows, 20), (N, torch.arange(N), 5), (1, rows[1:2], 50)):
        found = looked(
            ranks, lambda rank, index=index, steps=steps: [(index, LABELS[index])] * steps, num_examples=count
        )
        assert all(each.steps <= MOST_STEPS for each in found)
    with pytest.raises(ArgumentError, match=r"the same batch in step 5 \(rows 1, 0, 2 in the same order\)"):
        looked(ranks, lambda rank: [(rows, LABELS[rows])] * 6, num_examples=4)


def test_the_same_batch_is_no_fault_where_later_ones_differ(ranks):
    first, second = looked(ranks, lambda rank: [(torch.tensor([5, 6]), LABELS[5:7]), part(rank, 1), part(rank, 2)])
    assert first.steps == second.steps == 2


def test_labels_that_contradict_those_of_the_first_step_are_told_in_a_later_epoch(ranks):
    flipped = LABELS.flip(0)

    def batches(rank):
        mine = part(rank, 0, flipped if rank else LABELS)
        yield mine
        yield tuple(each[:5] for each in mine)  # its own are what they were
        if rank == 0:
            yield part(1, 0)

    with pytest.raises(ArgumentError, match=r"row 500 has label 9 on rank 1 and 0 on rank 0: .*check_batches=False"):
        looked(ranks, batches)


def test_labels_that_change_as_training_goes_are_left_alone(ranks):
    """A row of the other comes before one of its own that has changed."""
    for count in (1, 50):
        found = looked(
            ranks,
            lambda rank, count=count: [
                part(rank, 0),
                part(1 - rank, 0, (LABELS + 1) % 10),
                tuple(each[:count] for each in part(rank, 0, (LABELS + 1) % 10)),
            ],
        )
        assert all(each.done for each in found)


def test_it_ends_when_enough_was_compared_or_nothing_can_be(ranks):
    for each in looked(ranks, lambda rank: [part(rank, step) for step in range(11)]):
        assert each.done
        assert each.steps == 1
        assert each.compared >= ENOUGH
    for each in looked(ranks, lambda rank: [part(rank, step % 10) for step in range(90)]):  # never reshuffled
        assert each.done
        assert each.compared == 0
    soft = torch.full((50, 10), 0.1)
    assert all(each.done for each in looked(ranks, lambda rank: [(part(rank, 0)[0], soft)]))


def test_rows_out_of_range_are_left_to_the_store(ranks):
    index = torch.tensor([3, N + 5, -1])
    looked(ranks, lambda rank: [(index + 10 * rank, LABELS[:3])] * 2)


def test_alone_there_is_nothing_to_look_at(ranks):
    alone = ThreadRanks(1)
    alone.own.rank = 0
    first = FirstSteps(5)
    ranks.size = 1
    first.look(torch.tensor([1]), torch.tensor([1]), ranks)
    assert first.done
    assert first.steps == 0
