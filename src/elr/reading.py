"""Anyone's data, as it lies: a table, a folder of images, a Parquet file of images, arrays. Read, checked, not yet encoded."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from elr import images as pictures
from elr.data import Label
from elr.errors import DataError
from elr.tables import TABLE_SUFFIXES, label_values, read_table

TABLE, IMAGES, FEATURES = "table", "images", "features"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read data. Plain values only.

    Args:
        label: column (or array) of the given labels; not needed for a folder of images, whose subfolders are the labels.
        clean_label: column (or array) of labels known to be right: never trained on, only measured against.
        id: column that names each row, such as a file name or key: not learned from, shown beside suspects.
        ignore: columns not to learn from.
        image_size: side in pixels to which images are brought; default: theirs, at most 64.
        skip_unreadable: leave unreadable images out instead of stopping.
    """

    label: str | None = None
    clean_label: str | None = None
    id: str | None = None
    ignore: tuple[str, ...] = ()
    image_size: int | None = None
    skip_unreadable: bool = False

    @property
    def label_name(self) -> str:
        """How messages name the label."""
        return f"label column {self.label!r}" if self.label else "the label (name of the subfolder)"


@dataclass(frozen=True, kw_only=True, eq=False)
class RawData:
    """Data as read, M examples.

    Args:
        kind: "table", "images" or "features".
        rows: (M,) int64, row of each example in the source (in order of file names for folders).
        table: for "table", the columns to learn from.
        images: for "images", (M, channels, H, W) uint8.
        features: for "features", (M, D) float32.
        labels: M given labels, None if the source has none.
        clean_labels: M labels known to be right, if any are.
        ids: M names of rows, if they have any.
        class_names: names of the classes 0, 1, ... where the source tells them apart from the labels.
        remarks: what the user should know about the reading.
    """

    kind: str
    rows: NDArray[np.int64]
    table: pd.DataFrame | None = None
    images: Tensor | None = None
    features: NDArray[np.float32] | None = None
    labels: list[Label] | None = None
    clean_labels: list[Label] | None = None
    ids: list[str] | None = None
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


Data = str | Path | pd.DataFrame | tuple[ArrayLike, ArrayLike | None]


def read_data(data: Data, options: ReadOptions, *, training: bool = True) -> RawData:
    """Read data of any kind.

    Args:
        data: path of a .csv, .tsv or .parquet table, of a folder of images in subfolders by class, of a Parquet file of
            images in the layout of the Hugging Face hub, or of an .npz of arrays; a data frame; or a pair of arrays
            (inputs, labels), where inputs are (M, D) features or (M, channels, H, W) uint8 images.
        options: see there.
        training: labels are required; else they are read where there are any.

    Raises:
        DataError: whatever makes the data unusable.
    """
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, options, name="the data frame", training=training)
    if isinstance(data, tuple):
        inputs, labels = data
        return _from_arrays(np.asarray(inputs), labels, options, name="the inputs")
    path = Path(data)
    if path.is_dir():
        return _from_folder(path, options, training=training)
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    if path.suffix.lower() == ".npz":
        return _from_npz(path, options, training=training)
    if path.suffix.lower() == ".parquet" and (column := pictures.parquet_image_column(path)):
        return _from_image_parquet(path, column, options, training=training)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} ends in {path.suffix!r}: expected a table ({', '.join(TABLE_SUFFIXES)}), an .npz of arrays, or a "
            "folder of images"
        )
    special = [name for name in (options.label, options.clean_label) if name]
    return _from_frame(read_table(path, as_text=special), options, name=str(path), training=training)


def _from_frame(frame: pd.DataFrame, options: ReadOptions, *, name: str, training: bool) -> RawData:
    frame = frame.rename(columns=str)
    labels, clean, ids = _label_columns(frame, options, name=name, training=training)
    if not len(frame):
        raise DataError(f"{name} has no rows")
    for column in options.ignore if training else ():
        _require(frame, column, name=name, role="column to ignore")
    used = {options.label, options.clean_label, options.id, *options.ignore}
    return RawData(
        kind=TABLE,
        rows=np.arange(len(frame)),
        table=frame[[column for column in frame.columns if column not in used]],
        labels=labels,
        clean_labels=clean,
        ids=ids,
    )


def _label_columns(
    frame: pd.DataFrame, options: ReadOptions, *, name: str, training: bool
) -> tuple[list[Label] | None, list[Label] | None, list[str] | None]:
    """Given labels, clean labels and names of rows, from their columns."""
    if training and not options.label:
        raise DataError(f"{name} needs a label column: name it with --label (label=...); it has {_some(frame.columns)}")

    def values(column: str | None, role: str) -> list[Label] | None:
        if column is None or (column not in frame.columns and not training):
            return None
        _require(frame, column, name=name, role=role)
        return label_values(frame[column], name=f"{role} {column!r} of {name}")

    ids = None
    if options.id and (training or options.id in frame.columns):
        _require(frame, options.id, name=name, role="id column")
        ids = [str(value) for value in frame[options.id].tolist()]
    return values(options.label, "label column"), values(options.clean_label, "clean-label column"), ids


def _require(frame: pd.DataFrame, column: str, *, name: str, role: str) -> None:
    if column not in frame.columns:
        raise DataError(f"{name} has no {role} {column!r}: it has {_some(frame.columns)}")


