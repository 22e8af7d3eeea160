"""Layers on two and three gloo ranks beside one process; see tests/training/ranks/."""

import sys

import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from elr.devices import mixed_seed
from elr.errors import TrainingError
from elr.methods.cross_entropy import LossMethod
from elr.methods.ingredients.mixup import draw_mixing
from elr.methods.method import Batch
from elr.training.ranks.batch_norm import batch_norm_of_ranks
from elr.training.ranks.whole_batch import WholeBatch
from sharded_ranks import on_ranks

B, SEED, EPOCH = 7, 5, 2
WORLDS = (2, 3)


class StochasticDepth(nn.Module):
    """As timm has it."""

    def forward(self, inputs):
        return inputs * inputs.new_empty(len(inputs), *[1] * (inputs.ndim - 1)).bernoulli_(0.6).div_(0.6)


class Noisy(nn.Module):
    def forward(self, inputs):
        return inputs + torch.randn_like(inputs)


LAYERS = {
    "dropout": (nn.Dropout(0.4), (5,)),
    "in place": (nn.Dropout(0.4, inplace=True), (5,)),
    "dropout1d": (nn.Dropout1d(0.4), (6, 4)),
    "dropout2d": (nn.Dropout2d(0.4), (6, 3, 4)),
    "dropout3d": (nn.Dropout3d(0.4), (6, 2, 3, 4)),
    "alpha dropout": (nn.AlphaDropout(0.4), (5,)),
    "feature alpha dropout": (nn.FeatureAlphaDropout(0.4), (6, 2, 3, 4)),
    "stochastic depth": (StochasticDepth(), (5, 2)),
    "noise": (Noisy(), (5,)),
    "none": (nn.Dropout(0.0), (5,)),
}
"""Layers, and the shapes of a row."""


def inputs_of(shape, seed=0, dtype=torch.float32):
    return torch.randn(B, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def laid_out(inputs, layout):
    if layout == "channels last" and inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    if layout == "reversed":
        return inputs.permute(*reversed(range(inputs.ndim))).contiguous().permute(*reversed(range(inputs.ndim)))
    return inputs


def passed(layer, inputs, coefficients):
    """Output and gradient of a layer."""
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs * 1.0)  # one that may be changed in place
    (outputs.sin() * coefficients).sum().backward()
    return outputs.detach(), inputs.grad


def batch_of(rank, world, views=1):
    index = torch.arange(B)[rank::world]
    return Batch(index, index[:, None], index, (index[:, None],) * (views - 1))


def shared_method(group):
    method = LossMethod(nn.Linear(2, 3))
    method.distribute(group)
    return method


def whole_of(rank, world):
    whole = WholeBatch(shared_method(dist.group.WORLD), device=torch.device("cpu"))
    return whole, batch_of(rank, world), len(range(rank, B, world)) * world / B


def drawn(rank, world):
    """For each layer whether what it draws is what one process draws, bit for bit, gradient included."""
    whole, batch, share = whole_of(rank, world)
    found = {}
    for layout in ("rows", "channels last", "reversed"):
        for name, (layer, shape) in LAYERS.items():
            inputs, coefficients = laid_out(inputs_of(shape), layout), inputs_of(shape, 1)
            torch.manual_seed(mixed_seed(SEED, EPOCH, 1))
            alone = [passed(layer.train(), inputs, coefficients) for _ in range(2)]
            whole.begin_epoch(SEED, EPOCH)
            mine = laid_out(inputs[rank::world], layout)
            equal = []
            for expected in alone:
                torch.rand(rank)  # what a rank draws for itself
                with whole.forward(batch, share):
                    ours = passed(layer, mine, coefficients[rank::world])
                equal += [torch.equal(a, b[rank::world]) for a, b in zip(ours, expected, strict=True)]
            found[f"{name}, {layout}"] = equal
    return found


