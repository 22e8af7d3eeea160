"""Layers that see the batch of all ranks: on gloo ranks as tests/whole_batch_ranks.py found them, and alone."""

import pytest
import torch
from torch import nn

from elr.training.ranks.whole_batch import WholeBatch
from scripts import filled_by_ranks
from whole_batch_ranks import LAYERS, WORLDS, batch_of, shared_method

RANKS = [(world, rank) for world in WORLDS for rank in range(world)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled_by_ranks(tmp_path_factory.mktemp("whole"), "whole_batch_ranks.py")


@pytest.fixture(params=RANKS, ids=[f"rank {rank} of {world}" for world, rank in RANKS])
def found(folder, request):
    world, rank = request.param
    return torch.load(folder / f"found-{world}-{rank}.pt")


def test_what_layers_draw_is_what_one_process_draws_bit_for_bit(found):
    """Gradients included, in whatever order the rows lie in memory, in batches that ranks have uneven parts of."""
    assert len(found["drawn"]) == 3 * len(LAYERS)
    assert [name for name, equal in found["drawn"].items() if not all(equal)] == []


@pytest.mark.parametrize("part", ["views_and_pairs", "left_alone", "layers_of_batch_norm"])
def test_several_checks(found, part):
    assert [name for name, good in found[part].items() if not good] == []


def test_batch_norm_has_the_gradients_of_one_process(found):
    assert found["normalized"].pop("no row")
    assert max(found["normalized"].values()) < 1e-11


def test_what_is_computed_again_is_refused(found):
    assert len(found["computed_again"]) == 10
    for name, said in found["computed_again"].items():
        layer = name.partition(",")[0].split()[0]
        start = f"{layer} is to be computed again in the backward pass (torch.utils.checkpoint), and the"
        assert said.startswith("was computed" if layer == "nothing" else start), name


def test_alone_nothing_is_changed():
    network, inputs = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()), torch.randn(7, 3)
    whole = WholeBatch(shared_method(None), device=torch.device("cpu"))
    found = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            whole.begin_epoch(5, 2)
            with whole.forward(batch_of(0, 1), 1.0):
                found.append(network(inputs))
            found[-1].sum().backward()
    assert torch.equal(*found)
