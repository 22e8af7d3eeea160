"""Where the data of a grid are from: scikit-learn, files and folders of one's own, published sets."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from elr.data.formats.arrays import as_trained
from elr.data.label_coding import LabelCoding
from elr.data.reading import read_data
from elr.data.records import NO_BACKBONE, ReadOptions, Records
from elr.datasets.as_data import load_digits, training_data
from elr.datasets.base import TEST, TRAIN
from elr.datasets.catalog import LOADERS, loader_for
from elr.errors import ArgumentError, DataError
from elr.names import printable
from elr.runs.bench.sources.features import frozen
from elr.runs.bench.sources.loaded import HUMAN_NAMED, TEST_SHARE, Loaded

DIGITS, SKLEARN_TABLES = "digits", ("breast_cancer", "wine")
ALPHABETICAL = "alphabetical"
_ROWS = {"num_examples", "num_test"}
_TESTING = {"test", "test_label", "test_share"}
_READING = {each.name for each in fields(ReadOptions)} - {"backbone", "fine_tune"}


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Some data of a grid, not read yet.

    Args:
        name: what the cells call them.
        table: what the grid says of them.
        place: the file or folder, where they are not of scikit-learn; None where nobody has said it.
        cache: folder for features that take minutes to compute.

    Raises:
        ArgumentError: settings that such data do not have.

    Example:
        >>> source = source_of("digits", {})
        >>> source.load(seed=0).train.labels[:3]
        [3, 9, 1]
    """

    name: str
    table: Mapping[str, Any]
    place: Path | None = None
    cache: Path | None = None
    known: ClassVar[set[str]] = set()

    def __post_init__(self) -> None:
        for key in self.table:
            if key not in self.known:
                near = difflib.get_close_matches(key, self.known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(sorted(self.known)) or 'none'}"
                raise ArgumentError(f"data {self.name!r} have no setting {key!r}: {hint}")
        for key in _ROWS & self.table.keys():
            if type(self.table[key]) is not int or self.table[key] < 2:
                raise ArgumentError(f"{key} of data {self.name!r} is {self.table[key]!r}: expected a number from 2 on")

    @property
    def split_by_seed(self) -> bool:
        """Whether what is read depends on the seed."""
        return False

    def check(self) -> None:
        """Whether the data are there, without reading them.

        Raises:
            ELRError: they are not, or nobody has said where.
        """
        if self.place is None:
            raise ArgumentError(f"data {self.name!r} need a place: pass --data {self.wanted}=PATH")
        if not self.place.exists():
            raise DataError(
                f"data {self.name!r}: no such file or folder: {printable(self.place)}; --data {self.wanted}=PATH says "
                "where they are"
            )

    @property
    def wanted(self) -> str:
        """By which name a place may be given."""
        return self.name

    @abstractmethod
    def load(self, *, seed: int) -> Loaded:
        """Read the data."""

    def _first(self, loaded: Loaded) -> Loaded:
        """The same, of the first rows only where that was asked for."""
        train, test = self.table.get("num_examples"), self.table.get("num_test")
        return replace(
            loaded,
            train=loaded.train if train is None else loaded.train.head(train),
            test=loaded.test if test is None or loaded.test is None else loaded.test.head(test),
        )

    def _frozen(self, loaded: Loaded) -> Loaded:
        """The same, features of images in their place where a backbone is named."""
        name = self.table.get("backbone")
        if name is None:
            return loaded
        return frozen(loaded, name, weights=self.table.get("weights"), cache=self.cache)


@dataclass(frozen=True, kw_only=True)
class Digits(Source):
    """Scikit-learn's handwritten digits, 80 % of them to train on: as `elr fit` without data has them.

    Example:
        >>> loaded = Digits(name="digits", table={"num_examples": 100}).load(seed=0)
        >>> len(loaded.train), len(loaded.test)
        (100, 360)
    """

    known: ClassVar[set[str]] = _ROWS

    @property
    def split_by_seed(self) -> bool:
        return True

    def check(self) -> None:
        """They come with scikit-learn."""

    def load(self, *, seed: int) -> Loaded:
        """Read the data; the seed splits them."""
        train, test = load_digits(noise_rate=0.0, seed=seed)
        train = replace(train, clean_labels=None)
        return self._first(
            Loaded(name=self.name, train=train, test=test, source=DIGITS, trusted=True, order=tuple(range(10)))
        )


