"""Predictions for new data from the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from elr import files
from elr.checking import checked
from elr.data.examples import Examples
from elr.data.kinds.catalog import load_preprocessing
from elr.data.preprocessing import Preprocessing
from elr.data.reading import Data, data_name, read_data
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, ArtifactError, DataError
from elr.runs.plan import Plan
from elr.training.inference import PlainInputs, predicted_probs, softmax_of

_DIALECT = ("separator", "decimal", "quotes", "encoding")


@checked
def predict(
    folder: str | Path, data: Data, *, encoder: str | None = None, dialect: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Classes and probabilities for new data, from the folder of a run.

    Args:
        folder: --out of `elr fit`.
        data: of the kind that was trained on; a label column is not needed.
        encoder: the sentence encoder of the run, if it lies elsewhere than in training.
        dialect: how a text file of new data is written: separator, decimal, quotes, encoding; see
            `elr.data.records.ReadOptions`. Default: found by itself, or as it was named in training.

    Returns:
        A row per example: row, id where there is one, predicted_label, and prob_CLASS for each class; in
        `attrs["remarks"]` what the user should know about how the data were read.

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        ArgumentError: `data` is nothing that can be read.
        DataError: data that do not fit the run, or a label column with labels that training did not have.

    Example:
        >>> predict("no-such-run", "new.csv")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    folder = Path(folder)
    preprocessing, plan, options, networks = _read_run(folder)
    options = preprocessing.reading(options, folder=folder, encoder=encoder)
    named = {name: value for name, value in (dialect or {}).items() if value is not None}
    if unknown := sorted(set(named) - set(_DIALECT)):
        raise ArgumentError(f"dialect has {unknown[0]!r}: expected {', '.join(_DIALECT)}")
    options = replace(options, **named)
    if isinstance(data, tuple) and len(data) == 2:
        data = (data[0], None)
    records = read_data(data, options, training=False)
    examples = preprocessing.encode(
        records, name=data_name(data), label_name=options.label_name, with_labels=options.label is not None
    )
    probs = _predict_probs(folder, preprocessing, plan, examples, networks)
    columns: dict[str, Any] = {"row": records.rows}
    if records.ids is not None:
        columns["id"] = records.ids
    columns["predicted_label"] = [preprocessing.coding.class_names[number] for number in probs.argmax(axis=1)]
    columns |= {f"prob_{name}": probs[:, number] for number, name in enumerate(preprocessing.coding.class_names)}
    predictions = pd.DataFrame(columns)
    predictions.attrs["remarks"] = list(records.remarks)
    return predictions


def predict_probs(folder: Path, records: Records, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities for data already read, and their labels, from the folder of a run.

    Args:
        folder: --out of `elr fit` or `elr run`.
        records: with labels; of the kind and size that was trained on.
        name: what messages call it.

    Returns:
        ((M, C) probabilities, (M,) class numbers).

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        DataError: data that do not fit the run.

    Example:
        >>> records = Records(kind="features", rows=np.arange(2), features=np.eye(2, dtype=np.float32))
        >>> predict_probs(Path("no-such-run"), records, name="new data")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    preprocessing, plan, _, networks = _read_run(folder)
    examples = preprocessing.encode(records, name=name)
    if examples.labels is None:
        raise DataError(f"{name} has no labels to measure against")
    return _predict_probs(folder, preprocessing, plan, examples, networks), examples.labels.numpy()


def _read_run(folder: Path) -> tuple[Preprocessing, Plan, ReadOptions, nn.ModuleList]:
    """What a run wrote about itself, and networks to load its weights into."""
    run = files.read_run(folder)
    try:
        preprocessing, plan = load_preprocessing(folder, run["preprocessing"]), Plan.from_json(run)
        stored = ReadOptions(**run["data"]["options"])
        networks = nn.ModuleList(plan.predictors(run["choice"]))
    except (KeyError, TypeError, ArgumentError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): run `elr fit` again") from error
    if preprocessing.num_classes != plan.network.num_classes:
        raise ArtifactError(
            f"run.json in {folder} is damaged: it names {preprocessing.num_classes} classes, its network has "
            f"{plan.network.num_classes}; run `elr fit` again"
        )
    return preprocessing, plan, stored, networks


def _predict_probs(
    folder: Path, preprocessing: Preprocessing, plan: Plan, examples: Examples, networks: nn.ModuleList
) -> np.ndarray:
    """(M, C) probabilities, averaged over networks and views."""
    try:
        networks.load_state_dict(files.read_tensors(folder / files.MODEL_FILE))
    except RuntimeError as error:
        raise ArtifactError(f"{folder / files.MODEL_FILE} does not fit run.json: {error}") from error
    transform = plan.augmentation.transform(preprocessing, flatten=not plan.network.takes_images)
    inputs = PlainInputs(transform=transform, device=torch.device("cpu"))
    chunks = (views for _, views in inputs.views(examples))
    return torch.cat(list(predicted_probs(networks, chunks, predictors=list(map(softmax_of, networks))))).numpy()


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Write predictions as .csv or .parquet, whole or not at all.

    Raises:
        OutputError: another suffix, an existing file (nothing is overwritten), or no room.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_predictions(pd.DataFrame({"row": [0], "predicted_label": ["cat"]}), Path(folder) / "new.csv")
        ...     print((Path(folder) / "new.csv").read_text(), end="")
        row,predicted_label
        0,cat
    """
    check_predictions_path(path)
    if path.suffix.lower() == ".csv":
        files.write_file(path, lambda partial: predictions.to_csv(partial, index=False))
    else:
        files.write_file(path, lambda partial: predictions.to_parquet(partial, index=False))


def check_predictions_path(path: Path) -> None:
    """Raise what `write_predictions` would, before any work is done.

    Raises:
        OutputError: another suffix, or an existing file.

    Example:
        >>> check_predictions_path(Path("new.xlsx"))
        Traceback (most recent call last):
        elr.errors.OutputError: new.xlsx ends in '.xlsx': expected .csv or .parquet
    """
    files.check_new(path, ".csv", ".parquet", instead="--out")
