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

import numpy as np
import pandas as pd
import torch

from elr import artifacts
from elr.audit import Audit, audit_labels, score_suspects
from elr.checkpoints import remove_checkpoints
from elr.data import Examples
from elr.diagnostics import Monitor, fractions
from elr.elr import ELR
from elr.errors import ArgumentError, CheckpointError, OutputError
from elr.images import SMALLEST
from elr.method import LossMethod, Method
from elr.networks import NetworkSpec
from elr.reading import IMAGES, RawData
from elr.settings import TrainingConfig
from elr.tasks import Task
from elr.training import Progress, Training

METHODS = ("elr", "cross_entropy")
AUGMENTATIONS = ("auto", "crop", "none")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How `fit` trains. Plain values only; None leaves a choice to the data, and run.json says what it came to.

    Args:
        method: "elr", or "cross_entropy" for comparison.
        lam: weight of the regularizer. Default 3, the paper's for CIFAR-10 and Clothing1M.
        beta: momentum of the targets. Default 0.7 (as lam).
        network: a name in `elr.networks.NETWORKS`; default "fast" for images of at least 16 pixels, "mlp" otherwise.
        epochs: default 100 for tables and features, 60 for images, fewer (at least 10) for many examples.
        batch_size: default 64 for tables and features, 128 for images.
        learning_rate: default 0.02 for tables and features, 0.1 for images.
        weight_decay: default 5e-3 for tables and features, 2e-3 for images.
        augment: for convolutional networks: "auto" (crops and mirror images), "crop" (where a mirror image may be of
            another class: letters, digits, road signs) or "none".
        precision: see `TrainingConfig`.
        device: see `TrainingConfig`.
        seed: of weights, order, augmentation.

    Raises:
        ArgumentError: an unknown method or augmentation; other values are checked where they are used.

    Source: docs/benchmarks.md says how the defaults were chosen, on noisy validation labels.
    """

    method: str = "elr"
    lam: float = 3.0
    beta: float = 0.7
    network: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    augment: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ArgumentError(f"method is {self.method!r}: expected one of {', '.join(METHODS)}")
        if self.augment not in AUGMENTATIONS:
            raise ArgumentError(f"augment is {self.augment!r}: expected one of {', '.join(AUGMENTATIONS)}")

    def training(self, examples: Examples, *, convolutional: bool) -> TrainingConfig:
        """The settings of the training loop, with every choice made."""
        visits, most = (600_000, 60) if convolutional else (2_000_000, 100)
        defaults: dict[str, Any] = (
            {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 2e-3, "nesterov": True, "schedule": "onecycle"}
            if convolutional
            else {"batch_size": 64, "learning_rate": 0.02, "weight_decay": 5e-3}
        )
        defaults["epochs"] = int(np.clip(visits // len(examples), 10, most))
        chosen = {name: value for name in defaults if (value := getattr(self, name, None)) is not None}
        return TrainingConfig(precision=self.precision, device=self.device, seed=self.seed, **{**defaults, **chosen})


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
    task: Task,
    config: FitConfig,
    *,
    out: Path,
    command: str = "",
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train on a task, audit its labels and write everything but the report into `out`.

    Nothing is written before the data and all settings have been checked; every file is written whole or not at all.

    Args:
        task: from `read_task` or `make_task`.
        config: how to train.
        out: folder of the run: new, empty, or with `resume` that of the same run.
        command: the command that repeats the run.
        resume: go on from the last checkpoint in `out`, if there is one; a finished run is given back as it is.
        on_progress: called after every batch.

    Raises:
        ArgumentError: settings out of range, or fewer examples than a batch.
        OutputError: `out` holds something else, or cannot be written.
        CheckpointError: `out` holds a run of another configuration.
        TrainingError: training diverged.
    """
    description = _describe(task, config)
    found = _open_folder(out, description, resume=resume)
    if found is not None and found["status"] == "complete":
        return _finished(out, found)
    training = _training(task, config, description, out)
    training.predict(task.examples.first(2))  # a network that the examples do not fit fails before anything is written
    started = time.perf_counter()
    run = found or {"status": "running", "command": command, "created": _now(), **description}
    main = training.accelerator.is_main_process
    training.accelerator.wait_for_everyone()  # every rank has looked at the folder before one of them makes it
    run["num_processes"] = training.accelerator.num_processes
    if main:
        with artifacts.writing(out):
            out.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(out / artifacts.RUN_FILE, run)
    training.run(resume=resume, on_progress=on_progress)
    pred_probs = training.pred_probs()
    audit = audit_labels(training.labels, pred_probs)
    seconds = time.perf_counter() - started + training.earlier_seconds
    results = {"out": str(out), "num_examples": len(task.examples), "num_classes": task.encoder.num_classes}
    results |= {"noise_rate": audit.noise_rate, "noise_rate_interval": list(audit.noise_rate_interval)}
    results |= {"num_label_issues": audit.num_label_issues, "seconds": seconds}
    results |= _measures(training, task, audit) | {"remarks": description["data"]["remarks"]}
    history = _with_test_accuracy(training, task)
    run |= {"status": "complete", "results": results}
    training.accelerator.wait_for_everyone()  # no rank reads the checkpoint any more
    if main:
        _write(out, task, training, audit, pred_probs, history)
        artifacts.write_json(out / artifacts.RUN_FILE, run)
        remove_checkpoints(out)
    training.accelerator.wait_for_everyone()
    return Fitted(out=out, results=results, audit=audit, history=history, run=run)


