"""Small networks of every architecture, and batches for them."""

import pytest
import torch
from torch import Tensor, nn

from elr.networks.spec import NETWORKS, NetworkSpec

VECTOR = ("linear", "mlp")


IMAGE = tuple(name for name in NETWORKS if name not in VECTOR)


def spec_of(name: str, num_classes: int = 4) -> NetworkSpec:
    if name == "timm":
        pytest.importorskip("timm")
        return NetworkSpec(name, num_classes, backbone="resnet10t")
    return NetworkSpec(name, num_classes, num_features=6) if name in VECTOR else NetworkSpec(name, num_classes)


def inputs_for(spec: NetworkSpec, batch: int) -> Tensor:
    # Where timm's network has brought an image to one pixel, torch 2.14's gradient of a convolution in bfloat16 reads
    # memory that nobody wrote.
    size = 32 if spec.name == "timm" else 9
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, size, size) if spec.takes_images else (batch, 6)
    return torch.randn(shape, generator=generator)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
