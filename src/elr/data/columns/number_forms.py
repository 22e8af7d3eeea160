"""Numbers as people of different countries write them: 1.234,50; 1,234.50; 12 %; $ 3; (5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BLANKS = re.compile(r"[\s\u00a0\u2007\u2009\u202f]+")
_PARTS = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<prefix>[$€£¥₹₽₩₺]|(?:US|[AR])\$|(?:[A-Z]{3}|Rs\.?|kr\.?)(?=\s)|)\s*(?P<inner>[+-]?)\s*"
    r"(?P<number>(?:\d|[.,]\d)(?:[\d., ']*\d)?[.,]?(?:[eE][+-]?\d+)?)\s*(?P<suffix>[^\d.,+\-\s]\D{0,11}|)"
)
_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_CODE = re.compile(r"0\d+.*", re.DOTALL)
_MARKS, _GROUPS = (".", ","), ("", ",", ".", " ", "'")
_MOST_STRANGE = 0.1  # of the different values: more, and the column holds no numbers
_ENOUGH, _MOST_AFFIXES, _LONGEST = 10, 5, 6


@dataclass(frozen=True, kw_only=True)
class NumberForm:
    """How the numbers of a column are written.

    Args:
        decimal: the mark of decimals, "." or ",".
        group: what stands between groups of three digits; "": nothing.
        prefix: what stands before each number, such as a currency.
        suffix: what stands behind each, such as a unit; a percentage is kept as the number that is written.

    Example:
        >>> NumberForm(decimal=",", group=".").numbers(["1.234,50", "(5)", "−3", "1.5"]).tolist()
        [1234.5, -5.0, -3.0, nan]
    """

    decimal: str = "."
    group: str = ""
    prefix: str = ""
    suffix: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _pattern(self.decimal, self.group, strict=False)

    def numbers(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Each text as a number; NaN where it is none in this form, or has another prefix or suffix than none."""
        affixes = {(self.prefix, self.suffix), ("", "")}
        found = []
        for text in texts:
            parts = _parts(text)
            fits = parts is not None and parts[1] in affixes and self._pattern.fullmatch(parts[0])
            found.append(self._number(parts[0]) if fits and parts is not None else np.nan)
        return np.array(found, dtype=np.float64)

    def _number(self, digits: str) -> float:
        digits = digits.replace(self.group, "") if self.group else digits
        return float(digits.replace(self.decimal, "."))

    def to_json(self) -> dict[str, Any]:
        return {"decimal": self.decimal, "group": self.group, "prefix": self.prefix, "suffix": self.suffix}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> NumberForm:
        from elr.checking import check_ranges, check_types

        form = cls(**settings)
        check_types(form)
        ranges = {"decimal": (form.decimal in _MARKS, "a point or a comma")}
        ranges["group"] = (form.group in _GROUPS and form.group != form.decimal, "a mark between groups, another one")
        check_ranges(form, ranges)
        return form

    def __str__(self) -> str:
        """For messages."""
        said = ["decimal commas" if self.decimal == "," else "decimal points"]
        if self.group:
            said.append(f"{self.group!r} between groups of three digits")
        said += [
            f"{affix!r} {where} each" for affix, where in ((self.prefix, "before"), (self.suffix, "behind")) if affix
        ]
        return " and ".join(said)


PLAIN = NumberForm()


