"""Rows of many numbers as their k largest and the sum of the others: written out, and moved without writing out."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SEEN = 32
"""Rows of a batch by which it is judged whether the others are like to have many rivals."""
WORTH = 2**29
"""Numbers that numpy looks through before what does so in a third of the time is built: it finds the very same."""
_looked = 0
_SOURCE = r"""
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("tree-loop-vectorize")
#endif
#include <cstdint>
#include <cstring>
#include <vector>

// Classes of each row above its limit that are not among its ids, in order, and how many; 1: no room.
extern "C" int32_t elr_above(
    const float* numbers, const float* limits, const int64_t* ids, int64_t rows, int64_t classes, int64_t known,
    int64_t room, int64_t* found, int64_t* counts) {
  std::vector<uint8_t> above(classes + 8, 0);  // and zeros, so that all are in a word of 8
  for (int64_t row = 0; row < rows; row++) {
    const float* z = numbers + row * classes;
    const float limit = limits[row];
    uint8_t* __restrict flags = above.data();
#pragma omp simd
    for (int64_t c = 0; c < classes; c++) flags[c] = z[c] > limit;
    for (int64_t each = 0; each < known; each++) flags[ids[row * known + each]] = 0;
    int64_t count = 0;
    for (int64_t start = 0; start < classes; start += 8) {
      uint64_t word;
      std::memcpy(&word, flags + start, 8);
      for (; word; word &= word - 1) {
        if (count == room) return 1;
        found[row * room + count++] = start + __builtin_ctzll(word) / 8;
      }
    }
    counts[row] = count;
  }
  return 0;
}
"""


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
    found = None if np.count_nonzero(seen) > 2 * count * len(seen) else _above(numbers, passed, ids, most=count)
    if found is None:  # else none has more than 2 k with its ids
        found = _above(numbers, np.maximum(passed, _bound(probs, 2 * count)), ids, most=probs.shape[1])
        assert found is not None
    rivals, counts = found
    absent = np.arange(rivals.shape[1]) >= counts[:, None]
    return torch.from_numpy(rivals), torch.from_numpy(absent)


def _above(numbers: np.ndarray, limits: np.ndarray, ids: Tensor, *, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Classes where numbers (B, C) are above the limits (B, 1) of their rows, but for those of `ids`, and how many.

    (B, m) in ascending order, 0 where there is none, and as few columns as there can be; (B,). None if a row has more
    than `most`.
    """
    global _looked
    _looked += numbers.size
    kernel = _kernel() if _looked > WORTH and numbers.dtype == np.float32 else None
    if kernel is None:
        return _by_numpy(numbers, limits, ids.numpy(), most)
    (rows, classes), known = numbers.shape, ids.shape[1]
    room = min(most, max(8 * known, 64))
    found, counts = np.zeros((rows, room), dtype=np.int64), np.zeros(rows, dtype=np.int64)
    given = [np.ascontiguousarray(each).ctypes for each in (numbers, limits, ids.numpy())]
    if not kernel.elr_above(*given, rows, classes, known, room, found.ctypes, counts.ctypes):
        return found[:, : counts.max(initial=0)], counts
    return None if room == most else _by_numpy(numbers, limits, ids.numpy(), most)  # as many are seldom


def _by_numpy(
    numbers: np.ndarray, limits: np.ndarray, ids: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """What `_above` says."""
    above = numbers > limits
    np.put_along_axis(above, ids, False, axis=1)
    places = np.flatnonzero(above)
    rows = places // above.shape[1]  # with the next line twice as fast as np.divmod
    classes = places - rows * above.shape[1]
    counts = np.bincount(rows, minlength=len(above))
    if counts.max(initial=0) > most:
        return None
    columns = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    found = np.zeros((len(above), counts.max(initial=0)), dtype=np.int64)
    found[rows, columns] = classes
    return found, counts


@functools.cache
def _kernel() -> Any:
    """The library; None where it cannot be had."""
    from elr.devices import usable_library

    taken = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 4 + [ctypes.c_void_p] * 2
    functions = {"elr_above": (ctypes.c_int32, taken)}
    return usable_library(_SOURCE, functions, _is_right, otherwise="the largest targets are found by numpy")


def _is_right(library: Any) -> bool:
    """Whether the kernel finds on a small batch what numpy finds."""
    numbers = np.sin(1.7 * np.arange(6 * 77, dtype=np.float32)).reshape(6, 77)
    numbers[1, 5], limits = np.nan, np.full((6, 1), 0.5, dtype=np.float32)
    limits[2:4, 0] = -2.0, numbers[3].max()
    ids = np.arange(18).reshape(6, 3) * 4
    expected, given = _by_numpy(numbers, limits, ids, 77), (numbers.ctypes, limits.ctypes, ids.ctypes, 6, 77, 3)
    assert expected is not None
    ends, most = [], expected[0].shape[1]
    for room in (most - 1, most):
        found, counts = np.zeros((6, room), dtype=np.int64), np.zeros(6, dtype=np.int64)
        ends.append(library.elr_above(*given, room, found.ctypes, counts.ctypes))
    return ends == [1, 0] and all(map(np.array_equal, expected, (found, counts)))


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
