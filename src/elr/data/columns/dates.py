"""Dates as people of different countries write them: 2024-12-31, 31.12.2024, 12/31/2024."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_WRITTEN = re.compile(
    r"(?P<day>(?P<one>\d{1,2})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)\d{4}|\d{4}(?P<other>[./])\d{1,2}(?P=other)\d{1,2})"
    r"(?:,?[ T]+(?P<hour>\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?))?",
    re.ASCII,
)
_LAST_MONTH = 12
_MOST_STRANGE = 0.1  # of the different values: more, and the column holds no dates


def date_values(cells: pd.Series, form: str = "") -> pd.Series:
    """Dates in ISO form, and those in another, as timestamps of UTC; NaT where there is none.

    Args:
        cells: as they were read.
        form: the other one, as `date_form` gives it; "": none.

    Example:
        >>> date_values(pd.Series(["2024-12-31T23:00-01:00", "31.12.2024"])).dt.year.tolist()
        [2025.0, nan]
        >>> date_values(pd.Series(["2024-12-31", "31.12.2024 12:30"]), "%d.%m.%Y").dt.day.tolist()
        [31, 31]
    """
    written = [str(value).strip() for value in cells.tolist()]
    texts = pd.Series([text if _ISO.fullmatch(text) else None for text in written], index=cells.index, dtype=object)
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    return dates.fillna(_written_dates(written, form, cells.index)) if form else dates


def _written_dates(written: Sequence[str], form: str, index: pd.Index) -> pd.Series:
    parts = [_WRITTEN.fullmatch(text) for text in written]
    days = pd.Series([part and part["day"] for part in parts], index=index, dtype=object)
    hours = [part["hour"] if part and part["hour"] else "00:00" for part in parts]
    times = pd.Series([hour if hour.count(":") > 1 else f"{hour}:00" for hour in hours], index=index)
    return pd.to_datetime(days, format=form, utc=True, errors="coerce") + pd.to_timedelta(times, errors="coerce")


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
    form, guessed = _form([text for text in texts if _ISO.fullmatch(text) or _WRITTEN.fullmatch(text)])
    if form is None:
        return None, False, []
    gone = date_values(pd.Series(texts, dtype=object), form).isna().tolist()
    if sum(gone) > _MOST_STRANGE * len(gone):
        return None, False, []
    return form, guessed, [value for value, strange in zip(values, gone, strict=True) if strange]


def _form(values: Sequence[Any]) -> tuple[str | None, bool]:
    """The form that values have, which may be dates that there are not."""
    written = [text for value in values if not _ISO.fullmatch(text := str(value).strip())]
    form, guessed = "", False
    if written:
        parts = [part for text in written[:1] if (part := _WRITTEN.fullmatch(text))]
        parts = parts and [part for text in written if (part := _WRITTEN.fullmatch(text))]
        marks = {(part["mark"], part["other"]) for part in parts}
        if len(parts) < len(written) or len(marks) != 1:
            return None, False
        ((mark, other),) = marks
        form = f"%Y{other}%m{other}%d"
        if mark:
            months = [max(int(part[place]) for part in parts) <= _LAST_MONTH for place in ("one", "two")]
            form = f"%m{mark}%d{mark}%Y" if months == [True, False] else f"%d{mark}%m{mark}%Y"
            guessed = all(months) and mark != "." and any(part["one"] != part["two"] for part in parts)
    return form, guessed


def said_of_dates(values: Sequence[Any], form: str, *, guessed: bool) -> str:
    """What the user should know about dates in such a form.

    Example:
        >>> said_of_dates(["1/2/2024"], "%d/%m/%Y", guessed=False)
        "its dates are written day/month/year: '1/2/2024' is read as 2024-02-01"
    """
    example = next(str(value) for value in values if not _ISO.fullmatch(str(value).strip()))
    read = date_values(pd.Series([example]), form).iloc[0]
    named = form.replace("%d", "day").replace("%m", "month").replace("%Y", "year")
    said = f"its dates are written {named}: {example!r} is read as {read:%Y-%m-%d}"
    return (
        f"{said}; no day above 12 tells it from the month: write {read:%Y-%m-%d} if that is wrong" if guessed else said
    )
