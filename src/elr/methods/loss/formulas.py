"""The formulas, one function each, per example; and what a batch must be before they are taken.

Every value is in nats, computed in float32 (float64 for float64 logits) whatever the precision of its inputs, and
inside `torch.autocast` too. The early-learning regularizer is written once, `regularizer`: `elr_term`, the fused and
the compiled loss and the linear model of `elr.theory` all take it from there.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from elr.errors import ArgumentError
from elr.methods.loss.known_gradient import KnownGradient, in_blocks


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each example.

    -log p_i[y_i] for labels (B,), or -sum_c y_ic log p_ic for rows of label probabilities (B, C), with
    p = softmax(logits).

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype.
        labels: (B,) int64 in [0, C), or (B, C) floating rows that sum to 1.

    Returns:
        (B,) losses in nats, float32 (float64 for float64 logits).

    Raises:
        ArgumentError: the shapes do not belong together.

    Example:
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2]))
        tensor([1.3863])
    """
    check_logits(logits)
    check_labels(logits, labels)
    with torch.autocast(logits.device.type, enabled=False):
        full = full_precision(logits)
        return F.cross_entropy(full, labels.to(full.dtype) if labels.ndim == 2 else labels, reduction="none")


def elr_term(logits: Tensor, targets: Tensor, *, clamp: float = 0.0) -> Tensor:
    """The early-learning regularizer of each example, log(1 - <p_i, t_i>), p = softmax(logits).

    Its value and its gradient are those of `regularizer`; the gradient is bounded by 1 in every entry, also where p and
    t are one-hot. The value for a clamp of 0 has no lower bound: as p approaches a one-hot t it falls without end (as
    does the published loss). `targets` get no gradient: the paper holds them constant. There is no second derivative.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype, C >= 2.
        targets: (B, C) running averages t in [0, 1], rows with sum <= 1; at most one entry of a row may be exactly 1.
        clamp: probabilities are confined to [clamp, 1 - clamp], and get no gradient beyond; in [0, 0.5). 0 (default) is
            the paper's formula; 1e-4 is the authors' code, which thereby stops pushing an example whose p passes
            0.9999.

    Returns:
        (B,) terms in nats, <= 0, float32 (float64 for float64 logits).

    Raises:
        ArgumentError: shapes that differ, fewer than two classes, or a clamp outside [0, 0.5).

    Example:
        >>> elr_term(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.9, 0.1]])).round(decimals=4)
        tensor([-1.6329])
        >>> elr_term(torch.tensor([[1e4, -1e4]]), torch.tensor([[1.0, 0.0]]))
        tensor([-20000.])

    Source: equation 7 of Liu et al., NeurIPS 2020 (arXiv:2007.00151). Differs from the authors' code, which computes it
    in the precision of the logits: in bfloat16 and float16 its 1 - <p, t> rounds to 0.
    """
    check_logits(logits)
    check_targets(logits, targets)
    check_clamp(clamp)
    with torch.autocast(logits.device.type, enabled=False), torch.no_grad():
        full = full_precision(logits)
        probs = F.softmax(full, dim=1)
        term, factor, pulls = regularizer(probs, targets.to(probs.dtype), clamp=clamp, logits=full)
        gradient = factor * (pulls - probs * pulls.sum(dim=1, keepdim=True))
    return KnownGradient.apply(logits, term[:, 0], gradient)


