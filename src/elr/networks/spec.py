"""Networks by name and in plain values: `NetworkSpec` is enough to write one into `run.json` and to build it again.

The architectures themselves are in `elr.networks.architectures`, and can be used directly.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import nn

from elr.devices import TURNS
from elr.errors import ArgumentError
from elr.networks.architectures import (
    MLP,
    FastConvNet,
    Linear,
    PreActResNet18,
    column_range,
    count,
    dropout_rate,
    resnet18,
    resnet34,
    sizes,
)
from elr.networks.backbones import build_timm


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How the networks of one name are built, and the settings that they have.

    Args:
        build: takes num_classes and each of the settings by keyword.
        defaults: the settings, by name; None for one that has no default and must be given.

    Example:
        >>> fast = NETWORKS["fast"]
        >>> fast.defaults, fast.takes_images
        ({'in_channels': 3, 'widths': (64, 128, 256)}, True)
        >>> fast.build(num_classes=10, in_channels=1, widths=(8, 16)).head
        Linear(in_features=16, out_features=10, bias=False)
    """

    build: Callable[..., nn.Module]
    defaults: Mapping[str, Any]

    @property
    def takes_images(self) -> bool:
        """True where inputs are images (B, in_channels, H, W), False where they are vectors (B, D)."""
        return "in_channels" in self.defaults

    @property
    def takes_columns(self) -> bool:
        """True where a network can read some columns of its inputs alone: those that take vectors."""
        return "num_features" in self.defaults


_RGB = {"in_channels": 3}
NETWORKS = {
    "linear": Architecture(build=Linear, defaults={"num_features": None}),
    "mlp": Architecture(build=MLP, defaults={"num_features": None, "hidden": (256, 256), "dropout": 0.0}),
    "resnet18": Architecture(build=resnet18, defaults=_RGB),
    "resnet34": Architecture(build=resnet34, defaults=_RGB),
    "preactresnet18": Architecture(build=PreActResNet18, defaults=_RGB),
    "preactresnet18_authors": Architecture(build=partial(PreActResNet18, authors_layout=True), defaults=_RGB),
    "fast": Architecture(build=FastConvNet, defaults=_RGB | {"widths": (64, 128, 256)}),
    "timm": Architecture(build=build_timm, defaults=_RGB | {"backbone": None}),
}
"""The architectures by name."""
_COUNT = partial(count, at_least=1)
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "num_features": _COUNT,
    "in_channels": _COUNT,
    "hidden": sizes,
    "widths": sizes,
    "dropout": dropout_rate,
}


