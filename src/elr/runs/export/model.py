"""The model of a finished run in a file for other tools, written only where it agrees with `elr predict`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elr import files
from elr.checking import checked
from elr.data.kinds.images import BackbonePreprocessing
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, DataError, ELRError, OutputError
from elr.names import printable
from elr.networks.side_by_side import side_by_side
from elr.networks.spec import NetworkSpec
from elr.runs.export.formats import FORMATS, ModelFile
from elr.runs.export.graph import Ensemble
from elr.runs.export.inputs import CHECKED_ROWS, CheckRows, ModelInputs, inputs_of
from elr.runs.plan import Plan
from elr.runs.predict import load_run, load_weights, network_probs

TOLERANCE, HALF_TOLERANCE = 1e-4, 0.05
"""By how much a probability may differ from that of `elr predict`; the second where that computes in bfloat16."""
_MOST_BYTES, _MOST_FILES = 50 * 2**20, 1000  # of data that are read for the sake of a few rows


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """A model that was written.

    Args:
        path: the model.
        described: the file beside it, JSON: classes, inputs, preprocessing, the check.
        about: its content.

    Example:
        >>> check = {"rows": 8, "from": "made", "largest_difference": 1e-7, "tolerance": 1e-4}
        >>> exported = ExportedFile(path=Path("a.onnx"), described=Path("a.onnx.json"), about={"check": check})
        >>> exported.check_line
        'checked on 8 rows (made): probabilities differ from those of elr predict by at most 1e-07 (allowed: 0.0001)'
    """

    path: Path
    described: Path
    about: Mapping[str, Any]

    @property
    def check_line(self) -> str:
        """What the comparison with `elr predict` gave."""
        check = self.about["check"]
        return (
            f"checked on {check['rows']} rows ({check['from']}): probabilities differ from those of elr predict by at "
            f"most {check['largest_difference']:.1g} (allowed: {check['tolerance']:g})"
        )


@checked
def export_model(
    folder: str | Path,
    *,
    onnx: str | Path | None = None,
    torch_export: str | Path | None = None,
    data: str | Path | None = None,
) -> list[ExportedFile]:
    """Write the model of a finished run as ONNX, as a program of torch.export, or both.

    The model gives class probabilities for a batch of any size: the mean over all networks and views of the run, as
    `elr predict` does. What tensors can do of the preprocessing is in it; the file beside it (the same name with .json
    behind) says what has to be done before. A file is written only where its probabilities for a few rows agree with
    those of `elr predict`.

    Args:
        folder: --out of `elr fit`.
        onnx: .onnx file to write.
        torch_export: .pt2 file to write.
        data: where the data of the run lie now, to check with. Default: where they were; rows that are made at random,
            where they are not there, or large.

    Returns:
        What was written.

    Raises:
        ArgumentError: no file asked for, a package is missing, or a model that cannot be exported or does not agree.
        ArtifactError: not the folder of a finished run, or damaged.
        OutputError: another suffix, an existing file, or no room.

    Example:
        >>> import tempfile
        >>> from elr.runs.fit import fit
        >>> from elr.runs.fit_config import FitConfig
        >>> data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = fit(data, out=Path(root) / "run", config=FitConfig(epochs=2, members=1))
        ...     [exported] = export_model(Path(root) / "run", torch_export=Path(root) / "model.pt2")
        ...     model = torch.export.load(exported.path).module()
        >>> model(torch.eye(2)).shape, exported.about["class_names"]
        (torch.Size([2, 2]), [0, 1])
    """
    wanted = {"onnx": onnx, "torch_export": torch_export}
    paths = {name: Path(path) for name, path in wanted.items() if path is not None}
    if not paths:
        raise ArgumentError(
            "no file was asked for: expected onnx (--onnx FILE), torch_export (--torch-export FILE) or both"
        )
    for name, path in paths.items():
        files.check_new(path, FORMATS[name].suffix)
        files.check_new(_beside(path), ".json")
        FORMATS[name].check()
    folder = Path(folder)
    preprocessing, plan, options, networks = load_run(folder)
    load_weights(folder, networks)
    inputs = inputs_of(preprocessing, plan, options, folder)
    run = files.read_run(folder)
    rows, origin = _rows(inputs, preprocessing, options, run, data)
    expected = torch.from_numpy(network_probs(preprocessing, plan, rows.examples, networks))
    model = _model(inputs, plan, run, networks)
    about = {
        "elr_version": metadata.version("elr"),
        "run": folder.name,
        "class_names": list(preprocessing.coding.class_names),
        "inputs": list(inputs.described),
        "output": {"name": "probs", "dtype": "float32", "shape": ["batch", preprocessing.num_classes]},
        "preprocessing": inputs.words,
        **inputs.about,
        "check": {
            "rows": len(rows.examples),
            "from": origin,
            "tolerance": HALF_TOLERANCE if inputs.half else TOLERANCE,
        },
    }
    return [_written(FORMATS[name], path, model, rows, expected, about) for name, path in paths.items()]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _model(inputs: ModelInputs, plan: Plan, run: Mapping[str, Any], networks: nn.ModuleList) -> nn.Module:
    """All networks of a run as one, those of one shape side by side."""
    specs = plan.method.predictor_specs(plan.network, run["choice"] or {})
    groups: dict[NetworkSpec, list[nn.Module]] = {}
    for spec, network in zip(specs, networks, strict=True):
        alike = replace(spec, dropout=None) if spec.dropout is not None else spec
        groups.setdefault(alike, []).append(network)
    stacked = [group[0] if len(group) == 1 else side_by_side(group) for group in groups.values()]
    mirrored = plan.network.takes_images and plan.augmentation.mirror
    return Ensemble(inputs.prepare, stacked, mirrored=mirrored).cpu().eval()


def _rows(
    inputs: ModelInputs, preprocessing: Any, options: ReadOptions, run: Mapping[str, Any], data: str | Path | None
) -> tuple[CheckRows, str]:
    """A few rows to check with, and where they are from."""
    source = Path(data or run["data"]["source"])
    made = inputs.made(np.random.default_rng(0))
    if data is not None and not source.exists():
        raise DataError(f"there are no data at {printable(source)}: leave out --data, or say where they are")
    if inputs.of is None or isinstance(preprocessing, BackbonePreprocessing):
        return made, "made at random"
    if data is None and not _small(source):
        return made, "made at random: the data are not there, or large"
    try:
        records = read_data(
            source,
            replace(options, label=None, annotators=(), clean_label=None, id=None, ignore=options.apart),
            training=False,
        )
        records = records.take(np.arange(min(CHECKED_ROWS, len(records))))
        return inputs.of(records), f"of {printable(source)}"
    except ELRError:
        if data is not None:
            raise
        return made, "made at random: the data cannot be read any more"


def _small(source: Path) -> bool:
    """Whether data are there and read at once."""
    if source.is_file():
        return source.stat().st_size <= _MOST_BYTES
    return (
        source.is_dir()
        and sum(1 for _, _ in zip(source.rglob("*"), range(_MOST_FILES + 1), strict=False)) <= _MOST_FILES
    )


def _written(
    form: ModelFile, path: Path, model: nn.Module, rows: CheckRows, expected: torch.Tensor, about: Mapping[str, Any]
) -> ExportedFile:
    names = [each["name"] for each in about["inputs"]]
    texts = {"elr_version": about["elr_version"], "preprocessing": about["preprocessing"]}
    texts["class_names"] = json.dumps(about["class_names"], ensure_ascii=False)
    try:
        made = form.made(model, rows.inputs, names=names, about=texts)
    except Exception as error:  # exporters fail in many ways on what they do not know
        raise _not_written(form, error) from error
    differences: list[float] = []

    def write(partial: Path) -> None:
        try:
            form.write(made, partial)
        except OSError:
            raise
        except Exception as error:
            raise _not_written(form, error) from error
        differences.append(_difference(form, partial, rows, expected, names, about["check"]["tolerance"]))

    files.write_file(path, write)
    found = {**about, **form.says}
    found["check"] = {**about["check"], "largest_difference": differences[-1]}
    try:
        files.write_json(_beside(path), found)
    except OutputError:  # both or none
        path.unlink(missing_ok=True)
        raise
    return ExportedFile(path=path, described=_beside(path), about=found)


def _not_written(form: ModelFile, error: Exception) -> ArgumentError:
    reason = " ".join(str(error).split())[:300]
    return ArgumentError(
        f"this model cannot be written as {form.says['format']} ({type(error).__name__}: {reason}): take the other "
        "format, or use elr predict"
    )


def _difference(
    form: ModelFile, path: Path, rows: CheckRows, expected: torch.Tensor, names: Sequence[str], tolerance: float
) -> float:
    """The largest difference to the probabilities of `elr predict`, all rows at once and one alone.

    Raises:
        ArgumentError: it is above the tolerance.
    """
    together = form.probs(path, rows.inputs, names=names)
    alone = form.probs(path, [each[:1] for each in rows.inputs], names=names)
    found = torch.cat([together, alone])
    wanted = torch.cat([expected, expected[:1]])
    difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not difference <= tolerance:  # also where it is no number
        raise ArgumentError(
            f"the model as {form.says['format']} differs from elr predict by {difference:.2g} in a probability, more "
            f"than the {tolerance:g} allowed: nothing was written; take the other format, or use elr predict"
        )
    return difference
