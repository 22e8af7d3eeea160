"""The settings that an ensemble chooses from by default, and what of them there is memory and time for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from elr.methods.ensemble.settings import Setting
from elr.networks.spec import NetworkSpec

LAMS = (3.0, 0.0, 1.0, 7.0)
"""The paper's values of lam, and cross entropy; of equals the paper's default is preferred."""
DROPOUTS = (0.5, 0.0)
RESISTING = 3.0
"""From which lam on perceptrons are tried without dropout, too: with less they would memorize."""
FEW, MANY = 20_000, 100_000
"""Rows up to which the whole grid is trained, and above which two settings are."""
WIDE = 6_000
"""Features above which perceptrons are left out: their first layers would have a hundred million weights and more."""
MOST_BYTES = 2**31
"""Of targets of all networks: 2 GiB."""
MEMBERS = 5
LEAST_ROWS = 50
"""Below which a single network is trained: folds of fewer than ten rows say nothing about settings."""
HIDDEN = (64, 64)
"""Units of a perceptron of an ensemble."""
KIND_RATE = 1e-3
"""Learning rate of perceptrons for features that are many numbers of one kind, such as embeddings."""
_LOOP = {"weight_decay": 1e-2, "optimizer": "adamw", "schedule": "triangle"}
_EPOCHS, _VISITS = 30, 2_000_000
_RATE, _SMALL_RATE = 1e-2, 7e-3
_SMALLEST, _SMALL = 600, 2_000  # rows up to which batches are of 16 and of 32
_LINEAR_RATE, _LINEAR_KIND_RATE, _SPARSE_RATE = 2e-2, 2e-3, 2e-2


@dataclass(frozen=True, kw_only=True)
class Choosable:
    """A network to choose from.

    Args:
        network: without dropout of its own.
        learning_rate: see `elr.methods.ensemble.settings.Setting`.
        reads: see there.

    Example:
        >>> Choosable(network=NetworkSpec("linear", 3, num_features=5), learning_rate=0.02, reads="terms").reads
        'terms'
    """

    network: NetworkSpec
    learning_rate: float | None = None
    reads: str = ""


def default_grid(
    networks: Sequence[Choosable], *, num_examples: int, lam: float | None = None, dropout: float | None = None
) -> list[Setting]:
    """The grid for some data: every lam for each network, perceptrons with dropout, and without it for lam >= 3.

    Args:
        networks: that take such data, the preferred one first; a perceptron of more than `WIDE` features is left out
            where there is a linear network.
        num_examples: N. Above `FEW` rows perceptrons have dropout only, above `MANY` only the first network is trained,
            with lam 3 and 0.
        lam: the one asked for. Default: all of `LAMS`.
        dropout: the same. Default: all of `DROPOUTS`.

    Example:
        >>> networks = [Choosable(network=NetworkSpec(name, 3, num_features=5)) for name in ("mlp", "linear")]
        >>> len(default_grid(networks, num_examples=1_000)), len(default_grid(networks, num_examples=1_000, lam=3.0))
        (10, 3)
        >>> [setting.text() for setting in default_grid(networks, num_examples=1_000_000)]
        ['mlp, lam 3, dropout 0.5', 'mlp, lam 0, dropout 0.5']
    """
    lams = LAMS if lam is None else (lam,)
    dropouts = DROPOUTS if dropout is None else (dropout,)
    if num_examples > FEW:
        dropouts = dropouts[:1]
    narrow = [each for each in networks if each.network.name != "mlp" or (each.network.num_features or 0) <= WIDE]
    networks = narrow or networks
    if num_examples > MANY:
        lams, networks = lams[:2], networks[:1]
    return [
        Setting(lam=each, network=spec, learning_rate=of.learning_rate, reads=of.reads)
        for of in networks
        for spec in ([replace(of.network, dropout=share) for share in dropouts] if _drops(of) else [of.network])
        for each in lams
        if spec.dropout != 0.0 or each >= RESISTING or dropout is not None or lam is not None
    ]


def _drops(of: Choosable) -> bool:
    return of.network.name == "mlp"


def affordable(settings: Sequence[Setting], *, members: int, num_examples: int, num_classes: int) -> tuple[int, int]:
    """How many of the settings, and how many members of each, have room for their targets: N S K C numbers of 4 bytes.

    Settings are left out from the end first, then members; 1 member is a single network.

    Example:
        >>> grid = default_grid([Choosable(network=NetworkSpec("mlp", 1000, num_features=5))], num_examples=100_000)
        >>> affordable(grid, members=5, num_examples=100_000, num_classes=1000)
        (1, 5)
        >>> affordable(grid, members=5, num_examples=500_000, num_classes=1000)
        (1, 1)
    """
    room = MOST_BYTES // (4 * num_examples * num_classes)
    if room >= members:
        return min(len(settings), room // members), members
    return 1, max(1, room) if room >= 2 else 1


def loop_settings(num_examples: int, *, alike: bool) -> dict[str, Any]:
    """How an ensemble is trained by default: settings of `elr.training.config.TrainingConfig`.

    Args:
        num_examples: N.
        alike: whether the features are many numbers of one kind.

    Example:
        >>> loop_settings(1_000, alike=False)["epochs"], loop_settings(1_000_000, alike=False)["batch_size"]
        (30, 256)
    """
    epochs = min(_EPOCHS, max(10, _VISITS // num_examples))
    if alike or num_examples > _SMALL:
        rate, batch_size = KIND_RATE if alike else _RATE, 64 if num_examples <= FEW else 256
    else:  # the noise of small batches does few examples good
        rate, batch_size = (_RATE, 32) if num_examples > _SMALLEST else (_SMALL_RATE, 16)
    return _LOOP | {"learning_rate": rate, "epochs": epochs, "batch_size": min(batch_size, num_examples)}


def linear_rate(*, alike: bool, sparse: bool = False) -> float:
    """Learning rate of linear networks; of sparse features, such as terms of which each text has few, it is higher.

    Example:
        >>> linear_rate(alike=False), linear_rate(alike=True), linear_rate(alike=True, sparse=True)
        (0.02, 0.002, 0.02)
    """
    return _SPARSE_RATE if sparse else _LINEAR_KIND_RATE if alike else _LINEAR_RATE


def kept_epochs(epochs: int) -> tuple[int, ...]:
    """After which epochs weights are candidates where nobody said how long to train: each third.

    Example:
        >>> kept_epochs(30), kept_epochs(2)
        ((10, 20, 30), (1, 2))
    """
    return tuple(sorted({max(1, epochs // 3), max(1, 2 * epochs // 3), epochs}))


def room_remarks(
    members: int, grid: Sequence[Setting], *, count: int, fewer: int, num_examples: int, num_classes: int
) -> list[str]:
    """What was left out for want of memory, in a sentence.

    Example:
        >>> room_remarks(5, [], count=0, fewer=5, num_examples=50, num_classes=3)
        []
    """
    if (count, fewer) == (len(grid), members):
        return []
    need = 4 * num_examples * num_classes * members * len(grid)
    networks = "a single network is trained (--members 1)" if fewer < 2 else f"{fewer} are, of {_counted(count)}"
    return [
        f"{members} networks side by side of each of {_counted(len(grid))} are not trained: their targets of "
        f"{num_examples:,} rows and {num_classes:,} classes would take {need / 2**30:.1f} GiB, more than "
        f"{MOST_BYTES / 2**30:g} GiB; {networks}"
    ]


def _counted(settings: int) -> str:
    return f"{settings} setting{'s' * (settings != 1)}"
