"""What the command line says to people and programs: words and progress on stderr, JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elr.errors import ELRError

ISSUES_FILE, REPORT_FILE = "issues.csv", "report.html"  # as in elr.files, which loads torch

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
_TRIAL = "trial "  # how names of trials begin (elr.runs.tuning)

if TYPE_CHECKING:
    from elr.audit.audited_run import AuditedRun
    from elr.runs.fit import Outcome
    from elr.runs.run import Fitted
    from elr.training.progress import Progress


@contextmanager
def progress_bar() -> Iterator[Callable[[str, Progress], None]]:
    """A bar with the time left on a terminal, a line now and then elsewhere; both on stderr."""
    if not sys.stderr.isatty() or not _speaks():
        yield _progress_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def show(method: str, progress: Progress) -> None:
            key = _TRIAL if method.startswith(_TRIAL) else method  # all trials share a bar
            if key not in tasks:
                tasks[key] = bar.add_task(method, total=progress.total)
            shown = f"{method} {progress.epoch}/{progress.epochs}" if key == method else method
            bar.update(tasks[key], total=progress.total, completed=progress.step, description=shown)

        yield show


def _progress_lines() -> Callable[[str, Progress], None]:
    said: dict[str, int] = {}

    def show(method: str, progress: Progress) -> None:
        if method.startswith(_TRIAL):
            if method not in said:
                said[method] = 0
                say(method)
            return
        tenth = 10 * progress.epoch // progress.epochs
        if progress.epoch and said.get(method) != tenth:
            said[method] = tenth
            say(_state(method, progress))

    return show


def _state(method: str, progress: Progress) -> str:
    agreement = progress.record.get("agreement_with_given_labels")
    measured = "" if agreement is None else f", agrees with {agreement:.1%} of the given labels"
    return f"{method}: epoch {progress.epoch}/{progress.epochs}{measured}"


def summarize(outcome: Outcome, command: str) -> None:
    """What `elr fit` found, where it lies, and how to repeat it."""
    if outcome.baseline is not None:
        say(_table(outcome))
    summarize_run(outcome.fitted, command, with_accuracy=outcome.baseline is None)


def summarize_run(fitted: Fitted, command: str, *, with_accuracy: bool = True) -> None:
    """What one run found, where it lies, and how to repeat it."""
    results = fitted.results
    if with_accuracy and "test_accuracy_last" in results:
        say(f"Accuracy on the test data, last epoch: {results['test_accuracy_last']:.4f}")
    say(verdict(results))
    if "tuning" in results:
        say(results["tuning"]["text"])
    if "early_learning" in results:  # not in folders of earlier versions
        say(results["early_learning"]["text"])
    annotators = fitted.out / "annotators.csv"
    if annotators.exists():
        say(f"Annotators, the most often contradicted first: {annotators}")
    for remark in fitted.run["data"]["remarks"]:
        say(f"note: {remark}")
    say(
        f"Suspects: {fitted.out / ISSUES_FILE}\nReport:   {fitted.out / REPORT_FILE}\n"
        f"Again, with a new --out: {command}"
    )


def summarize_audit(audited: AuditedRun, top: int) -> None:
    """What an audit found: how much, where most, how sure; the worst rows on stdout."""
    import pandas as pd

    everything = audited.to_json(0)
    say(verdict(everything))
    if pairs := everything["confusions"][:3]:
        said = (f"{pair['given']!r} should be {pair['clean']!r} ({pair['num_rows']} rows)" for pair in pairs)
        say(without_controls(f"Most often: {', '.join(said)}"))
    for cut, share in everything["expected_precision"].items():
        say(f"Of the {cut} most suspect labels the model expects {share:.1%} to be wrong; it is rather too sure")
    worst = audited.suspects(top)
    if len(worst):
        with pd.option_context("display.max_colwidth", 60, "display.width", 160):
            print(without_controls(worst.drop(columns="is_label_issue").to_string(index=False)))
    if len(worst) < everything["num_label_issues"]:
        say(f"{everything['num_label_issues'] - len(worst)} more in {audited.folder / ISSUES_FILE}")


def verdict(results: dict[str, Any]) -> str:
    low, high = results["noise_rate_interval"]
    return (
        f"About {results['noise_rate']:.1%} of {results['num_examples']} labels look wrong "
        f"(95 % interval {low:.1%} to {high:.1%}): {results['num_label_issues']} rows to look at"
    )


def _table(outcome: Outcome) -> str:
    from elr.runs.reporting import COMPARED, compared

    rows = [compared(each) for each in (outcome.baseline, outcome.fitted) if each is not None]
    shown = [key for key in COMPARED if any(key in row for row in rows)]
    width = max(map(len, shown))
    lines = [" " * width + "".join(f"{row['method']:>16}" for row in rows)]
    for key in shown:
        cells = ["-" if row.get(key) is None else f"{row[key]:.4g}" for row in rows]
        lines.append(f"{key:<{width}}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def without_controls(text: str) -> str:
    """Text from data, with what would steer the terminal made visible."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def print_json(content: dict[str, Any]) -> None:
    from elr.files import without_nan

    if _speaks():
        print(json.dumps(without_nan(content), allow_nan=False))


def say(text: str) -> None:
    if _speaks():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def errors(as_json: bool, *, resume_with: str | None = None, by_itself: bool = False) -> Iterator[None]:
    """Say what went wrong in one line, and end with the status that belongs to it.

    `resume_with` is the command that goes on after an interruption: with --resume, or `by_itself`.
    """
    try:
        yield
    except ELRError as error:
        if as_json:
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
        say(f"error: {error}")
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        again = f"; to go on: {resume_with}{'' if by_itself else ' --resume'}" if resume_with else ""
        if as_json:
            print_json({"error": {"type": "KeyboardInterrupt", "message": f"interrupted{again}"}})
        say(f"interrupted{again}")
        raise typer.Exit(130) from interrupt


def _speaks() -> bool:
    """Whether this process speaks for its group: the first one under torchrun, and any that is alone."""
    return os.environ.get("RANK", "0") == "0"
