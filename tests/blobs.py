"""A small problem that every method must learn: separable blobs with some wrong labels."""

import numpy as np
import torch
from torch import nn

from demanding import DemandingConfig
from elr.data.examples import Examples
from elr.methods.cross_entropy import CrossEntropyConfig, LossMethod
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.ensemble.settings import Setting
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.methods.losses.backward_correction import BackwardCorrectionConfig
from elr.methods.losses.bootstrapping import BootstrappingConfig
from elr.methods.losses.forward_correction import ForwardCorrectionConfig
from elr.methods.losses.generalized_cross_entropy import GeneralizedCrossEntropyConfig
from elr.methods.losses.label_smoothing import LabelSmoothingConfig
from elr.methods.losses.mean_absolute_error import MeanAbsoluteErrorConfig
from elr.methods.losses.symmetric_cross_entropy import SymmetricCrossEntropyConfig
from elr.methods.method import Batch, View
from elr.methods.peers.co_teaching import CoTeachingConfig
from elr.methods.peers.dividemix import DivideMixConfig
from elr.methods.peers.joint_optimization import JointOptimizationConfig
from elr.methods.peers.mixup import MixupConfig
from elr.methods.peers.sop import SOPConfig, SOPPlusConfig
from elr.networks.spec import NetworkSpec
from elr.targets.config import TargetsConfig

N, C, D = 120, 3, 8
NEXT_CLASS = [[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]]  # the noise of blobs()


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


def network(seed=0):
    return NetworkSpec("mlp", C, num_features=D, hidden=(32,)).build(generator_seed=seed)


def impartial():
    """A network that says the same of all rows at first: what it believes impossible, some losses hardly ever teach."""
    body = network()
    last = [module for module in body.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return body


class Dropped(nn.Module):
    """A network that draws random numbers in training."""

    def __init__(self):
        super().__init__()
        self.body = network()
        self.drop = nn.Dropout(0.3)

    def forward(self, inputs):
        return self.body(self.drop(inputs))


def built(config, *networks, **settings):
    """The method over these networks, by default as many of `network()` as it wants."""
    networks = networks or [network(seed) for seed in range(config.num_networks)]
    return config.build(networks, num_examples=N, num_classes=C, **settings)


class Rows(View):
    """All of the examples, as they are."""

    num_examples = N

    def __init__(self, given=None):
        self.given = torch.from_numpy(blobs()[1]) if given is None else given

    def batches(self):
        yield Batch(torch.arange(N), examples().fetch(torch.arange(N)), self.given)


def ensemble_config(*, lams=(3.0, 0.0), dropout=0.0, epochs=3, **settings):
    """Two settings of a perceptron and one of a linear network, with three folds."""
    perceptron = NetworkSpec("mlp", C, num_features=D, hidden=(32,), dropout=dropout)
    grid = [Setting(lam=lam, network=perceptron) for lam in lams]
    grid.insert(1, Setting(lam=3.0, network=NetworkSpec("linear", C, num_features=D), learning_rate=0.05))
    settings = {"members": 3, "kept_epochs": (2,)} | settings
    return EnsembleConfig(settings=grid, epochs=epochs, **settings)


def ensemble(view=None, *, targets=None, **settings):
    """The method over networks of its own, which knows the folds."""
    config = ensemble_config(**settings)
    specs = config.network_specs(config.settings[0].network)
    networks = [spec.build(generator_seed=seed) for seed, spec in enumerate(specs)]
    method = config.build(networks, num_examples=N, num_classes=C, targets=targets)
    method.begin_epoch(0, view or Rows())
    return method


METHODS = {
    "elr": lambda: built(ELRConfig()),
    "elr in bfloat16": lambda: built(ELRConfig(), targets=TargetsConfig(dtype="bfloat16")),
    "elr between generations": lambda: built(ELRConfig(hold=0.5, posterior=True, snapshots=1)),
    "elr aligned": lambda: built(ELRConfig(align=True)),
    "elr+ aligned in bfloat16": lambda: built(
        ELRPlusConfig(gamma=0.9, gamma_ramp=10, align=True), targets=TargetsConfig(dtype="bfloat16")
    ),
    "kl penalty": lambda: built(KLPenaltyConfig()),
    "sop": lambda **settings: built(SOPConfig(**settings)),
    "sop+": lambda: built(SOPPlusConfig(joint=True), Dropped()),
    "elr with dropout": lambda: built(ELRConfig(), Dropped()),
    "elr+": lambda: built(ELRPlusConfig(gamma=0.9, gamma_ramp=10)),
    "two networks": lambda: built(ELRConfig(networks=2, gamma=0.9)),
    "elr with mixup": lambda: built(ELRConfig(mixup=1.0)),
    "elr stateless": lambda: built(ELRConfig(gamma=0.9, lam_ramp=40, ensembling=False)),
    "cross entropy": lambda: built(CrossEntropyConfig()),
    "mixup": lambda: built(MixupConfig()),
    "dividemix": lambda: built(DivideMixConfig(warm_up=1, ramp=2, loss_epochs=2)),
    "ensemble": ensemble,
    "ensemble in bfloat16": lambda: ensemble(targets=TargetsConfig(dtype="bfloat16")),
    "co-teaching": lambda: built(CoTeachingConfig(forget_rate=0.2, ramp_epochs=3)),
    "joint optimization": lambda: built(JointOptimizationConfig(begin=2, window=2)),
    "joint optimization in bfloat16": lambda: built(
        JointOptimizationConfig(begin=3, window=2, hard=True), targets=TargetsConfig(dtype="bfloat16")
    ),
    "everything asked for": lambda: built(DemandingConfig()),
    "backward correction": lambda: built(BackwardCorrectionConfig(transition=NEXT_CLASS)),
    "backward correction, estimated": lambda: built(BackwardCorrectionConfig(warmup=1), impartial()),
    "bootstrapping": lambda: built(BootstrappingConfig()),
    "soft bootstrapping": lambda: built(BootstrappingConfig(kind="soft")),
    "forward correction": lambda: built(ForwardCorrectionConfig(transition=NEXT_CLASS)),
    "forward correction, estimated": lambda: built(ForwardCorrectionConfig(warmup=1), impartial()),
    "generalized cross entropy": lambda: built(GeneralizedCrossEntropyConfig()),
    "truncated": lambda: built(GeneralizedCrossEntropyConfig(truncated=True, warmup=1, period=2), impartial()),
    "label smoothing": lambda: built(LabelSmoothingConfig()),
    "mean absolute error": lambda: built(MeanAbsoluteErrorConfig(), impartial()),
    "symmetric cross entropy": lambda: built(SymmetricCrossEntropyConfig()),
    "another loss": lambda: LossMethod(network(), nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)),
}
