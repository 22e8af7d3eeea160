"""The loss of ELR fused for training: value and gradient in one sweep over the batch.

In nats and in float32 (float64 for float64 logits), as `elr.methods.loss.formulas`, which has the formulas one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from elr.errors import ArgumentError
from elr.methods.loss.formulas import (
    check_clamp,
    check_classes,
    check_labels,
    check_logits,
    check_targets,
    closed_form,
    full_dtype,
    full_precision,
    regularizer,
)
from elr.methods.loss.known_gradient import KnownGradient, in_blocks
from elr.methods.loss.label_rows import assert_label_rows, check_label_rows

# Numbers in a block of rows: on a CPU the passes over a block run in its cache. Smaller blocks drown in the overhead of
# small operations (docs/benchmarks/loss.md).
BLOCK = 2**19


def elr_loss(
    logits: Tensor, labels: Tensor, targets: Tensor, *, lam: float, clamp: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of a batch, mean_i( CE(p_i, y_i) + lam * log(1 - <p_i, t_i>) ), with its parts; fused.

    The same values and gradients as `cross_entropy` and `elr_term`, in fewer passes over (B, C): one softmax serves
    both parts and the gradient, which has the closed form

        d/dz_c = p_c (1 + lam <p, t> / (1 - <p, t>)) - y_c - lam p_c t_c / (1 - <p, t>)

    per example. It is computed together with the value, on a CPU by blocks of rows that stay in the cache. It is a
    constant: there is no second derivative.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype, C >= 2.
        labels: (B,) int64 in [0, C), or (B, C) floating rows of label probabilities; they get no gradient.
        targets: (B, C) running averages t, see `elr_term`; they get no gradient.
        lam: weight of the regularizer.
        clamp: see `elr_term`.

    Returns:
        The loss, a scalar with a gradient; the mean cross entropy and the mean ELR term (without lam), detached.

    Raises:
        ArgumentError: shapes that do not belong together, labels outside [0, C) (on a CPU) or that ask for a gradient,
            rows of labels that are no probabilities (on a GPU, which is not waited for, a device-side assertion), or a
            clamp outside [0, 0.5).

    Example:
        >>> logits = torch.tensor([[2.0, 0.0]], requires_grad=True)
        >>> loss, entropy, term = elr_loss(logits, torch.tensor([1]), torch.tensor([[0.9, 0.1]]), lam=3.0)
        >>> [round(value.item(), 4) for value in (loss, entropy, term)]
        [-2.7718, 2.1269, -1.6329]

    Source: as `elr_term`; the gradient is Lemma 2 there.
    """
    check_batch(logits, labels, clamp)
    check_targets(logits, targets)
    targets = targets.detach()
    if is_swept(logits):
        return swept_elr_loss(logits, labels, lambda rows, _: targets[rows], lam=lam, clamp=clamp)
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits)
        log_probs, probs = F.log_softmax(full, dim=1), F.softmax(full, dim=1)
        entropy, term, gradient = closed_form(log_probs, probs, labels, targets.to(full.dtype), lam=lam, clamp=clamp)
        entropy, term = entropy.mean(), term.mean()
        loss = entropy + lam * term
    return KnownGradient.apply(logits, loss, gradient), entropy, term


def is_swept(logits: Tensor) -> bool:
    """Whether the loss and its gradient are taken in one sweep: on a CPU and a GPU, when nothing is traced.

    Example:
        >>> is_swept(torch.zeros(1, 2)), is_swept(torch.zeros(1, 2, device="meta"))
        (True, False)
    """
    return in_blocks(logits) or (logits.is_cuda and not torch.compiler.is_compiling())


