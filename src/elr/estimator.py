"""The scikit-learn face: fit, predict, predict_proba, and audit of the labels it was fitted on."""

from __future__ import annotations

import gc
import inspect
import math
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import nn

from elr.audit.label_quality import Audit, audit_labels
from elr.checking import checked_value
from elr.data.columns.scaling import LEAST_EMBEDDING
from elr.data.examples import Examples
from elr.data.formats.labels import flat_labels, plain_labels, row_index
from elr.data.labels.spelling import class_key
from elr.devices import mixed_seed
from elr.errors import ArgumentError, DataError, DataWarning
from elr.learned_features import LearnedFeatures
from elr.methods.catalog import method_for_run
from elr.methods.config import MethodConfig
from elr.methods.elr import ELRConfig
from elr.methods.ensemble.ensemble import EnsembleConfig
from elr.methods.ensemble.grid import (
    HIDDEN,
    LEAST_ROWS,
    MEMBERS,
    Choosable,
    affordable,
    default_grid,
    kept_epochs,
    linear_rate,
    loop_settings,
)
from elr.methods.method import Method
from elr.networks.spec import NetworkSpec
from elr.targets.choice import AUTO, check_choice, chosen_targets
from elr.targets.config import DENSE_PLACEMENT, MAPPED, NAMES
from elr.training.config import TrainingConfig
from elr.training.inference import predicted_probs, softmax_of
from elr.training.loop import Training

_COLUMN = "A column-vector y was passed when a 1d array was expected: pass y.ravel(), or the one column of a data frame"


