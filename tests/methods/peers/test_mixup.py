"""Mixup, against two cross entropies weighed by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from blobs import C, N, blobs, built, examples, network
from elr.errors import ArgumentError
from elr.methods.catalog import method_named
from elr.methods.ingredients.mixup import Mixing
from elr.methods.method import Batch
from elr.methods.peers.mixup import MixupConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training

INDEX = torch.tensor([4, 9, 2, 30])


def batch_of(index=INDEX, labels=None):
    return Batch(index, examples().fetch(index), examples().labels[index] if labels is None else labels)


def test_the_loss_is_that_of_the_authors_two_cross_entropies():
    method, batch = built(MixupConfig()).train(), batch_of()
    partner = torch.tensor([2, 0, 3, 1])
    step = method(batch, Mixing(0.3, partner))
    outputs = method.network(0.3 * batch.inputs + 0.7 * batch.inputs[partner])
    expected = 0.3 * F.cross_entropy(outputs, batch.labels) + 0.7 * F.cross_entropy(outputs, batch.labels[partner])
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(step.logits, method.network(batch.inputs))
    assert not step.logits.requires_grad


def test_rows_of_label_shares_are_mixed_too():
    shares = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 0.8], [0.0, 1.0, 0.0]])
    method, batch = built(MixupConfig()).train(), batch_of(labels=shares)
    partner = torch.tensor([2, 0, 3, 1])
    outputs = method.network(0.3 * batch.inputs + 0.7 * batch.inputs[partner]).log_softmax(dim=1)
    expected = -(outputs * (0.3 * shares + 0.7 * shares[partner])).sum(dim=1).mean()
    torch.testing.assert_close(method(batch, Mixing(0.3, partner)).loss, expected)


def test_the_share_is_drawn_from_both_halves(monkeypatch):
    """That of ELR+ is max(l, 1 - l); the published mixup has l itself."""
    seen = []
    mix = Mixing.mix_inputs
    monkeypatch.setattr(Mixing, "mix_inputs", lambda mixing, inputs: seen.append(mixing.weight) or mix(mixing, inputs))
    method = built(MixupConfig(alpha=1.0)).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(200):
            method(batch_of())
    weights = torch.tensor(seen)
    assert 0.4 < (weights < 0.5).float().mean() < 0.6
    assert abs(weights.mean() - 0.5) < 0.06
    assert abs(weights.std() - 1 / math.sqrt(12)) < 0.03


def test_without_alpha_and_in_eval_mode_it_is_cross_entropy():
    batch = batch_of()
    for method in (built(MixupConfig(alpha=0.0)).train(), built(MixupConfig()).eval()):
        expected = F.cross_entropy(method.network(batch.inputs), batch.labels)
        torch.testing.assert_close(method(batch).loss, expected)


def test_batch_norm_sees_mixed_inputs_alone():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(8)
            self.body = network()

        def forward(self, inputs):
            return self.body(self.norm(inputs))

    method, batch = built(MixupConfig(), Normed()).train(), batch_of()
    mixing = Mixing(0.25, torch.tensor([1, 0, 3, 2]))
    method(batch, mixing)
    torch.testing.assert_close(method.network.norm.running_mean, 0.1 * mixing.mix(batch.inputs).mean(dim=0))
    assert method.network.norm.num_batches_tracked == 1
    assert method.network.training


def test_it_memorizes_less_than_cross_entropy():
    clean, given = torch.from_numpy(blobs(0.3)[2]), torch.from_numpy(blobs(0.3)[1])
    config = TrainingConfig(epochs=60, batch_size=20, learning_rate=0.05, weight_decay=0.0, device="cpu")
    memorized = {}
    for alpha in (0.0, 8.0):
        training = Training(built(MixupConfig(alpha=alpha)), examples(noise_rate=0.3), config=config)
        training.run()
        said = training.predict(examples()).argmax(dim=1)
        memorized[alpha] = (said == given)[given != clean].float().mean()
    assert memorized[8.0] < memorized[0.0] - 0.1


@pytest.mark.parametrize("alpha", [-1.0, math.inf, math.nan])
def test_an_alpha_that_cannot_be_is_refused(alpha):
    with pytest.raises(ArgumentError, match=f"alpha is {alpha}: expected 0"):
        MixupConfig(alpha=alpha)


def test_integers_cannot_be_mixed():
    method = MixupConfig().build([nn.EmbeddingBag(5, C)], num_examples=N, num_classes=C).train()
    with pytest.raises(ArgumentError, match=r"mixup of torch\.int64: expected floating-point inputs"):
        method(Batch(torch.arange(2), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([0, 1])))


def test_it_is_in_the_catalog():
    assert method_named("mixup") is MixupConfig
    assert built(MixupConfig()).pred_probs(INDEX) is None
