"""One run on prepared data: train, audit, write the folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elr import files
from elr.audit.alarms import find_alarms
from elr.audit.audited_run import AuditedRun
from elr.audit.chance import agreement_of
from elr.audit.evidence import Evidence, silenced, write_evidence, written_evidence
from elr.audit.explanation.gathering import about_rows, write_explanations
from elr.audit.issues_view import write_issues
from elr.audit.label_quality import Audit
from elr.audit.learning import of_memory, share_is_known
from elr.audit.scoring import score_suspects
from elr.audit.tables.lines import without_formulas
from elr.data.comparison import told_differences
from elr.data.matching.fingerprints import row_fingerprints
from elr.data.prepared_data import PreparedData, inspection_of
from elr.errors import ArgumentError, OutputError, of_all_ranks
from elr.runs.plan import Plan, said_of_data
from elr.runs.run_folder import alone_in, another, opened, read_begun, remove_unfinished
from elr.targets.table_file import check_room, remove_tables
from elr.training.checkpoints import remove_checkpoints
from elr.training.engine import from_main_process, gathered, on_all_ranks, refuse_other_ranks
from elr.training.loop import Training
from elr.training.monitor import fractions
from elr.training.progress import Progress, read_lines, write_lines
from elr.training.verdict import MEMORIZATION, beside_clean_labels, early_learning

_SAME_EVERYWHERE = "give all of them the same command, data, versions and folder"
_VOTED = 4096  # rows whose blind networks are asked at a time
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
        before: whether it was finished before, and read again.

    Example:
        >>> import tempfile
        >>> from elr.runs.fit import fit
        >>> from elr.runs.fit_config import FitConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
        ...     fitted = fit(data, out=Path(folder) / "run", config=FitConfig(epochs=2)).fitted
        >>> len(fitted.history), fitted.results["num_examples"], len(fitted.audit.labels)
        (2, 40, 40)
    """

    out: Path
    results: dict[str, Any]
    audit: Audit
    history: list[dict[str, Any]]
    run: dict[str, Any]
    before: bool = False


