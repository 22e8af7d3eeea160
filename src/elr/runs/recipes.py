"""The recipes that `elr run` knows: the published settings, for a GPU, and fast ones for a processor.

A function makes a recipe and says which table it stands beside; `RECIPES` has all of them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from elr.data.preprocessing import Augmentation
from elr.datasets.as_data import HUMAN
from elr.methods.config import MethodConfig
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import PAPER_RAMP, ELRPlusConfig
from elr.runs.fit_config import FAST_SETTINGS
from elr.runs.real_noise_recipes import real_recipes
from elr.runs.recipe import Recipe
from elr.training.config import TrainingConfig

Noise = tuple[str, float | str] | None

SYMMETRIC_RATES = (0.2, 0.4, 0.5, 0.6, 0.8, 0.9)
ASYMMETRIC_RATES = (0.1, 0.2, 0.3, 0.4)
_HUMAN_SETS = {"aggre": "aggre_label", "random2": "random_label2", "random3": "random_label3", "worse": "worse_label"}
_TABLE_1 = ("sym20", "sym40", "sym60", "sym80", "asym10", "asym20", "asym30", "asym40")
_TABLE_2 = ("sym20", "sym50", "sym80", "sym90", "asym40")
_PAPER = "Liu et al., NeurIPS 2020"


def cifar10_elr(noise: Noise, name: str) -> Recipe:
    """ELR on CIFAR-10 as published: ResNet-34, 120 epochs, steps down at 40 and 80. Table 1, row ELR; appendix G.

    Example:
        >>> for noise in (("symmetric-authors", 0.4), ("asymmetric-cifar10-authors", 0.4)):
        ...     method = cifar10_elr(noise, "cifar10-sym40-elr").method
        ...     method.lam, method.beta
        (3.0, 0.7)
        (1.0, 0.9)
    """
    beta, lam = _weights(noise)
    return Recipe(
        name=name,
        source=_source(name, "Table 1, ELR", _TABLE_1),
        noise=noise,
        network="resnet34",
        method=ELRConfig(beta=beta, lam=lam),
        training=TrainingConfig(
            epochs=120, batch_size=128, schedule="multistep", milestones=(40, 80), precision="float32"
        ),
        augmentation=Augmentation(crop=True, flip=True),
        holdout=0.1,
    )


def cifar10_elr_cosine(noise: Noise, name: str) -> Recipe:
    """ELR with cosine restarts, 150 epochs (the floor of a period). Table 1, row ELR*; appendix G.

    Example:
        >>> training = cifar10_elr_cosine(("symmetric-authors", 0.4), "cifar10-sym40-elr-cosine").training
        >>> training.schedule, training.epochs, training.period
        ('restarts', 150, 10)
    """
    recipe = cifar10_elr(noise, name)
    training = replace(recipe.training, epochs=150, schedule="restarts", milestones=())
    return replace(recipe, source=_source(name, "Table 1, ELR with cosine annealing", _TABLE_1), training=training)


def cifar10_elr_plus(noise: Noise, name: str) -> Recipe:
    """ELR+ on CIFAR-10: two PreActResNet-18, mixup, averaged weights, 200 epochs. Table 2, row ELR+; appendix G.

    Differs from the authors' code in what leaks labels there: both networks see the same given labels and split.

    Example:
        >>> cifar10_elr_plus(("symmetric-authors", 0.5), "cifar10-sym50-elr-plus").method.described()
        {'name': 'elr_plus', 'networks': 2, 'lam': 3.0, 'beta': 0.7, 'gamma': 0.997, 'gamma_ramp': 40000, 'mixup': 1.0}
    """
    recipe, (beta, lam) = cifar10_elr(noise, name), _weights(noise)
    return replace(
        recipe,
        source=_source(name, "Table 2, ELR+", _TABLE_2),
        network="preactresnet18_authors",
        method=ELRPlusConfig(beta=beta, lam=lam),
        training=replace(recipe.training, epochs=200, weight_decay=5e-4, milestones=(150,), decay=0.1),
    )


def cifar10_cross_entropy(noise: Noise, name: str) -> Recipe:
    """Cross entropy with the network and the loop of `cifar10_elr`. (The paper copied its row from the GCE paper.)

    Example:
        >>> noise, name = ("symmetric-authors", 0.4), "cifar10-sym40-cross-entropy"
        >>> recipe = cifar10_cross_entropy(noise, name)
        >>> recipe.method.name, recipe.training == cifar10_elr(noise, name).training
        ('cross_entropy', True)
    """
    return replace(
        cifar10_elr(noise, name), source=f"{_PAPER}, appendix G, without the regularizer", method=CrossEntropyConfig()
    )


def cifar100_elr(noise: Noise, name: str) -> Recipe:
    """ELR on CIFAR-100 as published: ResNet-34, 150 epochs, steps down at 80 and 120. Table 1, row ELR; appendix G.

    Example:
        >>> recipe = cifar100_elr(("symmetric-authors", 0.4), "cifar100-sym40-elr")
        >>> recipe.training.epochs, recipe.training.milestones, recipe.method.lam, recipe.method.beta
        (150, (80, 120), 7.0, 0.9)
    """
    recipe = cifar10_elr(noise, name)
    training = replace(recipe.training, epochs=150, milestones=(80, 120))
    return replace(recipe, data="cifar100", method=_CIFAR100, training=training)


def cifar100_elr_cosine(noise: Noise, name: str) -> Recipe:
    """ELR on CIFAR-100 with cosine restarts. Table 1, row ELR*; appendix G.

    Example:
        >>> recipe = cifar100_elr_cosine(("symmetric-authors", 0.4), "cifar100-sym40-elr-cosine")
        >>> recipe.source, recipe.training.schedule, recipe.method.lam
        ('Liu et al., NeurIPS 2020, Table 1, ELR with cosine annealing', 'restarts', 7.0)
    """
    return replace(cifar10_elr_cosine(noise, name), data="cifar100", method=_CIFAR100)


def cifar100_elr_plus(noise: Noise, name: str) -> Recipe:
    """ELR+ on CIFAR-100: 250 epochs, lam ramped up, labels refined. Table 2, row ELR+; appendix F and G.

    Example:
        >>> recipe = cifar100_elr_plus(("symmetric-authors", 0.5), "cifar100-sym50-elr-plus")
        >>> recipe.training.epochs, recipe.method.lam, recipe.method.lam_ramp, recipe.method.refine_labels
        (250, 7.0, 40000, True)
    """
    recipe = cifar10_elr_plus(noise, name)
    method = ELRPlusConfig(lam=_CIFAR100.lam, beta=_CIFAR100.beta, lam_ramp=PAPER_RAMP, refine_labels=True)
    training = replace(recipe.training, epochs=250, milestones=(200,))
    return replace(recipe, data="cifar100", method=method, training=training)


def cifar100_cross_entropy(noise: Noise, name: str) -> Recipe:
    """Cross entropy with the network and the loop of `cifar100_elr`.

    Example:
        >>> recipe = cifar100_cross_entropy(None, "cifar100-clean-cross-entropy")
        >>> recipe.method.name, recipe.training.epochs, recipe.training.milestones
        ('cross_entropy', 150, (80, 120))
    """
    return replace(
        cifar100_elr(noise, name), source=f"{_PAPER}, appendix G, without the regularizer", method=CrossEntropyConfig()
    )


_FAST_GENERATION = 12 * 90  # steps: twelve epochs of 45,000 rows in batches of 500
_CIFAR100 = ELRConfig(beta=0.9, lam=7.0)  # for symmetric and asymmetric noise alike


def _source(name: str, cell: str, noises: tuple[str, ...]) -> str:
    """The published number that a recipe stands beside, where there is one."""
    return f"{_PAPER}, {cell}" if name.split("-")[1] in noises else f"{_PAPER}, appendix G; no published number"


def _weights(noise: Noise) -> tuple[float, float]:
    """beta and lam of appendix G: one pair for symmetric noise, another for asymmetric."""
    asymmetric = noise is not None and noise[0].startswith("asymmetric")
    return (0.9, 1.0) if asymmetric else (0.7, 3.0)


def _fast(noise: Noise, name: str, method: MethodConfig, *, generations: int = 1, epochs: int = 36) -> Recipe:
    """A small network for a processor; one setting for all noise, chosen on noisy labels (docs/log/fast-recipe.md)."""
    return Recipe(
        name=name,
        source="elr's own, chosen on held-out noisy labels: docs/log/fast-recipe.md",
        noise=noise,
        network="fast",
        method=method,
        training=TrainingConfig(epochs=epochs, generations=generations, **FAST_SETTINGS),
        augmentation=Augmentation(crop=True, flip=True, mirror=True),
        whiten=True,
        holdout=0.1,
        probe_period=epochs // 3,  # the end of each generation, if there are three
    )


def fast_cifar10_elr(noise: Noise, name: str) -> Recipe:
    """ELR in three generations.

    The regularizer rises through the first one; the later ones learn what predictions and labels say together.

    Example:
        >>> recipe = fast_cifar10_elr(None, "fast-cifar10-clean-elr")
        >>> recipe.training.generations, recipe.training.generation_epochs, recipe.training.optimizer
        (3, 12, 'muon')
    """
    method = ELRConfig(lam_ramp=_FAST_GENERATION, hold=1.0, posterior=True, relabel=True, snapshots=1)
    return _fast(noise, name, method, generations=3)


def fast_cifar10_elr_plus(noise: Noise, name: str) -> Recipe:
    """ELR+ in three generations as those of `fast_cifar10_elr`, longer by a third, and without mixup.

    Generations that memorize nothing are too short for mixup, which only slows them (docs/log/fast-recipe.md).

    Example:
        >>> recipe = fast_cifar10_elr_plus(None, "fast-cifar10-clean-elr-plus")
        >>> recipe.training.epochs, recipe.method.networks, recipe.method.gamma, recipe.method.mixup
        (48, 2, 0.99, 0.0)
    """
    method = replace(fast_cifar10_elr(noise, name).method, networks=2, gamma=0.99, lam_ramp=_FAST_GENERATION * 4 // 3)
    return _fast(noise, name, method, generations=3, epochs=48)


def fast_cifar10_cross_entropy(noise: Noise, name: str) -> Recipe:
    """Cross entropy, as many epochs of the same network; in one generation: it would keep nothing of the first.

    Example:
        >>> recipe = fast_cifar10_cross_entropy(None, "fast-cifar10-clean-cross-entropy")
        >>> recipe.training.epochs, recipe.training.generations
        (36, 1)
    """
    return _fast(noise, name, CrossEntropyConfig())


_METHODS: dict[str, dict[str, Callable[[Noise, str], Recipe]]] = {
    "cifar10": {
        "elr": cifar10_elr,
        "elr-cosine": cifar10_elr_cosine,
        "elr-plus": cifar10_elr_plus,
        "cross-entropy": cifar10_cross_entropy,
    },
    "cifar100": {
        "elr": cifar100_elr,
        "elr-cosine": cifar100_elr_cosine,
        "elr-plus": cifar100_elr_plus,
        "cross-entropy": cifar100_cross_entropy,
    },
    "fast-cifar10": {
        "elr": fast_cifar10_elr,
        "elr-plus": fast_cifar10_elr_plus,
        "cross-entropy": fast_cifar10_cross_entropy,
    },
}


def _noises(data: str) -> Iterator[tuple[str, Noise]]:
    """Short names and noises: the paper's by the authors' definitions, human labels, and none."""
    yield "clean", None
    for rate in SYMMETRIC_RATES:
        yield f"sym{100 * rate:.0f}", ("symmetric-authors", rate)
    for rate in ASYMMETRIC_RATES:
        yield f"asym{100 * rate:.0f}", (f"asymmetric-{data}-authors", rate)
    if data == "cifar100":
        for rate in ASYMMETRIC_RATES:
            yield f"super{100 * rate:.0f}", ("asymmetric-cifar100-superclasses", rate)
        yield "human", (HUMAN, "noisy_label")
        return
    yield "human", (HUMAN, "random_label1")
    for short, label_set in _HUMAN_SETS.items():
        yield short, (HUMAN, label_set)


def _all() -> Iterator[Recipe]:
    for prefix, methods in _METHODS.items():
        for short, noise in _noises(prefix.removeprefix("fast-")):
            for method, make in methods.items():
                yield make(noise, f"{prefix}-{short}-{method}")
    yield from real_recipes()


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _all()}
"""Every recipe by its name: [fast-]DATA-NOISE-METHOD, or DATA-METHOD where the labels are noisy by themselves."""
