"""The recipes against the numbers of the paper: PAPER.md's table 'Hyperparameters', which is appendix G."""

import re
from dataclasses import replace

import pytest
import torch

from elr.data.preprocessing import Augmentation
from elr.datasets.as_data import HUMAN
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.method import ParameterGroup
from elr.noise.named import NOISES
from elr.runs.recipes import ASYMMETRIC_RATES, RECIPES, SYMMETRIC_RATES
from elr.training.optimizers import make_optimizer, make_scheduler

PUBLISHED = {name: recipe for name, recipe in RECIPES.items() if name.startswith("cifar")}
FAST = {name: recipe for name, recipe in RECIPES.items() if name.startswith("fast-")}
NOISE_NAMES = [
    "clean",
    "human",
    *(f"sym{rate}" for rate in (20, 40, 50, 60, 80, 90)),
    *(f"asym{rate}" for rate in (10, 20, 30, 40)),
]
CIFAR10_NAMES = [*NOISE_NAMES, "aggre", "random2", "random3", "worse"]
CIFAR100_NAMES = [*NOISE_NAMES, *(f"super{rate}" for rate in (10, 20, 30, 40))]
CROP_AND_FLIP = Augmentation(crop=True, flip=True)


def rates_by_epoch(training, steps_per_epoch=2):
    """The learning rate with which each epoch begins."""
    optimizer = make_optimizer(training, [ParameterGroup([torch.nn.Parameter(torch.zeros(1))])])
    scheduler = make_scheduler(training, optimizer, steps_per_epoch)
    found = []
    for _ in range(training.epochs):
        found.append(optimizer.param_groups[0]["lr"])
        for _ in range(steps_per_epoch):
            optimizer.step()
            scheduler.step()
    return found


def of_method(recipes, method):
    return [recipe for name, recipe in recipes.items() if re.fullmatch(rf"(fast-)?cifar10-[a-z0-9]+-{method}", name)]


def test_every_noise_with_every_method_under_its_name():
    methods = {"cifar10": ["elr", "elr-cosine", "elr-plus", "cross-entropy"]}
    methods["fast-cifar10"] = ["elr", "elr-plus", "cross-entropy"]
    expected = {f"{data}-{noise}-{method}" for data in methods for noise in CIFAR10_NAMES for method in methods[data]}
    expected |= {f"cifar100-{noise}-{method}" for noise in CIFAR100_NAMES for method in methods["cifar10"]}
    assert {name for name in RECIPES if "cifar" in name} == expected
    assert all(recipe.name == name for name, recipe in RECIPES.items())


@pytest.mark.parametrize("name", [name for name in RECIPES if "cifar" in name])
def test_the_name_says_the_noise(name):
    noise, (data, short) = RECIPES[name].noise, name.removeprefix("fast-").split("-")[:2]
    assert RECIPES[name].data == data
    human = {
        "human": "random_label1" if data == "cifar10" else "noisy_label",
        **{"aggre": "aggre_label", "random2": "random_label2", "random3": "random_label3", "worse": "worse_label"},
    }
    if short == "clean":
        assert noise is None
    elif short in human:
        assert noise == (HUMAN, human[short])
    else:
        kind, percent = re.fullmatch(r"(sym|asym|super)(\d+)", short).groups()
        names = {"sym": "symmetric-authors", "asym": f"asymmetric-{data}-authors"}
        assert noise[0] == (names | {"super": "asymmetric-cifar100-superclasses"})[kind]
        assert noise[0] in NOISES
        assert noise[1] == pytest.approx(int(percent) / 100)


def test_the_rates_are_those_of_the_tables():
    """Table 1: 20, 40, 60, 80 and 10 to 40; Table 2 adds 50 and 90."""
    assert set(SYMMETRIC_RATES) == {0.2, 0.4, 0.5, 0.6, 0.8, 0.9}
    assert set(ASYMMETRIC_RATES) == {0.1, 0.2, 0.3, 0.4}


