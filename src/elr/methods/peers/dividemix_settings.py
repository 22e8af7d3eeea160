"""The settings of DivideMix in plain values: what each does, its published value, its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from elr.checking import check_ranges, check_types
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig

if TYPE_CHECKING:
    from typing_extensions import Self

_PARTS = 5  # of a run, one of which is the most for the warm-up, and one for the ramp


@dataclass(frozen=True, kw_only=True)
class DivideMixSettings(MethodConfig):
    """Settings of `DivideMix`; the defaults are the published ones for CIFAR-10 with 50 % symmetric noise.

    `elr.methods.peers.dividemix.DivideMixConfig` is these settings and how the method is built.

    Args:
        warm_up: epochs of cross entropy before the first division, >= 1: 10 (default) on CIFAR-10, 30 on CIFAR-100, 1
            on Clothing1M.
        confidence_penalty: whether the warm-up adds the negative entropy of the outputs, so that losses still differ;
            the authors do so for asymmetric noise.
        loss_epochs: over how many of the latest epochs each loss is averaged before the fit, >= 1: 1 (default), or 5
            for noise of 90 %.
        threshold: a row is labeled where w exceeds it, in (0, 1): 0.5 (default).
        augmentations: M >= 1 views of each row, whose outputs are averaged: 2 (default).
        temperature: T of the sharpening, in (0, 1]: 0.5 (default).
        alpha: of the Beta distribution that the mixing is drawn from, >= 0: 4 (default), 0.5 on Clothing1M; 0: none.
        lam_u: weight of the unlabeled rows, >= 0: 25 (default); chosen from 0, 25, 50 and 150 by the paper, the larger
            the more noise; 0 on Clothing1M.
        ramp: epochs after the warm-up over which that weight rises along a straight line from 0, >= 0: 16 (default).

    Raises:
        ArgumentError: a setting out of range.

    Example:
        >>> from elr.methods.peers.dividemix import DivideMixConfig
        >>> DivideMixConfig(lam_u=50.0).described()["lam_u"]
        50.0
        >>> short = DivideMixConfig.for_run({}, steps=400, epochs=20, fast=False)
        >>> short.warm_up, short.ramp
        (4, 4)
    """

    warm_up: int = 10
    confidence_penalty: bool = False
    loss_epochs: int = 1
    threshold: float = 0.5
    augmentations: int = 2
    temperature: float = 0.5
    alpha: float = 4.0
    lam_u: float = 25.0
    ramp: int = 16

    def __post_init__(self) -> None:
        check_types(self)
        ranges = {
            "warm_up": (self.warm_up >= 1, "at least 1 epoch; the paper has 10 and 30"),
            "loss_epochs": (self.loss_epochs >= 1, "at least 1 epoch; the authors have 1 and 5"),
            "threshold": (0.0 < self.threshold < 1.0, "a probability in (0, 1); the paper has 0.5"),
            "augmentations": (self.augmentations >= 1, "at least 1; the paper has 2"),
            "temperature": (0.0 < self.temperature <= 1.0, "in (0, 1]; the paper has 0.5"),
            "alpha": (0.0 <= self.alpha < math.inf, "0 (nothing is mixed) or more; the paper has 4"),
            "lam_u": (0.0 <= self.lam_u < math.inf, "0 or more; the paper has 0, 25, 50 and 150"),
            "ramp": (self.ramp >= 0, "0 epochs (none) or more; the authors have 16"),
        }
        check_ranges(self, ranges)

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """As published, but that the warm-up and the ramp are each a fifth of the epochs at most, unless asked for."""
        config = super().for_run(asked, steps=steps, epochs=epochs, fast=fast)
        if config.warm_up >= epochs and "warm_up" in asked:
            raise ArgumentError(
                f"warm_up is {config.warm_up} and the run has {epochs} epochs: expected fewer, or all of it is cross "
                "entropy; leave it out, or train for more epochs"
            )
        most = max(1, epochs // _PARTS)
        shorter = {name: min(getattr(config, name), most) for name in ("warm_up", "ramp") if name not in asked}
        return replace(config, **shorter)

    def resized(self, share: float, *, generations: int) -> Self:
        del generations
        return replace(self, warm_up=max(1, round(share * self.warm_up)), ramp=round(share * self.ramp))

    @property
    def num_networks(self) -> int:
        return 2
