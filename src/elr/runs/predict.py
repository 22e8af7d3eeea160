"""Predictions for new data from the folder of a run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from elr import files
from elr.checking import checked
from elr.data.examples import Examples
from elr.data.formats.arrays import as_trained
from elr.data.formats.labels import row_index
from elr.data.inspection import said_of_file
from elr.data.kinds.catalog import load_preprocessing
from elr.data.labels.value_types import LABEL_TYPE, as_values
from elr.data.preprocessing import Preprocessing
from elr.data.reading import Data, data_name, read_data
from elr.data.records import IMAGES, Finding, ReadOptions, Records
from elr.devices import free_memory
from elr.errors import ArgumentError, ArtifactError, DataError, DataWarning, lack_of_memory
from elr.runs.plan import Plan
from elr.training.inference import PlainInputs, predicted_probs, softmax_of

_DIALECT = ("separator", "decimal", "quotes", "encoding")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Predictions for new data, and what the user should know about these data.

    Args:
        table: a row per example: row, id where there is one, predicted_label, and prob_CLASS for each class.
        findings: what was found in the data.
        agreement: share of the rows with a known label whose prediction is that label; None without such rows.
        num_measured: how many rows that are.

    Example:
        >>> table = pd.DataFrame({"row": [0], "predicted_label": ["cat"], "prob_cat": [0.9], "prob_dog": [0.1]})
        >>> Predicted(table=table, findings=(Finding(text="no labels"),)).to_json()["predicted_labels"]
        {'cat': 1}
    """

    table: pd.DataFrame
    findings: Sequence[Finding] = ()
    agreement: float | None = None
    num_measured: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `elr predict --json` prints, but for where the predictions lie."""
        counts = {str(name): int(count) for name, count in self.table["predicted_label"].value_counts().items()}
        found: dict[str, Any] = {"num_examples": len(self.table), "predicted_labels": counts}
        found["remarks"] = [finding.text for finding in self.findings if not finding.loud]
        found["warnings"] = [finding.to_json() for finding in self.findings if finding.loud]
        return found | {"agreement": self.agreement, "num_measured": self.num_measured}


@checked
def predict(
    folder: str | Path,
    data: Data,
    *,
    encoder: str | None = None,
    dialect: Mapping[str, Any] | None = None,
    skip_unreadable: bool = False,
) -> pd.DataFrame:
    """Classes and probabilities for new data, from the folder of a run.

    Args:
        folder: --out of `elr fit`.
        data: of the kind that was trained on; no labels are needed, and those that are there stop nothing.
        encoder: the sentence encoder of the run, if it lies elsewhere than in training.
        dialect: how a text file of new data is written: separator, decimal, quotes, encoding; see
            `elr.data.records.ReadOptions`. Default: found by itself, or as it was named in training.
        skip_unreadable: leave unreadable images out, as in a run that was trained so.

    Returns:
        A row per example (none where the data have none): row, id where there is one, predicted_label, and prob_CLASS
        for each class; in `attrs["remarks"]` what the user should know about how the data were read. It has the index
        of a data frame (of a pair, that of its inputs or labels), so that pandas finds its rows again; row is a
        position in any case. Classes are of the type that the labels of training had (truths, fractions and dates too).

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        ArgumentError: `data` is nothing that can be read.
        DataError: data that do not fit the run.

    Warns:
        DataWarning: columns from which little could be read. `predict_and_measure` has all that was found.

    Example:
        >>> predict("no-such-run", "new.csv")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    found = predict_and_measure(folder, data, encoder=encoder, dialect=dialect, skip_unreadable=skip_unreadable)
    for finding in found.findings:
        if finding.loud:
            warnings.warn(finding.text, DataWarning, stacklevel=3)  # beside this function, what checks its arguments
    table, run = found.table, files.read_run(Path(folder))
    names = run["preprocessing"]["class_names"]
    values = as_values(names, run["data"].get(LABEL_TYPE))
    if values is not None:
        numbers = {name: number for number, name in enumerate(names)}
        table["predicted_label"] = values.take([numbers[name] for name in table["predicted_label"]])
    index = row_index(data, table["row"].to_numpy())
    table = table if index is None else table.set_axis(index, axis=0)
    table.attrs["remarks"] = [finding.text for finding in found.findings]
    return table


