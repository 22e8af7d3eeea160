"""The ELR loss for a training loop of one's own, with the targets inside."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn, softmax

from elr.checking import checked
from elr.errors import ArgumentError, DataWarning
from elr.methods.ingredients.alignment import Alignment, before
from elr.methods.loss.first_steps import FirstSteps
from elr.methods.loss.formulas import as_tensor, check_weights, confined, full_precision
from elr.methods.loss.fused import check_batch, elr_loss, is_swept, swept_elr_loss
from elr.methods.loss.known_gradient import in_blocks
from elr.methods.loss.traced import traced_elr_loss
from elr.targets.dense import DenseTargets
from elr.targets.store import Targets, whole_probs

if TYPE_CHECKING:
    from elr.audit.label_quality import Audit

_Renewal = Callable[[slice, Tensor], Tensor]


class ELRLoss(nn.Module):
    """Cross entropy plus early-learning regularization, with the targets inside.

        loss = mean_i( CE(p_i, y_i) + lam * log(1 - <p_i, t_i>) ),   t_i <- beta t_i + (1 - beta) p_i

    p = softmax(logits), y the given labels, t the running average of earlier outputs for the same row, updated before
    the loss is taken and held constant in the gradient. With a clamp above 0 the regularizer and the targets have p
    confined to [clamp, 1 - clamp], the targets divided by its sum (`elr.methods.loss.formulas.confined`). In train mode
    `forward` updates the targets of the rows in `index`; in eval mode it reads them. On a GPU, let `index` stay on the
    CPU, where a DataLoader has it: there it is known at once whether a row comes twice, and a row out of range has a
    name. `state_dict()` holds the targets: N * C * 4 bytes in float32.

    Under several processes (DistributedDataParallel) say first how they belong together, or the first step is refused:
    `loss.targets.distribute(torch.distributed.group.WORLD)` makes the rows of all one batch; `distribute(None)` is for
    processes that train on data of their own each.

    Outputs that are not finite (half precision that overflows) make the loss not finite, so that a GradScaler skips the
    step; the targets of their rows stay what they were. `targets.nonfinite` counts them, and a warning says it once.

    The loss becomes negative as training goes well; that is normal. Its gradient comes with its value, and has no
    derivative: backward with create_graph=True is an error.

    Args:
        num_examples: N, rows of the training set.
        num_classes: C >= 2.
        lam: weight of the regularizer, >= 0. Default 3 (CIFAR-10 symmetric noise, Clothing1M); 7 for CIFAR-100; lasting
            resistance to a wrong label needs lam > 2.
        beta: momentum of the targets in [0, 1). Default 0.7 (as lam); 0.9 for CIFAR-100 and asymmetric noise.
        clamp: see `elr.methods.loss.formulas.elr_term`. Default 1e-4, the authors' code; 0 is the paper's formula
            without a floor.
        targets: another store than a dense one in float32 (float64 for float64 logits).
        class_shares: (C,) shares of the classes among the given labels of the training rows, or their counts: the
            regularizer sees aligned targets (`elr.methods.ingredients.alignment`), those from before the step, and
            `realign()` is to be called before each epoch. Default: targets as they are, the paper's.
        check_batches: whether the first step under several processes refuses batches that are the same on all of them,
            and rows that have other labels on one than on another (`elr.methods.loss.first_steps`).

    `labels` are class numbers (B,), or rows (B, C) of label probabilities: finite, >= 0, of sum 1. They and `index` may
    be lists or NumPy arrays as well.

    Returns:
        From `forward`: a scalar in nats.

    Raises:
        ArgumentError: a setting out of range, or shapes that do not belong together; labels that are no classes or no
            probabilities; train mode while gradients are off; several processes of which the targets were not told, or
            with batches as `check_batches` says; backward with create_graph=True.
        RowIndexError: a row outside [0, N).

    With `class_shares`, more than 2 N rows of training without `realign()` are refused as well.

    Example:
        >>> import torch
        >>> loss = ELRLoss(num_examples=100, num_classes=10)
        >>> logits = torch.zeros(2, 10, requires_grad=True)
        >>> loss(logits, torch.tensor([1, 7]), torch.tensor([42, 3])).round(decimals=4)
        tensor(2.2112, grad_fn=<RoundBackward1>)

    Source: equations 7 and 9, Algorithm 1 of Liu et al., NeurIPS 2020 (arXiv:2007.00151); defaults from its appendix G.
    """

    @checked
    def __init__(
        self,
        num_examples: int,
        num_classes: int,
        *,
        lam: float = 3.0,
        beta: float = 0.7,
        clamp: float = 1e-4,
        targets: Targets | None = None,
        class_shares: Tensor | None = None,
        check_batches: bool = True,
    ) -> None:
        super().__init__()
        check_weights(lam, beta)
        if targets is not None and (targets.num_examples, targets.num_classes) != (num_examples, num_classes):
            raise ArgumentError(
                f"targets hold {targets.num_examples} x {targets.num_classes}, the loss is for "
                f"{num_examples} x {num_classes}: make both alike"
            )
        self.lam = float(lam)
        self.beta = float(beta)
        self.clamp = float(clamp)
        self.targets = DenseTargets(num_examples, num_classes) if targets is None else targets
        self.first_steps = FirstSteps(num_examples) if check_batches else None
        self.alignment: Alignment | None = None
        if class_shares is not None:
            self.alignment = Alignment(num_examples, num_classes, class_shares=class_shares)

    def realign(self, *, class_shares: Tensor | None = None) -> None:
        """Align the targets as they stand with the shares of the classes; before each epoch, and after resuming one.

        Args:
            class_shares: (C,) from now on. Default: those that are known.

        Raises:
            ArgumentError: the loss was made without `class_shares`, or these cannot be.
        """
        if self.alignment is None:
            raise ArgumentError("the loss sees targets as they are: make it with class_shares to have them aligned")
        self.alignment.realign(self.targets, class_shares=class_shares)

    def renewed(self, index: Tensor, probs: Tensor, *, update: bool) -> Tensor:
        """(B, C) targets of these rows as the regularizer sees them, moved toward outputs (B, C) first if `update`.

        The outputs enter the targets as they are: whoever wants them confined to the clamp does so before.
        """
        if not update:
            return self.seen(self.targets.read(index).to(probs.device))
        if self.alignment is None:
            return self.targets.update(index, probs, beta=self.beta).to(probs.device)
        self.alignment.count(len(index))
        former = self.targets.read(index).to(probs.device)
        if torch.compiler.is_compiling():
            former = torch.ops.elr.keep(former)
        targets = self.targets.update(index, probs, beta=self.beta).to(probs.device)
        return self.alignment(before(former, targets))

    def seen(self, targets: Tensor) -> Tensor:
        """(B, C) targets of some rows as the regularizer sees them."""
        return targets if self.alignment is None else self.alignment(targets)

    def forward(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        if not isinstance(logits, Tensor):
            raise ArgumentError(f"logits are of type {type(logits).__name__}: expected a tensor (B, C)")
        index = as_tensor(index, "index", device=None)
        if self.training and not torch.is_grad_enabled():
            raise ArgumentError(
                "the loss is in train mode while gradients are off, so that measuring it would move the targets of "
                "these rows: call loss.eval() before measuring and loss.train() before training (of rows that were not "
                "trained on, measure cross entropy); loss.targets.update moves targets without a loss"
            )
        return self.parts(logits, as_tensor(labels, "labels", device=logits.device), index)[0]

    def parts(
        self, logits: Tensor, labels: Tensor, index: Tensor, *, lam: float | None = None, update: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, with its gradient, and its two means, detached: cross entropy and log(1 - <p, t>), without lam.

        Updates as `forward`, unless `update` is false; in one sweep with the loss, on a CPU block by block, where the
        store can. `lam` replaces that of the loss.
        """
        lam = self.lam if lam is None else lam
        check_batch(logits, labels, self.clamp)
        if (expected := (*index.shape, self.targets.num_classes)) != tuple(logits.shape):
            raise ArgumentError(
                f"logits have shape {tuple(logits.shape)}: expected {expected}, a row per index and a column per class"
            )
        if not (self.training and update):
            targets = self.seen(self.targets.read(index).to(logits.device))
            return elr_loss(logits, labels, targets, lam=lam, clamp=self.clamp)
        self.targets.check_ranks()
        if self.targets.process_group is not None and self.first_steps is not None and not self.first_steps.done:
            self.first_steps.look(index, labels, self.targets.process_group)
        renew = self._renewal(logits, index)
        if renew is not None:
            return swept_elr_loss(logits, labels, renew, lam=lam, clamp=self.clamp)
        table = self.targets.table_of(index, beta=self.beta) if self._is_traced(logits) else None
        if table is not None:
            weights = None
            if self.alignment is not None:
                self.alignment.count(len(index))
                weights = self.alignment.weights
            return traced_elr_loss(
                logits,
                labels,
                index,
                table,
                beta=self.beta,
                lam=lam,
                clamp=self.clamp,
                weights=weights,
                nonfinite=self.targets.nonfinite,
            )
        probs = softmax(full_precision(logits.detach()), dim=1)
        targets = self.renewed(index, confined(probs, self.clamp), update=True)
        return elr_loss(logits, labels, targets.to(logits.device), lam=lam, clamp=self.clamp)

    @checked
    def audit(
        self, labels: Any, *, score: str | None = None, margins: Any = None, class_names: Sequence[Any] | None = None
    ) -> Audit:
        """Which given labels the targets contradict, after training.

        The targets are scaled to rows that sum to 1, and looked at some rows at a time. A row that no step has had says
        nothing: it is no label issue, its label_quality is 0.5, and a warning says how many there are.

        Several processes: each can be asked, where the store has the rows of all of them (`targets.distribute`).

        Args:
            labels: (N,) given labels, the class numbers that training had, in order of the rows.
            score: see `elr.audit.label_quality.audit_labels`. Default "margin".
            margins: (N,), see there.
            class_names: (C,) names of the classes, for `Audit.to_frame`.

        Raises:
            ArgumentError: another number of labels or names, labels that are no class numbers, or no row with a target.

        Example:
            >>> loss = ELRLoss(num_examples=3, num_classes=2)
            >>> logits = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])
            >>> _ = loss(logits, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
            >>> loss.audit([0, 0, 1]).is_label_issue.tolist()
            [False, True, False]
        """
        from elr.audit.label_quality import Tally, rows_at_once

        count, classes = self.targets.num_examples, self.targets.num_classes
        given = as_tensor(labels, "labels", device=None).detach().cpu().numpy()
        if given.shape != (count,):
            raise ArgumentError(
                f"labels have shape {given.shape}, the targets are of {count} rows: expected a label for each row of "
                "the training set, in order of the row numbers"
            )
        if class_names is not None and len(class_names) != classes:
            raise ArgumentError(f"{len(class_names)} class_names for {classes} classes: expected a name for each")
        tally = Tally(given, num_classes=classes, score=score, margins=margins)
        unseen = 0
        for rows in torch.arange(count).split(rows_at_once(classes)):
            targets = self.targets.read(rows).cpu()
            unseen += int((targets.sum(dim=1) <= 0).sum())
            tally.add(whole_probs(targets).numpy())
        if unseen == count:
            raise ArgumentError("no row has a target yet, so nothing can be said of labels: train with this loss first")
        if unseen:
            warnings.warn(
                f"{unseen} of {count} rows have no target, for no step of training had them (of several processes: "
                "none of this one's, unless `targets.distribute` was called): nothing is said of their labels",
                DataWarning,
                stacklevel=3,  # past `checked`
            )
        names = None if class_names is None else tuple(class_names)
        return replace(tally.audit(), class_names=names)

    def _renewal(self, logits: Tensor, index: Tensor) -> _Renewal | None:
        """What updates the targets of these rows from within the sweep over the loss; None: update them before."""
        if in_blocks(logits):
            renew = self.targets.piecewise(index, beta=self.beta)
            if renew is None:
                return None
            return self._confining(renew if self.alignment is None else self._aligning(renew, index, self.alignment))
        if is_swept(logits):  # on a GPU, the whole batch at once
            return self._confining(lambda _, probs: self.renewed(index, probs, update=True).to(logits.device))
        return None

    def _confining(self, renew: _Renewal) -> _Renewal:
        """The same with outputs confined to the clamp, in one piece of memory for all blocks."""
        if self.clamp == 0.0:
            return renew
        scratch: list[Tensor] = []

        def renew_confined(rows: slice, probs: Tensor) -> Tensor:
            if not scratch:
                scratch.append(torch.empty_like(probs))
            return renew(rows, confined(probs, self.clamp, out=scratch[0][: len(probs)]))

        return renew_confined

    def _aligning(self, renew: _Renewal, index: Tensor, alignment: Alignment) -> _Renewal:
        """The same with targets as the regularizer sees them."""
        alignment.count(len(index))

        def renew_aligned(rows: slice, probs: Tensor) -> Tensor:
            former = self.targets.read(index[rows])
            seen = before(former, renew(rows, probs))
            return alignment(seen, out=seen)

        return renew_aligned

    def _is_traced(self, logits: Tensor) -> bool:
        """Whether loss and update become one loop; on an accelerator looking for repeats would wait for it."""
        return torch.compiler.is_compiling() and logits.device.type == "cpu" and self.clamp > 0.0

    def extra_repr(self) -> str:
        return f"lam={self.lam}, beta={self.beta}, clamp={self.clamp}"
