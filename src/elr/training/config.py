"""How a run trains, as plain values: the optimizer, its schedule, precision, seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from elr.checking import check_ranges, check_types
from elr.errors import ArgumentError

OPTIMIZERS = ("sgd", "muon", "adamw")
SCHEDULES = ("cosine", "restarts", "multistep", "onecycle", "triangle", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")
ALL, ANEW, ONCE = "all", "balanced", "balanced_once"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train: stochastic gradient descent with momentum, as the paper does. Plain values only.

    Args:
        epochs: passes over the data, >= 1.
        generations: how often training starts from its first weights, with the schedule from its beginning, in equal
            parts of the epochs; a method keeps what it has learned of the examples (`Method.begin_generation`).
        batch_size: B over all ranks, >= 2. An epoch is cut into ceil(N / B) batches whose sizes differ by one at most,
            so every row comes once an epoch and no batch is much smaller than the others.
        optimizer: "sgd", as the paper; "muon": see `elr.training.optimizers.ConvolutionalMuon`, whose other settings
            are its defaults; or "adamw": torch's, of betas (momentum, `elr.training.optimizers.SQUARES`), whose decay
            is not part of the gradient: each step takes learning_rate * weight_decay of every weight.
        learning_rate: peak learning rate, > 0. Default 0.02 (appendix G of the paper).
        momentum: in [0, 1). Default 0.9 (same).
        nesterov: whether momentum is Nesterov's; muon's always is, adamw's never.
        weight_decay: >= 0. Default 1e-3 (same).
        schedule: "cosine" to 0 over a generation; "restarts" (cosine, period `period`, down to learning_rate / 20: the
            paper's ELR*); "multistep" (times `decay` at `milestones`); "onecycle" (up, then down to 0, by cosines);
            "triangle" (the same by straight lines, as the speed runs do); "constant".
        milestones: epochs of a generation at which "multistep" decays.
        decay: factor at a milestone. Default 0.01 (same).
        period: epochs between restarts. Default 10 (same).
        sampling: which rows an epoch trains on: "all"; "balanced": as many of each given label, at random without
            repetition, drawn anew in each epoch (the paper, for Clothing1M); "balanced_once": drawn once for the run
            (the authors' code). A class with fewer rows gives all of them. Rows keep their numbers.
        num_batches: batches in such an epoch, >= 1; for the balanced ones only. The paper has 2000.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where the network is convolutional and the
            device gains by it (`elr.devices.computes_bfloat16`).
        device: "auto" (what Accelerate finds) or "cpu".
        cuda_graphs: whether the networks' passes are recorded and replayed, see `elr.training.cuda_graphs.replayed`; on
            one GPU only. It pays where the GPU waits for the host: small networks, small batches.
        seed: of the order of the rows, augmentation and dropout.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> TrainingConfig(epochs=36, generations=3).generation_epochs
        12
        >>> TrainingConfig(epochs=36, generations=5)
        Traceback (most recent call last):
        elr.errors.ArgumentError: generations is 5: expected at least 1, and a divisor of the 36 epochs
    """

    epochs: int = 100
    generations: int = 1
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.02
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-3
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    decay: float = 0.01
    period: int = 10
    sampling: str = ALL
    num_batches: int | None = None
    precision: str = "auto"
    device: str = "auto"
    cuda_graphs: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        ranges = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "generations": (
                type(self.generations) is int and self.generations >= 1 and self.epochs % self.generations == 0,
                f"at least 1, and a divisor of the {self.epochs} epochs",
            ),
            "batch_size": (self.batch_size >= 2, "at least 2"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "nesterov": (
                not self.nesterov or (self.momentum > 0 and self.optimizer != "adamw"),
                "False where momentum is 0, and for adamw",
            ),
            "milestones": (all(epoch > 0 for epoch in self.milestones), "epochs above 0"),
            "decay": (0 < self.decay <= 1, "a factor in (0, 1]"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "schedule": (self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "period": (self.period >= 1, "at least 1"),
            "sampling": (self.sampling in (ALL, ANEW, ONCE), f"one of {ALL}, {ANEW}, {ONCE}"),
            "num_batches": (
                self.num_batches is None if self.sampling == ALL else (self.num_batches or 0) >= 1,
                "None where all rows are trained on, at least 1 where a balanced subset is",
            ),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "device": (self.device in ("auto", "cpu"), "auto or cpu"),
            "cuda_graphs": (isinstance(self.cuda_graphs, bool), "True or False"),
            "seed": (0 <= self.seed < 2**31, "in [0, 2**31)"),
        }
        check_ranges(self, ranges)
        if self.generations > 1 and any(epoch >= self.generation_epochs for epoch in self.milestones):
            raise ArgumentError(
                f"milestones are {self.milestones}, and a generation has {self.generation_epochs} epochs: expected "
                "epochs of a generation"
            )

    def in_generations(self, count: int) -> TrainingConfig:
        """The same in so many generations, with epochs rounded up to a multiple of them.

        Example:
            >>> training = TrainingConfig(epochs=15).in_generations(2)
            >>> training.epochs, training.generations
            (16, 2)
        """
        return replace(self, epochs=-(-self.epochs // count) * count, generations=count)

    @property
    def generation_epochs(self) -> int:
        """Epochs of one generation."""
        return self.epochs // self.generations
