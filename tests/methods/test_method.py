"""What every method does unless it says otherwise, and what its settings refuse."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.cross_entropy import LossMethod
from elr.methods.method import Batch, Method, ParameterGroup, Step, View, gradient_of
from elr.targets.dense import DenseTargets


class Pair(Method):
    """Two networks, of which the second has a layer that is not trained, and a store."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(nn.Linear(3, 4) for _ in range(2))
        self.nets[1].bias.requires_grad_(False)
        self.targets = DenseTargets(6, 4)

    def forward(self, batch):
        loss = nn.functional.cross_entropy(self.nets[0](batch.inputs), batch.labels)
        return Step(loss, self.nets[0](batch.inputs), {"loss": loss.detach()})

    @property
    def predictors(self):
        return list(self.nets)


@dataclass(frozen=True, kw_only=True)
class PairConfig(MethodConfig):
    name: ClassVar[str] = "pair"
    weight: float = 1.0

    def build(self, networks, *, num_examples, num_classes, targets=None):
        self.check_networks(networks)
        return Pair()

    @property
    def num_networks(self):
        return 2


def test_predictions_are_the_mean_of_the_probabilities_of_all_networks():
    method, inputs = Pair(), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    one, other = (network(inputs).softmax(dim=1) for network in method.nets)
    torch.testing.assert_close(method.predict(inputs), (one + other) / 2)
    assert method.predict(inputs.bfloat16().float()).dtype == torch.float32


def test_predictions_are_probabilities():
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    probs = LossMethod(nn.Linear(3, 4)).predict(inputs)
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(5))


def test_a_method_trains_what_requires_a_gradient_and_has_the_stores_inside_it():
    method = Pair()
    [group] = method.parameter_groups(0)
    assert {id(weight) for weight in group.weights} == {
        id(weight) for weight in (*method.nets[0].parameters(), method.nets[1].weight)
    }
    assert (group.learning_rate, group.weight_decay) == (None, None)
    assert len(method.stores) == 1
    assert method.stores[0] is method.targets
    assert method.trained_networks == list(method.nets)


def test_a_method_remembers_nothing_and_begins_anew_altogether():
    method, index = Pair(), torch.arange(5)
    assert method.pred_probs(index) is None
    assert method.logit_gradients(index, torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64)) is None
    assert method.epoch_rows(0, 0) is None
    assert method.first_state().keys() == method.state_dict().keys()
    with pytest.raises(TypeError, match="forward"):
        Method()


def test_each_batch_of_a_view_comes_as_its_only_view():
    class Halves(View):
        num_examples = 4

        def batches(self):
            for rows in (torch.tensor([0, 1]), torch.tensor([2, 3])):
                yield Batch(rows, torch.zeros(2, 3), rows % 2)

    assert [[batch.index.tolist() for batch in views] for views in Halves().views()] == [[[0, 1]], [[2, 3]]]


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_groups_of_parameters_that_cannot_be_are_refused(name, value):
    weights = [nn.Parameter(torch.zeros(2))]
    with pytest.raises(ArgumentError, match=f"{name} of a group of parameters is {value}: expected 0 or more"):
        ParameterGroup(weights, **{name: value})
    assert getattr(ParameterGroup(weights, **{name: 0.0}), name) == 0.0
    with pytest.raises(ArgumentError, match="has no weights: leave it out"):
        ParameterGroup([])
    for own in ({"plain": True}, {"batch_size": 3}):
        with pytest.raises(ArgumentError, match="no learning_rate: give it one of its own"):
            ParameterGroup(weights, **own)
        assert ParameterGroup(weights, 0.0, **own).learning_rate == 0.0
    with pytest.raises(ArgumentError, match="batch_size of a group of parameters is 0: expected at least 1"):
        ParameterGroup(weights, 1.0, batch_size=0)


def test_settings_are_asked_for_by_name_and_stay_as_they_are():
    config = PairConfig.for_run({"weight": 2.5, "lam": 3.0}, steps=100, epochs=10, fast=True)
    assert config == PairConfig(weight=2.5)
    assert config.resized(0.5, generations=3) == config
    assert config.to_json() == config.described() == {"name": "pair", "weight": 2.5}
    assert (config.num_predictors, config.label) == (2, "pair")


def test_networks_are_counted_and_are_different_ones():
    one, other = nn.Linear(3, 4), nn.Linear(3, 4)
    assert isinstance(PairConfig().build([one, other], num_examples=6, num_classes=4), Pair)
    with pytest.raises(ArgumentError, match=r"'pair' with these settings has 2 network\(s\), and 1 were passed"):
        PairConfig().check_networks([one])
    with pytest.raises(ArgumentError, match="the peer is the network itself"):
        PairConfig().check_networks([one, one])


def test_gradients_of_a_loss_are_taken_apart_from_any_graph():
    logits, labels = torch.randn(4, 3, dtype=torch.float16, requires_grad=True), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        found = gradient_of(lambda z: nn.functional.cross_entropy(z, labels, reduction="sum"), logits)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, logits.detach().float().softmax(dim=1) - nn.functional.one_hot(labels, 3))
    assert logits.grad is None
