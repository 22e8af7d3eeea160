"""Stores of targets under several gloo ranks, many checks in one launch; see tests/targets/test_sharded.py.

The ranks are forked from one process that has everything imported, so that four of them cost what one does.
"""

import copy
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed as dist

from elr.errors import ELRError
from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.config import PLACEMENTS, TargetsConfig
from elr.targets.dense import DenseTargets
from elr.targets.sharded import ShardedTargets
from elr.targets.store import rows_apart
from elr_batches import outputs

N, C = 11, 3
STORES = [(placement, dtype) for placement in PLACEMENTS for dtype in ("float32", "bfloat16")]


def batches(world, step):
    """For each rank, its rows and outputs: of different lengths, one rank without any, rows that repeat anywhere."""
    draw = torch.Generator().manual_seed(step)
    for rank in range(world):
        count = 0 if (rank + step) % world == 1 else int(torch.randint(1, 9, (), generator=draw))
        yield torch.randint(0, N, (count,), generator=draw), outputs(100 * step + rank, count, C)


def said(action):
    try:
        action()
    except ELRError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def checks(rank, world, folder):
    """What this rank finds, by name."""
    found = {}
    for dtype in ("float32", "bfloat16", "float64"):
        sharded, dense, alone = (
            TargetsConfig(placement=placement, dtype=dtype).build(N, C) for placement in ("sharded", "dense", "dense")
        )
        sharded.distribute(dist.group.WORLD)
        dense.distribute(dist.group.WORLD)
        alone.distribute(None)
        equal = []
        for step in range(8):
            parts = list(batches(world, step))
            index, probs = parts[rank]
            if step == 5:
                probs[:1] = torch.nan
                parts = [(rows, torch.cat([torch.full_like(each[:1], torch.nan), each[1:]])) for rows, each in parts]
            if step % 2:
                sharded.prefetch(index)
            ours, theirs = sharded.update(index, probs, beta=0.7), dense.update(index, probs, beta=0.7)
            whole = alone.update(
                torch.cat([each for each, _ in parts]), torch.cat([each for _, each in parts]), beta=0.7
            )
            start = sum(len(each) for each, _ in parts[:rank])
            equal += [torch.equal(ours, theirs), torch.equal(ours, whole[start : start + len(index)])]
            asked = torch.arange(N).roll(step)[: step if rank else N]
            equal.append(torch.equal(sharded.read(asked), dense.read(asked)))
        equal.append(torch.equal(sharded.table, dense.table[sharded.first : sharded.last]))
        found[f"equal {dtype}"] = equal
        found[f"nonfinite {dtype}"] = (sharded.nonfinite.tolist(), alone.nonfinite.tolist())
        found[f"mean {dtype}"] = float((sharded.mean() - dense.mean()).abs().max())
        place = Path(folder) / f"{dtype}-{world}"
        place.mkdir(exist_ok=True)
        dist.barrier()
        sharded.save_rows(place)
        dist.barrier()
        again = TargetsConfig(placement="sharded", dtype=dtype).build(N, C)
        again.distribute(dist.group.WORLD)
        again.load_rows(place)
        found[f"again {dtype}"] = torch.equal(again.table, sharded.table)
        if rank == 0:
            torch.save(dense.table, place / "dense.pt")
    found["rows"] = (sharded.first, sharded.last, len(sharded.table))
    found |= sent(rank, world) | refused(rank, world, folder) | read_of_others(world, folder)
    return found | each_store(rank, world, folder)


def each_store(rank, world, folder):
    """Every store on these ranks beside the same one in one process, which has the batches of all of them."""
    found = {}
    for placement, dtype in STORES:
        place = Path(folder) / f"{placement} {dtype} {world}"
        place.mkdir(exist_ok=True)
        config = TargetsConfig(placement=placement, dtype=dtype, top_k=2, folder=place)
        store, again, alone = (config.build(N, C) for _ in range(3))
        for each, group in ((store, dist.group.WORLD), (again, dist.group.WORLD), (alone, None)):
            each.distribute(group)
        equal = updated_alike([store], alone, rank, world, range(4))
        keep_and_restore(store, again, rank, place / "rows")
        found[f"{placement} {dtype}"] = equal + updated_alike([store, again], alone, rank, world, range(4, 6))
        dist.barrier()
        found[f"files of {placement} {dtype}"] = len(list(place.glob(".targets*")))
        dist.barrier()
    return found


def updated_alike(stores, alone, rank, world, steps):
    """Whether stores on these ranks and one alone give the same for the same batches, and have the same rows then."""
    equal = []
    for step in steps:
        parts = list(batches(world, step))
        start = sum(len(each) for each, _ in parts[:rank])
        index, probs = (torch.cat(each) for each in zip(*parts, strict=True))
        whole = alone.update(index, probs, beta=0.7)[start : start + len(parts[rank][0])]
        equal += [torch.equal(store.update(*parts[rank], beta=0.7), whole) for store in stores]
    everything = alone.read(torch.arange(N))
    return equal + [torch.equal(store.read(torch.arange(N)), everything) for store in stores]