class ELRClassifier(ClassifierMixin, BaseEstimator):
    """Perceptrons and linear networks trained with early-learning regularization, robust to wrong labels.

    Arrays, data frames (numeric, boolean, categorical, text and date columns, missing values) and SciPy sparse
    matrices; features are standardized inside. As `elr fit`, it trains networks side by side, each blind to its fold of
    the rows (`elr.methods.ensemble`): they choose the settings that are left open by given labels that they never saw,
    predict together, and judge the labels. Training is deterministic given `random_state`.

    Args:
        method: "elr", or another of `elr.methods.catalog.METHODS` (docs/methods.md), which trains a single network or
            as many as it has.
        settings: of the method, by name, as its `MethodConfig` has them, such as {"q": 0.5}; with some, elr is a single
            network too. lam, beta and align have parameters of their own.
        members: folds and networks for each setting. Default: 5, or 1 below 50 rows. 1 is a single network that sees
            all rows; `members=1, lam=3, align=False` is the paper.
        lam: weight of the regularizer, >= 0; above 2 for lasting resistance to wrong labels. Default: chosen among 0,
            1, 3 and 7; of a single network 3 (the paper).
        beta: momentum of the targets in [0, 1). Default: the method's, 0.7 (the paper).
        align: whether the regularizer sees aligned targets (`elr.methods.ingredients.alignment`).
        dropout: of perceptrons, in [0, 1). Default: chosen between 0 and 0.5; of a single network none.
        hidden_layer_sizes: units of each hidden layer; () is a linear network. Default: perceptrons of (64, 64) and
            linear networks, to choose from; of a single network (256, 256).
        epochs: passes over the data, >= 1. Default: chosen among 10, 20 and 30; of a single network 100.
        batch_size: default 16 to 64 by the number of rows, 256 above 20,000; of a single network 64.
        learning_rate: peak learning rate, > 0. Default: 0.01 (AdamW) of perceptrons, 0.001 from 256 features on, more
            of linear networks; of a single network 0.02 (SGD with momentum 0.9).
        weight_decay: >= 0. Default 0.01 (AdamW's); of a single network 5e-3.
        random_state: int, RandomState or None.
        device: "auto" (what Accelerate finds) or "cpu".
        targets: where the targets are kept while training, a placement of `elr.targets.config.TargetsConfig`, such as
            "mapped", a file among the temporary ones; `pred_probs_` is in memory in any case. Default: in memory.
        targets_dtype: how precisely, its dtype. Default: bfloat16 of mapped and sparse ones, float32 of others.

    Attributes:
        classes_: (C,) labels.
        n_features_in_: D.
        choice_: which settings were chosen and why (`elr.methods.method.Method.choice`); empty of a single network.
        pred_probs_: (N, C) the evidence about each training row, rows that sum to 1: of networks that never saw its
            label, or of a single network its targets.
        margins_: (N,) mean over the epochs of the given label's margin (`elr.training.monitor.Monitor.margins`).
        networks_: the networks that predict, on the CPU.
        history_: measures of each epoch.

    Raises:
        ValueError: scikit-learn's own checks, and `elr.errors.ArgumentError`, which is one, for settings out of range.

    Example:
        >>> from sklearn.datasets import make_blobs
        >>> X, y = make_blobs(200, centers=3, random_state=0)
        >>> given = y.copy()
        >>> given[:20] = (given[:20] + 1) % 3
        >>> model = ELRClassifier(epochs=20, random_state=0).fit(X, given)
        >>> bool((model.predict(X) == y).mean() > 0.9), bool(model.audit().is_label_issue[:20].mean() > 0.8)
        (True, True)
    """

    def __init__(
        self,
        *,
        method: str = "elr",
        settings: Mapping[str, Any] | None = None,
        members: int | None = None,
        lam: float | None = None,
        beta: float | None = None,
        align: bool = True,
        dropout: float | None = None,
        hidden_layer_sizes: tuple[int, ...] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        targets: str = DENSE_PLACEMENT,
        targets_dtype: str | None = None,
    ) -> None:
        self.method = method
        self.settings = settings
        self.members = members
        self.lam = lam
        self.beta = beta
        self.align = align
        self.dropout = dropout
        self.hidden_layer_sizes = hidden_layer_sizes
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.device = device
        self.targets = targets
        self.targets_dtype = targets_dtype

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: ArrayLike) -> ELRClassifier:
        """Train on features (N, D) and given labels (N,), some of which may be wrong.

        Warns (`elr.errors.DataWarning`) of columns of a data frame that are not learned from, of what was read in an
        unusual way, and of odd labels.

        Raises:
            ValueError: missing labels, -1 among several classes, fewer than two classes, NaN or infinity in an array.
                The model is not fitted then, whether it was before or not.
        """
        self._forget()
        try:
            return self._fit(X, y)
        except BaseException:  # also one by hand: half of a new model beside half of an old one must not predict
            self._forget()
            raise

    def _forget(self) -> None:
        """Be as one that was never fitted."""
        for name in [name for name in vars(self) if name.endswith("_") or name in ("_learned", "_labels", "_index")]:
            delattr(self, name)

    def _fit(self, X: Any, y: ArrayLike) -> ELRClassifier:
        if flat_labels(y) is not y and np.ndim(y) == 2:
            warnings.warn(_COLUMN, DataConversionWarning, stacklevel=3)
        self._learned, rows, labels = LearnedFeatures.learn(self, X, y)
        for remark in self._learned.remarks:
            warnings.warn(remark, DataWarning, stacklevel=3)
        self.classes_, classes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class only, {self.classes_[0]!r}: a classifier needs at least two classes")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        members = self._members(rows.shape[0])
        method, config = self._ensemble(rows, members, seed) if members > 1 else self._single(rows, seed)
        training = Training(method, Examples(rows, classes), config=config)
        training.run()
        self.networks_ = [network.cpu().eval() for network in training.method.predictors]
        self.choice_ = training.method.choice()
        self.pred_probs_ = training.pred_probs().numpy()
        self.margins_ = training.state.monitor.margins
        self.history_ = training.history
        self._labels, self._index = classes, row_index((X, y), np.arange(len(classes)))
        del training, method
        if self.targets == MAPPED:
            gc.collect()  # networks that refer to each other keep their files until then
        return self

    def _members(self, count: int) -> int:
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if name not in ("self", "members", "random_state"):  # which scikit-learn checks
                checked_value(name, getattr(self, name), str(parameter.annotation), {})
        if self.targets not in NAMES:
            why = ", which goes by the memory that is free" if self.targets == AUTO else ""
            raise ArgumentError(f"targets is {self.targets!r}{why}: expected one of {', '.join(NAMES)}")
        check_choice(self.targets, self.targets_dtype)
        several = self.method == ELRConfig.name and not self.settings
        if self.members is None:
            return MEMBERS if several and count >= LEAST_ROWS else 1
        members = self.members.item() if isinstance(self.members, np.integer) else self.members
        if type(members) is not int or not 1 <= members <= count:
            raise ArgumentError(
                f"members is {self.members!r} for {count} rows: expected at least 1, and at most one for each row; 1 "
                "is a single network"
            )
        if members > 1 and not several:
            raise ArgumentError(
                f"members is {members}, with method {self.method!r} and settings {dict(self.settings or {})!r}: only "
                "'elr' without further settings has members; leave one of them out"
            )
        return members

    def _single(self, rows: Any, seed: int) -> tuple[Method, TrainingConfig]:
        """One network that sees all rows."""
        network = self._spec(rows, (256, 256), self.dropout)
        settings = {"epochs": 100, "batch_size": min(64, rows.shape[0]), "learning_rate": 0.02, "weight_decay": 5e-3}
        loop = self._loop(settings, rows, seed)
        own = {name: value for name in ("lam", "beta") if (value := getattr(self, name)) is not None}
        if twice := own.keys() & (self.settings or {}).keys():
            raise ArgumentError(f"{' and '.join(sorted(twice))} is given twice: leave it out of the settings")
        steps = loop.epochs * math.ceil(rows.shape[0] / loop.batch_size)
        asked, where_known = own | dict(self.settings or {}), {"align": self.align}
        method = method_for_run(self.method, asked, steps=steps, epochs=loop.epochs, where_known=where_known)
        loop = loop.in_generations(method.generations)
        seeds = [seed, *(mixed_seed(seed, number) for number in range(1, method.num_networks))]
        networks = [network.build(generator_seed=each) for each in seeds]
        return self._built(method, networks, rows), loop

    def _ensemble(self, rows: Any, members: int, seed: int) -> tuple[Method, TrainingConfig]:
        """Networks side by side, which choose among the settings that are left open."""
        count, num_classes = rows.shape[0], len(self.classes_)
        alike, wide = self._learned.alike and self.n_features_in_ >= LEAST_EMBEDDING, {"num_features": rows.shape[1]}
        rate = linear_rate(alike=alike, sparse=sparse.issparse(rows)) if self.learning_rate is None else None
        first = self._spec(rows, HIDDEN, None)
        networks = [Choosable(network=first, learning_rate=rate if first.name == "linear" else None)]
        if self.hidden_layer_sizes is None:
            networks.append(Choosable(network=NetworkSpec("linear", num_classes, **wide), learning_rate=rate))
        grid = default_grid(networks, num_examples=count, lam=self.lam, dropout=self.dropout)
        kept, fewer = affordable(grid, members=members, num_examples=count, num_classes=num_classes)
        if fewer < 2:
            return self._single(rows, seed)
        config = self._loop(loop_settings(count, alike=alike), rows, seed)
        settings = EnsembleConfig(
            settings=grid[:kept],
            members=fewer,
            epochs=config.epochs,
            kept_epochs=kept_epochs(config.epochs) if self.epochs is None else (),
            beta=ELRConfig.beta if self.beta is None else self.beta,
            align=self.align,
            seed=seed,
        )
        built = [
            spec.build(generator_seed=mixed_seed(seed, number))
            for number, spec in enumerate(settings.network_specs(networks[0].network))
        ]
        return self._built(settings, built, rows), config

    def _built(self, config: MethodConfig, networks: list[nn.Module], rows: Any) -> Method:
        """A method with its store of targets."""
        count, num_classes = rows.shape[0], len(self.classes_)
        widths = config.target_widths(num_classes)
        if not widths and (self.targets != DENSE_PLACEMENT or self.targets_dtype is not None):
            raise ArgumentError(f"method {self.method!r} keeps no targets: leave targets and targets_dtype out")
        targets, _ = chosen_targets(count, widths, memory=0, targets=self.targets, dtype=self.targets_dtype)
        return config.build(networks, num_examples=count, num_classes=num_classes, targets=targets)

    def _spec(self, rows: Any, hidden: tuple[int, ...], dropout: float | None) -> NetworkSpec:
        asked = checked_value("hidden_layer_sizes", self.hidden_layer_sizes, "tuple[int, ...] | None", {})
        sizes = hidden if asked is None else asked
        many = {"num_features": rows.shape[1]}
        if not sizes:
            return NetworkSpec("linear", len(self.classes_), **many)
        return NetworkSpec("mlp", len(self.classes_), hidden=sizes, dropout=dropout, **many)

    def _loop(self, defaults: dict[str, Any], rows: Any, seed: int) -> TrainingConfig:
        names = ("epochs", "batch_size", "learning_rate", "weight_decay")
        asked = {name: value for name in names if (value := getattr(self, name)) is not None}
        asked |= {"batch_size": min(self.batch_size, rows.shape[0])} if self.batch_size is not None else {}
        return TrainingConfig(device=self.device, seed=seed, **{**defaults, **asked})

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(M, C) class probabilities, columns in the order of `classes_`."""
        check_is_fitted(self)
        rows, said = self._learned.transform(self, X)
        for text in said:
            warnings.warn(text, DataWarning, stacklevel=3)
        if not rows.shape[0]:
            return np.zeros((0, len(self.classes_)))
        networks = deepcopy(nn.ModuleList(self.networks_)).double()  # so that a row's result does not depend on others
        chunks = np.array_split(np.arange(rows.shape[0]), max(1, rows.shape[0] // 1000))
        inputs = ([_dense(rows, chunk)] for chunk in chunks)
        return torch.cat(list(predicted_probs(networks, inputs, predictors=list(map(softmax_of, networks))))).numpy()

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of the rows whose class is predicted; labels may be in any spelling that `fit` takes for one class."""
        check_is_fitted(self)
        labels = column_or_1d(plain_labels(X, y, training=False)[0])
        if pd.isna(labels).any():
            raise DataError(f"y is missing in row {int(pd.isna(labels).argmax())}: leave such rows out of X and y")
        given = labels.tolist()
        numbers = {class_key(name): number for number, name in enumerate(self.classes_.tolist())}
        classes = np.array([numbers.get(class_key(label), -1) for label in given], dtype=np.int64)
        if len(given) and (classes < 0).all():
            found, known = (repr(values[0]) for values in (given, self.classes_.tolist()))
            text = f"no label of y is a class of this model: y has {found}, classes_ has {known}"
            warnings.warn(text, DataWarning, stacklevel=2)
        return float(accuracy_score(classes, self.predict_proba(X).argmax(axis=1), sample_weight=sample_weight))

    def predict(self, X: Any) -> NDArray:
        """(M,) classes."""
        probs = self.predict_proba(X)
        return self.classes_[probs.argmax(axis=1)]

    def audit(self, *, score: str | None = None) -> Audit:
        """Which of the labels passed to `fit` the evidence contradicts.

        Class numbers of the audit index `classes_`; `Audit.to_frame` has the classes by name, and the index of X or y.

        Args:
            score: see `elr.audit.label_quality.audit_labels`.
        """
        check_is_fitted(self)
        found = audit_labels(
            self._labels, self.pred_probs_, score=score, margins=self.margins_, out_of_fold=bool(self.choice_)
        )
        return replace(found, class_names=tuple(self.classes_.tolist()), index=self._index)


def _dense(rows: Any, chunk: NDArray[np.int64]) -> torch.Tensor:
    part = rows[chunk]
    return torch.from_numpy(np.ascontiguousarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64))
