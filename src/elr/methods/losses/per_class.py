"""What the losses of this package share: log-probabilities, and how a value for each class becomes that of a label."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from elr.methods.loss.formulas import check_labels, check_logits, full_precision


def log_probs_of(logits: Tensor, labels: Tensor) -> Tensor:
    """log softmax of the logits in full precision, after a look at shapes and types.

    Args:
        logits: (B, C) network outputs before softmax, any floating dtype, C >= 2.
        labels: (B,) int64 or (B, C), which are only checked.

    Returns:
        (B, C), finite for finite logits; float32 (float64 for float64 logits).

    Raises:
        ArgumentError: the shapes do not belong together.

    Example:
        >>> import torch
        >>> log_probs_of(torch.tensor([[0.0, 1000.0]], dtype=torch.bfloat16), torch.tensor([0]))
        tensor([[-1000.,     0.]])
    """
    check_logits(logits)
    check_labels(logits, labels)
    return F.log_softmax(full_precision(logits), dim=1)


def mean_over_labels(values: Tensor, labels: Tensor) -> Tensor:
    """What each example costs, from what it would cost with each class as its label: sum_c y_c v_c.

    So a loss of classes is also one of label probabilities: its mean over a label drawn from them.

    Args:
        values: (B, C), finite.
        labels: (B,) int64 in [0, C), or (B, C) rows y that sum to 1.

    Returns:
        (B,)

    Example:
        >>> import torch
        >>> values = torch.tensor([[1.0, 3.0]])
        >>> mean_over_labels(values, torch.tensor([1])), mean_over_labels(values, torch.tensor([[0.5, 0.5]]))
        (tensor([3.]), tensor([2.]))
    """
    if labels.ndim == 1:
        return values.gather(1, labels[:, None])[:, 0]
    return (labels.to(values.dtype) * values).sum(dim=1)
