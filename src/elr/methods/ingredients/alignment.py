"""Aligned targets: the regularizer sees targets whose mean over the training rows has the given shares of the classes.

The published regularizer pulls each output toward its own target, and toward frequent classes: where the features say
little, every target drifts to the class that most labels are of, and the rows of the others follow
(docs/concepts/alignment.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elr.errors import ArgumentError

if TYPE_CHECKING:
    from elr.targets.store import Targets

BOUND = 1e4
"""Weights lie in [1 / BOUND, BOUND], so that none is infinite or zero. A class whose mean target is less than 1e-4 of
its share is beyond repair by weights: they would tell rounding from rounding. 1e-4 is also where the authors' clamp
stops listening to a probability."""


def alignment_weights(mean_targets: Tensor, class_shares: Tensor) -> Tensor:
    """The weight of each class that gives targets the shares of the given labels, w = pi / mean(t).

    Both are scaled to sum 1 first: targets sum to less in the first epochs, and only their shares count. Weights are 1
    where nothing is to be aligned: where mean(t) has the shares pi already, and where it is empty.

    Args:
        mean_targets: (..., C) means of the targets over the training rows, >= 0; leading axes are of several networks.
        class_shares: (C,) or (..., C) pi, shares of the classes among the given labels of these rows, or their counts.

    Returns:
        (..., C) weights in [1 / BOUND, BOUND], float32 (float64 for float64 means).

    Example:
        >>> alignment_weights(torch.tensor([[0.6, 0.2], [0.0, 0.0]]), torch.tensor([0.5, 0.5]))
        tensor([[0.6667, 2.0000],
                [1.0000, 1.0000]])
    """
    dtype = torch.float64 if mean_targets.dtype == torch.float64 else torch.float32
    means, shares = mean_targets.to(dtype), class_shares.to(mean_targets.device, dtype)
    total = means.sum(dim=-1, keepdim=True)
    least = torch.finfo(dtype).tiny
    means = means / total.clamp(min=least)
    shares = shares / shares.sum(dim=-1, keepdim=True)
    nothing = (total <= 0.0) | ((means <= 0.0) & (shares <= 0.0))
    return (shares / means.clamp(min=least)).clamp(1.0 / BOUND, BOUND).masked_fill(nothing, 1.0)


def aligned(targets: Tensor, weights: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Targets as the regularizer sees them: a_c = t_c w_c (sum_k t_k) / (sum_k t_k w_k), row by row.

    The sum of a row stays what it is, so that a row which was seen little pulls as little as before; a row of zeros
    stays zeros, and no entry is above 1.

    Args:
        targets: (..., B, C) t, float32 or float64, >= 0.
        weights: (C,), or (..., 1, C) for several networks, of the same type; see `alignment_weights`.
        out: memory for the result, which may be `targets` itself. Default: new memory.

    Returns:
        (..., B, C) aligned targets, which are `out` if it is given.

    Example:
        >>> aligned(torch.tensor([[0.6, 0.2], [0.9, 0.0], [0.0, 0.0]]), torch.tensor([0.5, 1.5]))
        tensor([[0.4000, 0.4000],
                [0.9000, 0.0000],
                [0.0000, 0.0000]])
    """
    mass = targets.sum(dim=-1, keepdim=True)
    weighted = torch.mul(targets, weights, out=out)
    scale = mass / weighted.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weighted.dtype).tiny)
    return torch.mul(weighted, scale, out=out).clamp_(max=1.0)


def before(former: Tensor, renewed: Tensor) -> Tensor:
    """Targets (B, C) as they were before a step renewed them; a row that had none yet has its first ones.

    The weights of an epoch are right for what its beginning had. Were targets seen that this epoch's outputs are in
    already, drift would feed itself until the epoch ends: at lam 7 and beta 0.7 shares swing from class to class
    (docs/concepts/alignment.md).

    Example:
        >>> before(torch.tensor([[0.2, 0.1], [0.0, 0.0]]), torch.tensor([[0.3, 0.2], [0.1, 0.2]]))
        tensor([[0.2000, 0.1000],
                [0.1000, 0.2000]])
    """
    return torch.where(former.sum(dim=-1, keepdim=True) > 0.0, former, renewed)


def class_shares(parts: Iterable[Tensor], num_classes: int) -> Tensor:
    """(C,) float64 shares of the classes among given labels, which come in parts: (B,) classes, or (B, C) rows.

    Example:
        >>> class_shares([torch.tensor([0, 2, 2]), torch.tensor([2])], 3)
        tensor([0.2500, 0.0000, 0.7500], dtype=torch.float64)
    """
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for labels in parts:
        if labels.ndim == 1:
            counts += torch.bincount(labels.cpu(), minlength=num_classes)
        else:
            counts += labels.sum(dim=0, dtype=torch.float64).cpu()
    return counts / counts.sum()


