"""What of their data several processes have differently, by the names that people know: columns, labels, rows."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from elr.data.examples import Examples, StoredInputs

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData

MOST_ROWS = 1_000_000
"""Of which processes tell each other, row by row, where they differ."""
_FOLLOW = ("method", "training", "network", "augmentation", "targets", "preprocessing")
_PACKAGES = ("torch", "numpy", "accelerate")
_MOST_SAID = 320  # characters
_SHOWN = 3
_LONGEST = 40  # characters of a name or value
_ROWS = "the number of rows"
Marks = dict[str, NDArray[np.uint64]]
"""Numbers (N,) that tell the rows of a column, of labels or of inputs from others."""


def told_differences(
    description: Mapping[str, Any], prepared: PreparedData, gathered: Callable[[Any], list[Any]]
) -> list[str]:
    """What is not the same on all processes that train together, in words; [] if nothing is. All of them call it.

    Args:
        description: of the run, as run.json has it.
        prepared: its data.
        gathered: gives what each process calls it with, in order of rank.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> prepared = prepare_data(([[1.0], [2.0], [3.0], [4.0]], [1, 0] * 2), ReadOptions())
        >>> parts = dict.fromkeys(("config", "versions", *_FOLLOW), {})
        >>> run = parts | {"elr_version": "1", "data": {"sha256": prepared.sha256, "options": {}}}
        >>> run |= {"config": {"lam": 3.0}, "versions": dict.fromkeys(_PACKAGES, "2")}
        >>> other = {"config": {"lam": 7.0}}
        >>> told_differences(run, prepared, lambda mine: [mine, (mine[0], mine[1] | other, mine[2])])
        ['config.lam (3.0 on rank 0, 7.0 on rank 1)']
    """
    asked = {"config": description["config"], "data.options": description["data"]["options"]}
    versions = {"elr": description["elr_version"]} | {name: description["versions"][name] for name in _PACKAGES}
    follows = {name: description[name] for name in _FOLLOW}
    found = gathered((description["data"]["sha256"], asked | {"version": versions}, follows))
    sums, settings, others = zip(*found, strict=True)
    told = _settings_in_words(settings)
    prepared_alike = all(each["preprocessing"] == others[0]["preprocessing"] for each in others)
    if len({*sums}) > 1 or not prepared_alike:  # all numbers of a column times two are encoded alike
        told = [*_data_in_words(prepared, gathered), *told]
    told = told or _settings_in_words(others) or ["how the data were encoded"] * (len({*sums}) > 1)
    while len(told) > 1 and len("; in ".join(told)) > _MOST_SAID:
        told.pop()
    return [each[:_MOST_SAID] for each in told]


def _data_in_words(prepared: PreparedData, gathered: Callable[[Any], list[Any]]) -> list[str]:
    marks = marks_of(prepared)
    sizes = {"data": prepared.examples, "test data": prepared.test, "rows held out": prepared.validation}
    found = gathered(digests_of(marks, {part: len(each) for part, each in sizes.items() if each is not None}))
    told = []
    for part, names in differing(found).items():
        here = [each.get(part, {}) for each in found]
        both = [name for name in names if name != _ROWS and all(name in each for each in here)][:_SHOWN]
        first = None
        if part == "data" and both and all(int(each[_ROWS]) <= MOST_ROWS for each in here):  # the same on all ranks
            first = where_first(gathered([marks[part][name] for name in both]))
        told.append(in_words(part, names, found, "" if first is None else prepared.records.place_of(first)))
    return told


def marks_of(prepared: PreparedData) -> dict[str, Marks]:
    """The rows of the data, of the test data and of those held out, by name of what they consist of.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": ["cat", "dog"] * 2})
        >>> marks = marks_of(prepare_data(frame, ReadOptions(label="y")))
        >>> {part: [*names] for part, names in marks.items()}
        {'data': ["column 'x'", 'the given labels']}
    """
    records = prepared.records
    found: Marks = {}
    if records.table is None:
        found["the inputs"] = _of_inputs(prepared.examples)
    else:
        found |= {f"column {str(name)[:_LONGEST]!r}": _of_values(column) for name, column in records.table.items()}
    for name, labels in (("the given labels", records.labels), ("the clean labels", records.clean_labels)):
        found |= {} if labels is None else {name: _of_values(labels)}
    parts = {"data": found}
    for name, part in (("test data", prepared.test), ("rows held out", prepared.validation)):
        if part is not None:
            labels = {} if part.labels is None else {"the labels": _of_values(part.labels.tolist())}
            parts[name] = {"the inputs": _of_inputs(part)} | labels
    return parts


def digests_of(marks: Mapping[str, Marks], counts: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """The same, short enough to be sent whatever the number of rows, with that number.

    Args:
        marks: see `marks_of`.
        counts: N of each part.

    Example:
        >>> digests_of({"data": {"column 'x'": np.array([3, 4], dtype=np.uint64)}}, {"data": 2})["data"]
        {'the number of rows': '2', "column 'x'": 'fd223b85'}
    """
    return {
        part: {_ROWS: str(counts[part])}
        | {name: hashlib.sha256(rows.tobytes()).hexdigest()[:8] for name, rows in found.items()}
        for part, found in marks.items()
    }


def differing(found: Sequence[Mapping[str, Mapping[str, str]]]) -> dict[str, list[str]]:
    """By part, the names of what is not alike on all ranks; only the number of rows where that differs.

    Args:
        found: what `digests_of` gives, in order of rank.

    Example:
        >>> differing([{"data": {"column 'x'": "3d"}}, {"data": {"column 'x'": "4e"}}])
        {'data': ["column 'x'"]}
    """
    told: dict[str, list[str]] = {}
    for part in dict.fromkeys(part for each in found for part in each):
        here = [each.get(part, {}) for each in found]
        names = dict.fromkeys(name for each in here for name in each)
        unlike = [name for name in names if len({each.get(name) for each in here}) > 1]
        if unlike:
            told[part] = [_ROWS] if _ROWS in unlike else unlike
    return told


def where_first(found: Sequence[Sequence[NDArray[np.uint64]]]) -> int | None:
    """The first row in which ranks differ, from 0; None where it cannot be told.

    Args:
        found: for each rank the rows of all that differs.

    Example:
        >>> where_first([[np.array([3, 4, 5])], [np.array([3, 7, 7])]])
        1
    """
    first: list[int] = []
    for columns in zip(*found, strict=True):
        if len({len(each) for each in columns}) > 1:
            return None
        other = np.any([each != columns[0] for each in columns], axis=0)
        first += [int(np.argmax(other))] if other.any() else []
    return min(first, default=None)


def in_words(part: str, names: Sequence[str], found: Sequence[Mapping[str, Mapping[str, str]]], place: str = "") -> str:
    """What ranks differ in, as the middle of a sentence.

    Args:
        part: of the data.
        names: from `differing`.
        found: what `digests_of` gives, in order of rank.
        place: the first row that differs, "" where that is not known.

    Example:
        >>> in_words("data", ["column 'x'"], [{"data": {"column 'x'": "3"}}, {"data": {"column 'x'": "4"}}], "row 1")
        "the data: rank 1 has another column 'x' than rank 0, first in row 1"
        >>> in_words("test data", [_ROWS], [{"test data": {_ROWS: "12"}}, {"test data": {_ROWS: "11"}}])
        'the test data: 12 rows on rank 0, 11 on rank 1'
    """
    here = [each.get(part, {}) for each in found]
    if names == [_ROWS]:
        counts = [each.get(_ROWS, "0") for each in here]
        ranks = {count: [str(rank) for rank, each in enumerate(counts) if each == count] for count in counts}
        told = [f"{count} rows on rank {' and '.join(where)}" for count, where in ranks.items()]
        return f"the {part}: {told[0]}, {', '.join(told[1:]).replace(' rows', '')}"
    others = [str(rank) for rank, each in enumerate(here) if any(each.get(name) != here[0].get(name) for name in names)]
    lacking = [name for name in names if any(name not in each for each in here)]
    if lacking:
        where = [str(rank) for rank, each in enumerate(here) if lacking[0] in each]
        return f"the {part}: only rank {' and '.join(where)} has {_listed(lacking)}"
    what = _listed(names)
    what = f"another {what}" if len(names) == 1 and what.startswith("column") else f"other values of {what}"
    return f"the {part}: rank {' and '.join(others)} has {what} than rank 0{f', first in {place}' if place else ''}"


def _settings_in_words(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which settings are not alike on all ranks, and what they are; a few of them.

    Args:
        found: nested plain values, in order of rank.

    Example:
        >>> _settings_in_words([{"config": {"lam": 3.0, "seed": 0}}, {"config": {"lam": 7.0, "seed": 0}}])
        ['config.lam (3.0 on rank 0, 7.0 on rank 1)']
    """
    flat = [dict(_flat(each)) for each in found]
    told = []
    for name in dict.fromkeys(name for each in flat for name in each):
        places: dict[str, list[str]] = {}
        for rank, each in enumerate(flat):
            places.setdefault(repr(each[name]) if name in each else "nothing", []).append(str(rank))
        if len(places) > 1:
            parts = [f"{value[:_LONGEST]} on rank {' and '.join(ranks)}" for value, ranks in places.items()]
            told.append(f"{name[-2 * _LONGEST :]} ({', '.join(parts[:_SHOWN])})")
    return told if len(told) <= _SHOWN else [*told[: _SHOWN - 1], f"{len(told) - _SHOWN + 1} more settings"]


def _flat(settings: Mapping[str, Any], of: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{of}{key}.")
        else:
            yield f"{of}{key}", value


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _of_values(values: Any) -> NDArray[np.uint64]:
    """A number for each value, which says the same on all machines."""
    column = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype=object)
    if column.dtype.kind not in "biufM":  # also lists, and numbers among words
        column = column.map(str).astype(object)
    return pd.util.hash_pandas_object(column, index=False).to_numpy()


def _of_inputs(examples: Examples) -> NDArray[np.uint64]:
    inputs = examples.inputs
    if isinstance(inputs, StoredInputs):  # by name and place, as their fingerprint is
        return np.array([zlib.crc32(inputs.identity())], dtype=np.uint64)
    if isinstance(inputs, Tensor):
        rows = np.ascontiguousarray(inputs.numpy())
        return np.fromiter((zlib.crc32(row.tobytes()) for row in rows), dtype=np.uint64, count=len(rows))
    parts = (inputs.indices, inputs.data)
    bounds = zip(inputs.indptr[:-1], inputs.indptr[1:], strict=True)
    told = (zlib.crc32(b"".join(each[start:stop].tobytes() for each in parts)) for start, stop in bounds)
    return np.fromiter(told, dtype=np.uint64, count=len(examples))
