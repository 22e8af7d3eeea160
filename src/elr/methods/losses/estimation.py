"""The transition matrix, estimated from what a network that learned the given labels says of the training rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from elr.methods.method import Inputs, View


@torch.no_grad()
def estimated_transitions(view: View, predict: Callable[[Inputs], Tensor], *, percentile: float) -> Tensor:
    """T[i, j] = P(given j | true i), read off one row for each class: the one that is surest to be labeled i.

    A network that learned the given labels says P(given j | x) = sum_i P(true i | x) T[i, j]. Of a row that is of
    class i beyond doubt that is T[i, j] itself; as such counts the row x_i whose probability of i is the highest of all

        T[i, j] = p_j(x_i) / sum_k p_k(x_i)

    or the highest below the percentile: the few above may be outliers, or be memorized.

    Goes over the rows twice, batch by batch. Memory 12 C (N (100 - percentile) / 100 + 1) bytes, not N C.

    Args:
        view: the N training rows.
        predict: inputs -> (B, C) probabilities of the given labels.
        percentile: in (0, 100]; 100 takes the highest of all.

    Returns:
        (C, C) float64 on the CPU, rows sum to 1.

    Example:
        >>> from elr.methods.method import Batch
        >>> class Three(View):
        ...     num_examples = 3
        ...
        ...     def batches(self):
        ...         yield Batch(torch.arange(3), torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]]), torch.zeros(3))
        >>> estimated_transitions(Three(), lambda probs: probs, percentile=100.0).round(decimals=2)
        tensor([[0.8000, 0.2000],
                [0.3000, 0.7000]], dtype=torch.float64)

    Source: equations 12 and 13 (numbers from memory) of Patrini et al., CVPR 2017 (arXiv:1609.03683); the percentile as
    in the authors' code, which, when it looks for the row of one class, has set the highest probabilities of the
    classes before to 0.
    """
    count = view.num_examples
    above = 0 if percentile == 100.0 else count - math.ceil(percentile / 100.0 * (count - 1))
    values = rows = torch.empty(0, 0)
    for batch in view.batches():
        probs = predict(batch.inputs).cpu()
        index = batch.index.cpu()[:, None].expand_as(probs)
        if rows.numel():
            probs, index = torch.cat([values, probs]), torch.cat([rows, index])
        values, places = probs.topk(min(above + 1, len(probs)), dim=0)
        rows = index.gather(0, places)
    chosen = rows[-1].long()  # of each class
    found = torch.zeros(len(chosen), len(chosen), dtype=torch.float64)
    for batch in view.batches():
        here = torch.isin(chosen, batch.index.cpu())
        if here.any():
            probs = predict(batch.inputs).cpu().double()
            place_of = {row: place for place, row in enumerate(batch.index.tolist())}
            found[here] = probs[[place_of[row] for row in chosen[here].tolist()]]
    return found / found.sum(dim=1, keepdim=True)
