"""Dates as people of different countries write them: 2024-12-31, 31.12.2024, 12/31/24 5:30 PM, 31-Dec-2024."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_HOUR = (
    r"(?:,?[ T]+(?P<hour>(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?)"
    r"(?: ?(?P<half>[ap])\.?m\.?)?)?"
)
_WRITTEN = re.compile(
    r"(?P<day>(?P<one>\d{1,2})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<three>\d{4}|\d\d)"
    r"|\d{4}(?P<other>[./])\d{1,2}(?P=other)\d{1,2})" + _HOUR,
    re.ASCII | re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_MONTH = rf"(?:{_MONTH}|nov(?:ember)?|dec(?:ember)?)"
_YEAR = r"\d{4}|\d\d"
_NAMED = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?P<mark>[ -])(?P<month>{_MONTH})\.?(?P=mark)(?P<year>{_YEAR})"
    rf"|(?P<first>{_MONTH})\.? (?P<second>\d{{1,2}}),? (?P<last>\d{{4}}))" + _HOUR,
    re.ASCII | re.IGNORECASE,
)
_PLACES = (("day", "second"), ("month", "first"), ("year", "last"))
_OF_LAST_CENTURY = 69
_LAST_HOUR = _LAST_MONTH = 12
_LAST_DAY = 31
_MOST_STRANGE = 0.1  # of the different values: more, and the column holds no dates


def date_values(cells: pd.Series, form: str = "") -> pd.Series:
    """Dates in ISO form, with the name of a month, and in another form, as timestamps of UTC; NaT where there is none.

    Args:
        cells: as they were read.
        form: the other one, as `date_form` gives it; "": none.

    Example:
        >>> date_values(pd.Series(["2024-12-31T23:00-01:00", "31-Dec-24", "31.12.2024"])).dt.year.tolist()
        [2025.0, 2024.0, nan]
        >>> date_values(pd.Series(["2024-12-31", "31.12.2024 12:30"]), "%d.%m.%Y").dt.day.tolist()
        [31, 31]
    """
    written = [str(value).strip() for value in cells.tolist()]
    texts = pd.Series([text if _ISO.fullmatch(text) else None for text in written], index=cells.index, dtype=object)
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    named = [None if iso else _NAMED.fullmatch(text) for text, iso in zip(written, texts, strict=True)]
    if any(named):
        days = [part and _numbers_of(part) for part in named]
        dates = dates.fillna(_with_hours(named, days, "%d-%m-%Y", cells.index))
    if form:
        parts = [_WRITTEN.fullmatch(text) for text in written]
        dates = dates.fillna(_with_hours(parts, [part and part["day"] for part in parts], form, cells.index))
    return dates


def _numbers_of(named: re.Match[str]) -> str:
    """Day, month and year of four digits of a date with the name of a month."""
    day, month, year = (named[one] or named[other] for one, other in _PLACES)
    if len(year) == 2:  # as everywhere (POSIX): 69 is 1969, 68 is 2068
        year = f"{19 if int(year) >= _OF_LAST_CENTURY else 20}{year}"
    return f"{day}-{_MONTHS.index(month[:3].lower()) + 1}-{year}"


def _with_hours(
    parts: Sequence[re.Match[str] | None], days: Sequence[str | None], form: str, index: pd.Index
) -> pd.Series:
    times = []
    for part in parts:
        hour, half = (part["hour"] or "0:00", part["half"]) if part else ("0:00", None)
        first, rest = hour.split(":", 1)
        if half and not 1 <= int(first) <= _LAST_HOUR:
            times.append(None)
            continue
        hours = int(first) if not half else int(first) % _LAST_HOUR + _LAST_HOUR * (half.lower() == "p")
        times.append(f"{hours}:{rest}" if ":" in rest else f"{hours}:{rest}:00")
    dates = pd.to_datetime(pd.Series(days, index=index, dtype=object), format=form, utc=True, errors="coerce")
    return dates + pd.to_timedelta(pd.Series(times, index=index, dtype=object), errors="coerce")


def date_form(values: Sequence[Any]) -> tuple[str | None, bool]:
    """The form in which all values write dates beside ISO ("": none beside it), and whether that is a guess.

    Days and months are told apart by a day above 12; where there is none, points say that the day comes first, and
    other marks leave it open.

    Args:
        values: different ones, without those that say that one is missing.

    Returns:
        form (None where not all are dates), and whether another would read other dates from all of them.

    Example:
        >>> date_form(["12/31/2024", "1/2/2024"]), date_form(["1/2/2024"]), date_form(["31.12.2024", "12.31.2024"])
        (('%m/%d/%Y', False), ('%d/%m/%Y', True), (None, False))
    """
    form, guessed = _form(values)
    if form is None or date_values(pd.Series(values, dtype=object), form).isna().any():
        return None, False
    return form, guessed


def usual_form(values: Sequence[Any]) -> tuple[str | None, bool, list[Any]]:
    """The form of values of which nearly all are dates, whether it is a guess, and those that are none.

    Args:
        values: different ones, without those that say that one is missing.

    Returns:
        form (None where more than a tenth are no dates), and the others as in `date_form`.

    Example:
        >>> days = [f"2024-02-{day:02d}" for day in range(1, 31)]
        >>> usual_form(days), usual_form(days[-2:])
        (('', False, ['2024-02-30']), (None, False, []))
    """
    texts = [str(value).strip() for value in values]
    digits = {text: len(part["three"] or "") for text in texts if (part := _WRITTEN.fullmatch(text))}
    usual = next(iter(Counter(digits.values()).most_common(1)), (0, 0))[0]
    form, guessed = _form([text for text in texts if digits.get(text, usual if _plain(text) else -1) == usual])
    if form is None:
        return None, False, []
    gone = date_values(pd.Series(texts, dtype=object), form).isna().tolist()
    if sum(gone) > _MOST_STRANGE * len(gone):
        return None, False, []
    return form, guessed, [value for value, strange in zip(values, gone, strict=True) if strange]


def _form(values: Sequence[Any]) -> tuple[str | None, bool]:
    """The form that values have, which may be dates that there are not."""
    written = [text for value in values if not _plain(text := str(value).strip())]
    if not written:
        return "", False
    parts = [part for text in written[:1] if (part := _WRITTEN.fullmatch(text))]
    parts = parts and [part for text in written if (part := _WRITTEN.fullmatch(text))]
    kinds = {(part["mark"], part["other"], len(part["three"] or "")) for part in parts}
    if len(parts) < len(written) or len(kinds) != 1:
        return None, False
    ((mark, other, digits),) = kinds
    if not mark:
        return f"%Y{other}%m{other}%d", False
    short = digits == 2
    if short and mark != "/" and any(len(part["one"]) + len(part["two"]) < 2 * digits for part in parts):
        return None, False  # 1.2.10 is a version or a chapter as well
    ones, twos, threes = ([int(part[place]) for part in parts] for place in ("one", "two", "three"))
    year_first = short and max(twos) <= _LAST_MONTH and max(threes) <= _LAST_DAY
    year_first = year_first and all(len(part["one"]) == digits for part in parts)
    orders = ["dmY"] * (max(twos) <= _LAST_MONTH and max(ones) <= _LAST_DAY) + ["mdY"] * (max(ones) <= _LAST_MONTH)
    orders += ["Ymd"] * year_first
    form = mark.join(f"%{each}" for each in (orders or ["dmY"])[0])
    differ = ones != twos or (year_first and ones != threes)
    guessed = len(orders) > 1 and differ and mark != "."
    return form.replace("%Y", "%y") if short else form, guessed


def _plain(text: str) -> bool:
    """Whether a date needs no form to be read."""
    return bool(_ISO.fullmatch(text) or _NAMED.fullmatch(text))


def said_of_dates(values: Sequence[Any], form: str, *, guessed: bool) -> str:
    """What the user should know about dates in such a form.

    Example:
        >>> said_of_dates(["1/2/2024"], "%d/%m/%Y", guessed=False)
        "its dates are written day/month/year: '1/2/2024' is read as 2024-02-01"
        >>> said_of_dates(["1/2/24"], "%d/%m/%y", guessed=False)
        "its dates are written day/month/year: '1/2/24' is read as 2024-02-01; years from 69 on are of the last century"
    """
    example = next(str(value) for value in values if not _plain(str(value).strip()))
    read = date_values(pd.Series([example]), form).iloc[0]
    named = form.replace("%d", "day").replace("%m", "month").replace("%Y", "year").replace("%y", "year")
    said = f"its dates are written {named}: {example!r} is read as {read:%Y-%m-%d}"
    if "%y" in form:
        said += f"; years from {_OF_LAST_CENTURY} on are of the last century"
    doubt = "nothing tells their order for sure" if "%y" in form else "no day above 12 tells it from the month"
    return f"{said}; {doubt}: write dates as 2024-12-31 if that is wrong" if guessed else said
