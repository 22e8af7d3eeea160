"""The settings of ELR and ELR+ in plain values: what each does, its range, and which do not go together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from elr.checking import check_ranges, check_types
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import check_weights


@dataclass(frozen=True, kw_only=True)
class ELRSettings(MethodConfig):
    """Settings of `ELR`: every ingredient is a switch, and the paper's ablation is a set of settings (docs/methods.md).

    `elr.methods.elr.ELRConfig` is these settings and how the method is built.

    Args:
        networks: 1, or 2 that supply each other's targets; `build` takes a second one also where this is 1.
        lam: weight of the regularizer, >= 0; see `ELRLoss`.
        beta: momentum of the targets in [0, 1); see `ELRLoss`.
        clamp: see `ELRLoss`.
        target_from: "own" or "peer": whose outputs make the targets. Default: the peer's, if there is one.
        ensembling: whether targets are averaged over time (temporal ensembling); without it beta is unused. A table
            begins at zero and so regularizes little in the first epochs; without one a poor start confirms itself and
            training collapses, unless lam_ramp is several epochs long.
        gamma: decay of weight averaging in [0, 1); 0: none. The paper has 0.997; 0.9999 for Clothing1M.
        gamma_ramp: steps over which gamma rises, as exp(-5 (1 - i / gamma_ramp)^2); the paper has 40,000 on CIFAR.
        lam_ramp: the same for lam; the paper has 40,000 on CIFAR-100.
        mixup: alpha of mixup's Beta distribution; 0: none. The paper has 1.
        hold: share of a later generation (see `elr.training.config.TrainingConfig`) through which the targets stay as
            the generation before it left them, in [0, 1]; new weights would spoil them at first.
        posterior: whether each generation ends by setting the targets to what all networks that predict say of each
            example in eval mode, weighed with its given label by Bayes' rule
            (`elr.methods.ingredients.posterior.label_posterior`): where the networks hesitate between the given label
            and another, the label decides. Needs no noise rate.
        relabel: whether held targets stand in for the given labels: as long as `hold` lasts, cross entropy is with the
            targets. After `posterior`, what the networks and the labels say together is what the next ones learn.
        snapshots: of how many earlier generations the networks, as they ended, take part in predictions, >= 0 (snapshot
            ensemble).
        refine_labels: whether mixed labels y become y t / sum(y t); the authors do so where C = 100. Class numbers that
            are not mixed stay what they are.
        align: whether the regularizer sees targets whose mean over the training rows has the given shares of the
            classes (`elr.methods.ingredients.alignment`); weighed once an epoch. Without it a large lam draws all that
            is doubtful to the most frequent class (docs/concepts/alignment.md). Refined labels (refine_labels) are
            weighed with such targets too; `relabel` and what is predicted have the plain ones. The paper has none.
        align_power: what align goes by is the given shares to this power, in [0, 1]. 1 (default): the shares. Lower,
            nearer to equal shares, there is less drift without features, and rare classes gain at the cost of frequent
            ones; 0 has no drift at all.
        predict_with: "networks": the mean of the networks' probabilities; "averaged": of the averaged networks'.

    Raises:
        ArgumentError: a setting out of range, or settings that do not belong together.

    Example:
        >>> from elr.methods.elr import ELRConfig
        >>> ELRConfig(networks=2).own_targets
        False
        >>> ELRConfig(align=True, ensembling=False, gamma=0.9)
        Traceback (most recent call last):
        elr.errors.ArgumentError: align is about the mean of the targets, and without ensembling there are none to \
average: leave one of them out
    """

    networks: int = 1
    lam: float = 3.0
    beta: float = 0.7
    clamp: float = 1e-4
    target_from: str | None = None
    ensembling: bool = True
    gamma: float = 0.0
    gamma_ramp: int = 0
    lam_ramp: int = 0
    mixup: float = 0.0
    hold: float = 0.0
    posterior: bool = False
    relabel: bool = False
    snapshots: int = 0
    refine_labels: bool = False
    align: bool = False
    align_power: float = 1.0
    predict_with: str = "networks"

    def __post_init__(self) -> None:
        check_types(self)
        check_weights(self.lam, self.beta)
        ranges = {
            "networks": (self.networks in (1, 2), "1 or 2"),
            "clamp": (0.0 <= self.clamp < 0.5, "a probability in [0, 0.5); the authors have 1e-4, 0 is none"),
            "gamma": (0.0 <= self.gamma < 1.0, "a decay in [0, 1); the paper has 0.997 and 0.9999, 0 is none"),
            "mixup": (0.0 <= self.mixup < math.inf, "0 (none) or mixup's alpha > 0; the paper has 1"),
            "gamma_ramp": (self.gamma_ramp >= 0, "a number of steps >= 0; the paper has 40,000"),
            "lam_ramp": (self.lam_ramp >= 0, "a number of steps >= 0; the paper has 40,000"),
            "align_power": (0.0 <= self.align_power <= 1.0, "a power in [0, 1]; 1 is the given shares, 0 equal ones"),
            "hold": (0.0 <= self.hold <= 1.0, "a share of a generation in [0, 1]"),
            "snapshots": (type(self.snapshots) is int and self.snapshots >= 0, "a number of generations >= 0"),
            "target_from": (self.target_from in (None, "own", "peer"), '"own" or "peer"'),
            "predict_with": (self.predict_with in ("networks", "averaged"), '"networks" or "averaged"'),
        }
        check_ranges(self, ranges)
        if message := next((message for message, refused in self._contradictions() if refused), None):
            raise ArgumentError(message)

    def _contradictions(self) -> Iterator[tuple[str, object]]:
        """What is wrong with settings that do not belong together, and whether these are such."""
        own, table = self.own_targets, self.ensembling
        one = 'target_from is "peer", but there is one network only: pass a second one, or take "own"'
        yield one, self.networks == 1 and not own
        unaveraged = 'predict_with is "averaged", but gamma is 0: set gamma, or take "networks"'
        yield unaveraged, self.predict_with == "averaged" and not self.gamma
        for name, what in (
            ("hold keeps targets for a while", " to keep"),
            ("posterior sets the targets anew", ""),
            ("align is about the mean of the targets", " to average"),
        ):
            message = f"{name}, and without ensembling there are none{what}: leave one of them out"
            yield message, getattr(self, name.split()[0]) and not table
        useless = "relabel learns held targets in place of labels, and hold is 0: set hold, or leave relabel out"
        yield useless, self.relabel and not self.hold
        idle = "align_power is of the shares that targets are aligned with: set align, or leave align_power out"
        yield idle, self.align_power != 1.0 and not self.align
        present = "without ensembling and averaging, a network's own targets would be its present outputs: expected "
        yield present + 'ensembling, gamma > 0, or target_from="peer"', not table and not self.gamma and own

    @property
    def own_targets(self) -> bool:
        """Whether a network's targets come from itself."""
        return (self.target_from or ("own" if self.networks == 1 else "peer")) == "own"

    @property
    def num_networks(self) -> int:
        return self.networks
