"""Arrays: a pair in memory, .npz and .npy files; read without executing anything."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api import types

from elr.data.formats.features import as_array, checked_features, lost_digits, one_each
from elr.data.formats.format import Changes, FileFormat, Format, refuse_columns
from elr.data.formats.labels import check_ids, check_order, label_rules, label_series, labeled
from elr.data.formats.table import from_frame
from elr.data.labels.columns import LabelColumn, LabelRules, read_labels, row_names, some
from elr.data.records import FEATURES, IMAGES, ReadOptions, Records
from elr.devices import free_memory
from elr.errors import DataError
from elr.names import printable


class ArrayFile(FileFormat):
    """A file of arrays, of which one row cannot be shown: a subclass says how to read it and how to copy it.

    Example:
        >>> [Npz().shows_rows, Npy().shows_rows]
        [False, False]
    """

    shows_rows = False
    memory_per_byte = 1  # some of them may not be wanted

    def labels(self, source: Path, options: ReadOptions, *, named: bool = False) -> list[str]:
        del named
        label = options.label or ""
        column = pd.Series(_array(source, label).reshape(-1))
        name = f"label column {label!r} of {printable(source)}"
        values = read_labels(column, name=name, rules=label_rules(options)).values
        return ["" if value is None else str(value) for value in values]


class Npz(ArrayFile):
    """An .npz: the one array of features or images in it, with the arrays that the options name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.npz")
        ...     np.savez(path, X=np.eye(2), y=np.array(["cat", "dog"]))
        ...     Npz().read(path, ReadOptions(label="y"), training=True).labels
        ['cat', 'dog']
    """

    suffixes = (".npz",)

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        del annotations
        path = Path(data)
        refuse_columns(options, printable(path))
        self.check_memory(path, options)
        place = printable(path)
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
                raise DataError(f"{place} has no {role} array {name!r}: it has {some(names)}; name one with --{role}")
        candidates = [name for name, array in arrays.items() if name not in options.apart and array.ndim in (2, 4)]
        if len(candidates) != 1:
            found = ", ".join(f"{name!r}: {array.dtype} {array.shape}" for name, array in arrays.items())
            found += "".join(f", {name!r}: pickled, refused" for name in refused)
            raise DataError(
                f"{place} has {len(candidates)} arrays of features (N, D) or images (N, channels, H, W) beside the "
                f"labels ({found}): expected one; name others with --ignore"
            )
        chosen = candidates[0]
        records = from_arrays(arrays[chosen], name=f"{place}, array {chosen!r}", training=training)

        def column(array: str | None, name: str, rules: LabelRules) -> LabelColumn | None:
            labels = arrays.get(array or "")
            return None if labels is None else _label_column(labels, len(records), name=name, rules=rules)

        clean_name = f"array {options.clean_label!r} of {place}"
        clean = column(options.clean_label, clean_name, LabelRules(classes=options.classes))
        records = labeled(
            records, column(options.label, options.label_name, label_rules(options)), clean, training=training
        )
        if options.id in arrays:
            records = _named(records, arrays[options.id], f"array {options.id!r} of {place}", training=training)
        return records

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Every other array goes over byte by byte, pickled ones too: nothing is loaded."""
        label = options.label or ""
        member = f"{label}.npy"
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for info in old.infolist():
                content = old.read(info)
                if info.filename in (member, label):
                    buffer = io.BytesIO()
                    np.save(buffer, _replaced(_array(source, label), changes), allow_pickle=False)
                    content = buffer.getvalue()
                new.writestr(info, content)


