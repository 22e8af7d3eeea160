"""Rows of numbers: arrays and embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import StandardScaler

from elr.data.columns.scaling import LEAST_EMBEDDING, centers, fit_array_preprocessing, ranks_remark
from elr.data.columns.selection import number_roles
from elr.data.formats.format import FileFormat
from elr.data.kinds.kind import Contents, Kind, numbers
from elr.data.label_coding import LabelCoding
from elr.data.preprocessing import Preprocessing
from elr.data.records import FEATURES, Finding, ReadOptions, Records
from elr.errors import DataError

_EMBEDDING_RATE = 0.003  # docs/benchmarks/defaults.md
_ENOUGH = 10  # rows that tell another unit
_FAR = 5.0  # standard deviations of training


@dataclass(frozen=True, kw_only=True)
class FeaturesPreprocessing(Preprocessing):
    """Arrays of numbers, each feature standardized, after it was ranked where its tails are heavy.

    Example:
        >>> FeaturesPreprocessing(coding=LabelCoding(class_names=(0, 1))).feature_rate(768)
        0.003
    """

    kind, learns_from = FEATURES, FEATURES

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> FeaturesPreprocessing:
        del options
        features = records.features
        assert features is not None, "records of features have them"
        if (features.max(axis=0) == features.min(axis=0)).all():
            raise DataError(
                f"all {features.shape[1]} features say the same in every row, as float32 has them: there is nothing "
                "to learn from; expected numbers that differ from row to row"
            )
        roles = {}
        if features.shape[1] < LEAST_EMBEDDING:
            roles = number_roles(features, list(map(str, range(features.shape[1]))), records.labels or [])
        remarks = [
            f"feature {name} is learned from, but {reason}: leave it out of the array unless it is one"
            for name, reason in roles.items()
        ]
        transformer = fit_array_preprocessing(features)
        remarks += ranks_remark(transformer, what="feature")
        return cls(coding=coding, transformer=transformer, remarks=tuple(remarks))

    def _inputs(self, records: Records, name: str) -> NDArray[np.float32]:
        return self._scaled(records, name)

    @classmethod
    def _restored(
        cls, transformer: Any, settings: Mapping[str, Any], coding: LabelCoding
    ) -> FeaturesPreprocessing | None:
        del settings
        fits = isinstance(transformer, StandardScaler | ColumnTransformer) and not hasattr(
            transformer, "feature_names_in_"
        )
        return cls(coding=coding, transformer=transformer) if fits else None

    def findings(self, records: Records, *, name: str) -> list[Finding]:
        features = records.features
        if features is None or len(features) < _ENOUGH or features.shape[1] != self.transformer.n_features_in_:
            return []
        means, spreads = centers(self.transformer)
        away = (features.min(axis=0) > means + _FAR * spreads) | (features.max(axis=0) < means - _FAR * spreads)
        places = np.flatnonzero(away & (spreads > 0))
        if not len(places):
            return []
        first = int(places[0])
        values = features[:, first]
        text = (
            f"{len(places)} of {features.shape[1]} features of {name} lie far from those of training in every row: "
            f"feature {first} from {values.min():g} to {values.max():g}, in training about {means[first]:g}, give or "
            f"take {spreads[first]:g}: is it another unit or scale?"
        )
        return [Finding(text=text, loud=True)]

    def feature_rate(self, num_features: int) -> float | None:
        learned = getattr(self.transformer, "n_features_in_", num_features)
        return _EMBEDDING_RATE if learned >= LEAST_EMBEDDING else None


class Features(Kind):
    """Numbers, which say nothing to people.

    Example:
        >>> Features().shows_rows
        False
    """

    preprocessings = (FeaturesPreprocessing,)
    shows_rows = False

    def contents(
        self, form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]
    ) -> Contents:
        del form, source, options, ids
        return numbers(rows)
