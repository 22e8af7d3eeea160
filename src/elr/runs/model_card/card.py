"""The model card of a run: metadata in YAML, and what people should know before they use the model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from elr import files
from elr.errors import ArtifactError
from elr.names import printable
from elr.run_values import when_measured

CARD_FILE = "README.md"
_TASKS = {"images": "image-classification", "text": "text-classification", "table": "tabular-classification"}
_METRICS = {
    "test_accuracy_last": ("accuracy", "accuracy"),
    "test_balanced_accuracy_last": ("balanced_accuracy", "balanced accuracy"),
}
"""Of the results: the type on the hub, and what people call it, before the words on which networks it is of."""
_MOST_CLASSES = 50
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~<>&:@$^=-])")


def write_card(folder: Path) -> Path:
    """Write README.md into the folder of a finished run, of its run.json alone: the same run gives the same bytes.

    Whatever comes from the data (names of classes, columns and files) is quoted, so that neither YAML nor Markdown nor
    HTML reads anything into it.

    Args:
        folder: of the run.

    Returns:
        Where the card is.

    Raises:
        ArtifactError: not the folder of a finished run, or damaged.
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from elr.runs.fit import fit
        >>> from elr.runs.fit_config import FitConfig
        >>> with tempfile.TemporaryDirectory() as root:
        ...     data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
        ...     _ = fit(data, out=Path(root) / "run", config=FitConfig(epochs=2))
        ...     card = write_card(Path(root) / "run").read_text()
        >>> card.splitlines()[:3]
        ['---', 'library_name: "elr"', 'tags:']

    Source: https://huggingface.co/docs/hub/model-cards (metadata), and the model-index that `huggingface_hub` reads.
    """
    run = files.read_run(folder)
    try:
        card = _environment().get_template("card.md.j2").render(_content(run))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): run `elr fit` again") from error
    path = folder / CARD_FILE
    files.write_text(path, card)
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("elr.runs.model_card", "templates"),
        autoescape=False,  # it is Markdown: the filters below quote what comes from the data
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": quoted, "block": _block}
    return environment


def _content(run: Mapping[str, Any]) -> dict[str, Any]:
    results, reading = run["results"], run["data"]["reading"]
    low, high = results["noise_rate_interval"]
    rates = [results["noise_rate"], low, high]
    known = all(isinstance(rate, int | float) and math.isfinite(rate) for rate in rates)
    method, loop = run["method"], run["training"]
    classes = list(reading["classes"])
    return {
        "metadata": _yaml(_metadata(run)),
        "title": Path(run["data"]["source"]).stem or "model",
        "version": run["elr_version"],
        "method": method["name"],
        "source": Path(run["data"]["source"]).name,
        "kind": reading["kind"],
        "num_examples": results["num_examples"],
        "labels_from": reading["labels_from"],
        "classes": classes[:_MOST_CLASSES],
        "more_classes": max(0, len(classes) - _MOST_CLASSES),
        "noise_rate": rates[0] if known else None,
        "low": low,
        "high": high,
        "num_label_issues": results["num_label_issues"],
        "warnings": [warning["text"] for warning in results["warnings"]],
        "training": {
            "Method": method["name"],
            **_predicting(run),
            "Batch size": loop["batch_size"],
            "Seed": loop["seed"],
            "PyTorch": run["versions"]["torch"],
        },
        "measured": {said: value for _, said, value in _measured(results)},
        "test": Path(run["data"]["test"]).name if run["data"]["test"] else "",
        "command": run["command"],
    }


def _predicting(run: Mapping[str, Any]) -> dict[str, Any]:
    """The networks that predict, their settings and their epochs: of many that were trained, the chosen ones."""
    choice, network, loop = run["choice"], run["network"], run["training"]
    if not choice:
        name = network.get("backbone") or network["name"]
        return {"Network": name, "Epochs": loop["epochs"], "Learning rate": loop["learning_rate"]}
    grid = run["method"]["settings"]
    lines = []
    for each in (each for each in choice["candidates"] if each["chosen"]):
        rate = grid[each["setting"]]["learning_rate"] or loop["learning_rate"]
        lines.append(
            f"{choice['members']} of {choice['settings'][each['setting']]['text']}, learning rate {rate:g}, as after "
            f"epoch {each['epoch']} of {loop['epochs']}"
        )
    trained = f"{len(grid)} settings, {choice['members']} networks each; by the given labels that they never saw these"
    return {"Networks that predict, on average": "; ".join(lines), "Chosen from": f"{trained} were chosen"}


def _measured(results: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """The type on the hub, what people call it, and the value, of each accuracy on trusted labels."""
    return [
        (kind, f"{said} {when_measured(results)}", results[name])
        for name, (kind, said) in _METRICS.items()
        if _is_number(results.get(name))
    ]


def _metadata(run: Mapping[str, Any]) -> dict[str, Any]:
    """The front matter; a model-index only where something was measured on trusted labels."""
    results, task = run["results"], _TASKS.get(run["preprocessing"]["kind"])
    metadata: dict[str, Any] = {"library_name": "elr", "tags": ["elr", "noisy-labels", "early-learning-regularization"]}
    metadata |= {} if task is None else {"pipeline_tag": task}
    measured = _measured(results)
    if not measured:
        return metadata
    name = Path(run["data"]["test"] or run["data"]["source"]).name
    metrics = [{"type": kind, "value": value, "name": said} for kind, said, value in measured]
    dataset = {"name": printable(name), "type": "custom"}
    result = {"task": {"type": task or "other"}, "dataset": dataset, "metrics": metrics}
    model = Path(run["data"]["source"]).stem or "model"
    return metadata | {
        "metrics": [kind for kind, _, _ in measured],
        "model-index": [{"name": model, "results": [result]}],
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _yaml(value: Mapping[str, Any] | Sequence[Any], indent: str = "") -> str:
    """Mappings and lists in blocks; every text in double quotes, so that YAML reads nothing into it."""
    lines = ""
    pairs = value.items() if isinstance(value, Mapping) else (("-", each) for each in value)
    for name, each in pairs:
        mark = f"{indent}{name}" if name == "-" else f"{indent}{name}:"
        if isinstance(each, Mapping) and name == "-":
            lines += mark + _yaml(each, f"{indent}  ")[len(indent) + 1 :]
        elif isinstance(each, Mapping | list):
            lines += f"{mark}\n{_yaml(each, indent if isinstance(each, list) else f'{indent}  ')}"
        else:
            lines += f"{mark} {_scalar(each)}\n"
    return lines


def _scalar(value: object) -> str:
    """A text, with escapes for all that is not printable; or a number."""
    if not isinstance(value, str):
        return json.dumps(value)
    safe = (each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08x}" for each in value)
    return f'"{"".join(safe)}"'


def quoted(value: object) -> str:
    r"""A value as one line of Markdown that says just this: marks are escaped, controls become blanks.

    Example:
        >>> print(quoted("<b>*a*|b\nc"))
        \<b\>\*a\*\|b c
    """
    return _MARKS.sub(r"\\\1", _CONTROLS.sub(" ", str(value)))


def _block(value: object) -> str:
    """A value as an indented block of code, of one line."""
    return "    " + _CONTROLS.sub(" ", str(value))
