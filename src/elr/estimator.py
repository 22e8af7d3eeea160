"""The scikit-learn face: fit, predict, predict_proba, and audit of the labels it was fitted on."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from pandas.api import types
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from elr.audit.label_quality import Audit, audit_labels
from elr.data.examples import Examples
from elr.data.tables import column_kinds, plain_columns, table_preprocessing
from elr.errors import DataError
from elr.methods.elr import ELRConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.inference import predicted_probs, softmax_of
from elr.training.loop import Training


class ELRClassifier(ClassifierMixin, BaseEstimator):
    """Multi-layer perceptron trained with early-learning regularization, robust to wrong labels.

    Arrays, data frames (numeric, boolean, categorical, text and date columns, missing values) and SciPy sparse
    matrices; features are standardized inside. The loss is `elr.ELRLoss`; training is
    deterministic given `random_state`.

    Args:
        hidden_layer_sizes: units of each hidden layer. Default (256, 256).
        lam: weight of the regularizer, >= 0; above 2 for lasting resistance to wrong labels. Default 3 (the paper).
        beta: momentum of the targets in [0, 1). Default 0.7 (the paper).
        epochs: passes over the data, >= 1. Default 100.
        batch_size: default 64; all examples where there are fewer.
        learning_rate: peak learning rate of SGD with momentum 0.9 on a cosine schedule, > 0. Default 0.02.
        weight_decay: >= 0. Default 5e-3.
        random_state: int, RandomState or None.
        device: "auto" (what Accelerate finds) or "cpu".

    Attributes:
        classes_: (C,) labels.
        n_features_in_: D.
        targets_: (N, C) running averages of the outputs for the training rows, rows that sum to 1.
        margins_: (N,) mean over the epochs of the given label's margin (`elr.training.monitor.Monitor.margins`).
        network_: the trained network, on the CPU.
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
        hidden_layer_sizes: tuple[int, ...] = (256, 256),
        *,
        lam: float = 3.0,
        beta: float = 0.7,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.02,
        weight_decay: float = 5e-3,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.lam = lam
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: ArrayLike) -> ELRClassifier:
        """Train on features (N, D) and given labels (N,), some of which may be wrong.

        Raises:
            ValueError: missing labels, fewer than two classes, NaN or infinity in an array.
        """
        rows, labels = self._learn_features(X, y)
        self.classes_, classes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class only, {self.classes_[0]!r}: a classifier needs at least two classes")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        num_classes, count = len(self.classes_), rows.shape[0]
        spec = NetworkSpec("mlp", num_classes, num_features=rows.shape[1], hidden=tuple(self.hidden_layer_sizes))
        network = spec.build(generator_seed=seed)
        method = ELRConfig(lam=self.lam, beta=self.beta).build([network], num_examples=count, num_classes=num_classes)
        config = TrainingConfig(
            epochs=self.epochs,
            batch_size=min(self.batch_size, count),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            device=self.device,
            seed=seed,
        )
        training = Training(method, Examples(rows, classes), config=config)
        training.run()
        self.network_ = network.cpu().eval()
        self.targets_ = training.pred_probs().numpy()
        self.margins_ = training.state.monitor.margins
        self.history_ = training.history
        self._labels = classes
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(M, C) class probabilities, columns in the order of `classes_`."""
        check_is_fitted(self)
        rows = self._features(X)
        network = deepcopy(self.network_).double()  # so that a row's result does not depend on the rows beside it
        chunks = np.array_split(np.arange(rows.shape[0]), max(1, rows.shape[0] // 1000))
        inputs = ([_dense(rows, chunk)] for chunk in chunks)
        return torch.cat(list(predicted_probs(network, inputs, predictors=[softmax_of(network)]))).numpy()

    def predict(self, X: Any) -> NDArray:
        """(M,) classes."""
        probs = self.predict_proba(X)
        return self.classes_[probs.argmax(axis=1)]

    def audit(self, *, score: str = "margin") -> Audit:
        """Which of the labels passed to `fit` the evidence contradicts; class numbers index `classes_`.

        Args:
            score: see `elr.audit.label_quality.audit_labels`.
        """
        check_is_fitted(self)
        return audit_labels(self._labels, self.targets_, score=score, margins=self.margins_)

    def _learn_features(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray]:
        """Check the training data and learn the preprocessing."""
        self._columns = None
        if isinstance(X, pd.DataFrame) and _needs_preprocessing(X):
            validate_data(self, X, skip_check_array=True)
            labels = column_or_1d(y, warn=True)
            if len(labels) != len(X):
                raise DataError(f"X has {len(X)} rows, y {len(labels)}: expected one label per row")
            frame = X.rename(columns=str)
            self._columns, _ = column_kinds(frame)
            self._preprocessing = table_preprocessing(self._columns)
            rows = self._preprocessing.fit_transform(plain_columns(frame, self._columns, name="X"))
        else:
            checked, labels = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
            self._preprocessing = StandardScaler(with_mean=not sparse.issparse(checked))
            rows = self._preprocessing.fit_transform(checked)
        if pd.isna(labels).any():
            raise DataError(f"y is missing in row {int(pd.isna(labels).argmax())}: remove such rows, or label them")
        check_classification_targets(labels)
        return rows, labels

    def _features(self, X: Any) -> Any:
        if self._columns is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            frame = pd.DataFrame(X).rename(columns=str)
            return self._preprocessing.transform(plain_columns(frame, self._columns, name="X"))
        checked = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        return self._preprocessing.transform(checked)


def _needs_preprocessing(frame: pd.DataFrame) -> bool:
    """Whether a data frame is more than an array of numbers: other columns, or missing values."""
    return not all(types.is_numeric_dtype(kind) for kind in frame.dtypes) or bool(frame.isna().to_numpy().any())


def _dense(rows: Any, chunk: NDArray[np.int64]) -> torch.Tensor:
    part = rows[chunk]
    return torch.from_numpy(np.ascontiguousarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64))
