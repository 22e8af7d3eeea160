"""All kinds of rows, in one dict; their preprocessing is fitted and loaded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elr.data.kinds.features import Features
from elr.data.kinds.images import Images
from elr.data.kinds.kind import Kind
from elr.data.kinds.table import Table
from elr.data.kinds.text import Text
from elr.data.label_coding import LabelCoding
from elr.data.labels.columns import SPELLINGS
from elr.data.labels.lookalikes import lookalikes
from elr.data.labels.spelling import spelling_remark
from elr.data.preprocessing import Preprocessing
from elr.data.records import FEATURES, IMAGES, TABLE, TEXT, ReadOptions, Records
from elr.errors import ArtifactError, DataError, RowError

KINDS: dict[str, Kind] = {TABLE: Table(), TEXT: Text(), IMAGES: Images(), FEATURES: Features()}


def fit_preprocessing(records: Records, options: ReadOptions, *, coding: LabelCoding | None = None) -> Preprocessing:
    """Learn scales, categories and, unless their `coding` is given, classes from training data.

    Args:
        records: with given labels.
        options: how they were read.
        coding: the classes, where they are known beforehand.

    Raises:
        DataError: labels that say nothing, no usable column, infinite values.

    Example:
        >>> import numpy as np
        >>> records = Records(kind="features", rows=np.arange(4), features=np.eye(4), labels=["dog", "cat"] * 2)
        >>> fit_preprocessing(records, ReadOptions()).coding.class_names
        ('cat', 'dog')
    """
    if records.labels is None:
        raise DataError("the training data have no labels")
    spellings = records.facts.get(SPELLINGS)
    with records.locating():
        if coding is None:
            coding = _fit_coding(records, column=options.label_name)
        fitted = KINDS[records.kind].fit(records, options, coding=coding)
    merged = [] if spellings else spelling_remark(coding.spellings, name=options.label_name)  # else said on reading
    return replace(fitted, remarks=(*merged, *lookalikes(coding.class_names), *fitted.remarks))


def _fit_coding(records: Records, *, column: str) -> LabelCoding:
    """The classes of records: of the given labels, or of all that annotators gave."""
    given, spellings = records.annotations, records.facts.get(SPELLINGS)
    if given is None:
        return LabelCoding.fit(records.labels or [], column=column, spellings=spellings)
    try:
        return LabelCoding.fit(given.labels, column="what annotators said", spellings=spellings)
    except RowError as error:
        raise error.at(given.rows.tolist()) from None


def load_preprocessing(folder: Path, settings: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of a run: what `Preprocessing.save` and `Preprocessing.to_json` wrote, executing nothing.

    Args:
        folder: of the run.
        settings: what `to_json` gave.

    Raises:
        ArtifactError: damaged, incomplete or untrusted.

    Example:
        >>> spec = {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "std": [0.3]}
        >>> settings = {"kind": "images", "class_names": ["cat", "dog"], "spellings": {}}
        >>> settings |= {"columns": None, "image_format": spec}
        >>> load_preprocessing(Path(), settings).num_classes
        2
    """
    try:
        kind, _, _ = settings["kind"], settings["image_format"], settings["columns"]
        coding = LabelCoding.stored(settings)
        return KINDS[kind].load(folder, settings, coding=coding)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"run.json in {folder} is damaged: its preprocessing is incomplete ({error}); run `elr fit` again"
        ) from error
