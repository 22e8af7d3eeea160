"""Rows that come again: in the test data, where they say nothing about new ones, or under another label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from elr.data.examples import Examples, StoredInputs
from elr.data.records import Finding, Records
from elr.names import printable

_SHARE = 0.1  # of the test rows from which on it is loud
_DISTINCT = 0.9  # of the training rows: where fewer are, rows come again by chance
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
    known = {" ".join(text.casefold().split()) for text in train} - {""}
    again = np.array([" ".join(text.casefold().split()) in known for text in test], dtype=bool)
    return _said(again, distinct=len(known) / max(1, len(train)))


def conflict(train: Examples, records: Records) -> Finding | None:
    """How many rows are the same, or nearly, as another one that has another label: one of the two is wrong.

    Compared as in `overlap`. Images on disk are not read for this, and rows without any value or word do not count.

    Args:
        train: encoded, with labels.
        records: of the same rows, for their names.

    Returns:
        what was found; None where no row does, or where rows come again by chance, as those of few columns do.

    Example:
        >>> inputs = np.eye(20, dtype="float32")[[*range(20), 1]]
        >>> records = Records(kind="features", rows=np.arange(21), features=inputs)
        >>> conflict(Examples(inputs, [0, 1] * 10 + [0]), records).text
        '2 rows are the same as others with another label, such as row 1 and row 20: one of each is wrong'
    """
    if train.labels is None or isinstance(train.inputs, StoredInputs) or len(train) < 2:
        return None
    keys, labels = _keys(train), train.labels.numpy()
    order = np.lexsort((labels, keys))
    keys, labels = keys[order], labels[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    if len(starts) < _DISTINCT * len(keys):
        return None
    counts = np.diff(np.append(starts, len(keys)))
    differ = (labels[starts] != labels[starts + counts - 1]) & (keys[starts] != 0)
    if not differ.any():
        return None
    pairs = np.sort(order[np.stack([starts[differ], (starts + counts - 1)[differ]])], axis=0)
    pair = pairs[:, pairs[0].argmin()].tolist()
    first, second = (records.place_of(row) if records.ids is None else printable(records.ids[row]) for row in pair)
    return Finding(
        text=f"{int(counts[differ].sum())} rows are the same as others with another label, such as {first} and "
        f"{second}: one of each is wrong"
    )


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
