"""A loss whose gradient came with its value, and when values may be looked at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class KnownGradient(torch.autograd.Function):
    """A loss, of a batch () or of each example (B,), whose gradient (B, C) came with its value.

    The gradient is a constant, and so there is no second derivative: a backward that is to be differentiated again
    (create_graph=True) is refused, as it would take it for 0 without a word. (PyTorch's once_differentiable refuses
    only where the incoming gradient asks for a gradient, which that of a loss does not; a compiled backward is refused
    by PyTorch itself.) It is rounded to the precision of the logits only in backward: in float16 a gradient that is not
    yet scaled would underflow.

    Raises:
        ArgumentError: in backward, with create_graph=True.

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
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            from elr.errors import ArgumentError  # here, to keep the chains of imports short

            raise ArgumentError(
                "backward was called with create_graph=True (as for gradient penalties and products with a Hessian), "
                "and the loss of ELR has no second derivative: leave it out, or write the loss with torch's own "
                "operations, F.cross_entropy(logits, labels) + lam * torch.log1p(-(probs * targets).sum(1)).mean(), "
                "where probs = logits.softmax(1), targets = loss.targets.update(index, probs.detach(), beta=loss.beta)"
            )
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
