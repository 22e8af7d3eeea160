"""Anyone's data, as it lies: a table, a folder or Parquet file of images, arrays. Read, checked, not yet encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from elr import images as pictures
from elr.data import Label, as_array, checked_features, one_each
from elr.errors import ArgumentError, DataError
from elr.raw import FEATURES, IMAGES, TABLE, RawData, ReadOptions
from elr.tables import TABLE_SUFFIXES, label_values, read_table

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


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
        ArgumentError: `data` is none of these.
    """
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, options, name="the data frame", training=training)
    if isinstance(data, tuple) and len(data) == 2:
        inputs, labels = data
        return _from_arrays(as_array(inputs, "the inputs"), labels, options, name="the inputs")
    if not isinstance(data, str | Path) or not str(data):
        found = "an empty path" if isinstance(data, str) else f"a {type(data).__name__}"
        raise ArgumentError(f"data is {found}: expected a path, a data frame, or a pair (inputs, labels or None)")
    path = Path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise DataError(f"{pictures.printable(path)[:200]} cannot be read: {error.strerror}") from error
    if is_folder:
        return _from_folder(path, options, training=training)
    if not is_file:
        raise DataError(f"no such file: {pictures.printable(path)} (looked for from {Path.cwd()})")
    return _from_file(path, options, training=training)


def _from_file(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    suffix, name = path.suffix.lower(), pictures.printable(path)
    if suffix == ".npz":
        return _from_npz(path, options, training=training)
    if suffix == ".parquet":
        columns = [column for column in pictures.parquet_image_columns(path) if column not in options.apart]
        if len(columns) > 1:
            raise DataError(f"{name} has {len(columns)} columns of images ({_some(columns)}): --ignore all but one")
        if columns:
            return _from_image_parquet(path, columns[0], options, training=training)
    if suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"{name} ends in {path.suffix!r}: expected a table ({', '.join(TABLE_SUFFIXES)}), an .npz of arrays, or a "
            "folder of images"
        )
    as_written = suffix != ".parquet"
    special = [column for column in (options.label, options.clean_label, options.id) if column]
    frame = read_table(path, as_text=special, as_written=as_written)
    return _from_frame(frame, options, name=name, training=training, as_written=as_written)


def _from_frame(
    frame: pd.DataFrame, options: ReadOptions, *, name: str, training: bool, as_written: bool = False
) -> RawData:
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    _check_columns(list(frame.columns), options, name=name, training=training)
    if not len(frame):
        raise DataError(f"{name} has no rows: expected at least two of each class")
    labels, clean, ids = _label_columns(frame, options, name=name, training=training)
    return RawData(
        kind=TABLE,
        rows=np.arange(len(frame)),
        table=frame[[column for column in frame.columns if column not in options.apart]],
        labels=labels,
        clean_labels=clean,
        ids=ids,
        as_written=as_written,
    )


def _check_columns(columns: list[str], options: ReadOptions, *, name: str, training: bool) -> None:
    """Refuse columns of one name, and for training the lack of one that the options name."""
    if len(set(columns)) < len(columns):
        twice, count = Counter(columns).most_common(1)[0]
        raise DataError(f"{name} has {count} columns named {twice!r}: rename all but one")
    if not training:
        return
    if not options.label:
        raise DataError(f"{name} needs a label column: name it with --label (label=...); it has {_some(columns)}")
    for role, column in [
        ("label column", options.label),
        ("clean-label column", options.clean_label),
        ("id column", options.id),
        *(("column to ignore", column) for column in options.ignore),
    ]:
        if column is not None and column not in columns:
            raise DataError(f"{name} has no {role} {column!r}: it has {_some(columns)}")


def _label_columns(
    frame: pd.DataFrame, options: ReadOptions, *, name: str, training: bool
) -> tuple[list[Label] | None, list[Label] | None, list[str] | None]:
    """Given labels, clean labels and names of rows, from their columns; None without, or if empty and not needed."""

    def values(column: str | None, role: str) -> list[Label] | None:
        if column not in frame.columns or (not training and frame[column].isna().all()):
            return None
        return label_values(frame[column], name=f"{role} {column!r} of {name}")

    given, clean = values(options.label, "label column"), values(options.clean_label, "clean-label column")
    return given, clean, _row_names(frame[options.id]) if options.id in frame.columns else None