def regularizer(
    probs: Tensor,
    targets: Tensor,
    *,
    clamp: float = 0.0,
    logits: Tensor | None = None,
    complements: Tensor | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The early-learning regularizer of each example and what its gradient is made of: the formula, written once.

    With s = 1 - <p, t>, the term is log s, and its gradient with respect to the logits is

        factor * (pulls - p * sum_c pulls_c)

    For a clamp of 0, s = sum_c p_c (1 - t_c), since the probabilities sum to 1: a sum of terms that are not negative,
    so nothing cancels; and in logarithms, which are taken where s could round to zero, nothing is lost:

        log s = logsumexp_c(log p_c + log(1 - t_c)),    pulls_c = p_c (1 - t_c) / s,    factor = 1

    For a clamp above 0, p in s is confined to [clamp, 1 - clamp], and s is at least clamp (up to rounding, and to
    targets whose low-precision storage sums to more than 1), so that it is formed by subtraction; float32 keeps three
    digits of it at worst for 1e-4. Nothing is passed on where p is confined or s lies below clamp:

        pulls_c = p_c t_c if clamp <= p_c <= 1 - clamp, else 0,    factor = -1 / s if s >= clamp, else 0

    Args:
        probs: (B, C) p, rows that sum to 1, float32 or float64.
        targets: (B, C) running averages t, of the same type; see `elr_term`.
        clamp: see `elr_term`; is not checked. Default 0.
        logits: (B, C) that `probs` are the softmax of, read only for a clamp of 0: where p and t are so nearly one-hot
            and alike that s underflows, and on other devices than a CPU always. Default: log p, not finite where p
            underflows.
        complements: (B, C) 1 - t where it is known to more digits than t tells, read only for a clamp of 0. Default:
            1 - t.
        out: (B, C) memory for the pulls, of the type of `probs`, so that a caller may use the same again. Default: new
            memory.

    Returns:
        Terms (B, 1) in nats; factors (B, 1); pulls (B, C), which are `out` if it is given.

    Example:
        >>> probs, targets = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.8, 0.2]])
        >>> term, factor, pulls = regularizer(probs, targets)
        >>> term.exp()  # 1 - (0.7 * 0.8 + 0.3 * 0.2)
        tensor([[0.3800]])
        >>> factor * (pulls - probs * pulls.sum(dim=1, keepdim=True))
        tensor([[-0.3316,  0.3316]])

    Source: equation 7 and Lemma 2 of Liu et al., NeurIPS 2020 (arXiv:2007.00151); the clamp is the authors' code's.
    """
    if clamp == 0.0:
        return _exact(probs, targets, logits, complements, out)
    pulls = torch.clamp(probs, clamp, 1.0 - clamp, out=out).mul_(targets)
    rest = 1.0 - pulls.sum(dim=1, keepdim=True)
    factor = rest.masked_fill(rest < clamp, float("inf")).reciprocal_().neg_()
    return rest.clamp_(min=clamp).log_(), factor, _where_within(pulls, probs, clamp)


def closed_form(
    log_probs: Tensor, probs: Tensor, labels: Tensor, targets: Tensor, *, lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each example and the gradient of its mean, in operations on the whole batch: for compilers.

    Nothing depends on what the numbers are, and nothing is written in place.

    Args:
        log_probs: (B, C) log p, float32 or float64.
        probs: (B, C) p, of the same type.
        labels: (B,) int64 in [0, C), or (B, C) floating.
        targets: (B, C) t, of the same type as p.
        lam: as `elr_loss`.
        clamp: as `elr_loss`.

    Returns:
        Cross entropies (B, 1) and ELR terms (B, 1) in nats; the gradient (B, C) of the loss in the logits.

    Example:
        >>> probs = torch.tensor([[0.5, 0.5]])
        >>> closed_form(probs.log(), probs, torch.tensor([0]), torch.tensor([[0.5, 0.1]]), lam=3.0, clamp=0.0)
        (tensor([[0.6931]]), tensor([[-0.3567]]), tensor([[-0.9286,  0.9286]]))
    """
    if labels.ndim == 1:
        given = (torch.arange(probs.shape[1], device=probs.device) == labels[:, None]).to(probs.dtype)
        mass, entropy = 1.0, -log_probs.gather(1, labels[:, None])
    else:
        given = labels.to(probs.dtype)
        mass, entropy = given.sum(dim=1, keepdim=True), -(log_probs * given).sum(dim=1, keepdim=True)
    term, factor, pulls = regularizer(probs, targets, clamp=clamp, logits=log_probs)
    factor = lam * factor
    weight = mass - factor * pulls.sum(dim=1, keepdim=True)
    return entropy, term, (probs * weight + pulls * factor - given) * (1.0 / max(len(probs), 1))