@pytest.mark.parametrize(
    ("method", "network", "epochs", "weight_decay"),
    [
        ("elr", "resnet34", 120, 1e-3),
        ("elr-cosine", "resnet34", 150, 1e-3),
        ("elr-plus", "preactresnet18_authors", 200, 5e-4),
        ("cross-entropy", "resnet34", 120, 1e-3),
    ],
)
def test_network_and_loop_are_the_papers(method, network, epochs, weight_decay):
    recipes = of_method(PUBLISHED, method)
    assert len(recipes) == len(CIFAR10_NAMES)
    for recipe in recipes:
        training = recipe.training
        assert recipe.network == network
        assert (training.epochs, training.batch_size) == (epochs, 128)
        assert (training.learning_rate, training.weight_decay) == (0.02, weight_decay)
        assert (training.optimizer, training.momentum, training.nesterov) == ("sgd", 0.9, False)
        assert recipe.augmentation == CROP_AND_FLIP
        assert recipe.holdout == 0.1
        assert (recipe.probe_period, recipe.whiten) == (1, False)
        assert (training.precision, training.device) == ("float32", "auto")
        assert "Liu et al., NeurIPS 2020" in recipe.source


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("elr", {0: 0.02, 39: 0.02, 40: 2e-4, 79: 2e-4, 80: 2e-6, 119: 2e-6}),
        ("cross-entropy", {0: 0.02, 39: 0.02, 40: 2e-4, 80: 2e-6}),
        ("elr-plus", {0: 0.02, 149: 0.02, 150: 0.002, 199: 0.002}),
        ("elr-cosine", {0: 0.02, 5: 0.0105, 10: 0.02, 140: 0.02, 145: 0.0105}),
    ],
)
def test_the_learning_rate_falls_when_the_paper_says(method, steps):
    [training] = {recipe.training for recipe in of_method(PUBLISHED, method)}
    found = rates_by_epoch(training)
    assert [found[epoch] for epoch in steps] == pytest.approx(list(steps.values()))


def test_restarts_go_down_to_a_twentieth():
    training = PUBLISHED["cifar10-sym40-elr-cosine"].training
    found = rates_by_epoch(replace(training, epochs=20), steps_per_epoch=100)
    assert training.period == 10
    assert min(found) > 0.001
    assert found[9] == found[19] == min(found) < 0.0016


@pytest.mark.parametrize("method", ["elr", "elr-cosine", "elr-plus"])
def test_beta_and_lam_are_one_pair_for_symmetric_and_another_for_asymmetric_noise(method):
    for recipe in of_method(PUBLISHED, method):
        expected = (0.9, 1.0) if "-asym" in recipe.name else (0.7, 3.0)
        assert (recipe.method.beta, recipe.method.lam) == expected
        assert recipe.method.name == ("elr_plus" if method == "elr-plus" else "elr")
        assert recipe.method.clamp == 1e-4


def test_elr_plus_is_two_networks_averaged_and_mixed():
    for recipe in of_method(PUBLISHED, "elr-plus"):
        method = recipe.method
        assert (method.networks, method.gamma, method.gamma_ramp, method.mixup) == (2, 0.997, 40_000, 1.0)
        assert (method.lam_ramp, method.refine_labels) == (0, False)  # of CIFAR-100 only
        assert (method.ensembling, method.predict_with, method.target_from) == (True, "networks", None)


def test_elr_is_one_network_without_the_rest():
    for recipe in [*of_method(RECIPES, "elr"), *of_method(RECIPES, "elr-cosine")]:
        method = recipe.method
        between = {name: getattr(method, name) for name in ("lam_ramp", "hold", "posterior", "relabel", "snapshots")}
        assert method == ELRConfig(beta=method.beta, lam=method.lam, **between)
        assert (
            all(between.values())
            == any(between.values())
            == (recipe.training.generations > 1)
            == recipe.name.startswith("fast-")
        )


def test_cross_entropy_differs_from_elr_in_the_method_alone():
    for recipes in (PUBLISHED, FAST):
        for plain in of_method(recipes, "cross-entropy"):
            beside = recipes[plain.name.replace("cross-entropy", "elr")]
            assert plain.method == CrossEntropyConfig()
            fields = ("noise", "network", "widths", "augmentation", "whiten", "holdout", "probe_period")
            assert [getattr(plain, name) for name in fields] == [getattr(beside, name) for name in fields]
            assert plain.training == replace(beside.training, generations=1)


@pytest.mark.parametrize("method", ["elr", "elr-plus", "cross-entropy"])
def test_a_fast_recipe_knows_nothing_of_its_noise(method):
    """One setting for every noise: nobody knows the rate of theirs."""
    recipes = of_method(FAST, method)
    first = recipes[0]
    for recipe in recipes:
        assert (recipe.method, recipe.training, recipe.augmentation) == (
            first.method,
            first.training,
            first.augmentation,
        )
        assert recipe.network == "fast"
        assert recipe.whiten
        assert recipe.augmentation.mirror
        assert recipe.training.schedule == "triangle"
        assert "held-out noisy labels" in recipe.source


def test_a_published_recipe_stands_beside_its_table():
    cells = {
        "elr": ("Table 1, ELR", "sym20 sym40 sym60 sym80 asym10 asym20 asym30 asym40"),
        "elr-cosine": ("Table 1, ELR with cosine annealing", "sym20 sym40 sym60 sym80 asym10 asym20 asym30 asym40"),
        "elr-plus": ("Table 2, ELR+", "sym20 sym50 sym80 sym90 asym40"),
    }
    for method, (table, noises) in cells.items():
        for recipe in of_method(PUBLISHED, method):
            published = recipe.name.split("-")[1] in noises.split()
            assert recipe.source.endswith(table if published else "no published number")


