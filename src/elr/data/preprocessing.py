"""From data as read to what a network takes, learned from training data and kept with the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from elr.data.examples import Examples, Label, LabelCoding
from elr.data.image_store import ImageStore
from elr.data.records import FEATURES, IMAGES, TABLE, TEXT, RawData, ReadOptions
from elr.data.tables import column_kinds, plain_columns, table_preprocessing
from elr.data.text import fit_text, one_scale
from elr.data.transforms import ImageTransform, Transform, image_statistics
from elr.errors import ArtifactError, DataError
from elr.files import PREPROCESSING_FILE, write_file
from elr.networks.sentence_encoders import encoder_probe


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What the images of a run look like.

    Args:
        channels: 1 or 3.
        height: in pixels.
        width: in pixels.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        resize: pixels of the shorter side before the middle square is cut out; None: the largest square is.
    """

    channels: int
    height: int
    width: int
    mean: list[float]
    std: list[float]
    resize: int | None = None


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Preprocessing of one run.

    Args:
        kind: "table", "images", "features" or "text".
        coding: the classes.
        columns: kind of each column learned from, for tables and text.
        preprocessing: fitted scikit-learn transformer, for all but images that a network sees as such.
        image_format: for images that a network sees as such.
        probe: what the sentence encoder, if there is one, makes of a fixed sentence.
        remarks: what was left out and why.
    """

    kind: str
    coding: LabelCoding
    columns: Mapping[str, str] | None = None
    preprocessing: Any = None
    image_format: ImageFormat | None = None
    probe: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def fit(cls, raw: RawData, options: ReadOptions, *, coding: LabelCoding | None = None) -> Encoder:
        """Learn scales, categories and, unless their `coding` is given, classes from training data.

        Raises:
            DataError: labels that say nothing, no usable column, infinite values.
        """
        if raw.labels is None:
            raise DataError("the training data have no labels")
        given = raw.labels if raw.annotations is None else raw.annotations.labels
        coding = coding or LabelCoding.fit(given, column=options.label_name)
        alike = _lookalikes(coding.class_names)
        if raw.kind == TABLE and raw.table is not None:
            columns, remarks = column_kinds(raw.table, as_written=raw.as_written)
            plain = plain_columns(raw.table, columns, name="the training data")
            fitted = table_preprocessing(columns).fit(plain)
            return cls(kind=TABLE, coding=coding, columns=columns, preprocessing=fitted, remarks=(*alike, *remarks))
        if raw.kind == TEXT and raw.table is not None:
            (name,) = raw.table.columns
            if raw.features is not None and options.encoder:
                scale, probe = one_scale(raw.features), tuple(encoder_probe(options.encoder))
                found = {"columns": {name: TEXT}, "preprocessing": scale, "probe": probe}
                return cls(kind=TEXT, coding=coding, remarks=alike, **found)
            fitted = fit_text(raw.table[name].tolist(), name=f"text column {name!r}")
            return cls(kind=TEXT, coding=coding, columns={name: TEXT}, preprocessing=fitted, remarks=alike)
        if raw.kind == IMAGES and raw.features is not None:
            return cls(kind=IMAGES, coding=coding, preprocessing=one_scale(raw.features), remarks=alike)
        if raw.kind == IMAGES and raw.images is not None:
            statistics = image_statistics(raw.images)
            mean, std = (list(raw.pretrained.mean), list(raw.pretrained.std)) if raw.pretrained else statistics
            _, channels, height, width = raw.images.shape
            resize = raw.images.geometry.resize if isinstance(raw.images, ImageStore) else None
            size = {"channels": channels, "height": height, "width": width, "resize": resize}
            image_format = ImageFormat(**size, mean=mean, std=std)
            return cls(kind=IMAGES, coding=coding, image_format=image_format, remarks=alike)
        return cls(kind=FEATURES, coding=coding, preprocessing=StandardScaler().fit(raw.features), remarks=alike)

    def encode(self, raw: RawData, *, name: str, label_name: str = "label", with_labels: bool = True) -> Examples:
        """Examples with class numbers (none where `raw` has no labels or they are not wanted).

        Raises:
            DataError: data of another kind, shape or columns than in training, values too far from those of training,
                or labels unknown in training.
        """
        if raw.kind != self.kind:
            raise DataError(f"{name} holds {raw.kind}, the run was trained on {self.kind}: give data of that kind")
        inputs = self._inputs(raw, name)
        if not with_labels or raw.labels is None:
            return Examples(inputs, None)
        shares = None if raw.annotations is None else raw.annotations.shares(self.coding)
        return Examples(inputs, self.coding.encode(raw.labels, column=label_name), label_shares=shares)

    def _inputs(self, raw: RawData, name: str) -> Any:
        if self.kind == TABLE and raw.table is not None and self.columns is not None:
            return self._preprocessed(plain_columns(raw.table, self.columns, name=name), name)
        if self.kind in (TEXT, IMAGES) and isinstance(self.preprocessing, StandardScaler):
            return self._scaled(raw.features, name)
        if self.kind == TEXT and raw.table is not None:
            return self.preprocessing.transform(raw.table.iloc[:, 0].tolist())
        if self.kind == IMAGES and raw.images is not None:
            return self._fitting_images(raw.images, name)
        return self._scaled(raw.features, name)

    def _scaled(self, features: NDArray[np.float32] | None, name: str) -> NDArray[np.float32]:
        if features is None or features.shape[1] != self.preprocessing.n_features_in_:
            found = None if features is None else features.shape[1]
            raise DataError(
                f"{name} has {found} features, training had {self.preprocessing.n_features_in_}: give the same ones in "
                "the same order"
            )
        return self._preprocessed(features, name)

    def check_encoder(self, encoder: str) -> None:
        """Refuse a sentence encoder that is not the one of training.

        Raises:
            ArgumentError: it cannot be loaded.
            DataError: it gives other numbers for the same sentence.
        """
        found = encoder_probe(encoder)
        if len(found) != len(self.probe) or not np.allclose(found, self.probe, atol=1e-2):
            raise DataError(
                f"encoder {encoder!r} is not the one of training, it gives other numbers for the same sentence: name "
                "that one with --encoder"
            )

    def _preprocessed(self, values: Any, name: str) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # named below
            rows = np.asarray(self.preprocessing.transform(values)).astype(np.float32)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise DataError(
                f"{name} has a value in row {int(bad.argmax())} that is too far from those of training to be computed "
                "with: check that row"
            )
        return rows

    def _fitting_images(self, images: Tensor | ImageStore, name: str) -> Tensor | ImageStore:
        """The images with the channels of training: gray from color by the mean, color from gray by repeating."""
        expected = self.image_format
        if expected is None or images.shape[2:] != (expected.height, expected.width):
            size = (expected.height, expected.width) if expected else None
            raise DataError(f"{name} has images of {tuple(images.shape[2:])} pixels, training had {size}: resize them")
        if images.shape[1] == expected.channels or isinstance(images, ImageStore):
            return images
        if expected.channels == 1:
            return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
        return images.expand(-1, expected.channels, -1, -1)

    def transform(
        self,
        *,
        crop: bool = False,
        window: bool = False,
        flip: bool = False,
        cutout: int = 0,
        mirror: bool = False,
        flatten: bool = False,
    ) -> Transform:
        """From stored rows to network inputs; the settings are for images, see `ImageTransform`."""
        if self.image_format is None:
            return Transform()
        return ImageTransform(
            self.image_format.mean,
            self.image_format.std,
            padding=max(1, self.image_format.height // 8) if crop else 0,  # 4 of 32 pixels, as in the paper
            window=window,
            flip=flip,
            cutout=cutout,
            mirror=mirror,
            flatten=flatten,
        )

    @property
    def num_classes(self) -> int:
        return len(self.coding.class_names)

    def to_json(self) -> dict[str, Any]:
        """All but the fitted transformer, as plain values."""
        return {
            "kind": self.kind,
            "class_names": list(self.coding.class_names),
            "columns": None if self.columns is None else dict(self.columns),
            "image_format": None if self.image_format is None else vars(self.image_format),
            **({"probe": list(self.probe)} if self.probe else {}),
        }

    def save(self, folder: Path) -> None:
        """Write the fitted transformer, if there is one, into the folder of the run."""
        if self.preprocessing is not None:
            write_preprocessing(folder / PREPROCESSING_FILE, self.preprocessing)

    @classmethod
    def load(cls, folder: Path, settings: Mapping[str, Any]) -> Encoder:
        """Read what `save` and `to_json` wrote, executing nothing.

        Raises:
            ArtifactError: damaged, incomplete or untrusted.
        """
        try:
            kind, image_format, columns = settings["kind"], settings["image_format"], settings["columns"]
            coding = LabelCoding(class_names=tuple(settings["class_names"]))
            if kind == IMAGES and image_format is not None:
                return cls(kind=IMAGES, coding=coding, image_format=ImageFormat(**image_format))
            fitted = read_preprocessing(folder / PREPROCESSING_FILE)
            if (
                kind == TABLE
                and isinstance(fitted, ColumnTransformer)
                and list(fitted.feature_names_in_) == list(columns)
            ):
                return cls(kind=TABLE, coding=coding, columns=columns, preprocessing=fitted)
            if kind == TEXT and isinstance(fitted, StandardScaler) and len(columns) == 1:
                probe = tuple(settings["probe"])
                return cls(kind=TEXT, coding=coding, columns=columns, preprocessing=fitted, probe=probe)
            if kind == TEXT and isinstance(fitted, Pipeline) and len(columns) == 1:
                return cls(kind=TEXT, coding=coding, columns=columns, preprocessing=fitted)
            if kind in (FEATURES, IMAGES) and isinstance(fitted, StandardScaler):
                return cls(kind=kind, coding=coding, preprocessing=fitted)
        except (AttributeError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"run.json in {folder} is damaged: its encoder is incomplete ({error}); run `elr fit` again"
            ) from error
        raise ArtifactError(
            f"{folder / PREPROCESSING_FILE} holds a {type(fitted).__name__} that does not fit run.json ({kind!r}): the "
            "folder is mixed up or damaged; run `elr fit` again"
        )


def _lookalikes(class_names: tuple[Label, ...]) -> tuple[str, ...]:
    """A remark for each group of classes that differ only by case or space: most likely one in several spellings."""
    spellings: dict[str, list[str]] = {}
    for name in class_names:
        spellings.setdefault(" ".join(str(name).split()).casefold(), []).append(repr(name))
    return tuple(
        f"classes {', '.join(group)} differ only by case or space, and were taken for different ones: mend the labels "
        "if they are one"
        for group in spellings.values()
        if len(group) > 1
    )


_TRUSTED = ["numpy.dtype"]  # plain data, which older versions of skops do not list themselves


def write_preprocessing(path: Path, preprocessing: object) -> None:
    """Write a scikit-learn transformer in the skops format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_preprocessing(Path(folder) / "scaler.skops", StandardScaler().fit([[1.0], [3.0]]))
        ...     read_preprocessing(Path(folder) / "scaler.skops").mean_
        array([2.])
    """
    from skops import io as skops_io  # half a second, which only some commands need to spend

    write_file(path, lambda partial: skops_io.dump(preprocessing, partial))


def read_preprocessing(path: Path) -> Any:
    """Read a scikit-learn transformer; nothing but scikit-learn's and NumPy's own types is built.

    Raises:
        ArtifactError: no such file, damaged, or with types that could execute code.

    Example:
        >>> read_preprocessing(Path("no-such-file"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-file cannot be read (...): the run is incomplete or damaged
    """
    from skops import io as skops_io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops_io.load(path, trusted=_TRUSTED)
    except UntrustedTypesFoundException as error:
        raise ArtifactError(f"{path} holds types that elr never writes ({error}): do not load it") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error
