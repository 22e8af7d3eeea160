"""Tables: data frames, and what all files that hold a table have in common."""

from __future__ import annotations

import difflib
import sys
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa

from elr.data.annotations import from_columns, from_table
from elr.data.formats.features import list_features, native_frame
from elr.data.formats.format import FileFormat, Format
from elr.data.formats.labels import check_ids, label_columns, label_rules, labeled
from elr.data.labels.columns import SPELLINGS, read_labels, some
from elr.data.pictures.named import image_folder
from elr.data.records import FEATURES, TABLE, TEXT, ReadOptions, Records
from elr.data.text import text_values
from elr.errors import ArgumentError, DataError, RowError
from elr.names import printable
from elr.networks.sentence_encoders import embed_texts

_AS_IT_IS = ReadOptions()
_LONGEST_EXAMPLE = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class ParsedTable:
    """A table as it was found in a file.

    Args:
        frame: the table.
        facts: what was found, as plain values by name, such as the number of its lines.
        remarks: what the user should know about it.

    Example:
        >>> ParsedTable(frame=pd.DataFrame({"x": [1, 2]}), facts={"lines": 3}).facts
        {'lines': 3}
    """

    frame: pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()


class TableFile(FileFormat):
    """A file with a table: a subclass says how to read a data frame from it, and how to write a corrected copy.

    Example:
        >>> class Feather(TableFile):
        ...     suffixes = (".feather",)
        ...     def parse(self, path, options, *, as_text, as_written):
        ...         return ParsedTable(frame=pd.read_feather(path))
        ...     def write_corrected(self, source, target, options, changes):
        ...         frame, label = pd.read_feather(source), options.label
        ...         right = frame[label].iloc[list(changes.values())].to_numpy()
        ...         frame.iloc[list(changes), frame.columns.get_loc(label)] = right
        ...         frame.to_feather(target)
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "t.feather"), Path(folder, "new.feather")
        ...     pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]}).to_feather(old)
        ...     Feather().write_corrected(old, new, ReadOptions(label="y"), {0: 1})
        ...     Feather().labels(old, ReadOptions(label="y")), Feather().labels(new, ReadOptions(label="y"))
        (['cat', 'dog'], ['dog', 'dog'])
    """

    has_columns = True
    memory_per_byte = 3
    as_written: ClassVar[bool] = False
    """Whether its cells are text, so that "007" and "12" mean the same whatever stands in the others."""

    @abstractmethod
    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        """The table in a file.

        Args:
            path: the file.
            options: separator, decimal, quotes and encoding, where they were named.
            as_text: columns that are names, not numbers: labels, ids, texts.
            as_written: leave every cell as text; for formats without types.

        Raises:
            DataError: what can be said better than by any other exception, which is taken for damage.
        """

    def frame(
        self,
        path: Path,
        options: ReadOptions = _AS_IT_IS,
        *,
        as_text: Sequence[str] = (),
        as_written: bool | None = None,
    ) -> pd.DataFrame:
        """The table in a file alone; see `table`."""
        return self.table(path, options, as_text=as_text, as_written=as_written).frame

    def table(
        self,
        path: Path,
        options: ReadOptions = _AS_IT_IS,
        *,
        as_text: Sequence[str] = (),
        as_written: bool | None = None,
    ) -> ParsedTable:
        """The table in a file, or a DataError that says why there is none; see `parse`."""
        as_written = self.as_written if as_written is None else as_written
        if not path.is_file():
            raise DataError(f"no such file: {path}")
        try:
            return self.parse(path, options, as_text=as_text, as_written=as_written)
        except (DataError, MemoryError):  # the latter is told by `read_data`
            raise
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not UTF-8 text ({error}): save it as UTF-8, or read it with pandas.read_csv(..., "
                "encoding=...) and pass the data frame"
            ) from error
        except Exception as error:  # a damaged file fails in many ways
            reason, suffix = " ".join(str(error).split()), path.suffix.lower()
            raise DataError(f"{path} cannot be read as {suffix[1:]}: {reason}; mend or replace the file") from error

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        path = Path(data)
        self.check_memory(path, options)
        named = (options.label, *options.annotators, options.clean_label, options.id, options.text)
        parsed = self.table(path, options, as_text=[column for column in named if column])
        try:
            records = from_frame(
                parsed.frame, options, name=printable(path), training=training, annotations=annotations
            )
        except DataError as error:  # of which the reason may be that the file has no line of names
            doubts = "".join(f"; {remark}" for remark in parsed.remarks if "looks like data" in remark)
            if not doubts:
                raise
            if isinstance(error, RowError):
                raise RowError(error.before, error.rows, error.after + doubts) from error
            raise DataError(f"{error}{doubts}") from error
        return replace(
            records,
            remarks=[*parsed.remarks, *records.remarks],
            facts={**parsed.facts, **records.facts},
        )

    def label_column(self, source: Path, options: ReadOptions) -> pd.DataFrame:
        """The column of the labels (more may come with it), or a frame without it."""
        return self.frame(source, options, as_text=[options.label or ""])

    def class_names(self, source: Path, label: str) -> list[str] | None:
        """The names of the classes, where the file has them beside class numbers."""
        del source, label

    def labels(self, source: Path, options: ReadOptions, *, named: bool = False) -> list[str]:
        frame, label = self.label_column(source, options), options.label or ""
        if label not in frame.columns:
            raise DataError(
                f"{printable(source)} has no label column {label!r}: give the data that the run was trained on"
            )
        found = read_labels(
            frame[label], name=f"label column {label!r} of {printable(source)}", rules=label_rules(options)
        )
        names = (self.class_names(source, label) if named else None) or []
        if all(isinstance(value, int | None) for value in found.values):
            numbers = dict(enumerate(names))
            return ["" if value is None else numbers.get(int(value), str(value)) for value in found.values]
        return ["" if value is None else str(value) for value in found.values]

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Paths of the images that a column names, as a Label Studio has them that serves local files from the root."""
        del ids
        if options.image is None:
            return None
        names = self.frame(source, options, as_text=[options.image])[options.image]
        places = [image_folder(source.parent, names) / str(names.iloc[row]) for row in rows]
        return [f"/data/local-files/?d={quote(str(place.resolve()).lstrip('/'))}" for place in places]

    def cells(self, source: Path, options: ReadOptions, rows: Sequence[int]) -> pd.DataFrame:
        frame = self.frame(source, options, as_text=[options.text] if options.text else [])
        if rows and max(rows) >= len(frame):
            raise DataError(
                f"{printable(source)} has {len(frame)} rows, the run had more than {max(rows)}: it is not the data "
                "of this run; name them with --data"
            )
        return frame.set_axis([str(column) for column in frame.columns], axis=1).iloc[list(rows)]


class DataFrames(Format):
    """A data frame of pandas or polars, or a table of Arrow, in memory.

    Example:
        >>> frame = pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]})
        >>> records = DataFrames().read(frame, ReadOptions(label="y"), training=True)
        >>> list(records.table.columns), records.labels
        (['x'], ['cat', 'dog'])
    """

    has_columns = True

    def recognizes(self, data: object) -> bool:
        polars = sys.modules.get("polars")  # who passes its frames has imported it
        return isinstance(data, pd.DataFrame | pa.Table) or (
            polars is not None and isinstance(data, polars.DataFrame | polars.LazyFrame)
        )

    def source(self, data: Any) -> str:
        del data
        return "a data frame"

    def read(
        self, data: Any, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        if not isinstance(data, pd.DataFrame):
            if not hasattr(data, "to_pandas"):
                raise ArgumentError("data is a polars LazyFrame: pass data.collect()")
            data = data.to_pandas()
        return from_frame(data, options, name="the data frame", training=training, annotations=annotations)


def from_frame(
    frame: pd.DataFrame,
    options: ReadOptions,
    *,
    name: str,
    training: bool,
    annotations: pd.DataFrame | None = None,
) -> Records:
    """What a table has to learn from, with its labels.

    Args:
        frame: the table.
        options: what its columns are.
        name: how messages name it.
        training: labels are required; else they are read where there are any.
        annotations: the table that `options.annotations` names.

    Raises:
        DataError: whatever makes the data unusable.

    Example:
        >>> frame = pd.DataFrame({"title": ["a mug", "a hat"], "kind": ["kitchen", "clothes"]})
        >>> records = from_frame(frame, ReadOptions(label="kind", text="title"), name="the goods", training=True)
        >>> records.kind, records.labels
        ('text', ['kitchen', 'clothes'])
    """
    frame = native_frame(frame).set_axis([str(column) for column in frame.columns], axis=1)
    check_columns(list(frame.columns), options, name=name, training=training)
    if not len(frame) and training:
        raise DataError(f"{name} has no rows: expected at least two of each class")
    _refuse_half_characters(frame, options, name=name)
    labels, clean, ids = label_columns(frame, options, name=name)
    if training and ids is not None:
        check_ids(ids, name=f"id column {options.id!r} of {name}")
    records = labeled(replace(_inputs(frame, options, name=name), ids=ids), labels, clean, training=training)
    records = replace(records, facts={**records.facts, "columns": column_facts(frame)})
    return annotated(records, frame, options, name=name, annotations=annotations) if training else records


def _inputs(frame: pd.DataFrame, options: ReadOptions, *, name: str) -> Records:
    """What to learn from, without labels."""
    rows = np.arange(len(frame))
    if options.embedding:
        features = list_features(frame[options.embedding], name=f"embedding column {options.embedding!r} of {name}")
        return Records(kind=FEATURES, rows=rows, features=features)
    if options.text:
        texts, remarks = text_values(frame[options.text], name=f"text column {options.text!r} of {name}")
        features = embed_texts(texts, options.encoder) if options.encoder else None
        table = pd.DataFrame({options.text: texts})
        return Records(kind=TEXT, rows=rows, table=table, features=features, remarks=remarks)
    return Records(
        kind=TABLE, rows=rows, table=frame[[column for column in frame.columns if column not in options.apart]]
    )


def annotated(
    records: Records, frame: pd.DataFrame, options: ReadOptions, *, name: str, annotations: pd.DataFrame | None
) -> Records:
    """Records with the labels of several annotators, where there are such.

    Args:
        records: of all rows of `frame`.
        frame: the table, with the columns of annotators.
        options: which columns those are.
        name: how messages name the table.
        annotations: the table that `options.annotations` names.

    Raises:
        DataError: rows without a label, or annotations of other rows.

    Example:
        >>> frame = pd.DataFrame({"ann": ["cat", "dog"], "bob": ["cat", None]})
        >>> records = Records(kind="table", rows=np.arange(2), table=frame)
        >>> options = ReadOptions(annotators=("ann", "bob"))
        >>> annotated(records, frame, options, name="it", annotations=None).labels
        ['cat', 'dog']
    """
    if options.annotators:
        found = from_columns(frame, options.annotators, name=name, rules=label_rules(options))
    elif annotations is not None:
        place = str(options.annotations)
        where = {"id_column": options.id, "num_rows": len(frame)}
        found = from_table(annotations, records.ids, **where, name=place, rules=label_rules(options))
    else:
        return records
    majority, ties = found.majority()
    remarks = [
        f"{len(found.labels)} labels of {len(found.names)} annotators for {len(records)} rows: trained on their "
        f"shares; the given label of a row is that of most of them ({ties} ties, given to the more frequent class)",
        *found.remarks,
    ]
    return replace(
        records,
        labels=majority,
        annotations=found,
        remarks=records.remarks + remarks,
        facts={**records.facts, SPELLINGS: found.spellings},
    )


def check_columns(columns: list[str], options: ReadOptions, *, name: str, training: bool) -> None:
    """Refuse columns of one name, and for training the lack of one that the options name.

    Args:
        columns: their names.
        options: what the columns are.
        name: how messages name the table.
        training: whether there must be labels.

    Raises:
        DataError: such columns.

    Example:
        >>> check_columns(["x", "y"], ReadOptions(label="z"), name="t.csv", training=True)
        Traceback (most recent call last):
        elr.errors.DataError: t.csv has no label column 'z': it has 'x', 'y'
    """
    if len(set(columns)) < len(columns):
        twice, count = Counter(columns).most_common(1)[0]
        raise DataError(f"{name} has {count} columns named {twice!r}: rename all but one")
    for role, column in (("text", options.text), ("embedding", options.embedding), ("image", options.image)):
        if column and column not in columns:
            raise DataError(f"{name} has no {role} column {column!r}: it has {some(columns)}")
    if not training:
        return
    if not (options.label or options.annotators or options.annotations):
        raise DataError(f"{name} needs a label column: name it with --label (label=...); it has {some(columns)}")
    for role, column in [
        ("label column", options.label),
        *(("column of an annotator", column) for column in options.annotators),
        ("clean-label column", options.clean_label),
        ("id column", options.id),
        *(("column to ignore", column) for column in options.ignore),
    ]:
        if column is not None and column not in columns:
            alike = {each.strip().casefold(): each for each in columns}
            near = difflib.get_close_matches(column.strip().casefold(), alike, n=1)
            guess = f" (did you mean {alike[near[0]]!r}?)" if near else ""
            raise DataError(f"{name} has no {role} {column!r}: it has {some(columns)}{guess}")


def _refuse_half_characters(frame: pd.DataFrame, options: ReadOptions, *, name: str) -> None:
    """Refuse labels and names of rows that no file can hold: with half of a pair of surrogates."""
    for column in (options.label, *options.annotators, options.clean_label, options.id):
        if column not in frame.columns or frame[column].dtype != object:  # other types of text hold none
            continue
        for row, value in enumerate(frame[column].tolist()):
            if isinstance(value, str) and not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
                raise RowError(
                    f"column {column!r} of {name} has half a character (a surrogate) in ",
                    [row],
                    f", {value[:40]!r}: read the text with its right encoding",
                )


def column_facts(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each column of a table, in its order: how many cells are missing, and the first that is not, as text.

    Example:
        >>> column_facts(pd.DataFrame({"y": [None, "cat"], "x": [1.5, 2.0]}))
        {'y': {'missing': 1, 'example': 'cat'}, 'x': {'missing': 0, 'example': '1.5'}}
    """
    facts = {}
    for name in frame.columns:
        there = frame[name].notna().to_numpy(dtype=bool)
        example = str(frame[name].iloc[int(there.argmax())])[:_LONGEST_EXAMPLE] if there.any() else None
        facts[str(name)] = {"missing": int((~there).sum()), "example": example}
    return facts