class Alignment(nn.Module):
    """The weights of the classes for a store of targets, constant from one `realign` to the next.

    `forward` gives targets as the regularizer sees them (`aligned`). Weights are 1 until the first `realign`; they are
    in `state_dict()`, 4 C bytes. The store keeps what it has: alignment is only what the loss sees.

    Args:
        num_examples: N, rows of the training set.
        num_classes: C >= 2.
        class_shares: (C,) shares of the classes among the given labels of these rows, or their counts; None: `realign`
            is given them.

    Raises:
        ArgumentError: shares of another shape, negative, or none above 0; in training, more than 2 N rows counted since
            the last `realign`, which whoever trains has forgotten.

    Example:
        >>> from elr.targets.dense import DenseTargets
        >>> targets = DenseTargets(2, 2)
        >>> given = targets.update(torch.tensor([0, 1]), torch.tensor([[0.9, 0.1], [0.7, 0.3]]), beta=0.0)
        >>> alignment = Alignment(2, 2, class_shares=torch.tensor([1, 1]))
        >>> torch.equal(alignment(given), given)
        True
        >>> alignment.realign(targets)
        >>> alignment(given)
        tensor([[0.6923, 0.3077],
                [0.3684, 0.6316]])
    """

    def __init__(self, num_examples: int, num_classes: int, *, class_shares: Tensor | None = None) -> None:
        super().__init__()
        self.num_examples = num_examples
        self.num_classes = num_classes
        self.class_shares = None if class_shares is None else self._checked(class_shares)
        self.register_buffer("weights", torch.ones(num_classes))
        self.weights: Tensor
        self.rows = torch.zeros((), dtype=torch.int64)  # on the processor, where looking at it costs nothing

    def forward(self, targets: Tensor, *, out: Tensor | None = None) -> Tensor:
        return aligned(targets, self.weights.to(targets.device, targets.dtype), out=out)

    @torch.no_grad()
    def realign(self, targets: Targets, *, class_shares: Tensor | None = None) -> None:
        """Weights for the targets as they stand; once an epoch, before its first step."""
        if class_shares is not None:
            self.class_shares = self._checked(class_shares)
        if self.class_shares is None:
            raise ArgumentError("no shares of the classes are known: pass class_shares, those of the given labels")
        self.weights.copy_(alignment_weights(targets.mean(), self.class_shares))
        self.rows.zero_()

    def count(self, rows: int) -> None:
        """Note that so many rows of targets are about to be updated."""
        if torch.compiler.is_compiling():
            torch.ops.elr.count_rows(self.rows, rows, 2 * self.num_examples)
        else:
            _count(self.rows, rows, 2 * self.num_examples)

    def _checked(self, shares: Tensor) -> Tensor:
        try:
            shares = torch.as_tensor(shares)
        except (TypeError, ValueError, RuntimeError):
            raise ArgumentError(f"class_shares are {repr(shares)[:200]}: expected a tensor of numbers") from None
        shares = shares.detach().cpu().double()
        if shares.shape != (self.num_classes,) or not (shares >= 0.0).all() or not 0.0 < shares.sum() < torch.inf:
            raise ArgumentError(
                f"class_shares are {shares.tolist()}: expected {self.num_classes} numbers >= 0, shares or counts of "
                "the classes among the given labels"
            )
        return shares

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}"


def _count(total: Tensor, rows: int, most: int) -> None:
    found = total.add_(rows).item()
    if found > most:
        raise ArgumentError(
            f"{found} rows of targets were updated since they were last aligned, more than twice as many as there are: "
            "call realign() before each epoch (a method: begin_epoch(epoch, view))"
        )


@torch.library.custom_op("elr::keep", mutates_args=())
def keep(values: Tensor) -> Tensor:
    """A copy that is made where it is asked for: compilers move the reading of a table past what changes the table.

    Example:
        >>> keep(torch.tensor([0.5]))
        tensor([0.5000])
    """
    return values.clone()


@keep.register_fake
def _(values: Tensor) -> Tensor:
    return torch.empty_like(values)


@torch.library.custom_op("elr::count_rows", mutates_args={"total"})
def count_rows(total: Tensor, rows: int, most: int) -> None:
    """Add to a count of rows, and raise ArgumentError if it is more than `most`; so that compilers take it as it is.

    Example:
        >>> total = torch.tensor(3)
        >>> count_rows(total, 2, 8)
        >>> total
        tensor(5)
    """
    _count(total, rows, most)


@count_rows.register_fake
def _(*_: object) -> None:
    """For tracing: nothing is returned."""
