"""The loss of ELR for `torch.compile` on a CPU: update, loss and gradient by one kernel, or one loop of the compiler.

In nats and in float32 (float64 for float64 logits), as `elr.methods.loss.formulas`, which has the formulas one by one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elr.methods.ingredients.alignment import aligned, before
from elr.methods.loss.formulas import check_classes, closed_form, confined, full_dtype, full_precision
from elr.methods.loss.kernel import kernel_takes, rows_repeat, run_kernel
from elr.methods.loss.known_gradient import KnownGradient
from elr.methods.loss.label_rows import check_label_rows
from elr.targets.store import check_rows, update_rows
from elr.targets.updating import finite_parts, has_repeats, note_nonfinite


def traced_elr_loss(
    logits: Tensor,
    labels: Tensor,
    index: Tensor,
    table: Tensor,
    *,
    beta: float,
    lam: float,
    clamp: float,
    weights: Tensor | None = None,
    nonfinite: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`elr.methods.loss.fused.elr_loss` with the targets of these rows updated first; for `torch.compile` on a CPU.

    Everything of a row is taken in one sweep over its numbers, the new targets and the gradient included: by a kernel
    (`elr.methods.loss.kernel`), or, where that is not for these arguments, by the compiler, as if no row came twice.
    `settle_rows`, which the compiler cannot look into, then writes the targets back; where a row did come twice, which
    no order of rows does that draws without replacement, it first takes the whole batch again.

    Args:
        logits: as `elr_loss`.
        labels: as `elr_loss`.
        index: (B,) int64 rows of the table, repeats allowed.
        table: (N, C) targets, changed in place; see `elr.targets.store.Targets.table_of`.
        beta: momentum of the targets in [0, 1).
        lam: as `elr_loss`.
        clamp: as `elr_loss`, above 0.
        weights: (C,) of the classes, by which the regularizer sees targets aligned, those from before the step; None:
            the new ones.
        nonfinite: (2,) int64 count of outputs that are kept out, see `elr.targets.store.Targets`; changed.

    Returns:
        As `elr_loss`.

    Raises:
        RowIndexError: a row outside [0, N); then nothing has changed.
        ArgumentError: labels outside [0, C), or rows that are no probabilities; then nothing has changed.

    Example:
        >>> table, index = torch.zeros(5, 2), torch.tensor([3])
        >>> logits, labels = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([1])
        >>> loss, _, _ = traced_elr_loss(logits, labels, index, table, beta=0.7, lam=3.0, clamp=1e-4)
        >>> loss.backward()
        >>> table[3], logits.grad  # the targets, 0.3 p; and the gradient
        (tensor([0.2642, 0.0358]), tensor([[ 0.7865, -0.7865]]))
    """
    if weights is None and kernel_takes(logits, labels, table):
        outputs = logits.detach()
        gradient, means = step_rows(table, index, outputs, labels, beta, lam, clamp, nonfinite)
        return KnownGradient.apply(logits, means[0] + lam * means[1], gradient), means[0], means[1]
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits.detach())
        largest = full.amax(dim=1, keepdim=True)
        exponentials = (full - largest).exp()
        total = exponentials.sum(dim=1, keepdim=True)
        probs = exponentials / total
        # Within bounds here, so that the loop need not look; out of bounds is for settle_rows to refuse.
        former = table[index.clamp(0, len(table) - 1)].to(full.dtype)
        targets = former + (1.0 - beta) * (confined(probs, clamp) - former)
        given = labels.detach()
        if given.ndim == 1:
            given = given.clamp(0, full.shape[1] - 1)
        log_probs = full - (total.log() + largest)
        seen = targets if weights is None else aligned(before(former, targets), weights.to(targets.dtype))
        entropy, term, gradient = closed_form(log_probs, probs, given, seen, lam=lam, clamp=clamp)
        means = torch.cat([entropy, term], dim=1).mean(dim=0)
        given, outputs = labels.detach(), logits.detach()
        settle_rows(table, index, outputs, given, targets, gradient, means, beta, lam, clamp, weights, nonfinite)
        loss = means[0] + lam * means[1]
    return KnownGradient.apply(logits, loss, gradient), means[0], means[1]