def _some(names: Sequence[str] | pd.Index) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:20])
    return f"{shown}, and {len(names) - 20} more" if len(names) > 20 else shown


def _from_folder(root: Path, options: ReadOptions, *, training: bool) -> RawData:
    paths = pictures.list_images(root)
    loose = [path for path in paths if len(path.parts) == 1]
    if loose and (training or len(loose) < len(paths)):
        raise DataError(
            f"{root} has {len(loose)} images outside of any class folder, such as {loose[0]}: expected "
            f"{root}/CLASS/IMAGE for every image"
        )
    decoded = pictures.decode_images(
        pictures.file_sources(root, paths), size=options.image_size, skip_unreadable=options.skip_unreadable
    )
    kept = [paths[row] for row in decoded.rows]
    return RawData(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        labels=None if loose else [path.parts[0] for path in kept],
        ids=[str(path) for path in kept],
        remarks=_unreadable(decoded),
    )


def _from_image_parquet(path: Path, column: str, options: ReadOptions, *, training: bool) -> RawData:
    frame = pd.read_parquet(path, columns=pictures.parquet_other_columns(path, column))
    labels, clean, ids = _label_columns(frame, options, name=str(path), training=training)
    names = pictures.parquet_class_names(path, options.label) if options.label else None
    labels, clean = _named(labels, names), _named(clean, names)
    decoded = pictures.decode_images(
        lambda: pictures.parquet_images(path, column), size=options.image_size, skip_unreadable=options.skip_unreadable
    )
    return RawData(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        labels=_at(labels, decoded.rows),
        clean_labels=_at(clean, decoded.rows),
        ids=_at(ids, decoded.rows) or decoded.names,
        remarks=_unreadable(decoded),
    )


def _named(labels: list[Label] | None, names: list[str] | None) -> list[Label] | None:
    if labels is None or names is None:
        return labels
    return [names[label] if isinstance(label, int) and 0 <= label < len(names) else label for label in labels]


def _at(values: Sequence[Any] | None, rows: NDArray[np.int64]) -> list[Any] | None:
    return None if values is None else [values[row] for row in rows]


def _unreadable(decoded: pictures.DecodedImages) -> list[str]:
    return [f"unreadable image left out: {name}" for name in decoded.unreadable]


def _from_npz(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npz without executing pickled code: {error}") from error
    label = options.label
    if training and label not in arrays:
        raise DataError(f"{path} has no array {label!r} of labels: name it with --label; it has {_some(list(arrays))}")
    apart = {label, options.clean_label, options.id, *options.ignore}
    candidates = [name for name, array in arrays.items() if name not in apart and array.ndim in (2, 4)]
    if len(candidates) != 1:
        raise DataError(
            f"{path} has {len(candidates)} arrays of features (N, D) or images (N, channels, H, W) beside the labels "
            f"({_some(candidates) or 'none'}): expected one; name the others with --ignore"
        )
    raw = _from_arrays(arrays[candidates[0]], arrays.get(label or ""), options, name=f"{path}, array {candidates[0]!r}")
    if options.clean_label:
        if options.clean_label not in arrays:
            raise DataError(f"{path} has no array {options.clean_label!r}: it has {_some(list(arrays))}")
        raw = replace(raw, clean_labels=label_values(pd.Series(arrays[options.clean_label]), name=options.clean_label))
    if options.id and options.id in arrays:
        raw = replace(raw, ids=[str(value) for value in arrays[options.id].tolist()])
    return raw


def _from_arrays(inputs: NDArray, labels: ArrayLike | None, options: ReadOptions, *, name: str) -> RawData:
    values = None if labels is None else label_values(pd.Series(np.asarray(labels)), name=options.label_name)
    if values is not None and len(values) != len(inputs):
        raise DataError(f"{name} have {len(inputs)} rows, the labels {len(values)}: expected one label per row")
    if not len(inputs):
        raise DataError(f"{name} have no rows")
    if inputs.ndim == 4:
        if inputs.dtype != np.uint8 or inputs.shape[1] not in (1, 3):
            raise DataError(
                f"{name} are {inputs.dtype} of shape {inputs.shape}: expected images as uint8 (N, channels, H, W) with 1 "
                "or 3 channels"
            )
        return RawData(kind=IMAGES, rows=np.arange(len(inputs)), images=torch.from_numpy(np.ascontiguousarray(inputs)), labels=values)
    return RawData(kind=FEATURES, rows=np.arange(len(inputs)), features=checked_features(inputs, name), labels=values)


def checked_features(features: NDArray, name: str) -> NDArray[np.float32]:
    """Features (N, D) as float32.

    Raises:
        DataError: another shape or type, or NaN or infinity (said where).
    """
    if features.ndim != 2 or not features.shape[1] or features.dtype.kind not in "fiub":
        raise DataError(f"{name} are {features.dtype} of shape {features.shape}: expected numbers (N, D), D >= 1")
    converted = features.astype(np.float32)
    bad = ~np.isfinite(converted)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise DataError(
            f"{name} have {int(bad.sum())} values that are NaN, infinite or beyond float32, first {features[row, column]} "
            f"in row {row}, column {column}: replace them or remove these rows"
        )
    return converted
