"""CUDA graphs without a GPU: what is recorded when, and what is left as it was. tests/test_gpu.py trains with them."""

import copy

import pytest
import torch
from torch import nn

from blobs import METHODS, examples
from elr.errors import ArgumentError, TrainingError
from elr.training import cuda_graphs as graphs
from elr.training.checkpoints import identity_of
from elr.training.config import TrainingConfig
from elr.training.cuda_graphs import replayed
from elr.training.loop import Training


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
        outputs = []
        for each in inputs:
            outputs.append(ours(each))
            outputs[-1].sum().backward()
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
        ours(inputs).sum().backward()
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
            outputs = ours(torch.randn(size, 4))
            assert outputs.shape == (size, 3)
            outputs.sum().backward()
    assert len(recorded) == graphs.MOST


def test_passes_that_cannot_be_recorded_are_named(recorded, monkeypatch):
    def refuse(passes, samples):
        passes(*samples)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    ours = network()
    with (
        pytest.raises(TrainingError, match=r"Sequential cannot be recorded.*train it without cuda_graphs"),
        replayed([ours]),
    ):
        ours(torch.randn(5, 4))
    assert "forward" not in vars(ours)
    assert ours[1].num_batches_tracked == 0


def test_a_network_with_a_forward_of_its_own_is_refused_and_left_alone():
    first, second = network(), network()
    own = second.forward = lambda inputs: inputs
    with pytest.raises(ArgumentError, match="Sequential has a forward of its own"), replayed([first, second]):
        pass
    assert second.forward is own
    assert "forward" not in vars(first)


def test_a_pass_before_the_gradient_of_another_is_not_replayed(monkeypatch):
    replays = []

    def record(net, _):
        return lambda inputs: replays.append(inputs) or type(net).forward(net, inputs)

    monkeypatch.setattr(graphs, "record", record)
    monkeypatch.setattr(graphs, "is_recordable", lambda inputs: True)
    ours, plain = network(), network()
    plain.load_state_dict(ours.state_dict())
    one, other = torch.randn(5, 4), torch.randn(5, 4)
    with replayed([ours]):
        (ours(one) * ours(other)).sum().backward()
        assert len(replays) == 1
        ours(one).sum().backward()
        assert len(replays) == 2
    (plain(one) * plain(other)).sum().backward()
    plain(one).sum().backward()
    for weight, expected in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected.grad)


def test_without_a_gpu_graphs_are_refused():
    config = TrainingConfig(epochs=1, batch_size=20, device="cpu", cuda_graphs=True)
    with pytest.raises(ArgumentError, match="cuda_graphs is set, and training runs on 1 x cpu: expected one GPU"):
        Training(METHODS["elr"](), examples(), config=config)
    with pytest.raises(ArgumentError, match="cuda_graphs is 1: expected True or False"):
        TrainingConfig(cuda_graphs=1)


def test_a_checkpoint_does_not_ask_how_passes_were_launched():
    training = Training(METHODS["elr"](), examples(), config=TrainingConfig(batch_size=20, device="cpu"))
    identity = identity_of(training.method, training.groups, training.config)
    assert "cuda_graphs" not in identity["config"]
    assert identity["config"]["batch_size"] == 20


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
