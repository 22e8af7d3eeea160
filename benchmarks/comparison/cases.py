"""What benchmarks/own_data.py learns from: sets, and the wrong labels that they have or are given."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.datasets.readers.cifar_n import human_labels
from elr.networks.backbones import DEFAULT_BACKBONE
from elr.noise.models import NoisyLabels, corrupt_asymmetric, corrupt_instance_dependent
from elr.noise.named import corrupt

TABLE, TEXT, ARRAY = "table", "text", "array"
REAL = "real"
TEST_SHARE = 0.3
CIFAR10_TRAIN, CIFAR10_TEST = 5_000, 5_000
"""Of CIFAR-10 the first rows of both parts: five folds of boosted trees on 1,280 features take hours on all."""
SHARED_TABLES = ("german", "car", "crx", "splice", "segment")
SKLEARN_TABLES = ("breast_cancer", "wine", "digits")
TABLE_NOISES = ("symmetric-20", "symmetric-40", "next-30", "instance-25")
TABLES = (*SHARED_TABLES, *SKLEARN_TABLES)
NOISES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TABLES, TABLE_NOISES),
    **dict.fromkeys(("labelme", "sentiment", "trec"), (REAL,)),
    "cifar10": ("symmetric-40", "asymmetric-40", "human"),
}
"""The sets, and the noises of each."""

Inputs = Any
"""(N, D) data frame for tables, N texts, (N, D) array."""


class MissingSetError(Exception):
    """The files of a set are not there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A set with wrong labels: what a method is given, and what it is measured against.

    Args:
        kind: TABLE, TEXT or ARRAY; what the inputs are.
        inputs: of the training rows.
        labels: (N,) given class numbers.
        clean_labels: (N,) class numbers known to be right, for measuring only.
        test_inputs: of the test rows.
        test_labels: (M,) clean class numbers.
        class_names: the C classes, sorted.
    """

    kind: str
    inputs: Inputs
    labels: NDArray[np.int64]
    clean_labels: NDArray[np.int64]
    test_inputs: Inputs
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        return self.labels != self.clean_labels

    @property
    def given_names(self) -> list[str]:
        return [self.class_names[label] for label in self.labels]

    def noisy(self, noisy: NoisyLabels) -> Case:
        return replace(self, labels=noisy.labels)


class Place(NamedTuple):
    """Where files are: the shared folder, and the file with the frozen features of CIFAR-10."""

    shared: Path
    features: Path


def load_case(name: str, noise: str, *, seed: int, place: Place) -> Case:
    """A set of `NOISES` with one of its noises.

    Raises:
        MissingSetError: its files are not there.
    """
    if name in TABLES:
        case = split_table(table_frame(name, place.shared), seed=seed)
        return plant(case, noise, seed=seed)
    if name == "cifar10":
        return _cifar10(noise, seed=seed, place=place)
    assert noise == REAL, f"{name} has the noise of its file only"
    return _REAL_SETS[name](place.shared)


def table_frame(name: str, shared: Path) -> pd.DataFrame:
    """A table with its clean labels in the column "label"."""
    if name in SKLEARN_TABLES:
        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        return frame.assign(label="class " + frame["target"].astype(str)).drop(columns="target")
    frame = pd.read_parquet(_there(shared / "data" / "tables" / f"{name}.parquet"))
    return frame.assign(label=frame["label"].astype(str))


def split_table(frame: pd.DataFrame, *, seed: int) -> Case:
    """Training and test rows by seed, the classes in equal shares; all labels clean still."""
    parts = train_test_split(frame, test_size=TEST_SHARE, stratify=frame["label"], random_state=seed)
    train, test = (part.reset_index(drop=True) for part in parts)
    names = tuple(sorted(frame["label"].unique()))
    labels = _numbers(train.pop("label"), names)
    return Case(
        kind=TABLE,
        inputs=train,
        labels=labels,
        clean_labels=labels,
        test_inputs=test,
        test_labels=_numbers(test.pop("label"), names),
        class_names=names,
    )


def plant(case: Case, noise: str, *, seed: int) -> Case:
    """Make training labels wrong; NAME-PERCENT.

    next: class c is given as class c + 1, the last as the first; with two classes only the first as the second, since
    both ways would be symmetric. instance: `corrupt_instance_dependent` on the columns, standardized and one-hot. It
    chooses by the inputs which other class a row is given: with two classes there is one, and what is left is a rate
    for each row that its inputs do not decide.
    """
    name, percent = noise.rsplit("-", 1)
    rate, classes = int(percent) / 100, len(case.class_names)
    stream = zlib.crc32(noise.encode())  # the same seed splits, and draws other noises
    known: dict[str, Any] = {"noise_rate": rate, "num_classes": classes}
    known["seed"] = np.random.default_rng([seed, stream])
    if name == "next":
        if classes == 2:
            return case.noisy(corrupt_asymmetric(case.clean_labels, mapping={0: 1}, **known))
        return case.noisy(corrupt("pairflip", case.clean_labels, **known))
    if name == "instance":
        features = encoder(case.inputs).fit_transform(case.inputs)
        return case.noisy(corrupt_instance_dependent(case.clean_labels, features, **known))
    named = "asymmetric-cifar10" if name == "asymmetric" else name
    return case.noisy(corrupt(named, case.clean_labels, **known))


def encoder(frame: pd.DataFrame) -> ColumnTransformer:
    """Numbers standardized, missing ones filled with the median; everything else one-hot."""
    numeric = list(frame.select_dtypes("number").columns)
    others = [column for column in frame.columns if column not in numeric]
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("classes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), others),
        ]
    )


def _labelme(shared: Path) -> Case:
    train, test = (np.load(_there(shared / "data" / "labelme" / f"{part}.npz")) for part in ("train", "test"))
    names = tuple(sorted(map(str, np.unique(train["clean_label"]))))
    return Case(
        kind=ARRAY,
        inputs=train["features"],
        labels=_numbers(train["label"], names),
        clean_labels=_numbers(train["clean_label"], names),
        test_inputs=test["features"],
        test_labels=_numbers(test["label"], names),
        class_names=names,
    )


def _texts(name: str, *, text: str, label: str) -> Callable[[Path], Case]:
    def load(shared: Path) -> Case:
        train, test = (pd.read_csv(_there(shared / "data" / name / f"{part}.csv")) for part in ("train", "test"))
        names = tuple(sorted(train["clean_label"].unique()))
        return Case(
            kind=TEXT,
            inputs=train[text].tolist(),
            labels=_numbers(train[label], names),
            clean_labels=_numbers(train["clean_label"], names),
            test_inputs=test[text].tolist(),
            test_labels=_numbers(test["label"], names),
            class_names=names,
        )

    return load


_REAL_SETS = {
    "labelme": _labelme,
    "sentiment": _texts("sentiment", text="text", label="label"),
    "trec": _texts("trec", text="question", label="rule_label"),
}


def _cifar10(noise: str, *, seed: int, place: Place) -> Case:
    """Frozen features of the first rows; noise is drawn over all training rows, as published."""
    stored = np.load(cifar10_features(place))
    clean = stored["train_labels"]
    case = Case(
        kind=ARRAY,
        inputs=stored["train"],
        labels=clean,
        clean_labels=clean,
        test_inputs=stored["test"][:CIFAR10_TEST],
        test_labels=stored["test_labels"][:CIFAR10_TEST],
        class_names=tuple(map(str, range(10))),
    )
    if noise == "human":
        human = human_labels(_there(place.shared / "data" / "cifar10n"), "random_label1", clean)
        case = replace(case, labels=human)
    else:
        case = plant(case, noise, seed=seed)
    part = slice(CIFAR10_TRAIN)
    return replace(case, inputs=case.inputs[part], labels=case.labels[part], clean_labels=clean[part])


def cifar10_features(place: Place) -> Path:
    """The file of features of all images, made where it is missing, as `elr fit --backbone` makes them: 4 minutes."""
    if not place.features.exists():
        found = {}
        for part in ("train", "test"):
            path = _there(place.shared / "data" / "cifar10" / f"{part}.parquet")
            records = read_data(path, ReadOptions(label="label", backbone=DEFAULT_BACKBONE, fine_tune=False))
            found |= {part: records.features, f"{part}_labels": np.array(records.labels, dtype=np.int64)}
        place.features.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.features.parent, suffix=".partial", delete=False) as partial:
            np.savez(partial, **found)
        Path(partial.name).replace(place.features)
    return place.features


def _numbers(values: Any, names: tuple[str, ...]) -> NDArray[np.int64]:
    number = {name: position for position, name in enumerate(names)}
    return np.array([number[str(value)] for value in values], dtype=np.int64)


def _there(path: Path) -> Path:
    if not path.exists():
        raise MissingSetError(f"{path} is not there")
    return path
