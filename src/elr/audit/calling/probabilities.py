"""The audit of labels for people who have probabilities already, with classes by name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.audit.label_quality import Audit, audit_labels
from elr.checking import checked, checked_array
from elr.data.formats.labels import row_index
from elr.data.label_coding import LabelCoding
from elr.data.labels.spelling import Label, class_key
from elr.errors import ArgumentError, DataWarning


@checked
def audit(
    labels: Any,
    pred_probs: Any,
    *,
    class_names: Sequence[Any] | None = None,
    score: str | None = None,
    margins: Any = None,
    out_of_fold: bool = False,
) -> Audit:
    """Which given labels the probabilities of a model contradict; also as `elr.audit(labels, pred_probs)`.

    As `elr.audit.label_quality.audit_labels`, and classes may have names. Set `out_of_fold=True` where the
    probabilities are of cross-validation: then they are calibrated, and the expected precision can be believed more.
    A model that has memorized the labels that it is asked about finds nothing.

    Args:
        labels: (N,) given labels: class numbers, names of classes (text, or whole numbers where the names are such), or
            a categorical of pandas.
        pred_probs: (N, C) probabilities, rows that sum to 1; an array, a tensor, or a data frame, whose columns are
            classes by name unless they are merely counted.
        class_names: (C,) what the columns of pred_probs are, in their order. Default: the columns of a data frame, or
            the categories of the labels, if these are sorted, as models sort their classes. Required where labels are
            text or categories, and there is neither.
        score: see `audit_labels`.
        margins: (N,), see there.
        out_of_fold: each row of pred_probs is from what has not seen the label of that row.

    Returns:
        Class numbers are columns of pred_probs; `Audit.class_names` and `Audit.to_frame` have the names; the table
        has the index of a series of labels, or else of a data frame of probabilities.

    Raises:
        ArgumentError: see `audit_labels`; labels that are no class, names that do not belong to the columns, categories
            in an order of their own, or rows that labels and pred_probs name in different orders.

    Example:
        >>> found = audit(["cat", "cat", "dog"], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], class_names=["cat", "dog"])
        >>> found.to_frame()[["row", "given_label", "predicted_label"]].head(1)
           row given_label predicted_label
        0    1         cat             dog
    """
    names = None if class_names is None else _plain_names(class_names)
    _check_order(labels, pred_probs)
    probs, columns = _columns(pred_probs)
    if columns is not None and names is not None:
        probs = _in_order(probs, columns, names)
    names = names if names is not None else columns
    if names is None and isinstance(getattr(labels, "dtype", None), pd.CategoricalDtype):
        names = _plain_names(labels.dtype.categories)
        _check_sorted(names)
    shape = checked_array(probs, "pred_probs", "biuf").shape
    if names is not None and len(shape) == 2 and len(names) != shape[1]:
        raise ArgumentError(
            f"pred_probs have {shape[1]} columns, and there are {len(names)} classes ({_some(names)}): expected a "
            "column for each; name the columns by class_names"
        )
    numbers = _numbers(labels, names)
    found = audit_labels(numbers, probs, score=score, margins=margins, out_of_fold=out_of_fold)
    index = row_index((labels, pred_probs), np.arange(len(found.labels)))
    return replace(found, class_names=names, index=index)


def _check_order(labels: Any, pred_probs: Any) -> None:
    """Refuse a series and a data frame that name the same rows in another order: which row is whose is a guess.

    Where they have some rows in common, only, and one of them merely counts its rows, it is said: y_train of a split
    beside a new data frame is so, and rows in the same order.
    """
    if not isinstance(labels, pd.Series) or not isinstance(pred_probs, pd.DataFrame):
        return
    ours, theirs = labels.index, pred_probs.index
    if len(ours) != len(theirs) or ours.equals(theirs):
        return
    ways = (
        "pass pred_probs.loc[labels.index] if the index says which rows belong together, or labels.to_numpy() if their "
        "order does"
    )
    if ours.sort_values().equals(theirs.sort_values()):
        raise ArgumentError(f"labels and pred_probs have the same index in another order: {ways}")
    shared = len(ours.unique().intersection(theirs.unique()))
    if not shared:
        return
    text = f"labels and pred_probs have indexes that are partly the same ({shared} values of {len(ours)} rows)"
    if not any(each.equals(pd.RangeIndex(len(ours))) for each in (ours, theirs)):
        raise ArgumentError(f"{text}: {ways}")
    text = f"{text}: rows were taken by their order; labels.to_numpy() says that they belong together so"
    warnings.warn(text, DataWarning, stacklevel=5)


def _check_sorted(names: tuple[Label, ...]) -> None:
    """Refuse categories in an order of their own, where nothing says that the columns of pred_probs have it as well."""
    try:
        usual = sorted(names)  # type: ignore[type-var]
    except TypeError:  # numbers beside text
        usual = sorted(names, key=str)
    if list(names) != usual:
        raise ArgumentError(
            f"labels are a categorical with the categories {_some(names)}, and models have the columns of their "
            f"probabilities sorted: {_some(usual)}. Which of the two orders pred_probs have is not known: pass "
            "class_names=model.classes_, or class_names=labels.cat.categories if the columns are in the order of the "
            "categories"
        )


def _columns(pred_probs: Any) -> tuple[Any, tuple[Label, ...] | None]:
    """The probabilities as an array, and the classes of the columns where these have names."""
    if isinstance(pred_probs, pd.DataFrame):
        counted = list(pred_probs.columns) == list(range(pred_probs.shape[1]))
        own = any(isinstance(kind, pd.api.extensions.ExtensionDtype) for kind in pred_probs.dtypes)
        numbers = own and all(map(pd.api.types.is_numeric_dtype, pred_probs.dtypes))  # Arrow's and nullable ones
        probs = pred_probs.to_numpy(dtype=np.float64, na_value=np.nan) if numbers else pred_probs.to_numpy()
        return probs, None if counted else _plain_names(pred_probs.columns)
    frame = getattr(pred_probs, "to_pandas", None)  # of polars, of Arrow
    if callable(frame):
        return _columns(frame())
    return _plain(pred_probs), None


def _in_order(probs: Any, columns: tuple[Label, ...], names: tuple[Label, ...]) -> Any:
    places = LabelCoding(class_names=columns).numbers(names)
    if sorted(places.tolist()) != list(range(len(columns))):
        raise ArgumentError(
            f"pred_probs have the columns {_some(columns)}, class_names are {_some(names)}: expected the same classes; "
            "leave class_names out, or pass an array"
        )
    return probs[:, places]


def _numbers(labels: Any, names: tuple[Label, ...] | None) -> Any:
    """Labels as class numbers, where they are not such already."""
    labels = _plain(labels)
    if isinstance(labels, np.ma.MaskedArray):
        checked_array(labels, "labels", "biufOUS")  # which refuses masked ones
    try:
        values = np.asarray(labels)
    except (TypeError, ValueError, RuntimeError):
        return labels  # refused by `audit_labels`
    if values.ndim != 1 or not len(values):
        return values
    if names is None:
        if values.dtype.kind in "OUS":
            raise ArgumentError(
                f"labels are names, such as {values.tolist()[0]!r}: say by class_names which column of pred_probs each "
                "class is"
            )
        return values
    keys = [class_key(name) for name in names]
    whole = all(re.fullmatch(r"-?[0-9]+", key) for key in keys)
    if values.dtype.kind in "iu" and not whole:
        return values  # class numbers, for no class is called by a number
    found: NDArray[np.int64] = LabelCoding(class_names=names).numbers(
        [None if pd.isna(value) else value for value in values.tolist()]
    )
    if (found < 0).any():
        row = int((found < 0).argmax())
        raise ArgumentError(
            f"label {values.tolist()[row]!r} of row {row} is no class ({int((found < 0).sum())} such labels): expected "
            f"one of {_some(names)}"
        )
    return found


def _plain(values: Any) -> Any:
    """A tensor, on any device, as an array; all else as it is."""
    if not hasattr(values, "detach"):
        return values
    values = values.detach().cpu()
    return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()  # NumPy has no bfloat16


def _plain_names(values: Any) -> tuple[Label, ...]:
    names = tuple(value.item() if isinstance(value, np.generic) else value for value in values)
    wrong = [name for name in names if not isinstance(name, str | int | float)]
    if wrong:
        raise ArgumentError(f"class_names have {wrong[0]!r:.80}: expected text or whole numbers")
    if len({class_key(name) for name in names}) < len(names):
        raise ArgumentError(f"class_names are {_some(names)}: expected classes that differ")
    return names  # type: ignore[return-value]


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name)[:40] for name in names[:10])
    return shown + (", ..." if len(names) > 10 else "")
