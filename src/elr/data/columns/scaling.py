"""From columns as read to the numbers that a network takes, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC
from elr.errors import ArtifactError

LEAST_EMBEDDING = 256
"""Features from which on an array is taken for embeddings, which live by their distances."""
RANKED = "ranked"
"""The part of a preprocessing whose numbers have heavy tails."""
RANKS, INNER = "ranks", "inner"
"""The steps of that part that rank numbers, and that bring ranks between -1 and 1, whose log-odds are then taken."""
_MAX_CATEGORIES = 100
_SQUASHED = 1.5  # docs/decisions/data.md
_FAR = 50.0
_IN_NORMAL = 1.349  # standard deviations between the quartiles of a normal distribution
_QUANTILES = 256
_FARTHEST = 0.995  # what the lowest and the highest rank become, before their log-odds are taken
_SAMPLE = 100_000  # rows
_FORMER = "views"
_SHOWN = 5


def heavy_tailed(numbers: NDArray[np.floating]) -> bool:
    """Whether standardizing would squash most of these numbers together, since a few lie far out.

    That is: the standard deviation is more than 1.5 times that of a normal distribution with the quartiles of the
    different values; or with those of all rows, where some lie fifty times as far from the median as the quartiles from
    each other. Amounts of money are so, durations, and numbers among which -9999 means none; counts and pixels that are
    mostly zero are not. Numbers whose squares are beyond float64 are, too.

    Args:
        numbers: (N,), NaN where one is missing.

    Example:
        >>> heavy_tailed(np.arange(100.0)), heavy_tailed(np.append(np.arange(100.0), 1e6))
        (False, True)
    """
    there = numbers[np.isfinite(numbers)]
    sample = there[:: max(1, len(there) // _SAMPLE)]
    different = np.unique(sample)
    if len(different) <= 2:  # standardized, two values are two values
        return False
    (low, middle, high), (first, third) = np.percentile(sample, [25, 50, 75]), np.percentile(different, [25, 75])
    far = max(float(there.max()) - middle, middle - float(there.min())) > _FAR * (high - low)
    spreads = [third - first, *([high - low] if far else [])]
    with np.errstate(over="ignore"):
        deviation = float(there.std(dtype=np.float64))
    return bool(deviation > _SQUASHED * min(each for each in spreads if each > 0) / _IN_NORMAL)


def table_preprocessing(plain: pd.DataFrame, kinds: Mapping[str, str]) -> ColumnTransformer:
    """What turns `plain_columns` into a dense float array.

    Numbers and dates are imputed by the median (with a column that says where) and standardized, those with heavy tails
    after they were ranked (see `_ranking`); categories are one-hot (at most 100 a column; the rarest and unknown ones
    share one).

    Args:
        plain: what `plain_columns` gave of the training data.
        kinds: of the columns, by name.

    Example:
        >>> plain = pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]})
        >>> table_preprocessing(plain, {"x": NUMERIC, "n": CATEGORICAL}).fit_transform(plain).tolist()
        [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    numbers = [name for name, kind in kinds.items() if kind in (NUMERIC, DATE)]
    embeddings = LEAST_EMBEDDING <= len(numbers) == len(kinds)
    ranked = [name for name in numbers if not embeddings and heavy_tailed(plain[name].to_numpy())]
    numeric = [name for name in numbers if name not in ranked]
    categorical = [name for name, kind in kinds.items() if kind == CATEGORICAL]
    impute, scale = ("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES, sparse_output=False, dtype=np.float32
    )
    parts = [
        (NUMERIC, Pipeline([impute, scale]), numeric),
        (RANKED, Pipeline([impute, *_ranking(len(plain)), scale]), ranked),
        (CATEGORICAL, one_hot, categorical),
    ]
    return _as_arrays(ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0))


