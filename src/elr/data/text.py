"""Text: checking a column of it, and turning it into numbers without a network connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from elr.errors import DataError, RowError

MAX_TERMS = 20_000  # the most frequent
DIMENSIONS = 300
MOST_TEXTS = 100_000
"""Texts to train on, above which no features but the dimensions are kept."""
_MANY = 1000  # texts, from which on words that only one of them has are left out
_WORD = re.compile(r"(?u)\b\w\w+\b")  # scikit-learn's
_LOOKED_AT = 1000


def text_values(column: pd.Series, *, name: str) -> tuple[list[str], list[str]]:
    """The texts of a column, empty ones for missing cells, and remarks about those.

    Args:
        column: as read.
        name: how messages name it.

    Raises:
        DataError: something else than text, or no text at all.

    Example:
        >>> text_values(pd.Series(["a b", None]), name="column 'q'")
        (['a b', ''], ["column 'q' is empty in 1 of 2 rows: their labels are not judged"])
    """
    missing = column.isna().to_numpy(dtype=bool)
    strange = [
        row for row, value in enumerate(column.tolist()) if not missing[row] and not isinstance(value, str | bytes)
    ]
    if strange and not isinstance(column.dtype, pd.CategoricalDtype):
        value = column.iloc[strange[0]]
        raise RowError(
            f"{name} has {value!r}, a {type(value).__name__}, in ",
            strange[:1],
            f" (one of {len(strange)} such rows): expected text; columns of numbers need no --text",
        )
    texts = [
        "" if gone else value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value, gone in zip(column.tolist(), missing, strict=True)
    ]
    empty = sum(not text.strip() for text in texts)
    if empty == len(texts):
        raise DataError(f"{name} is empty in every row: expected text to learn from")
    remark = f"{name} is empty in {empty} of {len(texts)} rows: their labels are not judged"
    return texts, [remark] if empty else []


def fit_text(texts: Sequence[str], *, name: str) -> Pipeline:
    """What turns texts into `DIMENSIONS` numbers, fitted: latent semantic analysis of the words.

    TF-IDF of words and pairs of words (of runs of 1 to 3 characters, where a text has fewer than two words on
    average, as in languages without spaces, codes and names), brought to few dimensions by a truncated singular
    value decomposition, centered, of mean variance 1.

    Args:
        texts: M of them.
        name: how messages name them.

    Raises:
        DataError: texts without any word or letter.

    Example:
        >>> fitted = fit_text(["a red mug", "a blue mug", "a red hat"], name="titles")
        >>> fitted.transform(["a red coat"]).shape
        (1, 2)

    Source: Deerwester et al., "Indexing by latent semantic analysis", 1990; sublinear term frequencies after Manning et
    al., "Introduction to Information Retrieval", 2008, section 6.4.1. How it was chosen: docs/benchmarks/defaults.md.
    """
    words = np.mean([len(_WORD.findall(text)) for text in texts[:_LOOKED_AT]])
    by_word: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2)}
    by_character: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 3)}
    frequencies = TfidfVectorizer(
        **(by_word if words >= 2 else by_character),
        min_df=2 if len(texts) >= _MANY else 1,
        sublinear_tf=True,
        strip_accents="unicode",
        max_features=MAX_TERMS,
        dtype=np.float32,
    )
    try:
        counted = frequencies.fit_transform(texts)
    except ValueError as error:  # an empty vocabulary
        raise DataError(f"{name} has no words to learn from ({error}): expected text") from error
    if min(counted.shape) < 2 or not (counted.max(axis=0) != counted.min(axis=0)).nnz:
        raise DataError(f"{name} has one word or one text only, again and again: expected texts that differ")
    shorten = TruncatedSVD(min(DIMENSIONS, min(counted.shape) - 1), random_state=0).set_output(transform="default")
    scale = one_scale(shorten.fit_transform(counted))  # the last dimensions are noise
    return Pipeline([("terms", frequencies), ("dimensions", shorten), ("scale", scale)])


def blocks_of(fitted: Pipeline) -> dict[str, tuple[int, int]]:
    """Which columns of `text_blocks` hold what, as [start, stop).

    Example:
        >>> blocks_of(fit_text(["a red mug", "a blue mug", "a red hat"], name="titles"))
        {'terms': (0, 7), 'dense': (7, 9)}
    """
    terms = len(fitted["terms"].vocabulary_)
    return {"terms": (0, terms), "dense": (terms, terms + fitted["dimensions"].n_components)}


def without_known_words(fitted: Pipeline, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts have none of the words, or runs of characters, that are learned from.

    Example:
        >>> fitted = fit_text(["a red mug", "a blue mug", "a red hat"], name="titles")
        >>> without_known_words(fitted, ["a red coat", "ein Becher", ""]).tolist()
        [False, True, True]
    """
    return np.diff(sparse.csr_array(fitted["terms"].transform(texts)).indptr) == 0


def text_blocks(fitted: Pipeline, texts: Sequence[str]) -> sparse.csr_array:
    """All features of texts side by side: TF-IDF of every term, then the dimensions made of them.

    Stores 8 bytes for each term that a text has and for each dimension: 2.4 kB for 300 dimensions.

    Args:
        fitted: by `fit_text`.
        texts: M of them.

    Returns:
        (M, T + D) float32, of T terms and D dimensions; the dimensions are those of `fitted.transform`.

    Example:
        >>> fitted = fit_text(["a red mug", "a blue mug", "a red hat"], name="titles")
        >>> features = text_blocks(fitted, ["a red coat"])
        >>> features.shape, features[:, :7].toarray().tolist()
        ((1, 9), [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    """
    terms = fitted["terms"].transform(texts)
    dense = np.asarray(fitted["scale"].transform(fitted["dimensions"].transform(terms)), dtype=np.float32)
    count, width = dense.shape
    columns = np.tile(np.arange(width, dtype=np.int32), count)
    starts = np.arange(count + 1, dtype=np.int32 if dense.size < 2**31 else np.int64) * width
    block = sparse.csr_array((dense.ravel(), columns, starts), shape=dense.shape)
    return sparse.hstack([sparse.csr_array(terms), block], format="csr", dtype=np.float32)


def one_scale(features: NDArray[np.floating], *, at_once: int | None = None) -> StandardScaler:
    """Centers each feature and divides all of them by one number, so that their mean variance is 1.

    For features of one kind, of which the small ones say little: scales of their own would blow these up.

    Args:
        features: (N, D).
        at_once: rows that are looked at together. Default: all.

    Example:
        >>> one_scale(np.array([[0.0, 0.0], [2.0, 0.2]])).scale_.round(3).tolist()
        [0.711, 0.711]
    """
    scale, step = StandardScaler(), at_once or len(features)
    scale.set_output(transform="default")  # arrays, whatever `sklearn.set_config(transform_output=...)` says
    for start in range(0, len(features), step):
        scale.partial_fit(features[start : start + step])
    scale.scale_ = np.full_like(scale.scale_, max(float(np.sqrt(np.mean(scale.var_))), 1e-12))
    return scale