class Npy(ArrayFile):
    """An .npy of features or images; for training, `options.label` is the path of a second one, of the labels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "x.npy"), np.eye(2))
        ...     np.save(Path(folder, "y.npy"), [1, 0])
        ...     Npy().read(Path(folder, "x.npy"), ReadOptions(label=f"{folder}/y.npy"), training=True).labels
        [1, 0]
    """

    suffixes = (".npy",)

    def label_file(self, path: Path, label: str) -> Path:
        del path
        return Path(label)

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        del annotations
        path = Path(data)
        refuse_columns(options, printable(path))
        self.check_memory(path, options)
        place = printable(path)
        records = from_arrays(_npy_array(path), name=place, training=training)
        if not training:
            return records
        if not options.label:
            raise DataError(
                f"{place} holds no labels: name a second file of N labels, --label labels.npy, or use an .npz"
            )

        def beside(name: str, role: str, rules: LabelRules) -> LabelColumn:
            values = _beside(name, len(records), role=role)
            return _label_column(values, len(records), name=f"{role} file {printable(name)}", rules=rules)

        given, clean = beside(options.label, "label", label_rules(options)), None
        if options.clean_label is not None:
            clean = beside(options.clean_label, "clean-label", LabelRules(classes=options.classes))
        if options.id is not None:
            names = _beside(options.id, len(records), role="id")
            records = _named(records, names, f"id file {printable(options.id)}", training=training)
        return labeled(records, given, clean, training=training)

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """`source` is the file of the labels."""
        with target.open("wb") as handle:
            np.save(handle, _replaced(_array(source, options.label or ""), changes), allow_pickle=False)


class ArrayPair(Format):
    """A pair in memory: inputs, and labels or None; a data frame of inputs is a table, whose columns have names.

    Example:
        >>> ArrayPair().read((np.eye(2), ["cat", "dog"]), ReadOptions(), training=True).labels
        ['cat', 'dog']
    """

    has_names = False

    def recognizes(self, data: object) -> bool:
        return isinstance(data, tuple) and len(data) == 2

    def source(self, data: Any) -> str:
        del data
        return "arrays"

    def read(
        self, data: Any, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        del annotations
        inputs, labels = data
        if hasattr(inputs, "to_pandas") and not isinstance(inputs, pd.DataFrame):
            inputs = inputs.to_pandas()  # of polars
        if isinstance(inputs, pd.DataFrame) and not _is_array(inputs):
            form = replace(options, label=None, annotators=(), annotations=None)
            records = from_frame(inputs, form, name="the data frame", training=False)
            if training and not len(records):
                raise DataError("the data frame has no rows: expected at least two of each class")
        else:
            refuse_columns(options, "a pair of arrays")
            records = from_arrays(as_array(inputs, "the inputs"), name="the inputs", training=training)
        if labels is None:
            return records
        remarks = check_order(inputs, labels, names=("the inputs", "the labels"))
        given = _label_column(labels, len(records), name=options.label_name, rules=label_rules(options))
        return labeled(replace(records, remarks=[*records.remarks, *remarks]), given, training=training)


def _is_array(frame: pd.DataFrame) -> bool:
    """Whether a data frame is numbers alone, under columns that nobody named."""
    numeric = all(types.is_numeric_dtype(kind) for kind in frame.dtypes)
    return isinstance(frame.columns, pd.RangeIndex) and numeric and not bool(frame.isna().to_numpy().any())


def as_trained(data: Any, kind: str) -> Any:
    """New data as those of training were taken: a data frame of a pair is no table where these were arrays.

    Columns that are merely counted are put in the order of their numbers.

    Args:
        data: to predict or to test on, or None.
        kind: of the records of training.

    Example:
        >>> inputs, labels = as_trained((pd.DataFrame({"x": [1, 2]}), [0, 1]), FEATURES)
        >>> inputs.tolist(), labels
        ([[1], [2]], [0, 1])
    """
    if kind == FEATURES and isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], pd.DataFrame):
        frame = data[0]
        counted = set(frame.columns) == set(range(frame.shape[1]))
        return (frame[list(range(frame.shape[1]))] if counted else frame).to_numpy(), data[1]
    return data


def _beside(name: str, count: int, *, role: str) -> NDArray:
    """One value for each row from another .npy."""
    path = Path(name)
    if path.suffix.lower() != ".npy" or not path.is_file():
        raise DataError(
            f"--{role} is {name!r}: for features in an .npy file expected the path of a second one, with a value for "
            f"each of the {count} rows"
        )
    return _npy_array(path)


def _named(records: Records, names: NDArray, name: str, *, training: bool) -> Records:
    """Records with the names of their rows."""
    ids = row_names(pd.Series(one_each(names, len(records), name=name)))
    if training:
        check_ids(ids, name=name)
    return replace(records, ids=ids)


