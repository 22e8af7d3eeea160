"""The report of a run: what `elr.audit.report` shows, gathered from the run and its data, kept, and shown again."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elr import files
from elr.audit.audited_run import AuditedRun
from elr.audit.cleaning.decision_file import run_name
from elr.audit.explanation.reading import Explanations
from elr.audit.report import Report, render
from elr.audit.suspects import MAX_CELL, THUMBNAIL_ROOM, Suspect, clip
from elr.data.kinds.catalog import KINDS
from elr.data.pictures.decoding import thumbnail
from elr.data.records import Records
from elr.errors import ArgumentError, ArtifactError, OutputError
from elr.networks.spec import NetworkSpec
from elr.runs.model_card.card import CARD_FILE, write_card
from elr.runs.plan import Plan
from elr.runs.run_folder import alone_in

if TYPE_CHECKING:
    from elr.data.prepared_data import PreparedData
    from elr.runs.run import Fitted

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
_MAX_PAIRS = 3  # of classes most often confused, as `elr audit` names them
_MAX_SUSPECTS = 50_000  # label issues gathered; about 40 bytes of the page each without pictures and cells
_MAX_EXPLAINED = 2_000  # label issues; about 2 kB of the page each, as far as there is room
_MAX_CELLS = 4_000_000  # characters of cells gathered


def write_report(prepared: PreparedData, fitted: Fitted, *, baseline: Fitted | None = None) -> Path:
    """Write report.html into the folder of a run, and report.json with all that it shows.

    Args:
        prepared: the data of the run.
        fitted: the run.
        baseline: another run on the same data to show beside it.

    Returns:
        Where the page is.

    Example:
        >>> import tempfile
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> from elr.runs.fit_config import FitConfig
        >>> from elr.runs.run import run_plan
        >>> prepared = prepare_data((np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)), ReadOptions())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fitted = run_plan(prepared, FitConfig(epochs=2).plan(prepared), config={}, out=Path(folder) / "run")
        ...     page = write_report(prepared, fitted).read_text()
        >>> "Labels of arrays" in page
        True
    """
    path = fitted.out / files.REPORT_FILE
    try:
        report = _report(prepared, fitted, baseline)
    except (ArgumentError, AttributeError, KeyError, TypeError, ValueError) as error:
        if not fitted.before:
            raise
        raise ArtifactError(
            f"{fitted.out / files.RUN_FILE} is damaged ({error}): repeat its command with another --out"
        ) from error
    files.write_text(fitted.out / files.REPORT_DATA_FILE, _to_json(report) + "\n")
    files.write_text(path, render(report))
    return path


def rewrite_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Build the page of a finished run again from its report.json, without the data; and its model card, if it has one.

    Args:
        folder: of a run of `elr fit` or `elr run`.
        out: where to write the page; default: report.html in the folder, which is replaced.

    Returns:
        Where the page is.

    Raises:
        ArtifactError: no finished run, one that was stopped before it had a report, or a damaged file.
        OutputError: `out` exists, or cannot be written.

    Example:
        >>> rewrite_report("no-such-run")
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    folder = Path(folder)
    run = files.read_run(folder)
    path = folder / files.REPORT_FILE if out is None else Path(out)
    with files.writing(path):
        if out is not None and path.exists():
            raise OutputError(f"{path} exists already: choose another --out, or remove it")
    source = folder / files.REPORT_DATA_FILE
    if not source.exists():
        raise ArtifactError(
            f"{folder} has no {source.name}: the run was stopped before its report was written; repeat its command "
            "with --resume (the training is not repeated) where the data are"
        )
    try:
        page = render(replace(_from_json(files.read_json(source)), out=str(folder), run=run_name(run)))
    except (ArgumentError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{source} is damaged ({error}): repeat the command of the run with --resume, where the data are"
        ) from error
    if out is not None:
        files.write_text(path, page)
        return path
    with alone_in(folder, wait=True):
        files.write_text(path, page)
        if (folder / CARD_FILE).exists():
            write_card(folder)
    return path


def _to_json(report: Report) -> str:
    """All of the report as JSON, thumbnails in base64."""
    content = {each.name: getattr(report, each.name) for each in fields(report)}
    content["transition_matrix"] = np.asarray(report.transition_matrix).tolist()
    content["suspects"] = [
        vars(suspect)
        | {"thumbnail": None if suspect.thumbnail is None else base64.b64encode(suspect.thumbnail).decode("ascii")}
        for suspect in report.suspects
    ]
    return json.dumps(files.without_nan(content), ensure_ascii=False, allow_nan=False)


def _from_json(content: dict[str, Any]) -> Report:
    """The report again; text, numbers and lists are what they should be, or this raises."""
    low, high = (math.nan if end is None else _number(end) for end in content["noise_rate_interval"])
    return Report(
        title=_text(content["title"]),
        out=_text(content["out"]),
        command=_text(content["command"]),
        created=_text(content["created"]),
        method=_text(content["method"]),
        early_learning=_text(content["early_learning"]),
        cleaned=_text(content["cleaned"]),
        num_examples=_count(content["num_examples"]),
        num_classes=_count(content["num_classes"]),
        num_label_issues=_count(content["num_label_issues"]),
        class_names=[_text(name) for name in content["class_names"]],
        noise_rate=math.nan if content["noise_rate"] is None else _number(content["noise_rate"]),
        noise_rate_interval=(low, high),
        transition_matrix=content["transition_matrix"],
        suspects=[_suspect(each) for each in content["suspects"]],
        settings=dict(content["settings"]),
        history=[dict(each) for each in content["history"]],
        comparison=[dict(each) for each in content["comparison"]],
        comparison_history={
            name: [dict(each) for each in rows] for name, rows in dict(content["comparison_history"]).items()
        },
        measured=dict(content["measured"]),
        notes=[_text(note) for note in content["notes"]],
        warnings=[_text(warning) for warning in content["warnings"]],
        choice=dict(content["choice"]),
        reading=dict(content["reading"]),
        expected_precision=None if (share := content.get("expected_precision")) is None else _number(share),
        confusions=[
            {"given": _text(each["given"]), "clean": _text(each["clean"]), "num_rows": _count(each["num_rows"])}
            for each in content["confusions"]
        ],
    )


def _suspect(content: dict[str, Any]) -> Suspect:
    image = content["thumbnail"]
    return Suspect(
        row=_count(content["row"]),
        id=None if content["id"] is None else _text(content["id"]),
        given_label=_text(content["given_label"]),
        predicted_label=_text(content["predicted_label"]),
        label_quality=_number(content["label_quality"]),
        thumbnail=None if image is None else base64.b64decode(image, validate=True),
        fields={name: _text(text) for name, text in dict(content["fields"]).items()},
        why=_why(content["why"]),
    )


def _why(content: Any) -> dict[str, Any] | None:
    """What the page's script goes through, each part of it a list."""
    if content is None:
        return None
    parts = ("epochs", "given", "favored", "votes", "neighbors", "differences", "notes")
    return dict(content) | {part: list(content[part]) for part in parts}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:80]!r} where text is expected")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError(f"{str(value)[:80]} where a count is expected")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{str(value)[:80]!r} where a number is expected")
    return float(value)  # type: ignore[arg-type]