def views_and_pairs(rank, world):
    """Two views in one pass, and the pairs of mixup, between draws of dropout."""
    whole, _, share = whole_of(rank, world)
    views = torch.cat([inputs_of((5,), 2), inputs_of((5,), 3)])
    torch.manual_seed(mixed_seed(SEED, EPOCH, 1))
    expected = F.dropout(views), draw_mixing(B, alpha=1.0, device=views.device), F.dropout(views[:B])
    whole.begin_epoch(SEED, EPOCH)
    mine = torch.cat([views[:B][rank::world], views[B:][rank::world]])
    with whole.forward(batch_of(rank, world, views=2), share):
        first = F.dropout(mine)
        mixing = draw_mixing(len(mine) // 2, alpha=1.0, device=views.device, group=dist.group.WORLD)
        last = F.dropout(mine[: len(mine) // 2])
    partners = mixing.of_partners(torch.arange(B)[rank::world])
    return {
        "views": torch.equal(first, torch.cat([each[rank::world] for each in expected[0].split(B)])),
        "pairs": torch.equal(partners, expected[1].partner[rank::world]) and mixing.weight == expected[1].weight,
        "after pairs": torch.equal(last, expected[2][rank::world]),
    }


def left_alone(rank, world):
    """What is not of the batch's rows is drawn by each rank for itself, and moves nothing that is common."""
    whole, batch, share = whole_of(rank, world)
    whole.begin_epoch(SEED, EPOCH)
    ones, count = torch.ones(B, 50), len(batch.index)
    with whole.forward(batch, share):
        expected = F.dropout(ones[:count])
    whole.begin_epoch(SEED, EPOCH)
    with whole.forward(batch, share):
        of_others = [F.dropout(torch.ones(20, 50)), torch.rand(3), F.dropout(ones[:count], training=False)]
        seeded = torch.empty(count, 5).uniform_(generator=torch.Generator().manual_seed(0))
        ours = F.dropout(ones[:count])
    gathered = [torch.empty_like(of_others[0]) for _ in range(world)]
    dist.all_gather(gathered, of_others[0])
    method = shared_method(dist.group.WORLD)
    type(method).whole_batches, before = property(lambda self: False), type(method).whole_batches
    refusing = WholeBatch(method, device=torch.device("cpu"))
    refusing.begin_epoch(SEED, EPOCH)
    with refusing.forward(batch, share):
        own = F.dropout(torch.ones(B, 50)[:count])
    type(method).whole_batches = before
    torch.manual_seed(mixed_seed(SEED, EPOCH, 1, 1 + rank))
    return {
        "common state": torch.equal(ours, expected),
        "ranks differ": not torch.equal(*gathered[:2]),
        "eval mode": torch.equal(of_others[2], ones[:count]),
        "generator": torch.equal(seeded, torch.empty(count, 5).uniform_(generator=torch.Generator().manual_seed(0))),
        "refused by the method": torch.equal(own, F.dropout(ones[:count])),
    }


def normalized(rank, world):
    """The largest differences of outputs, gradients and running averages from those of one process, in float64."""
    found = {}
    for shape in ((3,), (3, 4), (3, 4, 2), (3, 4, 2, 2)):
        for affine in (True, False):
            inputs, coefficients = 30.0 + 2.0 * inputs_of(shape, 4, torch.float64), inputs_of(shape, 5, torch.float64)

            def run(function, inputs, coefficients, affine=affine):
                weights = (
                    inputs_of((2,), 6, torch.float64)[:3].T.contiguous().requires_grad_() if affine else (None, None)
                )
                running = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
                outputs, of_inputs = passed(
                    lambda each: function(each, *running, *weights, training=True, momentum=0.2), inputs, coefficients
                )
                return outputs, of_inputs, weights.grad if affine else torch.zeros(1), *running

            ours = run(
                lambda *given, **settings: batch_norm_of_ranks(*given, **settings, group=dist.group.WORLD),
                inputs[rank::world],
                coefficients[rank::world],
            )
            alone = run(F.batch_norm, inputs, coefficients)
            summed = ours[2].clone()
            dist.all_reduce(summed)
            expected = [alone[0][rank::world], alone[1][rank::world], *alone[2:]]
            pairs = zip([*ours[:2], summed, *ours[3:]], expected, strict=True)
            found[f"batch norm {shape}, {affine}"] = max(float((a - b).abs().max()) for a, b in pairs)
    empty = inputs_of((3,), 4)[: 0 if rank else B].requires_grad_()  # a rank that has no row
    outputs = batch_norm_of_ranks(empty, None, None, group=dist.group.WORLD)
    outputs.sum().backward()
    alone = F.batch_norm(inputs_of((3,), 4), None, None, training=True)
    return found | {"no row": torch.allclose(outputs, alone[: len(outputs)], atol=1e-6)}


def layers_of_batch_norm(rank, world):
    """Modules within a step: counters, averages over all batches, no averages, eval mode; and a row for each rank."""
    whole, batch, share = whole_of(rank, world)
    found = {}
    for name, settings in {
        "usual": {},
        "over all batches": {"momentum": None},
        "no averages": {"track_running_stats": False},
    }.items():
        alone, ours = nn.BatchNorm1d(3, **settings), nn.BatchNorm1d(3, **settings)
        for step in range(3):
            inputs = inputs_of((3,), step)
            if step == 2:
                alone.eval(), ours.eval()
            expected = alone(inputs)[rank::world]
            with whole.forward(batch, share):
                outputs = ours(inputs[rank::world])
            found[f"{name}, step {step}"] = torch.allclose(outputs, expected, atol=1e-6)
        states = alone.state_dict(), ours.state_dict()
        found[f"{name}, state"] = states[0].keys() == states[1].keys() and all(
            torch.allclose(value, states[1][key], atol=1e-6) for key, value in states[0].items()
        )
    return found


def computed_again(rank, world):
    """Activations that are computed again in the backward pass."""
    whole, batch, share = whole_of(rank, world)
    whole.begin_epoch(SEED, EPOCH)
    inputs, said = inputs_of((5,))[rank::world].requires_grad_(), {}
    layers = {
        "dropout of a module": nn.Dropout(),
        "dropout": F.dropout,
        "batch_norm": lambda rows: F.batch_norm(rows, None, None, training=True),
        "bernoulli_": lambda rows: rows * rows.new_empty(len(rows), 1).bernoulli_(0.5),
        "nothing": nn.Sequential(nn.Dropout(0.0), nn.Linear(5, 5)),
    }
    for name, layer in layers.items():
        for reentrant in (True, False):
            try:
                with whole.forward(batch, share):
                    outputs = checkpoint(layer, inputs, use_reentrant=reentrant)
                outputs.sum().backward()
                said[f"{name}, reentrant {reentrant}"] = "was computed"
            except TrainingError as error:
                said[f"{name}, reentrant {reentrant}"] = str(error)
    return said


def checks(rank, world, folder):
    del folder
    parts = (drawn, views_and_pairs, left_alone, normalized, layers_of_batch_norm, computed_again)
    return {part.__name__: part(rank, world) for part in parts}


if __name__ == "__main__":
    sys.exit(0 if all(on_ranks(world, sys.argv[1], checks) for world in WORLDS) else 1)
