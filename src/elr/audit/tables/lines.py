"""The lines of an audit as columns, which issues.csv and `Audit.to_frame` have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


class Judged(Protocol):
    """What lines are made of: an `elr.audit.label_quality.Audit`.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> found: Judged = audit_labels([0, 1], [[0.9, 0.1], [0.6, 0.4]])
        >>> found.is_label_issue.tolist()
        [False, True]
    """

    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def predicted_labels(self) -> NDArray[np.int64]: ...
    @property
    def label_quality(self) -> NDArray[np.float64]: ...
    @property
    def is_label_issue(self) -> NDArray[np.bool_]: ...
    @property
    def class_names(self) -> Sequence[Any] | None: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def noise_rate(self) -> float: ...


def lines(
    audit: Judged,
    order: NDArray[np.int64],
    precision: NDArray[np.float64],
    *,
    class_names: Sequence[Any] | None,
) -> dict[str, NDArray]:
    """The columns of such a table, of the rows in `order`.

    Args:
        audit: what was found.
        order: (M,) rows.
        precision: (M,) expected precision of these lines.
        class_names: the C classes; None: their numbers.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> audit = audit_labels([0, 1], [[0.9, 0.1], [0.6, 0.4]])
        >>> found = lines(audit, np.array([1]), np.array([0.6]), class_names=["cat", "dog"])
        >>> found["given_label"].tolist(), found["predicted_label"].tolist()
        (['dog'], ['cat'])
    """
    return {
        "given_label": named(audit.labels[order], class_names),
        "predicted_label": named(audit.predicted_labels[order], class_names),
        "label_quality": audit.label_quality[order],
        "is_label_issue": audit.is_label_issue[order],
        "expected_precision": precision,
    }


def named(numbers: NDArray[np.int64], class_names: Sequence[Any] | None) -> NDArray:
    """Class numbers as names, where there are names.

    Example:
        >>> named(np.array([1, 0]), ["cat", "dog"]).tolist(), named(np.array([1, 0]), None).tolist()
        (['dog', 'cat'], [1, 0])
    """
    if class_names is None:
        return numbers
    names = np.empty(len(class_names), dtype=object)
    names[:] = class_names
    return names[numbers]


def brief(audit: Judged) -> str:
    """An audit in one line, for those who print one: its arrays would fill the screen.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> print(brief(audit_labels([0, 1], [[0.9, 0.1], [0.6, 0.4]])))
        <Audit of 2 labels of 2 classes: 1 suspect, noise rate 50.0 %; the worst is row 1 (to_frame() has all of them)>
    """
    found = int(audit.is_label_issue.sum())
    rate = "not known" if np.isnan(audit.noise_rate) else f"{audit.noise_rate:.1%}".replace("%", " %")
    worst = int(audit.label_quality.argmin())
    return (
        f"<Audit of {len(audit.labels)} labels of {audit.num_classes} classes: {found} suspect, noise rate {rate}; the "
        f"worst is row {worst} (to_frame() has all of them)>"
    )


def unmixed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with class names of one type, as Parquet wants them: text where some are numbers and some text.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"given_label": ["n", 7], "predicted_label": [7, 7]})
        >>> unmixed(table)["given_label"].tolist(), unmixed(table)["predicted_label"].tolist()
        (['n', '7'], [7, 7])
    """
    mixed = [name for name in ("given_label", "predicted_label") if table[name].map(type).nunique() > 1]
    return table.astype(dict.fromkeys(mixed, str))


def without_formulas(values: Sequence[Any]) -> list[Any]:
    """Cells of a .csv for people: a text that a spreadsheet would compute gets an apostrophe before it.

    Such a text begins with =, +, -, @, a tab or a carriage return; numbers stay as they are.

    Args:
        values: the cells of a column.

    Example:
        >>> without_formulas(["=1+1", "-1", -1, "-rf.png", "cat"])
        ["'=1+1", '-1', -1, "'-rf.png", 'cat']
    """
    return [f"'{value}" if isinstance(value, str) and _computed(value) else value for value in values]


def _computed(text: str) -> bool:
    return text[:1] in _FORMULAS and bool(text) and _NUMBER.fullmatch(text) is None
