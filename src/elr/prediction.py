"""Predictions for new data from the folder of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from elr import artifacts
from elr.data import Examples
from elr.encoding import Encoder
from elr.errors import ArtifactError, OutputError
from elr.method import LossMethod
from elr.networks import NetworkSpec
from elr.reading import Data, ReadOptions, read_data
from elr.tasks import data_name


def predict(folder: Path, data: Data) -> pd.DataFrame:
    """Classes and probabilities for new data, from the folder of a run.

    Args:
        folder: --out of `elr fit`.
        data: of the kind that was trained on; a label column is not needed.

    Returns:
        A row per example: row, id where there is one, predicted_label, and prob_CLASS for each class.

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        DataError: data that do not fit the run, or labels that training did not have.
    """
    run = artifacts.read_run(folder)
    encoder = Encoder.load(folder, run["encoder"])
    spec = NetworkSpec.from_json(run["network"])
    stored = run["data"]["options"]
    options = ReadOptions(**{**stored, "ignore": tuple(stored["ignore"])})
    if encoder.image_format is not None:
        options = replace(options, image_size=encoder.image_format.height)
    raw = read_data(data, options, training=False)
    examples = encoder.encode(raw, name=data_name(data), label_name=options.label_name)
    network = spec.build(generator_seed=0)
    try:
        network.load_state_dict(artifacts.read_tensors(folder / artifacts.MODEL_FILE))
    except RuntimeError as error:
        raise ArtifactError(f"{folder / artifacts.MODEL_FILE} does not fit run.json: {error}") from error
    probs = _predict_probs(network, examples, encoder, flatten=not spec.takes_images)
    columns: dict[str, Any] = {"row": raw.rows}
    if raw.ids is not None:
        columns["id"] = raw.ids
    columns["predicted_label"] = np.array(encoder.coding.class_names, dtype=object)[probs.argmax(axis=1)]
    columns |= {f"prob_{name}": probs[:, number] for number, name in enumerate(encoder.coding.class_names)}
    return pd.DataFrame(columns)


@torch.no_grad()
def _predict_probs(network: torch.nn.Module, examples: Examples, encoder: Encoder, *, flatten: bool) -> np.ndarray:
    method = LossMethod(network).eval()
    transform = encoder.transform(augment=False, flatten=flatten)
    batches = torch.arange(len(examples)).split(1000)
    return torch.cat([method.predict(transform(examples.fetch(rows))) for rows in batches]).numpy()


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Write predictions as .csv or .parquet, whole or not at all.

    Raises:
        OutputError: another suffix, an existing file (nothing is overwritten), or no room.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise OutputError(f"{path} ends in {suffix!r}: expected .csv or .parquet")
    if path.exists():
        raise OutputError(f"{path} exists already: choose another --out, or remove it")
    if suffix == ".csv":
        artifacts.write_file(path, lambda partial: predictions.to_csv(partial, index=False))
    else:
        texts = predictions.astype({"predicted_label": str})
        artifacts.write_file(path, lambda partial: texts.to_parquet(partial, index=False))
