"""How a run trains, whole and in plain values: method, network, loop, augmentation; enough to build it again."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from elr.checking import check_types
from elr.data.examples import Examples
from elr.data.formats.images import SMALLEST
from elr.data.labels.value_types import LABEL_TYPE
from elr.data.pictures.image_store import ImageStore
from elr.data.preprocessing import Augmentation
from elr.devices import memory_for_tables, mixed_seed, processes_here
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.config import MethodConfig
from elr.networks.architectures import FastConvNet
from elr.networks.backbones import load_body
from elr.networks.spec import NetworkSpec
from elr.targets.choice import AUTO, TARGETS_ARE, chosen_targets
from elr.targets.config import DENSE, STATELESS, TargetsConfig
from elr.training.config import TrainingConfig
from elr.training.engine import from_main_process, number_of_processes, on_all_ranks, shards_networks
from elr.training.inference import NORMS
from elr.training.loop import Training
from elr.training.monitor import Monitor
from elr.training.ranks.whole_batch import DROPS

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData

PEER_SEED = 2**31  # the first that no run has; of more than 32 bits, torch's generator on a processor takes the last 32
"""Added to the seed of the first network's weights for those of its peer."""
_LIBRARIES = ("torch", "numpy", "scikit-learn", "accelerate", "skops")
TRAINED_BY = "the networks are trained by "
"""What the sentence on several processes begins with, by which it is found among other remarks."""
_WHITENED_IMAGES = 5000  # as the speed runs take


