"""The type of a column of labels: classes are text or whole numbers to a run, and come back as what they were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

if TYPE_CHECKING:
    from elr.data.labels.spelling import Label

LABEL_TYPE = "label_type"
"""Under which name `Records.facts` and run.json have the type of the column of given labels."""
_KNOWN = re.compile(r"bool|float(16|32|64)|datetime64\[(s|ms|us|ns)(, [^\]]+)?\]")
_OF_OBJECTS = {"boolean": "bool", "floating": "float64", "datetime": "datetime64[us]", "datetime64": "datetime64[us]"}
_TRUTHS = {"True": True, "1": True, "False": False, "0": False}


def value_type(column: pd.Series) -> str | None:
    """The type of labels whose classes have names of another one: truths, fractions and dates; None of all others.

    Args:
        column: labels as read, some of them perhaps missing.

    Example:
        >>> value_type(pd.Series([True, False])), value_type(pd.Series([0.5, None])), value_type(pd.Series(["a", "b"]))
        ('bool', 'float64', None)
    """
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if types.is_object_dtype(dtype):
        return _OF_OBJECTS.get(types.infer_dtype(column, skipna=True))
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return "bool"
    name = str(getattr(dtype, "numpy_dtype", dtype))
    return name if kind in "fM" and _KNOWN.fullmatch(name) else None


def as_values(names: Sequence[Label], kind: object) -> pd.Index | None:
    """The names of classes as values of the type that the labels had; None where they are none of it.

    Args:
        names: of the classes.
        kind: what `value_type` said; anything else has no values.

    Example:
        >>> as_values(["False", "True"], "bool").tolist(), as_values([0, "1.5"], "float64").tolist()
        ([False, True], [0.0, 1.5])
        >>> as_values(["no", "yes"], "bool") is None, as_values(["cat", "dog"], None) is None
        (True, True)
    """
    if not isinstance(kind, str) or _KNOWN.fullmatch(kind) is None:
        return None
    texts = [str(name) for name in names]
    if kind == "bool":
        truths = [_TRUTHS.get(text) for text in texts]
        return None if None in truths else pd.Index(np.array(truths, dtype=bool))
    try:
        if kind.startswith("float"):
            return pd.Index(np.array(texts, dtype=kind))
        dates = pd.to_datetime(texts, format="ISO8601", utc="," in kind).astype(kind)  # in UTC before its own zone
    except (TypeError, ValueError):
        return None
    return dates if [str(date) for date in dates] == texts else None