@dataclass(frozen=True, kw_only=True)
class SklearnTable(Source):
    """A table of scikit-learn, split by the seed.

    Example:
        >>> loaded = SklearnTable(name="wine", table={}).load(seed=0)
        >>> len(loaded.train), loaded.test, loaded.order
        (178, None, ('class 0', 'class 1', 'class 2'))
    """

    known: ClassVar[set[str]] = {"test_share", "num_examples"}

    def check(self) -> None:
        """They come with scikit-learn."""

    def load(self, *, seed: int) -> Loaded:
        """Read the data."""
        del seed
        from sklearn import datasets  # half a second that other data need not wait for

        frame = getattr(datasets, f"load_{self.name}")(as_frame=True).frame
        frame = frame.assign(label="class " + frame["target"].astype(str)).drop(columns="target")
        options = ReadOptions(label="label")
        return self._first(
            Loaded(
                name=self.name,
                train=read_data(frame, options),
                source=self.name,
                options=options,
                test_share=_share(self),
                trusted=True,
                order=tuple(sorted(frame["label"].unique())),
            )
        )


@dataclass(frozen=True, kw_only=True)
class OwnData(Source):
    """A file or folder that `elr fit` reads, and one with trusted labels, or a share of its rows by the seed.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "pets.csv"
        ...     pd.DataFrame({"weight": [3.0, 4.0, 9.0, 8.0], "pet": ["cat", "cat", "dog", "dog"]}).to_csv(file)
        ...     table = {"path": "pets.csv", "label": "pet", "class_order": ["dog", "cat"]}
        ...     loaded = OwnData(name="pets", table=table, place=file).load(seed=0)
        >>> loaded.train.labels, loaded.order
        (['cat', 'cat', 'dog', 'dog'], ('dog', 'cat'))
    """

    known: ClassVar[set[str]] = _READING | _ROWS | _TESTING | {"path", "class_order", "backbone", "weights"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if "test" in self.table and "test_share" in self.table:
            raise ArgumentError(f"data {self.name!r} have test and test_share: expected one of them")

    def check(self) -> None:
        super().check()
        if (test := self._test) is not None and not test.exists():
            raise DataError(f"test data of {self.name!r}: no such file or folder: {printable(test)}")

    @property
    def _test(self) -> Path | None:
        """Where the test data are: beside the others, unless their place is absolute."""
        assert self.place is not None, "checked before"
        return None if "test" not in self.table else self.place.parent / self.table["test"]

    def _options(self) -> ReadOptions:
        asked = {key: value for key, value in self.table.items() if key in _READING}
        chosen: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()
        }
        backbone = self.table.get("backbone")
        return ReadOptions(**chosen, backbone=backbone or NO_BACKBONE, fine_tune=None if backbone is None else False)

    def load(self, *, seed: int) -> Loaded:
        """Read the data."""
        del seed
        assert self.place is not None, "checked before"
        options = replace(self._options(), backbone=NO_BACKBONE, weights=None, fine_tune=None)
        train = read_data(self.place, options)
        test = None
        if (path := self._test) is not None:
            named = self.table.get("test_label")
            reading = train.resolved(options if named is None else options.with_label(named))
            test = read_data(as_trained(path, train.kind), reading, training=False)
        loaded = Loaded(
            name=self.name,
            train=train,
            test=test,
            test_share=_share(self),
            source=printable(self.place),
            options=options,
            order=self._order(train),
        )
        return self._frozen(self._first(loaded))

    def _order(self, train: Records) -> tuple[Any, ...] | None:
        """The order of the classes: as the table says it; of numbers that of the numbers."""
        asked = self.table.get("class_order")
        found = set(train.labels or [])
        if isinstance(asked, list):
            return tuple(asked)
        if asked == ALPHABETICAL:
            return tuple(sorted(found, key=str))
        if asked is not None:
            raise ArgumentError(
                f"class_order of data {self.name!r} is {asked!r}: expected the list of the classes, or {ALPHABETICAL!r}"
            )
        if all(isinstance(label, int | float | np.number) for label in found):
            return tuple(sorted(found))  # type: ignore[type-var]
        return None


