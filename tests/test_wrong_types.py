"""Every public callable, each parameter, with values of wrong types: it works, or an error of ours says what is wrong.

What is called is found by signature: a new parameter is covered when it exists. Only arguments without which nothing
can be called are written down here.
"""

import inspect
import tempfile
import traceback
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import elr
import elr.methods
import elr.methods.losses
import elr.noise
import elr.targets
import elr.theory
from elr.errors import ELRError
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.targets.dense import DenseTargets
from elr.targets.sparse import SparseTargets
from elr.training.config import TrainingConfig

WRONG = [
    None, "x", 3.7, -1, [], {}, object(), np.array([1]), True, float("nan"), float("inf"), {1}, b"x", (None,),
    [[1], "x"], np.float32(0.5), np.int64(2), np.bool_(True),
]  # fmt: skip
X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 2
CLUSTERS = elr.theory.make_clusters(6, 20, sigma=0.1, delta=0.2)
TRAJECTORY = elr.theory.descend(CLUSTERS, steps=3)


def pairs(**settings):
    return {"labels": [0, 1, 2, 0], "num_classes": 3, "seed": 0, "noise_rate": 0.5, **settings}


def loss():
    return elr.ELRLoss(8, 3)


def step(**changes):
    values = {"logits": torch.zeros(2, 3), "labels": torch.tensor([0, 1]), "index": torch.tensor([4, 1])}
    return loss()(**{**values, **changes})


