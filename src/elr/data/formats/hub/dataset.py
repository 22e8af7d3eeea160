"""Data sets of the Hugging Face library `datasets`, in memory as they are."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from elr.data.formats.format import Format
from elr.data.formats.table import from_frame
from elr.data.labels.columns import NO_VOTE
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, DataError
from elr.names import printable

_NAME = "the data set"


class HubDataset(Format):
    """A `datasets.Dataset`: its rows in their order, the names of a ClassLabel as labels, -1 as no label.

    A column of images makes it images, unless a column of texts or of embeddings is named; a column of lists of numbers
    is an embedding. What `set_format` or `set_transform` would make of the rows is not looked at.

    Args:
        parquet: what reads images from a Parquet file of the hub's layout.

    Example:
        >>> import datasets
        >>> from elr.data.formats.parquet import Parquet
        >>> features = datasets.Features(x=datasets.Value("int64"), y=datasets.ClassLabel(names=["cat", "dog"]))
        >>> data = datasets.Dataset.from_dict({"x": [1, 2], "y": [1, 0]}, features=features)
        >>> HubDataset(Parquet()).read(data, ReadOptions(label="y"), training=True).labels
        ['dog', 'cat']
    """

    has_columns = True

    def __init__(self, parquet: Format) -> None:
        self.parquet = parquet

    def recognizes(self, data: object) -> bool:
        library = sys.modules.get("datasets")  # who passes its data sets has imported it
        return library is not None and isinstance(
            data, library.Dataset | library.IterableDataset | library.DatasetDict | library.IterableDatasetDict
        )

    def source(self, data: Any) -> str:
        split = getattr(data, "split", None)
        return "a data set" if split is None or isinstance(data, dict) else f"a data set ({split})"

    def read(
        self, data: Any, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        _refuse_what_has_no_rows(data)
        if not (options.embedding or options.text) and _image_columns(data, options):
            return self._read_images(data, options, training=training, annotations=annotations)
        frame = named_frame(data, [options.label, *options.annotators, options.clean_label], training=training)
        return from_frame(frame, options, name=_NAME, training=training, annotations=annotations)

    def _read_images(
        self, data: Any, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None
    ) -> Records:
        """By way of a Parquet file, as the hub has them: images are encoded there, and class names beside numbers."""
        with tempfile.TemporaryDirectory(prefix="elr-") as folder:
            path = Path(folder).resolve() / "data.parquet"
            _write_parquet(data, path)
            try:
                held = replace(options, stream=False, index=None)  # the file is gone afterwards
                return self.parquet.read(path, held, training=training, annotations=annotations)
            except DataError as error:  # which names the file
                raise DataError(str(error).replace(printable(path), _NAME)) from error


def named_frame(data: Any, labels: Sequence[str | None], *, training: bool) -> pd.DataFrame:
    """The rows of a `datasets.Dataset`, with class names for the class numbers in some columns.

    Args:
        data: the data set.
        labels: which columns to name, if they are of ClassLabel.
        training: whether numbers that are no class are refused; else they stay, as text.

    Raises:
        DataError: such numbers.

    Example:
        >>> import datasets
        >>> features = datasets.Features(y=datasets.ClassLabel(names=["cat", "dog"]))
        >>> data = datasets.Dataset.from_dict({"y": [1, 0, -1]}, features=features)
        >>> named_frame(data, ["y"], training=True)["y"].tolist()
        ['dog', 'cat', None]
    """
    table: pa.Table = data.with_format("arrow")[:]
    frame = table.to_pandas(ignore_metadata=True)
    for column in {label for label in labels if label in data.features}:
        names = getattr(data.features[column], "names", None)
        if names is None:
            continue
        known: dict[int | None, str | None] = {**dict(enumerate(names)), int(NO_VOTE): None, None: None}
        numbers = table.column(column).to_pylist()
        wrong = [row for row, number in enumerate(numbers) if number not in known]
        if wrong and training:
            raise DataError(
                f"label column {column!r} of {_NAME} is {numbers[wrong[0]]} in row {wrong[0]} (one of {len(wrong)} "
                f"such rows): expected 0 to {len(names) - 1}, the classes that it names, or -1 for no label"
            )
        frame[column] = pd.Series([known.get(number, str(number)) for number in numbers], dtype=object)
    return frame


def _refuse_what_has_no_rows(data: Any) -> None:
    if isinstance(data, dict):
        names = ", ".join(str(name) for name in data)
        first = str(next(iter(data), "train"))
        raise ArgumentError(
            f"data is a dict of splits ({names}): pass one of them, such as data[{first!r}]; another one as test, if "
            "its labels are trusted"
        )
    if not hasattr(data, "__len__"):
        raise ArgumentError(
            "data is an IterableDataset, a stream without rows: load it without streaming=True, or make it a "
            "datasets.Dataset, as Dataset.from_list(list(data)) does"
        )


def _image_columns(data: Any, options: ReadOptions) -> list[str]:
    return [
        name
        for name, feature in data.features.items()
        if type(feature).__name__ == "Image" and name not in options.apart
    ]


def _write_parquet(data: Any, path: Path) -> None:
    library = sys.modules["datasets"]
    quiet = library.is_progress_bar_enabled()
    library.disable_progress_bars()
    try:
        data.with_format(None).to_parquet(str(path))
    finally:
        if quiet:
            library.enable_progress_bars()