def fit_table_preprocessing(plain: pd.DataFrame, kinds: Mapping[str, str]) -> ColumnTransformer:
    """`table_preprocessing` fitted, with less memory than its own `fit`, which makes all rows and throws them away.

    The rows are sparse ones here, of which a table of many categories takes a fraction.

    Args:
        plain: what `plain_columns` gave of the training data.
        kinds: of its columns, by name.

    Example:
        >>> plain = pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]})
        >>> fit_table_preprocessing(plain, {"x": NUMERIC, "n": CATEGORICAL}).transform(plain).tolist()
        [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    transformer = table_preprocessing(plain, kinds)
    if CATEGORICAL not in kinds.values():
        return transformer.fit(plain)
    sparse = f"{CATEGORICAL}__sparse_output"
    transformer.set_params(sparse_threshold=1.0, **{sparse: True}).fit(plain)
    transformer.set_params(sparse_threshold=0.0, **{sparse: False})
    transformer.named_transformers_[CATEGORICAL].sparse_output = False
    transformer.sparse_output_ = False
    return transformer


def fit_array_preprocessing(features: Any) -> StandardScaler | ColumnTransformer:
    """What standardizes the columns of an array, those with heavy tails, which come last then, after they were ranked.

    Args:
        features: (N, D) of the training data; a sparse matrix is only divided, since nothing else keeps its zeros.

    Example:
        >>> features = np.array([[1.0, 1.0], [2.0, 1e9], [3.0, 2.0], [4.0, 3.0], [5.0, 4.0]])
        >>> fit_array_preprocessing(features).transform(features)[:, 1].round(1).tolist()
        [-1.6, 1.6, -0.3, 0.0, 0.3]
    """
    if sparse.issparse(features):
        return _as_arrays(StandardScaler(with_mean=False)).fit(features)
    several = features.shape[1] < LEAST_EMBEDDING
    ranked = [place for place, column in enumerate(features.T) if several and heavy_tailed(column)]
    if not ranked:
        return _as_arrays(StandardScaler()).fit(features)
    rest = sorted(set(range(features.shape[1])) - set(ranked))
    by_rank = Pipeline([*_ranking(len(features)), ("scale", StandardScaler())])
    parts = [(NUMERIC, StandardScaler(), rest), (RANKED, by_rank, ranked)]
    return _as_arrays(ColumnTransformer([part for part in parts if part[2]])).fit(features)


def ranked_columns(transformer: StandardScaler | ColumnTransformer) -> list[Any]:
    """The columns that are ranked before they are standardized, as they are called in the training data.

    Example:
        >>> ranked_columns(fit_array_preprocessing(np.array([[1.0], [2.0], [3.0], [4.0], [1e9]])))
        [0]
    """
    parts = getattr(transformer, "transformers_", [])
    return next((list(columns) for name, _, columns in parts if name == RANKED), [])


def ranks_remark(transformer: StandardScaler | ColumnTransformer, *, what: str) -> list[str]:
    """What the user should know about columns that are ranked; nothing where none is.

    Args:
        transformer: fitted.
        what: a column is called.

    Example:
        >>> ranks_remark(fit_array_preprocessing(np.array([[1.0], [2.0], [3.0], [4.0], [1e9]])), what="feature")
        ['feature 0: a few of its numbers lie far out: learned from by rank']
    """
    names = ranked_columns(transformer)
    if not names:
        return []
    several, its = (what, "its") if len(names) == 1 else (f"{what}s", "their")
    shown = ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return [f"{several} {shown}: a few of {its} numbers lie far out: learned from by rank"]


def is_ranking(part: Any) -> bool:
    """Whether a pipeline ranks numbers.

    Raises:
        ArtifactError: it does so in the way of a former elr.

    Example:
        >>> is_ranking(Pipeline([("scale", StandardScaler())]))
        False
    """
    if _FORMER in part.named_steps:
        raise ArtifactError(
            "this run is of an earlier elr, which prepared columns with heavy tails in another way: run `elr fit` anew"
        )
    return RANKS in part.named_steps


def centers(transformer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(D,) where most numbers of each column lie and (D,) how far they spread, as `fit_array_preprocessing` learned.

    Example:
        >>> centers(fit_array_preprocessing(np.array([[1.0], [3.0]])))
        (array([2.]), array([1.]))
    """
    if isinstance(transformer, StandardScaler):
        return transformer.mean_, np.sqrt(transformer.var_)
    found = np.zeros((2, transformer.n_features_in_))
    for name, part, places in transformer.transformers_:
        if name == NUMERIC:
            found[:, places] = part.mean_, np.sqrt(part.var_)
        elif is_ranking(part):
            low, middle, high = np.percentile(part[RANKS].quantiles_, [25, 50, 75], axis=0)
            found[:, places] = middle, (high - low) / _IN_NORMAL
    return found[0], found[1]


def _ranking(rows: int) -> list[tuple[str, Any]]:
    """Ranks (those of a sample where rows are many), and their log-odds, by arctanh: far ones lie farther out.

    The farthest number lies 3.4 standard deviations from the median then, where ranks alone have it at 1.7.
    """
    ranks = QuantileTransformer(n_quantiles=min(_QUANTILES, rows), subsample=_SAMPLE, random_state=0)
    inner = MinMaxScaler(feature_range=(-_FARTHEST, _FARTHEST))
    return [(RANKS, ranks), (INNER, inner), ("log_odds", FunctionTransformer(np.arctanh))]


def _as_arrays(transformer: Any) -> Any:
    """The same transformer, of which arrays come whatever `sklearn.set_config(transform_output=...)` says."""
    return transformer.set_output(transform="default")
