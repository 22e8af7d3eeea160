"""Numbers and dates that most likely say that a value is missing: -999, 9999.9, 65535, 9999-12-31."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_NINES = re.compile(r"-?(9{3,}|99|1?9{2,}|9{2,}\.9+)")
_BOUNDS = {2.0**bits - 1 for bits in (15, 16, 31, 32, 63, 64)} | {-(2.0**bits) for bits in (15, 31, 63)}
_FILLS = {
    float(np.finfo(np.float32).max),
    9.969209968386869e36,
    1e20,
    1e30,
}  # of float32, netCDF, others
_DAYS = {"0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01"}
_DAYS |= {"2099-12-31", "2999-12-31", "9999-12-31"}
_MOST = 3  # different ones below all values, and above them


def stand_ins(numbers: NDArray[np.float64], *, dates: bool = False) -> list[str]:
    """A remark on each such value that lies far from all others and comes again and again.

    Args:
        numbers: (N,), NaN where nothing stands.
        dates: whether they are days since 1970.

    Example:
        >>> stand_ins(np.array([20.5, 21.0, 19.5, 9999.9, 22.0, 9999.9]))[0][:56]
        '9999.9 stands in 2 rows, far from all other values: if i'
        >>> stand_ins(np.array([1.0, 2.0, 98.0, 99.0, 99.0]))
        []
    """
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    first, last = 0, len(values)
    while first < min(_MOST, last) and _name(values[first], dates=dates):
        first += 1
    while last > max(first, len(values) - _MOST) and _name(values[last - 1], dates=dates):
        last -= 1
    others = values[first:last]
    if len(others) <= 2:
        return []
    reach = others[-1] - others[0]
    return [
        f"{_name(value, dates=dates)} stands in {count} rows, far from all other values: if it says that a value is "
        "missing, leave such cells empty"
        for value, count in zip(values, counts, strict=True)
        if count > 1 and max(others[0] - value, value - others[-1]) > reach
    ]


def _name(value: float, *, dates: bool) -> str:
    """A value as people or programs write it who mean that there is none; "" of all other values."""
    if dates:
        day = str(np.datetime64(int(np.floor(value)), "D"))
        return day if day in _DAYS else ""
    if value in _BOUNDS or abs(value) in _FILLS:
        return f"{value:.15g}"
    written = (f"{value:.15g}", f"{value:.7g}")  # the latter for single precision
    return next((text for text in written if _NINES.fullmatch(text)), "")
