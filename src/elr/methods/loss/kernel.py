"""One pass over logits and targets for the compiled loss: the update, the loss and its gradient, row by row.

`torch.compile` keeps the new targets in a buffer and copies them into the table, since it cannot know that no row comes
twice. The kernel here, which the compiler behind `torch.compile` builds as well, writes them where they belong: each
row is read once and lies in the nearest cache until it is done. Without such a compiler there is no kernel, and
`elr.methods.loss.traced.traced_elr_loss` does without.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

_SOURCE = r"""
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("tree-loop-vectorize,fp-contract=fast,no-math-errno")  // torch.compile writes its own vectors
#endif
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

// For x <= 0: within 2 units in the last place, 0 where the result would not be a normal number; NaN stays NaN.
static inline float exp_of(float x) {
  const float times = x * 1.44269504088896341f;
  const float bounded = times > -126.0f ? times : -126.0f;
  const float whole = std::nearbyintf(bounded);
  float rest = x - whole * 0.693359375f;
  rest = rest + whole * 2.12194440e-4f;
  float series = 1.9875691500e-4f;
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * (rest * rest) + rest + 1.0f;
  const int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return times < -126.0f ? 0.0f : series * power;
}

extern "C" int32_t elr_repeats(const int64_t* index, int64_t batch) {
  uint64_t slots = 16;
  while (slots < 4 * static_cast<uint64_t>(batch)) slots *= 2;
  std::vector<int64_t> found(slots, -1);
  for (int64_t each = 0; each < batch; each++) {
    const int64_t row = index[each];
    uint64_t slot = ((static_cast<uint64_t>(row) * 0x9E3779B97F4A7C15u) >> 32) & (slots - 1);
    for (; found[slot] >= 0; slot = (slot + 1) & (slots - 1)) {
      if (found[slot] == row) return 1;
    }
    found[slot] = row;
  }
  return 0;
}

extern "C" void elr_step(
    const float* logits, const int64_t* labels, const int64_t* index, float* table, float* gradients, float* entropies,
    float* terms, uint8_t* missed, int64_t batch, int64_t classes, int32_t threads, float keep, float move, float lam,
    float clamp, float most) {
  const float share = 1.0f / static_cast<float>(batch);
  const float nan = std::numeric_limits<float>::quiet_NaN();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t row = 0; row < batch; row++) {
    const float* __restrict z = logits + row * classes;
    float* __restrict g = gradients + row * classes;
    float* __restrict t = table + index[row] * classes;
#if defined(__GNUC__)
    if (row + 1 < batch) {  // rows of the table lie anywhere, so that nobody else knows which one comes next
      const float* next = table + index[row + 1] * classes;
      const int64_t ahead = classes < 8192 ? classes : 8192;
      for (int64_t c = 0; c < ahead; c += 16) __builtin_prefetch(next + c, 1);
    }
#endif
    float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < classes; c++) largest = z[c] > largest ? z[c] : largest;
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t c = 0; c < classes; c++) {
      g[c] = exp_of(z[c] - largest);
      total += g[c];
    }
    missed[row] = !(std::isfinite(largest) && std::isfinite(total));
    if (missed[row]) {
      for (int64_t c = 0; c < classes; c++) g[c] = nan;
      entropies[row] = terms[row] = nan;
      continue;
    }
    const float scale = 1.0f / total;
    float confined = 0.0f;
#pragma omp simd reduction(+ : confined)
    for (int64_t c = 0; c < classes; c++) {
      const float p = g[c] * scale;
      g[c] = p;
      const float above = p < clamp ? clamp : p;
      confined += above > most ? most : above;
    }
    const float part = move / confined;
    float seen = 0.0f, inside = 0.0f;
#pragma omp simd reduction(+ : seen, inside)
    for (int64_t c = 0; c < classes; c++) {
      const float p = g[c];
      const float above = p < clamp ? clamp : p;
      const float held = above > most ? most : above;
      const float target = t[c] * keep + held * part;
      t[c] = target;
      const float pull = held * target;
      seen += pull;
      inside += held == p ? pull : 0.0f;
    }
    const float rest = 1.0f - seen;
    const float factor = rest < clamp ? 0.0f : -lam / rest;
    const float weight = (1.0f - factor * inside) * share, pulled = factor * share;
