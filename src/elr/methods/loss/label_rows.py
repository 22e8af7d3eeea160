"""Rows of label probabilities: what is none of these is refused before anything is learned from it."""

from __future__ import annotations

import torch
from torch import Tensor

from elr.errors import ArgumentError

_ROUNDING = 0.02  # of the sum of a row: bfloat16's, several times over
_EXPECTED = (
    "finite numbers >= 0 that sum to 1, the probability of each class; where several classes hold at once, divide a "
    "row by its sum"
)


def check_label_rows(labels: Tensor) -> None:
    """Raise ArgumentError for rows (B, C) that are no label probabilities; on a device this would wait for it.

    Example:
        >>> check_label_rows(torch.tensor([[0.5, 0.5], [1.0, 1.0]]))
        Traceback (most recent call last):
        elr.errors.ArgumentError: labels of row 1 of the batch are [1.0, 1.0], sum 2: expected finite numbers >= 0 ...
    """
    within, sums = _within(labels)
    if not within.all():
        row = int(within.long().argmin())
        shown = [round(each, 4) for each in labels[row, :5].tolist()]
        raise ArgumentError(
            f"labels of row {row} of the batch are {shown}{', ...' * (labels.shape[1] > 5)}, sum {sums[row]:.4g}: "
            f"expected {_EXPECTED}"
        )


def assert_label_rows(labels: Tensor) -> None:
    """The same for labels on a GPU, as a device-side assertion: an error at the next wait, and none is added.

    So class numbers out of range are told there too, by PyTorch itself.

    Example:
        >>> assert_label_rows(torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    """
    fine = _within(labels)[0].all()
    text = f"some rows of labels are no probabilities: expected {_EXPECTED}"
    torch._assert_async(fine, text)  # pyright: ignore[reportPrivateImportUsage]


def _within(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows are probabilities, and the sums of all; NaN is within nothing."""
    sums = labels.sum(dim=1, dtype=torch.float32)
    return ((sums - 1.0).abs() <= _ROUNDING) & (labels.amin(dim=1) >= 0), sums