def predict_and_measure(
    folder: str | Path,
    data: Data,
    *,
    encoder: str | None = None,
    dialect: Mapping[str, Any] | None = None,
    skip_unreadable: bool = False,
) -> Predicted:
    """Predictions as `predict` gives them, with what was found in the data, and how far they agree with their labels.

    Args:
        folder: --out of `elr fit`.
        data: of the kind that was trained on.
        encoder: the sentence encoder of the run, if it lies elsewhere than in training.
        dialect: see `predict`.
        skip_unreadable: see `predict`.

    Raises:
        ELRError: see `predict`.

    Example:
        >>> predict_and_measure("no-such-run", "new.csv")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    folder = Path(folder)
    preprocessing, plan, options, networks = load_run(folder)
    options = preprocessing.reading(options, folder=folder, encoder=encoder)
    named = {name: value for name, value in (dialect or {}).items() if value is not None}
    if unknown := sorted(set(named) - set(_DIALECT)):
        raise ArgumentError(f"dialect has {unknown[0]!r}: expected {', '.join(_DIALECT)}")
    options = replace(options, **named, skip_unreadable=skip_unreadable or options.skip_unreadable)
    if "decimal" in named:
        preprocessing = preprocessing.written_with(named["decimal"])
    if isinstance(data, tuple) and len(data) == 2:
        data = (data[0], None)
    records, findings = _read_new(as_trained(data, preprocessing.kind), options)
    name = data_name(data)
    findings += [Finding(text=remark) for remark in records.remarks]
    if not len(records):
        findings += [Finding(text=f"{name} has no rows: there is nothing to predict"), *_said_of(records, name)]
        return Predicted(
            table=_predictions(records, preprocessing, np.zeros((0, preprocessing.num_classes))), findings=findings
        )
    examples = preprocessing.encode(records, name=name, with_labels=False)
    load_weights(folder, networks)
    probs = network_probs(preprocessing, plan, examples, networks)
    findings += preprocessing.findings(records, name=name)
    measured = {} if options.label is None else _measured(records, preprocessing, probs, label=options.label_name)
    findings += [*measured.pop("findings", []), *_said_of(records, name)]
    return Predicted(table=_predictions(records, preprocessing, probs), findings=findings, **measured)


def _said_of(records: Records, name: str) -> list[Finding]:
    """How many lines and rows were read, where that is known."""
    said = said_of_file(records.facts)
    return [Finding(text=f"read {name}: {said}")] if said else []


def _read_new(data: Data, options: ReadOptions) -> tuple[Records, list[Finding]]:
    """New data, whose labels must not stand in the way: if they cannot be read, the data are read without them."""
    if isinstance(data, str | Path) and Path(data).is_dir() and _is_empty(Path(data)):
        return Records(kind=IMAGES, rows=np.arange(0), ids=[]), []
    try:
        return read_data(data, options, training=False), []
    except DataError as error:
        if options.label is None:
            raise
        without = replace(options, label=None, annotators=(), clean_label=None, id=None, ignore=options.apart)
        try:
            records = read_data(data, without, training=False)
        except DataError:
            raise error from None
        return records, [Finding(text=f"read without labels and names of rows, which are not needed: {error}")]


def _is_empty(folder: Path) -> bool:
    return not any(each.is_file() and not each.name.startswith(".") for each in folder.rglob("*"))


def _predictions(records: Records, preprocessing: Preprocessing, probs: np.ndarray) -> pd.DataFrame:
    """The table of predictions."""
    names = preprocessing.coding.class_names
    columns: dict[str, Any] = {"row": records.rows}
    if records.ids is not None:
        columns["id"] = records.ids
    columns["predicted_label"] = [names[number] for number in probs.argmax(axis=1)]
    columns |= {f"prob_{name}": probs[:, number] for number, name in enumerate(names)}
    return pd.DataFrame(columns)


def _measured(records: Records, preprocessing: Preprocessing, probs: np.ndarray, *, label: str) -> dict[str, Any]:
    """How far the predictions agree with labels that happen to be there."""
    if records.labels is None:
        return {}
    numbers = preprocessing.coding.numbers(records.labels)
    known = numbers >= 0
    strange = Counter(
        str(value) for value, number in zip(records.labels, numbers, strict=True) if number < 0 and value is not None
    )
    text = f"{label} is there and not needed: "
    agreement = float((probs.argmax(axis=1) == numbers)[known].mean()) if known.any() else None
    text += (
        "no row has a class of the run there"
        if agreement is None
        else f"{agreement:.1%} agreement on the {int(known.sum())} of {len(records)} rows that have a class of the run"
    )
    if unlabeled := sum(value is None for value in records.labels):
        text += f"; {unlabeled} have none"
    if strange:
        shown = ", ".join(repr(each)[:80] for each, _ in strange.most_common(_SHOWN))
        text += f"; {strange.total()} have other values, such as {shown}"
    return {"agreement": agreement, "num_measured": int(known.sum()), "findings": [Finding(text=text)]}


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
    preprocessing, plan, _, networks = load_run(folder)
    examples = preprocessing.encode(records, name=name)
    if examples.labels is None:
        raise DataError(f"{name} has no labels to measure against")
    load_weights(folder, networks)
    return network_probs(preprocessing, plan, examples, networks), examples.labels.numpy()


def load_run(folder: Path) -> tuple[Preprocessing, Plan, ReadOptions, nn.ModuleList]:
    """What a finished run wrote about itself, and networks to load its weights into; see `network_probs`.

    Args:
        folder: --out of `elr fit` or `elr run`.

    Returns:
        The preprocessing, the plan, how the data were read, and the networks with first weights.

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.

    Example:
        >>> load_run(Path("no-such-run"))
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    run = files.read_run(folder)
    try:
        preprocessing, plan = load_preprocessing(folder, run["preprocessing"]), Plan.from_json(run)
        stored = ReadOptions(**run["data"]["options"])
        networks = nn.ModuleList(plan.predictors(run["choice"]))
    except (KeyError, TypeError, IndexError, ArgumentError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): run `elr fit` again") from error
    except (MemoryError, RuntimeError) as error:
        model = folder / files.MODEL_FILE
        if lack_of_memory(error) is None or not model.is_file() or model.stat().st_size > free_memory():
            raise
        raise ArtifactError(
            f"run.json in {folder} is damaged: its networks do not fit into memory, and those of {model} would; run "
            "`elr fit` again"
        ) from None  # what it came from would be told as a lack of memory
    if preprocessing.num_classes != plan.network.num_classes:
        raise ArtifactError(
            f"run.json in {folder} is damaged: it names {preprocessing.num_classes} classes, its network has "
            f"{plan.network.num_classes}; run `elr fit` again"
        )
    return preprocessing, plan, stored, networks