def swept_elr_loss(
    logits: Tensor, labels: Tensor, targets: Callable[[slice, Tensor], Tensor], *, lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`elr_loss` with targets that are made as the blocks of rows come by; for arguments that `check_batch` has passed.

    Args:
        logits: as `elr_loss`, of which `is_swept` holds.
        labels: as `elr_loss`.
        targets: called once for each block (on a GPU all is one block), with the rows of the batch that it
            consists of and their (b, C) probabilities, which it must not change; returns their (b, C) targets.
        lam: as `elr_loss`.
        clamp: as `elr_loss`.

    Returns:
        As `elr_loss`.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([0])
        >>> loss, _, term = swept_elr_loss(logits, labels, lambda rows, probs: probs, lam=3.0, clamp=1e-4)
        >>> term  # log(1 - sum_c p_c^2)
        tensor(-1.5607)
        >>> loss.requires_grad, term.requires_grad
        (True, False)
    """
    with torch.no_grad():
        entropy, term, gradient = sweep(logits.detach(), labels.detach(), targets, lam, clamp)
        loss = entropy + lam * term
    if torch.is_grad_enabled() and logits.requires_grad:
        loss = KnownGradient.apply(logits, loss, gradient)
    return loss, entropy, term


def check_batch(logits: Tensor, labels: Tensor, clamp: float) -> None:
    """Raise what `elr_loss` promises to raise, before anything is changed.

    Example:
        >>> check_batch(torch.zeros(1, 2), torch.tensor([2]), 0.0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: label 2 is out of range: expected class numbers in [0, 2)
    """
    check_logits(logits)
    check_labels(logits, labels)
    check_clamp(clamp)
    if labels.requires_grad:
        raise ArgumentError("labels ask for a gradient, which the fused loss does not have: detach() them first")
    if not in_blocks(logits):
        if labels.ndim == 2 and labels.is_cuda and not torch.compiler.is_compiling():
            assert_label_rows(labels)
    elif labels.ndim == 1:
        check_classes(labels, logits.shape[1])
    else:
        check_label_rows(labels)


def sweep(
    logits: Tensor, labels: Tensor, targets_of: Callable[[slice, Tensor], Tensor], lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross entropy, mean ELR term, and the gradient of the loss in full precision; one sweep over blocks.

    Args: as `swept_elr_loss`; nothing has a gradient.

    Example:
        >>> logits, targets = torch.zeros(1, 2), torch.tensor([[0.5, 0.1]])
        >>> sweep(logits, torch.tensor([0]), lambda rows, _: targets[rows], 3.0, 0.0)
        (tensor(0.6931), tensor(-0.3567), tensor([[-0.9286,  0.9286]]))
    """
    batch, classes = logits.shape
    dtype, blocks = full_dtype(logits), in_blocks(logits)
    size = max(1, min(batch, BLOCK // classes) if blocks else batch)
    gradient, scratch = logits.new_empty(batch, classes, dtype=dtype), logits.new_empty(size, classes, dtype=dtype)
    entropies, terms = logits.new_empty(batch, 1, dtype=dtype), []
    columns = labels[:, None] if labels.ndim == 1 else labels
    share, start = 1.0 / max(batch, 1), 0  # of one example in the mean
    for parts in zip(*(each.split(size) for each in (logits, columns, gradient, entropies)), strict=True):
        block, given, probs, entropy = parts  # probs turn into the gradient in place
        spare = scratch[: len(probs)]
        mass = _softmax_and_entropy(block, given, probs, spare, entropy)
        targets = targets_of(slice(start, start + len(probs)), probs).to(dtype)
        term, factor, pulls = regularizer(probs, targets, clamp=clamp, logits=block, out=spare)
        factor.mul_(-lam * share)
        weight = pulls.sum(1, keepdim=True).mul_(factor)
        probs.mul_(weight.add_(mass, alpha=share)).sub_(pulls.mul_(factor))
        terms.append(term)
        if labels.ndim == 2:
            probs.sub_(given, alpha=share)
        start += len(probs)
    if labels.ndim == 1 and blocks:
        gradient.scatter_add_(1, columns, gradient.new_full((), -share).expand(batch, 1))
        entropies = _entropies(logits, labels, entropies)
    elif labels.ndim == 1:  # adding at places is not deterministic on every device
        gradient.scatter_(1, columns, gradient.gather(1, columns).sub_(share))
    return entropies.mean(), torch.cat(terms).mean(), gradient


def _softmax_and_entropy(logits: Tensor, labels: Tensor, probs: Tensor, scratch: Tensor, entropy: Tensor) -> Tensor:
    """Fill in `probs` and `entropy`; returns the sum of each label row."""
    one_each = labels.shape != logits.shape
    if one_each and in_blocks(logits):
        torch.softmax(logits, 1, dtype=probs.dtype, out=probs)
        torch.gather(probs, 1, labels, out=entropy)  # its logarithm is taken by `_entropies`
        return entropy.new_ones(())
    torch.log_softmax(logits, 1, dtype=probs.dtype, out=scratch)
    torch.exp(scratch, out=probs)
    if one_each:
        torch.gather(scratch, 1, labels, out=entropy).neg_()
        return entropy.new_ones(())
    torch.sum(scratch.mul_(labels), 1, keepdim=True, out=entropy).neg_()
    return labels.sum(1, keepdim=True, dtype=probs.dtype)


def _entropies(logits: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """-log of the probabilities of the labels; from the logits where these underflow (from 87 nats)."""
    entropies = chosen[:, 0].log().neg_()
    rare = entropies > 80.0
    if rare.any():
        entropies[rare] = F.cross_entropy(logits[rare].to(chosen.dtype), labels[rare], reduction="none")
    return entropies
