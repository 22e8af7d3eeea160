"""Batch norm over the rows of several ranks, here of one; over gloo ranks see test_whole_batch.py."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elr.training.ranks.batch_norm import batch_norm_of_ranks

SHAPES = [(9, 3), (5, 3, 4), (5, 3, 4, 2), (2, 3, 4, 2, 2)]


def inputs_of(shape, dtype=torch.float64):
    return 5.0 + torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("affine", [True, False])
def test_its_gradient_is_that_of_its_outputs(shape, affine):
    weights = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)] if affine else [None, None]
    given = (inputs_of(shape).requires_grad_(), None, None, *weights)
    assert torch.autograd.gradcheck(batch_norm_of_ranks, given)


@pytest.mark.parametrize("shape", SHAPES, ids=len)
def test_outputs_and_running_averages_are_those_of_torch(shape):
    running, expected = ([torch.zeros(3).double(), torch.ones(3).double()] for _ in range(2))
    for _ in range(2):
        ours = batch_norm_of_ranks(inputs_of(shape), *running, momentum=0.3, eps=0.1)
        alone = F.batch_norm(inputs_of(shape), *expected, training=True, momentum=0.3, eps=0.1)
        assert torch.allclose(ours, alone, atol=1e-12)
    assert all(torch.allclose(*pair, atol=1e-12) for pair in zip(running, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_computed_in_float32_and_keeps_type_and_layout(dtype):
    inputs = inputs_of((4, 3, 5, 5), torch.float32).to(dtype).contiguous(memory_format=torch.channels_last)
    inputs.requires_grad_()
    norm = nn.BatchNorm2d(3)
    outputs = batch_norm_of_ranks(inputs, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    outputs.sum().backward()
    assert outputs.dtype == inputs.grad.dtype == dtype
    assert norm.weight.grad.dtype == torch.float32
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    expected = F.batch_norm(inputs.float(), None, None, training=True)
    assert torch.allclose(outputs.float(), expected, atol=1e-5 if dtype == torch.float32 else 0.02)


def test_a_mean_that_is_large_costs_no_precision():
    """The sum of squares less the square of the sum would have none left."""
    inputs = inputs_of((50, 3), torch.float32) + 1e4
    expected = F.batch_norm(inputs.double(), None, None, training=True)
    assert torch.allclose(batch_norm_of_ranks(inputs, None, None).double(), expected, atol=5e-3)
