"""What an exported model of a run takes, kind by kind, and rows to check it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from elr import files
from elr.data.columns.new_data import plain_columns
from elr.data.columns.reading import CATEGORICAL, NUMERIC
from elr.data.columns.scaling import INNER, RANKED, RANKS, centers, is_ranking
from elr.data.examples import Examples
from elr.data.kinds.features import FeaturesPreprocessing
from elr.data.kinds.images import BackbonePreprocessing, PixelsPreprocessing
from elr.data.kinds.table import TablePreprocessing
from elr.data.kinds.text import SentencesPreprocessing, WordsPreprocessing
from elr.data.preprocessing import Preprocessing
from elr.data.records import ReadOptions, Records
from elr.devices import computes_bfloat16, default_device
from elr.errors import ArgumentError, ArtifactError
from elr.networks.backbones import load_backbone
from elr.runs.export.graph import (
    Arranged,
    AsTheyCome,
    Imputed,
    LogOdds,
    OneHot,
    Pixels,
    Ranked,
    Standardized,
    TableColumns,
)
from elr.runs.plan import Plan

CHECKED_ROWS = 8
_UNKNOWN = "\0no such category"
_MISSING_SHARE = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckRows:
    """Rows with which an exported model is compared with `elr predict`.

    Args:
        inputs: of the exported model, each (B, ...).
        examples: the same rows as the networks of the run take them.

    Example:
        >>> rows = torch.ones(2, 3)
        >>> len(CheckRows(inputs=(rows,), examples=Examples(rows, None)).examples)
        2
    """

    inputs: tuple[Tensor, ...]
    examples: Examples


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelInputs:
    """What an exported model takes.

    Args:
        prepare: from these inputs to those of the networks.
        described: each input with name, dtype, shape and meaning, for the file beside the model.
        words: what has to be done before.
        made: so many rows to check with, by a generator.
        of: the rows of records, where these hold the inputs; else None.
        about: more for the file beside the model, such as the categories of each column.
        half: whether `elr predict` computes part of it in bfloat16, on this machine.

    Example:
        >>> made = lambda rng: CheckRows(inputs=(torch.ones(1, 2),), examples=Examples(torch.ones(1, 2), None))
        >>> inputs = ModelInputs(prepare=AsTheyCome(), described=[], words="nothing", made=made)
        >>> inputs.made(np.random.default_rng(0)).inputs[0].shape
        torch.Size([1, 2])
    """

    prepare: nn.Module
    described: Sequence[Mapping[str, Any]]
    words: str
    made: Callable[[np.random.Generator], CheckRows]
    of: Callable[[Records], CheckRows] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    half: bool = False


def inputs_of(preprocessing: Preprocessing, plan: Plan, options: ReadOptions, folder: Path) -> ModelInputs:
    """What the exported model of a run takes.

    Args:
        preprocessing: of the run.
        plan: of the run.
        options: how its data were read.
        folder: of the run.

    Raises:
        ArgumentError: a kind of data that no exported model takes.
        ArtifactError: a damaged run.

    Example:
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.runs.fit_config import FitConfig
        >>> prepared = prepare_data((np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)), ReadOptions())
        >>> plan = FitConfig(epochs=2, members=1).plan(prepared)
        >>> inputs_of(prepared.preprocessing, plan, ReadOptions(), Path()).described[0]["shape"]
        ['batch', 2]
    """
    match preprocessing:
        case TablePreprocessing():
            return _table(preprocessing)
        case PixelsPreprocessing():
            return _pixels(preprocessing, flatten=not plan.network.takes_images)
        case BackbonePreprocessing():
            return _backbone(preprocessing, options, folder)
        case FeaturesPreprocessing():
            return _features(preprocessing, "the features, in the order of training", with_records=True)
        case SentencesPreprocessing():
            return _features(
                preprocessing,
                f"the embedding of the text by the sentence encoder {options.encoder!r}",
                with_records=False,
            )
        case WordsPreprocessing():
            return _words(preprocessing)
        case _:
            raise ArgumentError(
                f"a run on {preprocessing.learns_from} cannot be exported: expected tables, text, images or "
                "arrays; use `elr predict`"
            )


def _described(name: str, values: Tensor, meaning: str) -> dict[str, Any]:
    shape = ["batch", *values.shape[1:]]
    return {"name": name, "dtype": str(values.dtype).removeprefix("torch."), "shape": shape, "meaning": meaning}


def _standardized(scaler: Any) -> Standardized:
    count = scaler.n_features_in_
    mean = np.zeros(count) if scaler.mean_ is None else scaler.mean_
    return Standardized(mean, np.ones(count) if scaler.scale_ is None else scaler.scale_)


def _features(preprocessing: Preprocessing, meaning: str, *, with_records: bool) -> ModelInputs:
    scaler = preprocessing.transformer
    parts = [(part, list(places)) for _, part, places in getattr(scaler, "transformers_", [])]
    scalings = [_scaling(part) for part, _ in parts]
    prepare = Arranged([places for _, places in parts], scalings) if parts else _standardized(scaler)

    def rows(features: np.ndarray) -> CheckRows:
        scaled = np.asarray(scaler.transform(features)).astype(np.float32)
        return CheckRows(inputs=(torch.from_numpy(features),), examples=Examples(scaled, None))

    def made(rng: np.random.Generator) -> CheckRows:
        means, spreads = centers(scaler)
        drawn = means + spreads * rng.normal(size=(CHECKED_ROWS, scaler.n_features_in_))
        return rows(drawn.astype(np.float32))

    def of(records: Records) -> CheckRows:
        assert records.features is not None, "features are in the records"
        return rows(np.ascontiguousarray(records.features, dtype=np.float32))

    described = [_described("features", made(np.random.default_rng(0)).inputs[0], meaning)]
    words = f"Inputs are {meaning}, as float32; the model standardizes them itself."
    return ModelInputs(prepare=prepare, described=described, words=words, made=made, of=of if with_records else None)


def _words(preprocessing: WordsPreprocessing) -> ModelInputs:
    pipeline = preprocessing.transformer
    dense = int(pipeline["dimensions"].n_components)
    width = max((stop for _, stop in preprocessing.feature_blocks.values()), default=dense)
    meaning = "features of the text: " + (
        ", ".join(
            f"{name} in columns {start} to {stop - 1}" for name, (start, stop) in preprocessing.feature_blocks.items()
        )
        or "latent semantic analysis of its words"
    )

    def made(rng: np.random.Generator) -> CheckRows:
        drawn = (rng.normal(size=(CHECKED_ROWS, width)) * (rng.random((CHECKED_ROWS, width)) < 0.5)).astype(np.float32)
        return CheckRows(inputs=(torch.from_numpy(drawn),), examples=Examples(drawn, None))

    def of(records: Records) -> CheckRows:
        examples = preprocessing.encode(records, name="the data", with_labels=False)
        return CheckRows(inputs=(examples.fetch(torch.arange(len(examples))),), examples=examples)

    words = (
        f"Words stay outside: inputs are {meaning}, dense float32, as the fitted scikit-learn pipeline of the run "
        f"({files.PREPROCESSING_FILE}) makes them; in Python: elr.data.text.text_blocks(pipeline, texts).toarray(), or "
        "pipeline.transform(texts) where there are no blocks."
    )
    described = [_described("features", made(np.random.default_rng(0)).inputs[0], meaning)]
    return ModelInputs(prepare=AsTheyCome(), described=described, words=words, made=made, of=of)


def _pixels(preprocessing: PixelsPreprocessing, *, flatten: bool) -> ModelInputs:
    spec = preprocessing.spec
    shape = (CHECKED_ROWS, spec.channels, spec.height, spec.width)

    def made(rng: np.random.Generator) -> CheckRows:
        images = torch.from_numpy(rng.integers(0, 256, size=shape, dtype=np.uint8))
        return CheckRows(inputs=(images,), examples=Examples(images, None))

    def of(records: Records) -> CheckRows:
        examples = preprocessing.encode(records, name="the data", with_labels=False)
        return CheckRows(inputs=(examples.fetch(torch.arange(len(examples))),), examples=examples)

    described = [_described("images", made(np.random.default_rng(0)).inputs[0], "pixels from 0 to 255, channels first")]
    cut = (
        "the largest middle square"
        if spec.resize is None
        else f"the shorter side to {spec.resize} pixels, its middle square"
    )
    words = (
        f"Images are decoded to {'RGB' if spec.channels == 3 else 'gray'}, {cut} is cut out and brought to "
        f"{spec.height}x{spec.width} pixels, before; the model normalizes them itself."
    )
    if spec.range is not None:
        words += f" They had more than 8 bits: values from {spec.range[0]:g} to {spec.range[1]:g} became 0 to 255."
    return ModelInputs(
        prepare=Pixels(spec.mean, spec.std, flatten=flatten), described=described, words=words, made=made, of=of
    )


def _backbone(preprocessing: BackbonePreprocessing, options: ReadOptions, folder: Path) -> ModelInputs:
    if options.backbone is None:
        raise ArtifactError(f"run.json in {folder} names no backbone: it is damaged; run `elr fit` again")
    backbone = load_backbone(options.backbone, weights=folder / files.BACKBONE_FILE)
    size = options.image_size or backbone.size
    network = load_backbone(options.backbone, weights=folder / files.BACKBONE_FILE).network  # which embed may not move
    scaling = _standardized(preprocessing.transformer)
    prepare = nn.Sequential(Pixels(backbone.mean, backbone.std), network.eval(), scaling)

    def made(rng: np.random.Generator) -> CheckRows:
        small = torch.from_numpy(rng.integers(0, 256, size=(CHECKED_ROWS // 2, 3, 8, 8)).astype(np.float32))
        images = nn.functional.interpolate(small, size=(size, size), mode="bilinear").round().to(torch.uint8)
        scaled = np.asarray(preprocessing.transformer.transform(backbone.embed(images))).astype(np.float32)
        return CheckRows(inputs=(images,), examples=Examples(scaled, None))

    shape = torch.empty((1, 3, size, size), dtype=torch.uint8)
    words = (
        f"Images are decoded to RGB, the largest middle square is cut out and brought to {size}x{size} pixels, before; "
        f"the model normalizes them and holds the frozen backbone {options.backbone} and what was trained on it."
    )
    return ModelInputs(
        prepare=prepare,
        described=[_described("images", shape, "pixels from 0 to 255, channels first")],
        words=words,
        made=made,
        half=computes_bfloat16(default_device()),
    )


def _table(preprocessing: TablePreprocessing) -> ModelInputs:
    fitted = {name: (part, list(columns)) for name, part, columns in preprocessing.transformer.transformers_}
    numbers = [fitted[name] for name in (NUMERIC, RANKED) if name in fitted]
    numeric = [name for _, names in numbers for name in names]
    one_hot, categorical = fitted.get(CATEGORICAL, (None, []))
    imputed = _arranged(numbers) if numbers else None
    coded = None if one_hot is None else _one_hot(one_hot, categorical)

    def rows(plain: pd.DataFrame) -> CheckRows:
        with np.errstate(over="ignore"):
            encoded = np.asarray(preprocessing.transformer.transform(plain)).astype(np.float32)
        inputs = []
        if imputed is not None:
            inputs.append(torch.tensor(np.ascontiguousarray(plain[numeric].to_numpy(dtype=np.float64))))
        if one_hot is not None:
            codes = [_codes(plain[name], names) for name, names in zip(categorical, one_hot.categories_, strict=True)]
            inputs.append(torch.from_numpy(np.stack(codes, axis=1)))
        return CheckRows(inputs=tuple(inputs), examples=Examples(encoded, None))

    def made(rng: np.random.Generator) -> CheckRows:
        columns = {}
        for name, reading in preprocessing.readings.items():
            if name in numeric:
                low, high = np.nan_to_num([reading.low, reading.high])
                place = rng.random(CHECKED_ROWS)
                values = low * (1 - place) + high * place  # the range itself may be beyond what a number holds
                columns[name] = np.where(rng.random(CHECKED_ROWS) < _MISSING_SHARE, np.nan, values)
            elif one_hot is not None:
                names = [*one_hot.categories_[categorical.index(name)].tolist(), _UNKNOWN]
                columns[name] = np.array(
                    [names[place] for place in rng.integers(len(names), size=CHECKED_ROWS)], object
                )
        return rows(pd.DataFrame(columns))

    def of(records: Records) -> CheckRows:
        assert records.table is not None, "a table has columns"
        return rows(plain_columns(records.table, preprocessing.readings, name="the data"))

    example = iter(made(np.random.default_rng(0)).inputs)
    described, about = [], {}
    if imputed is not None:
        meaning = "numbers, NaN where one is missing; dates as days since 1970-01-01"
        described.append(_described("numbers", next(example), meaning))
        about["numbers"] = [{"name": name, "kind": preprocessing.readings[name].kind} for name in numeric]
    if one_hot is not None:
        meaning = "codes: the place of each category in its list; what is not in it has the length of the list"
        described.append(_described("categories", next(example), meaning))
        about["categories"] = [
            {"name": name, "categories": names.tolist(), "missing_as": preprocessing.readings[name].missing_as}
            for name, names in zip(categorical, one_hot.categories_, strict=True)
        ]
    words = (
        "Cells are read as numbers, dates and names of categories before, the columns in the order given here; the "
        "model fills in missing numbers, standardizes, and makes one-hot columns of the codes itself."
    )
    return ModelInputs(
        prepare=TableColumns(imputed, coded), described=described, words=words, made=made, of=of, about=about
    )


def _arranged(numbers: Sequence[tuple[Any, Sequence[str]]]) -> nn.Module:
    """What prepares the numbers of a table, from pipelines and the columns of each."""
    parts = [_imputed(pipeline) for pipeline, _ in numbers]
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(len(names) for _, names in numbers)]).tolist()
    return Arranged([range(start, stop) for start, stop in pairwise(ends)], parts)


def _imputed(pipeline: Any) -> Imputed:
    imputer = pipeline["impute"]
    noted = [] if imputer.indicator_ is None else imputer.indicator_.features_.tolist()
    return Imputed(imputer.statistics_, noted, _scaling(pipeline))


def _scaling(part: Any) -> nn.Module:
    """What the scaler of some columns does, or the pipeline that ends in it."""
    if not isinstance(part, Pipeline):
        return _standardized(part)
    scale = _standardized(part["scale"])
    if not is_ranking(part):
        return scale
    inner = part[INNER]
    return nn.Sequential(Ranked(part[RANKS].quantiles_), LogOdds(inner.scale_, inner.min_), scale)


def _one_hot(encoder: Any, columns: Sequence[str]) -> OneHot:
    """Which place each category has is asked of the encoder itself, the unknown one included."""
    first = {name: names[0] for name, names in zip(columns, encoder.categories_, strict=True)}
    widths = [len(names) - (0 if rare is None else len(rare) - 1) for names, rare in _with_rare(encoder)]
    starts, places = np.cumsum([0, *widths]), []
    for number, (name, names) in enumerate(zip(columns, encoder.categories_, strict=True)):
        asked = [*names.tolist(), _UNKNOWN]
        frame = pd.DataFrame({each: np.array([value] * len(asked), object) for each, value in first.items()})
        frame[name] = np.array(asked, object)
        part = np.asarray(encoder.transform(frame))[:, starts[number] : starts[number + 1]]
        places.append(np.where(part.any(axis=1), part.argmax(axis=1), -1))
    return OneHot(places, widths)


def _with_rare(encoder: Any) -> list[tuple[np.ndarray, np.ndarray | None]]:
    rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    return list(zip(encoder.categories_, rare, strict=True))


def _codes(cells: pd.Series, names: np.ndarray) -> np.ndarray:
    place = {name: number for number, name in enumerate(names.tolist())}
    return np.array([place.get(value, len(place)) for value in cells.tolist()], dtype=np.int64)
