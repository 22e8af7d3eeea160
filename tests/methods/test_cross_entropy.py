"""Any loss as a method, cross entropy if no other is given."""

import pytest
import torch
from torch import nn

from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig, LossMethod
from elr.methods.method import Batch


def batch_of(size=5, features=3, classes=4):
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.arange(size),
        torch.randn(size, features, generator=generator),
        torch.randint(classes, (size,), generator=generator),
    )


def test_default_is_cross_entropy():
    method, batch = LossMethod(nn.Linear(3, 4)), batch_of()
    step = method(batch)
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(step.logits, batch.labels))
    assert method.pred_probs(batch.index) is None


def test_a_function_and_a_module_can_be_the_loss():
    batch = batch_of()
    network = nn.Linear(3, 4)
    by_module = LossMethod(network, nn.CrossEntropyLoss(reduction="none"))(batch)
    by_function = LossMethod(network, lambda logits, labels: (logits.sum(dim=1) - labels) ** 2)(batch)
    torch.testing.assert_close(by_module.loss, LossMethod(network)(batch).loss)
    torch.testing.assert_close(by_function.loss, ((by_function.logits.sum(dim=1) - batch.labels) ** 2).mean())


def test_parameters_of_a_loss_are_trained():
    class Tempered(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_temperature = nn.Parameter(torch.zeros(()))

        def forward(self, logits, labels):
            return nn.functional.cross_entropy(logits * self.log_temperature.exp(), labels, reduction="none")

    method = LossMethod(nn.Linear(3, 4), Tempered())
    method(batch_of()).loss.backward()
    assert "loss.log_temperature" in dict(method.named_parameters())
    assert method.get_parameter("loss.log_temperature").grad is not None


def test_a_loss_that_averages_is_refused():
    with pytest.raises(ArgumentError, match='use reduction="none"'):
        LossMethod(nn.Linear(3, 4), nn.CrossEntropyLoss())(batch_of())


def test_soft_labels_are_learned_too():
    method, batch = LossMethod(nn.Linear(3, 4)), batch_of()
    soft = torch.full((5, 4), 0.1).scatter_(1, batch.labels[:, None], 0.7)
    step = method(batch._replace(labels=soft))
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(step.logits, soft))


def test_gradients_of_each_example_are_those_of_its_loss():
    method, batch = LossMethod(nn.Linear(3, 4)), batch_of()
    logits = method.network(batch.inputs).detach()
    found = method.logit_gradients(batch.index, logits, batch.labels)
    torch.testing.assert_close(found, logits.softmax(dim=1) - nn.functional.one_hot(batch.labels, 4))


def test_the_config_keeps_no_targets_and_takes_one_network():
    config, network = CrossEntropyConfig(), nn.Linear(3, 4)
    method = config.build([network], num_examples=5, num_classes=4)
    assert method.predictors == [network]
    assert method.stores == []
    assert config.to_json() == {"name": "cross_entropy"}
    with pytest.raises(ArgumentError, match="and 2 were passed"):
        config.build([network, nn.Linear(3, 4)], num_examples=5, num_classes=4)