def _report(prepared: PreparedData, fitted: Fitted, baseline: Fitted | None) -> Report:
    run, audit, results = fitted.run, fitted.audit, fitted.results
    names = [str(name) for name in prepared.preprocessing.coding.class_names]
    both = [fitted] if baseline is None else [baseline, fitted]
    return Report(
        title=f"Labels of {Path(prepared.source).name}",
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
        suspects=_suspects(prepared, fitted, names),
        settings=_settings(run),
        history=fitted.history,
        method=_label(run),
        comparison=[] if baseline is None else comparison(both),
        comparison_history={} if baseline is None else {_label(each.run): each.history for each in both},
        measured={key: results[key] for key in _MEASURED if key in results},
        notes=[*([results["tuning"]["text"]] if "tuning" in results else []), *run["data"]["remarks"], *run["remarks"]],
        warnings=[alarm["text"] for alarm in results["warnings"]],
        early_learning=results["early_learning"]["text"],
        choice=run["choice"],
        reading=run["data"]["reading"],
        cleaned=_cleaned(prepared),
        expected_precision=results.get("expected_precision") if audit.out_of_fold else None,  # others are too sure
        run=run_name(run),
        confusions=[
            {"given": names[pair.given], "clean": names[pair.clean], "num_rows": pair.num_rows}
            for pair in audit.confusions(_MAX_PAIRS)
        ],
    )


