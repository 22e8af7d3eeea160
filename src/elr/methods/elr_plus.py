"""ELR+ as published: the method of `elr.methods.elr` with all of its ingredients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from elr.methods.elr import ELRConfig

if TYPE_CHECKING:
    from typing_extensions import Self

PAPER_GAMMA, PAPER_RAMP = 0.997, 40_000  # appendices F and G


@dataclass(frozen=True, kw_only=True)
class ELRPlusConfig(ELRConfig):
    """`ELRConfig` with other defaults, those of CIFAR-10: two networks, averaged weights, mixup.

    It takes three times as long as ELR, or more.

    Example:
        >>> config = ELRPlusConfig(lam=7.0)
        >>> config.networks, config.gamma, config.gamma_ramp, config.mixup
        (2, 0.997, 40000, 1.0)
        >>> ELRPlusConfig.for_run({"lam": 7.0}, steps=1000, epochs=10, fast=False).gamma_ramp
        500

    Source: Algorithm 2, appendices F and G of Liu et al., NeurIPS 2020.
    """

    name: ClassVar[str] = "elr_plus"
    networks: int = 2
    gamma: float = PAPER_GAMMA
    gamma_ramp: int = PAPER_RAMP
    mixup: float = 1.0

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """As published, its ramp at most half of the run; lam does not rise."""
        del fast
        asked = {"gamma_ramp": min(PAPER_RAMP, steps // 2), **asked}
        return super().for_run(asked, steps=steps, epochs=epochs, fast=False)
