"""Labels: as values of a column, as the classes of a data set and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.labels.columns import LabelRules, read_labels
from elr.data.labels.spelling import Label, class_key, class_labels, several_spellings
from elr.errors import DataError, RowError


@dataclass(frozen=True, kw_only=True)
class LabelCoding:
    """The classes of a data set and their numbers.

    Args:
        class_names: the C label values, sorted, as they stand in the data; class c is class_names[c].
        spellings: class name -> its spellings in the training data and how often each occurs, where there are several.

    Example:
        >>> coding = LabelCoding.fit(["dog", "cat", "dog", "cat"], column="label")
        >>> coding.class_names, coding.encode(["dog"], column="label").tolist()
        (('cat', 'dog'), [1])
    """

    class_names: tuple[Label, ...]
    spellings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        labels: Sequence[Label | None],
        *,
        column: str,
        spellings: Mapping[str, Mapping[str, int]] | None = None,
    ) -> LabelCoding:
        """Learn the classes from training labels, and refuse labels that say nothing.

        Args:
            labels: (N,) label values, none missing.
            column: where they come from, for messages.
            spellings: see `LabelCoding`.

        Raises:
            DataError: one class only, a different label in each row, or a class with a single example.
        """
        counts = _merged(found := Counter(labels))
        if len(counts) < len(found) and spellings is None:
            spellings = several_spellings({str(label): count for label, count in found.items()})
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
        coding = cls(class_names=tuple(values), spellings=spellings or {})
        single = [position for position, value in enumerate(values) if counts[value] < 2]
        if single:
            rows = {number: row for row, number in enumerate(coding.numbers(labels).tolist())}
            shown = ", ".join(repr(values[position])[:80] for position in single[:5])
            raise RowError(
                f"{column} has {len(single)} of {len(values)} classes with one example only ({shown}): nothing can be "
                "said about such a label; merge or remove these rows: ",
                [rows[position] for position in single],
            )
        return coding

    @classmethod
    def stored(cls, settings: Mapping[str, Any]) -> LabelCoding:
        """The coding in the preprocessing of a run.json.

        Raises:
            KeyError, TypeError: it is none.

        Example:
            >>> LabelCoding.stored({"class_names": ["cat", "dog"], "spellings": {}}).class_names
            ('cat', 'dog')
        """
        names, spellings = settings["class_names"], settings["spellings"]
        if not isinstance(names, list) or any(type(name) not in (str, int) for name in names):
            raise TypeError(f"class_names are {str(names)[:80]}, expected texts or whole numbers")
        if len(set(names)) < len(names):
            raise TypeError("class_names has a class twice")
        if not isinstance(spellings, dict):
            raise TypeError(f"spellings are {str(spellings)[:80]}, expected those of each class")
        return cls(class_names=tuple(names), spellings=spellings)

    def encode(self, labels: Sequence[Label | None], *, column: str) -> NDArray[np.int64]:
        """Class numbers (N,) of label values, in whichever spelling: 1, "1", "1.0" and True are one class.

        Raises:
            DataError: values that are no class of the training labels.
        """
        numbers = self.numbers(labels)
        rows = np.flatnonzero(numbers < 0).tolist()
        if rows:
            unknown = sorted({repr(labels[row])[:80] for row in rows})
            raise RowError(
                f"{column} has {len(unknown)} values that the training labels do not have: {', '.join(unknown[:5])}; "
                f"known classes: {', '.join(map(repr, self.class_names[:10]))}; --no-label VALUE (no_label=...) "
                "where one says that there is no label; first in ",
                rows,
            )
        return numbers

    def numbers(self, labels: Sequence[Label | None]) -> NDArray[np.int64]:
        """Class numbers (N,), -1 for values that are no class of the training labels, and for None.

        Example:
            >>> LabelCoding(class_names=(0, 1)).numbers(["1.0", True, "?", None, 0]).tolist()
            [1, 1, -1, -1, 0]
        """
        exact = {str(name): position for position, name in enumerate(self.class_names)}
        alike = {class_key(name): position for name, position in exact.items()}
        found: dict[Label | None, int] = {
            value: exact.get(str(value), alike.get(class_key(value), -1)) for value in set(labels)
        }
        if None in found:
            found[None] = -1
        return np.fromiter((found[value] for value in labels), dtype=np.int64, count=len(labels))

    def canonical(self, texts: Sequence[str]) -> list[str]:
        """The names of the classes that texts stand for; the text itself where it is no class.

        Example:
            >>> LabelCoding(class_names=(0, 1)).canonical(["1.0", "2.0"])
            ['1', '2.0']
        """
        numbers = self.numbers(texts).tolist()
        return [
            text if number < 0 else str(self.class_names[number]) for text, number in zip(texts, numbers, strict=True)
        ]


def _merged(counts: Counter[Label | None]) -> Counter[Label]:
    """The same counts with one name for all spellings of a class."""
    known: Counter[Label] = Counter({label: count for label, count in counts.items() if label is not None})
    keys = {class_key(label) for label in known}
    if len(keys) == len(known) and len({isinstance(label, str) for label in known}) < 2:
        return known
    names = class_labels(Counter({str(label): count for label, count in known.items()}))
    merged: Counter[Label] = Counter()
    for label, count in known.items():
        merged[names[str(label)]] += count
    return merged


def label_values(column: pd.Series, *, name: str, rules: LabelRules | None = None) -> list[Label]:
    """The labels of a column as text or whole numbers, in one spelling for each class.

    Args:
        column: as read; numbers written as text ("3", "3.0") count as numbers where all are such, unless one has
            leading zeros or is beyond int64.
        name: how messages name it.
        rules: what the user said about labels.

    Raises:
        DataError: missing values (blank text and words such as "nan" count as such), lists or records.

    Example:
        >>> label_values(pd.Series(["3", "4.0"]), name="label"), label_values(pd.Series(["03", "4"]), name="label")
        ([3, 4], ['03', '4'])
    """
    found = read_labels(column, name=name, rules=rules)
    found.refuse_missing()
    return [value for value in found.values if value is not None]
