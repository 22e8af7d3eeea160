"""The loss and the update of its targets for compilers: one loop over the rows, one exponential per number."""

from __future__ import annotations

import torch
from torch import Tensor

from elr.methods.loss.formulas import KnownGradient, check_classes, full_precision
from elr.methods.loss.fused import closed_form, sweep
from elr.targets.dense import has_repeats, update_rows
from elr.targets.store import check_rows


def traced_elr_loss(
    logits: Tensor, labels: Tensor, index: Tensor, table: Tensor, *, beta: float, lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`elr.methods.loss.fused.elr_loss` with the targets of these rows updated first; for `torch.compile` on a CPU.

    Everything of a row is taken in one sweep over its numbers, the new targets and the gradient included, as if no row
    came twice. `settle_rows`, which the compiler cannot look into, then writes the targets back; where a row did
    come twice, which no order of rows does that draws without replacement, it first takes the whole batch again.

    Args:
        logits: as `elr_loss`.
        labels: as `elr_loss`.
        index: (B,) int64 rows of the table, repeats allowed.
        table: (N, C) targets, changed in place; see `elr.targets.store.Targets.table_of`.
        beta: momentum of the targets in [0, 1).
        lam: as `elr_loss`.
        clamp: as `elr_loss`, above 0.

    Returns:
        As `elr_loss`.

    Raises:
        RowIndexError: a row outside [0, N); then nothing has changed.
        ArgumentError: labels outside [0, C); then nothing has changed.

    Example:
        >>> table, index = torch.zeros(5, 2), torch.tensor([3])
        >>> logits, labels = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([1])
        >>> loss, _, _ = traced_elr_loss(logits, labels, index, table, beta=0.7, lam=3.0, clamp=1e-4)
        >>> loss.backward()
        >>> table[3], logits.grad  # the targets, 0.3 p; and the gradient
        (tensor([0.2642, 0.0358]), tensor([[ 0.7865, -0.7865]]))
    """
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits.detach())
        largest = full.amax(dim=1, keepdim=True)
        exponentials = (full - largest).exp()
        total = exponentials.sum(dim=1, keepdim=True)
        probs = exponentials / total
        # Within bounds here, so that the loop need not look; out of bounds is for settle_rows to refuse.
        former = table[index.clamp(0, len(table) - 1)].to(full.dtype)
        targets = former + (1.0 - beta) * (probs - former)
        given = labels.detach()
        if given.ndim == 1:
            given = given.clamp(0, full.shape[1] - 1)
        log_probs = full - (total.log() + largest)
        entropy, term, gradient = closed_form(log_probs, probs, given, targets, lam=lam, clamp=clamp)
        means = torch.cat([entropy, term], dim=1).mean(dim=0)
        settle_rows(table, index, logits.detach(), labels.detach(), targets, gradient, means, beta, lam, clamp)
        loss = means[0] + lam * means[1]
    return KnownGradient.apply(logits, loss, gradient), means[0], means[1]


@torch.library.custom_op("elr::settle_rows", mutates_args={"table", "gradient", "means"})
def settle_rows(
    table: Tensor,
    index: Tensor,
    logits: Tensor,
    labels: Tensor,
    targets: Tensor,
    gradient: Tensor,
    means: Tensor,
    beta: float,
    lam: float,
    clamp: float,
) -> None:
    """Write the new targets of a batch into the table, and take all again if a row came more than once.

    Args:
        table: (N, C), changed.
        index: (B,) int64.
        logits: (B, C), of any floating dtype.
        labels: (B,) int64 or (B, C) floating.
        targets: (B, C), the new ones if no row repeats.
        gradient: (B, C), of the loss in the logits if no row repeats; else changed.
        means: (2,) cross entropy and ELR term if no row repeats; else changed.
        beta: as `traced_elr_loss`.
        lam: as `traced_elr_loss`.
        clamp: as `traced_elr_loss`.

    Raises:
        RowIndexError: see `traced_elr_loss`.
        ArgumentError: see `traced_elr_loss`.

    Example:
        >>> table, logits = torch.zeros(3, 2), torch.zeros(2, 2)
        >>> targets, gradient, means = torch.full((2, 2), 0.25), torch.zeros(2, 2), torch.zeros(2)
        >>> index, labels = torch.tensor([2, 0]), torch.tensor([0, 1])
        >>> settle_rows(table, index, logits, labels, targets, gradient, means, 0.4, 3.0, 1e-4)
        >>> table.tolist(), gradient.any().item()
        ([[0.25, 0.25], [0.0, 0.0], [0.25, 0.25]], False)
    """
    check_rows(index, len(table))
    if labels.ndim == 1:
        check_classes(labels, logits.shape[1])
    if not has_repeats(index):
        table[index] = targets.to(table.dtype)  # less time than index_copy_ (docs/log/speed.md)
        return
    merged = update_rows(table, index, torch.softmax(logits, dim=1, dtype=torch.float32), beta)
    entropy, term, exact = sweep(logits, labels, lambda rows, _: merged[rows], lam, clamp)
    gradient.copy_(exact)
    means.copy_(torch.stack([entropy, term]))


@settle_rows.register_fake
def _(*_: object) -> None:
    """For tracing: nothing is returned."""
