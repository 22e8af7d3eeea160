"""The loss of ELR fused for training: value and gradient in one sweep over the batch.

In nats and in float32 (float64 for float64 logits), as `elr.methods.formulas`, which has the formulas one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from elr.errors import ArgumentError
from elr.methods.formulas import (
    check_clamp,
    check_classes,
    check_labels,
    check_logits,
    check_targets,
    elr_term,
    full_dtype,
)

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

    per example. It is computed together with the value, on a CPU by blocks of rows that stay in the cache; under
    `torch.compile`, on other devices, and on a GPU for a clamp of 0, in `backward`. It is a constant: there is no
    second derivative.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype, C >= 2.
        labels: (B,) int64 in [0, C), or (B, C) floating rows of label probabilities; they get no gradient.
        targets: (B, C) running averages t, see `elr_term`; they get no gradient.
        lam: weight of the regularizer.
        clamp: see `elr_term`. Above 0, 1 - <p, t> is formed by subtraction, as in the authors' code; it is at least
            about clamp, so that float32 keeps three digits of it at worst for the default of `ELRLoss`.

    Returns:
        The loss, a scalar with a gradient; the mean cross entropy and the mean ELR term (without lam), detached.

    Raises:
        ArgumentError: shapes that do not belong together, labels outside [0, C) (on a CPU) or that ask for a gradient,
            or a clamp outside [0, 0.5).

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
    if is_swept(logits, clamp):
        return swept_elr_loss(logits, labels, lambda rows, _: targets[rows], lam=lam, clamp=clamp)
    with torch.autocast(logits.device.type, enabled=False):
        return _ClosedForm.apply(logits, labels.detach(), targets, lam, clamp)


def in_blocks(logits: Tensor) -> bool:
    """Whether values may be looked at, and blocks pay: on a CPU, when nothing is traced."""
    return logits.device.type == "cpu" and not torch.compiler.is_compiling()


def is_swept(logits: Tensor, clamp: float) -> bool:
    """Whether the loss and its gradient are taken in one sweep: on a CPU and a GPU, when nothing is traced.

    On a GPU not for a clamp of 0, where the sweep looks at values: it would wait for the device.
    """
    return in_blocks(logits) or (logits.is_cuda and clamp > 0.0 and not torch.compiler.is_compiling())


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
    """
    with torch.no_grad():
        entropy, term, gradient = sweep(logits.detach(), labels.detach(), targets, lam, clamp)
        loss = entropy + lam * term
    if torch.is_grad_enabled() and logits.requires_grad:
        loss = KnownGradient.apply(logits, loss, gradient)
    return loss, entropy, term


def check_batch(logits: Tensor, labels: Tensor, clamp: float) -> None:
    """Raise what `elr_loss` promises to raise, before anything is changed."""
    check_logits(logits)
    check_labels(logits, labels)
    check_clamp(clamp)
    if labels.requires_grad:
        raise ArgumentError("labels ask for a gradient, which the fused loss does not have: detach() them first")
    if labels.ndim == 1 and in_blocks(logits):
        check_classes(labels, logits.shape[1])


