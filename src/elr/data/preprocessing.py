"""From records to what a network takes, learned from training data and kept with the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from elr.checking import check_types
from elr.data.examples import Examples
from elr.data.label_coding import LabelCoding
from elr.data.records import ROWS_AT_ONCE, ColumnReport, Finding, ReadOptions, Records
from elr.data.transforms import Transform
from elr.errors import ArgumentError, ArtifactError, DataError, RowError
from elr.files import PREPROCESSING_FILE, write_file

_TRUSTED = ["numpy.dtype"]  # plain data, which older versions of skops do not list themselves
_Some = TypeVar("_Some", bound="Preprocessing")


@dataclass(frozen=True, kw_only=True)
class Preprocessing(ABC):
    """What turns records of one kind into examples: abstract, with a subclass for each way of doing so.

    Args:
        coding: the classes.
        transformer: fitted scikit-learn transformer, for all but images that a network sees as such.
        columns: kind of each column learned from, for tables and text.
        remarks: what was left out and why.
        feature_blocks: name -> [start, stop) of the columns of its inputs, where these hold features of several kinds
            for networks to choose from; nothing where all are of one kind.
        column_reports: what each column considered was found to hold; of tables, after `fit` only.

    Example:
        >>> records = Records(kind="features", rows=np.arange(2), features=np.array([[1.0], [3.0]], "float32"))
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> from elr.data.kinds.features import FeaturesPreprocessing
        >>> fitted = FeaturesPreprocessing.fit(records, ReadOptions(), coding=coding)
        >>> fitted.encode(records, name="it").inputs
        tensor([[-1.],
                [ 1.]])
    """

    kind: ClassVar[str]
    learns_from: ClassVar[str]
    """What its inputs are, for messages."""
    takes_images: ClassVar[bool] = False
    """Whether its inputs are images, for networks that take such."""
    coding: LabelCoding
    transformer: Any = None
    columns: Mapping[str, str] | None = None
    remarks: tuple[str, ...] = ()
    feature_blocks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    column_reports: tuple[ColumnReport, ...] = ()

    @classmethod
    def suits(cls, records: Records, options: ReadOptions) -> bool:
        """Whether records of its kind are prepared so, where there are several ways."""
        del records, options
        return True

    @classmethod
    def wrote(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `to_json` of this class gave some settings of its kind, where there are several ways."""
        del settings
        return True

    @classmethod
    @abstractmethod
    def fit(cls: type[_Some], records: Records, options: ReadOptions, *, coding: LabelCoding) -> _Some:
        """Learn from training data.

        Raises:
            DataError: no usable column, infinite values, no words.
        """

    @abstractmethod
    def _inputs(self, records: Records, name: str) -> Any:
        """What `Examples` takes as inputs."""

    def encode(self, records: Records, *, name: str, label_name: str = "label", with_labels: bool = True) -> Examples:
        """Examples with class numbers (none where the records have no labels or they are not wanted).

        Raises:
            DataError: data of another kind, shape or columns than in training, values too far from those of training,
                or labels unknown in training.
        """
        if records.kind != self.kind:
            raise DataError(f"{name} holds {records.kind}, the run was trained on {self.kind}: give data of that kind")
        with records.locating():
            inputs = self._inputs(records, name)
            if not with_labels or records.labels is None:
                return Examples(inputs, None)
            shares = None if records.annotations is None else records.annotations.shares(self.coding)
            labels = self.coding.encode(records.labels, column=label_name)
        return Examples(inputs, labels, label_shares=shares)

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
        del crop, window, flip, cutout, mirror, flatten
        return Transform()

    def plain(self, records: Records, *, name: str) -> pd.DataFrame | None:
        """The columns that are learned from as numbers and categories, of a table; None where there are no such."""
        del records, name

    def findings(self, records: Records, *, name: str) -> list[Finding]:
        """What the user should know about new data: what in them training did not know, or could not be read.

        Args:
            records: test data, or new data to predict.
            name: how messages name them.
        """
        del records, name
        return []

    def silent(self, records: Records) -> NDArray[np.bool_]:
        """(M,) of which rows nothing can be said, as there is nothing in them to learn from; so the audit says nothing.

        Args:
            records: of training.
        """
        return np.zeros(len(records), dtype=bool)

    def feature_rate(self, num_features: int) -> float | None:
        """The learning rate for what is many numbers of one kind; None where that of any others will do."""
        del num_features

    def reading(self, options: ReadOptions, *, folder: Path, encoder: str | None) -> ReadOptions:
        """How to read new data as those of training were read.

        Args:
            options: of training.
            folder: of the run.
            encoder: the sentence encoder of the run, if it lies elsewhere than in training.

        Raises:
            ArgumentError: an encoder, where the run has none.
            DataError: it is not that of training.
        """
        if encoder is not None:
            raise ArgumentError(f"encoder is {encoder!r}, and the run in {folder} has none: leave it out")
        return options

    def written_with(self, decimal: str) -> Preprocessing:
        """The same for new data whose numbers are written with that mark of decimals, "." or ","."""
        del decimal
        return self

    @property
    def num_classes(self) -> int:
        return len(self.coding.class_names)

    def to_json(self) -> dict[str, Any]:
        """All but the fitted transformer, as plain values."""
        return {
            "kind": self.kind,
            "class_names": list(self.coding.class_names),
            "spellings": {name: dict(found) for name, found in self.coding.spellings.items()},
            "columns": None if self.columns is None else dict(self.columns),
            "image_format": None,
        }

    def save(self, folder: Path) -> None:
        """Write the fitted transformer, if there is one, into the folder of the run."""
        if self.transformer is not None:
            write_preprocessing(folder / PREPROCESSING_FILE, self.transformer)

    @classmethod
    def load(cls: type[_Some], folder: Path, settings: Mapping[str, Any], *, coding: LabelCoding) -> _Some:
        """Read what `save` and `to_json` wrote, executing nothing.

        Raises:
            ArtifactError: damaged, incomplete or untrusted.
        """
        transformer = read_preprocessing(folder / PREPROCESSING_FILE)
        found = cls._restored(transformer, settings, coding)
        if found is None:
            raise ArtifactError(
                f"{folder / PREPROCESSING_FILE} holds a {type(transformer).__name__} that does not fit run.json "
                f"({cls.kind!r}): the folder is mixed up or damaged; run `elr fit` again"
            )
        return found

    @classmethod
    def _restored(cls: type[_Some], transformer: Any, settings: Mapping[str, Any], coding: LabelCoding) -> _Some | None:
        """The preprocessing with this transformer; None where it is not its own."""
        del settings
        return cls(coding=coding, transformer=transformer) if isinstance(transformer, StandardScaler) else None

    def _transformed(self, values: Any, name: str) -> NDArray[np.float32]:
        """(N, inputs) of rows, some at a time: all at once take several times the memory."""
        rows = values.iloc if isinstance(values, pd.DataFrame) else values
        inputs: NDArray[np.float32] | None = None
        for start in range(0, max(1, len(values)), ROWS_AT_ONCE):
            with np.errstate(over="ignore"):  # named below
                part = np.asarray(self.transformer.transform(rows[start : start + ROWS_AT_ONCE]))
                inputs = np.empty((len(values), part.shape[1]), dtype=np.float32) if inputs is None else inputs
                inputs[start : start + ROWS_AT_ONCE] = part
            bad = ~np.isfinite(inputs[start : start + ROWS_AT_ONCE]).all(axis=1)
            if bad.any():
                raise RowError(
                    f"{name} has a value in ",
                    [start + int(bad.argmax())],
                    " that is too far from those of training to be computed with: check that row",
                )
        assert inputs is not None, "there is at least one part"
        return inputs

    def _scaled(self, records: Records, name: str) -> NDArray[np.float32]:
        self._check_width(records.features, name)
        return self._transformed(records.features, name)

    def _check_width(self, features: NDArray[np.float32] | None, name: str) -> None:
        expected = self.transformer.n_features_in_
        if features is None or features.shape[1] != expected:
            found = None if features is None else features.shape[1]
            raise DataError(
                f"{name} has {found} features, training had {expected}: give the same ones in the same order"
            )


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


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to images, and prediction.

    Args:
        crop: whether to shift each image at random by up to an eighth of its side; images on disk are cropped at a
            random place instead.
        flip: whether to mirror half of the images.
        cutout: side in pixels of a square that is blanked in each image; 0: none.
        mirror: whether predictions are averaged over each image and its mirror image.

    Example:
        >>> Augmentation(crop=True, flip=True)
        Augmentation(crop=True, flip=True, cutout=0, mirror=False)
    """

    crop: bool = False
    flip: bool = False
    cutout: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.cutout < 0:
            raise ArgumentError(f"cutout is {self.cutout}: expected the side of a square in pixels, or 0 for none")

    def transform(self, preprocessing: Preprocessing, *, flatten: bool, on_disk: bool = False) -> Transform:
        """From stored rows to network inputs; images on disk are larger than a crop, and cropped as they are read."""
        return preprocessing.transform(
            crop=self.crop and not on_disk,
            window=self.crop and on_disk,
            flip=self.flip,
            cutout=self.cutout,
            mirror=self.mirror,
            flatten=flatten,
        )
