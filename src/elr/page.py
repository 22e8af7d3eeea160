"""The report of a run: what `elr.report` shows, gathered from the run and its data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elr import artifacts
from elr.images import thumbnail
from elr.plan import Plan
from elr.report import MAX_SUSPECTS, Report, Suspect, render
from elr.runs import Fitted
from elr.tasks import Task

COMPARED = (
    "test_accuracy_last",
    "test_accuracy_best",
    "fraction_memorized",
    "suspects_precision",
    "suspects_recall",
    "average_precision",
    "seconds",
)
_MEASURED = (*COMPARED[:-1], "noise_rate_realized")
_MAX_FIELDS = 12


def write_report(task: Task, fitted: Fitted, *, baseline: Fitted | None = None) -> Path:
    """Write report.html into the folder of a run.

    Args:
        task: the data of the run.
        fitted: the run.
        baseline: another run on the same data to show beside it.

    Returns:
        Where the page is.
    """
    path = fitted.out / artifacts.REPORT_FILE
    artifacts.write_text(path, render(_report(task, fitted, baseline)))
    return path


def _report(task: Task, fitted: Fitted, baseline: Fitted | None) -> Report:
    run, audit, results = fitted.run, fitted.audit, fitted.results
    names = [str(name) for name in task.encoder.coding.class_names]
    both = [fitted] if baseline is None else [baseline, fitted]
    return Report(
        title=f"Labels of {Path(task.source).name}",
        out=str(fitted.out),
        command=run["command"] or "elr.fit(...) from Python; run.json has every setting",
        created=run["created"],
        num_examples=results["num_examples"],
        num_classes=results["num_classes"],
        class_names=names,
        noise_rate=audit.noise_rate,
        noise_rate_interval=audit.noise_rate_interval,
        num_label_issues=audit.num_label_issues,
        transition_matrix=audit.transition_matrix,
        suspects=_suspects(task, fitted, names),
        settings=_settings(run),
        history=fitted.history,
        method=_label(run),
        comparison=[] if baseline is None else [compared(each) for each in both],
        comparison_history={} if baseline is None else {_label(each.run): each.history for each in both},
        measured={key: results[key] for key in _MEASURED if key in results},
        notes=[*([results["tuning"]["text"]] if "tuning" in results else []), *run["data"]["remarks"]],
        early_learning=results.get("early_learning", {}).get("text", ""),
    )


def compared(fitted: Fitted) -> dict[str, Any]:
    """The row of a run in a table of methods."""
    return {"method": _label(fitted.run)} | {key: fitted.results[key] for key in COMPARED if key in fitted.results}


def _label(run: Mapping[str, Any]) -> str:
    return Plan.from_json(run).method.label


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """What was trained, for people: the network, the method, the loop."""
    training, plan = run["training"], Plan.from_json(run)
    hidden = run["network"].get("hidden")
    described = plan.method.described()
    done = [name for name, value in run["augmentation"].items() if value]
    generations = training.get("generations", 1)
    return {
        "method": described.pop("name"),
        "network": run["network"]["name"] + (f" {'-'.join(map(str, hidden))}" if hidden else ""),
        **described,
        "augmentation": ", ".join(done) or "none",
        **{
            key: training[key]
            for key in ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "schedule")
        },
        **({"generations": generations} if generations > 1 else {}),
        "seed": training["seed"],
        "elr": run["elr_version"],
        "torch": run["versions"]["torch"],
        "data": run["data"]["source"],
    }


def _suspects(task: Task, fitted: Fitted, names: list[str]) -> list[Suspect]:
    """The worst label issues, with a picture or the cells of the table."""
    audit, raw = fitted.audit, task.raw
    worst = [row for row in audit.ranking[: 2 * MAX_SUSPECTS] if audit.is_label_issue[row]][:MAX_SUSPECTS]
    fields = list(task.encoder.columns or [])[:_MAX_FIELDS]

    def cells(row: int) -> dict[str, str]:
        return {} if raw.table is None else {name: str(raw.table[name].iloc[row]) for name in fields}

    return [
        Suspect(
            row=int(raw.rows[row]),
            id=None if raw.ids is None else raw.ids[row],
            given_label=names[audit.given_labels[row]],
            predicted_label=names[audit.predicted_labels[row]],
            label_quality=float(audit.label_quality[row]),
            thumbnail=None if raw.images is None else thumbnail(raw.images[row]),
            fields=cells(row),
        )
        for row in worst
    ]