def _row_names(column: pd.Series) -> list[str]:
    return ["" if gone else str(value) for value, gone in zip(column.tolist(), column.isna(), strict=True)]


def _some(names: Sequence[str] | pd.Index) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:20])
    return f"{shown}, and {len(names) - 20} more" if len(names) > 20 else shown or "none"


def _from_folder(root: Path, options: ReadOptions, *, training: bool) -> RawData:
    paths, remarks = pictures.list_images(root)
    loose = [path for path in paths if len(path.parts) == 1]
    if training:
        _check_folder(root, paths, loose, options)
        used = {path.parts[0] for path in paths}
        empty = sorted(
            each.name for each in root.iterdir() if each.is_dir() and each.name[0] != "." and each.name not in used
        )
        remarks += [f"folder {pictures.printable(name)!r} left out: it has no images" for name in empty]
    decoded = pictures.decode_images(
        pictures.file_sources(root, paths), size=options.image_size, skip_unreadable=options.skip_unreadable
    )
    kept = [paths[row] for row in decoded.rows]
    return RawData(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        labels=None if loose else [pictures.printable(path.parts[0]) for path in kept],
        ids=[pictures.printable(path) for path in kept],
        remarks=remarks + _unreadable(decoded),
    )


def _check_folder(root: Path, paths: list[Path], loose: list[Path], options: ReadOptions) -> None:
    """Refuse a folder of images that cannot be trained on as it lies."""
    name = pictures.printable(root)
    if options.apart:
        raise DataError(
            f"{name} is a folder of images and has no columns such as {options.apart[0]!r}: its subfolders are the "
            "labels; leave out --label, --clean-label, --id and --ignore"
        )
    if loose:
        raise DataError(
            f"{name} has {len(loose)} images outside of any class folder, such as {pictures.printable(loose[0])}: "
            f"expected {name}/CLASS/IMAGE for every image"
        )
    classes = {path.parts[0] for path in paths}
    if {each.lower() for each in classes} <= _SPLITS:
        raise DataError(
            f"{name} holds splits ({', '.join(sorted(classes))}), not classes: give one of them as data, such as "
            f"{name}/{min(classes)}, another as --test"
        )


def _from_image_parquet(path: Path, column: str, options: ReadOptions, *, training: bool) -> RawData:
    place, columns = pictures.printable(path), pictures.parquet_columns(path)
    _check_columns(columns, options, name=place, training=training)
    used = [name for name in (options.label, options.clean_label, options.id) if name in columns]
    frame = pictures.read_parquet_columns(path, used)
    labels, clean, ids = _label_columns(frame, options, name=place, training=training)
    names = pictures.parquet_class_names(path, options.label or "")
    clean_names = pictures.parquet_class_names(path, options.clean_label or "") or names
    labels = _named(labels, names, place=f"{options.label_name} of {place}", training=training)
    place = f"clean-label column {options.clean_label!r} of {place}"
    clean = _named(clean, clean_names, place=place, training=training)
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


def _named(labels: list[Label] | None, names: list[str] | None, *, place: str, training: bool) -> list[Label] | None:
    """Class names for class numbers, where the file has names; -1 throughout says that there are no labels."""
    if labels is None or names is None or not all(isinstance(label, int) for label in labels):
        return labels
    numbers = [int(label) for label in labels]
    if not training and set(numbers) == {-1}:
        return None
    wrong = [row for row, number in enumerate(numbers) if not 0 <= number < len(names)]
    if wrong:
        raise DataError(
            f"{place} is {numbers[wrong[0]]} in row {wrong[0]} (one of {len(wrong)} such rows): expected 0 to "
            f"{len(names) - 1}, the classes that the file names (-1: no label); remove these rows, or label them"
        )
    return [names[number] for number in numbers]


def _at(values: Sequence[Any] | None, rows: NDArray[np.int64]) -> list[Any] | None:
    return None if values is None else [values[row] for row in rows]