def run_plan(
    prepared: PreparedData,
    plan: Plan,
    *,
    config: dict[str, Any],
    out: Path,
    command: str = "",
    resume: bool = False,
    tuning: dict[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train on prepared data, audit its labels and write everything but the report into `out`.

    Nothing is written before the data and all settings have been checked; every file is written whole or not at all.

    Args:
        prepared: from `prepare_data` or `prepare_records`.
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

    Example:
        >>> import tempfile
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> from elr.runs.fit_config import FitConfig
        >>> prepared = prepare_data((np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)), ReadOptions())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = FitConfig(epochs=2).plan(prepared)
        ...     fitted = run_plan(prepared, plan, config={}, out=Path(folder) / "run")
        ...     sorted(path.name for path in fitted.out.iterdir())[:4]
        ['evidence.parquet', 'explanations.parquet', 'issues.csv', 'metrics.jsonl']
    """
    plan, description, found = on_all_ranks(
        plan.training.device, lambda: _compared(prepared, plan, config, tuning, out=out, resume=resume)
    )
    state = "a new one" if found is None else found["status"]
    refuse_other_ranks({"the state of the folder": state})  # who sees it just finished would not wait for the others
    if found is not None and found["status"] == "complete":
        return _finished(out, found)
    _refuse_other_ranks(description, prepared)
    training = plan.build(prepared, probe=prepared.probe, folder=out)
    # A network that they do not fit fails before anything is written.
    on_all_ranks(plan.training.device, lambda: training.predict(prepared.examples.first(2)))
    started = time.perf_counter()
    run = found or {"status": "running", "command": command, "created": _now(), **description}
    run["remarks"] = [*dict.fromkeys([*run["remarks"], *plan.remarks])]  # another number of processes may go on
    run["preprocessing"] = description["preprocessing"]  # what is saved beside it in the end is that of now
    with ExitStack() as held:
        if _begin(out, run, training, held, first=found is None):
            return _finished(out, read_begun(out))
        if training.accelerator.is_main_process and not (out / files.INDEX_FILE).exists():
            index = prepared.image_index()
            if index is not None:
                index.write(out / files.INDEX_FILE)
        training.run(resume=resume, on_progress=on_progress)
        main, evidence = training.accelerator.is_main_process, _evidence(prepared, training)
        audit = write_evidence(out / files.EVIDENCE_FILE, evidence) if main else evidence.audit()
        seconds = time.perf_counter() - started + training.earlier_seconds
        history = _with_accuracies(training, prepared)
        verdict = early_learning(history, generations=training.config.generations)
        audit = of_memory(audit) if verdict.state == MEMORIZATION else audit
        results = {"out": str(out)} | _results(prepared, training, audit, seconds=seconds)
        results["early_learning"] = beside_clean_labels(verdict, history).to_json()
        results["remarks"] = [*run["data"]["remarks"], *plan.remarks]
        results |= {} if tuning is None else {"tuning": tuning}
        choice = training.method.choice()
        if choice:
            choice["text"] += (
                f" What the chosen networks say and said through the run, by which labels are judged, agrees with "
                f"{results['out_of_fold_agreement']:.1%} of the given labels that they never saw."
            )
        results |= {"choice": {name: choice[name] for name in ("text", "chosen")}} if choice else {}
        run |= {"status": "complete", "results": results, "choice": choice}
        votes = _votes(training)
        training.accelerator.wait_for_everyone()  # no rank reads the checkpoint any more
        if main:
            written = written_evidence(out / files.EVIDENCE_FILE, evidence)  # no other rank is here
            _write(out, prepared, training, written, audit, history, votes)
            files.write_json(out / files.RUN_FILE, run)
            _remove_what_is_for_resuming(out)
        training.accelerator.wait_for_everyone()
        return Fitted(out=out, results=results, audit=audit, history=history, run=run)


def _compared(
    prepared: PreparedData,
    plan: Plan,
    config: dict[str, Any],
    tuning: dict[str, Any] | None,
    *,
    out: Path,
    resume: bool,
) -> tuple[Plan, dict[str, Any], dict[str, Any] | None]:
    """The plan, what describes the run, and the run.json of the one in the folder, which is that very run."""
    if resume and (out / files.RUN_FILE).is_file():
        plan = plan.going_on(read_begun(out))
    reading = inspection_of(prepared).to_json()
    description = plan.description(prepared, config, reading=reading) | ({} if tuning is None else {"tuning": tuning})
    return plan, description, opened(out, description, resume=resume)


def _refuse_other_ranks(description: dict[str, Any], prepared: PreparedData) -> None:
    """Refuse, on all ranks, data or settings that are not the same on all of them, and say in what they differ."""
    said = "; in ".join(told_differences(description, prepared, gathered))
    if said:
        raise of_all_ranks(ArgumentError(f"the ranks differ in {said}: {_SAME_EVERYWHERE}"))


def _begin(out: Path, run: dict[str, Any], training: Training, held: ExitStack, *, first: bool) -> bool:
    """Make the folder of the run, hold it and say in it that it is under way; or whether another has finished it."""
    training.accelerator.wait_for_everyone()  # every rank has looked at the folder before one of them makes it
    run["num_processes"] = training.accelerator.num_processes

    sizes = [getattr(store, "file_bytes", 0) for store in training.method.stores]  # stores in memory have none

    def take() -> int:
        check_room(out, sizes, processes=training.accelerator.num_processes)
        with files.writing(out):
            out.mkdir(parents=True, exist_ok=True)
        held.enter_context(alone_in(out))
        if first and not files.write_first(out / files.RUN_FILE, run):
            raise OutputError(f"another run was quicker to take {out}: {another(out)}")
        if first:
            return 0
        if read_begun(out)["status"] == "complete":
            return 1
        files.write_json(out / files.RUN_FILE, run)
        return 0

    return bool(from_main_process(training.config.device, take))


def _results(prepared: PreparedData, training: Training, audit: Audit, *, seconds: float) -> dict[str, Any]:
    """What was found and measured, in the order in which it is told."""
    results: dict[str, Any] = {
        "num_examples": len(prepared.examples),
        "num_classes": prepared.preprocessing.num_classes,
        "noise_rate": audit.noise_rate,
        "noise_rate_interval": list(audit.noise_rate_interval),
        "num_label_issues": audit.num_label_issues,
        "seconds": seconds,
    }
    if audit.out_of_fold:  # of what predicts and judges: the one number for it, wherever it is told
        results["out_of_fold_agreement"] = agreement_of(audit.favored_counts).share
    if share_is_known(audit):
        results["expected_precision"] = float(audit.expected_precision[audit.num_label_issues - 1])
    alarms = find_alarms(audit, prepared.preprocessing.coding.class_names)
    loud = [finding.to_json() for finding in prepared.findings if finding.loud]
    results["warnings"] = [*loud, *(alarm.to_json() for alarm in alarms)]
    results |= _measures(training, prepared, audit) | {"remarks": said_of_data(prepared)}
    return results


def _measures(training: Training, prepared: PreparedData, audit: Audit) -> dict[str, float]:
    """What trusted labels say about the run, where there are any. Nothing of it is used by the run."""
    measures: dict[str, float] = {}
    for name, accuracies in _accuracies(training, prepared).items():
        measures |= {f"{name}_last": accuracies[-1]}
        measures |= {f"{name}_best": max(accuracies)} if len(accuracies) > 1 else {}  # of one there is no best
    measures |= _balanced(training, prepared) | _ranked(training, prepared)
    if prepared.clean_labels is not None:
        predicted = training.predict_labels(prepared.examples).numpy()
        memorized = fractions(predicted, audit.labels, prepared.clean_labels)["fraction_memorized_on_wrong"]
        realized = float((audit.labels != prepared.clean_labels).mean())
        measures |= {"fraction_memorized": memorized, "noise_rate_realized": realized}
        measures |= score_suspects(audit, prepared.clean_labels)
    return measures


def _balanced(training: Training, prepared: PreparedData) -> dict[str, float]:
    """Mean over the classes of the share of their test rows that is found: rare classes count as much as others."""
    if prepared.test is None or prepared.test.labels is None:
        return {}
    labels = prepared.test.labels
    right = training.probe_labels[-1, : len(labels)] == labels
    shares = [float(right[labels == number].double().mean()) for number in labels.unique()]
    return {"test_balanced_accuracy_last": float(np.mean(shares))}


def _ranked(training: Training, prepared: PreparedData) -> dict[str, float]:
    """Top-5 accuracy on the test data, where there are enough classes for it to say something."""
    if prepared.test is None or prepared.test.labels is None or prepared.preprocessing.num_classes < MANY_CLASSES:
        return {}
    best = torch.cat([probs.topk(5, dim=1).indices for probs in training.predict_chunks(prepared.test)])
    found = best == prepared.test.labels[:, None]
    return {"test_top5_accuracy_last": float(found.any(dim=1).double().mean())}


def _accuracies(training: Training, prepared: PreparedData) -> dict[str, list[float]]:
    """Accuracy on trusted labels and agreement with held-out given ones, after each epoch that probed.

    The labels are looked at here for the first time.
    """
    accuracies: dict[str, list[float]] = {}
    predicted = training.probe_labels
    for name, part in (("test_accuracy", prepared.test), ("validation_agreement", prepared.validation)):
        if part is not None and part.labels is not None:
            here, predicted = predicted[:, : len(part)], predicted[:, len(part) :]
            accuracies[name] = (here == part.labels).double().mean(dim=1).tolist()
    return accuracies


def _with_accuracies(training: Training, prepared: PreparedData) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = [dict(record) for record in training.history]
    for name, values in _accuracies(training, prepared).items():
        for epoch, value in zip(training.probe_epochs, values, strict=True):
            history[epoch - 1][name] = value
    return history


def _evidence(prepared: PreparedData, training: Training) -> Evidence:
    """What training has gathered about the training rows."""
    silent = prepared.preprocessing.silent(prepared.records)
    return Evidence(
        rows=prepared.records.rows,
        ids=prepared.records.ids,
        class_names=prepared.preprocessing.coding.class_names,
        labels=training.labels.numpy(),
        margins=training.state.monitor.margins.astype(np.float32),
        out_of_fold=training.method.out_of_fold,
        chunks=lambda: silenced((probs.numpy() for probs in training.pred_prob_chunks()), silent),
        fingerprints=row_fingerprints(prepared.records, prepared.preprocessing.columns),
    )


def _write(
    out: Path,
    prepared: PreparedData,
    training: Training,
    evidence: Evidence,
    audit: Audit,
    history: list[dict[str, Any]],
    votes: np.ndarray | None,
) -> None:
    """Weights, preprocessing, suspects, and the history with what was measured at the end."""
    files.write_tensors(out / files.MODEL_FILE, nn.ModuleList(training.method.predictors).state_dict())
    prepared.preprocessing.save(out)
    if prepared.records.pretrained is not None and prepared.records.features is not None:
        files.write_tensors(out / files.BACKBONE_FILE, prepared.records.pretrained.network.state_dict())
    write_lines(out / files.METRICS_FILE, history)
    annotations = prepared.records.annotations
    if annotations is not None:
        names = prepared.preprocessing.coding.class_names
        judged = annotations.judged([names[label] for label in audit.predicted_labels])
        judged["annotator"] = without_formulas(judged["annotator"].tolist())
        files.write_file(out / files.ANNOTATORS_FILE, lambda partial: judged.to_csv(partial, index=False))
    write_issues(evidence, audit, out / files.ISSUES_FILE)
    _write_explanations(out / files.EXPLANATIONS_FILE, prepared, training, audit, votes)


def _votes(training: Training) -> np.ndarray | None:
    """(N, S, 3): the class that each blind network says, its probability, that of the given class; on every rank."""
    parts = []
    for rows in torch.arange(len(training.labels)).split(_VOTED):
        probs = training.method.blind_probs(rows)
        if probs is None:
            return None
        probs = probs.cpu()
        given = training.labels[rows].expand(len(probs), -1)[..., None]
        best, favored = probs.max(dim=-1)
        parts.append(torch.stack([favored.float(), best, probs.gather(2, given)[..., 0]], dim=-1).transpose(0, 1))
    return torch.cat(parts).numpy()


def _write_explanations(
    path: Path, prepared: PreparedData, training: Training, audit: Audit, votes: np.ndarray | None
) -> None:
    """What `elr explain` says of each row: its course, the votes of blind networks, for the worst the nearest rows."""
    course = training.state.monitor.course
    assert course is not None, "a plan keeps the course"
    write_explanations(
        path,
        epochs=course.epochs,
        given=course.of_classes(audit.labels),
        favored=course.of_classes(audit.predicted_labels),
        votes=votes,
        about=about_rows(prepared, audit),
    )


def _finished(out: Path, run: dict[str, Any]) -> Fitted:
    """A run that is complete, as its folder has it."""
    history, audit = read_lines(out / files.METRICS_FILE), AuditedRun.read(out).audit
    _remove_what_is_for_resuming(out)  # it may have been killed before it came to that
    return Fitted(out=out, results=run["results"], audit=audit, history=history, run=run, before=True)


def _remove_what_is_for_resuming(out: Path) -> None:
    remove_checkpoints(out)
    remove_tables(out)
    remove_unfinished(out)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
