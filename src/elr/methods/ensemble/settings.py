"""Settings of an ensemble: the grid it chooses from, and how it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from elr.checking import check_ranges, check_types
from elr.errors import ArgumentError
from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import check_weights
from elr.networks.spec import NetworkSpec


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one point of the grid trains: one network for each fold.

    Args:
        lam: weight of the regularizer, >= 0.
        network: its networks, dropout included.
        learning_rate: their peak learning rate. Default: the run's.
        reads: what people call the columns that they read, such as "terms", where these are not all.

    Example:
        >>> setting = Setting(lam=3.0, network=NetworkSpec("mlp", 3, num_features=5, dropout=0.5))
        >>> setting.described()
        {'network': 'mlp', 'lam': 3.0, 'dropout': 0.5}
    """

    lam: float
    network: NetworkSpec
    learning_rate: float | None = None
    reads: str = ""

    def described(self) -> dict[str, Any]:
        """What tells it from the others."""
        settings = {"dropout": self.network.dropout, "reads": self.reads or None}
        kept = {name: value for name, value in settings.items() if value is not None}
        return {"network": self.network.name, "lam": self.lam} | kept

    def text(self) -> str:
        """The same in words."""
        columns = f" of {self.reads}" if self.reads else ""
        dropout = "" if self.network.dropout is None else f", dropout {self.network.dropout:g}"
        return f"{self.network.name}{columns}, lam {self.lam:g}{dropout}"


@dataclass(frozen=True, kw_only=True)
class EnsembleSettings(MethodConfig):
    """Settings of `elr.methods.ensemble.ensemble.Ensemble`; `elr.methods.ensemble.ensemble.EnsembleConfig` builds it.

    Args:
        settings: the grid, in the order in which equals are preferred; or mappings of their values, as JSON has them.
        members: K >= 2, folds of the rows and networks for each setting.
        beta: momentum of the targets in [0, 1).
        align: whether the regularizer sees aligned targets (`elr.methods.ingredients.alignment`).
        clamp: see `elr.methods.loss.elr_loss.ELRLoss`.
        epochs: of the run.
        kept_epochs: epochs after which the weights are candidates, ascending; the last one always is. Default: that.
        most: how many candidates predict together, at most.
        seed: of the folds.

    Raises:
        ArgumentError: a setting out of range.

    Example:
        >>> network = NetworkSpec("linear", 3, num_features=5)
        >>> grid = [Setting(lam=lam, network=network) for lam in (0.0, 3.0)]
        >>> from elr.methods.ensemble.ensemble import EnsembleConfig
        >>> config = EnsembleConfig(settings=grid, members=5, epochs=30)
        >>> config.num_networks, config.kept_epochs
        (10, (30,))
    """

    name: ClassVar[str] = "elr_ensemble"
    settings: Sequence[Setting]
    epochs: int
    members: int = 5
    beta: float = 0.7
    align: bool = True
    clamp: float = 1e-4
    kept_epochs: Sequence[int] = ()
    most: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "settings", tuple(map(_setting, self.settings)))  # JSON knows mappings and lists only
        object.__setattr__(self, "kept_epochs", tuple(sorted({*self.kept_epochs, self.epochs})))
        if not self.settings:
            raise ArgumentError("an ensemble has no settings: expected at least one")
        for setting in self.settings:
            check_weights(setting.lam, self.beta)
        ranges = {
            "members": (type(self.members) is int and self.members >= 2, "at least 2; one network is the method 'elr'"),
            "clamp": (0.0 <= self.clamp < 0.5, "a probability in [0, 0.5)"),
            "kept_epochs": (self.kept_epochs[0] >= 1 and self.kept_epochs[-1] == self.epochs, "epochs of the run"),
            "most": (self.most >= 1, "at least 1"),
        }
        check_ranges(self, ranges)

    @property
    def num_networks(self) -> int:
        return len(self.settings) * self.members

    @property
    def label(self) -> str:
        return "elr"

    def network_specs(self, default: NetworkSpec) -> list[NetworkSpec]:
        del default
        return [setting.network for setting in self.settings for _ in range(self.members)]

    def predictor_specs(self, default: NetworkSpec, choice: Mapping[str, Any]) -> list[NetworkSpec]:
        del default
        chosen = [each["setting"] for each in choice["candidates"] if each["chosen"]]
        return [self.settings[place].network for place in chosen for _ in range(self.members)]

    def described(self) -> dict[str, Any]:
        """The label, how many networks, and the settings that they are chosen from."""
        lams = sorted({setting.lam for setting in self.settings})
        return {"name": self.label, "members": self.members, "settings": len(self.settings), "lam": lams}

    def to_json(self) -> dict[str, Any]:
        values = asdict(self) | {"settings": [_values(setting) for setting in self.settings]}
        return {"name": self.name, **values, "kept_epochs": list(self.kept_epochs)}


def _setting(value: Setting | Mapping[str, Any]) -> Setting:
    if isinstance(value, Setting):
        return value
    return Setting(**{**value, "network": NetworkSpec.from_json(value["network"])})


def _values(setting: Setting) -> dict[str, Any]:
    return asdict(setting) | {"network": setting.network.to_json()}
