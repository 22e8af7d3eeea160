"""From columns as read to the numbers that a network takes, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from elr.data.columns.reading import CATEGORICAL, DATE, NUMERIC

_MAX_CATEGORIES = 100


def table_preprocessing(kinds: Mapping[str, str]) -> ColumnTransformer:
    """What turns `plain_columns` into a dense float array: numbers and dates imputed by the median (with a column that
    says where) and standardized, categories one-hot (at most 100 a column; the rarest and unknown ones share one).

    Args:
        kinds: of the columns, by name.

    Example:
        >>> kinds = {"x": NUMERIC, "n": CATEGORICAL}
        >>> table_preprocessing(kinds).fit_transform(pd.DataFrame({"x": [1.0, 3.0], "n": ["u", "v"]})).tolist()
        [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    numeric = [name for name, kind in kinds.items() if kind in (NUMERIC, DATE)]
    categorical = [name for name, kind in kinds.items() if kind == CATEGORICAL]
    numbers = Pipeline([("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())])
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES, sparse_output=False, dtype=np.float32
    )
    parts = [(NUMERIC, numbers, numeric), (CATEGORICAL, one_hot, categorical)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)


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
    transformer = table_preprocessing(kinds)
    if CATEGORICAL not in kinds.values():
        return transformer.fit(plain)
    sparse = f"{CATEGORICAL}__sparse_output"
    transformer.set_params(sparse_threshold=1.0, **{sparse: True}).fit(plain)
    transformer.set_params(sparse_threshold=0.0, **{sparse: False})
    transformer.named_transformers_[CATEGORICAL].sparse_output = False
    transformer.sparse_output_ = False
    return transformer
