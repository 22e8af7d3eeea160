"""The noise of a cell: what its name says, and the labels of a set with it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from elr.data.kinds.catalog import fit_preprocessing
from elr.data.label_coding import LabelCoding
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError
from elr.noise.models import corrupt_asymmetric, corrupt_instance_dependent
from elr.noise.named import NOISES, corrupt

NONE, HUMAN, NEXT_CLASS, INSTANCE = "none", "human", "next-class", "instance-dependent"
PLANTED = (*NOISES, NEXT_CLASS, INSTANCE)
"""Names of noise with a rate: those of `elr.noise.named.NOISES`, and two that ask more of the data."""
ORDERED = (NEXT_CLASS, "pairflip")
"""Those that go from a class to the next, and so need an order of the classes."""
_OF_ONE_SET = {"asymmetric-cifar100": "cifar100", "asymmetric-cifar10": "cifar10"}  # beginnings of names


@dataclass(frozen=True)
class Noise:
    """What a cell's labels suffer.

    Args:
        name: "none": the labels stay as the data have them; "human": a label set of CIFAR-10N or CIFAR-100N; else one
            of `PLANTED`.
        rate: of planted noise, in [0, 1]; of human noise the label set.

    Raises:
        ArgumentError: no such noise, or a rate outside [0, 1].

    Example:
        >>> Noise("symmetric", 0.4).is_planted, Noise("human", "worse_label").is_planted
        (True, False)
        >>> Noise("symetric", 0.4)
        Traceback (most recent call last):
        elr.errors.ArgumentError: noise 'symetric' is unknown: did you mean symmetric or ...
    """

    name: str
    rate: float | str | None = None

    def __post_init__(self) -> None:
        if self.name == NONE or (self.name == HUMAN and isinstance(self.rate, str)):
            return
        if self.name not in PLANTED:
            near = difflib.get_close_matches(self.name, (*PLANTED, HUMAN), n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ArgumentError(
                f'noise {self.name!r} is unknown: {hint}expected "none", "human-LABELSET", or NAME-RATE with a name of '
                f"{', '.join(PLANTED)}"
            )
        if not isinstance(self.rate, float) or not 0.0 <= self.rate <= 1.0:
            found = "no rate" if self.rate is None else f"the rate {self.rate}"
            raise ArgumentError(f"noise {self.name!r} has {found}: expected one in [0, 1], such as {self.name}-0.4")

    @property
    def is_planted(self) -> bool:
        """Whether it is drawn, by the seed of the cell."""
        return self.name in PLANTED

    @property
    def set(self) -> str | None:
        """The published set whose classes it is made for, if it is for one only."""
        return next((name for start, name in _OF_ONE_SET.items() if self.name.startswith(start)), None)


def plant(
    records: Records,
    noise: Noise,
    *,
    seed: int,
    options: ReadOptions,
    order: tuple[Any, ...] | None,
    coding: LabelCoding | None = None,
) -> Records:
    """The records with wrong labels; those that they had become the clean ones.

    Drawn as `elr fit --noise` draws with that seed, and so the same for all methods.

    Args:
        records: with labels that are right.
        noise: a planted one.
        seed: of the draw.
        options: how the records were read.
        order: the classes in their order, where they have one.
        coding: the classes, where they are known beforehand.

    Raises:
        ArgumentError: noise that such data cannot have.

    Example:
        >>> records = Records(kind="features", rows=np.arange(6), features=np.eye(6), labels=[1, 2, 3] * 2)
        >>> noisy = plant(records, Noise("next-class", 1.0), seed=0, options=ReadOptions(), order=(1, 2, 3))
        >>> noisy.labels, noisy.clean_labels
        ([2, 3, 1, 2, 3, 1], [1, 2, 3, 1, 2, 3])
    """
    assert records.labels is not None, "checked by the reader"
    coding = coding or LabelCoding.fit(records.labels, column=options.label_name)
    names = coding.class_names
    clean = coding.encode(records.labels, column=options.label_name)
    known: dict[str, Any] = {"noise_rate": noise.rate, "num_classes": len(names), "seed": seed}
    if noise.name in ORDERED:
        noisy = _to_the_next(clean, noise, _places(names, order), known)
    elif noise.name == INSTANCE:
        noisy = corrupt_instance_dependent(clean, noise_features(records, options, coding), **known).labels
    else:
        noisy = corrupt(noise.name, clean, **known).labels
    return replace(records, labels=[names[label] for label in noisy], clean_labels=[names[label] for label in clean])


def noise_features(records: Records, options: ReadOptions, coding: LabelCoding | None = None) -> NDArray[np.floating]:
    """(N, S) what instance-dependent noise goes by: pixels in [0, 1], else the inputs as a network gets them.

    Raises:
        ArgumentError: texts, whose inputs are sparse, or images on disk.

    Example:
        >>> import torch
        >>> white = torch.full((4, 1, 2, 2), 255, dtype=torch.uint8)
        >>> records = Records(kind="images", rows=np.arange(4), images=white, labels=[0, 1, 0, 1])
        >>> noise_features(records, ReadOptions()).tolist()[0]
        [1.0, 1.0, 1.0, 1.0]
    """
    preprocessing = fit_preprocessing(replace(records, clean_labels=None), options, coding=coding)
    inputs = preprocessing.encode(records, name="the data", label_name=options.label_name).inputs
    if not isinstance(inputs, Tensor):
        raise ArgumentError(
            f"{INSTANCE} noise goes by numbers in memory, and these data are texts or images on disk: take another "
            "noise, or features of them"
        )
    array = inputs.numpy()
    return (array / 255.0 if array.dtype == np.uint8 else array).reshape(len(records), -1)


def _places(names: tuple[Any, ...], order: tuple[Any, ...] | None) -> NDArray[np.int64]:
    """(C,) the place of each class in the order."""
    if order is None or sorted(map(str, order)) != sorted(map(str, names)):
        raise ArgumentError(
            f"the classes {', '.join(map(str, names))[:100]} have no known order: name it as class_order in the data"
        )
    place = {str(name): number for number, name in enumerate(order)}
    return np.array([place[str(name)] for name in names], dtype=np.int64)


def _to_the_next(clean: NDArray[np.int64], noise: Noise, places: NDArray[np.int64], known: dict) -> NDArray[np.int64]:
    """Labels moved to the next class of the order, the last to the first; of two classes next-class moves the first."""
    ordered = places[clean]
    if noise.name == NEXT_CLASS and len(places) == 2:
        moved = corrupt_asymmetric(ordered, mapping={0: 1}, **known).labels
    else:
        moved = corrupt("pairflip", ordered, **known).labels
    return np.argsort(places)[moved]
