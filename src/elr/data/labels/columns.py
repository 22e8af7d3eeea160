"""Columns of labels: read as class names, and what in them is no label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api import types

from elr.data.labels.spelling import (
    NULL_WORDS,
    Label,
    class_key,
    class_labels,
    several_spellings,
    spelled,
    spelling_remark,
    tidy,
)
from elr.data.labels.value_types import value_type
from elr.errors import DataError, RowError

_EXCEL_ERRORS = {"#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"}
MISSING_WORDS = NULL_WORDS | {"?", "NAN", "Null", "#NA", "NaT", "N.A.", "n.a.", "n/a.", "N/A."} | _EXCEL_ERRORS
"""What says, as text, that a label is missing."""
_MAY_BE_MISSING = {"none", "unknown", "missing", "nil", "na", "unlabeled", "undefined", "not available"}
_MAY_BE_MISSING |= {"abstain", "tbd", "-9", "-99", "-999", "-9999", "999", "9999", ".", "--", "---"}
_PARTED = re.compile(r"[|;,/&]")
NO_VOTE = "-1"
SPELLINGS = "spellings"
"""Under which name `Records.facts` has the spellings of classes that have several."""
_SHOWN = 5
_MANY_FRACTIONS = 10


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """What the user said about labels.

    Args:
        classes: names that are classes, though elsewhere they say that a label is missing.
        no_label: values that say that a label is missing, beside those known.
        can_say: whether the user could have said so, as messages then tell how; not where labels are only an array.

    Example:
        >>> LabelRules(no_label=("-1",)).says_missing("-1.0"), LabelRules(classes=("nan",)).says_missing("nan")
        (True, False)
    """

    classes: tuple[str, ...] = ()
    no_label: tuple[str, ...] = ()
    can_say: bool = True

    def is_class(self, value: object) -> bool:
        """Whether the user said that a value is a class."""
        return class_key(value) in map(class_key, self.classes)

    def named_missing(self, value: object) -> bool:
        """Whether the user said that a value is no label."""
        return class_key(value) in map(class_key, self.no_label)

    def says_missing(self, value: object) -> bool:
        """Whether a value says that there is no label."""
        if self.is_class(value):
            return False
        return self.named_missing(value) or tidy(spelled(value)) in MISSING_WORDS


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelColumn:
    """A column of labels, read.

    Args:
        values: N class names, None where there is no label.
        spellings: text -> how often it stands for a class.
        marks: what stands where there is no label -> how often; "" for empty cells.
        name: how messages name it.
        rules: what the user said about it.
        nested: whether its cells are lists or records.
        value_type: of its cells, see `elr.data.labels.value_types.value_type`.

    Example:
        >>> found = read_labels(pd.Series(["1", "1.0", "x", "?"]), name="y")
        >>> found.values, found.marks
        (['1', '1', 'x', None], {'?': 1})
    """

    values: list[Label | None]
    spellings: Mapping[str, int]
    marks: Mapping[str, int]
    name: str
    rules: LabelRules
    nested: bool = False
    value_type: str | None = None

    @property
    def several(self) -> dict[str, dict[str, int]]:
        """See `several_spellings`."""
        return several_spellings(self.spellings)

    @property
    def remarks(self) -> list[str]:
        """What was taken as one class."""
        return spelling_remark(self.several, name=self.name)

    @property
    def unheeded(self) -> list[str]:
        """What the user said of values that there are not: most likely a slip of the pen."""
        found = {class_key(text) for text in (*self.spellings, *self.marks)}
        flags = [("--class", self.rules.classes), ("--no-label", self.rules.no_label)]
        return [
            f"{flag} {_quoted(value)} says something of a value that {self.name} does not have"
            for flag, values in flags
            for value in values
            if class_key(value) not in found
        ]

    @property
    def empty(self) -> NDArray[np.int64]:
        """The rows without a label."""
        return np.array([row for row, value in enumerate(self.values) if value is None], dtype=np.int64)

    def checked(self) -> list[str]:
        """What is to be said of these labels, if they are to be trained on.

        Rows that the user said have no label (`LabelRules.no_label`) are left out later; all others must have one.

        Raises:
            DataError: missing labels, lists or records, or -1 beside so many classes that it hardly is one.

        Example:
            >>> read_labels(pd.Series([-1, 0, 1]), name="y").checked()
            ["y has -1 in 1 of 3 rows, taken for a class beside 0 and 1: if it says 'no label', --no-label -1"]
        """
        self.refuse_missing()
        return [
            *self._left_out(),
            *self._minus_one(),
            *self._fractions(),
            *self._doubts(),
            *self.remarks,
            *self.unheeded,
        ]

    def refuse_missing(self) -> None:
        """Refuse labels that are missing, and not because the user said so, and cells that hold no single value.

        Raises:
            DataError: such labels.
        """
        if self.nested:
            raise DataError(f"{self.name} holds lists or records: expected one class in each row")
        unnamed = {mark: count for mark, count in self.marks.items() if not (mark and self.rules.named_missing(mark))}
        if unnamed:
            raise self._missing(unnamed)

    def _missing(self, unnamed: Mapping[str, int]) -> RowError:
        rows, words = self.empty.tolist(), [mark for mark in unnamed if mark]
        found = f"; found there: {_counted(unnamed)}" if words else ""
        ways = "remove these rows, or give them a label"
        if words:
            names = ", ".join(map(repr, words))
            ways += (
                f"; {' '.join(f'--no-label {_quoted(word)}' for word in words)} leaves them out; "
                f"{' '.join(f'--class {_quoted(word)}' for word in words)} (classes=({names},)) if that is the name of "
                "a class"
            )
        return RowError(
            f"{self.name} is missing in {len(rows)} of {len(self.values)} rows, first in ", rows, f": {ways}{found}"
        )

    def _left_out(self) -> list[str]:
        if not self.marks:
            return []
        return [
            f"{sum(self.marks.values())} of {len(self.values)} rows left out: {self.name} says {_counted(self.marks)} "
            "there, which --no-label says is no label"
        ]

    def _minus_one(self) -> list[str]:
        counts = Counter(value for value in self.values if value is not None and class_key(value) == NO_VOTE)
        others = {class_key(value) for value in set(self.values) if value is not None} - {NO_VOTE}
        if not counts or self.rules.is_class(NO_VOTE) or others == {"1"} or any(map(is_negative, others)):
            return []
        place = f"{self.name} has -1 in {sum(counts.values())} of {len(self.values)} rows"
        beside = " and ".join(sorted(others)[:3]) + (" and others" if len(others) > 3 else "")
        if len(others) < 2 or others == {"0", "1"}:
            way = "--no-label -1" if self.rules.can_say else "leave these rows out"
            return [f"{place}, taken for a class beside {beside}: if it says 'no label', {way}"]
        ways = "leave these rows out, or give it another name if it is a class"
        if self.rules.can_say:
            ways = (
                "--no-label -1 (no_label=('-1',)) leaves these rows out; --class -1 (classes=('-1',)) if it is a class"
            )
        raise DataError(f"{place} beside the classes {beside}, where it mostly says 'no label': {ways}")

    def _doubts(self) -> list[str]:
        """Classes that may be none: words that often say that a label is missing, and several classes in one cell."""
        counts = Counter(str(value) for value in self.values if value is not None)
        doubtful = [name for name in counts if name.casefold() in _MAY_BE_MISSING and not self.rules.is_class(name)]
        remarks = [
            f"{self.name} has {name!r} in {counts[name]} of {len(self.values)} rows, taken for a class: "
            f"{f'--no-label {_quoted(name)}' if self.rules.can_say else 'leave these rows out'} if it says that there "
            "is no label"
            for name in doubtful
        ]
        keys = set(map(class_key, counts))
        several = {
            name: count
            for name, count in counts.items()
            if len(parts := _PARTED.split(name)) > 1 and all(class_key(part) in keys for part in parts)
        }
        if several:
            first = next(iter(several))
            remarks.append(
                f"{self.name} has several classes in one cell in {sum(several.values())} of {len(self.values)} rows, "
                f"such as {first!r}, taken for a class of its own: expected one class in each row"
            )
        return remarks

    def _fractions(self) -> list[str]:
        fractions = [text for text in self.spellings if "." in text and class_key(text) == text and _is_number(text)]
        if len(fractions) <= _MANY_FRACTIONS:
            return []
        return [
            f"{self.name} holds {len(fractions)} different numbers that are not whole, such as {fractions[0]}: each "
            "was taken for the name of a class"
        ]


def read_labels(column: pd.Series, *, name: str, rules: LabelRules | None = None) -> LabelColumn:
    """Read a column of labels; nothing in it is refused here.

    Args:
        column: values of any types, also of several.
        name: how messages name it.
        rules: what the user said about labels.

    Example:
        >>> read_labels(pd.Series([True, 1, 1.0, "1", 0, None]), name="y").values
        [1, 1, 1, 1, 0, None]
    """
    rules = rules or LabelRules()
    if column.dtype == object and any(isinstance(value, torch.Tensor) for value in column):  # as list(tensor) has them
        plain = [value.item() if isinstance(value, torch.Tensor) and not value.ndim else value for value in column]
        column = pd.Series(plain, dtype=object)
    nested = is_nested(column, text=False)
    codes, distinct = _factorized(column.map(repr) if nested else column)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct)).tolist()
    texts = [spelled(value) for value in distinct]
    gone = [rules.says_missing(value) for value in distinct]
    spellings: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    for text, count, missing in zip(texts, counts, gone, strict=True):
        (marks if missing else spellings)[text if not missing or tidy(text) else ""] += count
    if (codes < 0).any():
        marks[""] += int((codes < 0).sum())
    names = class_labels(spellings)
    per_code: list[Label | None] = [None if out else names[text] for text, out in zip(texts, gone, strict=True)]
    per_code.append(None)  # for the code -1
    values = [per_code[code] for code in codes.tolist()]
    return LabelColumn(
        values=values,
        spellings=dict(spellings),
        marks=dict(marks),
        name=name,
        rules=rules,
        nested=nested,
        value_type=None if nested else value_type(column),
    )


def _factorized(column: pd.Series) -> tuple[NDArray[np.int64], list[object]]:
    """Which of the distinct values each cell has, -1 where it is missing; 1, 1.0 and True are three."""
    one_type = column.dtype != object or types.infer_dtype(column, skipna=True) in ("string", "integer")
    if one_type:
        codes, distinct = pd.factorize(column)
        return np.asarray(codes, dtype=np.int64), list(distinct.tolist())
    places: dict[tuple[type, object], int] = {}
    codes = np.full(len(column), -1, dtype=np.int64)
    for row, (value, gone) in enumerate(zip(column.tolist(), column.isna().tolist(), strict=True)):
        if not gone and value is not np.ma.masked:
            codes[row] = places.setdefault((type(value), value), len(places))
    return codes, [value for _, value in places]


def is_nested(column: pd.Series, *, text: bool = True) -> bool:
    """Whether a column holds lists, records and the like; bytes count too, unless they may stand for `text`.

    Example:
        >>> is_nested(pd.Series([[1, 2], [3]])), is_nested(pd.Series(["a", "b"]))
        (True, False)
    """
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return False
    nested = (tuple, bytes) if text else (tuple,)
    return any(not _hashable(value) or isinstance(value, nested) for value in column.dropna())


def _hashable(value: object) -> bool:
    return getattr(type(value), "__hash__", None) is not None


def is_negative(value: object) -> bool:
    """Whether a class is a whole number below 0.

    Example:
        >>> is_negative("-2.0"), is_negative("-")
        (True, False)
    """
    key = class_key(value)
    return key.startswith("-") and key[1:].isdecimal()


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _counted(marks: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {repr(mark) if mark else 'empty'}" for mark, count in list(marks.items())[:_SHOWN])


def _quoted(word: str) -> str:
    return word if word.replace("-", "").replace("/", "").isalnum() else f"'{word}'"


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
