"""The methods that there are, by name: a new one is a row here and a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.methods.method import MethodConfig
from elr.methods.peers.sop import SOPConfig, SOPPlusConfig

METHODS: dict[str, type[MethodConfig]] = {
    config.name: config
    for config in (ELRConfig, ELRPlusConfig, CrossEntropyConfig, KLPenaltyConfig, SOPConfig, SOPPlusConfig)
}
"""The settings of each method by its name."""

_STORED: dict[str, type[MethodConfig]] = {**METHODS, EnsembleConfig.name: EnsembleConfig}
# what run.json may hold: nobody asks for an ensemble by name, it is ELR with members


@checked
def method_named(name: str) -> type[MethodConfig]:
    """The settings of a method.

    Raises:
        ArgumentError: no such method; the message lists them.

    Example:
        >>> method_named("elr").__name__
        'ELRConfig'
        >>> method_named("elr2")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: method is 'elr2': expected one of elr, elr_plus, ...
    """
    if name not in METHODS:
        raise ArgumentError(f"method is {name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


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
    known = [each.name for each in fields(config)]
    if unknown := sorted(settings.keys() - set(known)):
        raise ArgumentError(
            f"{config.name!r} has no settings {', '.join(unknown)}: expected some of {', '.join(known) or '(none)'}"
        )
    return config(**settings)