@dataclass(frozen=True)
class NetworkSpec:
    """A network in plain values: enough to write it into `run.json` and to build it again.

    A setting left at None takes the default of the architecture, and the spec then holds that value. A setting that the
    architecture does not have must stay None.

    Args:
        name: a key of `NETWORKS`.
        num_classes: C, at least 2.
        num_features: D, at least 1; "linear" and "mlp" need it, or `columns`.
        in_channels: channels of the image, at least 1; image networks only, default 3.
        hidden: units of each hidden layer; "mlp" only, default (256, 256).
        widths: channels of each block; "fast" only, default (64, 128, 256).
        backbone: name of a model of timm; "timm" only, which needs it.
        columns: [start, stop) of the inputs, which may have more, that the network reads; "linear" and "mlp" only.
            num_features is then stop - start. Default None: the inputs have num_features columns, and it reads all.
        dropout: probability in [0, 1) of zeroing a hidden unit in training; "mlp" only, default 0.

    Raises:
        ArgumentError: the name is unknown, a value is out of range, missing, or not a setting of that architecture.

    Example:
        >>> spec = NetworkSpec("mlp", 3, num_features=5, hidden=(8,))
        >>> spec.build(generator_seed=0)(torch.zeros(2, 5)).shape
        torch.Size([2, 3])
        >>> NetworkSpec.from_json(spec.to_json()) == spec
        True
        >>> NetworkSpec("linear", 3, columns=(100, 105)).num_features
        5
    """

    name: str
    num_classes: int
    _: KW_ONLY
    num_features: int | None = None
    in_channels: int | None = None
    hidden: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None
    backbone: str | None = None
    columns: tuple[int, int] | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        if self.name not in tuple(NETWORKS):  # a tuple, because a name out of a file can be unhashable
            raise ArgumentError(f"Network {self.name!r} is unknown: take one of {', '.join(NETWORKS)}.")
        checked: dict[str, Any] = {"num_classes": count("num_classes", self.num_classes, at_least=2)}
        defaults = NETWORKS[self.name].defaults
        if ("backbone" in defaults) != isinstance(self.backbone, str):
            expected = "the name of a model of timm" if "backbone" in defaults else "None, it is for 'timm'"
            raise ArgumentError(f"backbone of network {self.name!r} is {self.backbone!r}: expected {expected}.")
        checked |= self._checked_columns()
        for setting, check in _CHECKS.items():
            value = checked.get(setting, getattr(self, setting))
            if setting in defaults:
                value = defaults[setting] if value is None else value
                checked[setting] = check(f"{setting} of network {self.name!r}", value)
            elif value is not None:
                raise self._not_taken(setting)
        for setting, value in checked.items():
            object.__setattr__(self, setting, value)  # frozen for everyone else

    def _checked_columns(self) -> dict[str, Any]:
        """The columns and how many they are, if some are named."""
        if self.columns is None:
            return {}
        if not NETWORKS[self.name].takes_columns:
            raise self._not_taken("columns")
        start, stop = column_range(f"columns of network {self.name!r}", self.columns, num_features=self.num_features)
        return {"columns": (start, stop), "num_features": stop - start}

    def _not_taken(self, setting: str) -> ArgumentError:
        architecture = NETWORKS[self.name]
        *others, last = [*architecture.defaults, *(["columns"] if architecture.takes_columns else [])]
        takes = f"{', '.join(others)} and {last}" if others else last
        return ArgumentError(
            f"{setting} is {getattr(self, setting)!r}, but {self.name!r} takes only {takes}: leave it out."
        )

    @property
    def takes_images(self) -> bool:
        """True where inputs are images (B, in_channels, H, W), False where they are vectors (B, D)."""
        return NETWORKS[self.name].takes_images

    def build(self, *, generator_seed: int) -> nn.Module:
        """A new network on the CPU in train mode; no global random state changes, neither the CPU's nor a GPU's.

        Args:
            generator_seed: an integer in [0, 2^64), the only thing besides the spec that the weights depend on.

        Raises:
            ArgumentError: the seed is out of range.
        """
        seed = count("generator_seed", generator_seed, at_least=0)
        if seed >= 2**64:
            raise ArgumentError(f"generator_seed is {seed}, expected an integer in [0, 2^64): take a smaller one.")
        architecture = NETWORKS[self.name]
        settings = {setting: getattr(self, setting) for setting in architecture.defaults}
        if self.columns is not None:
            settings["columns"] = self.columns
        with TURNS, torch.random.fork_rng(devices=[]), torch.device("cpu"):
            # Not torch.manual_seed: it would also seed the GPU generators, which fork_rng(devices=[]) does not restore.
            torch.default_generator.manual_seed(seed)
            return architecture.build(num_classes=self.num_classes, **settings)

    def to_json(self) -> dict[str, Any]:
        """The settings that are not None, as strings, numbers and lists, ready for json.dumps."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "NetworkSpec":
        """The spec that `to_json` wrote.

        Raises:
            ArgumentError: not a mapping, a key is unknown or missing, or `NetworkSpec` refuses a value.
        """
        if not isinstance(settings, Mapping):
            raise ArgumentError(f"A network is {settings!r}, expected a mapping such as NetworkSpec(...).to_json().")
        known = [field.name for field in fields(cls)]
        if not {"name", "num_classes"} <= set(settings) <= set(known):
            keys, rest = ", ".join(map(str, settings)), ", ".join(known[2:])
            raise ArgumentError(f"A network has the keys {keys}; expected name, num_classes and at most {rest}.")
        return cls(**settings)
