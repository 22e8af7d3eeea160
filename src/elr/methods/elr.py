"""Early-Learning Regularization as a method, from ELR to ELR+: its settings, and the training step."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn, softmax

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.elr_settings import ELRSettings
from elr.methods.ingredients.alignment import Alignment, class_shares
from elr.methods.ingredients.averaging import averaged_weights, ramp
from elr.methods.ingredients.mixup import Mixing, draw_mixing, mixed_batch, refined
from elr.methods.ingredients.posterior import weigh_targets
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.formulas import confined, full_precision
from elr.methods.loss.fused import elr_loss
from elr.methods.method import Batch, Method, ParameterGroup, Step, View, check_begun, check_pass, gradient_of
from elr.targets.config import DENSE, STATELESS, TargetsConfig
from elr.targets.store import Targets, whole_probs

if TYPE_CHECKING:
    from typing_extensions import Self

STATELESS_GAMMA, STATELESS_RAMP = 0.997, 1000
"""Where targets are stateless: the paper's decay of averaged weights, and the steps over which lam rises."""
STATELESS_SHARE = 0.5
"""Of the steps of a run (a generation), over which lam rises where that is fewer."""


@dataclass(frozen=True, kw_only=True)
class ELRConfig(ELRSettings):
    """Settings of `ELR`, see `elr.methods.elr_settings.ELRSettings`, and how it is built.

    Raises:
        ArgumentError: a setting out of range, or settings that do not belong together.

    Example:
        >>> ELRConfig(lam=7.0, gamma=0.997).described()
        {'name': 'elr', 'lam': 7.0, 'beta': 0.7, 'gamma': 0.997}
        >>> ELRConfig(gamma=1.0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: gamma is 1.0: expected a decay in [0, 1); the paper has 0.997 and 0.9999, 0 is none
    """

    name: ClassVar[str] = "elr"

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> ELR:
        """See `MethodConfig.build`; a second network is a peer also where `networks` is 1."""
        config = replace(self, networks=2) if len(networks) == 2 else self
        if config.ensembling and targets is not None and targets.placement == STATELESS:
            config = config.stateless()
        count = config.networks if config.ensembling else 0
        return ELR(networks, config, stores=[(targets or DENSE).build(num_examples, num_classes) for _ in range(count)])

    def target_widths(self, num_classes: int) -> tuple[int, ...]:
        return (num_classes,) * self.networks if self.ensembling else ()

    def stateless(self, *, steps: int | None = None) -> Self:
        """The same without a store: averaged weights say what the targets would.

        gamma becomes the paper's 0.997 where it is 0, and lam rises over 1000 steps, or STATELESS_SHARE of a shorter
        run: from the first step on, a network would only confirm what it says at random. A longer ramp stays. There is
        no mean of targets to align.

        Example:
            >>> ELRConfig(lam=7.0).stateless().described()
            {'name': 'elr', 'lam': 7.0, 'beta': 0.7, 'ensembling': False, 'gamma': 0.997, 'lam_ramp': 1000}
            >>> ELRConfig(lam=7.0).stateless(steps=600).lam_ramp
            300
        """
        length = STATELESS_RAMP if steps is None else min(STATELESS_RAMP, int(STATELESS_SHARE * steps))
        return replace(
            self,
            ensembling=False,
            align=False,
            align_power=1.0,
            gamma=self.gamma or STATELESS_GAMMA,
            lam_ramp=max(self.lam_ramp, length),
        )

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """In the fast loop lam rises through the run, as in the first generation of the CIFAR-10 recipe."""
        asked = {"lam_ramp": steps, **asked} if fast else asked
        return super().for_run(asked, steps=steps, epochs=epochs, fast=fast)

    def resized(self, share: float, *, generations: int) -> Self:
        """The ramp of lam belongs to the first generation, and is as long; what is for later ones goes with them."""
        kept = self if generations > 1 else replace(self, hold=0.0, snapshots=0, posterior=False, relabel=False)
        return replace(kept, lam_ramp=round(share * kept.lam_ramp))

    def check_generations(self, generations: int) -> None:
        if self.snapshots >= generations:
            found = f"snapshots is {self.snapshots}, generations {generations}"
            raise ArgumentError(f"{found}: expected fewer snapshots, which are of earlier generations")
        if self.relabel and generations == 1:
            raise ArgumentError(
                "relabel is for later generations, and there is one generation: set training's generations to 2 or "
                "more, or leave relabel out"
            )

    @property
    def num_predictors(self) -> int:
        return self.networks * (1 + self.snapshots)

    @property
    def label(self) -> str:
        """ELR+ is ELR with all of its ingredients."""
        plus = self.networks == 2 and self.gamma > 0 and self.mixup > 0
        return "elr_plus" if plus else "elr"

    def described(self) -> dict[str, Any]:
        """The label, lam and beta, and the switches that are not at rest."""
        at_rest, kept = asdict(ELRConfig()), ("lam", "beta")
        switched = {name: value for name, value in asdict(self).items() if name in kept or value != at_rest[name]}
        return {"name": self.label} | switched