def confined(probs: Tensor, clamp: float, *, out: Tensor | None = None) -> Tensor:
    """Outputs as they enter the targets: confined to [clamp, 1 - clamp], as in the term, and divided by their sum.

    Args:
        probs: (..., C) p, rows that sum to 1.
        clamp: see `elr_term`; is not checked. 0 leaves outputs as they are.
        out: memory for the result, of the shape and type of `probs`. Default: new memory.

    Returns:
        (..., C) rows that sum to 1, which are `out` if it is given; `probs` itself for a clamp of 0. Rows that are not
        finite stay so.

    Example:
        >>> confined(torch.tensor([[1.0, 0.0, 0.0]]), 0.1)
        tensor([[0.8182, 0.0909, 0.0909]])

    Source: the authors' code of ELR. That of ELR+ has no clamp here (docs/decisions/method.md).
    """
    if clamp == 0.0:
        return probs
    held = torch.clamp(probs, clamp, 1.0 - clamp, out=out)
    return torch.div(held, held.sum(dim=-1, keepdim=True), out=out)


def _exact(
    probs: Tensor, targets: Tensor, logits: Tensor | None, complements: Tensor | None, out: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """`regularizer` for a clamp of 0: by multiplication where that can be seen to suffice, else in logarithms."""
    if in_blocks(probs):
        if complements is None:
            pulls = torch.sub(probs.new_ones(()), targets, out=out).mul_(probs)
        else:
            pulls = torch.mul(probs, complements, out=out)
        rest = pulls.sum(dim=1, keepdim=True)
        if (rest > 1e8 * torch.finfo(rest.dtype).tiny).all():
            return rest.log(), torch.ones_like(rest), pulls.mul_(rest.reciprocal())
    log_probs = probs.log() if logits is None else F.log_softmax(logits, dim=1, dtype=probs.dtype)
    rest = (1.0 - targets if complements is None else complements).log() + log_probs
    term = torch.logsumexp(rest, dim=1, keepdim=True)
    return term, torch.ones_like(term), torch.softmax(rest, dim=1, out=out)


def _where_within(values: Tensor, probs: Tensor, clamp: float) -> Tensor:
    """The values whose p lies within [clamp, 1 - clamp], 0 for the others; in place, in one pass."""
    if torch.compiler.is_compiling():  # which fuses it anyway, and cannot look into NumPy
        return torch.where((probs >= clamp) & (probs <= 1.0 - clamp), values, 0.0)
    low, high = _just_outside(clamp, probs.dtype)
    return torch.ops.aten.hardtanh_backward.grad_input(values, probs, low, high, grad_input=values)


@functools.cache
def _just_outside(clamp: float, dtype: torch.dtype) -> tuple[float, float]:
    """The largest number below [clamp, 1 - clamp] and the smallest above, in `dtype`."""
    low, high = np.array([clamp, 1.0 - clamp], dtype=np.float64 if dtype == torch.float64 else np.float32)
    return float(np.nextafter(low, low * 0)), float(np.nextafter(high, high * 2))


def full_dtype(logits: Tensor) -> torch.dtype:
    """The precision that formulas are computed in: float64 for float64 logits, else float32.

    Example:
        >>> [full_dtype(torch.zeros(1, 2, dtype=dtype)) for dtype in (torch.float64, torch.bfloat16)]
        [torch.float64, torch.float32]
    """
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def full_precision(logits: Tensor) -> Tensor:
    """Logits in the precision that formulas are computed in.

    Example:
        >>> full_precision(torch.tensor([[0.5, -1.0]], dtype=torch.float16))
        tensor([[ 0.5000, -1.0000]])
    """
    return logits.to(full_dtype(logits))


def check_logits(logits: Tensor) -> None:
    """Raise ArgumentError for logits that are not (B, C) floating-point numbers with C >= 2.

    Example:
        >>> check_logits(torch.zeros(8, 1))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArgumentError: logits have shape (8, 1) and type torch.float32: expected floating-point (B, C)...
    """
    if logits.ndim != 2 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ArgumentError(
            f"logits have shape {tuple(logits.shape)} and type {logits.dtype}: "
            "expected floating-point (B, C) with at least two classes"
        )


def as_tensor(values: object, name: str, *, device: torch.device | None) -> Tensor:
    """Labels or rows as a tensor, which a list, a NumPy array, or a tensor of other integers becomes: int64.

    Args:
        values: a tensor, an array, or a list of numbers; one of floating-point numbers keeps its type.
        name: what messages call it.
        device: where lists and arrays go; None: the CPU, where it costs nothing to look at them.

    Raises:
        ArgumentError: nothing of the kind.

    Example:
        >>> as_tensor([3, 1], "index", device=None)
        tensor([3, 1])
        >>> as_tensor("x", "index", device=None)
        Traceback (most recent call last):
        elr.errors.ArgumentError: index is 'x': expected a tensor, or a list or array of numbers
    """
    if isinstance(values, Tensor):
        found = values
    else:
        try:
            array = np.asarray(values)
            if array.dtype.kind not in "iuf" or not array.ndim:
                raise TypeError
            array = array.astype(np.int64) if array.dtype.kind in "iu" else array
            found = torch.tensor(array, device=device)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            row = values.tolist() if isinstance(values, np.ndarray) else values  # a number alone has no first
            first = row[0] if isinstance(row, list | tuple) and row else None
            if isinstance(first, str):
                raise ArgumentError(
                    f"{name} is text, such as {str(first)[:40]!r}: expected numbers; scikit-learn's LabelEncoder makes "
                    "class numbers of names"
                ) from None
            raise ArgumentError(
                f"{name} is {repr(values)[:200]}: expected a tensor, or a list or array of numbers"
            ) from None
    small = (torch.int32, torch.int16, torch.int8, torch.uint8)
    return found.long() if found.dtype in small else found


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise ArgumentError for labels that do not belong to the logits: (B,) int64, or (B, C) and no truths.

    Example:
        >>> check_labels(torch.zeros(2, 3), torch.tensor([0, 2], dtype=torch.int32))
        Traceback (most recent call last):
        elr.errors.ArgumentError: labels are torch.int32: expected int64 class numbers; use labels.long()
    """
    batch, classes = logits.shape
    if labels.shape not in ((batch,), (batch, classes)):
        raise ArgumentError(
            f"labels have shape {tuple(labels.shape)} beside logits of shape {(batch, classes)}: "
            f"expected ({batch},) class numbers or ({batch}, {classes}) label probabilities"
        )
    if labels.ndim == 1 and labels.dtype != torch.int64:
        raise ArgumentError(f"labels are {labels.dtype}: expected int64 class numbers; use labels.long()")
    if labels.dtype == torch.bool:
        raise ArgumentError("labels are torch.bool: expected rows of label probabilities; use labels.float()")


def check_targets(logits: Tensor, targets: Tensor) -> None:
    """Raise ArgumentError for targets of another shape than the logits.

    Example:
        >>> check_targets(torch.zeros(2, 3), torch.zeros(3))
        Traceback (most recent call last):
        elr.errors.ArgumentError: targets have shape (3,), logits (2, 3): they must be equal, (B, C)
    """
    if targets.shape != logits.shape:
        raise ArgumentError(
            f"targets have shape {tuple(targets.shape)}, logits {tuple(logits.shape)}: they must be equal, (B, C)"
        )


def check_weights(lam: float, beta: float) -> None:
    """Raise what every user of lam and beta promises to raise.

    Example:
        >>> check_weights(3.0, 1.0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: beta is 1.0: expected a momentum in [0, 1); the paper uses 0.7 and 0.9
    """
    if not lam >= 0.0 or lam == float("inf"):
        raise ArgumentError(f"lam is {lam}: expected a weight >= 0; the paper uses 1, 3 and 7")
    if not 0.0 <= beta < 1.0:
        raise ArgumentError(f"beta is {beta}: expected a momentum in [0, 1); the paper uses 0.7 and 0.9")


def check_clamp(clamp: float) -> None:
    """Raise ArgumentError for a clamp outside [0, 0.5).

    Example:
        >>> check_clamp(0.5)
        Traceback (most recent call last):
        elr.errors.ArgumentError: clamp is 0.5: expected a probability in [0, 0.5); 0 switches it off
    """
    if not 0.0 <= clamp < 0.5:
        raise ArgumentError(f"clamp is {clamp}: expected a probability in [0, 0.5); 0 switches it off")


def check_classes(labels: Tensor, num_classes: int) -> None:
    """Raise ArgumentError for class numbers (B,) outside [0, num_classes); on a device this would wait for it.

    Example:
        >>> check_classes(torch.tensor([0, 3]), 3)
        Traceback (most recent call last):
        elr.errors.ArgumentError: label 3 is out of range: expected class numbers in [0, 3)
    """
    low, high = (int(bound) for bound in labels.aminmax()) if len(labels) else (0, 0)
    if low < 0 or high >= num_classes:
        raise ArgumentError(
            f"label {low if low < 0 else high} is out of range: expected class numbers in [0, {num_classes})"
        )
