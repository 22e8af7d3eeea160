"""Data of a grid as read: the same for all its cells, before a seed splits them and noise spoils their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elr.data.label_coding import LabelCoding
from elr.data.prepared_data import PreparedData, prepare_records
from elr.data.records import ReadOptions, Records
from elr.datasets.readers.cifar_n import HUMAN_SETS, human_labels
from elr.errors import ArgumentError
from elr.runs.bench.planting import HUMAN, NONE, Noise, plant

TEST_SHARE = 0.3
"""Of the rows, where there are no test data."""
HUMAN_NAMED = {"cifar10": 10, "cifar100": 100}
"""Sets of which there are labels that humans gave, and their classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """Data as read.

    Args:
        name: what the cells call them.
        train: all rows that may be trained on.
        source: what was read, for people.
        options: how they were read.
        test: rows with trusted labels; None where each seed takes a share of the rows.
        test_share: that share.
        trusted: whether the labels of the rows are known to be right.
        order: the classes in their order, where they have one.
        coding: the classes, where they are known beforehand.
        set: the published set that they are, if any.
        place: where that lies.
        clean: (N,) class numbers of all training rows of the set, of which `train` may have the first only.

    Example:
        >>> rows = Records(kind="features", rows=np.arange(40), features=np.eye(40), labels=[0, 1] * 20)
        >>> loaded = Loaded(name="mine", train=rows, source="mine", order=(0, 1))
        >>> prepared = loaded.prepared(Noise("symmetric", 0.25), seed=0)
        >>> len(prepared.examples), len(prepared.test), prepared.noise, noise_rate(prepared)
        (28, 12, 'symmetric:0.25', 0.25)
    """

    name: str
    train: Records
    source: str
    options: ReadOptions = ReadOptions()
    test: Records | None = None
    test_share: float = TEST_SHARE
    trusted: bool = False
    order: tuple[Any, ...] | None = None
    coding: LabelCoding | None = None
    set: str | None = None
    place: Path | None = None
    clean: NDArray[np.int64] | None = None

    def check(self, noise: Noise) -> None:
        """Whether the labels can have such noise.

        Raises:
            ELRError: they cannot; it says why.
        """
        self.spoiled(self.train, noise, seed=0)

    def spoiled(self, train: Records, noise: Noise, *, seed: int) -> Records:
        """Training rows with the noise, what is known to be right beside it."""
        if noise.name == HUMAN:
            return self._by_humans(train, noise)
        if noise.name == NONE:
            return replace(train, clean_labels=train.labels) if self.trusted and train.clean_labels is None else train
        if train.clean_labels is not None or train.annotations is not None:
            own = "of annotators" if train.clean_labels is None else "of its own, and clean ones beside them"
            raise ArgumentError(f"{self.name} has labels {own}: no noise is planted in them; its noise is {NONE!r}")
        if noise.set is not None and noise.set != self.set:
            raise ArgumentError(f"{noise.name} goes by the classes of {noise.set}, and {self.name} is another set")
        return plant(train, noise, seed=seed, options=self.options, order=self.order, coding=self.coding)

    def prepared(self, noise: Noise, *, seed: int, holdout: float = 0.0) -> PreparedData:
        """The data of a cell: split and spoiled by its seed, the same for all methods.

        Args:
            noise: of the training labels.
            seed: of the split into training and test rows, of the noise, and of the rows held out.
            holdout: share of the training rows to hold out with their given labels.

        Raises:
            ELRError: noise that they cannot have, or labels that say nothing.
        """
        train, test = self._split(seed) if self.test is None else (self.train, self.test)
        prepared = prepare_records(
            self.spoiled(train, noise, seed=seed),
            test,
            options=self.options,
            source=self.source if noise.name != HUMAN else f"{self.source}, {noise.rate}",
            test_source=f"{self.source}, test rows",
            holdout=holdout,
            seed=seed,
            coding=self.coding,
        )
        return replace(prepared, noise=f"{noise.name}:{noise.rate:g}") if noise.is_planted else prepared

    def _by_humans(self, train: Records, noise: Noise) -> Records:
        classes = HUMAN_NAMED.get(self.set or "")
        if classes is None or self.clean is None or self.place is None:
            raise ArgumentError(
                f"there are no {HUMAN} labels of {self.name}: there are of {' and '.join(HUMAN_NAMED)}, by Wei et al."
            )
        if noise.rate not in HUMAN_SETS[classes]:
            raise ArgumentError(f"no human labels {noise.rate!r}: expected one of {', '.join(HUMAN_SETS[classes])}")
        given = human_labels(self.place, str(noise.rate), self.clean, num_classes=classes)
        names = self.coding.class_names if self.coding is not None else tuple(range(classes))
        return replace(train, labels=[names[given[row]] for row in train.rows], clean_labels=train.labels)

    def _split(self, seed: int) -> tuple[Records, Records]:
        """Training and test rows by seed, the classes in equal shares."""
        from sklearn.model_selection import train_test_split  # half a second that a list of cells need not wait for

        clean = self.train.labels if self.train.clean_labels is None else self.train.clean_labels
        rows = np.arange(len(self.train))
        train, test = train_test_split(rows, test_size=self.test_share, stratify=clean, random_state=seed)
        held = self.train.take(test)
        return self.train.take(train), replace(held, labels=held.clean_labels or held.labels, clean_labels=None)


def noise_rate(prepared: PreparedData) -> float | None:
    """The realized share of wrong labels among those trained on; None where it is not known.

    Example:
        >>> rows = Records(kind="features", rows=np.arange(8), features=np.eye(8), labels=[0, 1] * 4)
        >>> print(noise_rate(Loaded(name="mine", train=rows, source="mine").prepared(Noise("none"), seed=0)))
        None
    """
    if prepared.clean_labels is None:
        return None
    assert prepared.examples.labels is not None, "prepared data have labels"
    return float((prepared.examples.labels.numpy() != prepared.clean_labels).mean())
