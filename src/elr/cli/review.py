"""Commands on a finished run: its audit, its report, a corrected copy of the data, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elr.cli.console import errors, print_json, say, summarize_audit, without_controls
from elr.cli.options import Json, MovedData, Run
from elr.cli.reading import Decimal, Encoding, Quotes, Separator


def audit(
    run: Run,
    top: Annotated[int, typer.Option(help="How many suspects to list.", min=0)] = 20,
    also: Annotated[
        list[Path] | None, typer.Option(help="Another run on the same data, to average with (may be repeated).")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="label_quality by: calibrated (default of out-of-fold evidence), margin, self_confidence, aum."
        ),
    ] = None,
    export: Annotated[Path | None, typer.Option(help="Write the whole ranking: .csv or .parquet.")] = None,
    cleanlab: Annotated[
        Path | None,
        typer.Option("--export-cleanlab", help="Folder for what cleanlab reads, and datalab.parquet."),
    ] = None,
    label_studio: Annotated[
        Path | None, typer.Option("--export-label-studio", help="Write the suspects as tasks of Label Studio: .json.")
    ] = None,
    cvat: Annotated[
        Path | None, typer.Option("--export-cvat", help="Write the suspects and their images for CVAT: .zip.")
    ] = None,
    fiftyone: Annotated[
        Path | None, typer.Option("--export-fiftyone", help="Folder for a data set of images, as FiftyOne reads it.")
    ] = None,
    data: MovedData = None,
    as_json: Json = False,
) -> None:
    """List the most suspect labels of a run again, or hand them to other tools.

    Example:
        elr audit flowers-elr --top 50 --export ranking.parquet
    """
    with errors(as_json):
        from elr.audit.audited_run import AuditedRun
        from elr.audit.handover.cleanlab import export_cleanlab
        from elr.audit.handover.cvat import export_cvat
        from elr.audit.handover.fiftyone import export_fiftyone
        from elr.audit.handover.label_studio import export_label_studio
        from elr.audit.issues_view import export_table

        audited = AuditedRun.read(run, also=also or [], score=score)
        if export is not None:
            export_table(audited.evidence, audited.audit, export)
            say(f"The ranking of all rows: {export}")
        if cleanlab is not None:
            export_cleanlab(audited.evidence, audited.audit, cleanlab)
            say(f"For cleanlab: {cleanlab / 'labels.npy'}, {cleanlab / 'pred_probs.npy'}")
            say(f"As its Datalab has it: {cleanlab / 'datalab.parquet'}")
        if label_studio is not None:
            interface = export_label_studio(audited.evidence, audited.audit, label_studio, run=audited.run, data=data)
            say(f"For Label Studio: tasks in {label_studio}, labeling interface in {interface}")
        if cvat is not None:
            labels = export_cvat(audited.evidence, audited.audit, cvat, run=audited.run, data=data)
            say(f"For CVAT: images and annotations in {cvat}, the labels of the project in {labels}")
        if fiftyone is not None:
            export_fiftyone(audited.evidence, audited.audit, fiftyone, run=audited.run, data=data)
            say(f"For FiftyOne: a FiftyOneImageClassificationDataset in {fiftyone}")
        if as_json:
            print_json(audited.to_json(top))
        else:
            summarize_audit(audited, top)


def report(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="Where to write the page. Default: in DIR.")] = None,
    as_json: Json = False,
) -> None:
    """Build the report of a run again, without its data.

    Example:
        elr report flowers-elr --out review.html
    """
    with errors(as_json):
        from elr.runs.reporting import rewrite_report

        path = rewrite_report(run, out)
        if as_json:
            print_json({"report": str(path)})
        say(f"Report: {path}")


def explain(
    run: Run,
    rows: Annotated[list[str], typer.Argument(metavar="ROW...", help="Numbers of rows, as in issues.csv, or ids.")],
    ids: Annotated[bool, typer.Option("--id", help="All of them are ids, also those that look like numbers.")] = False,
    as_json: Json = False,
) -> None:
    """Why labels are suspect, or are not: their course, what blind networks say, the nearest rows.

    Example:
        elr explain flowers-elr 17 203
    """
    with errors(as_json):
        from elr.audit.audited_run import AuditedRun
        from elr.audit.explanation.reading import Explanations

        explanations = Explanations(AuditedRun.read(run))
        found = [explanations.of(int(row) if row.isdecimal() and not ids else row) for row in rows]
        if as_json:
            print_json({"explanations": [each.to_json() for each in found]})
        else:
            for each in found:
                say(without_controls(each.text()))


def clean(
    run: Run,
    decisions: Annotated[Path, typer.Option(help="decisions.csv, as the report exports it.")],
    out: Annotated[Path, typer.Option(help="Where the corrected copy goes; in the format of the data.")],
    data: MovedData = None,
    as_json: Json = False,
) -> None:
    """Apply decisions to a copy of the data; the original stays as it is.

    Example:
        elr clean flowers-elr --decisions decisions.csv --out flowers-clean.csv
    """
    with errors(as_json):
        from elr.audit.cleaning.decisions import clean as run_cleaning

        done = run_cleaning(run, decisions, out, data=data)
        if as_json:
            counts = {"num_decisions": done.num_decisions, "num_changed": done.num_changed}
            print_json({"out": str(done.out)} | counts)
        say(f"{done.num_changed} labels changed by {done.num_decisions} decisions: {done.out}")


def predict(
    run: Run,
    data: Annotated[str, typer.Argument(help="New data of the kind that the run was trained on.")],
    out: Annotated[Path, typer.Option(help="Where to write the predictions: .csv or .parquet.")],
    encoder: Annotated[str | None, typer.Option(help="The sentence encoder of the run, if it has moved.")] = None,
    separator: Separator = None,
    decimal: Decimal = None,
    quotes: Quotes = None,
    encoding: Encoding = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave unreadable images out, as in a run with that option.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict classes and probabilities for new data.

    Example:
        elr predict flowers-elr new.csv --out predictions.csv
    """
    with errors(as_json):
        from elr.runs.predict import check_predictions_path, predict_and_measure, write_predictions

        check_predictions_path(out)
        dialect = {"separator": separator, "decimal": decimal, "quotes": quotes, "encoding": encoding}
        found = predict_and_measure(run, data, encoder=encoder, dialect=dialect, skip_unreadable=skip_unreadable)
        write_predictions(found.table, out)
        if as_json:
            print_json({"out": str(out)} | found.to_json())
        for finding in found.findings:
            say(without_controls(f"{'warning: ' if finding.loud else ''}{finding.text}"))
        say(f"{len(found.table)} predictions in {out}")
