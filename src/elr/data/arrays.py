"""Data as arrays: pairs in memory, .npz and .npy files, a column of lists; read without executing anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from elr.data.examples import Label, as_array, checked_features, one_each
from elr.data.records import FEATURES, IMAGES, RawData, ReadOptions
from elr.data.tables import label_values, row_names, some
from elr.errors import DataError
from elr.files import printable


def from_npz(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    """The one array of features or images in an .npz, with the arrays that the options name."""
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
            f"{place} has {len(candidates)} arrays of features (N, D) or images (N, channels, H, W) beside the labels "
            f"({found}): expected one; name others with --ignore"
        )
    chosen = candidates[0]
    raw = from_arrays(arrays[chosen], arrays.get(options.label or ""), options, name=f"{place}, array {chosen!r}")
    if options.clean_label in arrays:
        clean = _array_labels(arrays[options.clean_label], len(raw), name=f"array {options.clean_label!r} of {place}")
        raw = replace(raw, clean_labels=clean)
    if options.id in arrays:
        ids = pd.Series(one_each(arrays[options.id], len(raw), name=f"array {options.id!r} of {place}"))
        raw = replace(raw, ids=row_names(ids))
    return raw


def from_npy(path: Path, options: ReadOptions, *, training: bool) -> RawData:
    """The array of an .npy; for training its labels are in a second .npy, which the options name as the label.

    Raises:
        DataError: not such an array, or no labels to train on.
    """
    place = printable(path)
    raw = from_arrays(_npy_array(path), None, options, name=place)
    if not training:
        return raw
    if not options.label:
        raise DataError(f"{place} holds no labels: name a second file of N labels, --label labels.npy, or use an .npz")
    labels = _beside(options.label, len(raw), role="label")
    clean = None if options.clean_label is None else _beside(options.clean_label, len(raw), role="clean-label")
    if options.id is None:
        return replace(raw, labels=labels, clean_labels=clean)
    ids = [str(name) for name in _beside(options.id, len(raw), role="id")]
    return replace(raw, labels=labels, clean_labels=clean, ids=ids)


def _beside(name: str, count: int, *, role: str) -> list[Label]:
    """One value for each row from another .npy."""
    path = Path(name)
    if path.suffix.lower() != ".npy" or not path.is_file():
        raise DataError(
            f"--{role} is {name!r}: for features in an .npy file expected the path of a second one, with a value for "
            f"each of the {count} rows"
        )
    return _array_labels(_npy_array(path), count, name=f"{role} file {printable(path)}")


def _npy_array(path: Path) -> NDArray:
    try:
        with path.open("rb") as handle:
            array = np.load(handle, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays: rename it to .npz")
            return array
    except Exception as error:  # a damaged file fails in many ways
        reason = "it is pickled, which could execute code" if "pickle" in str(error) else error
        raise DataError(f"{printable(path)} cannot be read as .npy: {reason}; write it with numpy.save") from error


def list_features(column: pd.Series, *, name: str) -> NDArray[np.float32]:
    """Features (M, D) from a column of lists of D numbers, such as embeddings.

    Raises:
        DataError: a missing list, lists of several lengths, anything but finite numbers (said where).

    Example:
        >>> list_features(pd.Series([[1, 2], [3, 4]]), name="column 'e'").shape
        (2, 2)
    """
    missing = column.isna().to_numpy(dtype=bool)
    if missing.any():
        raise DataError(
            f"{name} is missing in {int(missing.sum())} of {len(column)} rows, first in row {int(missing.argmax())}: "
            "remove these rows, or compute their embeddings"
        )
    values = column.tolist()
    lengths = [len(value) if isinstance(value, list | tuple | np.ndarray) else -1 for value in values]
    common = Counter(lengths).most_common(1)[0][0] if lengths else 0
    odd = next((row for row, length in enumerate(lengths) if length != common or length < 1), None)
    if odd is not None:
        what = f"{lengths[odd]} numbers" if lengths[odd] >= 0 else f"{values[odd]!r}, which is no list,"
        raise DataError(f"{name} has {what} in row {odd}: expected a list of {max(common, 1)} numbers in each row")
    try:
        rows = np.array([np.asarray(value, dtype=np.float64) for value in values])
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds lists of something else than numbers ({error})") from error
    return checked_features(rows, name)


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
        raise DataError(f"{printable(path)} cannot be read as .npz: {reason}; write it with numpy.savez") from error
    return arrays, refused


def _array_labels(labels: ArrayLike, count: int, *, name: str) -> list[Label]:
    return label_values(pd.Series(one_each(as_array(labels, name), count, name=name)), name=name)


def from_arrays(inputs: NDArray, labels: ArrayLike | None, options: ReadOptions, *, name: str) -> RawData:
    """Features (N, D) or uint8 images (N, channels, H, W), and labels if there are any.

    Raises:
        DataError: another shape or type.
    """
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
