"""A small problem that every method must learn: separable blobs with some wrong labels."""

import numpy as np
import torch
from torch import nn

from elr.data.examples import Examples
from elr.methods.cross_entropy import LossMethod
from elr.methods.elr import ELR
from elr.methods.kl_penalty import KLPenalty
from elr.networks.spec import NetworkSpec
from elr.targets.dense import DenseTargets

N, C, D = 120, 3, 8


def blobs(noise_rate=0.2):
    """(N, D) features, given labels, clean labels."""
    rng = np.random.default_rng(0)
    clean = rng.integers(C, size=N)
    features = rng.normal(size=(C, D))[clean] * 4 + rng.normal(size=(N, D))
    given = clean.copy()
    wrong = rng.choice(N, int(noise_rate * N), replace=False)
    given[wrong] = (given[wrong] + 1) % C
    return features.astype(np.float32), given, clean


def examples(**settings):
    features, given, _ = blobs(**settings)
    return Examples(features, given)


def network():
    return NetworkSpec("mlp", C, num_features=D, hidden=(32,)).build(generator_seed=0)


class Dropped(nn.Module):
    """A network that draws random numbers in training."""

    def __init__(self):
        super().__init__()
        self.body = network()
        self.drop = nn.Dropout(0.3)

    def forward(self, inputs):
        return self.body(self.drop(inputs))


METHODS = {
    "elr": lambda: ELR(network(), num_examples=N, num_classes=C),
    "elr in bfloat16": lambda: ELR(
        network(), num_examples=N, num_classes=C, targets=DenseTargets(N, C, dtype=torch.bfloat16)
    ),
    "elr between generations": lambda: ELR(
        network(), num_examples=N, num_classes=C, hold=0.5, posterior=True, snapshots=1
    ),
    "kl penalty": lambda: KLPenalty(network(), num_examples=N, num_classes=C),
    "elr with dropout": lambda: ELR(Dropped(), num_examples=N, num_classes=C),
    "elr+": lambda: ELR(
        network(),
        peer=NetworkSpec("mlp", C, num_features=D, hidden=(32,)).build(generator_seed=1),
        num_examples=N,
        num_classes=C,
        gamma=0.9,
        gamma_ramp=10,
        mixup=1.0,
    ),
    "two networks": lambda: ELR(
        network(),
        peer=NetworkSpec("mlp", C, num_features=D, hidden=(32,)).build(generator_seed=1),
        num_examples=N,
        num_classes=C,
        gamma=0.9,
    ),
    "elr with mixup": lambda: ELR(network(), num_examples=N, num_classes=C, mixup=1.0),
    "elr stateless": lambda: ELR(network(), num_examples=N, num_classes=C, gamma=0.9, lam_ramp=40, ensembling=False),
    "cross entropy": lambda: LossMethod(network()),
    "another loss": lambda: LossMethod(network(), nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)),
}