def _cleaned(prepared: PreparedData) -> str:
    """A name for a corrected copy of the data; "" where there is no file with the given labels."""
    source = Path(prepared.source)
    if (
        prepared.noise is not None
        or prepared.records.annotations is not None
        or not source.exists()
        or (source.is_dir() and prepared.records.ids is None)
    ):
        return ""
    return f"{source.stem}-cleaned{source.suffix}" if source.is_file() else f"{source.resolve().name}-cleaned"


def comparison(runs: Sequence[Fitted]) -> list[dict[str, Any]]:
    """A table of methods: the best epoch only where each of them was measured after several.

    Example:
        >>> comparison([])
        []
    """
    rows = [compared(each) for each in runs]
    if not all("test_accuracy_best" in row for row in rows):
        rows = [{key: value for key, value in row.items() if key != "test_accuracy_best"} for row in rows]
    return rows


def compared(fitted: Fitted) -> dict[str, Any]:
    """The row of a run in a table of methods.

    Example:
        >>> import tempfile
        >>> from elr.runs.fit import fit
        >>> from elr.runs.fit_config import FitConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
        ...     fitted = fit(data, out=Path(folder) / "run", config=FitConfig(epochs=2)).fitted
        >>> compared(fitted)["method"]
        'elr'
    """
    return {"method": _label(fitted.run)} | {key: fitted.results[key] for key in COMPARED if key in fitted.results}


def _label(run: Mapping[str, Any]) -> str:
    return Plan.from_json(run).method.label


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """What was trained, for people: the network, the method, the loop."""
    training, plan = run["training"], Plan.from_json(run)
    described = {name: _listed(value) for name, value in plan.method.described().items()}
    done = [name for name, value in run["augmentation"].items() if value]
    generations = training["generations"]
    return {
        "method": described.pop("name"),
        "network": _listed(dict.fromkeys(map(_network, plan.method.network_specs(plan.network)))),
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


def _network(spec: NetworkSpec) -> str:
    return spec.name + (f" {'-'.join(map(str, spec.hidden))}" if spec.hidden else "")


def _listed(value: Any) -> Any:
    """Several values in one line."""
    if isinstance(value, list | dict):
        return ", ".join(each if isinstance(each, str) else f"{each:g}" for each in value)
    return value


def _suspects(prepared: PreparedData, fitted: Fitted, names: list[str]) -> list[Suspect]:
    """The label issues, the worst first, with pictures or cells as long as a page has room for them."""
    audit, records = fitted.audit, prepared.records
    worst = audit.ranking[audit.is_label_issue[audit.ranking]][:_MAX_SUSPECTS]
    pictures = _thumbnails(records, worst)
    cells = _cells(records, worst, list(prepared.preprocessing.columns or [])[:_MAX_FIELDS])
    explanations = Explanations(AuditedRun.read(fitted.out))
    return [
        Suspect(
            row=int(records.rows[row]),
            id=None if records.ids is None else records.ids[row],
            given_label=names[audit.labels[row]],
            predicted_label=names[audit.predicted_labels[row]],
            label_quality=float(audit.label_quality[row]),
            thumbnail=pictures[place] if place < len(pictures) else None,
            fields=cells[place] if place < len(cells) else {},
            why=explanations.of(int(records.rows[row])).in_short() if place < _MAX_EXPLAINED else None,
        )
        for place, row in enumerate(worst)
    ]


def _thumbnails(records: Records, rows: np.ndarray) -> list[bytes]:
    """Pictures of the first rows, until the page has no room for more."""
    made: list[bytes] = []
    room = THUMBNAIL_ROOM
    for row in rows:
        picture = KINDS[records.kind].picture(records, row)
        if picture is None:
            break
        image = thumbnail(picture)
        room -= len(image) * 4 // 3
        if room < 0:
            break
        made.append(image)
    return made


def _cells(records: Records, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, str]]:
    """Column name -> text for the first rows, until the page has no room for more."""
    cells = KINDS[records.kind].cells(records, rows, columns)
    made: list[dict[str, str]] = []
    room = _MAX_CELLS
    for place in range(len(rows) if cells else 0):
        texts = {name: "" if column[place] is None else clip(column[place], MAX_CELL) for name, column in cells.items()}
        room -= sum(map(len, texts.values()))
        if room < 0:
            break
        made.append(texts)
    return made