def load_weights(folder: Path, networks: nn.ModuleList) -> None:
    """Give the networks of `load_run` the weights of the run.

    Raises:
        ArtifactError: no such file, damaged, or of other networks.

    Example:
        >>> load_weights(Path("no-such-run"), nn.ModuleList())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run/model.safetensors cannot be read (...): the run is incomplete or damaged
    """
    try:
        networks.load_state_dict(files.read_tensors(folder / files.MODEL_FILE))
    except RuntimeError as error:
        raise ArtifactError(f"{folder / files.MODEL_FILE} does not fit run.json: {error}") from error


def network_probs(preprocessing: Preprocessing, plan: Plan, examples: Examples, networks: nn.ModuleList) -> np.ndarray:
    """(M, C) probabilities, averaged over networks and views, as `predict` gives them.

    Args:
        preprocessing: of the run.
        plan: of the run.
        examples: M of them, encoded by the preprocessing.
        networks: with the weights of the run.

    Example:
        >>> from elr.runs.fit_config import FitConfig
        >>> from elr.data.prepared_data import prepare_data
        >>> prepared = prepare_data((np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)), ReadOptions())
        >>> plan = FitConfig(epochs=2, members=1).plan(prepared)
        >>> networks = nn.ModuleList(plan.networks())
        >>> network_probs(prepared.preprocessing, plan, prepared.examples, networks).shape
        (40, 2)
    """
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
