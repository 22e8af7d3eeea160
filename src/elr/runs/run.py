"""One run on a task: train, audit, write the folder."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elr import files
from elr.audit.evidence import Evidence
from elr.audit.labels import Audit, audit_labels, score_suspects
from elr.data.prepared import PreparedData
from elr.data.records import ReadOptions
from elr.errors import CheckpointError, ELRError, OutputError
from elr.runs.plan import Plan
from elr.training.checkpoints import remove_checkpoints
from elr.training.loop import Progress, Training
from elr.training.monitor import fractions
from elr.training.verdict import early_learning

MANY_CLASSES = 20
"""From which on a top-5 accuracy is measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What a run gave.

    Args:
        out: the folder of the run.
        results: the numbers that --json prints.
        audit: which labels are suspect, by position in the training examples.
        history: measures of each epoch.
        run: the content of run.json.
    """

    out: Path
    results: dict[str, Any]
    audit: Audit
    history: list[dict[str, Any]]
    run: dict[str, Any]


def run_task(
    task: PreparedData,
    plan: Plan,
    *,
    config: dict[str, Any],
    out: Path,
    command: str = "",
    resume: bool = False,
    tuning: dict[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train on a task, audit its labels and write everything but the report into `out`.

    Nothing is written before the data and all settings have been checked; every file is written whole or not at all.

    Args:
        task: from `prepare_data` or `prepare_records`.
        plan: how to train.
        config: what was asked for, kept in run.json and compared when a run is resumed.
        out: folder of the run: new, empty, or with `resume` that of the same run.
        command: the command that repeats the run.
        resume: go on from the last checkpoint in `out`, if there is one; a finished run is given back as it is.
        tuning: how settings were chosen, if by a search whose file is in `out`; kept in run.json and the results.
        on_progress: called after every batch.

    Raises:
        ArgumentError: settings out of range, or fewer examples than a batch.
        OutputError: `out` holds something else, or cannot be written.
        CheckpointError: `out` holds a run of another configuration.
        TrainingError: training diverged.
    """
    description = _describe(task, plan, config) | ({} if tuning is None else {"tuning": tuning})
    found = _open_folder(out, description, resume=resume)
    if found is not None and found["status"] == "complete":
        return _finished(out, found)
    training = plan.build(task, probe=task.probe, folder=out)
    training.predict(task.examples.first(2))  # a network that the examples do not fit fails before anything is written
    started = time.perf_counter()
    run = found or {"status": "running", "command": command, "created": _now(), **description}
    main = training.accelerator.is_main_process
    training.accelerator.wait_for_everyone()  # every rank has looked at the folder before one of them makes it
    run["num_processes"] = training.accelerator.num_processes
    if main:
        with files.writing(out):
            out.mkdir(parents=True, exist_ok=True)
        files.write_json(out / files.RUN_FILE, run)
    training.run(resume=resume, on_progress=on_progress)
    pred_probs = training.pred_probs()
    audit = audit_labels(training.labels, pred_probs)
    seconds = time.perf_counter() - started + training.earlier_seconds
    results = {"out": str(out), "num_examples": len(task.examples), "num_classes": task.preprocessing.num_classes}
    results |= {"noise_rate": audit.noise_rate, "noise_rate_interval": list(audit.noise_rate_interval)}
    results |= {"num_label_issues": audit.num_label_issues, "seconds": seconds}
    if audit.num_label_issues:
        results["expected_precision"] = float(audit.expected_precision[audit.num_label_issues - 1])
    results |= _measures(training, task, audit) | {"remarks": description["data"]["remarks"]}
    history = _with_accuracies(training, task)
    results["early_learning"] = early_learning(history, generations=plan.training.generations).to_json()
    results |= {} if tuning is None else {"tuning": tuning}
    run |= {"status": "complete", "results": results}
    training.accelerator.wait_for_everyone()  # no rank reads the checkpoint any more
    if main:
        _write(out, task, training, audit, pred_probs, history)
        files.write_json(out / files.RUN_FILE, run)
        remove_checkpoints(out)
    training.accelerator.wait_for_everyone()
    return Fitted(out=out, results=results, audit=audit, history=history, run=run)


