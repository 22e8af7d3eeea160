"""Early-Learning Regularization as a method, from ELR to ELR+."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn, softmax
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from elr.errors import ArgumentError
from elr.methods.elr_loss import ELRLoss, check_weights
from elr.methods.fused import elr_loss
from elr.methods.method import Batch, Inputs, Method, Step, View, gradient_of
from elr.methods.mixup import Mixing, draw_mixing
from elr.methods.switches import SWITCHES, check_switches
from elr.targets.dense import DenseTargets
from elr.methods.posterior import TransitionCounts, label_posterior
from elr.targets.store import Targets, whole_probs

_TINY = 1e-12


class ELR(Method):
    """ELR and ELR+: one or two networks regularized by running averages of what was said of each example before.

        loss = mean_i( CE(p_i, y_i) + lam * log(1 - <p_i, t_i>) )

    Every ingredient is a switch; the paper's ablation is a set of settings:

    | setting | what it does |
    |---|---|
    | (none) | ELR: the targets average the network's own outputs |
    | gamma=0.997 | weight averaging: the targets come from the averaged weights |
    | mixup=1.0 | inputs, labels and targets are mixed with those of another example |
    | peer=network | a second network; each takes its targets from the other |
    | all three | ELR+ |
    | ensembling=False | stateless: the targets are the averaged network's present outputs; no table of N x C at all |

    A step of network k: its averaged weights move (gamma); the source of the targets (the network itself or its peer,
    the averaged weights if there are any) sees the inputs un-mixed, in train mode and without gradient; the targets of
    these rows move towards its outputs (beta); inputs, labels and targets are mixed; then the loss. Where the source
    is the very network that is trained on un-mixed inputs, or targets are held, one pass serves both. With a peer an
    epoch has two passes over the data, one for each network, in different orders. Both networks see the same given
    labels and the same rows.

    Eval mode changes no state. Beside the networks this stores 4 bytes for each of their parameters again if gamma > 0,
    4 N C bytes for each network if `ensembling`, and a copy of all that predicts for each of the `snapshots`.

    Generations (`hold`, `posterior`, `relabel`, `snapshots`) are made by the training loop, ours if
    `TrainingConfig.generations` > 1. Another loop keeps a copy of `first_state()`; to start again it calls
    `end_generation(view)`, loads that copy with strict=False, makes its optimizers anew and calls
    `begin_generation(steps)`; when all is done, `end_training(view)`. The ramp of gamma starts again with each
    generation; that of lam only where there is no table, for a table begins with what it holds.

    Args:
        network: gives logits (B, C).
        num_examples: N, rows of the training set.
        num_classes: C >= 2.
        lam: weight of the regularizer, >= 0; see `ELRLoss`.
        beta: momentum of the targets in [0, 1); see `ELRLoss`.
        clamp: see `ELRLoss`.
        targets: other stores than dense ones in float32: one, or with a peer two.
        peer: second network, of its own weights.
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
            example in eval mode, weighed with its given label by Bayes' rule (`elr.methods.posterior.label_posterior`):
            where the networks hesitate between the given label and another, the label decides. Needs no noise rate.
        relabel: whether held targets stand in for the given labels: as long as `hold` lasts, cross entropy is with the
            targets. After `posterior`, what the networks and the labels say together is what the next ones learn.
        snapshots: of how many earlier generations the networks, as they ended, take part in predictions, >= 0 (snapshot
            ensemble).
        refine_labels: whether mixed labels y become y t / sum(y t); the authors do so where C = 100. Class numbers that
            are not mixed stay what they are.
        predict_with: "networks": the mean of the networks' probabilities; "averaged": of the averaged networks'.

    Raises:
        ArgumentError: a setting out of range, or settings that do not belong together.

    Example:
        >>> method = ELR(nn.Linear(2, 3), num_examples=8, num_classes=3, lam=3.0, beta=0.7)
        >>> step = method(Batch(torch.tensor([5, 0]), torch.zeros(2, 2), torch.tensor([1, 2])))
        >>> sorted(step.terms)
        ['cross_entropy', 'elr', 'loss']
        >>> plus = ELR(nn.Linear(2, 3), peer=nn.Linear(2, 3), gamma=0.997, mixup=1.0, num_examples=8, num_classes=3)
        >>> plus.passes
        2

    Source: Algorithms 1 and 2, equations 7 and 9, Table 5 and appendices F and G of Liu et al., NeurIPS 2020. Differs
    from the authors' code: one draw of labels and one split for both networks (theirs leak labels, docs/decisions.md);
    averaged weights begin as the networks' and batch-norm statistics are averaged with them; predictions average
    probabilities, not logits; refinement cannot divide by zero.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_examples: int,
        num_classes: int,
        lam: float = 3.0,
        beta: float = 0.7,
        clamp: float = 1e-4,
        targets: Targets | Sequence[Targets] | None = None,
        peer: nn.Module | None = None,
        target_from: str | None = None,
        ensembling: bool = True,
        gamma: float = 0.0,
        gamma_ramp: int = 0,
        lam_ramp: int = 0,
        mixup: float = 0.0,
        hold: float = 0.0,
        posterior: bool = False,
        relabel: bool = False,
        snapshots: int = 0,
        refine_labels: bool = False,
        predict_with: str = "networks",
    ) -> None:
        super().__init__()
        self.network = network
        self.peer = peer
        self.lam = float(lam)
        self.beta = float(beta)
        self.clamp = float(clamp)
        self.target_from = target_from or ("own" if peer is None else "peer")
        self.ensembling = ensembling
        self.gamma = gamma
        self.gamma_ramp = gamma_ramp
        self.lam_ramp = lam_ramp
        self.mixup = mixup
        self.hold = hold
        self.posterior = posterior
        self.relabel = relabel
        self.snapshots = snapshots
        self.refine_labels = refine_labels
        self.predict_with = predict_with
        check_weights(self.lam, self.beta)
        check_switches(self._switches(), peer=peer is not None)
        if peer is network:
            raise ArgumentError("the peer is the network itself: expected a second one, with weights of its own")
        self.losses = nn.ModuleList(
            ELRLoss(num_examples, num_classes, lam=lam, beta=beta, clamp=clamp, targets=store)
            for store in self._stores(targets, (num_examples, num_classes))
        )
        self.steps = [0] * self.passes
        self.held_until, self.ended = 0, 0
        self.averaged = nn.ModuleList(self._average(number) for number in range(self.passes) if gamma)
        self.earlier = nn.ModuleList(self._copies() for _ in range(snapshots))
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
        if not 0 <= number < self.passes:
            raise ArgumentError(f"pass {number} of a method with {self.passes}: expected a number below {self.passes}")
        self.current = number
        self.begun = True

    def first_state(self) -> dict[str, Any]:
        outlives = ("losses.", "earlier.", "_extra_state")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(outlives)}

    def end_generation(self, view: View) -> None:
        if self.posterior:
            self._weigh_targets(view)
        if self.snapshots:  # the oldest one gives way
            self.earlier[self.ended % self.snapshots].load_state_dict(self._copies().state_dict())
        self.ended += 1

    def end_training(self, view: View) -> None:
        if self.posterior:
            self._weigh_targets(view)

    def begin_generation(self, steps: int) -> None:
        self.steps, self.held_until = [0] * self.passes, round(self.hold * steps)

    def trained(self, number: int) -> list[nn.Parameter]:
        return [weight for weight in self.networks[number].parameters() if weight.requires_grad]

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Step:
        """One step of the present pass's network, up to the loss.

        Args:
            batch: rows, inputs, labels.
            mixing: instead of what mixup would draw.

        Raises:
            ArgumentError: a mixing without mixup.
        """
        if mixing is not None and not self.mixup:
            raise ArgumentError("a mixing was given, but mixup is 0: set mixup to its alpha, or leave the mixing out")
        if self.training and not self.begun:
            raise ArgumentError(
                "a method of two networks trains one in each pass over the data: call begin_pass(0), later "
                "begin_pass(1), and give trained(0) and trained(1) an optimizer each"
            )
        network, lam, held = self.networks[self.current], self._present_lam, self._held
        update = self.training and not held
        if self.relabel and held:
            batch = batch._replace(labels=self._kept(batch.index, batch.labels.device))
        if self.training:
            self.steps[self.current] += 1
            if self.averaged:
                self.averaged[self.current].update_parameters(network)  # type: ignore[operator]
        source = network if held else self._source()  # held targets need no source
        if source is network and not self.mixup and not (self.refine_labels and batch.labels.ndim == 2):
            logits = seen = network(batch.inputs)
            loss, entropy, term = self.losses[self.current].parts(  # type: ignore[operator]
                logits, batch.labels, batch.index, lam=lam, update=update
            )
        else:
            with torch.no_grad():  # the paper holds targets constant in the gradient
                seen = source(batch.inputs)
            torch.clear_autocast_cache()  # torch before 2.10 would reuse these casts, which carry no gradient
            targets = self._targets(batch.index, softmax(seen.float(), dim=1), update=update)
            inputs, labels, targets = self._mixed(batch, targets, mixing)
            loss, entropy, term = elr_loss(network(inputs), labels, targets, lam=lam, clamp=self.clamp)
        return Step(loss, seen, {"loss": loss.detach(), "cross_entropy": entropy, "elr": term})

    def predict(self, inputs: Inputs) -> Tensor:
        return torch.stack([softmax(network(inputs).float(), dim=1) for network in self.predictors]).mean(dim=0)

    @property
    def predictors(self) -> list[nn.Module]:
        earlier = self.earlier[: min(self.ended, self.snapshots)]
        return [*self._present(), *(network for copies in earlier for network in copies)]  # type: ignore[attr-defined]

    @property
    def trained_networks(self) -> list[nn.Module]:
        return list(self.networks)

    def pred_probs(self, index: Tensor) -> Tensor | None:
        if not self.ensembling:
            return None
        return torch.stack([whole_probs(store.read(index)) for store in self.stores]).mean(dim=0)

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        if not self.ensembling:
            return None  # the targets are what the averaged network would say now
        targets, lam = self._kept(index, logits.device), self._present_lam
        labels = targets if self.relabel and self._held else labels
        return gradient_of(
            lambda outputs: elr_loss(outputs, labels, targets, lam=lam, clamp=self.clamp)[0] * len(index), logits
        )

    def get_extra_state(self) -> Tensor:
        return torch.tensor([*self.steps, self.held_until, self.ended])

    def set_extra_state(self, state: Tensor) -> None:
        values = state.tolist()
        if len(values) != self.passes + 2:
            raise ArgumentError(
                f"the state of a method of {self.passes} network(s) has {len(values)} counters, expected "
                f"{self.passes + 2}: it is of another method, or of an earlier version of elr"
            )
        *self.steps, self.held_until, self.ended = values

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._switches().items())

    def _switches(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SWITCHES}

    def _present(self) -> list[nn.Module]:
        """The networks of this generation that predict."""
        if self.predict_with == "networks":
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
        begun = self.ensembling and self.ended > 0  # the table is full
        return self.lam if begun else self.lam * _ramp(self.steps[self.current], self.lam_ramp)

    def _kept(self, index: Tensor, device: torch.device) -> Tensor:
        """(B, C) targets of the present pass's network as they are."""
        return self.stores[self.current].read(index).to(device)

    def _source(self) -> nn.Module:
        """Whose outputs make the targets of the present pass's network."""
        number = self.current if self.target_from == "own" else 1 - self.current
        return self.averaged[number] if self.averaged else self.networks[number]

    def _targets(self, index: Tensor, probs: Tensor, *, update: bool) -> Tensor:
        """(B, C) targets of the present pass's network, moved towards these outputs if `update`."""
        if not self.ensembling:
            return probs
        store = self.stores[self.current]
        targets = store.update(index, probs, beta=self.beta) if update else store.read(index)
        return targets.to(probs.device)

    @torch.no_grad()
    def _weigh_targets(self, view: View) -> None:
        """Set the targets to the posterior of the true class, given what the networks and the labels say."""
        was_training = self.training
        self.eval()
        counts = TransitionCounts(self.losses[0].targets.num_classes)  # type: ignore[union-attr, arg-type]
        seen: list[tuple[Tensor, Tensor]] = []
        for views in view.views():
            probs = torch.stack([self.predict(batch.inputs) for batch in views]).mean(dim=0)
            batch = views[0]
            seen.append((batch.index, batch.labels))
            for store in self.stores:
                store.update(batch.index, probs, beta=0.0)
        for index, _ in seen:
            counts.look(self.stores[0].read(index))
        for index, labels in seen:
            counts.add(self.stores[0].read(index), labels)
        transitions = counts.transitions
        for index, labels in seen:
            for store in self.stores:
                store.update(index, label_posterior(store.read(index), labels, transitions), beta=0.0)
        self.train(was_training)

    def _mixed(self, batch: Batch, targets: Tensor, mixing: Mixing | None) -> tuple[Inputs, Tensor, Tensor]:
        """Inputs, labels (B, C) and targets after mixup and refinement, as far as they are switched on."""
        inputs, labels = batch.inputs, batch.labels
        if labels.ndim == 1 and self.mixup:
            labels = F.one_hot(labels, targets.shape[1]).to(targets.dtype)
        if self.mixup and (self.training or mixing is not None):
            mixing = mixing or draw_mixing(len(batch.index), alpha=self.mixup, device=targets.device)
            inputs, labels, targets = mixing.mix_inputs(inputs), mixing.mix(labels), mixing.mix(targets)
        if self.refine_labels and labels.ndim == 2:  # a class number alone would stay what it is
            refined = labels * targets
            total = refined.sum(dim=1, keepdim=True)
            labels = (refined / total.clamp(min=_TINY)).where(total > _TINY, labels)
        return inputs, labels, targets

    def _stores(self, given: Targets | Sequence[Targets] | None, shape: tuple[int, int]) -> list[Targets]:
        """One store of targets for each network, or none."""
        if not self.ensembling:
            if given is not None:
                raise ArgumentError("targets were given, but ensembling is False: leave one of them out")
            return []
        if given is None:
            return [DenseTargets(*shape) for _ in self.networks]
        stores = [given] if isinstance(given, Targets) else list(given)
        if len(stores) != self.passes or len(set(map(id, stores))) != self.passes:
            raise ArgumentError(f"{len(stores)} stores of targets for {self.passes} networks: expected one for each")
        return stores

    def _average(self, number: int) -> AveragedModel:
        """Averaged weights (and batch-norm statistics) of a network, by the schedule of gamma."""

        def move(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
            del count  # it is on the device; the step of the host is the same, and waits for nothing
            if not averaged[0].is_floating_point():  # counters
                for old, new in zip(averaged, current, strict=True):
                    old.copy_(new)
                return
            decay = self.gamma * _ramp(self.steps[number] - 1, self.gamma_ramp)
            torch._foreach_lerp_(averaged, current, 1.0 - decay)  # pyright: ignore[reportPrivateImportUsage]

        # torch's own class: it copies the network, begins with its weights and counts its updates.
        return AveragedModel(self.networks[number], multi_avg_fn=move, use_buffers=True).requires_grad_(False)  # type: ignore[arg-type]


def _ramp(step: int, length: int) -> float:
    """exp(-5 (1 - step / length)^2) up to `length`, then 1; 1 throughout if there is no ramp."""
    return math.exp(-5.0 * (1.0 - min(step / length, 1.0)) ** 2) if length else 1.0
