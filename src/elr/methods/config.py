"""The settings of a method: plain values, what they need, how the method is built from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from elr.errors import ArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self

    from elr.methods.method import Method
    from elr.networks.spec import NetworkSpec
    from elr.targets.config import TargetsConfig

NOISE_RATE, TRANSITION = "noise_rate", "transition"
QUANTITIES = {
    NOISE_RATE: "the share of wrong labels",
    TRANSITION: "the C x C probabilities of each given class (column) for each true one (row)",
}
"""What a method may need to know of the noise, in words."""
EXAMPLES = {NOISE_RATE: "0.2", TRANSITION: "[[0.9,0.1],[0.2,0.8]]"}


@dataclass(frozen=True, kw_only=True)
class MethodConfig(ABC):
    """The settings of a method in plain values, and how it is built; each method has its own, in its file.

    A subclass is a frozen keyword-only dataclass that says its `name`, checks its values in `__post_init__` and builds
    its method. Everything else here has a default that suits a method of one network.

    Attributes:
        name: what the command line and run.json call the method; its key in `elr.methods.catalog.METHODS`.
        needs: settings without which it cannot train, and the quantity that each is (`NOISE_RATE`, `TRANSITION`). They
            are None by default: who trains has to know them, and `elr bench` takes them from the noise that it made.
        whole_batches: whether `elr.methods.method.Method.whole_batches` of its method is always true.

    Example:
        >>> from elr.methods.kl_penalty import KLPenaltyConfig
        >>> config = KLPenaltyConfig(lam=5.0)
        >>> config.to_json()
        {'name': 'kl_penalty', 'lam': 5.0, 'beta': 0.7}
        >>> config.build([nn.Linear(2, 3)], num_examples=8, num_classes=3).stores
        [DenseTargets(8, 3, dtype=torch.float32)]
    """

    name: ClassVar[str]
    needs: ClassVar[Mapping[str, str]] = {}
    whole_batches: ClassVar[bool] = True

    @abstractmethod
    def build(
        self,
        networks: Sequence[nn.Module],
        *,
        num_examples: int,
        num_classes: int,
        targets: TargetsConfig | None = None,
    ) -> Method:
        """The method over these networks.

        Args:
            networks: `num_networks` of them, each giving logits (B, C).
            num_examples: N, rows of the training set.
            num_classes: C >= 2.
            targets: how its targets are stored, if it has any.

        Raises:
            ArgumentError: another number of networks.
        """

    @classmethod
    def for_run(cls, asked: Mapping[str, Any], *, steps: int, epochs: int, fast: bool) -> Self:
        """The settings for a run: what the published ones become where a run is shorter than those published.

        Args:
            asked: settings that someone asked for, by name, which stay as they are; those that this method does not
                have are left out.
            steps: of each pass in the whole run.
            epochs: of the whole run.
            fast: whether it is the fast loop, see `elr.runs.fit_config`.
        """
        del steps, epochs, fast
        own = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in asked.items() if name in own})

    def stateless(self, *, steps: int | None = None) -> Self:
        """The same where no targets are kept; as it is where it cannot do without, which `build` refuses.

        Args:
            steps: of each pass in a generation of the run. Default: not known.
        """
        del steps
        return self

    def resized(self, share: float, *, generations: int) -> Self:
        """The same for generations of `share` of the length, of which there are so many now."""
        del share, generations
        return self

    def check_generations(self, generations: int) -> None:  # noqa: B027 - most methods go with any number
        """Refuse a number of generations that the settings do not go with.

        Raises:
            ArgumentError: as it says.
        """

    @property
    def generations(self) -> int:
        """How many generations a run of it has, where nothing else is asked for."""
        return 1

    @property
    def num_networks(self) -> int:
        """How many networks it trains."""
        return 1

    def target_widths(self, num_classes: int) -> tuple[int, ...]:  # noqa: ARG002
        """How many targets each of its stores keeps of a row: C, or C for each of networks that lie side by side."""
        return ()

    @property
    def num_predictors(self) -> int:
        """How many networks predict when training has ended."""
        return self.num_networks

    def network_specs(self, default: NetworkSpec) -> list[NetworkSpec]:
        """The networks to build it from, of which `default` is the run's."""
        return [default] * self.num_networks

    def predictor_specs(self, default: NetworkSpec, choice: Mapping[str, Any]) -> list[NetworkSpec]:  # noqa: ARG002
        """The networks that predict at the end, where the method made this `Method.choice`."""
        return [default] * self.num_predictors

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name

    def described(self) -> dict[str, Any]:
        """What there is to say about it to people: the label, and the settings that matter."""
        return {"name": self.label, **asdict(self)}

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them; `elr.methods.catalog.method_from_json` reads them."""
        return {"name": self.name, **asdict(self)}

    def check_needs(self) -> None:
        """Refuse settings without what the method needs.

        Raises:
            ArgumentError: as it says, with the setting and what it is.
        """
        for setting, quantity in self.needs.items():
            if getattr(self, setting) is None:
                raise ArgumentError(
                    f"method {self.name!r} needs {setting}, {QUANTITIES[quantity]}: expected a value, such as --set "
                    f"{setting}={EXAMPLES[quantity]}; methods that need none are elr and most others in docs/methods.md"
                )

    def check_networks(self, networks: Sequence[nn.Module]) -> None:
        """Raise what `build` promises to raise."""
        self.check_needs()
        if len(networks) != self.num_networks:
            raise ArgumentError(
                f"{self.name!r} with these settings has {self.num_networks} network(s), and {len(networks)} were "
                "passed: pass as many"
            )
        if len(set(map(id, networks))) != len(networks):
            raise ArgumentError("the peer is the network itself: expected a second one, with weights of its own")