def keep_and_restore(store, again, rank, folder):
    """As a checkpoint does it: each rank writes its rows, the first one writes the state, and all read that."""
    if rank == 0:
        folder.mkdir()
    dist.barrier()
    store.save_rows(folder)
    dist.barrier()  # as the checkpoint waits until every rank has confirmed
    with rows_apart([store, again]):
        state = [copy.deepcopy(store.state_dict())]
        dist.broadcast_object_list(state, 0)
        again.load_state_dict(state[0])
    again.load_rows(folder)


def sent(rank, world):
    """An update of rows that are asked for evenly sends what `bytes_per_step` says."""
    store = ShardedTargets(8 * world, 5, dtype=torch.bfloat16)
    store.distribute(dist.group.WORLD)
    before = store.sent
    rows = torch.arange(8 * world).view(world, 8)[:, rank::world].flatten()
    store.update(rows, outputs(0, len(rows), 5), beta=0.5)
    return {"sent": (store.sent - before, store.bytes_per_step(len(rows)))}


def refused(rank, world, folder):
    store = ShardedTargets(N, C)
    store.distribute(dist.group.WORLD)
    found = {"out of range": said(lambda: store.read(torch.tensor([N if rank == 1 else 0])))}
    store.read(torch.tensor([0]))  # and it goes on
    rows, probs = torch.tensor([rank]), torch.full((1, C), 1 / C)
    ask = (lambda: store.read(rows)) if rank == 0 else (lambda: store.update(rows, probs, beta=0.5))
    found["at odds"] = said(ask)
    for kind in (ShardedTargets, DenseTargets):
        other = kind(N + (rank == world - 1), C)
        other.distribute(dist.group.WORLD)
        found[f"unlike {kind.__name__}"] = said(lambda other=other: other.update(rows, probs, beta=0.5))
    store.update(rows, probs, beta=0.5)
    found["another split"] = said(lambda: store.distribute(None))
    state = store.state_dict()
    alone = DenseTargets(N, C)
    found["untold"] = said(lambda: alone.update(rows, probs, beta=0.5))
    loss = ELRLoss(N, C)
    found["untold loss"] = said(lambda: loss(probs, torch.tensor([0]), rows))
    loss.targets.distribute(None)
    found["each for itself"] = said(lambda: loss(probs, torch.tensor([0]), rows))
    alone = ShardedTargets(N, C)
    found["state elsewhere"] = said(lambda: alone.load_state_dict(state))
    same = ShardedTargets(N, C)
    same.distribute(dist.group.WORLD)
    same.load_state_dict(state)
    found["state here"] = torch.equal(same.table, store.table)
    whole = DenseTargets(N, C)
    whole.table.copy_(outputs(1, N, C))
    same.load_state_dict(whole.state_dict())
    found["state of dense"] = torch.equal(same.table, whole.table[same.first : same.last])
    store.prefetch(rows)
    found["other rows"] = said(lambda: store.update(rows + 1, probs, beta=0.5))
    place = Path(folder) / f"damaged-{world}"
    if rank == 0:
        place.mkdir(exist_ok=True)
    dist.barrier()
    store.save_rows(place)
    dist.barrier()
    if rank == 0:
        next(place.glob(f"rank-{world - 1}-*")).unlink()
    dist.barrier()
    before = store.table.clone()
    found["missing"] = said(lambda: store.load_rows(place))
    found["unchanged"] = torch.equal(store.table, before)
    return found


def read_of_others(world, folder):
    """Rows that another number of ranks wrote: those that are there."""
    found = {}
    for place in sorted(Path(folder).glob("float32-*")):
        if place.name != f"float32-{world}":
            store = ShardedTargets(N, C)
            store.distribute(dist.group.WORLD)
            store.load_rows(place)
            dense = torch.load(place / "dense.pt", weights_only=True)
            found[f"{place.name} read by {world}"] = torch.equal(store.table, dense[store.first : store.last])
    return found


def rank_of(rank, world, folder, checks):
    torch.set_num_threads(1)
    meeting = dist.FileStore(str(Path(folder) / f"meeting-{world}"), world)
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=world, timeout=timedelta(seconds=60))
    torch.save(checks(rank, world, folder), Path(folder) / f"found-{world}-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def on_ranks(world, folder, checks=checks):
    """Fork the ranks and wait for them; whether all ended well."""
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                rank_of(rank, world, folder, checks)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return all(os.waitpid(child, 0)[1] == 0 for child in children)


if __name__ == "__main__":
    sys.exit(0 if all(on_ranks(world, sys.argv[1]) for world in (2, 4)) else 1)