def _npy_array(path: Path) -> NDArray:
    try:
        with path.open("rb") as handle:
            array = np.load(handle, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays: rename it to .npz")
            return array
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        reason = "it is pickled, which could execute code" if "pickle" in str(error) else error
        raise DataError(f"{printable(path)} cannot be read as .npy: {reason}; write it with numpy.save") from error


def _npz_arrays(path: Path) -> tuple[dict[str, NDArray], list[str]]:
    """The arrays of an .npz, and the names of those that could execute code on reading."""
    arrays: dict[str, NDArray] = {}
    refused: list[str] = []
    try:
        with path.open("rb") as handle:
            archive = np.load(handle, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array, as numpy.save writes it")
            size, free = sum(each.file_size for each in archive.zip.infolist()), free_memory()
            if size > free:
                raise ValueError(f"it unpacks to {size // 10**6:,} MB, and {free // 10**6:,} MB of memory are free")
            for name in archive.files:
                try:
                    arrays[name] = np.asarray(archive[name])
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    refused.append(name)
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        reason = "it is pickled, which could execute code" if "pickle" in str(error) else error
        raise DataError(f"{printable(path)} cannot be read as .npz: {reason}; write it with numpy.savez") from error
    return arrays, refused


def _label_column(labels: Any, count: int, *, name: str, rules: LabelRules) -> LabelColumn:
    return read_labels(label_series(labels, count, name=name), name=name, rules=rules)


def from_arrays(inputs: NDArray, *, name: str, training: bool) -> Records:
    """Features (N, D) or uint8 images (N, channels, H, W), without labels.

    Args:
        inputs: the features or images.
        name: how messages name the inputs.
        training: whether there must be rows.

    Raises:
        DataError: another shape or type.

    Example:
        >>> from_arrays(np.zeros((2, 1, 8, 8), dtype="uint8"), name="it", training=True).kind
        'images'
    """
    if inputs.ndim and not len(inputs) and not training:
        return Records(kind=IMAGES if inputs.ndim == 4 else FEATURES, rows=np.arange(0))
    if not inputs.ndim or not len(inputs):
        raise DataError(f"{name} have no rows: expected numbers (N, D) or images (N, channels, H, W), N >= 2")
    if inputs.ndim < 3:
        features = checked_features(inputs, name)
        remarks = lost_digits(inputs, features, name)
        return Records(kind=FEATURES, rows=np.arange(len(inputs)), features=features, remarks=remarks)
    if inputs.ndim != 4 or inputs.dtype != np.uint8 or inputs.shape[1] not in (1, 3) or not inputs.size:
        raise DataError(
            f"{name} are {inputs.dtype} of shape {inputs.shape}: expected images as uint8 in 0 .. 255 of shape "
            "(N, channels, H, W) with 1 or 3 channels; array.transpose(0, 3, 1, 2) brings channels forward, "
            f"array[:, None] adds a channel, {_to_bytes(inputs)}"
        )
    images = torch.from_numpy(np.array(inputs, order="C"))  # a copy: the caller's may be read-only, or change
    return Records(kind=IMAGES, rows=np.arange(len(inputs)), images=images)


def _to_bytes(images: NDArray) -> str:
    """How to bring images of some type to 8 bits: by the bits that they use, or from 0 .. 1."""
    if images.size and images.dtype.kind in "iu" and images.dtype.itemsize > 1 and images.min() >= 0:
        bits = max(8, int(images.max()).bit_length())
        if bits > 8:
            return f"(array >> {bits - 8}).astype('uint8') brings {bits} bits (values up to {images.max()}) to 8"
        return f"array.astype('uint8') takes values up to {images.max()} as they are"
    return "(255 * array).astype('uint8') converts from 0 .. 1"


def _array(path: Path, label: str) -> np.ndarray:
    try:
        with path.open("rb") as handle:
            loaded = np.load(handle, allow_pickle=False)
            return np.asarray(loaded if isinstance(loaded, np.ndarray) else loaded[label])
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"labels {label!r} of {printable(path)} cannot be read ({error}): mend the file") from error


def _replaced(labels: np.ndarray, changes: Changes) -> np.ndarray:
    new = labels.copy()
    new[list(changes)] = labels[list(changes.values())]
    return new