def plain_numbers(texts: Any) -> NDArray[np.float64]:
    """Each text as a number as programs write it; NaN where it is none, or missing.

    Args:
        texts: a sequence or series of them.

    Example:
        >>> plain_numbers(["1.5", " 2", "1e3", "1,5", None]).tolist()
        [1.5, 2.0, 1000.0, nan, nan]
    """
    array = pa.array(texts, type=pa.string(), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    usual = pc.fill_null(pc.match_substring_regex(array, _PLAIN), False)
    numbers = pc.cast(pc.if_else(usual, array, None), pa.float64()).to_numpy(zero_copy_only=False).copy()
    rest = np.flatnonzero(~usual.to_numpy(zero_copy_only=False))
    if len(rest):
        others = pd.Series(array.take(pa.array(rest)).to_pylist(), dtype=object)
        numbers[rest] = pd.to_numeric(others, errors="coerce").to_numpy(dtype=np.float64)
    return numbers


def number_form(texts: Sequence[str], *, decimal: str | None = None) -> tuple[NumberForm | None, bool]:
    """The form in which texts write numbers, and whether another form would read other numbers from all of them.

    Args:
        texts: different values of a column, without those that say that one is missing.
        decimal: the mark of decimals where both would do. Default: "." where there are points only; else the texts are
            ambiguous.

    Returns:
        form (None where a tenth or more of the texts are no numbers), and whether it is a guess.

    Example:
        >>> number_form(["1.234,50", "12,00"])
        (NumberForm(decimal=',', group='.', prefix='', suffix=''), False)
        >>> number_form(["1,234", "5,678"])[1], number_form(["1,234", "5,6"])[1]
        (True, False)
    """
    if sum(_parts(text) is not None for text in texts[:200]) < (1 - _MOST_STRANGE) * len(texts[:200]):
        return None, False
    split = [parts for text in texts if (parts := _parts(text)) is not None]
    ((prefix, suffix), _), *_ = Counter(affix for _, affix in split).most_common(1)
    numbers = [number for number, affix in split if affix == (prefix, suffix)]
    if any(_CODE.fullmatch(number.lstrip("+-")) for number in numbers):
        return None, False
    fits = {mark: _best_group(numbers, mark) for mark in _MARKS}
    most = max(count for _, count in fits.values())
    if not most or most < (1 - _MOST_STRANGE) * len(texts):
        return None, False
    forms = {
        mark: NumberForm(decimal=mark, group=group, prefix=prefix, suffix=suffix)
        for mark, (group, count) in fits.items()
        if count == most
    }
    if len(forms) == 1:
        return next(iter(forms.values())), False
    point, comma = (_read(numbers, forms[mark]) for mark in (".", ","))
    if np.array_equal(point, comma, equal_nan=True):
        return forms["."], False
    return forms[decimal or "."], decimal is None


def why_no_numbers(texts: Sequence[str]) -> str:
    """What keeps a column of text from being read as numbers, where most of it looks like numbers; "" elsewhere.

    Args:
        texts: different values of a column, without those that say that one is missing.

    Example:
        >>> doses = [str(number) for number in range(1, 90)]
        >>> why_no_numbers([*doses, *(f"<{dose}" for dose in doses[:30])])
        "75% of its values are numbers, others are not ('<1', '<2', '<3', ...)"
        >>> why_no_numbers([*doses, "07"]), why_no_numbers(["1", "2", "3+"])
        ("its numbers are taken for codes, since some begin with 0 ('07')", '')
    """
    found = [_parts(text) for text in texts]
    split = [parts if parts and _is_unit(parts[1][1]) else None for parts in found]
    like = [parts for parts in split if parts is not None]
    if len(like) < _ENOUGH or len(like) < len(texts) / 2:
        return ""
    affixes = Counter(affix for _, affix in like)
    odd = [text for text, parts in zip(texts, split, strict=True) if parts is None]
    codes = [text for text in texts if _CODE.fullmatch(text.strip().lstrip("+-"))]
    if len(odd) <= _MOST_STRANGE * len(texts) and codes:
        return f"its numbers are taken for codes, since some begin with 0 ({_shown(codes)})"
    if len(odd) <= _MOST_STRANGE * len(texts) and 1 < len(affixes) <= _MOST_AFFIXES:
        first = {parts[1]: text for text, parts in reversed(list(zip(texts, split, strict=True))) if parts is not None}
        return f"its numbers have different units or signs ({_shown([first[affix] for affix in affixes])})"
    return f"{len(like) / len(texts):.0%} of its values are numbers, others are not ({_shown(odd)})" if odd else ""


def _is_unit(suffix: str) -> bool:
    """Nothing, or what may be a unit: no words, as of addresses, and no letter of a seat or a flat."""
    return len(suffix) <= _LONGEST and " " not in suffix and not (len(suffix) == 1 and suffix.isupper())


def _shown(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts[:3])) + (", ..." if len(texts) > 3 else "")


def _read(numbers: Sequence[str], form: NumberForm) -> NDArray[np.float64]:
    pattern = _pattern(form.decimal, form.group, strict=True)
    return np.array([form._number(number) if pattern.fullmatch(number) else np.nan for number in numbers])


def _best_group(numbers: Sequence[str], decimal: str) -> tuple[str, int]:
    """What stands between groups of digits if `decimal` marks decimals, and how many of the numbers are so written."""
    best = ("", -1)
    for group in _GROUPS:
        if group == decimal:
            continue
        if group and not any(group in number for number in numbers):
            continue
        pattern = _pattern(decimal, group, strict=True)
        count = sum(pattern.fullmatch(number) is not None for number in numbers)
        best = (group, count) if count > best[1] else best
    return best


def _pattern(decimal: str, group: str, *, strict: bool) -> re.Pattern[str]:
    """Numbers so written; strictly, those of four digits and more have groups."""
    mark, whole = re.escape(decimal), r"\d+"
    if group:
        short = r"\d{1,3}" if strict else whole
        whole = rf"(?:[1-9]\d{{0,2}}(?:{re.escape(group)}\d{{3}})+|{short})"
    return re.compile(rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?")


def _parts(text: str) -> tuple[str, tuple[str, str]] | None:
    """The number in a text, with its sign, and what stands before and behind it; None where there is none."""
    text = _BLANKS.sub(" ", text).strip().replace("\u2212", "-").replace("\u2019", "'")
    negative = text.startswith("(") and text.endswith(")")
    parts = _PARTS.fullmatch(text[1:-1].strip() if negative else text)
    if parts is None or (parts["sign"] and parts["inner"]):
        return None
    sign = parts["sign"] or parts["inner"]
    if negative:
        if sign:
            return None
        sign = "-"
    return sign + parts["number"], (parts["prefix"], parts["suffix"].strip())