class ELR(Method):
    """ELR and ELR+: one or two networks regularized by running averages of what was said of each example before.

        loss = mean_i( CE(p_i, y_i) + lam * log(1 - <p_i, t_i>) )

    A step of network k: its averaged weights move (gamma); the source of the targets (the network itself or its peer,
    the averaged weights if there are any) sees the inputs un-mixed, in train mode and without gradient; the targets of
    these rows move toward its outputs (beta); inputs, labels and targets are mixed; then the loss. Where the source
    is the very network that is trained on un-mixed inputs, or targets are held, one pass serves both. With a peer an
    epoch has two passes over the data, one for each network, in different orders. Both networks see the same given
    labels and the same rows.

    Where the source is the very network that is trained on un-mixed inputs, its outputs enter the targets as the term
    sees them, confined to the clamp and divided by their sum; the outputs of any other pass enter as they are. Both are
    so in the authors' code.

    Eval mode changes no state. Beside the networks this stores 4 bytes for each of their parameters again if gamma > 0,
    a store of targets for each network if `ensembling`, and a copy of all that predicts for each of the `snapshots`.

    In a later generation the ramp of gamma starts again; that of lam only where there is no table, for a table begins
    with what it holds.

    Args:
        networks: one, or two of weights of their own; each gives logits (B, C).
        config: the switches. `ELRConfig.build` makes the stores as well.
        stores: of targets, one for each network; none without `ensembling`.

    Raises:
        ArgumentError: another number of networks or stores than `config` says.

    Example:
        >>> method = ELRConfig(lam=3.0, beta=0.7).build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
        >>> step = method(Batch(torch.tensor([5, 0]), torch.zeros(2, 2), torch.tensor([1, 2])))
        >>> sorted(step.terms)
        ['cross_entropy', 'elr', 'loss']

    Source: Algorithms 1 and 2, equations 7 and 9, Table 5 and appendices F and G of Liu et al., NeurIPS 2020. Differs
    from the authors' code: one draw of labels and one split for both networks (theirs leak labels,
    docs/paper/differences.md); averaged weights begin as the networks' and batch-norm statistics are averaged with
    them; predictions average probabilities, not logits; refinement cannot divide by zero.
    """

    @checked
    def __init__(self, networks: Sequence[nn.Module], config: ELRConfig, *, stores: Sequence[Targets] = ()) -> None:
        super().__init__()
        config.check_networks(networks)
        expected = len(networks) if config.ensembling else 0
        alike = all(isinstance(store, Targets) for store in stores)
        if len(set(map(id, stores))) != expected or len(stores) != expected or not alike:
            found = f"{len(stores)} stores of targets for {len(networks)} network(s)"
            raise ArgumentError(f"{found}: expected {expected}, one for each network, or none without ensembling")
        self.config = config
        self.network = networks[0]
        self.peer = networks[1] if len(networks) == 2 else None
        lam, beta, clamp = config.lam, config.beta, config.clamp
        self.losses = nn.ModuleList(
            ELRLoss(
                store.num_examples,
                store.num_classes,
                lam=lam,
                beta=beta,
                clamp=clamp,
                targets=store,
                check_batches=False,  # the loop shares out the rows, and compares the labels of all
            )
            for store in stores
        )
        if config.align:
            for loss, store in zip(self.losses, stores, strict=True):
                loss.alignment = Alignment(store.num_examples, store.num_classes)
        self.steps = [0] * self.passes
        self.held_until, self.ended = 0, 0
        self.averaged = nn.ModuleList(self._average(number) for number in range(self.passes) if config.gamma)
        self.earlier = nn.ModuleList(self._copies() for _ in range(config.snapshots))
        self.current = 0
        self.begun = self.passes == 1

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that are trained, one or two."""
        return (self.network,) if self.peer is None else (self.network, self.peer)

    @property
    def stores(self) -> list[Targets]:
        """The targets of each network; none if stateless."""
        return [loss.targets for loss in self.losses]  # type: ignore[union-attr, misc]

    @property
    def passes(self) -> int:
        return len(self.networks)

    def begin_pass(self, number: int) -> None:
        check_pass(self, number)
        self.current = number
        self.begun = True

    def begin_epoch(self, epoch: int, view: View) -> None:
        del epoch
        if self.config.align:
            shares = class_shares(view.labels_alone(), self.stores[0].num_classes)
            for loss in self.losses:
                loss.realign(class_shares=shares**self.config.align_power)  # type: ignore[operator]

    def first_state(self) -> dict[str, Any]:
        outlives = ("losses.", "earlier.", "_extra_state")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(outlives)}

    def end_generation(self, view: View) -> None:
        self.end_training(view)
        if self.config.snapshots:  # the oldest one gives way
            self.earlier[self.ended % self.config.snapshots].load_state_dict(self._copies().state_dict())
        self.ended += 1

    def end_training(self, view: View) -> None:
        if self.config.posterior:
            was_training = self.training
            weigh_targets(self.eval().stores, view, self.predict)
            self.train(was_training)

    def begin_generation(self, steps: int) -> None:
        self.steps, self.held_until = [0] * self.passes, round(self.config.hold * steps)

    def parameter_groups(self, number: int) -> list[ParameterGroup]:
        return [ParameterGroup([weight for weight in self.networks[number].parameters() if weight.requires_grad])]

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Step:
        """One step of the present pass's network, up to the loss; a `mixing` stands for what mixup would draw."""
        if mixing is not None and not self.config.mixup:
            raise ArgumentError("a mixing was given, but mixup is 0: set mixup to its alpha, or leave the mixing out")
        check_begun(self.begun or not self.training)
        network, lam, held = self.networks[self.current], self._present_lam, self._held
        update = self.training and not held
        if self.config.relabel and held:
            batch = batch._replace(labels=self._kept(batch.index, batch.labels.device))
        if self.training:
            self.steps[self.current] += 1
            if self.averaged:
                self.averaged[self.current].update_parameters(network)  # type: ignore[operator]
        if update and self.stores:
            self.stores[self.current].prefetch(batch.index)
        source = network if held else self._source()  # held targets need no source
        if source is network and not self.config.mixup and not (self.config.refine_labels and batch.labels.ndim == 2):
            logits = seen = network(batch.inputs)
            loss, entropy, term = self.losses[self.current].parts(  # type: ignore[operator]
                logits, batch.labels, batch.index, lam=lam, update=update
            )
        else:
            with torch.no_grad():  # the paper holds targets constant in the gradient
                seen = source(batch.inputs)
            torch.clear_autocast_cache()  # torch before 2.10 would reuse these casts, which carry no gradient
            probs = softmax(full_precision(seen), dim=1)
            if source is network and not self.config.mixup:  # what the term sees, as with a single pass
                probs = confined(probs, self.config.clamp)
            targets = self._targets(batch.index, probs, update=update)
            if self.config.mixup and self.training and mixing is None:
                count, group = len(batch.index), self.process_group
                mixing = draw_mixing(count, alpha=self.config.mixup, device=targets.device, group=group)
            inputs, labels, targets = (
                mixed_batch(batch, targets, mixing) if self.config.mixup else (*batch[1:3], targets)
            )
            if self.config.refine_labels and labels.ndim == 2:  # a class number alone would stay what it is
                labels = refined(labels, targets)
            outputs = network(inputs)
            loss, entropy, term = elr_loss(outputs, labels, targets, lam=lam, clamp=self.config.clamp)
            if mixing is None and self.config.predict_with == "networks":
                seen = outputs  # what is measured is the network that will predict, and not its average
        return Step(loss, seen, {"loss": loss.detach(), "cross_entropy": entropy, "elr": term})

    @property
    def predictors(self) -> list[nn.Module]:
        earlier = self.earlier[: min(self.ended, self.config.snapshots)]
        return [*self._present(), *(network for copies in earlier for network in copies)]  # type: ignore[attr-defined]

    @property
    def trained_networks(self) -> list[nn.Module]:
        return list(self.networks)

    def pred_probs(self, index: Tensor) -> Tensor | None:
        if not self.config.ensembling:
            return None
        return torch.stack([whole_probs(store.read(index)) for store in self.stores]).mean(dim=0)

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        if not self.config.ensembling:
            return None  # the targets are what the averaged network would say now
        targets, lam = self._kept(index, logits.device), self._present_lam
        labels = targets if self.config.relabel and self._held else labels
        seen = self.losses[self.current].seen(targets)  # type: ignore[operator]
        return gradient_of(
            lambda outputs: elr_loss(outputs, labels, seen, lam=lam, clamp=self.config.clamp)[0] * len(index), logits
        )

    def get_extra_state(self) -> Tensor:
        return torch.tensor([*self.steps, self.held_until, self.ended])

    def set_extra_state(self, state: Tensor) -> None:
        values = state.tolist()
        if len(values) != self.passes + 2:
            raise ArgumentError(
                f"the state of a method of {self.passes} network(s) has {len(values)} counters, expected "
                f"{self.passes + 2}: it is of another method"
            )
        *self.steps, self.held_until, self.ended = values

    def _present(self) -> list[nn.Module]:
        """The networks of this generation that predict."""
        if self.config.predict_with == "networks":
            return list(self.networks)
        return [averaged.module for averaged in self.averaged]  # type: ignore[misc]

    def _copies(self) -> nn.ModuleList:
        return copy.deepcopy(nn.ModuleList(self._present())).requires_grad_(False)

    @property
    def _held(self) -> bool:
        """Whether the targets of the present pass stay as the generation before left them."""
        return self.steps[self.current] < self.held_until

    @property
    def _present_lam(self) -> float:
        begun = self.config.ensembling and self.ended > 0  # the table is full
        return self.config.lam if begun else self.config.lam * ramp(self.steps[self.current], self.config.lam_ramp)

    def _kept(self, index: Tensor, device: torch.device) -> Tensor:
        """(B, C) targets of the present pass's network as they are."""
        return self.stores[self.current].read(index).to(device)

    def _source(self) -> nn.Module:
        """Whose outputs make the targets of the present pass's network."""
        number = self.current if self.config.own_targets else 1 - self.current
        return self.averaged[number] if self.averaged else self.networks[number]

    def _targets(self, index: Tensor, probs: Tensor, *, update: bool) -> Tensor:
        """(B, C) targets of the present pass's network as the loss sees them, moved to these outputs if `update`."""
        if not self.config.ensembling:
            return probs
        loss: ELRLoss = self.losses[self.current]  # type: ignore[assignment]
        return loss.renewed(index, probs, update=update)

    def _average(self, number: int) -> nn.Module:
        """Averaged weights of a network, by the schedule of gamma."""
        gamma, length = self.config.gamma, self.config.gamma_ramp
        return averaged_weights(self.networks[number], lambda: gamma * ramp(self.steps[number] - 1, length))
