"""The methods that there are, by name: a new one is a row here and a file of its own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.methods.losses.backward_correction import BackwardCorrectionConfig
from elr.methods.losses.bootstrapping import BootstrappingConfig
from elr.methods.losses.forward_correction import ForwardCorrectionConfig
from elr.methods.losses.generalized_cross_entropy import GeneralizedCrossEntropyConfig
from elr.methods.losses.label_smoothing import LabelSmoothingConfig
from elr.methods.losses.mean_absolute_error import MeanAbsoluteErrorConfig
from elr.methods.losses.symmetric_cross_entropy import SymmetricCrossEntropyConfig
from elr.methods.peers.co_teaching import CoTeachingConfig
from elr.methods.peers.dividemix import DivideMixConfig
from elr.methods.peers.joint_optimization import JointOptimizationConfig
from elr.methods.peers.mixup import MixupConfig
from elr.methods.peers.sop import SOPConfig, SOPPlusConfig

METHODS: dict[str, type[MethodConfig]] = {
    config.name: config
    for config in (
        ELRConfig,
        ELRPlusConfig,
        CrossEntropyConfig,
        KLPenaltyConfig,
        BackwardCorrectionConfig,
        BootstrappingConfig,
        ForwardCorrectionConfig,
        GeneralizedCrossEntropyConfig,
        LabelSmoothingConfig,
        MeanAbsoluteErrorConfig,
        SymmetricCrossEntropyConfig,
        DivideMixConfig,
        MixupConfig,
        CoTeachingConfig,
        JointOptimizationConfig,
        SOPConfig,
        SOPPlusConfig,
    )
}
"""The settings of each method by its name."""

_STORED: dict[str, type[MethodConfig]] = {**METHODS, EnsembleConfig.name: EnsembleConfig}
# what run.json may hold: nobody asks for an ensemble by name, it is ELR with members


@checked
def method_named(name: str) -> type[MethodConfig]:
    """The settings of a method.

    Raises:
        ArgumentError: no such method; the message has the nearest names, and all.

    Example:
        >>> method_named("elr").__name__
        'ELRConfig'
        >>> method_named("elr-plus")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: method is 'elr-plus': did you mean elr_plus or ...? expected one of elr, ...
    """
    if name not in METHODS:
        raise ArgumentError(f"method is {name!r}: {_nearest(name, METHODS)}expected one of {', '.join(METHODS)}")
    return METHODS[name]


@checked
def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse names of settings that a method does not have; their values are checked where it is made of them.

    Args:
        name: of the method.
        settings: by name.

    Raises:
        ArgumentError: no such method, or no such settings; the message has the nearest names, and all.

    Example:
        >>> check_settings("kl_penalty", {"beta": 0.9})
        >>> check_settings("kl_penalty", {"bata": 0.9})
        Traceback (most recent call last):
        elr.errors.ArgumentError: method 'kl_penalty' has no setting 'bata': did you mean beta? expected some of \
lam, beta
    """
    _check_known(method_named(name), settings)


@checked
def method_for_run(
    name: str,
    settings: Mapping[str, Any],
    *,
    steps: int,
    epochs: int,
    fast: bool = False,
    where_known: Mapping[str, Any] | None = None,
) -> MethodConfig:
    """The settings of a method for a run, whole (`MethodConfig.for_run`).

    Args:
        name: of the method.
        settings: that someone asked for, by name.
        steps: of each pass in the whole run.
        epochs: of the whole run.
        fast: whether it is the fast loop, see `elr.runs.fit_config`.
        where_known: settings that hold where the method has them.

    Raises:
        ArgumentError: no such method or settings, values out of range, or a method without what it needs.

    Example:
        >>> method_for_run("elr_plus", {"lam": 7.0}, steps=1000, epochs=10, where_known={"align": True}).described()
        {'name': 'elr_plus', 'networks': 2, 'lam': 7.0, 'beta': 0.7, 'gamma': 0.997, 'gamma_ramp': 500, 'mixup': 1.0, \
'align': True}
        >>> method_for_run("cross_entropy", {"lam": 7.0}, steps=1000, epochs=10)
        Traceback (most recent call last):
        elr.errors.ArgumentError: method 'cross_entropy' has no setting 'lam': expected some of (none)
    """
    method = method_named(name)
    _check_known(method, settings)
    config = method.for_run({**(where_known or {}), **settings}, steps=steps, epochs=epochs, fast=fast)
    config.check_needs()
    return config


def _check_known(config: type[MethodConfig], settings: Iterable[str]) -> None:
    known = [each.name for each in fields(config)]
    if unknown := sorted(set(map(str, settings)) - set(known)):
        near, which = _nearest(unknown[0], known), "setting" if len(unknown) == 1 else "settings"
        raise ArgumentError(
            f"method {config.name!r} has no {which} {', '.join(map(repr, unknown))}: {near}expected some of "
            f"{', '.join(known) or '(none)'}"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    """The names that are most like this one, as a question; nothing, if none is."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}? " if near else ""


@checked
def method_from_json(values: Mapping[str, Any]) -> MethodConfig:
    """Settings as `MethodConfig.to_json` wrote them; those that are missing are at their defaults.

    Raises:
        ArgumentError: no such method, or settings that it does not have.

    Example:
        >>> method_from_json({"name": "kl_penalty", "lam": 5.0})
        KLPenaltyConfig(lam=5.0, beta=0.7)
    """
    name = values.get("name")
    config = _STORED.get(name) if isinstance(name, str) else None
    config = config or method_named(name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    settings = {name: value for name, value in values.items() if name != "name"}
    _check_known(config, settings)
    return config(**settings)
