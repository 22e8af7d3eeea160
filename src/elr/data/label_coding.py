"""Labels: as values of a column, as the classes of a data set and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from elr.errors import DataError

Label = str | int
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.0+)?")


@dataclass(frozen=True, kw_only=True)
class LabelCoding:
    """The classes of a data set and their numbers.

    Args:
        class_names: the C label values, sorted, as they stand in the data; class c is class_names[c].

    Example:
        >>> coding = LabelCoding.fit(["dog", "cat", "dog", "cat"], column="label")
        >>> coding.class_names, coding.encode(["dog"], column="label").tolist()
        (('cat', 'dog'), [1])
    """

    class_names: tuple[Label, ...]

    @classmethod
    def fit(cls, labels: Sequence[Label], *, column: str) -> LabelCoding:
        """Learn the classes from training labels, and refuse labels that say nothing.

        Args:
            labels: (N,) label values, none missing.
            column: where they come from, for messages.

        Raises:
            DataError: one class only, a different label in each row, or a class with a single example.
        """
        counts = Counter(labels)
        if len(counts) < 2:
            raise DataError(
                f"{column} is constant: all {len(labels)} rows say {list(counts)}; at least two classes are needed"
            )
        values = sorted(counts)  # type: ignore[type-var]  # all text or all numbers
        if len(values) == len(labels):
            raise DataError(
                f"{column} is different in each of the {len(labels)} rows (such as {repr(values[0])[:80]}): that is an "
                "identifier or a measurement, not a class; name another label column"
            )
        single = [repr(value)[:80] for value in values if counts[value] < 2]
        if single:
            raise DataError(
                f"{column} has {len(single)} of {len(values)} classes with one example only "
                f"({', '.join(single[:5])}): nothing can be said about such a label; merge or remove these rows"
            )
        return cls(class_names=tuple(values))

    def encode(self, labels: Sequence[Label], *, column: str) -> NDArray[np.int64]:
        """Class numbers (N,) of label values; 1 and "1" are one class: columns of digits only are read as numbers.

        Raises:
            DataError: values that are no class of the training labels.
        """
        number = {str(name): position for position, name in enumerate(self.class_names)}
        unknown = sorted({repr(value)[:80] for value in labels if str(value) not in number})
        if unknown:
            raise DataError(
                f"{column} has {len(unknown)} values that the training labels do not have: {', '.join(unknown[:5])}; "
                f"known classes: {', '.join(map(repr, self.class_names[:10]))}"
            )
        return np.array([number[str(value)] for value in labels], dtype=np.int64)


def label_values(column: pd.Series, *, name: str) -> list[Label]:
    """The labels of a column as text or whole numbers.

    Args:
        column: as read; numbers written as text ("3", "3.0") count as numbers, unless one has leading zeros or is
            beyond int64.
        name: how messages name it.

    Raises:
        DataError: missing values (blank text counts as such), lists or records.

    Example:
        >>> label_values(pd.Series(["3", "4.0"]), name="label"), label_values(pd.Series(["03", "4"]), name="label")
        ([3, 4], ['03', '4'])
    """
    if is_nested(column, text=False):
        raise DataError(f"{name} holds lists or records: expected one class in each row")
    values = column.tolist()
    blank = [isinstance(value, str) and not value.strip() for value in values]
    missing = column.isna().to_numpy(dtype=bool) | np.array(blank, dtype=bool)
    if missing.any():
        raise DataError(
            f"{name} is missing in {int(missing.sum())} of {len(column)} rows, first in row {int(missing.argmax())}: "
            "remove these rows, or give them a label"
        )
    texts = [value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value) for value in values]
    if not types.is_bool_dtype(column) and all(_INTEGER.fullmatch(text) for text in texts):
        numbers = [int(text.partition(".")[0]) for text in texts]
        if all(-(2**63) <= number < 2**63 for number in numbers):
            return list(numbers)
    return list(texts)


def row_names(column: pd.Series) -> list[str]:
    """Names of rows as text, empty where missing.

    Example:
        >>> row_names(pd.Series([7, None], dtype=object))
        ['7', '']
    """
    return ["" if gone else str(value) for value, gone in zip(column.tolist(), column.isna(), strict=True)]


def some(names: Sequence[str] | pd.Index) -> str:
    """The first names of many, for a message.

    Example:
        >>> some(["x", "y"])
        "'x', 'y'"
    """
    shown = ", ".join(repr(str(name)) for name in names[:20])
    return f"{shown}, and {len(names) - 20} more" if len(names) > 20 else shown or "none"


def is_nested(column: pd.Series, *, text: bool = True) -> bool:
    """Whether a column holds lists, records and the like; bytes count too, unless they may stand for `text`.

    Example:
        >>> is_nested(pd.Series([[1, 2], [3]])), is_nested(pd.Series(["a", "b"]))
        (True, False)
    """
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return False
    nested = (tuple, bytes) if text else (tuple,)
    return any(not isinstance(value, Hashable) or isinstance(value, nested) for value in column.dropna())