def _training(task: Task, config: FitConfig, description: dict[str, Any], out: Path) -> Training:
    """The training that a description stands for."""
    spec = NetworkSpec.from_json(description["network"])
    labels = task.examples.labels
    assert labels is not None, "a task always has labels"
    return Training(
        _method(config, spec, task),
        task.examples,
        config=TrainingConfig(**description["training"]),
        transform=task.encoder.transform(
            augment=description["augment"] != "none",
            flip=description["augment"] != "crop",
            flatten=not spec.takes_images,
        ),
        monitor=Monitor(labels.numpy(), clean_labels=task.clean_labels),
        probe=task.test,
        folder=out,
    )


def _method(config: FitConfig, spec: NetworkSpec, task: Task) -> Method:
    network = spec.build(generator_seed=config.seed)
    if config.method == "cross_entropy":
        return LossMethod(network)
    return ELR(
        network, num_examples=len(task.examples), num_classes=task.encoder.num_classes, lam=config.lam, beta=config.beta
    )


def _describe(task: Task, config: FitConfig) -> dict[str, Any]:
    """Everything that decides how the run goes, as plain values: what a resumed run must agree in."""
    images = task.raw.kind == IMAGES
    shape = tuple(task.examples.inputs.shape[1:])
    name = config.network or ("fast" if images and min(shape[1:]) >= SMALLEST else "mlp")
    takes_images = NetworkSpec(name, 2, num_features=None if name not in ("linear", "mlp") else 1).takes_images
    if takes_images and not images:
        raise ArgumentError(f"network {name!r} takes images, the data are {task.raw.kind}: use mlp or linear")
    spec = NetworkSpec(
        name,
        task.encoder.num_classes,
        in_channels=shape[0] if takes_images else None,
        num_features=None if takes_images else int(np.prod(shape)),
    )
    settings = config.training(task.examples, convolutional=takes_images)
    description = {
        "elr_version": metadata.version("elr"),
        "config": asdict(config),
        "training": asdict(settings),
        "network": spec.to_json(),
        "augment": config.augment if takes_images else "none",
        "encoder": task.encoder.to_json(),
        "data": {
            "source": task.source,
            "options": asdict(task.options),
            "noise": task.noise,
            "test": task.test_source,
            "sha256": task.sha256,
            "num_examples": len(task.examples),
            "remarks": [*task.raw.remarks, *task.encoder.remarks],
        },
        "versions": {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn", "accelerate", "skops")}
        | {"python": platform.python_version(), "machine": platform.platform(), "threads": torch.get_num_threads()},
    }
    return json.loads(json.dumps(description))  # as it will be read again


def _open_folder(out: Path, description: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The run.json already in `out`, if any; refuses folders that hold anything but this very run."""
    with artifacts.writing(out):
        if not out.exists():
            return None
        if not out.is_dir():
            raise OutputError(f"{out} exists and is not a folder: choose another --out")
        entries = [path.name for path in out.iterdir() if not artifacts.is_partial(path.name)]
    if not entries:
        return None
    if artifacts.RUN_FILE not in entries:
        raise OutputError(
            f"{out} exists and holds something else ({', '.join(sorted(entries)[:3])}): choose another --out"
        )
    found = artifacts.read_json(out / artifacts.RUN_FILE)
    if not resume:
        finish = "" if found.get("status") == "complete" else ", or --resume to finish that one"
        raise OutputError(f"{out} already holds a run: choose another --out{finish}")
    differences = [
        f"{part}.{key} was {old!r}, now {new!r}"
        for part in ("config", "training", "network", "data")
        for key, new in description[part].items()
        if (old := found.get(part, {}).get(key)) != new
    ]
    if differences:
        raise CheckpointError(
            f"{out} holds a run of another configuration: {'; '.join(differences[:4])}; repeat its own command "
            f"({found.get('command')}), or choose another --out"
        )
    return found


def _measures(training: Training, task: Task, audit: Audit) -> dict[str, float]:
    """What trusted labels say about the run, where there are any. Nothing of it is used by the run."""
    measures: dict[str, float] = {}
    if task.test is not None:
        accuracies = _test_accuracies(training, task.test)
        measures |= {"test_accuracy_last": accuracies[-1], "test_accuracy_best": max(accuracies)}
    if task.clean_labels is not None:
        predicted = training.predict(task.examples).argmax(dim=1).numpy()
        memorized = fractions(predicted, audit.given_labels, task.clean_labels)["fraction_memorized_on_wrong"]
        realized = float((audit.given_labels != task.clean_labels).mean())
        measures |= {"fraction_memorized": memorized, "noise_rate_realized": realized}
        measures |= score_suspects(audit, task.clean_labels)
    return measures


def _test_accuracies(training: Training, test: Examples) -> list[float]:
    """Accuracy on trusted labels after each epoch; the labels are looked at here for the first time."""
    assert test.labels is not None
    return (training.probe_labels == test.labels).double().mean(dim=1).tolist()


def _with_test_accuracy(training: Training, task: Task) -> list[dict[str, Any]]:
    if task.test is None:
        return [dict(record) for record in training.history]
    accuracies = _test_accuracies(training, task.test)
    return [record | {"test_accuracy": value} for record, value in zip(training.history, accuracies, strict=True)]


def _write(
    out: Path, task: Task, training: Training, audit: Audit, pred_probs: torch.Tensor, history: list[dict[str, Any]]
) -> None:
    """Weights, preprocessing, evidence, suspects, and the history with what was measured at the end."""
    network = training.method.get_submodule("network")
    artifacts.write_tensors(out / artifacts.MODEL_FILE, network.state_dict())
    task.encoder.save(out)
    artifacts.write_tensors(
        out / artifacts.TARGETS_FILE,
        {"pred_probs": pred_probs, "given_labels": torch.from_numpy(audit.given_labels)},
    )
    artifacts.write_lines(out / artifacts.METRICS_FILE, history)
    issues = issues_table(task.raw, audit, task.encoder.coding.class_names)
    artifacts.write_file(out / artifacts.ISSUES_FILE, lambda partial: issues.to_csv(partial, index=False))


def issues_table(raw: RawData, audit: Audit, class_names: tuple[Any, ...]) -> pd.DataFrame:
    """One line per training example, the most suspect label first; columns as in issues.csv."""
    names = np.array(class_names, dtype=object)
    order = audit.ranking
    columns: dict[str, Any] = {"row": raw.rows[order]}
    if raw.ids is not None:
        columns["id"] = [raw.ids[row] for row in order]
    return pd.DataFrame(
        columns
        | {
            "given_label": names[audit.given_labels[order]],
            "predicted_label": names[audit.predicted_labels[order]],
            "label_quality": audit.label_quality[order].round(6),
            "is_label_issue": audit.is_label_issue[order],
        }
    )


def _finished(out: Path, run: dict[str, Any]) -> Fitted:
    """A run that is complete, as its folder has it."""
    remove_checkpoints(out)  # it may have been killed before it came to that
    evidence = artifacts.read_tensors(out / artifacts.TARGETS_FILE)
    audit = audit_labels(evidence["given_labels"].numpy(), evidence["pred_probs"].numpy())
    history = artifacts.read_lines(out / artifacts.METRICS_FILE)
    return Fitted(out=out, results=run["results"], audit=audit, history=history, run=run)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