@torch.library.custom_op("elr::settle_rows", mutates_args={"table", "gradient", "means", "nonfinite"})
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
    weights: Tensor | None = None,
    nonfinite: Tensor | None = None,
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
        weights: as `traced_elr_loss`.
        nonfinite: as `traced_elr_loss`.

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
    else:
        check_label_rows(labels)
    if not has_repeats(index):
        noted = torch.zeros(2, dtype=torch.int64) if nonfinite is None else nonfinite
        if note_nonfinite(targets, noted):
            targets = torch.where(finite_parts(targets, 1)[:, 0], targets, table[index].to(targets.dtype))
        table[index] = targets.to(table.dtype)  # less time than index_copy_ (docs/log/speed.md)
        return
    former = None if weights is None else table[index]
    merged = _merged(table, index, logits, beta, clamp, nonfinite)
    seen = merged
    if weights is not None and former is not None:
        seen = aligned(before(former.to(merged.dtype), merged), weights.to(merged.dtype))
    full = full_precision(logits)
    log_probs, probs = torch.log_softmax(full, dim=1), torch.softmax(full, dim=1)
    entropy, term, exact = closed_form(log_probs, probs, labels, seen, lam=lam, clamp=clamp)
    gradient.copy_(exact)
    means.copy_(torch.cat([entropy, term], dim=1).mean(dim=0))


@settle_rows.register_fake
def _(*_: object) -> None:
    """For tracing: nothing is returned."""


def _merged(
    table: Tensor, index: Tensor, logits: Tensor, beta: float, clamp: float, nonfinite: Tensor | None
) -> Tensor:
    """The new targets of a batch in which rows come more than once."""
    outputs = confined(torch.softmax(logits, dim=1, dtype=full_dtype(logits)), clamp)
    return update_rows(table, index, outputs, beta, nonfinite)


@torch.library.custom_op("elr::step_rows", mutates_args={"table", "nonfinite"})
def step_rows(
    table: Tensor,
    index: Tensor,
    logits: Tensor,
    labels: Tensor,
    beta: float,
    lam: float,
    clamp: float,
    nonfinite: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The whole step of the loss by its kernel, as one operation; arguments and errors as `traced_elr_loss`.

    Returns:
        The gradient (B, C) of the loss in the logits, in full precision; (2,) mean cross entropy and mean ELR term.

    Example:
        >>> from elr.methods.loss.kernel import has_kernel
        >>> table, rows, labels = torch.zeros(3, 2), torch.tensor([2, 0]), torch.tensor([0, 1])
        >>> if has_kernel():
        ...     gradient, _ = step_rows(table, rows, torch.zeros(2, 2), labels, 0.5, 3.0, 1e-4)
        ...     assert table.tolist() == [[0.25, 0.25], [0.0, 0.0], [0.25, 0.25]]
    """
    check_rows(index, len(table))
    check_classes(labels, logits.shape[1])
    if rows_repeat(index):  # the new targets first, which the kernel then takes as they are
        merged, each = (
            _merged(table, index, logits, beta, clamp, nonfinite),
            torch.arange(len(index), device=index.device),
        )
        gradient, parts, _ = run_kernel(logits, labels, each, merged, beta=1.0, lam=lam, clamp=clamp)
        return gradient, parts.mean(dim=1)
    gradient, parts, missed = run_kernel(logits, labels, index, table, beta=beta, lam=lam, clamp=clamp)
    if nonfinite is not None and missed.any():
        nonfinite += torch.stack([missed.sum(), missed.any().long()])
    return gradient, parts.mean(dim=1)


@step_rows.register_fake
def _(table: Tensor, index: Tensor, logits: Tensor, *_: object) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    gradient = torch.empty(logits.shape, dtype=full_dtype(logits), device=logits.device)
    return gradient, gradient.new_empty(2)
