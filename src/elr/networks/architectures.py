"""Architectures: each takes a batch, leading axis B, and returns logits (B, C), before softmax.

A count that is out of range, or a batch of another shape than the network was built for, raises ArgumentError.
"""

import itertools
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elr.errors import ArgumentError, optional

STEM_KERNEL = 2  # airbench94: whitening kernel_size
LOGIT_SCALE = 1 / 9  # airbench94: scaling_factor


class Linear(nn.Module):
    """Softmax regression: logits = inputs A^T + b, with A (C, D) and b (C,), PyTorch's initialization.

    Train and eval mode agree. Stores 4 C (D + 1) bytes in float32.

    Args:
        num_features: D, at least 1.
        num_classes: C, at least 2.
        columns: [start, stop) of inputs of at least `stop` columns that the network reads, D of them. Default: the
            inputs have D columns, and it reads all.

    Example:
        >>> Linear(5, 3)(torch.zeros(2, 5)).shape
        torch.Size([2, 3])
        >>> Linear(5, 3, columns=(10, 15))(torch.zeros(2, 100)).shape
        torch.Size([2, 3])
    """

    def __init__(self, num_features: int, num_classes: int, *, columns: Sequence[int] | None = None) -> None:
        super().__init__()
        self.num_features = count("num_features", num_features, at_least=1)
        self.columns = None if columns is None else column_range("columns", columns, num_features=self.num_features)
        self.head = nn.Linear(self.num_features, count("num_classes", num_classes, at_least=2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of inputs (B, D), or (B, D or more) where it reads some of the columns."""
        return self.head(_vectors(inputs, self.num_features, self.columns))


class MLP(nn.Module):
    """Fully connected layers with ReLU and dropout after each hidden one, then a linear head; PyTorch's initialization.

    Train mode zeroes each hidden unit with probability `dropout` and scales the rest by 1 / (1 - dropout); eval mode
    drops nothing. Stores 4 bytes per parameter in float32.

    Args:
        num_features: D, at least 1.
        num_classes: C, at least 2.
        hidden: units of each hidden layer, at least one layer; the default is ours.
        dropout: probability in [0, 1).
        columns: see `Linear`.

    Example:
        >>> MLP(5, 3, hidden=(8,))(torch.zeros(2, 5)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.0,
        columns: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout_rate("dropout", dropout)
        self.num_features = count("num_features", num_features, at_least=1)
        self.columns = None if columns is None else column_range("columns", columns, num_features=self.num_features)
        widths = (self.num_features, *sizes("hidden", hidden))
        layers: list[nn.Module] = []
        for width_in, width in itertools.pairwise(widths):
            layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(self.dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], count("num_classes", num_classes, at_least=2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of inputs (B, D), or (B, D or more) where it reads some of the columns."""
        return self.head(self.body(_vectors(inputs, self.num_features, self.columns)))


def resnet18(num_classes: int, *, in_channels: int = 3) -> nn.Module:
    """ResNet-18 for small images: torchvision's network with a 3x3 stride-1 first convolution and no max-pool.

    In train mode batch normalization (BN) uses the batch and updates its running mean and variance (momentum 0.1,
    PyTorch's); in eval mode it uses the running ones. 11,173,962 parameters for 10 classes: 45 MB in float32.

    Args:
        num_classes: C, at least 2.
        in_channels: channels of the image, at least 1; 3 is RGB.

    Returns:
        A module from images (B, in_channels, H, W), any H and W, to logits (B, C).

    Example:
        >>> resnet18(10).conv1
        Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1, with the stem of ELR's code.
        Differs from the authors' code in the initialization of convolutions: torchvision's (normal, variance
        2 / fan-out), not PyTorch's.
    """
    return _cifar_resnet((2, 2, 2, 2), num_classes, in_channels)


def resnet34(num_classes: int, *, in_channels: int = 3) -> nn.Module:
    """ResNet-34 for small images, ELR's network on CIFAR: as `resnet18`, with 3, 4, 6, 3 blocks in its stages.

    21,282,122 parameters for 10 classes: 85 MB in float32.

    Example:
        >>> [len(stage) for stage in resnet34(10).children() if isinstance(stage, nn.Sequential)]
        [3, 4, 6, 3]
    """
    return _cifar_resnet((3, 4, 6, 3), num_classes, in_channels)


def _cifar_resnet(blocks: tuple[int, int, int, int], num_classes: int, in_channels: int) -> nn.Module:
    in_channels = count("in_channels", in_channels, at_least=1)
    # Here and not above: torchvision takes 1.7 s to import, and only these two networks need it.
    resnet = optional("torchvision.models.resnet", "a ResNet", extra="images")
    network = resnet.ResNet(resnet.BasicBlock, list(blocks), num_classes=count("num_classes", num_classes, at_least=2))
    network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    network.add_module("maxpool", nn.Identity())
    return network


class _PreActBlock(nn.Module):
    """y = s + conv2(relu(norm2(conv1(a)))) with a = relu(norm1(x)); with `activated`, x has been through BN and relu.

    s = x where the shape stays, and a strided 1x1 convolution of a where stride or width changes.
    x is (B, width_in, H, W), y is (B, width, H / stride, W / stride), rounded up.
    """

    def __init__(self, width_in: int, width: int, *, stride: int = 1, activated: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.Identity() if activated else nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        same_shape = stride == 1 and width_in == width
        self.project = None if same_shape else nn.Conv2d(width_in, width, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        shortcut = x if self.project is None else self.project(active)
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(active))))


class PreActResNet18(nn.Module):
    """Pre-activation ResNet-18 for small images; with authors_layout=True the network of ELR+ on CIFAR.

    Stem 3x3 convolution, BN, relu; 4 stages of 2 blocks with 64, 128, 256, 512 channels, each stage after the first
    halving the image; BN, relu; mean over the image; linear head. PyTorch's initialization. BN as in `resnet18`.
    11,172,170 parameters for 10 classes: 45 MB in float32.

    Args:
        num_classes: C, at least 2.
        in_channels: channels of the image, at least 1; 3 is RGB.
        authors_layout: False builds the paper's network. True builds that of the code of DivideMix and ELR+: no BN and
            relu after the last block, and a second BN and relu at the start of the first (11,171,274 parameters).

    Example:
        >>> sum(parameter.numel() for parameter in PreActResNet18(10).parameters())
        11172170

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, Figure 4(e) and its remarks on the
        first and the last unit. Differs from the authors' code (ELR_plus/model/PreResNet.py) unless authors_layout.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, authors_layout: bool = False) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels, at_least=1)
        self.stem = nn.Conv2d(self.in_channels, 64, kernel_size=3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(64)
        blocks: list[nn.Module] = []
        width_in = 64
        for width in (64, 128, 256, 512):
            # The paper's first block splits into its two paths after the activation of the stem.
            activated = not blocks and not authors_layout
            blocks.append(_PreActBlock(width_in, width, stride=2 if blocks else 1, activated=activated))
            blocks.append(_PreActBlock(width, width))
            width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = None if authors_layout else nn.BatchNorm2d(width_in)
        self.head = nn.Linear(width_in, count("num_classes", num_classes, at_least=2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of images (B, in_channels, H, W), any H and W."""
        _check_images(inputs, self.in_channels, smallest=1)
        features = self.blocks(F.relu(self.stem_norm(self.stem(inputs))))
        if self.norm is not None:
            features = F.relu(self.norm(features))
        return self.head(features.mean(dim=(2, 3)))


class _FastConvBlock(nn.Module):
    """Convolution, 2x2 max-pool, BN, GELU, convolution, BN, GELU: (B, width_in, H, W) to (B, width, H // 2, W // 2).

    The first filters of each 3x3 convolution, one per input channel, start as the identity; the rest as PyTorch's.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.detach()[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class FastConvNet(nn.Module):
    """A small convolutional network for 32x32 images on a CPU, in the manner of the CIFAR-10 speed runs.

    logits = head(max over the image of blocks(gelu(stem(inputs)))) / 9. The stem is a 2x2 convolution without padding,
    with bias and 8 in_channels filters (24 for RGB); the head has no bias. BN as in `resnet18`. For speed, run it under
    torch.autocast("cpu", torch.bfloat16) with module and images in torch.channels_last.
    1,161,272 parameters for 10 classes and RGB: 4.6 MB in float32.

    Args:
        num_classes: C, at least 2.
        in_channels: channels of the image, at least 1; 3 is RGB.
        widths: channels of each block; airbench94's, the middle one halved for a CPU. Images need 2^len(widths) + 1
            pixels or more in each direction: 9 by default.

    Example:
        >>> FastConvNet(10, widths=(8, 16, 16))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, section 3, and airbench94.py.
        Differs from that code: the stem starts as PyTorch's and is trained unless `whiten` is called; BN has trained
        scales, momentum 0.1 and eps 1e-5, PyTorch's (there 1 - 0.6 = 0.4, for 10 epochs, 1e-12, and scales fixed at 1);
        equal maxima of the last pool share the gradient.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, widths: Sequence[int] = (64, 128, 256)) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels, at_least=1)
        widths_out = sizes("widths", widths)
        self.smallest = 2 ** len(widths_out) + STEM_KERNEL - 1
        filters = 2 * self.in_channels * STEM_KERNEL**2  # room for each eigenvector of the patches and its negative
        self.stem = nn.Conv2d(self.in_channels, filters, kernel_size=STEM_KERNEL)
        self.blocks = nn.Sequential(*itertools.starmap(_FastConvBlock, itertools.pairwise((filters, *widths_out))))
        self.head = nn.Linear(widths_out[-1], count("num_classes", num_classes, at_least=2), bias=False)

    @torch.no_grad()
    def whiten(self, images: Tensor, *, floor: float = 5e-4) -> None:
        """Set the stem's filters to whiten 2x2 patches of these images, its bias to 0, and freeze both.

        The filters are the eigenvectors v of the patches' covariance, divided by sqrt(eigenvalue + floor), and their
        negatives, so that a GELU loses nothing. With nothing to train in the stem no gradient has to reach it, which
        makes a step a tenth faster on a processor; the speed run trains the bias, for its first three epochs only.

        Args:
            images: (M, in_channels, H, W) normalized images; some thousands do.
            floor: added to each eigenvalue; 5e-4 is airbench94's, for images of variance about 1.

        Source: arXiv:2404.00498, section 3.2.
        """
        _check_images(images, self.in_channels, smallest=STEM_KERNEL)
        patches = F.unfold(images.float(), STEM_KERNEL).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + floor).sqrt()).T.reshape(-1, *self.stem.weight.shape[1:])
        self.stem.weight.copy_(torch.cat([filters, -filters]))
        torch.nn.init.zeros_(self.stem.bias)  # type: ignore[arg-type]
        self.stem.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of images (B, in_channels, H, W)."""
        _check_images(inputs, self.in_channels, smallest=self.smallest)
        features = self.blocks(F.gelu(self.stem(inputs)))
        return self.head(features.amax(dim=(2, 3))) * LOGIT_SCALE


def count(name: str, value: Any, *, at_least: int) -> int:
    """A count as an integer, checked.

    Example:
        >>> import numpy as np
        >>> count("num_classes", np.int64(3), at_least=2)
        3
        >>> count("num_classes", 1, at_least=2)
        Traceback (most recent call last):
        elr.errors.ArgumentError: num_classes is 1, expected an integer of at least 2: pass one.
    """
    try:
        number = operator.index(value)  # takes NumPy's integers, refuses 10.0 and "10"
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < at_least:
        raise ArgumentError(f"{name} is {value!r}, expected an integer of at least {at_least}: pass one.")
    return number


def sizes(name: str, values: Any) -> tuple[int, ...]:
    """Sizes of layers as integers, checked.

    Example:
        >>> sizes("hidden", [64, 32])
        (64, 32)
        >>> sizes("hidden", [64, 0])
        Traceback (most recent call last):
        elr.errors.ArgumentError: hidden[1] is 0, expected an integer of at least 1: pass one.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ArgumentError(f"{name} is {values!r}, expected one or more layer sizes: pass them, such as (64, 64).")
    return tuple(count(f"{name}[{i}]", value, at_least=1) for i, value in enumerate(values))


def dropout_rate(name: str, value: Any) -> float:
    """A probability of dropping a unit, checked.

    Example:
        >>> dropout_rate("dropout", 1)
        Traceback (most recent call last):
        elr.errors.ArgumentError: dropout is 1, expected a probability in [0, 1): 0 drops nothing.
    """
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else -1.0
    if not 0 <= number < 1:
        raise ArgumentError(f"{name} is {value!r}, expected a probability in [0, 1): 0 drops nothing.")
    return number


def column_range(name: str, value: Any, *, num_features: int | None = None) -> tuple[int, int]:
    """The columns of its inputs that a network reads, [start, stop), checked; `num_features` of them, if that is given.

    Example:
        >>> column_range("columns", [300, 400], num_features=100)
        (300, 400)
        >>> column_range("columns", (400, 300))
        Traceback (most recent call last):
        elr.errors.ArgumentError: columns is (400, 300), expected 0 <= start < stop, such as (0, 300).
    """
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(pair) != 2:
        raise ArgumentError(f"{name} is {value!r}, expected [start, stop), such as (0, 300).")
    start, stop = (count(f"{name}[{i}]", number, at_least=0) for i, number in enumerate(pair))
    if not start < stop:
        raise ArgumentError(f"{name} is {value!r}, expected 0 <= start < stop, such as (0, 300).")
    if num_features not in (None, stop - start):
        raise ArgumentError(
            f"{name} is {value!r}, {stop - start} features, and num_features is {num_features}: make them agree."
        )
    return start, stop


def _vectors(inputs: Tensor, num_features: int, columns: tuple[int, int] | None) -> Tensor:
    """The columns (B, num_features) of inputs that a network reads, checked."""
    if columns is None:
        if inputs.ndim != 2 or inputs.shape[1] != num_features:
            found, expected = f"Inputs have shape {tuple(inputs.shape)}", f"(B, {num_features})"
            raise ArgumentError(
                f"{found}, expected {expected}: use inputs.flatten(1), or build with another num_features."
            )
        return inputs
    start, stop = columns
    if inputs.ndim != 2 or inputs.shape[1] < stop:
        found, expected = f"Inputs have shape {tuple(inputs.shape)}", f"(B, {stop}) or wider"
        raise ArgumentError(f"{found}, expected {expected}: use inputs.flatten(1), or build with other columns.")
    return inputs[:, start:stop].contiguous()  # so that it computes the same as with these columns alone


def _check_images(inputs: Tensor, in_channels: int, *, smallest: int) -> None:
    if inputs.ndim != 4 or inputs.shape[1] != in_channels:
        found, expected = f"Inputs have shape {tuple(inputs.shape)}", f"(B, {in_channels}, H, W)"
        raise ArgumentError(f"{found}, expected {expected}: put channels second, or build with another in_channels.")
    if min(inputs.shape[2:]) < smallest:
        found, expected = f"Images are {inputs.shape[2]}x{inputs.shape[3]}", f"at least {smallest}x{smallest}"
        raise ArgumentError(f"{found}, expected {expected}: enlarge or pad them.")
