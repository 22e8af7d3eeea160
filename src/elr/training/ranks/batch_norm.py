"""Batch normalization over a batch of which several ranks have a part each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from elr.targets.ranks import number_of_ranks


def batch_norm_of_ranks(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in train mode, of a batch of which each rank has some rows.

        y = (x - m) / sqrt(v + eps) * weight + bias

    with the mean m and the variance v of each channel over the rows and places of all ranks, from those of each rank
    and its number of values (Chan et al.), which are exchanged. The running averages move by them as in one process,
    alike on all ranks. The gradient reaches x through m and v as well, from what all ranks made of them: it is that of
    the sum of the losses of all ranks, as DistributedDataParallel, which averages over them, expects it. Computed in
    float32 at least. All ranks call it, and the backward pass, as often and in the same order.

    Args:
        inputs: (B, C, ...) of this rank; ranks may have different B, 0 included.
        running_mean: (C,) or None, changed.
        running_var: (C,) or None, changed.
        weight: (C,) or None.
        bias: (C,) or None.
        training: has to be true.
        momentum: share of the batch in the running averages.
        eps: added to v.
        group: the ranks. Default: this process has the whole batch.

    Example:
        >>> x, norm = torch.randn(8, 3), torch.nn.BatchNorm1d(3)
        >>> torch.allclose(batch_norm_of_ranks(x, None, None), norm(x), atol=1e-5)
        True

    Source: Ioffe and Szegedy, ICML 2015; the exchange as in `torch.nn.SyncBatchNorm`, which is for GPUs alone.
    """
    assert training, "with the running averages nothing is to be exchanged"
    with torch.no_grad():
        mean, variance, count = _moments(inputs, group)
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            unbiased = variance * (count / (count - 1.0))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        full = _full_type(inputs)
        scale = (variance + eps).rsqrt().to(full)
    return _Normalized.apply(inputs, weight, bias, mean.to(full), scale, count.to(full), group)  # type: ignore[return-value]


def _full_type(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _moments(inputs: Tensor, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and the number of values of a channel on all ranks, in float64."""
    channels = inputs.shape[1]
    mine = torch.zeros(2 * channels + 1, dtype=torch.float64, device=inputs.device)
    if inputs.numel():
        variance, mean = torch.var_mean(inputs.to(_full_type(inputs)), dim=_others(inputs), correction=0)
        mine[:channels], mine[channels:-1], mine[-1] = mean, variance, inputs.numel() // channels
    parts = [torch.empty_like(mine) for _ in range(number_of_ranks(group))]
    if group is None:
        parts = [mine]
    else:
        dist.all_gather(parts, mine, group=group)
    means, variances, counts = torch.stack(parts).split([channels, channels, 1], dim=1)
    count = counts.sum()
    mean = (means * counts).sum(dim=0) / count
    return mean, ((variances + (means - mean).square()) * counts).sum(dim=0) / count, count


def _others(tensor: Tensor) -> list[int]:
    """All dimensions but that of the channels."""
    return [0, *range(2, tensor.ndim)]


class _Normalized(torch.autograd.Function):
    """(x - mean) * scale * weight + bias, with the gradient of a mean and a scale that are those of all x."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        count: Tensor,
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        ctx.group = group
        ctx.save_for_backward(inputs, weight, bias, mean, scale, count)
        outputs = (inputs.to(mean.dtype) - _wide(mean, inputs)).mul_(
            _wide(scale if weight is None else scale * weight, inputs)
        )
        if bias is not None:
            outputs += _wide(bias, inputs)
        return outputs.to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        inputs, weight, bias, mean, scale, count = ctx.saved_tensors
        full = gradient.to(mean.dtype)
        normalized = (inputs.to(mean.dtype) - _wide(mean, inputs)).mul_(_wide(scale, inputs))
        sums = torch.stack([full.sum(dim=_others(full)), (full * normalized).sum(dim=_others(full))])
        own = sums.clone()  # of this rank: those of the weight and the bias are added by whoever trains them
        of_inputs = None
        if ctx.needs_input_grad[0]:
            if ctx.group is not None:
                dist.all_reduce(sums, group=ctx.group)
            shift, slope = (_wide(each, inputs) for each in sums / count)
            factor = _wide(scale if weight is None else scale * weight, inputs)
            of_inputs = (full - shift - normalized * slope).mul_(factor).to(inputs.dtype)
        of_weight = None if weight is None else own[1].to(weight.dtype)
        of_bias = None if bias is None else own[0].to(bias.dtype)
        return of_inputs, of_weight, of_bias, None, None, None, None


def _wide(channels: Tensor, inputs: Tensor) -> Tensor:
    """Values (C,) of the channels, beside inputs (B, C, ...)."""
    return channels.view(1, -1, *[1] * (inputs.ndim - 2))
