"""DivideMix: labels that losses speak against are dropped, and two networks guess them for each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.ingredients.eval_mode import in_eval_mode
from elr.methods.ingredients.mixup import Mixing, draw_mixing
from elr.methods.loss.formulas import cross_entropy
from elr.methods.method import Batch, Inputs, Method, ParameterGroup, Step, View, check_begun, check_pass, gradient_of
from elr.methods.peers.dividemix_settings import DivideMixSettings
from elr.methods.peers.division import clean_probs_of, unit_losses
from elr.methods.peers.guessing import co_refined, confidence_penalty, semi_supervised_parts, sharpened
from elr.targets.config import DENSE, TargetsConfig
from elr.targets.store import Targets, whole_probs


@dataclass(frozen=True, kw_only=True)
class DivideMixConfig(DivideMixSettings):
    """Settings of `DivideMix`, see `elr.methods.peers.dividemix_settings.DivideMixSettings`, and how it is built.

    Example:
        >>> DivideMixConfig(warm_up=30, lam_u=150.0).num_networks
        2
        >>> DivideMixConfig(warm_up=0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: warm_up is 0: expected at least 1 epoch; the paper has 10 and 30
    """

    name: ClassVar[str] = "dividemix"
    whole_batches: ClassVar[bool] = False

    def target_widths(self, num_classes: int) -> tuple[int, ...]:
        return (num_classes,) * self.num_networks

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> DivideMix:
        self.check_networks(networks)
        stores = [(targets or DENSE).build(num_examples, num_classes) for _ in networks]
        return DivideMix(networks, self, stores=stores)


class DivideMix(Method):
    """Two networks divide the rows for each other into labeled and unlabeled ones, and learn both kinds together.

    After `warm_up` epochs of cross entropy each epoch begins with the losses of all rows, by each network in eval mode,
    stretched to [0, 1]; a mixture of two Gaussians fitted to them gives each row the probability w that its label is
    right (`elr.methods.peers.division`). Network k then trains on the division of its peer: rows with w > threshold are
    labeled, the others unlabeled. Each batch has as many of the one as of the other. With p_k the mean output of
    network k over the M views of a row, before the step and constant in the gradient,

        labeled:    q = sharpened(w y + (1 - w) p_k, T)
        unlabeled:  q = sharpened((p_1 + p_2) / 2, T)

    All views of all these rows are mixed by pairs, as in mixup, with max(l, 1 - l), l ~ Beta(alpha, alpha), and

        loss = mean CE(p, q) over labeled + lam_u * ramp * mean (p - q)^2 over unlabeled + KL(1/C || mean p)

    An epoch has two passes, one for each network, of as many batches as the labeled rows fill; of the unlabeled ones
    come as many, in turns. Where no row is unlabeled, batches are of labeled rows alone; where no w exceeds the
    threshold, all rows are labeled, with their w. Warm-up passes have the rows that `TrainingConfig.sampling` says, the
    later ones those of the division. Inputs without augmentation have equal views: then p_k is one output.

    Predictions are the mean of both networks. `pred_probs` is the mean over k of w y + (1 - w) p_k, not sharpened, with
    p_k of the inputs as they are, from the beginning of the epoch and anew at the end of training; during the warm-up
    what each network said of the row last. In eval mode nothing is mixed and no state changes. Stores 8 C + 10 bytes
    for each row, and 8 more for each of the `loss_epochs`, beside the networks. A new generation begins with a warm-up.

    Args:
        networks: two, each giving logits (B, C).
        config: the settings.
        stores: of what each network makes of the rows, one for each.

    Raises:
        ArgumentError: another number of networks or stores.

    Example:
        >>> networks = [nn.Linear(2, 3), nn.Linear(2, 3)]
        >>> method = DivideMixConfig(warm_up=1).build(networks, num_examples=6, num_classes=3)
        >>> class Rows(View):
        ...     num_examples = 6
        ...
        ...     def batches(self):
        ...         yield Batch(torch.arange(6), torch.eye(6)[:, :2], torch.tensor([0, 1, 2, 2, 2, 2]))
        >>> method.begin_epoch(1, Rows())
        >>> method.begin_pass(0)
        >>> torch.equal(torch.cat(list(method.epoch_rows(1, 0))).sort().values, torch.arange(6))
        True
        >>> sorted(method(next(Rows().batches())).terms)
        ['consistency', 'cross_entropy', 'loss', 'prior']

    Source: Li, Socher, Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning", ICLR 2020
    (arXiv:2002.07394), Algorithm 1 and equations 1 to 12 (their numbers from memory), and the authors' code
    (LiJunnan1992/DivideMix, Train_CIFAR.py). Differs from the code: `batch_size` is that of both kinds together (128
    in the paper; the code's 64 is of each); batches of a kind differ in size by one row at most, where the code's last
    one is what is left; the start of k-means is fixed; predictions average probabilities, not logits; a batch with a
    single row of a kind guesses that row in eval mode; what happens where one kind is empty. The code of Clothing1M,
    which computes no outputs for unlabeled rows since their weight is 0 there, differs in the prior's mean.
    """

    @checked
    def __init__(self, networks: Sequence[nn.Module], config: DivideMixConfig, *, stores: Sequence[Targets]) -> None:
        super().__init__()
        config.check_networks(networks)
        if len(set(map(id, stores))) != len(networks) or not all(isinstance(store, Targets) for store in stores):
            raise ArgumentError(f"{len(stores)} stores for {len(networks)} networks: expected one for each")
        self.config = config
        self.networks = nn.ModuleList(networks)
        self.evidence = nn.ModuleList(stores)
        self.num_classes = stores[0].num_classes
        shape = len(networks), stores[0].num_examples
        self.clean_probs: Tensor
        self.labeled: Tensor
        self.losses: Tensor
        self.register_buffer("clean_probs", torch.ones(shape))  # w of each network
        self.register_buffer("labeled", torch.ones(shape, dtype=torch.bool))  # for each network, by its peer
        self.register_buffer("losses", torch.zeros(config.loss_epochs, *shape))  # of the latest epochs, in turns
        self.epoch, self.first_epoch = -1, 0  # the one under way, and that of this generation's beginning
        self.current = 0
        self.begun = False

    # -- what the loop asks for

    @property
    def passes(self) -> int:
        return len(self.networks)

    @property
    def views(self) -> int:
        return self.config.augmentations

    @property
    def stores(self) -> list[Targets]:
        return list(self.evidence)  # type: ignore[arg-type]

    @property
    def whole_batches(self) -> bool:
        return self._warms_up  # labeled rows and the others pass by themselves later, and a rank may have none of them

    def begin_epoch(self, epoch: int, view: View) -> None:
        self.epoch = epoch
        if not self._warms_up:
            losses = self._evaluated(view)
            self.losses[self._divisions % self.config.loss_epochs] = losses
            self._divide(self.losses[: self._divisions + 1])
            self._refine_evidence(view)

    def begin_pass(self, number: int) -> None:
        check_pass(self, number)
        self.current = number
        self.begun = True

    def epoch_rows(self, epoch: int, number: int) -> Tensor | Sequence[Tensor] | None:
        del epoch
        if self._warms_up:
            return None
        labeled = self.labeled[number]
        sets = [labeled.nonzero().flatten(), (~labeled).nonzero().flatten()]
        return [rows for rows in sets if len(rows)]

    def parameter_groups(self, number: int) -> list[ParameterGroup]:
        return [ParameterGroup([weight for weight in self.networks[number].parameters() if weight.requires_grad])]

    def first_state(self) -> dict[str, Any]:
        outlives = ("evidence.", "_extra_state")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(outlives)}

    def begin_generation(self, steps: int) -> None:
        del steps
        self.first_epoch = self.epoch + 1

    def end_training(self, view: View) -> None:
        if self._warms_up:
            warnings.warn(
                f"DivideMix ended within its warm-up of {self.config.warm_up} epochs, as cross entropy: set warm_up to "
                "fewer epochs than the run has",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        # As at the beginning of one more epoch, which is not counted: what is kept of the last ones is left alone.
        losses = self._evaluated(view)
        kept = min(self._divisions + 1, self.config.loss_epochs)
        order = [(self._divisions - back) % self.config.loss_epochs for back in range(kept)]
        self._divide(torch.stack([losses, *self.losses[order[: self.config.loss_epochs - 1]]]))
        self._refine_evidence(view)

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Step:
        """One step of the present pass's network, up to the loss; a `mixing` stands for what would be drawn."""
        check_begun(self.begun or not self.training)
        return self._warm_up_step(batch) if self._warms_up else self._divided_step(batch, mixing)

    @property
    def predictors(self) -> list[nn.Module]:
        return list(self.networks)

    def pred_probs(self, index: Tensor) -> Tensor:
        return torch.stack([whole_probs(store.read(index)) for store in self.stores]).mean(dim=0)

    def logit_gradients(self, index: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Of the warm-up's loss; later rows are mixed and their labels guessed, and no row has a loss of its own."""
        del index
        if not self._warms_up:
            return None
        penalty = float(self.config.confidence_penalty)
        return gradient_of(
            lambda outputs: cross_entropy(outputs, labels).sum() + penalty * len(outputs) * confidence_penalty(outputs),
            logits,
        )

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.epoch, self.first_epoch])

    def set_extra_state(self, state: Tensor) -> None:
        self.epoch, self.first_epoch = state.tolist()

    # -- the division

    @property
    def _divisions(self) -> int:
        """Divisions before that of the present epoch; below 0 in the warm-up."""
        return self.epoch - self.first_epoch - self.config.warm_up

    @property
    def _warms_up(self) -> bool:
        return self._divisions < 0

    @torch.no_grad()
    def _evaluated(self, view: View) -> Tensor:
        """(2, N) losses in [0, 1] of all rows by each network in eval mode; the outputs themselves go to the stores."""
        losses = torch.empty_like(self.clean_probs)
        with ExitStack() as modes, torch.autocast(losses.device.type, enabled=False):
            for network in self.networks:
                modes.enter_context(in_eval_mode(network))
            for batch in view.batches():
                for number, network in enumerate(self.networks):
                    logits = network(batch.inputs).float()
                    losses[number, batch.index] = cross_entropy(logits, batch.labels)
                    self.stores[number].update(batch.index, logits.softmax(dim=1), beta=0.0)
        return torch.stack([unit_losses(each) for each in view.agreed(losses)])

    def _divide(self, losses: Tensor) -> None:
        """Set w, and what is labeled, from losses (epochs, 2, N) of the latest epochs."""
        for number, of_network in enumerate(losses.mean(dim=0)):
            self.clean_probs[number] = clean_probs_of(of_network)
        for number, probs in enumerate(self.clean_probs.flip(0)):  # each network has its peer's
            passed = probs > self.config.threshold
            self.labeled[number] = passed if passed.any() else True

    @torch.no_grad()
    def _refine_evidence(self, view: View) -> None:
        """Replace each output p_k in the stores by w y + (1 - w) p_k."""
        start = 0
        for labels in view.labels_alone():
            for part in labels.split(2**20 // self.num_classes + 1):
                rows = torch.arange(start, start + len(part))
                for number, store in enumerate(self.stores):
                    said = whole_probs(store.read(rows))
                    probs = self.clean_probs[1 - number, start : start + len(part)].to(said.device)
                    store.update(rows, co_refined(self._as_rows(part.to(said.device)), said, probs), beta=0.0)
                start += len(part)

    # -- the steps

    def _warm_up_step(self, batch: Batch) -> Step:
        logits = self.networks[self.current](batch.inputs)
        if self.training:
            self.stores[self.current].update(batch.index, logits.detach().float().softmax(dim=1), beta=0.0)
        entropy = cross_entropy(logits, batch.labels).mean()
        terms = {"loss": entropy, "cross_entropy": entropy}
        if self.config.confidence_penalty:
            terms["confidence"] = confidence_penalty(logits)
            terms["loss"] = entropy + terms["confidence"]
        return Step(terms["loss"], logits, {name: value.detach() for name, value in terms.items()})

    def _divided_step(self, batch: Batch, mixing: Mixing | None) -> Step:
        """One batch of labeled and unlabeled rows."""
        there = self.labeled[self.current][batch.index]
        labeled, unlabeled = there.nonzero().flatten(), (~there).nonzero().flatten()
        views = (batch.inputs, *batch.views)
        logits, labels = self._new_labels(batch, views, labeled, unlabeled)
        inputs = _joined([_picked(view, rows) for rows in (labeled, unlabeled) for view in views if len(rows)])
        count, few = len(views) * len(batch.index), len(views) * len(labeled)
        if self.training and self.config.alpha and mixing is None:
            mixing = draw_mixing(count, alpha=self.config.alpha, device=labels.device)
        if mixing is not None:
            inputs, labels = mixing.mix_inputs(inputs), mixing.mix(labels)
        entropy, consistency, prior = semi_supervised_parts(self.networks[self.current](inputs), labels, labeled=few)
        loss = entropy + self._present_lam(batch) * consistency + prior
        terms = {"loss": loss, "cross_entropy": entropy, "consistency": consistency, "prior": prior}
        return Step(loss, logits, {name: value.detach() for name, value in terms.items()})

    @torch.no_grad()  # what is learned is constant in the gradient
    def _new_labels(
        self, batch: Batch, views: Sequence[Inputs], labeled: Tensor, unlabeled: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, C) of the first view, and labels (M B, C): refined ones for each view, then guessed ones."""
        network, peer = self.networks[self.current], self.networks[1 - self.current]
        guessed, said = self._said(network, views, unlabeled)
        if len(unlabeled):
            with in_eval_mode(peer):
                others, _ = self._said(peer, views, unlabeled)
            guessed = sharpened((guessed + others) / 2.0, self.config.temperature)
        refined, said_of_labeled = self._said(network, views, labeled)
        if len(labeled):
            probs = self.clean_probs[1 - self.current][batch.index[labeled]]
            refined = co_refined(self._as_rows(batch.labels[labeled]), refined, probs)
            refined = sharpened(refined, self.config.temperature)
        torch.clear_autocast_cache()  # torch before 2.10 would reuse these casts, which carry no gradient
        logits = torch.empty(len(batch.index), self.num_classes, device=refined.device)
        logits[labeled], logits[unlabeled] = said_of_labeled, said
        return logits, torch.cat([refined] * len(views) + [guessed] * len(views))

    def _said(self, network: nn.Module, views: Sequence[Inputs], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean probabilities (R, C) of some rows of a batch over its views, and logits (R, C) of the first one."""
        if not len(rows):
            nothing = torch.empty(0, self.num_classes, device=rows.device)
            return nothing, nothing
        with ExitStack() as modes:
            if len(rows) == 1:  # batch norm has no statistics of one row
                modes.enter_context(in_eval_mode(network))
            outputs = [network(_picked(view, rows)).float() for view in views]
        return torch.stack([each.softmax(dim=1) for each in outputs]).mean(dim=0), outputs[0]

    def _present_lam(self, batch: Batch) -> float:
        """The weight of unlabeled rows, which rises along a line from the end of the warm-up."""
        if not self.config.ramp:
            return self.config.lam_u
        return self.config.lam_u * min((self._divisions + batch.done) / self.config.ramp, 1.0)

    def _as_rows(self, labels: Tensor) -> Tensor:
        """Labels (B, C) as shares of the classes, of class numbers too."""
        return labels.float() if labels.ndim == 2 else F.one_hot(labels, self.num_classes).float()


def _picked(inputs: Inputs, rows: Tensor) -> Inputs:
    """Some rows of a batch of inputs, whichever form they have."""
    return inputs[rows] if isinstance(inputs, Tensor) else {name: values[rows] for name, values in inputs.items()}


def _joined(parts: Sequence[Inputs]) -> Inputs:
    """Batches of inputs one after the other."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))  # type: ignore[arg-type]
    names = list(parts[0])
    return {name: torch.cat([part[name] for part in parts]) for name in names}  # type: ignore[call-overload]