# CIFAR-100


@pytest.mark.parametrize(
    ("method", "epochs", "steps"),
    [
        ("elr", 150, {0: 0.02, 79: 0.02, 80: 2e-4, 119: 2e-4, 120: 2e-6}),
        ("elr-cosine", 150, {0: 0.02, 5: 0.0105, 10: 0.02}),
        ("elr-plus", 250, {0: 0.02, 199: 0.02, 200: 0.002}),
        ("cross-entropy", 150, {0: 0.02, 80: 2e-4, 120: 2e-6}),
    ],
)
def test_cifar100_has_its_own_schedule(method, epochs, steps):
    recipes = [RECIPES[f"cifar100-{noise}-{method}"] for noise in CIFAR100_NAMES]
    [training] = {recipe.training for recipe in recipes}
    assert (training.epochs, training.batch_size) == (epochs, 128)
    found = rates_by_epoch(training)
    assert [found[epoch] for epoch in steps] == pytest.approx(list(steps.values()))


def test_cifar100_has_one_beta_and_lam_and_its_elr_plus_refines():
    for name, recipe in RECIPES.items():
        if name.startswith("cifar100-") and isinstance(recipe.method, ELRConfig):
            assert (recipe.method.beta, recipe.method.lam) == (0.9, 7.0)
            plus = name.endswith("elr-plus")
            assert (recipe.method.refine_labels, recipe.method.lam_ramp) == ((True, 40_000) if plus else (False, 0))
            assert recipe.method.networks == (2 if plus else 1)


# Data that are noisy by themselves


def test_clothing1m_is_the_papers():
    recipe = RECIPES["clothing1m-elr"]
    training = recipe.training
    assert (recipe.network, recipe.backbone, recipe.pretrained) == ("timm", "resnet50.tv_in1k", True)
    assert (recipe.geometry.resize, recipe.geometry.crop) == (256, 224)
    assert (training.epochs, training.batch_size, training.num_batches) == (10, 64, 2000)
    assert training.sampling == "balanced"
    assert (training.learning_rate, training.weight_decay, training.momentum) == (0.001, 1e-3, 0.9)
    assert [rates_by_epoch(training)[epoch] for epoch in (4, 5)] == pytest.approx([1e-3, 1e-5])
    assert (recipe.method.lam, recipe.method.beta, recipe.holdout) == (3.0, 0.7, 0.0)
    plus = RECIPES["clothing1m-elr-plus"]
    assert (plus.method.networks, plus.method.gamma, plus.method.gamma_ramp, plus.method.mixup) == (2, 0.9999, 0, 1.0)
    assert (plus.training.epochs, plus.training.learning_rate) == (15, 0.002)
    assert [rates_by_epoch(plus.training)[epoch] for epoch in (6, 7)] == pytest.approx([2e-3, 2e-4])
    authors = RECIPES["clothing1m-elr-plus-authors"].training
    assert authors == replace(plus.training, sampling="balanced_once", num_batches=3000)


def test_mini_webvision_is_the_papers():
    recipe, plus = RECIPES["mini-webvision-elr"], RECIPES["mini-webvision-elr-plus"]
    assert (recipe.network, recipe.backbone, recipe.pretrained) == ("timm", "inception_resnet_v2", False)
    assert (recipe.geometry.resize, recipe.geometry.crop) == (256, 227)
    assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.weight_decay) == (120, 32, 5e-4)
    assert [rates_by_epoch(recipe.training)[epoch] for epoch in (39, 40, 80)] == pytest.approx([0.02, 2e-4, 2e-6])
    assert (recipe.test_part, recipe.method.lam, recipe.method.beta) == ("validation", 3.0, 0.7)
    assert (plus.training.epochs, plus.method.gamma, plus.method.gamma_ramp, plus.method.mixup) == (100, 0.997, 0, 1.0)
    assert [rates_by_epoch(plus.training)[epoch] for epoch in (49, 50)] == pytest.approx([0.02, 0.002])


def test_settings_of_ours_say_so():
    for name in ("animal10n", "food101n", "red-mini-imagenet", "allenoise"):
        for method in ("elr", "cross-entropy"):
            recipe = RECIPES[f"{name}-{method}"]
            assert recipe.data == name
            assert "not tuned; no published number" in recipe.source
    assert RECIPES["allenoise-elr"].method.ensembling is False  # no table for 5,692 classes
