"""Frozen features of images: what a pretrained network makes of them, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from elr.data.formats.images import read_images
from elr.data.pictures.image_store import ImageStore
from elr.data.records import FEATURES, ReadOptions, Records
from elr.errors import ArgumentError
from elr.files import write_file

if TYPE_CHECKING:
    from elr.runs.bench.sources.loaded import Loaded


def frozen(loaded: Loaded, backbone: str, *, weights: str | None = None, cache: Path | None = None) -> Loaded:
    """The same data with features of a pretrained network in the place of their images.

    Computed as `elr fit --backbone NAME` computes them, of images brought to at least 128 pixels.

    Args:
        loaded: images in memory.
        backbone: a model of timm.
        weights: file of its weights.
        cache: folder of the file in which they are kept, by what they were made of; None: they are not kept.

    Raises:
        ArgumentError: no images in memory, or no such backbone.

    Example:
        >>> from elr.runs.bench.sources.loaded import Loaded
        >>> rows = Records(kind="features", rows=np.arange(4), features=np.eye(4), labels=[0, 1, 0, 1])
        >>> frozen(Loaded(name="mine", train=rows, source="mine"), "tf_efficientnet_lite0")
        Traceback (most recent call last):
        elr.errors.ArgumentError: data 'mine' are no images in memory: a backbone makes features of images only; ...
    """
    parts = {"train": loaded.train} | ({} if loaded.test is None else {"test": loaded.test})
    for part in parts.values():
        if part.images is None or isinstance(part.images, ImageStore):
            raise ArgumentError(
                f"data {loaded.name!r} are no images in memory: a backbone makes features of images only; leave it out"
            )
    file = None if cache is None else cache / f"{loaded.name}-{_fingerprint(parts, backbone, weights)}.npz"
    found = _kept(file)
    if found is None:
        found = {name: _features(part, backbone, weights) for name, part in parts.items()}
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = found
            write_file(file, lambda partial: _save(partial, kept))
    made = {
        name: replace(part, kind=FEATURES, images=None, image_size=None, features=found[name])
        for name, part in parts.items()
    }
    return replace(loaded, train=made["train"], test=made.get("test"), source=f"{loaded.source}, {backbone}")


def _features(records: Records, backbone: str, weights: str | None) -> NDArray[np.float32]:
    images = records.images
    assert images is not None, "checked by the caller"

    def encoded() -> Iterator[tuple[bytes, str]]:
        for number in range(len(records)):
            array = images[number].numpy().transpose(1, 2, 0)
            buffer = io.BytesIO()
            Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, "PNG", compress_level=1)
            yield buffer.getvalue(), f"image {number}"

    options = ReadOptions(backbone=backbone, weights=weights, fine_tune=False)
    features = read_images(encoded, len(records), options)[0].features
    assert features is not None, "a frozen backbone gives features"
    return features


def _fingerprint(parts: dict[str, Records], backbone: str, weights: str | None) -> str:
    """Of the pixels and what looks at them."""
    digest = hashlib.sha256(json.dumps([backbone, weights]).encode())
    for name, part in parts.items():
        assert isinstance(part.images, Tensor), "checked by the caller"
        array = np.ascontiguousarray(part.images.numpy())
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def _kept(file: Path | None) -> dict[str, NDArray[np.float32]] | None:
    """Features of an earlier run; None where there are none, or a damaged file."""
    if file is None or not file.is_file():
        return None
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _save(partial: Path, found: dict[str, NDArray[np.float32]]) -> None:
    with partial.open("wb") as handle:  # a path would get another ending
        np.savez(handle, **found)  # type: ignore[arg-type]
