"""Labels of data as they lie: columns of a table, arrays; given to the records that they belong to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types
from scipy import sparse

from elr.data.formats.features import as_array, native_frame, one_each
from elr.data.labels.columns import SPELLINGS, LabelColumn, LabelRules, read_labels, row_names, some
from elr.data.labels.lookalikes import lookalikes
from elr.data.labels.spelling import Label
from elr.data.labels.value_types import LABEL_TYPE
from elr.errors import DataError

if TYPE_CHECKING:
    from elr.data.records import ReadOptions, Records


def label_rules(options: ReadOptions) -> LabelRules:
    """What the user said about labels.

    Example:
        >>> from elr.data.records import ReadOptions
        >>> label_rules(ReadOptions(no_label=("-1",))).says_missing(-1)
        True
    """
    return LabelRules(classes=options.classes, no_label=options.no_label)


def label_columns(
    frame: pd.DataFrame, options: ReadOptions, *, name: str
) -> tuple[LabelColumn | None, LabelColumn | None, list[str] | None]:
    """Given labels, clean labels and names of rows, from their columns; None where there is no such column.

    Args:
        frame: the table.
        options: which columns those are.
        name: how messages name the table.

    Example:
        >>> frame = pd.DataFrame({"file": ["1.png", "2.png"], "y": ["3", "4.0"]})
        >>> from elr.data.records import ReadOptions
        >>> given, clean, ids = label_columns(frame, ReadOptions(label="y", id="file"), name="t.csv")
        >>> given.values, clean, ids
        ([3, 4], None, ['1.png', '2.png'])
    """

    def found(column: str | None, role: str) -> LabelColumn | None:
        if column is None or column not in frame.columns:
            return None
        rules = label_rules(options) if column == options.label else LabelRules(classes=options.classes)
        return read_labels(frame[column], name=f"{role} {column!r} of {name}", rules=rules)

    ids = row_names(frame[options.id]) if options.id in frame.columns else None
    return found(options.label, "label column"), found(options.clean_label, "clean-label column"), ids


def labeled(
    records: Records, given: LabelColumn | None, clean: LabelColumn | None = None, *, training: bool
) -> Records:
    """Records with their labels, and what is to be said of these.

    Args:
        records: of all rows.
        given: their labels, if there are any.
        clean: those known to be right, if there are any.
        training: whether each row must have one.

    Raises:
        DataError: labels that are missing in some rows, or -1 of which it is not known what it says.

    Example:
        >>> from elr.data.records import Records
        >>> records = Records(kind="features", rows=np.arange(2), features=np.eye(2, dtype="float32"))
        >>> labeled(records, read_labels(pd.Series(["1", "?"]), name="y"), training=False).labels
        [1, None]
    """
    remarks, facts = [*records.remarks], {**records.facts}
    if training:
        if given is not None:
            remarks += given.checked()
            facts |= {SPELLINGS: given.several} if given.several else {}
            facts |= {LABEL_TYPE: given.value_type} if given.value_type else {}
        if clean is not None:
            clean.refuse_missing()
            remarks += clean.remarks
    return replace(
        records,
        labels=_values(given, training=training),
        clean_labels=_values(clean, training=training),
        remarks=remarks,
        facts=facts,
    )


def _values(found: LabelColumn | None, *, training: bool) -> list[Label | None] | None:
    """The labels of a column; None where new data have nothing in it."""
    if found is None or (not training and all(value is None for value in found.values)):
        return None
    return found.values


def check_ids(ids: list[str], *, name: str) -> None:
    """Refuse names that stand for several rows.

    Raises:
        DataError: such names.

    Example:
        >>> check_ids(["a", "b", "a"], name="column 'file'")
        Traceback (most recent call last):
        elr.errors.DataError: column 'file' has 1 names that stand in several rows ('a'): expected another ...
    """
    repeated = [each for each, count in Counter(ids).items() if count > 1 and each]
    if repeated:
        raise DataError(
            f"{name} has {len(repeated)} names that stand in several rows ({some(repeated)}): expected another for "
            "each row; make them unique, or leave --id out and go by the numbers of the rows"
        )


def label_series(labels: Any, count: int, *, name: str) -> pd.Series:
    """Labels as a person passes them, each of its own type, missing where they are masked.

    Args:
        labels: list, array, masked array, series, categorical, or a column (count, 1) of such.
        count: of rows.
        name: how messages name them.

    Raises:
        DataError: another number of them, or nothing that is an array.

    Example:
        >>> label_series([True, 1, "x"], 3, name="y").tolist()
        [True, 1, 'x']
        >>> label_series(np.ma.array([3, 4], mask=[False, True]), 2, name="y").tolist()
        [3, None]
    """
    if isinstance(labels, pd.DataFrame) and labels.shape[1] == 1:
        labels = labels.iloc[:, 0]
    if isinstance(labels, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        column = native_frame(pd.Series(labels).to_frame()).iloc[:, 0].reset_index(drop=True)
        if len(column) != count:
            raise DataError(f"{name} has {len(column)} values for {count} rows: expected one value for each row")
        return column
    if isinstance(labels, np.ma.MaskedArray):
        values = np.ma.getdata(labels).astype(object)
        values[np.ma.getmaskarray(labels)] = None
    elif isinstance(labels, list | tuple) and not any(_is_sequence(value) for value in labels):
        values = np.empty(len(labels), dtype=object)
        values[:] = labels
    else:
        values = as_array(labels, name)
    return pd.Series(one_each(values, count, name=name))


def _is_sequence(value: object) -> bool:
    return not isinstance(value, str | bytes) and bool(np.ndim(value) or isinstance(value, list | tuple))  # type: ignore[arg-type]


def check_order(inputs: Any, labels: Any, *, names: tuple[str, str]) -> list[str]:
    """What is to be said where the index of labels is not that of inputs; labels are taken by position.

    Args:
        inputs: a data frame, or anything else, which has no index.
        labels: a series or data frame, or anything else.
        names: how messages name both.

    Raises:
        DataError: both have the same index, in another order.

    Example:
        >>> frame, series = pd.DataFrame({"x": [1, 2]}, index=[7, 8]), pd.Series([0, 1], index=[8, 7])
        >>> check_order(frame, series, names=("X", "y"))
        Traceback (most recent call last):
        elr.errors.DataError: X and y have the same index in another order, first 7 and 8: pass y.loc[X.index], or ...
    """
    if not (isinstance(inputs, pd.DataFrame | pd.Series) and isinstance(labels, pd.DataFrame | pd.Series)):
        return []
    first, second = inputs.index, labels.index
    if len(first) != len(second) or first.equals(second):
        return []
    rows, own = names
    if first.is_unique and second.is_unique and not len(first.difference(second)):
        place = next(each for each in range(len(first)) if first[each] != second[each])
        here, there = (str(index[place]) for index in (first, second))
        raise DataError(
            f"{rows} and {own} have the same index in another order, first {here} and {there}: "
            f"pass {own}.loc[{rows}.index], or reset_index(drop=True) of both if they belong together by position"
        )
    return [
        f"{rows} and {own} have different indexes (first {first[0]} and {second[0]}): labels were taken by "
        "position; make sure that row and label belong together"
    ]


def flat_labels(labels: Any) -> Any:
    """Labels (N,) also where they come as one column (N, 1): an array, or a data frame of pandas, polars or Arrow.

    Example:
        >>> flat_labels(pd.DataFrame({"y": ["a", "b"]})).tolist(), flat_labels(np.array([[3], [4]])).tolist()
        (['a', 'b'], [3, 4])
        >>> flat_labels(["a", "b"])
        ['a', 'b']
    """
    if not isinstance(labels, pd.DataFrame) and hasattr(labels, "to_pandas") and len(getattr(labels, "shape", ())) == 2:
        labels = labels.to_pandas()
    if isinstance(labels, pd.DataFrame):
        return labels.iloc[:, 0] if labels.shape[1] == 1 else labels
    try:
        shape = np.shape(labels) if isinstance(labels, list | tuple) else getattr(labels, "shape", ())
    except ValueError:  # lists of several lengths, which are refused later
        return labels
    if len(shape) != 2 or shape[1] != 1 or sparse.issparse(labels):
        return labels
    return (np.asarray(labels) if isinstance(labels, list | tuple) else labels)[:, 0]


def row_index(data: Any, rows: NDArray[np.int64]) -> pd.Index | None:
    """The index of some rows of data in memory, by which pandas finds them again; None where they are merely counted.

    Args:
        data: a data frame of pandas, or a pair (inputs, labels) of which one may have an index, that of the inputs
            first; anything else has none.
        rows: positions in the data.

    Example:
        >>> frame = pd.DataFrame({"x": [1, 2, 3]}, index=["a", "b", "c"])
        >>> row_index(frame, np.array([2, 0])).tolist(), row_index(frame.reset_index(), np.array([0, 1])) is None
        (['c', 'a'], True)
    """
    parts = data if isinstance(data, tuple) else (data,)
    index = next((part.index for part in parts if isinstance(part, pd.DataFrame | pd.Series)), None)
    if index is None:
        return None
    index = index.take(rows)
    counted = types.is_integer_dtype(index.dtype)
    return None if counted and np.array_equal(index, np.arange(len(rows))) else index


def plain_labels(inputs: Any, labels: Any, *, training: bool = True) -> tuple[Any, list[str]]:
    """Labels as an estimator takes them, and what is to be said of them.

    Labels of one type stay the values that they are; of several types, and text in several spellings, become one name
    for each class.

    Args:
        inputs: what they belong to.
        labels: list, array or series, also as one column.
        training: whether they are to be learned from, and are checked as those of files are.

    Raises:
        DataError: masked labels, text that says that a label is missing, -1 beside so many classes that it hardly is
            one, or an index in another order than that of the inputs.

    Example:
        >>> plain_labels(None, [1, "1", True, "x", "x"], training=False)[0].tolist(), plain_labels(None, [1, 0] * 2)[0]
        (['1', '1', '1', 'x', 'x'], [1, 0, 1, 0])
        >>> plain_labels(None, ["Cat", "cat", "dog"] * 2)[1][0][:59]
        "classes 'Cat', 'cat' look like one in several spellings, an"
    """
    remarks = check_order(inputs, labels, names=("X", "y"))
    labels = flat_labels(labels)
    dtype: Any = getattr(labels, "dtype", None)
    kind = getattr(dtype, "kind", "O")
    if kind == "S":
        labels = np.char.decode(np.asarray(labels), "utf-8", "backslashreplace")
    nullable = isinstance(dtype, pd.api.extensions.ExtensionDtype)
    masked = isinstance(labels, np.ma.MaskedArray) and bool(np.ma.getmaskarray(labels).any())
    if labels is None or not hasattr(labels, "__len__") or np.ndim(labels) != 1 or not len(labels):
        return labels, remarks
    if nullable and kind in "iufb" and not pd.isna(labels).any():
        labels, nullable = pd.Series(labels).to_numpy(dtype=dtype.type), False
    column = label_series(labels, len(labels), name="y")
    column = pd.Series(np.asarray(column)) if isinstance(column.dtype, pd.CategoricalDtype) else column
    inferred = types.infer_dtype(column, skipna=True)
    read = masked or nullable or (kind not in "iufcb" and inferred in ("string", "mixed", "mixed-integer"))
    if not read and (not training or column.isna().any()):  # which scikit-learn refuses
        return labels, remarks
    found = read_labels(column, name="y", rules=LabelRules(can_say=False))
    if len(found.empty) and read:
        words = ", ".join(repr(mark) for mark in found.marks if mark)
        raise DataError(
            f"y is missing in row {found.empty[0]}, one of {len(found.empty)} such rows{f' ({words})' * bool(words)}: "
            "remove such rows, or label them; give a class of such a name another one"
        )
    if training:
        remarks = [*remarks, *found.checked(), *_said_of_classes(found.values)]
    if not read or (inferred == "string" and not found.several):
        return labels, remarks
    return np.array([str(value) for value in found.values] if inferred == "string" else found.values), remarks


def _said_of_classes(values: list[Label | None]) -> list[str]:
    """What is to be said of classes that look like one, and of those with one example."""
    counts = Counter(value for value in values if value is not None)
    single = [str(name) for name, count in counts.items() if count == 1]
    said = lookalikes(sorted(counts, key=str))
    if single:
        shown = ", ".join(map(repr, single[:5])) + (", ..." if len(single) > 5 else "")
        said.append(
            f"y has {len(single)} of {len(counts)} classes with one example only ({shown}): nothing can be said about "
            "such a label; merge or remove these rows"
        )
    return said
