"""Joint optimization: labels are parameters too; what the network says for some epochs takes their place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from elr.checking import check_ranges, check_types, checked
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.ingredients.alignment import class_shares
from elr.methods.loss.formulas import cross_entropy, full_precision
from elr.methods.method import Batch, Method, Step, View, gradient_of
from elr.targets.config import DENSE, TargetsConfig
from elr.targets.store import Targets, whole_probs

if TYPE_CHECKING:
    from typing_extensions import Self

GIVEN, UNIFORM = "given", "uniform"
"""What the mean output is held to: the shares of the given labels, or the same share for each class."""
PUBLISHED_BEGIN, PUBLISHED_EPOCHS, PUBLISHED_WINDOW = 70, 200, 10


@dataclass(frozen=True, kw_only=True)
class JointOptimizationConfig(MethodConfig):
    """Settings of `JointOptimization`.

    Args:
        alpha: weight of the prior term, >= 0. 1.2 as published for CIFAR-10 with 70 % symmetric noise; .8 for 40 %
            asymmetric noise.
        beta: weight of the entropy term, >= 0. .8 and .4 there.
        begin: epochs until labels are replaced, >= 1. 70 as published, of 200; in shorter runs the same share of the
            epochs before `retrain` (`for_run`).
        window: of how many epochs the outputs are averaged, >= 1; 10 as published, and no more than `begin` in short
            runs. Each takes a store of targets.
        hard: whether the new label is the class of the largest mean output rather than the mean itself. The published
            results are of soft labels.
        prior: "given": the shares of the classes among the given labels; "uniform": the same for each, as the authors'
            code has it for CIFAR-10.
        retrain: whether the second half of the epochs trains anew, from the first weights, on the labels that the first
            half ended with, by cross entropy alone.

    Raises:
        ArgumentError: a setting out of range, or no epoch left in which labels are replaced.

    Example:
        >>> config = JointOptimizationConfig.for_run({"alpha": 0.8}, steps=900, epochs=40, fast=False)
        >>> config.alpha, config.begin, config.window, config.generations
        (0.8, 7, 7, 2)

    Source: sections 3 and 4 of Tanaka et al., CVPR 2018 (arXiv:1803.11364); begin, window and the form of the terms
    also first_step_train.py of the authors' code (DaikiTanaka-UT/JointOptimization), whose defaults for alpha and beta
    are 1 and .5. The values for CIFAR-10 stand in the README of YU1ut/JointOptimization, another implementation, with
    learning rates of .08 and .03, constant, for batches of 128 and a weight decay of 1e-4.
    """

    name: ClassVar[str] = "joint_optimization"
    alpha: float = 1.2
    beta: float = 0.8
    begin: int = PUBLISHED_BEGIN
    window: int = PUBLISHED_WINDOW
    hard: bool = False
    prior: str = GIVEN
    retrain: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        ranges = {
            "alpha": (0.0 <= self.alpha < math.inf, "a weight >= 0; the published ones are 1.2 and 0.8"),
            "beta": (0.0 <= self.beta < math.inf, "a weight >= 0; the published ones are 0.8 and 0.4"),
            "begin": (self.begin >= 1, "at least 1 epoch; the published one is 70 of 200"),
            "window": (self.window >= 1, "at least 1 epoch; the published ones are 10"),
            "prior": (self.prior in (GIVEN, UNIFORM), f"{GIVEN!r} or {UNIFORM!r}"),
        }
        check_ranges(self, ranges)

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """As published, but that labels are replaced as much earlier as the run is shorter."""
        config = super().for_run(asked, steps=steps, epochs=epochs, fast=fast)
        before = -(-epochs // config.generations)  # epochs in which labels can be replaced
        if "begin" not in asked:
            begin = max(1, min(PUBLISHED_BEGIN, before * PUBLISHED_BEGIN // PUBLISHED_EPOCHS))
            config = replace(config, begin=begin)
        if "window" not in asked:
            config = replace(config, window=min(PUBLISHED_WINDOW, config.begin))
        if config.begin > before:
            half = "the first half of the run has" if config.retrain else "the run has"
            raise ArgumentError(
                f"begin is {config.begin}, and {half} {before} epochs, so that no label would ever be replaced: choose "
                f"begin <= {before}, or leave it out"
            )
        return config

    def resized(self, share: float, *, generations: int) -> Self:
        """Labels are replaced earlier in a shorter run; in a single generation there is no training anew."""
        begin = max(1, round(share * self.begin))
        window = min(self.window, begin)
        return replace(self, begin=begin, window=window, retrain=self.retrain and generations > 1)

    def check_generations(self, generations: int) -> None:
        if generations != self.generations:
            how = "trains anew once" if self.retrain else "does not train anew"
            raise ArgumentError(
                f"generations is {generations}, and {self.name!r} with retrain={self.retrain} {how}: set training's "
                f"generations to {self.generations}, or change retrain"
            )

    @property
    def generations(self) -> int:
        return 2 if self.retrain else 1

    def target_widths(self, num_classes: int) -> tuple[int, ...]:
        return (num_classes,) * self.window

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> JointOptimization:
        self.check_networks(networks)
        stores = [(targets or DENSE).build(num_examples, num_classes) for _ in range(self.window)]
        return JointOptimization(networks[0], self, outputs=stores)


class JointOptimization(Method):
    """Network and labels by turns: trained on labels y_i, which become what the network says of the examples.

        loss = mean_i CE(p_i, y_i) + alpha KL(prior || mean_i p_i) + beta mean_i H(p_i)
        y_i = mean of p_i in the last `window` epochs, from epoch `begin` on; the given label before

    Learning rates are to be high and constant until then, so that wrong labels are not memorized. Labels that follow
    the network are free to follow it all into one class: the prior term is there against that, and the entropy term
    against labels that never decide. With `retrain`, the second generation starts from the first weights and trains on
    the labels as they are then, by cross entropy alone.

    p_i are the outputs of training steps, as augmented. The mean over a batch is that over its rows on all ranks, and
    so are the labels. A row without a step yet keeps its given label. Labels are judged by y_i, soft, even
    where `hard`.

    Keeps the outputs of `window` epochs, 4 C bytes an example each: such a mean forgets as much as it learns in each
    epoch, so that nothing less holds it exactly. The time of cross entropy. Eval mode changes no state.

    Args:
        network: gives logits (B, C).
        config: the settings.
        outputs: `window` stores, one for each epoch of the window.

    Raises:
        ArgumentError: another number of stores.

    Example:
        >>> method = JointOptimizationConfig(begin=1, window=2).build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> batch = Batch(torch.tensor([5, 0]), torch.ones(2, 2), torch.tensor([1, 2]))
        >>> method.labels(batch.index, batch.labels)
        tensor([1, 2])
        >>> said = method(batch).logits.softmax(dim=1)
        >>> method.epoch = 1
        >>> torch.allclose(method.labels(batch.index, batch.labels), said)
        True

    Source: sections 3.2 and 3.3 of Tanaka et al., CVPR 2018 (arXiv:1803.11364). Differs from the authors' code
    (first_step_train.py, second_step_train.py of DaikiTanaka-UT/JointOptimization): it holds the outputs of 10 epochs
    three times over (outputs, results, labels: 12 N C numbers, here 10); before 10 epochs it averages in zeros; the
    prior term is its divergence, 0 where the mean is the prior (theirs lacks a constant), and the prior is that of the
    given labels (theirs is uniform); training anew has the schedule and as many epochs as the first time (theirs 120
    after 200, with a learning rate of .2, divided by 10 after each third), and its first weights are the same.
    """

    @checked
    def __init__(self, network: nn.Module, config: JointOptimizationConfig, *, outputs: Sequence[Targets]) -> None:
        super().__init__()
        if len(set(map(id, outputs))) != config.window or len(outputs) != config.window:
            raise ArgumentError(f"{len(outputs)} stores for a window of {config.window} epochs: expected one for each")
        self.network = network
        self.config = config
        self.outputs = nn.ModuleList(outputs)
        self.epoch = 0
        self.until = 0  # the epoch from which labels are fixed; 0 before
        self.shares = torch.full((self.stores[0].num_classes,), 1.0 / self.stores[0].num_classes)

    @property
    def stores(self) -> list[Targets]:
        return list(self.outputs)  # type: ignore[arg-type]

    @property
    def replaces(self) -> bool:
        """Whether outputs take the place of the given labels by now."""
        return (self.until or self.epoch) >= self.config.begin

    @property
    def fixed(self) -> bool:
        """Whether the labels stay as they are: in training anew."""
        return self.until > 0

    def begin_epoch(self, epoch: int, view: View) -> None:
        self.epoch = epoch
        if self.config.prior == GIVEN:
            self.shares = class_shares(view.labels_alone(), self.stores[0].num_classes)

    def first_state(self) -> dict[str, Any]:
        outlives = ("outputs.", "_extra_state")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(outlives)}

    def end_generation(self, view: View) -> None:
        del view
        self.until = self.until or self.epoch + 1

    def forward(self, batch: Batch) -> Step:
        logits = self.network(batch.inputs)
        labels = self.labels(batch.index, batch.labels)
        if self.training and not self.fixed:
            store = self.stores[self.epoch % self.config.window]
            store.update(batch.index, torch.softmax(logits.detach().float(), dim=1), beta=0.0)
        terms = self._terms(logits, labels, shared=self.training)
        loss = self._loss(terms)
        return Step(loss, logits, {name: value.detach() for name, value in {"loss": loss, **terms}.items()})

    def labels(self, index: Tensor, given: Tensor) -> Tensor:
        """What rows are trained on at present.

        Args:
            index: (B,) rows.
            given: (B,) or (B, C) labels of theirs.

        Returns:
            The given labels; once they are replaced, (B, C) rows that sum to 1, or (B,) if `hard` and given so.
        """
        if not self.replaces:
            return given
        sums = self._sums(index).to(given.device)
        known = sums.sum(dim=1) > 0
        if self.config.hard and given.ndim == 1:
            return torch.where(known, sums.argmax(dim=1), given)
        found = F.one_hot(sums.argmax(dim=1), sums.shape[1]).to(sums.dtype) if self.config.hard else whole_probs(sums)
        rows = given if given.ndim == 2 else F.one_hot(given, sums.shape[1])
        return torch.where(known[:, None], found, rows.to(found.dtype))

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """As if these rows were a batch: the prior term belongs to all of them."""
        present = self.labels(index.to(labels.device), labels)
        return gradient_of(lambda outputs: self._loss(self._terms(outputs, present)) * len(outputs), logits)

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]

    def pred_probs(self, index: Tensor) -> Tensor:
        return whole_probs(self._sums(index))

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.epoch, self.until])

    def set_extra_state(self, state: Tensor) -> None:
        self.epoch, self.until = state.tolist()

    def _sums(self, index: Tensor) -> Tensor:
        """(B, C) sums of the outputs in the epochs of the window."""
        first, *others = (store.read(index) for store in self.stores)
        for each in others:
            first = first + each
        return first

    def _loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        if self.fixed:
            return terms["cross_entropy"]
        return terms["cross_entropy"] + self.config.alpha * terms["prior"] + self.config.beta * terms["entropy"]

    def _terms(self, logits: Tensor, labels: Tensor, *, shared: bool = False) -> dict[str, Tensor]:
        """Cross entropy, the prior term and the entropy, in nats; `shared`: the batch has rows on other ranks."""
        log_probs = F.log_softmax(full_precision(logits), dim=1)
        log_mean = torch.logsumexp(log_probs, dim=0) - math.log(len(logits))  # finite, where the mean is 0 in float32
        group = self.stores[0].process_group
        if shared and group is not None:
            log_mean = _over_ranks(log_mean, len(logits), group)
        self.shares = self.shares.to(log_mean)  # once
        return {
            "cross_entropy": cross_entropy(logits, labels).mean(),
            "prior": (torch.xlogy(self.shares, self.shares) - self.shares * log_mean).sum(),
            "entropy": -(log_probs.exp() * log_probs).sum(dim=1).mean(),
        }


def _over_ranks(log_mean: Tensor, num_rows: int, group: dist.ProcessGroup) -> Tensor:
    """(C,) log of the mean over the rows of all ranks; its gradient is this rank's part, which the loop averages."""
    mine = torch.cat([log_mean.detach() + math.log(num_rows), log_mean.new_tensor([num_rows])])
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, mine, group=group)
    log_sums, counts = torch.stack(gathered).split([len(log_mean), 1], dim=1)
    whole = torch.logsumexp(log_sums, dim=0) - counts.sum().log()
    part = torch.exp(log_mean.detach() - whole) * log_mean
    return part + (whole - part.detach())
