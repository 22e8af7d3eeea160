"""Which training rows are nearest to a row, by the prepared features, which know nothing of any label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.neighbors import NearestNeighbors

from elr.data.examples import Examples, StoredInputs

NEAREST = 5
MOST_ROWS = 1_000
_WORK = 10**10  # numbers compared


def nearest_rows(examples: Examples, rows: Sequence[int]) -> tuple[dict[int, list[tuple[int, float]]], str]:
    """The nearest rows of some, and in what space: cosine of sparse features, else Euclidean; pixels of images.

    Args:
        examples: the training set. Images on disk have no neighbors: all of them would have to be read.
        rows: the most interesting first; so many are looked at as 10^10 numbers to compare allow, at most `MOST_ROWS`.

    Returns:
        Row -> (row, distance) of up to `NEAREST` others, the nearest first; and the space in words.

    Example:
        >>> import numpy as np
        >>> found, space = nearest_rows(Examples(np.array([[0.0], [5.0], [1.0]], dtype="float32"), None), [0])
        >>> found, space
        ({0: [(2, 1.0), (1, 5.0)]}, 'Euclidean distance of the prepared features')
    """
    inputs = examples.inputs
    if isinstance(inputs, StoredInputs):
        return {}, ""
    sparse = not isinstance(inputs, torch.Tensor)
    values = inputs if sparse else inputs.reshape(len(examples), -1).float().numpy()
    wide = max(1, values.shape[1] if not sparse else inputs.nnz // max(1, len(examples)) * 10)
    chosen = list(rows)[: min(MOST_ROWS, _WORK // (len(examples) * wide))]
    if not chosen or len(examples) < 2:
        return {}, ""
    model = NearestNeighbors(n_neighbors=min(NEAREST + 1, len(examples)), algorithm="brute")
    model.set_params(metric="cosine" if sparse else "euclidean").fit(values)
    distances, places = model.kneighbors(values[chosen])
    found = {
        row: [(int(at), float(far)) for at, far in zip(*pair, strict=True) if at != row][:NEAREST]
        for row, *pair in zip(chosen, places, distances, strict=True)
    }
    kind = "pixels" if len(examples.inputs.shape) == 4 else "prepared features"
    return found, f"{'cosine' if sparse else 'Euclidean'} distance of the {kind}"
