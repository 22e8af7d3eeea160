"""SOP and SOP+: sparse noise of each example is learned beside the network, which is left the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from elr.checking import check_types, checked
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import check_labels, check_logits, full_precision
from elr.methods.method import Batch, Inputs, Method, ParameterGroup, Step, gradient_of
from elr.targets.ranks import number_of_ranks

if TYPE_CHECKING:
    from typing_extensions import Self

    from elr.targets.config import TargetsConfig

FLOOR = 1e-4
"""Below which neither a probability nor the sum of a row is let fall; the authors' code has it as `eps`."""
BATCH = 128
"""Rows of a batch in the paper: the learning rates of u and v are those of means over so many."""
EPOCHS = 120
"""Of the paper's runs of SOP; those of SOP+ have 300."""
_SEED = 0  # of the first u and v, which are alike in all runs and on all ranks


@dataclass(frozen=True, kw_only=True)
class SOPConfig(MethodConfig):
    """Settings of `SOP`; by default those of CIFAR-10 with symmetric noise.

    | | `u_rate` | `v_rate` | network's learning rate, weight decay |
    |---|---|---|---|
    | CIFAR-10, symmetric | 10 | 10 | 0.02, 5e-4 |
    | CIFAR-10, asymmetric | 10 | 100 | 0.02, 5e-4 |
    | CIFAR-100, symmetric | 1 | 10 | 0.02, 1e-3 |
    | CIFAR-100, asymmetric | 1 | 100 | 0.02, 1e-3 |

    Args:
        u_rate: learning rate of u in batches of 128 rows, > 0, constant; the paper's alpha_u.
        v_rate: of v; the paper's alpha_v.
        std: standard deviation of the first u and v, > 0: the smaller, the more epochs until noise shows. `elr fit`
            takes larger ones for runs of fewer than 120 epochs.
        consistency: weight of the agreement of two views, >= 0; SOP+ has 0.9. Above 0 a step takes twice as long.
        balance: weight of the penalty on uneven classes, >= 0; SOP+ has 0.1.
        joint: whether u goes down the squared error too, as in the authors' code since August 2022; in Algorithm 1
            it goes down cross entropy only.

    Raises:
        ArgumentError: a setting out of range.

    Example:
        >>> SOPConfig.for_run({"v_rate": 100.0}, steps=1000, epochs=30, fast=False)
        SOPConfig(u_rate=10.0, v_rate=100.0, std=0.01, consistency=0.0, balance=0.0, joint=False)

    Source: Liu et al., ICML 2022, whose Table A.1 was not at hand: CIFAR-100 as in README.md and config_cifar100.json
    of the authors' code, CIFAR-10 symmetric as in a reimplementation (noisypy), asymmetric from memory.
    """

    name: ClassVar[str] = "sop"
    u_rate: float = 10.0
    v_rate: float = 10.0
    std: float = 1e-8
    consistency: float = 0.0
    balance: float = 0.0
    joint: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("u_rate", "v_rate", "std"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                why = "; u = v = 0 would never move" if name == "std" else ""
                raise ArgumentError(f"{name} is {value}: expected a number above 0{why}")
        for name in ("consistency", "balance"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ArgumentError(f"{name} is {value}: expected a weight of 0 or more; SOP+ has 0.9 and 0.1")

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """As published; u and v begin larger in shorter runs, so that noise shows in the same part of the run.

        They grow by factors, epoch for epoch: a run of a part of the paper's 120 has the same part of the way to go, in
        logarithms.
        """
        asked = {"std": cls.std ** min(1.0, epochs / EPOCHS), **asked}
        return super().for_run(asked, steps=steps, epochs=epochs, fast=fast)

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> SOP:
        del targets  # u and v are parameters
        self.check_networks(networks)
        return SOP(networks[0], self, num_examples=num_examples, num_classes=num_classes)


@dataclass(frozen=True, kw_only=True)
class SOPPlusConfig(SOPConfig):
    """`SOPConfig` with the two further terms of SOP+.

    Example:
        >>> config = SOPPlusConfig()
        >>> config.consistency, config.balance
        (0.9, 0.1)

    Source: config_cifar100.json of the authors' code.
    """

    name: ClassVar[str] = "sop_plus"
    consistency: float = 0.9
    balance: float = 0.1


class SOP(Method):
    """Cross entropy of the outputs p with noise s_i of each example added, which is learned by gradient descent.

        s_i = u_i^2 y_i - v_i^2 (1 - y_i),    entry by entry; u_i is a number, v_i has C of them
        loss = mean_i( CE(phi(p_i + s_i), y_i) + |h_i + s_i - y_i|^2 ) + consistency * L_C + balance * L_B
        phi(w) = max(w, 1e-4) / sum_c max(w_c, 1e-4), and at least 1e-4 again;    h_i = one-hot argmax of p_i
        L_C = mean_i KL(p_i || p_i'),    p_i' of the second view; p_i is held constant
        L_B = KL(1/C || mean_i phi(p_i + s_i))

    Network and u go down the cross entropy, in which v is held constant; v goes down the squared error, in which u is,
    unless `joint`. u and v begin at about 1e-8: steps multiply them, so that the sum of squares of those that grow is
    kept small, as by an l1 penalty on s. Where the network will not say the given label, u grows until p + s does, and
    the network is no longer drawn to it. The squares are confined to [0, 1]. A row whose label has p + s below 1e-4
    gives the cross entropy no gradient while v is small.

    u and v have learning rates of their own, that are not scheduled, no momentum and no weight decay, whatever
    optimizer trains the network. Their step goes with the mean over the batch, so that the paper's rates are for its
    batches of 128; for others they are scaled to move a row as far. A step costs the rows of its batch, and under
    several ranks, whose gradients are exchanged, all N (C + 1) of them.

    How long noise takes to show goes by epochs, as a row moves once in each: v^2 of the class that the network says
    instead reaches 1/2 after about ln(1e8) / ln(1 + 4 v_rate / 128) of them, 67 by default, and u after fewer, the
    surer the network is. In much shorter runs v stays near 0; see `SOPConfig.for_run`.

    Nothing that it gathers says more of a row than the network (`pred_probs` is None): where u and v have not yet
    grown, every label would pass for right. `noise` shows s. The class balance is that of the batch of all ranks. Where
    a batch has one view only, L_C is left out. Stores N (C + 1) floats beside the network.

    Args:
        network: gives logits (B, C).
        config: rates and weights.
        num_examples: N, rows of the training set.
        num_classes: C.

    Example:
        >>> method = SOPPlusConfig().build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> rows, labels = torch.tensor([5, 0]), torch.tensor([1, 2])
        >>> sorted(method(Batch(rows, torch.zeros(2, 2), labels, (torch.ones(2, 2),))).terms)
        ['balance', 'consistency', 'cross_entropy', 'loss', 'squared_error']
        >>> with torch.no_grad():
        ...     method.u[5] = 0.5
        >>> method.noise(rows, labels).round(decimals=4).abs()
        tensor([[0.0000, 0.2500, 0.0000],
                [0.0000, 0.0000, 0.0000]])

    Source: Algorithm 1 of Liu, Zhu, Qu and You, "Robust Training under Label Noise by Over-parameterization", ICML 2022
    (arXiv:2202.14026), as the authors' code (github.com/shengliu66/SOP, model/loss.py) and its issues 5 and 10 have it.
    As in the code, it is the squares that are confined, not u and v, and L_B sees the noise. Differs from the code: u
    leaves the squared error alone (see `joint`); the constant log C is taken from L_B; rates are scaled to the batch;
    the second view is drawn from the run's augmentation as the first is, where theirs has AutoAugment and Cutout;
    labels may be shares of classes.
    """

    @checked
    def __init__(self, network: nn.Module, config: SOPConfig, *, num_examples: int, num_classes: int) -> None:
        super().__init__()
        if num_examples < 1 or num_classes < 2:
            raise ArgumentError(
                f"{num_examples} examples of {num_classes} classes: expected at least one, and at least two classes"
            )
        self.network = network
        self.config = config
        generator = torch.Generator().manual_seed(_SEED)
        self.u = nn.Parameter(config.std * torch.randn(num_examples, 1, generator=generator))
        self.v = nn.Parameter(config.std * torch.randn(num_examples, num_classes, generator=generator))

    @property
    def views(self) -> int:
        return 2 if self.config.consistency > 0 else 1

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.network]

    def parameter_groups(self, number: int) -> list[ParameterGroup]:
        del number
        network = ParameterGroup([weight for weight in self.network.parameters() if weight.requires_grad])
        rates = ((self.u, self.config.u_rate), (self.v, self.config.v_rate))
        return [network, *(ParameterGroup([rows], rate, 0.0, plain=True, batch_size=BATCH) for rows, rate in rates)]

    def forward(self, batch: Batch) -> Step:
        count = len(batch.index)
        logits, *others = self.network(_joined((batch.inputs, *batch.views[: self.views - 1]))).split(count)
        shares = self._shares(logits, batch.labels)
        with torch.autocast(logits.device.type, enabled=False):
            full = full_precision(logits)
            up, down = self._squares(batch.index, shares)
            mixed = _with_noise(full, up - down.detach())
            hard = F.one_hot(full.argmax(dim=1), full.shape[1])
            squares = (hard + (up if self.config.joint else up.detach()) - down - shares).square().sum(dim=1).mean()
            entropy = -(shares * mixed.log()).sum(dim=1).mean()
            loss = entropy + squares
            terms = {"cross_entropy": entropy, "squared_error": squares}
            if others:
                terms["consistency"] = _disagreement(full, full_precision(others[0]))
                loss = loss + self.config.consistency * terms["consistency"]
            if self.config.balance > 0:
                terms["balance"] = _imbalance(mixed, self.process_group if self.training else None)
                loss = loss + self.config.balance * terms["balance"]
        return Step(loss, logits, {name: value.detach() for name, value in {"loss": loss, **terms}.items()})

    def noise(self, index: Tensor, labels: Tensor) -> Tensor:
        """(B, C) s of some rows: how much of its given label the network is not to explain, and of other classes.

        Args:
            index: (B,) rows of the training set.
            labels: (B,) their given labels, or (B, C) rows that sum to 1.
        """
        with torch.no_grad():
            index = index.to(self.u.device)
            up, down = self._squares(index, self._shares(self.v[index], labels))
            return up - down

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        shares, noise = self._shares(logits, labels), self.noise(index, labels).to(logits.device)

        def total(outputs: Tensor) -> Tensor:
            mixed = _with_noise(outputs, noise)
            return self.config.balance * len(mixed) * _imbalance(mixed) - (shares * mixed.log()).sum()

        return gradient_of(total, logits)

    def _shares(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, C) the given labels as rows that sum to 1, in full precision."""
        labels = labels.to(logits.device)
        check_logits(logits)
        check_labels(logits, labels)
        shares = labels if labels.ndim == 2 else F.one_hot(labels, logits.shape[1])
        return shares.to(full_precision(logits).dtype)

    def _squares(self, index: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) u^2 y and v^2 (1 - y)."""
        sparse = not (
            dist.is_initialized() and dist.get_world_size() > 1
        )  # not every backend exchanges sparse gradients
        up, down = (F.embedding(index, each, sparse=sparse).square() for each in (self.u, self.v))
        return (up * shares).clamp(0.0, 1.0), (down * (1.0 - shares)).clamp(0.0, 1.0)


def _joined(views: Sequence[Inputs]) -> Inputs:
    """Several views one after another, for one pass of the network: its batch norms see all of them at once."""
    first, *others = views
    if not others:
        return first
    if isinstance(first, Tensor):
        return torch.cat([first, *others])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    return {name: torch.cat([view[name] for view in views]) for name in first}  # type: ignore[index]


def _with_noise(logits: Tensor, noise: Tensor) -> Tensor:
    """(B, C) phi(p + s)."""
    whole = F.normalize((logits.softmax(dim=1) + noise).clamp(min=FLOOR), p=1, dim=1)
    return whole.clamp(min=FLOOR, max=1.0)


def _disagreement(logits: Tensor, others: Tensor) -> Tensor:
    """The mean KL(p || p'), which draws p' to p."""
    return F.kl_div(others.log_softmax(dim=1), logits.detach().softmax(dim=1), reduction="batchmean")


def _imbalance(probs: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """KL of even classes and the mean of probabilities over the rows of all ranks.

    The gradient is this rank's part, which the loop averages.
    """
    mean = probs.mean(dim=0)
    if number_of_ranks(group) > 1:
        whole = torch.cat([probs.detach().sum(dim=0), mean.new_tensor([len(probs)])])
        dist.all_reduce(whole, group=group)
        mean = mean + (whole[:-1] / whole[-1] - mean.detach())
    return -(mean.clamp(min=FLOOR) * probs.shape[1]).log().mean()
