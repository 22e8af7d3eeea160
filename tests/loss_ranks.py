"""The loss of ELR on two gloo ranks, many checks in one launch; see tests/methods/loss/test_first_steps.py."""

import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch.utils.data import DistributedSampler

from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.config import PLACEMENTS, TargetsConfig
from sharded_ranks import on_ranks, said

N, C, B = 200, 3, 20
LABELS = torch.arange(N) % C


def loss_over(folder, placement="dense", **settings):
    store = TargetsConfig(placement=placement, folder=Path(folder)).build(N, C)
    loss = ELRLoss(N, C, targets=store, **settings)
    loss.targets.distribute(dist.group.WORLD)
    return loss


def logits_of(index, seed=0):
    return torch.randn(N, C, generator=torch.Generator().manual_seed(seed))[index].requires_grad_()


def trained(loss, batches, labels):
    for step, index in enumerate(batches):
        loss(logits_of(index, step), labels[index], index).backward()
    return loss


def sampled(rank, world, *, epochs=2):
    """What a DistributedSampler gives, reshuffled in each epoch."""
    sampler = DistributedSampler(range(N), num_replicas=world, rank=rank)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        yield from torch.tensor(list(sampler)).split(B)


def compiled(rank, world, folder):
    """Each store under `torch.compile` beside the same one without."""
    found = {}
    for placement in PLACEMENTS:
        plain, loss = loss_over(folder, placement), loss_over(folder, placement)
        fast, equal = torch.compile(loss, backend="eager"), []
        for step, index in enumerate(sampled(rank, world, epochs=1)):
            ours, theirs = logits_of(index, step), logits_of(index, step)
            value, expected = fast(ours, LABELS[index], index), plain(theirs, LABELS[index], index)
            value.backward()
            expected.backward()
            equal += [torch.allclose(value, expected), torch.allclose(ours.grad, theirs.grad, atol=1e-7)]
        rows = torch.arange(N)
        equal.append(torch.allclose(loss.targets.read(rows), plain.targets.read(rows)))
        found[f"compiled {placement}"] = equal
    return found


def looked_at(rank, world, folder):
    """What is said of batches that the ranks should not have."""
    flipped = LABELS.flip(0) if rank else LABELS
    alike = list(torch.randperm(N, generator=torch.Generator().manual_seed(0)).split(B))
    tiny = [torch.tensor([4])] * 30  # the same row by chance, or over and over
    soft = torch.nn.functional.one_hot(LABELS, C).float()
    found = {
        "as it should be": said(lambda: trained(loss_over(folder), sampled(rank, world), LABELS)),
        "the same batch": said(lambda: trained(loss_over(folder), alike, LABELS)),
        "the same soft batch": said(lambda: trained(loss_over(folder), alike, soft)),
        "allowed": said(lambda: trained(loss_over(folder, check_batches=False), alike, LABELS)),
        "other labels": said(lambda: trained(loss_over(folder), alike, flipped)),
        "one row by chance": said(lambda: trained(loss_over(folder), tiny[:1], LABELS)),
        "one row again and again": said(lambda: trained(loss_over(folder), tiny, LABELS)),
        "compiled": said(lambda: trained(torch.compile(loss_over(folder), backend="eager"), alike, LABELS)),
    }
    loss = loss_over(folder)
    found["over epochs"] = said(lambda: trained(loss, sampled(rank, world, epochs=5), LABELS))
    return found | {"exchanges": loss.first_steps.steps, "done": loss.first_steps.done}


def checks(rank, world, folder):
    return looked_at(rank, world, folder) | compiled(rank, world, folder)


if __name__ == "__main__":
    sys.exit(0 if on_ranks(2, sys.argv[1], checks) else 1)
