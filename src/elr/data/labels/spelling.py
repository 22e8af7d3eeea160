"""Spellings of classes: which of them mean the same, and which one names the class."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

import numpy as np

Label = str | int
NULL_WORDS = frozenset({"", "NA", "N/A", "n/a", "nan", "NaN", "NULL", "null", "None", "<NA>", "#N/A", "-nan", "-NaN"})
"""What programs write where there is nothing."""
_INTEGER = re.compile(r"([-+]?)(0|[1-9][0-9]{0,18})(\.0*)?")
_PLAIN = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]00:00:00(\.0+)?")
_UNSEEN = re.compile("[\u200b\u200e\u200f\u2060\ufeff\u00ad]")
_JOINERS = "\u200c\u200d"  # inside of a word they mean something
_TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
_LARGEST = 2**63
_SHOWN = 5


def spelled(value: object) -> str:
    """A label as text, as it stands in the data.

    Example:
        >>> [spelled(value) for value in (1, 1.0, True, b"cat", np.str_("cat"))]
        ['1', '1.0', 'True', 'cat', 'cat']
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value.item() if isinstance(value, np.generic) else value)


def tidy(text: str) -> str:
    """Text with composed letters, single spaces, and nothing that cannot be seen.

    Example:
        >>> tidy("\\ufeff cafe\\u0301\\xa0 noir ") == "caf\\u00e9 noir"
        True
    """
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFC", text)).split()).strip(_JOINERS)


def class_key(value: object) -> str:
    """What all spellings of one class have in common, and no two classes: 1, 1.0, "1" and True are one.

    Leading zeros and case tell classes apart.

    Example:
        >>> [class_key(value) for value in (1, "1.0", True, "true", " 1", "007", "Cat", "cat ")]
        ['1', '1', '1', '1', '1', '007', 'Cat', 'cat']
    """
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating | Decimal):
        whole = math.isfinite(value) and abs(value) < _LARGEST and value == int(value)
        return str(int(value)) if whole else str(value)
    text = tidy(spelled(value))
    if text in _TRUTH:
        return _TRUTH[text]
    found = _INTEGER.fullmatch(text)
    if found:
        return str(int(found.group(2)) * (-1 if found.group(1) == "-" else 1))
    midnight = _MIDNIGHT.fullmatch(text)
    return midnight.group(1) if midnight else text


def class_labels(spellings: Mapping[str, int]) -> dict[str, Label]:
    """The name of the class that each spelling stands for.

    Whole numbers where all classes are such; else the most frequent spelling, or the whole number where one is 1 and
    another 1.0.

    Args:
        spellings: how often each occurs.

    Example:
        >>> class_labels({"3": 5, "4.0": 2}), class_labels({"1": 5, "1.0": 9, "other": 2})
        ({'3': 3, '4.0': 4}, {'1': '1', '1.0': '1', 'other': 'other'})
    """
    groups: dict[str, list[str]] = {}
    for text in spellings:
        groups.setdefault(class_key(text), []).append(text)
    texts = {text: tidy(text) for text in spellings}
    truths = [text for text in texts.values() if text in _TRUTH]
    numeric = [text for text in texts.values() if (found := _INTEGER.fullmatch(text)) and found.group(1) != "+"]
    whole = len(truths) + len(numeric) == len(texts) and bool(numeric)
    if whole and all(-_LARGEST <= int(key) < _LARGEST for key in groups):
        return {text: int(key) for key, group in groups.items() for text in group}
    return {text: _name(key, group, spellings) for key, group in groups.items() for text in group}


def _name(key: str, group: list[str], spellings: Mapping[str, int]) -> str:
    if len(group) > 1 and _PLAIN.fullmatch(key) and key in group:
        return key
    return min(group, key=lambda text: (-spellings[text], text != tidy(text), text))


def several_spellings(spellings: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Class name -> its spellings and how often each occurs, of the classes that have several.

    Example:
        >>> several_spellings({"1": 5, "1.0": 9, "other": 2})
        {'1': {'1.0': 9, '1': 5}}
    """
    groups: dict[str, Counter[str]] = {}
    for text, name in class_labels(spellings).items():
        groups.setdefault(str(name), Counter())[text] += spellings[text]
    return {name: dict(found.most_common()) for name, found in groups.items() if len(found) > 1}


def spelling_remark(several: Mapping[str, Mapping[str, int]], *, name: str) -> list[str]:
    """What was taken as one class, in words; nothing where nothing was.

    Args:
        several: from `several_spellings`.
        name: where the labels come from.

    Example:
        >>> spelling_remark({"1": {"1.0": 9, "1": 5}}, name="y")
        ["y has 1 class in several spellings, taken as one: 1 is '1.0' (9), '1' (5); rename what is another class"]
    """
    if not several:
        return []
    shown = [
        f"{name} is {', '.join(f'{ascii_where_alike(text, found)} ({count})' for text, count in found.items())}"
        for name, found in list(several.items())[:_SHOWN]
    ]
    more = f" and {len(several) - _SHOWN} more classes" if len(several) > _SHOWN else ""
    what = "1 class" if len(several) == 1 else f"{len(several)} classes"
    return [
        f"{name} has {what} in several spellings, taken as one: {'; '.join(shown)}{more}; rename what is another class"
    ]


def ascii_where_alike(text: str, others: Mapping[str, int]) -> str:
    """A spelling in quotes, with codes for its letters where another one looks the same.

    Example:
        >>> both = {"caf\\u00e9": 2, "cafe\\u0301": 3}
        >>> [ascii_where_alike(text, both) for text in both]
        ["'caf\\\\xe9'", "'cafe\\\\u0301'"]
    """
    looks = [unicodedata.normalize("NFC", _UNSEEN.sub("", other)) for other in others]
    here = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    return ascii(text) if looks.count(here) > 1 else repr(text)
