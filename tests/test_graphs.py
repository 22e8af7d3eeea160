"""CUDA graphs without a GPU: what is recorded when, and what is left as it was. tests/test_gpu.py trains with them."""

import copy

import pytest
import torch
from torch import nn

from blobs import METHODS, examples
from elr import graphs
from elr.errors import ArgumentError, TrainingError
from elr.graphs import replayed
from elr.settings import TrainingConfig
from elr.training import Training


@pytest.fixture
def recorded(monkeypatch):
    """The shapes that were recorded, by a recorder that goes through the passes as torch's does."""
    shapes = []

    def record(passes, samples):
        shapes.append(tuple(samples[0].shape))
        torch.autograd.grad(passes(*samples).sum(), list(passes.parameters()))
        torch.rand(3)
        return passes

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(graphs, "is_recordable", lambda inputs: True)
    return shapes


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))


def test_each_shape_is_recorded_once_and_nothing_else_changes(recorded):
    ours, plain = network(), network()
    plain.load_state_dict(ours.state_dict())
    inputs = [torch.randn(size, 4) for size in (5, 4, 5, 4)]
    torch.manual_seed(1)
    with replayed([ours]):
        outputs = [ours(each) for each in inputs]
        assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(1)))
    assert recorded == [(5, 4), (4, 4)]
    for output, each in zip(outputs, inputs, strict=True):
        assert torch.equal(output, plain(each))
    for one, other in zip(ours.buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other)


def test_passes_that_do_not_train_are_left_alone(recorded):
    ours = network()
    with replayed([ours]):
        with torch.no_grad():
            ours(torch.randn(5, 4))
        ours.eval()(torch.randn(5, 4))
    assert recorded == []
    assert "forward" not in vars(ours)


def test_a_copy_is_a_network_of_its_own(recorded):
    ours, inputs = network(), torch.randn(5, 4)
    with replayed([ours]):
        ours(inputs)
        other = copy.deepcopy(nn.ModuleList([ours]))[0]
        with torch.no_grad():
            for weight in other.parameters():
                weight.zero_()
        assert other(inputs).count_nonzero() == 0
        assert ours(inputs).count_nonzero() > 0
    assert recorded == [(5, 4)]


def test_more_shapes_than_are_worth_recording(recorded):
    ours = network()
    with replayed([ours]):
        for size in range(2, 12):
            assert ours(torch.randn(size, 4)).shape == (size, 3)
    assert len(recorded) == graphs.MOST


def test_passes_that_cannot_be_recorded_are_named(recorded, monkeypatch):
    def refuse(passes, samples):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    ours = network()
    with (
        pytest.raises(TrainingError, match=r"Sequential cannot be recorded.*train it without cuda_graphs"),
        replayed([ours]),
    ):
        ours(torch.randn(5, 4))
    assert "forward" not in vars(ours)


def test_without_a_gpu_graphs_are_refused():
    config = TrainingConfig(epochs=1, batch_size=20, device="cpu", cuda_graphs=True)
    with pytest.raises(ArgumentError, match="cuda_graphs is set, and training runs on 1 x cpu: expected one GPU"):
        Training(METHODS["elr"](), examples(), config=config)
    with pytest.raises(ArgumentError, match="cuda_graphs is 1: expected True or False"):
        TrainingConfig(cuda_graphs=1)


@pytest.mark.parametrize("name", ["elr", "elr between generations", "elr+", "cross entropy"])
def test_every_network_that_is_trained_is_replayed(recorded, name):
    def train(graphed):
        method = METHODS[name]()
        training = Training(method, examples(), config=TrainingConfig(epochs=2, batch_size=20, device="cpu"))
        object.__setattr__(training.config, "cuda_graphs", graphed)  # Training would refuse it on a processor
        training.run()
        return [record["loss"] for record in training.history], len(method.trained_networks)

    plain, _ = train(False)
    assert recorded == []
    found, networks = train(True)
    assert found == plain
    assert len(recorded) == networks