def trained():
    function = elr.ELRLoss(3, 3)
    function(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    return function


def fitted(**changes):
    return elr.ELRClassifier(**{"epochs": 1, "device": "cpu", **changes}).fit(X, Y)


def run(**changes):
    with tempfile.TemporaryDirectory() as folder:
        values = {"data": (X, Y), "out": f"{folder}/run", "config": elr.FitConfig(epochs=1, members=1), **changes}
        return elr.fit(**values)


def group(weights, **settings):
    return elr.methods.ParameterGroup(weights, **settings)


def public(package):
    return {name for name in dir(package) if not name.startswith("_") and not inspect.ismodule(getattr(package, name))}


CALLS = {  # a callable, what gives its signature, and what it cannot be called without
    "ELRConfig": (elr.ELRConfig, elr.ELRConfig, {}),
    "ELRPlusConfig": (elr.methods.ELRPlusConfig, elr.methods.ELRPlusConfig, {}),
    "KLPenaltyConfig": (KLPenaltyConfig, KLPenaltyConfig, {}),
    "CrossEntropyConfig": (elr.methods.CrossEntropyConfig, elr.methods.CrossEntropyConfig, {}),
    "TrainingConfig": (TrainingConfig, TrainingConfig, {}),
    "FitConfig": (elr.FitConfig, elr.FitConfig, {}),
    "ReadOptions": (elr.ReadOptions, elr.ReadOptions, {}),
    "TargetsConfig": (elr.targets.TargetsConfig, elr.targets.TargetsConfig, {}),
    "TargetsConfig.build": (
        elr.targets.TargetsConfig().build,
        elr.targets.TargetsConfig().build,
        {"num_examples": 4, "num_classes": 3},
    ),
    "DenseTargets": (DenseTargets, DenseTargets, {"num_examples": 4, "num_classes": 3}),
    "SparseTargets": (SparseTargets, SparseTargets, {"num_examples": 4, "num_classes": 3, "top_k": 2}),
    "DenseTargets.read": (DenseTargets(4, 3).read, DenseTargets(4, 3).read, {"index": torch.tensor([1])}),
    "DenseTargets.update": (
        DenseTargets(4, 3).update,
        DenseTargets(4, 3).update,
        {"index": torch.tensor([1]), "probs": torch.full((1, 3), 1 / 3), "beta": 0.7},
    ),
    "ELRLoss.realign": (
        elr.ELRLoss(4, 3, class_shares=torch.ones(3)).realign,
        elr.ELRLoss(4, 3, class_shares=torch.ones(3)).realign,
        {},
    ),
    "ELRConfig.build": (
        elr.ELRConfig().build,
        elr.ELRConfig().build,
        {"networks": [nn.Linear(2, 3)], "num_examples": 4, "num_classes": 3},
    ),
    "KLPenaltyConfig.build": (
        KLPenaltyConfig().build,
        KLPenaltyConfig().build,
        {"networks": [nn.Linear(2, 3)], "num_examples": 4, "num_classes": 3},
    ),
    "ELRLoss": (elr.ELRLoss, elr.ELRLoss, {"num_examples": 4, "num_classes": 3}),
    "ELRLoss.forward": (step, loss().forward, {}),
    "LossMethod": (elr.LossMethod, elr.LossMethod, {"network": nn.Linear(2, 3)}),
    "ELR": (
        elr.ELR,
        elr.ELR,
        {"networks": [nn.Linear(2, 3)], "config": elr.ELRConfig(), "stores": [DenseTargets(4, 3)]},
    ),
    "KLPenalty": (
        elr.methods.KLPenalty,
        elr.methods.KLPenalty,
        {"network": nn.Linear(2, 3), "config": KLPenaltyConfig(), "targets": DenseTargets(4, 3)},
    ),
    "SOPConfig": (elr.methods.SOPConfig, elr.methods.SOPConfig, {}),
    "SOPConfig.build": (
        elr.methods.SOPConfig().build,
        elr.methods.SOPConfig().build,
        {"networks": [nn.Linear(2, 3)], "num_examples": 4, "num_classes": 3},
    ),
    "SOPPlusConfig": (elr.methods.SOPPlusConfig, elr.methods.SOPPlusConfig, {}),
    "SOP": (
        elr.methods.SOP,
        elr.methods.SOP,
        {"network": nn.Linear(2, 3), "config": elr.methods.SOPConfig(), "num_examples": 4, "num_classes": 3},
    ),
    "ParameterGroup": (group, elr.methods.ParameterGroup, {"weights": [nn.Parameter(torch.zeros(2))]}),
    "method_from_json": (elr.methods.method_from_json, elr.methods.method_from_json, {"values": {"name": "elr"}}),
    "audit_labels": (
        elr.audit_labels,
        elr.audit_labels,
        {"labels": [0, 1], "pred_probs": [[0.9, 0.1], [0.4, 0.6]]},
    ),
    "audit": (elr.audit, elr.audit, {"labels": [0, 1], "pred_probs": [[0.9, 0.1], [0.4, 0.6]]}),
    "ELRLoss.audit": (trained().audit, trained().audit, {"labels": [0, 1, 2]}),
    "with_index": (elr.with_index, elr.with_index, {"dataset": [("a", 0), ("b", 1)]}),
    "ELRClassifier": (fitted, elr.ELRClassifier, {}),
    "fit": (run, elr.fit, {}),
    "explain": (elr.explain, elr.explain, {"run": "no-such-run", "row": 3}),
    "inspect": (elr.inspect, elr.inspect, {"data": (X, Y)}),
    "export_model": (elr.export_model, elr.export_model, {"folder": "no-such-run", "onnx": "no-such-run.onnx"}),
    "predict": (elr.predict, elr.predict, {"folder": "no-such-run", "data": (X, Y)}),
    "make_clusters": (
        elr.theory.make_clusters,
        elr.theory.make_clusters,
        {"num_features": 4, "num_examples": 9, "sigma": 0.1, "delta": 0.2},
    ),
    "is_separable": (elr.theory.is_separable, elr.theory.is_separable, {"inputs": [[1.0], [2.0]], "labels": [0, 1]}),
    "descend": (elr.theory.descend, elr.theory.descend, {"data": CLUSTERS, "steps": 3}),
    "examine": (elr.theory.examine, elr.theory.examine, {"p": 8, "n": 10, "steps": 3}),
    "check_theorem": (
        elr.theory.check_theorem,
        elr.theory.check_theorem,
        {"data": CLUSTERS, "trajectory": TRAJECTORY, "separable": True, "delta": 0.2},
    ),
    "consecutive_blocks": (elr.noise.consecutive_blocks, elr.noise.consecutive_blocks, {"num_classes": 6, "block": 3}),
    "NoisyLabels": (
        elr.noise.NoisyLabels,
        elr.noise.NoisyLabels,
        {"labels": [0, 1], "clean_labels": [0, 0], "num_classes": 2, "name": "human"},
    ),
    "corrupt": (elr.noise.corrupt, elr.noise.corrupt, pairs(name="symmetric")),
    "corrupt_transition": (
        elr.noise.corrupt_transition,
        elr.noise.corrupt_transition,
        {"labels": [0, 1], "transition_matrix": [[1, 0], [0, 1]], "seed": 0},
    ),
    "corrupt_instance_dependent": (
        elr.noise.corrupt_instance_dependent,
        elr.noise.corrupt_instance_dependent,
        pairs(features=[[1.0], [2.0], [0.5], [0.1]]),
    ),
    "count_transitions": (
        elr.noise.count_transitions,
        elr.noise.count_transitions,
        {"labels": np.array([0, 1]), "clean_labels": np.array([0, 0]), "num_classes": 2},
    ),
    "transition_matrix": (elr.noise.transition_matrix, elr.noise.transition_matrix, {"counts": [[3, 1], [0, 0]]}),
} | {
    name: (getattr(elr.methods.losses, name), getattr(elr.methods.losses, name), {})
    for name in public(elr.methods.losses) if name.endswith("Config")
} | {
    name: (getattr(elr.noise, name), getattr(elr.noise, name), pairs(**more))
    for name, more in {
        "corrupt_symmetric": {},
        "corrupt_symmetric_authors": {},
        "corrupt_pairflip": {},
        "corrupt_asymmetric": {"mapping": {0: 1}},
        "corrupt_asymmetric_authors": {"mapping": {0: 1}},
    }.items()
}  # fmt: skip
RECORDS = {  # what is plain data, abstract, an error, or given by us: nobody's arguments are checked there
    "Audit", "Batch", "Step", "Method", "MethodConfig", "View", "Targets", "ELRError", "METHODS", "NOISES",
    "CIFAR10_ASYMMETRIC", "CIFAR100_CYCLES", "CIFAR100_SUPERCLASSES",
    "Clusters", "Trajectory", "Examination", "Statement",
}  # fmt: skip


def test_every_public_name_is_here():
    names = set(elr.__all__).union(*map(public, (elr.methods, elr.noise, elr.targets, elr.theory)))
    assert names - RECORDS - set(CALLS) - {"annotations"} == set()


def parameters():
    return [(call, name) for call, (_, source, _) in CALLS.items() for name in inspect.signature(source).parameters]


@pytest.mark.parametrize(("call", "parameter"), parameters())
@pytest.mark.filterwarnings("ignore")
def test_wrong_types_are_refused_in_words(call, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, _, base = CALLS[call]
    bare = []
    for value in WRONG:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                function(**{**base, parameter: value})
            except ELRError:
                pass
            except ValueError as error:  # scikit-learn's own, of the estimator
                if call != "ELRClassifier" or "sklearn" not in traceback.format_exc():
                    bare.append(f"{call}({parameter}={value!r}): {type(error).__name__}: {error}"[:300])
            except Exception as error:
                bare.append(f"{call}({parameter}={value!r}): {type(error).__name__}: {error}"[:300])
    assert not bare, "\n".join(bare)


def test_what_is_plainly_meant_is_taken():
    assert fitted(hidden_layer_sizes=8, members=1).networks_[0] is not None
    expected = step()
    assert torch.equal(step(labels=np.array([0, 1]), index=[4, 1]), expected)
    assert torch.equal(step(labels=[0, 1], index=np.array([4, 1], dtype=np.int32)), expected)
    assert type(elr.ELRConfig(lam=np.float64(3.0)).lam) is float
    assert type(TrainingConfig(epochs=np.int64(3), nesterov=np.bool_(True)).epochs) is int