@dataclass(frozen=True, kw_only=True)
class Published(Source):
    """A published set, by the name that `elr data list` has for it.

    Example:
        >>> Published(name="photos", table={"set": "cifar10"}).set
        'cifar10'
    """

    known: ClassVar[set[str]] = _ROWS | {"set", "path", "backbone", "weights"}

    @property
    def set(self) -> str:
        """The name of the set."""
        return self.table.get("set", self.name)

    @property
    def wanted(self) -> str:
        return self.set

    def load(self, *, seed: int) -> Loaded:
        """Read the data."""
        del seed
        assert self.place is not None, "checked before"
        opened = loader_for(self.set, self.place).open(self.place)
        parts = {part: training_data(opened.parts[part], opened.class_names) for part in opened.parts}
        if TEST not in parts:
            raise DataError(f"{printable(self.place)} has no test images: it has {', '.join(parts)}")
        train = opened.parts[TRAIN]
        loaded = Loaded(
            name=self.name,
            train=replace(parts[TRAIN], remarks=opened.remarks),
            test=parts[TEST],
            source=printable(self.place),
            trusted=self.set in HUMAN_NAMED,  # labels that nothing is known to be wrong with
            order=opened.class_names,
            coding=LabelCoding(class_names=opened.class_names),
            set=self.set,
            place=self.place,
            clean=train.labels if train.clean_labels is None else train.clean_labels,
        )
        return self._frozen(self._first(loaded))


def source_of(
    name: str,
    table: Mapping[str, Any],
    *,
    root: Path | None = None,
    places: Mapping[str, Path] | None = None,
    cache: Path | None = None,
) -> Source:
    """The source of some data of a grid.

    Args:
        name: what the cells call them.
        table: what the grid says of them; {} where it says nothing.
        root: the folder that relative paths of the grid start from.
        places: where data lie, by name of the data or of the published set; in place of what the table says.
        cache: folder for features that take minutes to compute.

    Raises:
        ArgumentError: no such data, or settings that they do not have.

    Example:
        >>> source_of("pets", {"path": "pets.csv", "label": "pet"}, root=Path("here")).place.as_posix()
        'here/pets.csv'
        >>> source_of("pets", {})
        Traceback (most recent call last):
        elr.errors.ArgumentError: data 'pets' are unknown: expected digits, breast_cancer, wine, ...
    """
    places = places or {}
    if name == DIGITS and not {"path", "set"} & table.keys():
        return Digits(name=name, table=table)
    if name in SKLEARN_TABLES and not {"path", "set"} & table.keys():
        return SklearnTable(name=name, table=table)
    published = table.get("set", name if name in LOADERS else None)
    if published is not None and published not in LOADERS:
        near = difflib.get_close_matches(str(published), LOADERS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`elr data list` has all of them"
        raise ArgumentError(f"data {name!r} are of the set {published!r}, which is unknown: {hint}")
    place = places.get(name, places.get(published or name))
    if place is None and "path" in table:
        place = (root or Path()) / table["path"]
    if published is not None:
        return Published(name=name, table=table, place=place, cache=cache)
    if place is None:
        raise ArgumentError(
            f"data {name!r} are unknown: expected {', '.join((DIGITS, *SKLEARN_TABLES))}, a published set of "
            f"`elr data list`, or a table [data.{name}] of the grid that says their path"
        )
    return OwnData(name=name, table=table, place=place, cache=cache)


def _share(source: Source) -> float:
    share = source.table.get("test_share", TEST_SHARE)
    if not isinstance(share, float) or not 0.0 < share < 1.0:
        raise ArgumentError(f"test_share of data {source.name!r} is {share!r}: expected a share in (0, 1), such as 0.3")
    return share