#pragma omp simd
    for (int64_t c = 0; c < classes; c++) {
      const float p = g[c];
      g[c] = p * (weight + (p >= clamp && p <= most ? t[c] * pulled : 0.0f));
    }
    const int64_t label = labels[row];
    g[label] -= share;
    entropies[row] = -(z[label] - (std::log(total) + largest));
    terms[row] = std::log(rest < clamp ? clamp : rest);
  }
}
"""


@torch.compiler.assume_constant_result
def has_kernel() -> bool:
    """Whether the kernel is there: built, or taken from where the compiler keeps what it built, when first asked.

    Example:
        >>> has_kernel() in (True, False)
        True
    """
    return _kernel() is not None


@functools.cache
def _kernel() -> Any:
    """The library; None where it cannot be had."""
    from elr.devices import usable_library

    pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    step = [pointer] * 8 + [count] * 2 + [ctypes.c_int32] + [number] * 5
    functions = {"elr_step": (None, step), "elr_repeats": (ctypes.c_int32, [pointer, count])}
    return usable_library(_SOURCE, functions, _is_right, otherwise="the loss is compiled without its kernel")


def _is_right(library: Any) -> bool:
    """Whether the kernel gives on a small batch what the formulas give in float64.

    Some outputs are not finite: flags and compilers are not ours, and some take it that there is no such number.
    """
    beta, lam, clamp, classes = 0.7, 3.0, 1e-3, 37  # a vector or two of numbers, and a rest
    steps = torch.arange(7 * classes, dtype=torch.float64, device="cpu").view(7, classes)
    logits = (6.0 * (1.7 * steps).sin()).float()
    logits[1, 5] += 30.0  # learned, and confined to the clamp
    logits[2, 3], logits[3, 36], logits[4], logits[5, 0] = torch.nan, torch.inf, -torch.inf, -torch.inf
    table = ((0.9 * steps).cos().abs() / classes).float()
    table[1, 5] = 0.9
    index, labels = torch.tensor([6, 2, 0, 4, 3, 5], device="cpu"), torch.tensor([0, 5, 1, 36, 2, 7], device="cpu")
    given, finite = logits[:6], torch.tensor([True, True, False, False, False, True], device="cpu")
    wide = given.double()
    probs = wide.softmax(dim=1)
    held = probs.clamp(clamp, 1.0 - clamp)
    targets = beta * table[index].double() + (1.0 - beta) * held / held.sum(dim=1, keepdim=True)
    expected = table.double().index_copy(0, index[finite], targets[finite])
    pulls = held * targets
    rest = 1.0 - pulls.sum(dim=1, keepdim=True)
    factor = -lam / rest
    pulls = torch.where(held == probs, pulls, 0.0)
    hits = torch.zeros_like(probs).scatter_(1, labels[:, None], 1.0)
    gradient = (probs * (1.0 - factor * pulls.sum(dim=1, keepdim=True)) + factor * pulls - hits) / len(index)
    entropy = -wide.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    found, parts, missed = _call(library, given, labels, index, table, (beta, lam, clamp))
    pairs = (table, expected), (found[finite], gradient[finite]), (parts[0], entropy), (parts[1], rest.log()[:, 0])
    return (
        _repeat(library, torch.cat([index, index[2:3]]))
        and not _repeat(library, index)
        and torch.equal(missed, ~finite)
        and bool(found[missed].isnan().all())
        and all(torch.allclose(one.double(), other, rtol=1e-4, atol=1e-6, equal_nan=True) for one, other in pairs)
    )


def kernel_takes(logits: Tensor, labels: Tensor, table: Tensor) -> bool:
    """Whether the kernel is for these: on a CPU, class numbers as labels, float32 targets, no float64 logits.

    Example:
        >>> kernel_takes(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))  # rows of label probabilities
        False
    """
    single = table.dtype == torch.float32 and logits.dtype != torch.float64
    near = logits.device.type == labels.device.type == table.device.type == "cpu"
    return single and near and labels.ndim == 1 and table.is_contiguous() and has_kernel()


def run_kernel(
    logits: Tensor, labels: Tensor, index: Tensor, table: Tensor, *, beta: float, lam: float, clamp: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Move the targets of some rows toward the outputs, and take the loss and its gradient with them.

    Args:
        logits: (B, C) of any floating dtype but float64.
        labels: (B,) int64, in [0, C).
        index: (B,) int64 rows in [0, N), none of which comes twice: all this is up to the caller.
        table: (N, C) float32, changed; rows whose outputs are not finite stay what they were.
        beta: see `elr.methods.loss.traced.traced_elr_loss`.
        lam: see there.
        clamp: see there, above 0.

    Returns:
        The gradient (B, C) of the mean loss in the logits, float32; the cross entropies and ELR terms (2, B); which of
        the outputs are not finite, (B,) bool.

    Example:
        >>> table, rows = torch.zeros(5, 2), torch.tensor([3])
        >>> if has_kernel():
        ...     _ = run_kernel(torch.zeros(1, 2), torch.tensor([1]), rows, table, beta=0.5, lam=3.0, clamp=1e-4)
        ...     assert table[3].tolist() == [0.25, 0.25]
    """
    return _call(_kernel(), logits, labels, index, table, (beta, lam, clamp))


def rows_repeat(index: Tensor) -> bool:
    """`elr.targets.updating.has_repeats` where there is a kernel, in a tenth of the time.

    Args:
        index: (B,) int64 rows, none below 0, which is up to the caller.

    Example:
        >>> has_kernel() and rows_repeat(torch.tensor([4, 2, 3]))
        False
    """
    return _repeat(_kernel(), index)


def _repeat(library: Any, index: Tensor) -> bool:
    index = index.contiguous()
    return bool(library.elr_repeats(index.data_ptr(), len(index)))


def _call(
    library: Any, logits: Tensor, labels: Tensor, index: Tensor, table: Tensor, numbers: tuple[float, float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    (batch, classes), (beta, lam, clamp) = logits.shape, numbers
    logits, labels, index = logits.float().contiguous(), labels.contiguous(), index.contiguous()
    gradient, parts = torch.empty_like(logits), logits.new_empty(2, batch)
    missed = labels.new_empty(batch, dtype=torch.bool)
    memory = (logits, labels, index, table, gradient, parts[0], parts[1], missed)
    settings = beta, 1.0 - beta, lam, clamp, 1.0 - clamp
    library.elr_step(*(each.data_ptr() for each in memory), batch, classes, torch.get_num_threads(), *settings)
    return gradient, parts, missed
