"""A loss whose gradient came with its value, and when values may be looked at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class KnownGradient(torch.autograd.Function):
    """A loss, of a batch () or of each example (B,), whose gradient (B, C) came with its value.

    The gradient is a constant: there is no second derivative. It is rounded to the precision of the logits only in
    backward: in float16 a gradient that is not yet scaled would underflow.

    Example:
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> loss = KnownGradient.apply(logits, torch.tensor(0.7), torch.tensor([[-0.5, 0.5]]))
        >>> (3.0 * loss).backward()
        >>> logits.grad
        tensor([[-1.5000,  1.5000]])
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if grad.ndim or not in_blocks(grad) or grad.item() != 1.0:
            gradient = gradient * grad[..., None]
        return gradient.to(ctx.dtype), None, None


def in_blocks(tensor: Tensor) -> bool:
    """Whether values may be looked at, and blocks pay: on a CPU, when nothing is traced.

    Example:
        >>> in_blocks(torch.zeros(2)), in_blocks(torch.zeros(2, device="meta"))
        (True, False)
    """
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
