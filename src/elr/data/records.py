"""Data as read: what every kind of source is brought to, and how it was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from elr.checking import check_types
from elr.errors import ArgumentError, LineOf, RowError
from elr.files import on_disk

if TYPE_CHECKING:  # records hold these, and make none
    from elr.data.annotations import Annotations
    from elr.data.labels.spelling import Label
    from elr.data.pictures.image_store import ImageStore
    from elr.networks.backbones import Backbone

HELD = ("stream", "max_memory", "index", "scratch")
"""Options that say how data are held: the same data, whatever they are."""
LEARNED = "learned from"
"""The use of a column that is learned from; of others it is the reason why not."""
NO_BACKBONE = "none"
ROWS_AT_ONCE = 1 << 14
"""Rows of features on disk that are looked at, copied or scaled at a time."""
TABLE, IMAGES, FEATURES, TEXT = "table", "images", "features", "text"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read data. Plain values only.

    Args:
        label: column (or array) of the given labels; not for a folder of images, whose subfolders are the labels.
        annotators: columns of given labels, one for each annotator, empty where they gave none; in place of `label`.
        annotations: table (.csv, .tsv, .parquet, .jsonl) of the labels of annotators, a line for each, with the columns
            annotator, label, and that of `id` or row (from 0); in place of `label`.
        clean_label: column (or array) of labels known to be right: never trained on, only measured against.
        id: column that names each row, such as a file name or key: not learned from, shown beside suspects.
        ignore: columns not to learn from.
        keep: columns to learn from whatever they look like: a counter of the rows, the label under another name.
        classes: names that are classes of this data though elsewhere they say that a label is missing, such as "nan".
        no_label: values that say that a label is missing, beside those that are known to say so, such as "-1".
        separator: between the cells of a line of text; "tab" is a tab. Default: found by itself.
        decimal: mark of decimals in numbers written as text, "." or ",". Default: found by itself, column by column.
        quotes: whether quotation marks enclose cells of text files, or are characters as any others. Default: found by
            itself.
        encoding: of text files, such as "latin-1". Default: UTF-8 where that fits, else found by itself.
        text: column of texts to learn from, and from nothing else.
        embedding: column of lists of numbers, all of one length, to learn from, and from nothing else.
        image: column of names of image files to learn from, and from nothing else. Default: found by itself where a
            table has no other column to learn from.
        encoder: model of sentence-transformers that turns the texts into numbers (a name on the Hugging Face hub, or a
            local folder); default: latent semantic analysis of the words, see `elr.data.text`.
        backbone: timm model, pretrained, for images; "none": a network of their own. Default: tf_efficientnet_lite0
            for images above 64 pixels where its weights are installed (`elr[images]`), else none.
        weights: file with the weights of the backbone; default: see `elr.networks.backbones.load_backbone`.
        fine_tune: whether the whole backbone is trained, or only a network on its features (much faster). Default:
            where there is an accelerator.
        image_size: side in pixels to which images are brought; default: theirs, at most 64; with a backbone at least
            128 and at most what it was trained on.
        image_resize: pixels of the shorter side before the middle square of image_size is cut out; default: the largest
            square is cut out first.
        skip_unreadable: leave unreadable images out instead of stopping.
        nested: the first subfolder of a folder of images is the class, whatever lies below it.
        image_range: values of the darkest and the brightest pixel, of images of more than 8 bits; default: see
            `elr.data.pictures.depth.Extent`.
        stream: whether images stay on disk and are decoded batch by batch, or are decoded once and held. Default: where
            memory does not hold them. The pixels are the same.
        max_memory: bytes that data may take in the memory of a machine, in all of its processes together; tables and
            arrays that need more are refused, images streamed. Default: what is free.
        index: file of the run that goes on, which says which streamed images it began with; nothing else is read then.
        scratch: folder for features of images that memory does not hold, see `elr.files.on_disk`.

    Raises:
        ArgumentError: a name that is no text, one column in two roles, or an image size below 1.

    Example:
        >>> ReadOptions(label="breed", id="file", ignore=["notes"]).apart
        ('breed', 'file', 'notes')
    """

    label: str | None = None
    annotators: tuple[str, ...] = ()
    annotations: str | None = None
    clean_label: str | None = None
    id: str | None = None
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    no_label: tuple[str, ...] = ()
    separator: str | None = None
    decimal: str | None = None
    quotes: bool | None = None
    encoding: str | None = None
    text: str | None = None
    embedding: str | None = None
    image: str | None = None
    encoder: str | None = None
    backbone: str | None = None
    weights: str | None = None
    fine_tune: bool | None = None
    image_size: int | None = None
    image_resize: int | None = None
    skip_unreadable: bool = False
    nested: bool = False
    image_range: tuple[float, float] | None = None
    stream: bool | None = None
    max_memory: int | None = None
    index: str | None = None
    scratch: str | None = None

    def __post_init__(self) -> None:
        self._make_plain()
        self._check_roles()
        self._check_file()
        self._check_networks()

    def _make_plain(self) -> None:
        """Names as text, and several of them as tuples: pandas calls columns without names 0, 1, ..."""
        for role in ("label", "clean_label", "id", "text", "embedding", "image"):
            if type(value := getattr(self, role)) is int:
                object.__setattr__(self, role, str(value))
        for role in ("annotators", "ignore", "keep", "classes", "no_label"):
            if isinstance(value := getattr(self, role), str):
                raise ArgumentError(f"{role} is {value!r}: expected a sequence of names, ({value!r},)")
        check_types(self, "annotators", "ignore", "keep", "classes", "no_label", "separator")

    def _check_roles(self) -> None:
        """Each column in one role."""
        sources = {"label": self.label, "annotators": self.annotators, "annotations": self.annotations}
        named_sources = [name for name, value in sources.items() if value]
        if len(named_sources) > 1:
            raise ArgumentError(f"{' and '.join(named_sources)} are both named: expected one source of given labels")
        named = {"label": self.label, "clean_label": self.clean_label, "id": self.id}
        named |= {"text": self.text, "embedding": self.embedding, "image": self.image}
        for role, name in [
            *named.items(),
            *(("ignore", name) for name in self.ignore),
            *(("keep", name) for name in self.keep),
            *(("annotators", name) for name in self.annotators),
        ]:
            if name is not None and not (isinstance(name, str) and name):
                raise ArgumentError(f"{role} is {name!r}: expected the name of a column as text, such as '0'")
        check_types(self)
        for name in (self.label, *self.annotators):
            if name is not None and name in (self.clean_label, *self.ignore):
                raise ArgumentError(
                    f"column {name!r} is named as label and as clean_label or ignore: expected one role"
                )
        for name in self.annotators:
            if self.annotators.count(name) > 1:
                raise ArgumentError(f"annotators has {name!r} twice: expected the column of each annotator once")
        for name in self.keep:
            if name in self.apart:
                raise ArgumentError(f"column {name!r} is named as keep and in another role: expected one")
        learned = {"text": self.text, "embedding": self.embedding, "image": self.image}
        if len(both := [role for role, name in learned.items() if name is not None]) > 1:
            raise ArgumentError(f"{' and '.join(both)} are both named: expected one column to learn from")
        for role, name in learned.items():
            if name is not None and name in self.apart:
                raise ArgumentError(f"column {name!r} is named as {role} and in another role: expected one")

    def _check_file(self) -> None:
        """How text files and images are read."""
        if self.decimal not in (None, ".", ","):
            raise ArgumentError(f"decimal is {self.decimal!r}: expected '.' or ','")
        if self.separator in ("tab", "\\t"):
            object.__setattr__(self, "separator", "\t")
        if self.separator is not None and len(self.separator) != 1:
            raise ArgumentError(f"separator is {self.separator!r}: expected one character, such as ';', or tab")
        if self.image_range is not None:
            self._check_range()

    def _check_networks(self) -> None:
        """What pretrained networks are asked for, and the size of images."""
        if self.encoder and not self.text:
            raise ArgumentError(f"encoder is {self.encoder!r} and no text is named: expected the column to encode")
        if self.backbone in (None, NO_BACKBONE):
            for name, value in (("weights", self.weights), ("fine_tune", self.fine_tune or None)):
                if value is not None:
                    raise ArgumentError(f"{name} is {value!r} and no backbone is named: expected the one to use")
        if self.image_size is not None and (not isinstance(self.image_size, int) or self.image_size < 1):
            raise ArgumentError(f"image_size is {self.image_size!r}: expected whole pixels, at least 1")

    def _check_range(self) -> None:
        value: Any = self.image_range
        numbers = value if isinstance(value, list | tuple) else ()
        finite = [float(each) for each in numbers if isinstance(each, int | float) and math.isfinite(each)]
        if len(finite) != 2 or len(numbers) != 2 or not finite[0] < finite[1]:
            raise ArgumentError(f"image_range is {value!r}: expected (low, high), the values of black and white")
        object.__setattr__(self, "image_range", tuple(numbers))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them: what decides on the data, and not how they are held."""
        return {name: value for name, value in asdict(self).items() if name not in HELD}

    @property
    def label_name(self) -> str:
        """How messages name the label."""
        if self.annotators or self.annotations:
            return "the majority of the annotators"
        return f"label column {self.label!r}" if self.label else "the label"

    def with_label(self, label: str) -> ReadOptions:
        """The same for data with labels in the column (or array) `label`; columns named here are not learned from."""
        ignore = tuple(name for name in self.apart if name not in (label, self.id))
        return replace(self, label=label, annotators=(), annotations=None, clean_label=None, ignore=ignore)

    @property
    def apart(self) -> tuple[str, ...]:
        """Columns that are not learned from."""
        named = (self.label, *self.annotators, self.clean_label, self.id, *self.ignore)
        return tuple(name for name in named if name is not None)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that the user should know about data, in plain words.

    Args:
        text: one sentence, with the column, row or line that it is about and what to do.
        loud: whether results are likely to be wrong unless something is done: said as a warning.

    Example:
        >>> Finding(text="no value of column 'sex' was known in training (Male, Female)", loud=True).loud
        True
    """

    text: str
    loud: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the form of the warnings of a run."""
        return {"kind": "data", "text": self.text, "classes": [], "numbers": {}}


@dataclass(frozen=True, kw_only=True)
class ColumnReport:
    """What a column of training data was found to hold, for people.

    Args:
        name: of the column.
        kind: what it holds: "numeric", "categorical", "date", "text" and the like.
        use: "learned from", or why it is not.
        missing: rows in which it says nothing.
        distinct: how many different values it has.
        example: one of them as it is written, "" where there is none.

    Example:
        >>> ColumnReport(name="age", kind="numeric", use="learned from", missing=2, distinct=71, example="34").kind
        'numeric'
    """

    name: str
    kind: str
    use: str
    missing: int
    distinct: int
    example: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Data as read, M examples.

    Args:
        kind: "table", "images", "features" or "text".
        rows: (M,) int64, row of each example in the source (in order of file names for folders).
        table: for "table", the columns to learn from; for "text", that of the texts.
        images: for "images", (M, channels, H, W) uint8, or a store of them on disk; to look at only where there are
            features.
        features: for "features", (M, D) float32; for "text" and "images" what a pretrained network makes of them.
        image_size: side to which images were brought, before they became features.
        image_range: values that became black and white, where images have more than 8 bits.
        counted: whether mean and deviation of their pixels are found by counting, as of images that may be on disk.
        pretrained: the backbone, if images have one.
        labels: M given labels, None if the source has none; of several annotators, the majority. A single None stands
            where a row has none: in new data, and in training until `read_data` leaves such rows out.
        annotations: all labels of the annotators, where there are several.
        clean_labels: M labels known to be right, if any are.
        ids: M names of rows, if they have any.
        remarks: what the user should know about the reading.
        facts: what was read, as plain values by name: of a text file its lines, blank lines, separator, encoding.
        line_of: where a row of the source stands in a text file; None where it is no such file.
        scratch: folder for what is made of features that lie on disk, see `ReadOptions`.

    Example:
        >>> records = Records(kind="features", rows=np.arange(3), features=np.eye(3, dtype="float32"), labels=[0, 1, 0])
        >>> records.take(np.array([2, 0])).rows.tolist()
        [2, 0]
    """

    kind: str
    rows: NDArray[np.int64]
    table: pd.DataFrame | None = None
    images: Tensor | ImageStore | None = None
    features: NDArray[np.float32] | None = None
    image_size: int | None = None
    image_range: tuple[float, float] | None = None
    counted: bool = False
    pretrained: Backbone | None = None
    labels: Sequence[Label | None] | None = None
    annotations: Annotations | None = None
    clean_labels: Sequence[Label | None] | None = None
    ids: list[str] | None = None
    remarks: list[str] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    line_of: LineOf | None = None
    scratch: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def resolved(self, options: ReadOptions) -> ReadOptions:
        """The options that read other data as these were read, whatever those hold."""
        if self.kind != IMAGES or self.images is None:
            return options
        if self.pretrained is None:
            return replace(options, image_size=self.images.shape[2], image_range=self.image_range)
        found = {"backbone": self.pretrained.name, "fine_tune": self.features is None}
        return replace(options, image_size=self.image_size, image_range=self.image_range, **found)

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Within, an error of some of these examples tells their rows in the source, and their lines if it has such."""
        try:
            yield
        except RowError as error:
            error = error.at(self.rows.tolist())
            raise (error if self.line_of is None else error.located(self.line_of)) from None

    def place_of(self, position: int) -> str:
        """The row of an example as remarks name it, with its line where that is known without reading the file again.

        Example:
            >>> records = Records(kind="features", rows=np.array([3, 5]), facts={"lines_before_rows": 1})
            >>> records.place_of(1), replace(records, line_of=lambda row: None).place_of(1)
            ('row 5', 'line 7, row 5')
        """
        row, facts = int(self.rows[position]), self.facts
        counted = not (facts.get("blank_lines") or facts.get("quoted_line_breaks") or "parts" in facts)
        if self.line_of is None or "lines_before_rows" not in facts or not counted:
            return f"row {row}"
        return f"line {facts['lines_before_rows'] + row + 1}, row {row}"

    def labeled(self) -> Records:
        """Those examples that have a label; all, where there are none."""
        if self.labels is None or None not in self.labels:
            return self
        return self.take(np.array([row for row, label in enumerate(self.labels) if label is not None], dtype=np.int64))

    def head(self, count: int) -> Records:
        """The first examples."""
        return self.take(np.arange(min(count, len(self))))

    def take(self, rows: NDArray[np.int64]) -> Records:
        """Some of the examples, by position, in that order."""

        def chosen(values: Sequence[Any] | None) -> list[Any] | None:
            return None if values is None else [values[row] for row in rows]

        return replace(
            self,
            rows=self.rows[rows],
            table=None if self.table is None else self.table.iloc[rows],
            images=_taken(self.images, rows),
            features=None if self.features is None else _rows_of(self.features, rows, self.scratch),
            labels=chosen(self.labels),
            annotations=None if self.annotations is None else self.annotations.take(rows),
            clean_labels=chosen(self.clean_labels),
            ids=chosen(self.ids),
        )


def _rows_of(features: NDArray[np.float32], rows: NDArray[np.int64], folder: str | None) -> NDArray[np.float32]:
    """Some of the features; of those on disk they are copied on disk."""
    if not isinstance(features, np.memmap) or not len(rows):
        return features[rows]
    chosen = on_disk((len(rows), features.shape[1]), features.dtype, folder)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chosen[start : start + ROWS_AT_ONCE] = features[rows[start : start + ROWS_AT_ONCE]]
    return chosen


def _taken(images: Tensor | ImageStore | None, rows: NDArray[np.int64]) -> Tensor | ImageStore | None:
    if images is None or isinstance(images, Tensor):
        return None if images is None else images[torch.from_numpy(rows)]
    return images.take(rows)
