"""From columns as read to the numbers that a network takes, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
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
        >>> import pandas as pd
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
