"""Rows of many numbers as their k largest and the sum of the others: written out, and moved without writing out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_SEEN = 32
"""Rows of a batch by which it is judged whether the others are like to have many rivals."""


def spread(ids: Tensor, values: Tensor, rest: Tensor, num_classes: int, *, out: Tensor | None = None) -> Tensor:
    """Rows written out: `values` at their classes, `rest` in equal parts at all others.

    Args:
        ids: (B, k) int64 classes in [0, C), different from one another in a row.
        values: (B, k) floating.
        rest: (B,) of the same type; 0 where k is C.
        num_classes: C.
        out: (B, C) memory of the same type. Default: new memory.

    Returns:
        (B, C), which is `out` if it is given.

    Example:
        >>> spread(torch.tensor([[2, 0]]), torch.tensor([[0.5, 0.25]]), torch.tensor([0.25]), 4)
        tensor([[0.2500, 0.1250, 0.5000, 0.1250]])
    """
    share = (rest / max(num_classes - ids.shape[1], 1))[:, None]
    if out is None:
        out = values.new_empty(len(ids), num_classes)
    return out.copy_(share.expand(len(ids), num_classes)).scatter_(1, ids, values)


def moved_largest(
    ids: Tensor, values: Tensor, rest: Tensor, probs: Tensor, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """t <- beta t + (1 - beta) p for rows of which the k largest classes are known, and what is known of the result.

    Only a class that is among the k largest of t or of p can be among the k largest of the result, so that nothing is
    written out. Of equal ones (on a CPU, but for rounding) those that are known already come first, in the order they
    stand in; then, on a CPU, the lowest class.

    Args:
        ids: (B, k) as in `spread`.
        values: (B, k) float32 or float64, none below the share of a class in `rest`, but for rounding.
        rest: (B,) of the same type.
        probs: (B, C) p, of the same type, nothing below 0; is not changed.
        beta: momentum in [0, 1].

    Returns:
        ids, values and rest of the new rows; the sum of a row is what it would be in full.

    Example:
        >>> ids, values, rest = torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.3]]), torch.tensor([0.2])
        >>> moved_largest(ids, values, rest, torch.tensor([[0.5, 0.0, 0.0, 0.5]]), 0.5)
        (tensor([[0, 3]]), tensor([[0.5000, 0.3000]]), tensor([0.2000]))
    """
    toward, others = 1.0 - beta, probs.shape[1] - ids.shape[1]
    total = (values.sum(dim=1) + rest).lerp_(probs.sum(dim=1), toward)
    kept = values.lerp(probs.gather(1, ids), toward)
    if not others:
        return ids, kept, torch.zeros_like(total)
    if toward == 0.0:
        return ids, values, rest
    share = (rest / others)[:, None]
    rounding = 1.0 + 4.0 * torch.finfo(kept.dtype).eps  # the same sum of two products is not always the same number
    least = (kept.amin(dim=1, keepdim=True) * rounding - share * beta) / toward
    rivals, absent = rivals_of(ids, probs, least)
    if rivals.shape[1]:
        coming = torch.lerp(share.expand(rivals.shape), probs.gather(1, rivals), toward)
        together = torch.cat([kept, coming.masked_fill_(absent, -1.0)], dim=1)
        order = in_order(together, ids.shape[1])
        stays = absent.all(dim=1, keepdim=True)  # nor does its order depend on other rows
        chosen = torch.cat([ids, rivals], dim=1).gather(1, order)
        kept, ids = torch.where(stays, kept, together.gather(1, order)), torch.where(stays, ids, chosen)
    return ids, kept, (total - kept.sum(dim=1)).clamp_(min=0.0)


def rivals_of(ids: Tensor, probs: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The classes of a row that are larger than its `least` and not among its `ids`; of many, the k largest at least.

    On a CPU those of a row hang on that row alone: where it has more than 2 k with its `ids`, those of the 2 k largest.

    Args:
        ids: (B, k) int64, different from one another in a row.
        probs: (B, C), C > k; is not changed.
        least: (B, 1) what a class has to pass on a CPU; elsewhere nobody looks.

    Returns:
        (B, m) int64 classes, on a CPU in ascending order and as few columns as there can be; (B, m) where there is
        none, so that what the first says there means nothing.

    Example:
        >>> probs = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.4, 0.1]])
        >>> rivals_of(torch.tensor([[0, 1], [2, 0]]), probs, torch.tensor([[0.1], [0.3]]))
        (tensor([[2, 3],
                [0, 0]]), tensor([[False, False],
                [ True,  True]]))
    """
    count = ids.shape[1]
    if probs.device.type != "cpu":
        rivals = probs.topk(count, dim=1, sorted=False).indices
        return rivals, (rivals[:, :, None] == ids[:, None, :]).any(dim=2)
    numbers, passed = probs.numpy(), least.numpy()
    seen = numbers[:_SEEN] > passed[:_SEEN]  # where these have many, looking at all would be for nothing
    found = None if np.count_nonzero(seen) > 2 * count * len(seen) else _places(numbers > passed, ids)
    if found is None or found[2].max(initial=0) > count:  # else none has more than 2 k with its ids
        found = _places(numbers > np.maximum(passed, _bound(probs, 2 * count)), ids)
    rows, classes, counts = found
    places = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    rivals = np.zeros((len(probs), counts.max(initial=0)), dtype=np.int64)
    rivals[rows, places] = classes
    absent = np.arange(rivals.shape[1]) >= counts[:, None]
    return torch.from_numpy(rivals), torch.from_numpy(absent)


def _places(above: np.ndarray, ids: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and classes where `above` (B, C) holds, but for those of `ids`, and how many there are of each row."""
    np.put_along_axis(above, ids.numpy(), False, axis=1)
    places = np.flatnonzero(above)
    rows = places // above.shape[1]  # with the next line twice as fast as np.divmod
    classes = places - rows * above.shape[1]
    return rows, classes, np.bincount(rows, minlength=len(above))


def in_order(values: Tensor, count: int) -> Tensor:
    """The places of the `count` largest of each row, the largest first; of equal ones that which comes first.

    Args:
        values: (B, m) floating, no NaN; on a CPU those below 0 are one and the same number.
        count: k <= m.

    Returns:
        (B, k) int64.

    Example:
        >>> in_order(torch.tensor([[0.5, -1.0, 2.0, 0.5]]), 3)
        tensor([[2, 0, 3]])
    """
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return values.sort(dim=1, descending=True, stable=True).indices[:, :count]
    width = values.shape[1]  # bits of numbers from 0 are in the order of the numbers: ten times as fast as torch.sort
    keys = ((values + 0.0).numpy().view(np.int32).astype(np.int64) << 32) | np.arange(width - 1, -1, -1)
    keys.sort(axis=1)
    return torch.from_numpy(width - 1 - (keys[:, : -count - 1 : -1] & 0xFFFFFFFF))


def _bound(probs: Tensor, count: int) -> np.ndarray:
    """(B, 1) what at least `count` numbers of each row pass, and not many more: of groups of classes, the largest."""
    width = math.isqrt(probs.shape[1] // count)
    if width < 2:
        return np.full((len(probs), 1), -1.0, dtype=np.float32)
    groups = probs.shape[1] // width  # what does not go into groups can only be more
    best = probs[:, : groups * width].unflatten(1, (width, groups)).amax(dim=1).numpy()
    best.partition(groups - count, axis=1)  # several times as fast as torch.topk
    return np.nextafter(best[:, groups - count, None], best.dtype.type(-1.0))
