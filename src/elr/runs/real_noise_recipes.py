"""Recipes for data whose labels are noisy by themselves: those of the paper, and the same settings on other sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from elr.data.pictures.decoding import Geometry
from elr.data.preprocessing import Augmentation
from elr.datasets.base import TEST, VALIDATION
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import PAPER_GAMMA, ELRPlusConfig
from elr.runs.recipe import Recipe
from elr.training.config import ANEW, ONCE, TrainingConfig

_PAPER = "Liu et al., NeurIPS 2020"
_OWN = "elr's own: settings of the paper for {like}, not tuned; no published number"
_CROP_AND_FLIP = Augmentation(crop=True, flip=True)


def clothing1m_elr() -> Recipe:
    """ELR on Clothing1M as published: ResNet-50 from ImageNet, 10 epochs of 2000 balanced batches. Table 3; appendix G.

    Balanced subsets are drawn anew in each epoch, as the paper has it.

    Example:
        >>> training = clothing1m_elr().training
        >>> training.epochs, training.num_batches, training.sampling, training.milestones
        (10, 2000, 'balanced', (5,))
    """
    return Recipe(
        name="clothing1m-elr",
        source=f"{_PAPER}, Table 3, ELR (72.87)",
        data="clothing1m",
        noise=None,
        network="timm",
        backbone="resnet50.tv_in1k",
        pretrained=True,
        geometry=Geometry(resize=256, crop=224),
        method=ELRConfig(beta=0.7, lam=3.0),
        training=TrainingConfig(
            epochs=10,
            batch_size=64,
            learning_rate=0.001,
            weight_decay=1e-3,
            schedule="multistep",
            milestones=(5,),
            sampling=ANEW,
            num_batches=2000,
        ),
        augmentation=_CROP_AND_FLIP,
        test_part=TEST,
    )


def clothing1m_elr_plus() -> Recipe:
    """ELR+ on Clothing1M: 15 epochs, gamma 0.9999 from the first step. Table 3; appendix G.

    Example:
        >>> recipe = clothing1m_elr_plus()
        >>> recipe.source, recipe.training.epochs, recipe.method.gamma
        ('Liu et al., NeurIPS 2020, Table 3, ELR+ (74.81)', 15, 0.9999)
    """
    recipe = clothing1m_elr()
    return replace(
        recipe,
        name="clothing1m-elr-plus",
        source=f"{_PAPER}, Table 3, ELR+ (74.81)",
        method=ELRPlusConfig(beta=0.7, lam=3.0, gamma=0.9999, gamma_ramp=0),
        training=replace(recipe.training, epochs=15, learning_rate=0.002, milestones=(7,), decay=0.1),
    )


def clothing1m_elr_plus_authors() -> Recipe:
    """The same as the authors' code has it: one balanced subset of 3000 batches, drawn once for the run.

    Example:
        >>> training = clothing1m_elr_plus_authors().training
        >>> training.sampling, training.num_batches
        ('balanced_once', 3000)
    """
    recipe = clothing1m_elr_plus()
    return replace(
        recipe,
        name="clothing1m-elr-plus-authors",
        source=f"the authors' code, ELR_plus: one subset for the run; beside {_PAPER}, Table 3, ELR+ (74.81)",
        training=replace(recipe.training, sampling=ONCE, num_batches=3000),
    )


def clothing1m_cross_entropy() -> Recipe:
    """Cross entropy with the network and the loop of `clothing1m_elr`. (The paper copied its 69.10.)

    Example:
        >>> recipe = clothing1m_cross_entropy()
        >>> recipe.method.name, recipe.backbone, recipe.training == clothing1m_elr().training
        ('cross_entropy', 'resnet50.tv_in1k', True)
    """
    return replace(
        clothing1m_elr(),
        name="clothing1m-cross-entropy",
        source=f"{_PAPER}, appendix G, without the regularizer",
        method=CrossEntropyConfig(),
    )


def mini_webvision_elr() -> Recipe:
    """ELR on mini-WebVision as published: InceptionResNetV2, 120 epochs. Table 4, row ELR; appendix G.

    Example:
        >>> recipe = mini_webvision_elr()
        >>> recipe.backbone, recipe.pretrained, recipe.training.epochs, recipe.training.milestones
        ('inception_resnet_v2', False, 120, (40, 80))
    """
    return Recipe(
        name="mini-webvision-elr",
        source=f"{_PAPER}, Table 4, ELR (76.26 top-1, 91.26 top-5; ILSVRC12 68.71, 87.84)",
        data="mini-webvision",
        noise=None,
        network="timm",
        backbone="inception_resnet_v2",
        geometry=Geometry(resize=256, crop=227),
        method=ELRConfig(beta=0.7, lam=3.0),
        training=TrainingConfig(
            epochs=120, batch_size=32, weight_decay=5e-4, schedule="multistep", milestones=(40, 80)
        ),
        augmentation=_CROP_AND_FLIP,
        test_part=VALIDATION,
    )


def mini_webvision_elr_plus() -> Recipe:
    """ELR+ on mini-WebVision: 100 epochs, gamma 0.997 from the first step. Table 4, row ELR+; appendix G.

    mixup 1 as in the paper; the authors' configuration has 1.5.

    Example:
        >>> recipe = mini_webvision_elr_plus()
        >>> recipe.training.epochs, recipe.method.gamma, recipe.method.gamma_ramp, recipe.method.mixup
        (100, 0.997, 0, 1.0)
    """
    recipe = mini_webvision_elr()
    return replace(
        recipe,
        name="mini-webvision-elr-plus",
        source=f"{_PAPER}, Table 4, ELR+ (77.78 top-1, 91.68 top-5; ILSVRC12 70.29, 89.76)",
        method=ELRPlusConfig(beta=0.7, lam=3.0, gamma_ramp=0),
        training=replace(recipe.training, epochs=100, milestones=(50,), decay=0.1),
    )


def _own(like: Recipe, data: str, **changes: object) -> Iterator[Recipe]:
    """ELR and cross entropy on another data set, with the settings of a recipe of the paper."""
    recipe = replace(like, name=f"{data}-elr", source=_OWN.format(like=like.data), data=data, **changes)  # type: ignore[arg-type]
    yield recipe
    yield replace(recipe, name=f"{data}-cross-entropy", method=CrossEntropyConfig())


def real_recipes() -> Iterator[Recipe]:
    """Every recipe for data whose labels are noisy by themselves: the paper's, then elr's own.

    Example:
        >>> [recipe.name for recipe in real_recipes() if "tuned" in recipe.source and recipe.method.name == "elr"]
        ['food101n-elr', 'animal10n-elr', 'red-mini-imagenet-elr', 'allenoise-elr']
    """
    clothing, webvision = clothing1m_elr(), mini_webvision_elr()
    yield from (clothing, clothing1m_elr_plus(), clothing1m_elr_plus_authors(), clothing1m_cross_entropy())
    yield from (webvision, mini_webvision_elr_plus())
    yield replace(
        webvision,
        name="mini-webvision-cross-entropy",
        source=f"{_PAPER}, appendix G, without the regularizer",
        method=CrossEntropyConfig(),
    )
    everything = replace(clothing.training, sampling="all", num_batches=None)
    yield from _own(clothing, "food101n", training=everything)
    small = replace(webvision, network="resnet34", backbone=None, training=replace(webvision.training, batch_size=128))
    yield from _own(small, "animal10n", geometry=Geometry(resize=64, crop=64), test_part=TEST)
    yield from _own(small, "red-mini-imagenet", geometry=Geometry(resize=32, crop=32))
    words = replace(small, network="mlp", augmentation=Augmentation(), geometry=None)
    shorter = replace(words.training, epochs=20, batch_size=256, schedule="cosine", milestones=(), learning_rate=0.005)
    # A table of targets for 5,692 classes would take 11 GB: targets come from the averaged network instead.
    stateless = ELRConfig(ensembling=False, gamma=PAPER_GAMMA, lam_ramp=5_000)
    yield from _own(words, "allenoise", training=shorter, method=stateless, test_part=None, holdout=0.1)