def said_of_data(prepared: PreparedData) -> list[str]:
    """What the user should know about how some data were read, and is no warning.

    Example:
        >>> import numpy as np
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> prepared = prepare_data((np.tile([[0.5, 2.0], [1.5, 1.0]], (20, 1)), np.arange(40) // 20), ReadOptions())
        >>> said_of_data(prepared)
        []
    """
    findings = [finding.text for finding in prepared.findings if not finding.loud]
    return [*prepared.records.remarks, *prepared.preprocessing.remarks, *findings]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that, with the data, decides how a run goes.

    Args:
        method: what a training step is.
        network: of one network.
        training: the loop.
        augmentation: of images.
        targets: where the method's targets are kept, if it has any, and how precisely.
        whiten: whether the first layer of the fast network is set to whiten patches of the images, and frozen.
        probe_period: epochs between looks at the test data.
        remarks: what people should know about how it was made, a sentence each.

    Example:
        >>> from elr.methods.elr import ELRConfig
        >>> network = NetworkSpec("mlp", 3, num_features=5)
        >>> training = TrainingConfig(epochs=10)
        >>> plan = Plan(method=ELRConfig(), network=network, training=training, augmentation=Augmentation())
        >>> plan.to_json()["targets"], Plan.from_json(plan.to_json()) == plan
        ({'placement': 'dense', 'dtype': 'float32', 'top_k': 16}, True)
    """

    method: MethodConfig
    network: NetworkSpec
    training: TrainingConfig
    augmentation: Augmentation
    targets: TargetsConfig = DENSE
    whiten: bool = False
    probe_period: int = 1
    remarks: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_types(self, "whiten", "probe_period", "remarks")
        if self.probe_period < 1:
            raise ArgumentError(f"probe_period is {self.probe_period}: expected at least 1 epoch")
        object.__setattr__(self, "remarks", tuple(self.remarks))  # JSON knows lists only
        self.method.check_generations(self.training.generations)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return asdict(self) | {
            "targets": self.targets.to_json(),
            "method": self.method.to_json(),
            "network": self.network.to_json(),
            "remarks": [*self.remarks],
        }

    @classmethod
    def from_json(cls, run: Mapping[str, Any]) -> Plan:
        """The plan in run.json, which may hold more than that."""
        return cls(
            method=method_from_json(run["method"]),
            network=NetworkSpec.from_json(run["network"]),
            training=TrainingConfig(**run["training"]),
            augmentation=Augmentation(**run["augmentation"]),
            targets=TargetsConfig(**run["targets"]),
            whiten=run["whiten"],
            probe_period=run["probe_period"],
            remarks=run["remarks"],
        )

    def description(
        self, prepared: PreparedData, config: Mapping[str, Any], *, reading: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Everything that decides how the run goes, as plain values: what a resumed run must agree in.

        Args:
            prepared: the data.
            config: what was asked for.
            reading: what was read (`elr.data.inspection.Inspection.to_json`).
        """
        description = {
            "elr_version": metadata.version("elr"),
            "config": dict(config),
            **self.to_json(),
            "preprocessing": prepared.preprocessing.to_json(),
            "data": {
                "source": prepared.source,
                "options": prepared.options.to_json(),
                "noise": prepared.noise,
                "test": prepared.test_source,
                "sha256": prepared.sha256,
                "num_examples": len(prepared.examples),
                LABEL_TYPE: prepared.records.facts.get(LABEL_TYPE),
                "streamed": prepared.streamed is not None,
                "remarks": said_of_data(prepared),
                "reading": dict(reading),
            },
            "versions": {name: metadata.version(name) for name in _LIBRARIES}
            | {"python": platform.python_version(), "machine": platform.platform(), "threads": torch.get_num_threads()},
        }
        return json.loads(json.dumps(description))  # as it will be read again

    def with_targets(
        self, prepared: PreparedData, *, targets: str, dtype: str | None, device: str, max_memory: int | None = None
    ) -> Plan:
        """The same with a store of targets for some data, and a remark where there is something to say of it.

        Under several processes all of them call it: what is free is what the first one finds, so that all choose alike.

        Args:
            prepared: the data.
            targets: as of `elr.targets.choice.chosen_targets`.
            dtype: as there.
            device: where the model is to lie, see `elr.devices.memory_for_tables`.
            max_memory: bytes that may be used on this machine. Default: what is free.
        """
        memory = from_main_process(device, lambda: memory_for_tables(device, max_memory)) if targets == AUTO else 0
        here = from_main_process(device, lambda: min(processes_here(), number_of_processes()))
        choose = partial(
            chosen_targets,
            len(prepared.examples),
            self.method.target_widths(prepared.preprocessing.num_classes),
            memory=memory,
            targets=targets,
            dtype=dtype,
            ranks=number_of_processes(),
            ranks_here=here,
        )
        config, sentence = on_all_ranks(device, choose)
        method = self.method
        if config.placement == STATELESS:
            epochs = self.training.epochs // self.training.generations
            method = method.stateless(steps=epochs * math.ceil(len(prepared.examples) / self.training.batch_size))
        remarks = [*self.remarks, *([sentence] if sentence else [])]
        return replace(self, method=method, targets=config, remarks=remarks)

    def on_ranks(self) -> Plan:
        """The same with a remark where several processes train networks that give other results on one."""
        own = [] if number_of_processes() < 2 else self._own_of_ranks()
        if not own:
            return self
        remark = (
            f"{TRAINED_BY}{number_of_processes()} processes, each with {', '.join(own)}: the results differ from those "
            "of one process (docs/guides/several-gpus.md)"
        )
        return replace(self, remarks=[*self.remarks, remark])

    def _own_of_ranks(self) -> list[str]:
        """What is drawn or measured on the share of a batch that a process has, where it is not that of all."""
        if self.method.whole_batches and not shards_networks():
            return []
        networks = [spec.build(generator_seed=0) for spec in {*self.method.network_specs(self.network)}]
        layers = [layer for network in networks for layer in network.modules()]
        drops = any(isinstance(layer, DROPS) and layer.p > 0 for layer in layers)
        norms = any(isinstance(layer, NORMS) for layer in layers)
        mixes = not self.method.whole_batches
        return [
            *["mixup within its share of a batch"] * mixes,
            *["dropout of its own (as of another seed)"] * drops,
            *["batch norm over its share of a batch (as of smaller ones)"] * norms,
        ]

    def going_on(self, run: Mapping[str, Any]) -> Plan:
        """The same with the store of targets of an unfinished run, where the free memory of the day has chosen it."""
        if run.get("config", {}).get("targets") != AUTO or "targets" not in run:
            return self
        others = [remark for remark in self.remarks if not remark.startswith(TARGETS_ARE)]
        said = [remark for remark in run["remarks"] if remark.startswith(TARGETS_ARE)]
        return replace(self, targets=TargetsConfig(**run["targets"]), remarks=[*others, *said])

    def build(self, prepared: PreparedData, *, probe: Examples | None, folder: Path | None) -> Training:
        """The training that the plan stands for."""
        labels = prepared.examples.labels
        assert labels is not None, "prepared data always have labels"
        transform = self.augmentation.transform(
            prepared.preprocessing,
            flatten=not self.network.takes_images,
            on_disk=isinstance(inputs := prepared.examples.inputs, ImageStore) and inputs.geometry.windows,
        )
        networks = self.networks()
        if prepared.records.pretrained is not None and self.network.backbone is not None:
            for network in networks:
                load_body(network, prepared.records.pretrained)
        if self.whiten:
            _whiten(
                networks,
                transform(prepared.examples.fetch(torch.arange(min(len(prepared.examples), _WHITENED_IMAGES)))),
            )
        method = self.method.build(
            networks,
            num_examples=len(prepared.examples),
            num_classes=prepared.preprocessing.num_classes,
            targets=replace(self.targets, folder=folder),
        )
        return Training(
            method,
            prepared.examples,
            config=self.training,
            transform=transform,
            monitor=Monitor(labels.numpy(), clean_labels=prepared.clean_labels, epochs=self.training.epochs),
            probe=probe,
            probe_period=self.probe_period,
            folder=folder,
        )

    def predictors(self, choice: Mapping[str, Any] | None = None) -> list[nn.Module]:
        """The networks that predict at the end of the run, to load their weights into.

        Args:
            choice: what the method chose (`Method.choice`), as run.json has it. Default: nothing.
        """
        return [spec.build(generator_seed=0) for spec in self.method.predictor_specs(self.network, choice or {})]

    def networks(self) -> list[nn.Module]:
        """The networks with their first weights."""
        seeds = [self.training.seed, self.training.seed + PEER_SEED]
        specs = self.method.network_specs(self.network)
        seeds += [mixed_seed(self.training.seed, number) for number in range(len(seeds), len(specs))]
        return [spec.build(generator_seed=seed) for spec, seed in zip(specs, seeds, strict=False)]


