"""Labels from several annotators: read from columns or from a table of their own, counted; each annotator judged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from elr.data.labels.columns import NO_VOTE, LabelColumn, LabelRules, is_negative, read_labels, row_names, some
from elr.data.labels.spelling import Label, class_key
from elr.errors import DataError, RowError

if TYPE_CHECKING:  # they count labels, and make no classes
    from elr.data.label_coding import LabelCoding

_SHOWN = 5
_WHOLE = re.compile(r"(\d+)\.0+")  # as numbers beside a missing one are written


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """K labels that annotators gave to N rows, some of which have several.

    Args:
        num_rows: N.
        names: of the annotators.
        rows: (K,) int64, position of the row of each label.
        annotators: (K,) int64, who gave it, a position in `names`.
        labels: the K labels.
        remarks: what the user should know about them.
        spellings: class name -> its spellings and how often each occurs, where there are several.

    Example:
        >>> frame = pd.DataFrame({"ann": ["cat", "dog"], "bob": ["cat", None]})
        >>> found = from_columns(frame, ["ann", "bob"], name="it")
        >>> found.rows.tolist(), found.labels
        ([0, 1, 0], ['cat', 'dog', 'cat'])
    """

    num_rows: int
    names: tuple[str, ...]
    rows: NDArray[np.int64]
    annotators: NDArray[np.int64]
    labels: list[Label]
    remarks: tuple[str, ...] = ()
    spellings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def majority(self) -> tuple[list[Label | None], int]:
        """The label that most annotators gave to each row (None where nobody gave one), and how many rows had a tie.

        A tie goes to the label that is more frequent in all of the data.
        """
        everywhere = Counter(self.labels)
        counts: list[Counter[Label]] = [Counter() for _ in range(self.num_rows)]
        for row, label in zip(self.rows.tolist(), self.labels, strict=True):
            counts[row][label] += 1
        chosen: list[Label | None] = []
        ties = 0
        for votes in counts:
            if not votes:
                chosen.append(None)
                continue
            most = max(votes.values())
            best = [label for label, count in votes.items() if count == most]
            ties += len(best) > 1
            chosen.append(max(best, key=lambda label: (everywhere[label], str(label))))
        return chosen, ties

    def shares(self, coding: LabelCoding) -> NDArray[np.float32]:
        """(N, C) share of the annotators of a row who gave each class; rows sum to 1."""
        votes = np.zeros((self.num_rows, len(coding.class_names)), dtype=np.float32)
        try:
            numbers = coding.encode(self.labels, column="the annotations")
        except RowError as error:
            raise error.at(self.rows.tolist()) from None
        np.add.at(votes, (self.rows, numbers), 1.0)
        return votes / votes.sum(axis=1, keepdims=True)

    def take(self, positions: NDArray[np.int64]) -> Annotations:
        """Those of some rows, by position, in that order."""
        place = np.full(self.num_rows, -1, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        kept = np.flatnonzero(place[self.rows] >= 0)
        return replace(
            self,
            num_rows=len(positions),
            rows=place[self.rows[kept]],
            annotators=self.annotators[kept],
            labels=[self.labels[position] for position in kept],
        )

    def judged(self, predicted: Sequence[Label]) -> pd.DataFrame:
        """One line per annotator, the most often contradicted first: annotator, num_labels, error_rate.

        Args:
            predicted: N labels that the evidence favors.

        Returns:
            error_rate is the share of an annotator's labels that differ from those; NaN for one who gave none.
        """
        wrong = np.array(
            [label != predicted[row] for row, label in zip(self.rows, self.labels, strict=True)], dtype=np.float64
        )
        given = np.bincount(self.annotators, minlength=len(self.names))
        errors = np.bincount(self.annotators, weights=wrong, minlength=len(self.names))
        rates = np.divide(errors, given, out=np.full(len(given), np.nan), where=given > 0)
        table = pd.DataFrame({"annotator": self.names, "num_labels": given, "error_rate": rates.round(4)})
        return table.sort_values("error_rate", ascending=False, kind="stable", ignore_index=True)


def from_columns(
    frame: pd.DataFrame, columns: Sequence[str], *, name: str, rules: LabelRules | None = None
) -> Annotations:
    """A column for each annotator, empty where they gave no label.

    Args:
        frame: the data.
        columns: of annotators.
        name: how messages name the data.
        rules: what the user said about labels.

    Raises:
        DataError: a row without any label, or cells that are no labels.

    Example:
        >>> frame = pd.DataFrame({"ann": ["cat", "dog"], "bob": ["dog", None], "eve": ["cat", "dog"]})
        >>> from_columns(frame, ["ann", "bob", "eve"], name="it").majority()
        (['cat', 'dog'], 0)
    """
    cells = pd.concat([_untyped(frame[column]) for column in columns], ignore_index=True)
    who = np.repeat(np.arange(len(columns)), len(frame))
    rows = np.tile(np.arange(len(frame)), len(columns))
    found = read_labels(cells, name=f"the annotations of {name}", rules=rules)
    return _gathered(found, rows, who, names=tuple(columns), num_rows=len(frame))


def _untyped(column: pd.Series) -> pd.Series:
    """The same values, each of its own type: those of other columns may be of another."""
    return column.astype(object)


def from_table(
    frame: pd.DataFrame,
    ids: Sequence[str] | None,
    *,
    id_column: str | None,
    num_rows: int,
    name: str,
    rules: LabelRules | None = None,
) -> Annotations:
    """A table with a line for each label: annotator, label, and the row by its number or its name.

    Args:
        frame: the table.
        ids: names of the rows of the data, if they have any, each another one.
        id_column: the column of those names, in the data and here; None: here is a column "row", from 0.
        num_rows: N.
        name: how messages name the table.
        rules: what the user said about labels.

    Raises:
        DataError: columns that are missing, rows that the data do not have, a row without any label.

    Example:
        >>> lines = [(0, "ann", "cat"), (1, "ann", "dog"), (0, "bob", "cat")]
        >>> frame = pd.DataFrame(lines, columns=["row", "annotator", "label"])
        >>> from_table(frame, None, id_column=None, num_rows=2, name="it").names
        ('ann', 'bob')
    """
    key = id_column or "row"
    missing = [column for column in (key, "annotator", "label") if column not in frame]
    if missing:
        hint = "" if id_column else "; rows by their number from 0, or by name with --id COLUMN"
        raise DataError(
            f"{name} has no column {missing[0]!r}: expected {key!r}, 'annotator' and 'label', a line for each label"
            f"{hint}; it has {some(frame.columns)}"
        )
    if ids is None or id_column is None:
        known = {str(row): row for row in range(num_rows)}
        written = [_WHOLE.sub(r"\1", each.strip()) for each in row_names(frame[key])]
    else:
        known = {each: row for row, each in enumerate(ids)}
        written = [each.strip() for each in row_names(frame[key])]
    rows = [known.get(each) for each in written]
    strangers = [each for each, row in zip(row_names(frame[key]), rows, strict=True) if row is None]
    if strangers:
        raise DataError(
            f"{name} has labels for {len(strangers)} rows that the data do not have, such as {key} {strangers[0]!r}"
        )
    people, who = np.unique(np.array(row_names(frame["annotator"]), dtype=object), return_inverse=True)
    positions = np.array(rows, dtype=np.int64)
    people_names = tuple(str(person) or "(no name)" for person in people)
    found = read_labels(frame["label"], name=f"the annotations of {name}", rules=rules)
    return _gathered(found, positions, who, names=people_names, num_rows=num_rows)


def _gathered(
    found: LabelColumn, rows: NDArray[np.int64], who: NDArray[np.int64], *, names: tuple[str, ...], num_rows: int
) -> Annotations:
    """The labels that were given, and rows that nobody labeled: refused, unless a mark says that there is no vote."""
    if found.nested:
        raise DataError(f"{found.name} are lists or records: expected one class in each cell")
    values, remarks = _votes(found)
    given = np.array([place for place, value in enumerate(values) if value is not None], dtype=np.int64)
    bare = np.setdiff1d(np.arange(num_rows), rows[given])
    abstained = len(remarks) > 0 or any(mark and found.rules.named_missing(mark) for mark in found.marks)
    if (len(bare) and not abstained) or not len(given):
        raise RowError(
            f"{found.name} have no label at all for {len(bare)} of {num_rows} rows, such as ",
            bare.tolist(),
            ": remove these rows, or have them labeled",
        )
    if len(bare):
        remarks.append(f"{len(bare)} of {num_rows} rows left out: {found.name} have no vote for them")
    repeated = _repeated(rows[given], who[given])
    if len(repeated):
        first = repeated[0]
        remarks.append(
            f"{found.name}: {len(repeated)} labels are further ones that an annotator gave to the same row, first "
            f"{names[who[given][first]]!r} to row {rows[given][first]}: each of them was counted"
        )
    words = {mark: count for mark, count in found.marks.items() if mark}
    if words:
        said = ", ".join(f"{mark!r} ({count})" for mark, count in words.items())
        remarks.append(f"{found.name}: {said} taken for no vote; --class NAME if one of them is a class")
    return Annotations(
        num_rows=num_rows,
        names=names,
        rows=rows[given],
        annotators=who[given],
        labels=[value for value in values if value is not None],
        remarks=(*remarks, *found.remarks, *found.unheeded),
        spellings=found.several,
    )


def _repeated(rows: NDArray[np.int64], who: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which labels are not the first of their annotator for their row."""
    return np.flatnonzero(pd.DataFrame({"row": rows, "who": who}).duplicated().to_numpy())


def _votes(found: LabelColumn) -> tuple[list[Label | None], list[str]]:
    """The labels without those that are -1 where that means that an annotator abstains, and what is to be said."""
    classes = {class_key(value) for value in set(found.values) if value is not None}
    others = classes - {NO_VOTE}
    if NO_VOTE not in classes or found.rules.is_class(NO_VOTE):
        return found.values, []
    count = sum(value is not None and class_key(value) == NO_VOTE for value in found.values)
    share = f"{found.name}: -1 ({count} of {len(found.values) - sum(found.marks.values())} votes)"
    if others <= {"1"} or any(map(is_negative, others)):
        beside = ", ".join(sorted(others)[:_SHOWN])
        return found.values, [f"{share} was taken for a class beside {beside}: --no-label -1 if it means 'no vote'"]
    values = [None if value is None or class_key(value) == NO_VOTE else value for value in found.values]
    return values, [f"{share} was taken for 'no vote': --class -1 if it is a class"]