def _unreadable(decoded: pictures.DecodedImages) -> list[str]:
    shown, more = decoded.unreadable[:20], len(decoded.unreadable) - 20
    remarks = [f"unreadable image left out: {name}" for name in shown]
    return [*remarks, f"{more} more unreadable images left out"] if more > 0 else remarks


def _from_npz(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    place = pictures.printable(path)
    arrays, refused = _npz_arrays(path)
    names = [*arrays, *refused]
    roles = {"label": options.label, "clean-label": options.clean_label, "id": options.id}
    for role, name in roles.items():
        if name in refused:
            raise DataError(
                f"{place} cannot be read without executing pickled code: its {role} array {name!r} holds Python "
                "objects; save it as text or numbers (array.astype(str))"
            )
        if training and name not in arrays and (name or role == "label"):
            raise DataError(f"{place} has no {role} array {name!r}: it has {_some(names)}; name one with --{role}")
    candidates = [name for name, array in arrays.items() if name not in options.apart and array.ndim in (2, 4)]
    if len(candidates) != 1:
        found = ", ".join(f"{name!r}: {array.dtype} {array.shape}" for name, array in arrays.items())
        found += "".join(f", {name!r}: pickled, refused" for name in refused)
        raise DataError(
            f"{place} has {len(candidates)} arrays of features (N, D) or images (N, channels, H, W) beside the labels "
            f"({found}): expected one; name others with --ignore"
        )
    chosen = candidates[0]
    raw = _from_arrays(arrays[chosen], arrays.get(options.label or ""), options, name=f"{place}, array {chosen!r}")
    if options.clean_label in arrays:
        clean = _array_labels(arrays[options.clean_label], len(raw), name=f"array {options.clean_label!r} of {place}")
        raw = replace(raw, clean_labels=clean)
    if options.id in arrays:
        ids = pd.Series(one_each(arrays[options.id], len(raw), name=f"array {options.id!r} of {place}"))
        raw = replace(raw, ids=_row_names(ids))
    return raw


def _npz_arrays(path: Path) -> tuple[dict[str, NDArray], list[str]]:
    """The arrays of an .npz, and the names of those that could execute code on reading."""
    arrays: dict[str, NDArray] = {}
    refused: list[str] = []
    try:
        with path.open("rb") as handle:
            archive = np.load(handle, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array, as numpy.save writes it")
            for name in archive.files:
                try:
                    arrays[name] = np.asarray(archive[name])
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    refused.append(name)
    except Exception as error:  # a damaged archive fails in many ways
        reason = "it is pickled, which could execute code" if "pickle" in str(error) else error
        raise DataError(
            f"{pictures.printable(path)} cannot be read as .npz: {reason}; write it with numpy.savez"
        ) from error
    return arrays, refused


def _array_labels(labels: ArrayLike, count: int, *, name: str) -> list[Label]:
    return label_values(pd.Series(one_each(as_array(labels, name), count, name=name)), name=name)


def _from_arrays(inputs: NDArray, labels: ArrayLike | None, options: ReadOptions, *, name: str) -> RawData:
    if not inputs.ndim or not len(inputs):
        raise DataError(f"{name} have no rows: expected numbers (N, D) or images (N, channels, H, W), N >= 2")
    values = None if labels is None else _array_labels(labels, len(inputs), name=options.label_name)
    if inputs.ndim < 3:
        features = checked_features(inputs, name)
        return RawData(kind=FEATURES, rows=np.arange(len(inputs)), features=features, labels=values)
    if inputs.ndim != 4 or inputs.dtype != np.uint8 or inputs.shape[1] not in (1, 3) or not inputs.size:
        raise DataError(
            f"{name} are {inputs.dtype} of shape {inputs.shape}: expected images as uint8 in 0 .. 255 of shape "
            "(N, channels, H, W) with 1 or 3 channels; array.transpose(0, 3, 1, 2) brings channels forward, "
            "array[:, None] adds a channel, (255 * array).astype('uint8') converts from 0 .. 1"
        )
    images = torch.from_numpy(np.array(inputs, order="C"))  # a copy: the caller's may be read-only, or change
    return RawData(kind=IMAGES, rows=np.arange(len(inputs)), images=images, labels=values)