class KnownGradient(torch.autograd.Function):
    """A loss whose gradient came with its value."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if not in_blocks(grad) or grad.item() != 1.0:
            gradient = gradient * grad
        # Rounded to the precision of the logits only now: in float16 a gradient not yet scaled would underflow.
        return gradient.to(ctx.dtype), None, None


def sweep(
    logits: Tensor, labels: Tensor, targets_of: Callable[[slice, Tensor], Tensor], lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross entropy, mean ELR term, and the gradient of the loss in full precision; one sweep over blocks."""
    batch, classes = logits.shape
    dtype, blocks = full_dtype(logits), in_blocks(logits)
    size = max(1, min(batch, BLOCK // classes) if blocks else batch)
    gradient, scratch = logits.new_empty(batch, classes, dtype=dtype), logits.new_empty(size, classes, dtype=dtype)
    entropies, terms = logits.new_empty(batch, 1, dtype=dtype), logits.new_empty(batch, 1, dtype=dtype)
    columns = labels[:, None] if labels.ndim == 1 else labels
    share, start = 1.0 / max(batch, 1), 0  # of one example in the mean
    for parts in zip(*(each.split(size) for each in (logits, columns, gradient, entropies, terms)), strict=True):
        block, given, probs, entropy, term = parts  # probs turn into the gradient in place
        pulls = scratch[: len(probs)]
        mass = _softmax_and_entropy(block, given, probs, pulls, entropy)
        targets = targets_of(slice(start, start + len(probs)), probs).to(dtype)
        if clamp > 0.0:
            weight = _clamped_pull(targets, probs, pulls, term, lam * share, clamp)
        else:
            weight = _exact_pull(block, targets, probs, pulls, term, lam * share)
        probs.mul_(weight.add_(mass, alpha=share)).sub_(pulls)
        if labels.ndim == 2:
            probs.sub_(given, alpha=share)
        start += len(probs)
    if labels.ndim == 1 and blocks:
        gradient.scatter_add_(1, columns, gradient.new_full((), -share).expand(batch, 1))
        entropies = _entropies(logits, labels, entropies)
    elif labels.ndim == 1:  # adding at places is not deterministic on every device
        gradient.scatter_(1, columns, gradient.gather(1, columns).sub_(share))
    return entropies.mean(), terms.mean(), gradient


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


def _exact_pull(logits: Tensor, targets: Tensor, probs: Tensor, pulls: Tensor, term: Tensor, lam: float) -> Tensor:
    """Fill in `term`, the ELR terms, and `pulls`; the gradient of lam times the term is returned weight * p - pulls.

    pulls = -lam q, q_c = p_c (1 - t_c) / s, s = sum_c p_c (1 - t_c); weight = -lam.
    """
    torch.sub(targets, 1.0, out=pulls).mul_(probs)
    remainder = pulls.sum(1, keepdim=True).neg_()
    torch.log(remainder, out=term)
    pulls.mul_(lam / remainder)
    rare = remainder[:, 0] < torch.finfo(probs.dtype).tiny * 1e8
    if rare.any():  # p and t so nearly one-hot and alike that s underflows: in logarithms
        with torch.enable_grad():
            full = logits[rare].to(probs.dtype).requires_grad_()
            exact = elr_term(full, targets[rare])
            (gradient,) = torch.autograd.grad(exact.sum(), full)
        term[rare, 0] = exact.detach()
        pulls[rare] = -lam * (gradient + probs[rare])
    return torch.full_like(remainder, -lam)


def _clamped_pull(targets: Tensor, probs: Tensor, pulls: Tensor, term: Tensor, lam: float, clamp: float) -> Tensor:
    """As `_exact_pull`, with m = 1 where p lies within [clamp, 1 - clamp], else 0.

    pulls = lam p m t / s, s = 1 - <clamped p, t>; weight = lam <p, m t> / s. Both are 0 where s < clamp, as in the
    gradient of `elr_term`.
    """
    torch.clamp(probs, clamp, 1.0 - clamp, out=pulls).mul_(targets)
    remainder = 1.0 - pulls.sum(1, keepdim=True)
    low, high = _just_outside(clamp, probs.dtype)
    torch.ops.aten.hardtanh_backward.grad_input(pulls, probs, low, high, grad_input=pulls)  # masks in one pass
    factor = lam / F.threshold(remainder, low, float("inf"))
    torch.log(remainder.clamp_(min=clamp), out=term)
    weight = pulls.sum(1, keepdim=True).mul_(factor)
    pulls.mul_(factor)
    return weight


@functools.cache
def _just_outside(clamp: float, dtype: torch.dtype) -> tuple[float, float]:
    """The largest number below [clamp, 1 - clamp] and the smallest above, in `dtype`."""
    low, high = np.array([clamp, 1.0 - clamp], dtype=np.float64 if dtype == torch.float64 else np.float32)
    return float(np.nextafter(low, low * 0)), float(np.nextafter(high, high * 2))


class _ClosedForm(torch.autograd.Function):
    """The fused loss in whole-batch operations, for what is not swept: nothing depends on the data."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, targets: Tensor, lam: float, clamp: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        full, targets = logits.to(full_dtype(logits)), targets.to(full_dtype(logits))
        log_probs = F.log_softmax(full, dim=1)
        probs = F.softmax(full, dim=1)
        if labels.ndim == 1:
            mass, entropy = 1.0, -log_probs.gather(1, labels[:, None])
        else:
            labels = labels.to(full.dtype)
            mass, entropy = labels.sum(dim=1, keepdim=True), -(log_probs * labels).sum(dim=1, keepdim=True)
        if clamp == 0.0:
            rest = log_probs + torch.log1p(-targets)
            term = torch.logsumexp(rest, dim=1, keepdim=True)
            # The gradient of lam * term is lam (q - p), with q kept where the clamped form keeps t.
            kept, factor, weight = torch.exp(rest - term), torch.full_like(term, lam), mass - torch.full_like(term, lam)
        else:
            kept = targets
            term, factor, pulls = clamped_parts(probs, targets, lam, clamp)
            weight = mass - factor * pulls.sum(dim=1, keepdim=True)
        ctx.save_for_backward(probs, kept, factor, weight, labels)
        ctx.clamp, ctx.dtype = clamp, logits.dtype
        entropy, term = entropy.mean(), term.mean()
        loss = entropy + lam * term
        ctx.mark_non_differentiable(entropy, term)
        return loss, entropy, term

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        probs, kept, factor, weight, labels = ctx.saved_tensors
        clamp = ctx.clamp
        if clamp > 0.0:
            kept = torch.where((probs >= clamp) & (probs <= 1.0 - clamp), probs * kept, 0.0)
        if labels.ndim == 1:
            labels = torch.arange(probs.shape[1], device=probs.device) == labels[:, None]
        gradient = (probs * weight + kept * factor - labels.to(probs.dtype)) * (grad / len(probs))
        return gradient.to(ctx.dtype), None, None, None, None


def clamped_parts(probs: Tensor, targets: Tensor, lam: float, clamp: float) -> tuple[Tensor, Tensor, Tensor]:
    """Terms and factors (B, 1) and pulls (B, C): lam times a term has the gradient factor (pulls - p sum_c pulls_c)."""
    remainder = 1.0 - (probs.clamp(clamp, 1.0 - clamp) * targets).sum(dim=1, keepdim=True)
    pulls = torch.where((probs >= clamp) & (probs <= 1.0 - clamp), probs * targets, 0.0)
    return torch.log(remainder.clamp(min=clamp)), torch.where(remainder < clamp, 0.0, -lam / remainder), pulls
