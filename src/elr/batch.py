"""What travels from the data to a method: row numbers, inputs, given labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

Inputs = Tensor | Mapping[str, Tensor]


class Batch(NamedTuple):
    """A batch of training examples, keyed by their rows in the training set.

    Clean labels never ride in a batch: only diagnostics hold them, keyed by `index`.

    Args:
        index: (B,) int64, row of each example in the training set: the key of all per-example state.
        inputs: tensor with leading axis B, or a mapping of such tensors.
        labels: (B,) int64 given labels in [0, C), or (B, C) float rows that sum to 1.
    """

    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride] - the design's word, over tuple.index
    inputs: Inputs
    labels: Tensor
