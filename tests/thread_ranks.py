"""Ranks that are threads of this process in place of `torch.distributed`, and stores of targets on them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
import torch

from elr.errors import ArgumentError, RowIndexError
from elr_batches import outputs

N, C = 11, 5


class ThreadRanks:
    """A process group and the functions of `torch.distributed` that stores call, for as many threads."""

    def __init__(self, size):
        self.size, self.own, self.barrier, self.given = size, threading.local(), threading.Barrier(size), [None] * size

    def patch(self, monkeypatch):
        """In place of `torch.distributed` in all that stores are made of."""
        for name in ("updating", "ranks", "sharded", "mapped"):
            monkeypatch.setattr(import_module(f"elr.targets.{name}"), "dist", self)
        return self

    def run(self, function):
        """What a function of the rank gives, called on all of them at once; an error of any."""

        def of(rank):
            self.own.rank = rank
            try:
                return function(rank)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(self.size) as threads:
            waited = [threads.submit(of, rank) for rank in range(self.size)]
        errors = [each.exception() for each in waited if each.exception()]
        for error in sorted(errors, key=lambda each: isinstance(each, threading.BrokenBarrierError)):
            raise error
        return [each.result() for each in waited]

    def exchanged(self, value, group):
        assert group is self
        self.given[self.own.rank] = value
        self.barrier.wait(10)
        given = list(self.given)
        self.barrier.wait(10)
        return given

    def get_world_size(self, group):
        assert group is self
        return self.size

    def get_rank(self, group):
        assert group is self
        return self.own.rank

    def all_gather(self, parts, part, *, group):
        for mine, theirs in zip(parts, self.exchanged(part.clone(), group), strict=True):
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
            mine.copy_(theirs)

    def all_gather_object(self, found, value, *, group):
        assert len(found) == self.size
        found[:] = self.exchanged(value, group)

    def all_reduce(self, tensor, *, group, async_op=False):
        given = self.exchanged(tensor.clone(), group)
        assert len({(each.shape, each.dtype) for each in given}) == 1
        return self._later(lambda: tensor.copy_(torch.stack(given).sum(dim=0)), async_op)

    def all_to_all_single(self, there, back, of, to, *, group, async_op=False):
        given = self.exchanged(back.clone().split(to), group)
        mine = [parts[self.own.rank] for parts in given]
        assert [len(each) for each in mine] == of
        return self._later(lambda: there.copy_(torch.cat(mine)), async_op)

    @staticmethod
    def _later(action, async_op):
        """What is asked for comes when it is waited for."""
        if not async_op:
            action()
            return None
        work = threading.Event()
        work.wait = action
        return work


def batches(world, step):
    """For each rank its rows and outputs: of different lengths, one without any, rows that repeat anywhere."""
    draw = torch.Generator().manual_seed(step)
    for rank in range(world):
        count = 0 if (rank + step) % world == 1 else int(torch.randint(1, 9, (), generator=draw))
        probs = outputs(100 * step + rank, count, C)
        if step == 2:
            probs[:1, 0] = torch.nan
        yield torch.randint(0, N, (count,), generator=draw), probs


def check_as_one_process(make, monkeypatch, world=3, parts=1):
    """Stores on ranks have the targets of one in one process, bit for bit; returns them."""
    ranks, alone = ThreadRanks(world).patch(monkeypatch), make(N, C)
    alone.distribute(None)
    stores = [make(N, C) for _ in range(world)]
    for store in (*stores, alone):
        store.parts = parts
    given_to = [list(batches(world, step)) for step in range(5)]
    expected = []
    for each in given_to:
        index, probs = (torch.cat(some) for some in zip(*each, strict=True))
        lengths = [len(rows) for rows, _ in each]
        expected.append(alone.update(index, probs, beta=0.7).split(lengths))

    def of(rank):
        stores[rank].distribute(ranks)
        for each, given in zip(given_to, expected, strict=True):
            assert torch.equal(stores[rank].update(*each[rank], beta=0.7), given[rank])
        asked = torch.arange(N).roll(rank)[: N - rank]
        assert torch.equal(stores[rank].read(asked), alone.read(asked))
        torch.testing.assert_close(stores[rank].mean(), alone.mean(), rtol=0, atol=1e-14)
        assert stores[rank].nonfinite.tolist() == alone.nonfinite.tolist()
        assert stores[rank].told

    ranks.run(of)
    return stores, ranks


def check_unlike_are_refused(make, others, ranks):
    """A store that differs on the last rank is refused on all, in words; what differs is in `others` with the words."""
    for other, words in others:

        def of(rank, other=other):
            store = other() if rank == ranks.size - 1 else make(N, C)
            store.distribute(ranks)
            try:
                store.update(torch.tensor([0]), outputs(0, 1, store.num_classes), beta=0.5)
            except ArgumentError as error:
                return str(error)
            return "nothing"

        for told in ranks.run(of):
            assert words in told


def check_rows_are_looked_at(stores, ranks):
    """A row number that is out of range on one rank is refused on all, though the stores trust their rows."""

    def of(rank):
        stores[rank].trusts_rows = True
        with pytest.raises(RowIndexError, match=f"index {N} is out of range for {N}"):
            stores[rank].update(torch.tensor([N if rank == 1 else 0]), outputs(0, 1, C), beta=0.5)

    ranks.run(of)
