"""Rows that say nothing new: they come again in test data, under another label or as copies, or name their label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse

from elr.data.examples import Examples, StoredInputs
from elr.data.records import IMAGES, TABLE, TEXT, Finding, Records
from elr.names import printable

_NAMES_LOOKED_AT, _NAMED_ROWS = 20_000, 10
_IN_OWN, _IN_OTHERS = 0.95, 0.1
"""Share of the rows of a class with its name in their text, at least, and of the others, at most: texts that tell."""
_SHARE = 0.1  # of the test rows from which on it is loud
_DISTINCT = 0.9  # of the training rows: where fewer are, rows come again by chance
_DISTINCT_CELLS = 0.99  # of the rows of a table, whose cells are equal more easily
_COPIES, _MANY_COPIES = 0.05, 0.2  # of the rows, from which on copies are told, and loudly
_BY_CHANCE = 0.05  # of the rows expected to have an equal one, where copies say nothing
_MOST_STORED = 50_000  # images on disk that are read for this
_AT_ONCE = 1 << 22  # values
_DIGITS = 1e4  # of encoded inputs: nearer ones are equal


def overlap(train: Examples, test: Examples) -> Finding | None:
    """How many rows of the test data stand in the training data, in the same or nearly the same inputs.

    Inputs are compared as they were encoded: images pixel by pixel, numbers to four decimals after standardization,
    each row by a hash of 64 bits; for text see `text_overlap`. More than 50,000 images on disk are not read for this.

    Args:
        train: encoded.
        test: encoded by the same preprocessing.

    Returns:
        what was found, loud above a tenth of the test rows where training rows hardly ever come twice; None where no
        row does, or they cannot be compared.

    Example:
        >>> train, test = np.eye(4, dtype="float32"), np.array([[0, 0, 1, 0], [0.5, 0, 0, 0]], dtype="float32")
        >>> overlap(Examples(train, None), Examples(test, None)).text
        '1 of 2 rows of the test data (50.0%) stand in the training data too: they say nothing about new data'
    """
    if not len(test) or train.inputs.shape[1:] != test.inputs.shape[1:] or not _affordable(train, test):
        return None
    keys = _keys(train)
    distinct = np.unique(keys)
    return _said(np.isin(_keys(test), distinct), distinct=len(distinct) / len(keys))


def text_overlap(train: Sequence[str], test: Sequence[str]) -> Finding | None:
    """How many texts of the test data stand in the training data, whatever their case and white space.

    Args:
        train: texts trained on.
        test: texts of the test data.

    Returns:
        see `overlap`; texts of nothing but white space do not count.

    Example:
        >>> text_overlap(["A red mug", "a hat", "a coat"], ["a red  mug", "a blue mug"]).text
        '1 of 2 rows of the test data (50.0%) stand in the training data too: they say nothing about new data'
    """
    known = set(map(_words, train)) - {""}
    again = np.array([_words(text) in known for text in test], dtype=bool)
    return _said(again, distinct=len(known) / max(1, len(train)))


def written_labels(train: Examples, records: Records, *, columns: Collection[str] | None = None) -> Finding | None:
    """Classes whose own name stands in the texts of nearly all of their rows, and hardly in those of other classes.

    There the text says which label was given, as in "category: sport | ...", and whoever reads it agrees with every
    label, wrong ones too. Of classes with fewer than 10 rows nothing is said; at most 20,000 rows are looked at.

    Args:
        train: not looked at.
        records: texts with labels; of other kinds nothing is said.
        columns: not looked at.

    Returns:
        what was found, loud; None where no class is so.

    Example:
        >>> texts = [f"{name} | some words" for name in ("cat", "dog") * 10]
        >>> table, labels = pd.DataFrame({"t": texts}), ["cat", "dog"] * 10
        >>> records = Records(kind=TEXT, rows=np.arange(20), table=table, labels=labels)
        >>> written_labels(Examples(np.eye(20), None), records).text[:84]
        "text column 't' has the name of the given class in nearly all rows of 2 of 2 classes"
    """
    del train, columns
    if records.kind != TEXT or records.table is None or records.labels is None:
        return None
    step = max(1, len(records) // _NAMES_LOOKED_AT)
    given = [_plain_words(str(label)) for label in records.labels[::step]]
    by_first: dict[str, set[str]] = {}
    for name in set(given) - {""}:
        by_first.setdefault(name.split()[0], set()).add(name)
    rows, own, others = Counter(given), Counter[str](), Counter[str]()
    for text, label in zip(records.table.iloc[::step, 0].tolist(), given, strict=True):
        words = _plain_words(text)
        named = {name for word in set(words.split()) for name in by_first.get(word, ()) if f" {name} " in f" {words} "}
        own.update(named & {label})
        others.update(named - {label})
    rest = {name: max(1, len(given) - count) for name, count in rows.items()}
    told = [
        name
        for name, count in rows.items()
        if count >= _NAMED_ROWS and own[name] >= _IN_OWN * count and others[name] <= _IN_OTHERS * rest[name]
    ]
    if not told:
        return None
    worst = max(told, key=lambda name: rows[name])
    return Finding(
        text=f"text column {str(records.table.columns[0])!r} has the name of the given class in nearly all rows of "
        f"{len(told)} of {len(rows)} classes (such as {worst[:40]!r}: in {own[worst] / rows[worst]:.1%} of its rows, "
        f"in {others[worst] / rest[worst]:.1%} of the others): wrong labels cannot be found there, as the text repeats "
        "them, or a rule gave them by that word; take the label out of the texts",
        loud=True,
    )


def _plain_words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def conflict(train: Examples, records: Records, *, columns: Collection[str] | None = None) -> Finding | None:
    """How many rows have the inputs of another one and another label: of each such pair one label is likely wrong.

    Rows that are equal as encoded (see `overlap`) are compared with one another as they were read: cells, texts
    whatever their case and white space, numbers and pixels exactly. Images on disk are not read for this.

    Args:
        train: encoded, with labels; those below 0 are none.
        records: of the same rows, as they were read.
        columns: of a table, those that are learned from. Default: all.

    Returns:
        what was found, loud above a tenth of the rows; None where no row does, or where rows come again by chance, as
        those of few columns do: more than a hundredth of a table's, a tenth of others. Images never do.

    Example:
        >>> inputs = np.eye(200, dtype="float32")[[*range(200), 1]]
        >>> records = Records(kind="features", rows=np.arange(201), features=inputs)
        >>> conflict(Examples(inputs, [0, 1] * 100 + [0]), records).text
        '2 rows have the inputs of others and another label, such as row 1 and row 200: one of each is likely wrong'
    """
    if train.labels is None or isinstance(train.inputs, StoredInputs):
        return None
    rows = np.flatnonzero(train.labels.numpy() >= 0)
    keys, labels = _keys(train)[rows], train.labels.numpy()[rows]
    if records.table is not None and columns is not None:
        records = replace(records, table=records.table[list(columns)])
    order = np.lexsort((labels, keys))
    keys, labels, rows = keys[order], labels[order], rows[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    distinct = {TABLE: _DISTINCT_CELLS, IMAGES: 0.0}.get(records.kind, _DISTINCT)
    if not len(rows) or len(starts) < distinct * len(keys):
        return None
    ends = np.append(starts[1:], len(keys))
    differ = labels[starts] != labels[ends - 1]
    count, pairs = 0, []
    for start, end in zip(starts[differ], ends[differ], strict=True):
        for same in _alike(train, records, rows[start:end].tolist()):
            if len({int(train.labels[row]) for row in same}) > 1:
                other = next(row for row in same if train.labels[row] != train.labels[same[0]])
                pairs.append((same[0], other))
                count += len(same)
    if not pairs:
        return None
    first, second = (
        records.place_of(row) if records.ids is None else printable(records.ids[row]) for row in min(pairs)
    )
    return Finding(
        text=f"{count} rows have the inputs of others and another label, such as {first} and {second}: one of each is "
        "likely wrong",
        loud=count > _SHARE * len(rows),
    )


def copies(train: Examples, records: Records, *, columns: Collection[str] | None = None) -> Finding | None:
    """How many rows are copies of others, label included: what judges one of them has seen the other.

    Args:
        train: encoded, with labels; those below 0 are none. Rows are equal as in `overlap`.
        records: of the same rows, as they were read.
        columns: of a table, those that are learned from. Default: all.

    Returns:
        what was found, loud from a fifth of the rows on; None below a twentieth, where the values of a table are so few
        that rows are equal by chance, and of images on disk, which are not read for this.

    Example:
        >>> inputs = np.random.default_rng(0).normal(size=(200, 3))[[*range(200), *range(0, 200, 4)]]
        >>> records = Records(kind="features", rows=np.arange(250), features=inputs)
        >>> copies(Examples(inputs, [0] * 250), records).text
        '50 of 250 rows (20.0%) are copies of other rows, label and all: ...'
    """
    if train.labels is None or isinstance(train.inputs, StoredInputs):
        return None
    rows = np.flatnonzero(train.labels.numpy() >= 0)
    if records.table is not None and records.kind == TEXT:
        texts = [_words(str(text)) for text in records.table.iloc[rows, 0].tolist()]
        rows, keys = rows[np.array([bool(text) for text in texts], dtype=bool)], [text for text in texts if text]
    else:
        keys = _keys(train)[rows]
    again = pd.DataFrame({"key": keys, "label": train.labels.numpy()[rows]}).duplicated().to_numpy()
    count, share = int(again.sum()), float(again.mean()) if len(rows) else 0.0
    if share < _COPIES or _equal_by_chance(records, columns) > _BY_CHANCE:
        return None
    return Finding(
        text=(
            f"{count} of {len(rows)} rows ({share:.1%}) are copies of other rows, label and all: no network judges a "
            "row without having seen it or its copies, so that labels wrong in all of them look right, and too few are "
            "found. If files were put together twice, or rows repeated to balance classes, leave the copies out"
        ),
        loud=share >= _MANY_COPIES,
    )


def _words(text: str) -> str:
    """A text, whatever its case and white space."""
    return " ".join(text.casefold().split())


def _equal_by_chance(records: Records, columns: Collection[str] | None) -> float:
    """The share of rows that would have an equal one if columns were independent; 0 of images and texts."""
    if records.table is not None and records.kind != TEXT:
        each = (records.table[name] for name in (records.table.columns if columns is None else columns))
    elif isinstance(records.features, np.ndarray) and records.features.ndim == 2:
        each = (pd.Series(column) for column in records.features.T)
    else:
        return 0.0
    expected = float(len(records))
    for column in each:
        shares = column.value_counts(normalize=True, dropna=False).to_numpy()
        expected *= float((shares**2).sum())
        if expected < _BY_CHANCE:  # more columns make it less likely yet
            break
    return expected


def _alike(train: Examples, records: Records, rows: list[int]) -> list[list[int]]:
    """Groups of two rows or more, in their order, that were the same when they were read; empty ones are none."""
    groups: dict[Any, list[int]] = {}
    for row in sorted(rows):
        groups.setdefault(_as_read(train, records, row), []).append(row)
    return [same for key, same in groups.items() if key is not None and len(same) > 1]


def _as_read(train: Examples, records: Records, row: int) -> Any:
    """What a row says, so that it can be compared; None where it says nothing."""
    if records.table is not None:
        cells = ["" if pd.isna(cell) else str(cell) for cell in records.table.iloc[row].tolist()]
        cells = list(map(_words, cells)) if records.kind == TEXT else cells
        return tuple(cells) if any(cells) else None
    if records.features is not None:
        return np.asarray(records.features[row]).tobytes()
    return train.fetch(torch.tensor([row])).numpy().tobytes()


def _said(again: NDArray[np.bool_], *, distinct: float) -> Finding | None:
    """What is said of the test rows that come again, where that share of the training rows is distinct."""
    if not again.any():
        return None
    share = float(again.mean())
    text = (
        f"{int(again.sum())} of {len(again)} rows of the test data ({share:.1%}) stand in the training data too: they "
        "say nothing about new data"
    )
    return Finding(text=text, loud=share > _SHARE and distinct >= _DISTINCT)


def _affordable(train: Examples, test: Examples) -> bool:
    stored = sum(len(part) for part in (train, test) if isinstance(part.inputs, StoredInputs))
    return stored <= _MOST_STORED


def _keys(examples: Examples) -> NDArray[np.uint64]:
    """A hash of each row; rows whose values are equal to four decimals have the same."""
    inputs = examples.inputs
    width = int(np.prod(inputs.shape[1:]))
    weights = np.random.default_rng(0).integers(1, 2**63, size=width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    if not isinstance(inputs, torch.Tensor | StoredInputs):
        whole = sparse.csr_array(inputs)
        counts = sparse.csr_array((_whole(whole.data), whole.indices, whole.indptr), shape=whole.shape)
        return np.asarray(counts @ weights, dtype=np.uint64)
    step = max(1, _AT_ONCE // max(1, width))
    keys = []
    for start in range(0, len(examples), step):
        rows = examples.fetch(torch.arange(start, min(start + step, len(examples)))).numpy()
        keys.append((_whole(rows.reshape(len(rows), -1)) * weights).sum(axis=1, dtype=np.uint64))
    return np.concatenate(keys) if keys else np.empty(0, dtype=np.uint64)


def _whole(values: NDArray) -> NDArray[np.uint64]:
    if values.dtype == np.uint8:
        return values.astype(np.uint64)
    return np.rint(values.astype(np.float64) * _DIGITS).clip(-(2.0**62), 2.0**62).astype(np.int64).view(np.uint64)
