"""What `ELRClassifier` learns from: features of arrays and data frames and their labels, read, checked and scaled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from elr.data.columns.new_data import column_findings, plain_columns
from elr.data.columns.reading import NUMERIC, ColumnReading
from elr.data.columns.scaling import fit_array_preprocessing, fit_table_preprocessing, ranks_remark
from elr.data.columns.selection import Selection, number_roles, select_columns
from elr.data.formats.features import as_array, native_frame
from elr.data.formats.labels import plain_labels
from elr.data.formats.table import DataFrames
from elr.data.labels.columns import some
from elr.errors import DataError

_FLAGS = re.compile(r" \([^()]*--[^()]*\)|; where points group [^;]*--decimal , says so")
"""Ways out that only the command line and `elr.ReadOptions` have."""
_IGNORED = re.compile(r"--ignore.* leaves it out")
_SHOWN = 10


@dataclass(kw_only=True)
class LearnedFeatures:
    """The features of training data, and how those of later data become the same.

    Args:
        preprocessing: fitted, of scikit-learn.
        readings: of the columns of a data frame that are learned from; None of arrays.
        names: of all columns of the data frame, as text; of arrays none.
        remarks: what the user should know.

    Example:
        >>> from elr.estimator import ELRClassifier
        >>> frame = pd.DataFrame({"x": [1.0, 3.0] * 2, "n": ["u", "v"] * 2, "empty": [None] * 4})
        >>> learned, rows, labels = LearnedFeatures.learn(ELRClassifier(), frame, [0, 1] * 2)
        >>> rows[:2].tolist(), learned.remarks
        ([[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], ["1 of 3 columns of X is not learned from: 'empty' (it is empty)"])
    """

    preprocessing: Any
    readings: Mapping[str, ColumnReading] | None = None
    names: Sequence[str] = ()
    remarks: Sequence[str] = field(default=())

    @classmethod
    def learn(cls, model: Any, X: Any, y: ArrayLike) -> tuple[LearnedFeatures, Any, NDArray]:
        """Check the training data of a model, in scikit-learn's ways and in our own, and learn the preprocessing.

        Returns:
            What was learned; the features (N, D'), as an array or a sparse matrix; the labels (N,).

        Raises:
            ValueError: scikit-learn's own checks, and `elr.errors.DataError`, which is one.
        """
        X = plain_features(X)
        given, remarks = plain_labels(X, y)
        if isinstance(X, pd.DataFrame) and not _is_sparse(X):
            validate_data(model, X, skip_check_array=True)
            labels = _labels_of(X, given)
            learned, rows = cls._of_frame(X, labels)
        else:
            checked, labels = validate_data(model, X, given, accept_sparse="csr", dtype=np.float64)
            names = list(map(str, X.columns)) if isinstance(X, pd.DataFrame) else []
            learned = cls(preprocessing=fit_array_preprocessing(checked), names=names)
            rows = learned.preprocessing.transform(checked)
            learned.remarks = ranks_remark(learned.preprocessing, what="feature")
        if not np.isfinite(rows.data if sparse.issparse(rows) else rows).all():
            raise DataError("X has values too great to be standardized, as their squares are beyond float64: divide it")
        if pd.isna(labels).any():
            raise DataError(f"y is missing in row {int(pd.isna(labels).argmax())}: remove such rows, or label them")
        check_classification_targets(labels)
        if names_of_sparse := learned.names if learned.readings is None else ():
            roles = number_roles(X.to_numpy(dtype=np.float64), names_of_sparse, labels.tolist())
            learned.remarks = [*_said_of_roles(roles), *learned.remarks]
        learned.remarks = [*remarks, *learned.remarks]
        return learned, rows, labels

    @classmethod
    def _of_frame(cls, X: pd.DataFrame, labels: NDArray) -> tuple[LearnedFeatures, Any]:
        frame = _text_names(X)
        chosen = select_columns(frame, labels.tolist(), keep_all=True)
        kinds = {name: each.kind for name, each in chosen.readings.items()}
        preprocessing = fit_table_preprocessing(chosen.plain, kinds)
        learned = cls(preprocessing=preprocessing, readings=chosen.readings, names=list(frame.columns))
        ranked = ranks_remark(preprocessing, what="column")
        learned.remarks = [*_said_of_roles(chosen.roles), *_said_of_columns(chosen, ranked)]
        return learned, preprocessing.transform(chosen.plain)

    @property
    def alike(self) -> bool:
        """Whether all features are dense numbers as embeddings are, and none a category or a date."""
        return self.readings is None or all(reading.kind == NUMERIC for reading in self.readings.values())

    def transform(self, model: Any, X: Any) -> tuple[Any, list[str]]:
        """The features of later data, and what must be said of them.

        Raises:
            ValueError: scikit-learn's own checks, and `elr.errors.DataError`, which is one.
        """
        X = plain_features(X)
        if self.readings is None:
            return self._transformed_array(model, X), []
        if isinstance(X, pd.DataFrame):
            validate_data(model, X, reset=False, skip_check_array=True)
            frame = _text_names(X)
        elif self.alike:
            checked = validate_data(model, X, reset=False, accept_sparse="csr", dtype=np.float64)
            dense = checked.toarray() if sparse.issparse(checked) else checked
            frame = pd.DataFrame(dense, columns=list(self.names), copy=False)
        else:
            raise DataError(
                f"X is a {type(X).__name__}, and this model was fitted to a data frame: pass one with the columns "
                f"{some(list(self.readings))}"
            )
        if not len(frame):
            return np.zeros((0, 1)), []
        found = column_findings(frame, self.readings, name="X", known=self.names)
        rows = self.preprocessing.transform(plain_columns(frame, self.readings, name="X"))
        loud = [each.text for each in found if each.loud]
        return rows, [_first(loud, "; ")] if loud else []

    def _transformed_array(self, model: Any, X: Any) -> Any:
        if isinstance(X, pd.DataFrame):
            there = list(map(str, X.columns))
            expected = list(self.names) or list(map(str, range(len(there))))
            if there != expected and sorted(there) == sorted(expected):
                raise DataError(
                    f"X has the columns {some(there)}, and those of training were {some(expected)}: pass them in that "
                    "order"
                )
        checked = validate_data(model, X, reset=False, accept_sparse="csr", dtype=np.float64)
        return self.preprocessing.transform(checked)


def plain_features(X: Any) -> Any:
    """A data frame of pandas for one of polars or a table of Arrow; masked arrays as arrays; all else as it is.

    Raises:
        DataError: masked values, or columns of one name.

    Example:
        >>> plain_features(pd.DataFrame([[1, 2]], columns=["a", "a"]))
        Traceback (most recent call last):
        elr.errors.DataError: X has several columns named 'a': rename all but one
    """
    if isinstance(X, np.ma.MaskedArray):
        return as_array(X, "X")
    if DataFrames().recognizes(X) and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame) and not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()][0]
        raise DataError(f"X has several columns named {twice!r}: rename all but one")
    return native_frame(X) if isinstance(X, pd.DataFrame) else X


def _is_sparse(frame: pd.DataFrame) -> bool:
    """Whether a data frame is a sparse matrix, which as a table would take many times the memory."""
    return frame.shape[1] > 0 and all(isinstance(kind, pd.SparseDtype) for kind in frame.dtypes)


def _text_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The same cells under names that are text."""
    named = frame.copy(deep=False)
    named.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
    return named


def _labels_of(X: pd.DataFrame, given: Any) -> NDArray:
    if given is None:
        raise DataError("y is None: expected the given labels, one for each row of X")
    labels = column_or_1d(given)
    if len(labels) != len(X):
        raise DataError(f"X has {len(X)} rows, y {len(labels)}: expected one label per row")
    if not len(X):
        raise DataError("X has no rows: expected some to learn from")
    return labels


def _said_of_roles(roles: Mapping[str, str]) -> list[str]:
    """Whoever hands over X chose its columns: they stay, and those that look like no features are said."""
    return [
        f"column {name!r} of X is learned from, but {reason}: drop it unless it is a feature"
        for name, reason in roles.items()
    ]


def _said_of_columns(chosen: Selection, more: Sequence[str]) -> list[str]:
    """Which columns are not learned from, in one remark, and how others were read, in a second."""
    left = {name: _without_flags(reason) for name, reason in chosen.left_out.items()}
    of_left = tuple(f"column {name!r} left out: " for name in left)
    others = [_without_flags(text) for text in chosen.remarks if not (of_left and text.startswith(of_left))] + [*more]
    said = []
    if left:
        count = len(left) + len(chosen.readings)
        is_or_are = "is" if len(left) == 1 else "are"
        reasons = [f"{name!r} ({reason})" for name, reason in left.items()]
        said.append(f"{len(left)} of {count} columns of X {is_or_are} not learned from: {_first(reasons, ', ')}")
    return said + ([f"in X, {_first(others, '; ')}"] if others else [])


def _without_flags(text: str) -> str:
    return _FLAGS.sub("", _IGNORED.sub("drop it", text))


def _first(texts: Sequence[str], between: str) -> str:
    more = f"{between}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return between.join(texts[:_SHOWN]) + more
