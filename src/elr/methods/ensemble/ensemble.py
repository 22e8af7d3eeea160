"""Networks side by side, each blind to a fold of the rows: they predict together, and judge what they never saw."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from elr.checking import checked
from elr.errors import ArgumentError
from elr.methods.ensemble.choice import Candidate, choice_text, choose, row_weights
from elr.methods.ensemble.folds import EVERYWHERE, folds_of
from elr.methods.ensemble.settings import EnsembleSettings
from elr.methods.ingredients.alignment import aligned, alignment_weights, class_shares
from elr.methods.loss.formulas import confined, cross_entropy, elr_term, full_precision
from elr.methods.method import Batch, Method, ParameterGroup, Step, View
from elr.networks.side_by_side import OneByOne, SideBySide, side_by_side
from elr.targets.config import DENSE, TargetsConfig
from elr.targets.store import Targets, whole_probs

_CURVE_POINTS = 10
_NUMBERS = 2**22  # of targets that are read at a time


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(EnsembleSettings):
    """Settings of an ensemble, and how it is built.

    Example:
        >>> from elr.methods.ensemble.settings import Setting
        >>> from elr.networks.spec import NetworkSpec
        >>> grid = [Setting(lam=3.0, network=NetworkSpec("linear", 3, num_features=5))]
        >>> config = EnsembleConfig(settings=grid, members=2, epochs=30)
        >>> networks = [grid[0].network.build(generator_seed=seed) for seed in (0, 1)]
        >>> len(config.build(networks, num_examples=8, num_classes=3).stores)
        2
    """

    def target_widths(self, num_classes: int) -> tuple[int, ...]:
        return self.num_networks * num_classes, num_classes

    @checked
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Ensemble:
        """See `MethodConfig.build`; networks of the first setting come first, one for each fold."""
        self.check_networks(networks)
        if self.members > num_examples:
            raise ArgumentError(
                f"members is {self.members} for {num_examples} rows: expected at most one for each row; --members 1 "
                "trains a single network on all of them"
            )
        store = targets or DENSE
        wide = replace(store, top_k=self.num_networks * store.top_k)  # as many classes of each network
        return Ensemble(
            networks,
            self,
            targets=wide.build(num_examples, self.num_networks * num_classes),
            evidence=store.build(num_examples, num_classes),
        )


class Ensemble(Method):
    """S settings of ELR times K networks, of which number k never sees a label of fold k.

        loss = sum_m 1 / (B (1 - 1/K)) sum_{i not of the fold of m} CE(p_im, y_i) + lam_m log(1 - <p_im, a_im>)

    m counts the S K networks, t_im is the running average of what network m said of row i, of its own fold as well, and
    a_im are the aligned targets (or t_im itself). The parts of the networks have nothing in common but the batch, so
    that each trains as it would alone; one program computes all of them.

    Through the run, at about ten epochs, each setting predicts every row by the network that is blind to it; how many
    given labels that hits is its curve. After the last epoch `elr.methods.ensemble.choice.choose` says which settings
    at which of the kept epochs predict: the mean of their probabilities. The evidence about a row is the mean of what
    the chosen networks blind to it say at the end and of their running averages of it.

    Eval mode changes no state. `Step.logits` are log-probabilities of blind networks, averaged over the settings.
    Stores the weights once more for each of the kept epochs, N S K C targets and N C numbers of evidence.

    Args:
        networks: S K of weights of their own, those of a setting one after the other.
        config: the settings.
        targets: store of N rows of S K C numbers.
        evidence: store of N rows of C numbers.

    Raises:
        ArgumentError: another number of networks.

    Example:
        >>> from elr.networks.spec import NetworkSpec
        >>> from elr.methods.ensemble.settings import Setting
        >>> spec = NetworkSpec("linear", 3, num_features=2)
        >>> config = EnsembleConfig(settings=[Setting(lam=3.0, network=spec)], members=2, epochs=1)
        >>> method = config.build([spec.build(generator_seed=k) for k in (0, 1)], num_examples=8, num_classes=3)
        >>> class Rows(View):
        ...     num_examples = 8
        ...
        ...     def batches(self):
        ...         yield Batch(torch.arange(8), torch.zeros(8, 2), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
        >>> method.begin_epoch(0, Rows())
        >>> step = method(next(Rows().batches()))
        >>> method.end_training(Rows())
        >>> step.logits.shape, len(method.predictors), method.pred_probs(torch.tensor([5])).shape
        (torch.Size([8, 3]), 2, torch.Size([1, 3]))

    Source: ours; out-of-fold predictions as evidence after Northcutt et al., "Confident Learning", JAIR 2021; the loss
    is that of Liu et al., NeurIPS 2020. How it was chosen: docs/benchmarks/own-data.md.
    """

    out_of_fold = True

    def __init__(
        self, networks: Sequence[nn.Module], config: EnsembleSettings, *, targets: Targets, evidence: Targets
    ) -> None:
        super().__init__()
        config.check_networks(networks)
        self.config = config
        self.num_classes = evidence.num_classes
        count, members = len(config.settings), config.members
        specs = [str((replace(setting.network, dropout=None), setting.learning_rate)) for setting in config.settings]
        self.groups = [[place for place in range(count) if specs[place] == spec] for spec in dict.fromkeys(specs)]
        self.stacks = nn.ModuleList(
            side_by_side([networks[place * members + k] for place in group for k in range(members)])
            for group in self.groups
        )
        order = [place for group in self.groups for place in group]
        self.lams: Tensor
        self.fold_of_network: Tensor
        self.register_buffer(
            "lams", torch.tensor([config.settings[place].lam for place in order]).repeat_interleave(members), False
        )
        self.register_buffer("fold_of_network", torch.arange(members).repeat(count), False)
        self.order = order  # of the settings in the stacks
        self.targets = targets
        targets.parts = config.num_networks
        self.evidence = evidence
        # what was kept: weights after each of the kept epochs but the last, hits of each candidate, points of the curve
        earlier = len(config.kept_epochs) - 1
        self.kept = nn.ModuleList(copy.deepcopy(self.stacks).requires_grad_(False) for _ in range(earlier))
        self.register_buffer(
            "hits", torch.zeros(len(config.kept_epochs), count, targets.num_examples, dtype=torch.bool)
        )
        self.register_buffer("curve", torch.full((len(self._points()), count), -1.0, dtype=torch.float64))
        self.hits: Tensor
        self.curve: Tensor
        self.candidates: list[Candidate] = []
        self.folds: Tensor | None = None
        self.some_everywhere = False  # whether there is a row that every network sees
        self.labels: Tensor | None = None
        self.weights: Tensor | None = None

    # -- what the loop asks for

    @property
    def stores(self) -> list[Targets]:
        return [self.targets, self.evidence]

    def parameter_groups(self, number: int) -> list[ParameterGroup]:
        del number
        return [
            ParameterGroup(list(stack.parameters()), learning_rate=self.config.settings[group[0]].learning_rate)
            for stack, group in zip(self.stacks, self.groups, strict=True)
        ]

    def begin_epoch(self, epoch: int, view: View) -> None:
        self._know_labels(view)
        assert self.folds is not None, "folds are known by now"
        self.folds = self.folds.to(self.lams.device)  # once, not at every step
        if epoch in self._points():
            self._look(epoch, view)
        self.weights = self._alignment() if self.config.align else None

    def end_training(self, view: View) -> None:
        self._know_labels(view)
        self._look(self.config.epochs, view)
        self.candidates = self._choose()
        self._judge(view)

    def forward(self, batch: Batch) -> Step:
        if self.folds is None:
            raise ArgumentError("an ensemble does not know its folds yet: call begin_epoch(epoch, view) first")
        logits = self._logits(self.stacks, batch.inputs)
        size, classes = len(batch.index), self.num_classes
        probs = torch.softmax(full_precision(logits.detach()), dim=-1)
        if self.training:
            flat = confined(probs, self.config.clamp).transpose(0, 1).reshape(size, -1)
            rows = self.targets.update(batch.index, flat, beta=self.config.beta)
        else:
            rows = self.targets.read(batch.index)
        targets = rows.to(logits.device).view(size, -1, classes).transpose(0, 1)
        if self.weights is not None:
            targets = aligned(targets, self.weights[:, None])
        folds = self.folds[batch.index.to(self.folds.device)]
        seen = (self.fold_of_network[:, None] != folds).to(probs.dtype)  # (M, B)
        labels = batch.labels.expand(len(logits), *batch.labels.shape).flatten(0, 1)
        entropy = cross_entropy(logits.flatten(0, 1), labels).view_as(seen)
        term = elr_term(logits.flatten(0, 1), targets.flatten(0, 1), clamp=self.config.clamp).view_as(seen)
        share = 1.0 / (size * (1.0 - 1.0 / self.config.members) * len(logits))
        loss = ((entropy + self.lams[:, None] * term) * seen).sum() * share
        terms = {
            "loss": loss.detach(),
            "cross_entropy": (entropy.detach() * seen).sum() * share,
            "elr": (term.detach() * seen).sum() * share,
        }
        blind = self._blind(probs.clamp(min=torch.finfo(probs.dtype).tiny).log(), folds).mean(dim=0)
        given = batch.labels if batch.labels.ndim == 1 else batch.labels.argmax(dim=1)
        terms["out_of_fold_agreement"] = (blind.argmax(dim=1) == given).double().mean()
        return Step(loss * len(logits), blind, terms)

    def predict(self, inputs: Any) -> Tensor:
        if not self.candidates:
            return torch.softmax(self._logits(self.stacks, inputs).float(), dim=-1).mean(dim=0)
        said = [probs.mean(dim=0) for _, probs in self._chosen_probs(inputs)]
        return torch.stack(said).mean(dim=0)

    @property
    def predictors(self) -> list[nn.Module]:
        members, found = self.config.members, []
        for each in self.chosen:
            stack, place = self._place(each)
            found += [stack.unstacked(place * members + k) for k in range(members)]
        return found

    @property
    def chosen(self) -> list[Candidate]:
        """What predicts; before the end of training, every setting as it is."""
        if self.candidates:
            return [each for each in self.candidates if each.chosen]
        nothing: dict[str, Any] = dict.fromkeys(
            ("agreement", "balanced_agreement", "score", "behind", "standard_error"), 0.0
        )
        return [
            Candidate(setting=place, epoch=self.config.epochs, chosen=True, **nothing)
            for place in range(len(self.config.settings))
        ]

    @property
    def trained_networks(self) -> list[nn.Module]:
        return list(self.stacks)

    def pred_probs(self, index: Tensor) -> Tensor:
        if self.candidates:
            return whole_probs(self.evidence.read(index))
        return self._running(index).mean(dim=0)

    def blind_probs(self, index: Tensor) -> Tensor:
        """(S, B, C) running averages of what the blind network of each setting said of these rows."""
        return self._running(index)[self._rank]

    # -- folds, choice, evidence

    def choice(self) -> dict[str, Any]:
        """What was chosen and why, in plain values; after `end_training`."""
        curve = self.curve.clamp(max=1.0).cpu().tolist()  # sums of weights may end a rounding above 1
        settings = [
            setting.described()
            | {"text": setting.text(), "curve": [list(point) for point in zip(self._points(), column, strict=True)]}
            for setting, column in zip(self.config.settings, zip(*curve, strict=True), strict=True)
        ]
        return {
            "text": choice_text(self.candidates, [setting.text() for setting in self.config.settings]),
            "members": self.config.members,
            "settings": settings,
            "candidates": [each.to_json() for each in self.candidates],
            "chosen": [self.config.settings[each.setting].described() | {"epoch": each.epoch} for each in self.chosen],
        }

    def _know_labels(self, view: View) -> None:
        """Folds and given classes, from the labels; the same on every rank and after every resume."""
        if self.folds is not None:
            return
        parts = [labels.cpu() for labels in view.labels_alone()]
        given = torch.cat([part if part.ndim == 1 else part.argmax(dim=1) for part in parts])
        shares = class_shares(parts, self.num_classes)
        self.shares, self.labels = shares.float(), given
        self.folds = torch.from_numpy(folds_of(given.numpy(), num_folds=self.config.members, seed=self.config.seed))
        self.some_everywhere = bool((self.folds == EVERYWHERE).any())

    def _points(self) -> list[int]:
        """Epochs after which the curve has a point."""
        epochs = self.config.epochs
        between = (max(1, round(epochs * k / _CURVE_POINTS)) for k in range(1, _CURVE_POINTS))
        return sorted({*self.config.kept_epochs, *between})

    @torch.no_grad()
    def _look(self, epoch: int, view: View) -> None:
        """Have every setting predict every row by the network that is blind to it."""
        assert self.labels is not None, "labels are known before"
        hits = torch.zeros(self.hits.shape[1:], dtype=torch.bool)
        for index, folds, (logits,) in self._in_eval_mode(view, lambda inputs: [self._logits(self.stacks, inputs)]):
            blind = self._blind(torch.softmax(logits.float(), dim=-1), folds)
            hits[:, index] = blind.argmax(dim=-1).cpu()[self._rank] == self.labels[index]
        weights = torch.from_numpy(row_weights(self.labels.numpy()))
        self.curve[self._points().index(epoch)] = torch.stack([weights[row].sum() for row in hits])
        if epoch in self.config.kept_epochs:
            place = self.config.kept_epochs.index(epoch)
            self.hits[place] = hits
            if place < len(self.kept):
                self.kept[place].load_state_dict(self.stacks.state_dict())

    @property
    def _rank(self) -> Tensor:
        """(S,) where each setting stands in the stacks."""
        return torch.tensor(self.order).argsort()

    def _choose(self) -> list[Candidate]:
        places = [(s, epoch) for epoch in self.config.kept_epochs for s in range(len(self.config.settings))]
        assert self.labels is not None, "labels are known before"
        return choose(places, self.hits.flatten(0, 1).cpu().numpy(), self.labels.numpy(), most=self.config.most)

    @torch.no_grad()
    def _judge(self, view: View) -> None:
        """Write the evidence: what blind networks of the chosen settings say, and have said."""
        chosen = self.chosen
        running = [self.order.index(each.setting) for each in chosen]
        compute = lambda inputs: [probs for _, probs in self._chosen_probs(inputs)]  # noqa: E731
        for index, folds, said in self._in_eval_mode(view, compute):
            blind = torch.stack([self._blind(probs, folds)[0] for probs in said]).mean(dim=0)
            averaged = self._running(index)[running].mean(dim=0).to(blind.device)
            blind = torch.where(blind.isfinite(), blind, averaged)
            self.evidence.update(index, (blind + averaged) / 2.0, beta=0.0)

    def _in_eval_mode(self, view: View, compute: Any) -> Iterator[tuple[Tensor, Tensor, list[Tensor]]]:
        """Rows, their folds, and what is computed of their inputs: batch by batch, the mode left as it was."""
        assert self.folds is not None, "folds are known before"
        was_training = self.training
        self.eval()
        try:
            for batch in view.batches():
                folds = self.folds[batch.index.to(self.folds.device)]
                yield batch.index.cpu(), folds, compute(batch.inputs)
        finally:
            self.train(was_training)

    def _logits(self, stacks: nn.ModuleList, inputs: Any) -> Tensor:
        """(M, B, C), in the order of the stacks."""
        return torch.cat([stack(inputs) for stack in stacks])

    def _chosen_probs(self, inputs: Any) -> Iterator[tuple[Candidate, Tensor]]:
        """(K, B, C) of each chosen candidate."""
        members, computed = self.config.members, dict[int, Tensor]()
        for each in self.chosen:
            stack, place = self._place(each)
            if id(stack) not in computed:
                computed[id(stack)] = torch.softmax(stack(inputs).float(), dim=-1)
            yield each, computed[id(stack)][place * members : (place + 1) * members]

    def _place(self, candidate: Candidate) -> tuple[SideBySide | OneByOne, int]:
        """The stack of a candidate, and the place of its setting in it."""
        kept = self.config.kept_epochs.index(candidate.epoch)
        stacks = self.kept[kept] if kept < len(self.kept) else self.stacks
        number = next(number for number, group in enumerate(self.groups) if candidate.setting in group)
        return stacks[number], self.groups[number].index(candidate.setting)  # type: ignore[index]

    def _blind(self, said: Tensor, folds: Tensor) -> Tensor:
        """(S, B, C) of (S K, B, C): of each row what the network says that never saw it; all, for rows of no fold."""
        said = said.unflatten(0, (-1, self.config.members))
        size = said.shape[2]
        picked = said[:, folds.clamp(min=0), torch.arange(size, device=said.device)]
        if not self.some_everywhere:
            return picked
        return torch.where((folds == EVERYWHERE)[:, None], said.mean(dim=1), picked)

    def _running(self, index: Tensor) -> Tensor:
        """(S, B, C) running averages of blind networks, rows that sum to 1, in the order of the stacks."""
        targets = self.targets.read(index).view(len(index), -1, self.num_classes).transpose(0, 1)
        if self.folds is None:
            return whole_probs(targets.reshape(-1, self.num_classes)).view_as(targets)
        blind = self._blind(targets, self.folds[index.to(self.folds.device)].to(targets.device))
        return whole_probs(blind.reshape(-1, self.num_classes)).view_as(blind)

    @torch.no_grad()
    def _alignment(self) -> Tensor:
        """(M, C) weights that give each network's targets, over the rows that it sees, the given shares."""
        assert self.folds is not None, "folds are known before"
        networks, classes = len(self.fold_of_network), self.num_classes
        sums = torch.zeros(networks, classes, dtype=torch.float64)
        step = max(1, _NUMBERS // (networks * classes))
        for rows in torch.arange(self.targets.num_examples).split(step):
            targets = self.targets.read(rows).view(len(rows), networks, classes)
            seen = self.fold_of_network[:, None].to(targets.device) != self.folds[rows.to(self.folds.device)].to(
                targets.device
            )
            sums += torch.einsum("bmc,mb->mc", targets, seen.to(targets.dtype)).double().cpu()
        return alignment_weights(sums, self.shares).float().to(self.lams.device)