def _whiten(networks: Sequence[nn.Module], images: Tensor) -> None:
    for network in networks:
        if not isinstance(network, FastConvNet):
            raise ArgumentError(f"whiten is set for a {type(network).__name__}: only the fast network has such a layer")
        FastConvNet.whiten(network, images)


def network_for(
    prepared: PreparedData, name: str | None = None, *, widths: tuple[int, ...] | None = None
) -> NetworkSpec:
    """A network for prepared data.

    Args:
        prepared: the data.
        name: in `elr.networks.spec.NETWORKS`. Default: "fast" for images of at least 16 pixels, "mlp" otherwise. Of
            features in several blocks, as those of text, "linear" reads the terms, "mlp" the dense ones.
        widths: of the fast network, if not its default.

    Raises:
        ArgumentError: no such network, or one for images and data of another kind.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> images = np.zeros((20, 3, 32, 32), dtype=np.uint8), np.arange(20) % 4
        >>> for data in (images, (np.eye(20), np.arange(20) % 4)):
        ...     network = network_for(prepare_data(data, ReadOptions()))
        ...     network.name, network.num_classes
        ('fast', 4)
        ('mlp', 4)
    """
    images = prepared.preprocessing.takes_images
    if images and prepared.records.pretrained is not None:
        if name is not None:
            raise ArgumentError(f"network is {name!r} and a backbone is to be fine-tuned: leave one of them out")
        return NetworkSpec("timm", prepared.preprocessing.num_classes, backbone=prepared.records.pretrained.name)
    shape = tuple(prepared.examples.inputs.shape[1:])
    name = name or ("fast" if images and min(shape[1:]) >= SMALLEST else "mlp")
    takes_images = NetworkSpec(name, 2, num_features=None if name not in ("linear", "mlp") else 1).takes_images
    if takes_images and not images:
        found = prepared.preprocessing.learns_from
        raise ArgumentError(f"network {name!r} takes images, the data are {found}: use mlp or linear")
    columns = prepared.preprocessing.feature_blocks.get("terms" if name == "linear" else "dense")
    return NetworkSpec(
        name,
        prepared.preprocessing.num_classes,
        in_channels=shape[0] if takes_images else None,
        num_features=None if takes_images or columns else int(np.prod(shape)),
        columns=columns,
        widths=widths,
    )
