"""Categories: one for each meaning, in however many ways it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elr.data.labels.spelling import NULL_WORDS, tidy

MISSING = "(missing)"
_MARKS = NULL_WORDS | {"NaT", "?", "??", "-", "--", "---", "\u2013", "\u2014", ".", "..", "*"}
_NO_NUMBER = {mark.casefold() for mark in _MARKS} | {"unknown", "missing", "none", "n.a.", "na.", "not available"}
_WHOLE = re.compile(r"^(-?[0-9]+)\.0$")
_TRUE, _FALSE = {"true", "t", "yes", "y", "1", "on"}, {"false", "f", "no", "n", "0", "off"}


def category_text(value: Any) -> str:
    """One spelling for what files and libraries spell in several ways: 12 and 12.0, true and True.

    Example:
        >>> category_text(12.0), category_text("true"), category_text("1.50")
        ('12', 'True', '1.50')
    """
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return _WHOLE.sub(r"\1", text)


def category_key(value: Any) -> str:
    """What is the same for all spellings of a category: without case, blanks, forms of letters, what cannot be seen.

    Example:
        >>> category_key(" Male\\u00a0") == category_key("\\ufeffmale"), category_key("1.0") == category_key(1)
        (True, True)
    """
    return _WHOLE.sub(r"\1", tidy(str(value))).casefold()


def is_mark(value: Any, *, number: bool = False) -> bool:
    """Whether a text says that a value is missing.

    Args:
        value: a cell.
        number: in a column of numbers, in which words such as "unknown" can be nothing else.

    Example:
        >>> is_mark("?"), is_mark("unknown"), is_mark("unknown", number=True)
        (True, False, True)
    """
    if not isinstance(value, str):
        return False
    text = value.strip() if value.isascii() else tidy(value)
    return text in _MARKS or (number and text.casefold() in _NO_NUMBER)


def truth(key: str) -> bool | None:
    """What a key says where there is nothing but yes and no in its column; None where it says neither.

    Example:
        >>> truth("t"), truth("0"), truth("male")
        (True, False, None)
    """
    return True if key in _TRUE else False if key in _FALSE else None


class Categories:
    """The categories of a column, by all that means them.

    Args:
        names: as training wrote them most often.

    Example:
        >>> categories = Categories(["Male", "Female"])
        >>> categories.name(" male"), categories.name("other"), Categories(["True", "False"]).name(1)
        ('Male', None, 'True')
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.by_key = {category_key(name): name for name in names}
        meanings = {key: truth(key) for key in self.by_key}
        sides = list(meanings.values())
        self._by_truth: Mapping[bool | None, str] = {}
        if sides and None not in sides and len(set(sides)) == len(sides):
            self._by_truth = {meaning: self.by_key[key] for key, meaning in meanings.items()}

    def name(self, value: Any) -> str | None:
        """The category that a value means; None where it is none of them."""
        key = category_key(value)
        return self.by_key.get(key) or self._by_truth.get(truth(key) if self._by_truth else None)


def merged(spellings: Sequence[str], counts: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """The categories that spellings mean, each as it is most often written, and the groups of those that mean one.

    Args:
        spellings: different texts.
        counts: how often each stands in the column.

    Example:
        >>> merged(["Male", "male ", "Female"], [5, 2, 6])
        (['Male', 'Female'], [['Male', 'male ']])
    """
    keys = [category_key(text) for text in spellings]
    meanings = [truth(key) for key in keys]
    if None not in meanings and len(set(keys)) > 2:
        keys = [str(meaning) for meaning in meanings]
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    names = [spellings[max(group, key=lambda position: counts[position])] for group in groups.values()]
    several = [[spellings[position] for position in group] for group in groups.values() if len(group) > 1]
    return names, several