def _describe(task: PreparedData, plan: Plan, config: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides how the run goes, as plain values: what a resumed run must agree in."""
    description = {
        "elr_version": metadata.version("elr"),
        "config": config,
        **plan.to_json(),
        "encoder": task.preprocessing.to_json(),
        "data": {
            "source": task.source,
            "options": asdict(task.options),
            "noise": task.noise,
            "test": task.test_source,
            "sha256": task.sha256,
            "num_examples": len(task.examples),
            "remarks": [*task.records.remarks, *task.preprocessing.remarks],
        },
        "versions": {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn", "accelerate", "skops")}
        | {"python": platform.python_version(), "machine": platform.platform(), "threads": torch.get_num_threads()},
    }
    return json.loads(json.dumps(description))  # as it will be read again


def _open_folder(out: Path, description: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The run.json already in `out`, if any; refuses folders that hold anything but this very run."""
    names = files.contents(out)
    if not names or ("tuning" in description and all(map(files.is_tuning, names))):
        return None
    if files.RUN_FILE not in names:
        raise files.something_else(out, names)
    found = files.read_json(out / files.RUN_FILE)
    if not resume:
        finish = "" if found.get("status") == "complete" else ", or --resume to finish that one"
        raise OutputError(f"{out} already holds a run: choose another --out{finish}")
    differences = _differences(found, description)
    if differences:
        its_own = f" ({found['command']})" if found.get("command") else ""
        raise CheckpointError(
            f"{out} holds a run of another configuration: {'; '.join(differences[:4])}; repeat its own command"
            f"{its_own}, or choose another --out"
        )
    return found


def _differences(found: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """What is not as it was, in words. Where data come from may change, if they are the same."""
    found = _with_defaults(found)
    differences = [
        f"{part}.{key} was {old!r}, now {new!r}"
        for part in ("config", "method", "training", "network", "augmentation", "data", "tuning")
        for key, new in description.get(part, {}).items()
        if key != "cuda_graphs"  # how the same is computed
        if (old := found.get(part, {}).get(key)) != new
    ]
    differences += [
        f"{key} was {found.get(key)!r}, now {description[key]!r}"
        for key in ("whiten", "probe_period")
        if found.get(key) != description[key]
    ]
    if "tuning" in found and "tuning" not in description:
        differences.append("settings were chosen by a search (--tune), now they were not")
    same_data = found.get("data", {}).get("sha256") == description["data"]["sha256"]
    return [words for words in differences if not (same_data and words.startswith(("data.source", "data.test")))]


def _with_defaults(run: dict[str, Any]) -> dict[str, Any]:
    """A run.json as this version would have written it: with the settings that it did not know yet, at rest."""
    try:
        plan = Plan.from_json(run).to_json()
    except (ELRError, KeyError, TypeError):
        return run  # the comparison will say what is wrong with it
    read = {**run.get("data", {}), "options": asdict(ReadOptions(**run.get("data", {}).get("options", {})))}
    return run | json.loads(json.dumps({**plan, "data": read}))


def _measures(training: Training, task: PreparedData, audit: Audit) -> dict[str, float]:
    """What trusted labels say about the run, where there are any. Nothing of it is used by the run."""
    measures: dict[str, float] = {}
    for name, accuracies in _accuracies(training, task).items():
        measures |= {f"{name}_last": accuracies[-1], f"{name}_best": max(accuracies)}
    measures |= _ranked(training, task)
    if task.clean_labels is not None:
        predicted = training.predict(task.examples).argmax(dim=1).numpy()
        memorized = fractions(predicted, audit.given_labels, task.clean_labels)["fraction_memorized_on_wrong"]
        realized = float((audit.given_labels != task.clean_labels).mean())
        measures |= {"fraction_memorized": memorized, "noise_rate_realized": realized}
        measures |= score_suspects(audit, task.clean_labels)
    return measures


def _ranked(training: Training, task: PreparedData) -> dict[str, float]:
    """Top-5 accuracy on the test data, where there are enough classes for it to say something."""
    if task.test is None or task.test.labels is None or task.preprocessing.num_classes < MANY_CLASSES:
        return {}
    found = training.predict(task.test).topk(5, dim=1).indices == task.test.labels[:, None]
    return {"test_top5_accuracy_last": float(found.any(dim=1).double().mean())}


def _accuracies(training: Training, task: PreparedData) -> dict[str, list[float]]:
    """Accuracy on trusted labels and agreement with held-out given ones, after each epoch that probed.

    The labels are looked at here for the first time.
    """
    accuracies: dict[str, list[float]] = {}
    predicted = training.probe_labels
    for name, part in (("test_accuracy", task.test), ("validation_agreement", task.validation)):
        if part is not None and part.labels is not None:
            here, predicted = predicted[:, : len(part)], predicted[:, len(part) :]
            accuracies[name] = (here == part.labels).double().mean(dim=1).tolist()
    return accuracies


def _with_accuracies(training: Training, task: PreparedData) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = [dict(record) for record in training.history]
    for name, values in _accuracies(training, task).items():
        for epoch, value in zip(training.probe_epochs, values, strict=True):
            history[epoch - 1][name] = value
    return history


def _write(
    out: Path,
    task: PreparedData,
    training: Training,
    audit: Audit,
    pred_probs: torch.Tensor,
    history: list[dict[str, Any]],
) -> None:
    """Weights, preprocessing, evidence, suspects, and the history with what was measured at the end."""
    files.write_tensors(out / files.MODEL_FILE, nn.ModuleList(training.method.predictors).state_dict())
    task.preprocessing.save(out)
    if task.records.pretrained is not None and task.records.features is not None:
        files.write_tensors(out / files.BACKBONE_FILE, task.records.pretrained.network.state_dict())
    files.write_tensors(
        out / files.TARGETS_FILE,
        {
            "pred_probs": pred_probs,
            "given_labels": torch.from_numpy(audit.given_labels),
            "margins": torch.from_numpy(training.state.monitor.margins).float(),
        },
    )
    files.write_lines(out / files.METRICS_FILE, history)
    evidence = Evidence(
        rows=task.records.rows,
        ids=task.records.ids,
        class_names=task.preprocessing.coding.class_names,
        given_labels=audit.given_labels,
        pred_probs=pred_probs.numpy(),
    )
    annotations = task.records.annotations
    if annotations is not None:
        names = task.preprocessing.coding.class_names
        judged = annotations.judged([names[label] for label in audit.predicted_labels])
        files.write_file(out / files.ANNOTATORS_FILE, lambda partial: judged.to_csv(partial, index=False))
    issues = evidence.table(audit)
    files.write_file(out / files.ISSUES_FILE, lambda partial: issues.to_csv(partial, index=False))


def _finished(out: Path, run: dict[str, Any]) -> Fitted:
    """A run that is complete, as its folder has it."""
    remove_checkpoints(out)  # it may have been killed before it came to that
    evidence = files.read_tensors(out / files.TARGETS_FILE)
    audit = audit_labels(evidence["given_labels"].numpy(), evidence["pred_probs"].numpy())
    history = files.read_lines(out / files.METRICS_FILE)
    return Fitted(out=out, results=run["results"], audit=audit, history=history, run=run)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
